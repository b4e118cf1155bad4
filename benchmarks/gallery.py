"""Collect the contact sheets of all workspaces in a folder: gallery/NAME.png, and gallery/all.png with one row each.

Usage: python benchmarks/gallery.py WORKSPACES GALLERY (`make gallery`)
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from facecraft.image import SYNTHETIC, write_png

ROW_WIDTH = 2000


def main(workspaces: Path, gallery: Path) -> None:
    """Write the gallery and print its paths."""
    gallery.mkdir(parents=True, exist_ok=True)
    rows = []
    for path in sorted(workspaces.glob("*.ws/sheet.png")):
        sheet = Image.open(path).convert("RGB")
        size = (ROW_WIDTH, round(sheet.height * ROW_WIDTH / sheet.width))
        rows.append(np.asarray(sheet.resize(size, Image.Resampling.LANCZOS)))
        write_png(gallery / f"{path.parent.stem}.png", np.asarray(sheet) / 255, SYNTHETIC)
        print(gallery / f"{path.parent.stem}.png")
    if not rows:
        sys.exit(f"error: no sheet.png in {workspaces}/*.ws; run `make gallery`")
    write_png(gallery / "all.png", np.concatenate(rows) / 255, SYNTHETIC)
    print(gallery / "all.png")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
