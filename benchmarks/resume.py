"""Kill -9 a training ten times at random moments: `make bench-resume`. Prints what is left of the difference.

The workspace of the sample portrait is trained twice by `facecraft coin-fit`: once undisturbed, once killed. Compared is the
mean absolute difference between the source view and its rendering, the L1 of the loss, inside the matte.
"""

import facecraft  # noqa: F401 (before torch: it calms the thread pools)

# isort: split
import argparse
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from facecraft.stages import enhance_views, fit_3dmm, preprocess, sample

from facecraft.avatar import Avatar, render
from facecraft.views import load_views
from facecraft.workspace import Workspace

TRAIN = ["--quality", "draft", "--iterations", "150", "--gaussians", "14000", "--checkpoint-every", "5", "--coin"]


def sample_workspace(folder: Path) -> Path:
    """A workspace with views, made by the stages when that is not done yet."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "resume.ws"
    preprocess.main([sample.main(folder / "sample.png", force=True)], path, size=256)
    fit_3dmm.main(path, texture_size=256)
    enhance_views.main(path, views=6, size=160)
    return path


def start_training(workspace: Path) -> subprocess.Popen:
    """`facecraft coin-fit` in a process of its own."""
    command = [Path(sys.executable).parent / "facecraft", "coin-fit", workspace, *TRAIN, "--device", "cpu"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def train_despite_kills(workspace: Path, kills: int, randomness: random.Random) -> int:
    """Train to the end, killing the process `kills` times a random while after it wrote a checkpoint; kills that hit."""
    checkpoint, hits = workspace / "avatar/checkpoints/train.safetensors", 0
    while True:
        process, before = start_training(workspace), _written(checkpoint)
        while hits < kills and process.poll() is None and _written(checkpoint) == before:
            time.sleep(0.005)
        if hits < kills:
            time.sleep(randomness.uniform(0, 0.5))
            process.send_signal(signal.SIGKILL)
        if process.wait() == 0:
            return hits
        if process.returncode != -signal.SIGKILL:
            sys.exit(f"error: training ended with {process.returncode}")
        hits += 1


def _written(path: Path) -> int:
    return path.stat().st_mtime_ns if path.is_file() else 0


def final_loss(workspace: Path) -> float:
    """L1 between the source view and its rendering."""
    avatar = Avatar.load(workspace / "avatar/avatar.safetensors")
    view = load_views(Workspace.open(workspace), "views/enhanced")[0]
    with torch.no_grad():
        rgb, _ = render(avatar.pose(avatar.expression, avatar.gaze, avatar.neck), view.camera, torch.ones(3))
    wanted = view.rgb * view.alpha[..., None] + 1 - view.alpha[..., None]
    return float(np.abs(rgb.numpy() - wanted)[view.alpha > 0.5].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("build/resume"))
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    ready = sample_workspace(options.folder)
    paths = [options.folder / f"{name}.ws" for name in ("undisturbed", "killed")]
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(ready, path)
    hits = [
        train_despite_kills(path, n, random.Random(options.seed))
        for path, n in zip(paths, (0, options.kills), strict=True)
    ]
    losses = [final_loss(path) for path in paths]
    first, second = ((path / "avatar/avatar.safetensors").read_bytes() for path in paths)
    print("| kills | loss undisturbed | loss killed | difference | same bytes |\n|---:|---:|---:|---:|---|")
    change = abs(losses[1] / losses[0] - 1)
    print(
        f"| {hits[1]} | {losses[0]:.5f} | {losses[1]:.5f} | {100 * change:.3f} % | {'yes' if first == second else 'no'} |"
    )
    sys.exit(change > 0.01 or hits[1] < options.kills)


if __name__ == "__main__":
    main()
