"""How much of the eyeballs shines through shut lids of trained avatars: one table, in markdown.

Usage: python benchmarks/lids.py WORKSPACE...
"""

import sys
from pathlib import Path

from facecraft.avatar import Avatar
from facecraft.splats.lids import leaking_share
from facecraft.workspace import Workspace

BAR_PERCENT = 5.0


def main(paths: list[Path]) -> None:
    """Print the table; figures beyond the bar carry an exclamation mark."""
    print("| portrait | eyeballs through shut lids % | PSNR of the photo dB |\n|---|---|---|")
    for path in paths:
        workspace = Workspace.open(path)
        percent = 100 * leaking_share(Avatar.load(workspace / "avatar/avatar.safetensors"))
        mark = "" if percent <= BAR_PERCENT else " !"
        decibels = workspace.records()["coin-fit"]["psnr_source"]
        print(f"| {path.stem} | {percent:.2f}{mark} | {decibels} |", flush=True)


if __name__ == "__main__":
    main([Path(path) for path in sys.argv[1:]])
