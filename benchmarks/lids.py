"""How much of the eyeballs shines through shut lids of trained avatars, and how far these are off the truth: one table, in markdown.

Usage: python benchmarks/lids.py WORKSPACE...
"""

import sys
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import KDTree

from facecraft.avatar import Avatar, render
from facecraft.head.lids import MOVED_M, SHUT, rim_lines
from facecraft.mesh.raster import rasterize_mesh
from facecraft.splats.lids import leaking_share
from facecraft.workspace import Workspace

BAR_PERCENT = 5.0
SIZE_PX, LASHES_M = 1024, 2e-3  # of the picture in which lids are measured, and how far lashes reach over them


def lid_colours(avatar: Avatar) -> np.ndarray:
    """Mean colours [2, 3] of the shut upper lids over their lashes, the right one first, as the source's camera sees them."""
    head, faces = avatar.head, avatar.head.faces.numpy()
    shut = head.expression_vector(SHUT)[0]
    camera = avatar.camera.resized(SIZE_PX, round(SIZE_PX * avatar.camera.height / avatar.camera.width))
    with torch.no_grad():
        rgb = render(avatar.pose(shut, neck=avatar.neck), camera, torch.ones(3))[0].numpy()
    rest, moved = (head.vertices(None, channels)[0].double().numpy() for channels in (None, shut[None]))
    upper, lower = (KDTree(rim.reshape(-1, 3)).query(rest)[0] for rim in rim_lines(head, rest))
    lid = head.vertices_of(("face",)).numpy() & (np.linalg.norm(moved - rest, axis=1) > 4 * MOVED_M)
    lid &= (upper > LASHES_M) & (upper < lower)
    pixels = camera.project(avatar.vertices(shut, neck=avatar.neck).double().numpy())
    sides = np.stack([lid & (rest[:, 0] < 0), lid & (rest[:, 0] > 0)], 1).astype(float)
    shares = rasterize_mesh(pixels, faces, camera.height, camera.width).interpolate(sides, faces)
    return np.stack([rgb[shares[..., side] > 0.9].mean(0) for side in range(2)])


def main(paths: list[Path]) -> None:
    """Print the table; figures beyond the bar carry an exclamation mark."""
    print(
        "| portrait | eyeballs through shut lids % | PSNR of the photo dB | right, left lid off the truth |\n|---|---|---|---|"
    )
    for path in paths:
        workspace = Workspace.open(path)
        avatar = Avatar.load(workspace / "avatar/avatar.safetensors")
        percent = 100 * leaking_share(avatar)
        mark = "" if percent <= BAR_PERCENT else " !"
        decibels, truth, off = (
            workspace.records()["coin-fit"]["psnr_source"],
            workspace / "truth/avatar.safetensors",
            "–",
        )
        if truth.is_file():
            errors = np.abs(lid_colours(avatar) - lid_colours(Avatar.load(truth))).mean(1)
            off = ", ".join(f"{error:.3f}" for error in errors)
        print(f"| {path.stem} | {percent:.2f}{mark} | {decibels} | {off} |", flush=True)


if __name__ == "__main__":
    main([Path(path) for path in sys.argv[1:]])
