"""What each export format costs in bytes, time and looks, for avatars that are there.

Each is written and read back three times (the least time counts); its picture at the source camera is compared with the
avatar's own (PSNR inside the matte of the latter).

Usage: python benchmarks/exports.py WORKSPACE...
"""

import sys
import tempfile
import time
from pathlib import Path

import torch

from facecraft.avatar import Avatar, render
from facecraft.export.gltf_splats import read_gltf_splats, write_gltf_splats
from facecraft.export.ply import read_ply, write_ply
from facecraft.export.splat import read_splat, write_splat
from facecraft.export.spz import read_spz, write_spz
from facecraft.metrics.pixels import psnr

FORMATS = {
    "ply": (write_ply, read_ply),
    "gltf-splats": (write_gltf_splats, read_gltf_splats),
    "splat": (write_splat, read_splat),
    "spz": (write_spz, read_spz),
}


def main(workspaces: list[Path]) -> None:
    """Print the table."""
    print("| avatar | Gaussians | format | bytes per Gaussian | of the PLY | write ms | read ms | PSNR dB |")
    print("|---|---|---|---|---|---|---|---|")
    for path in workspaces:
        avatar = Avatar.load(path / "avatar/avatar.safetensors")
        pose = avatar.pose(avatar.expression, avatar.gaze, avatar.neck)
        wanted, alpha = render(pose, avatar.camera, torch.ones(3))
        with tempfile.TemporaryDirectory() as folder:
            sizes = {}
            for name, (write, read) in FORMATS.items():
                file = Path(folder) / name
                write_s = min(_seconds(write, file, pose) for _ in range(3))
                read_s = min(_seconds(read, file) for _ in range(3))
                shown, _ = render(read(file), avatar.camera, torch.ones(3))
                decibels = psnr(shown.clamp(0, 1).numpy(), wanted.clamp(0, 1).numpy(), alpha.numpy() > 0.5)
                sizes[name] = file.stat().st_size
                share = f"{sizes[name] / len(pose):.1f} | 1/{sizes['ply'] / sizes[name]:.1f}"
                cost = f"{1000 * write_s:.0f} | {1000 * read_s:.0f} | {decibels:.1f}"
                print(f"| {path.stem} | {len(pose)} | {name} | {share} | {cost} |")


def _seconds(run, *arguments) -> float:
    start = time.perf_counter()
    run(*arguments)
    return time.perf_counter() - start


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python benchmarks/exports.py WORKSPACE...")
    main([Path(name) for name in sys.argv[1:]])
