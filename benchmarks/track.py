"""Measure tracking on videos of synthetic people whose motion is known: one table, in markdown.

Each person of the split (facecraft.synth) is lit once, does `talking` and then `expressions`, turning as those do, and
is filmed at 25 frames/s (`--fps`) with noise and H.264. Errors: of the 478 landmarks that the tracked head has, against those of the
head in the film, in per cent of the width of the face; correlation r of the channels with the true ones, both eyes, both
corners of the mouth, and the slope of their regression on the true ones. Jitter: how far landmarks of the tracked head move from frame to frame in a film of a still face, px,
on average. Speed: frames over processor time, of watching (MediaPipe) and of fitting.

Usage: python benchmarks/track.py [--count N] [--size PX] [--split NAME] [--fps F] (`make bench-track`)
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import facecraft.splats.raster  # noqa: F401 - numba before torch
from facecraft.avatar import Avatar, render
from facecraft.camera import Camera
from facecraft.drive import ARKIT_NAMES, Motion, built_in_motion, still_motion
from facecraft.footage import fit_video, to_motion, watch_video
from facecraft.head.model import load_head
from facecraft.image import to_bytes
from facecraft.retarget import retarget
from facecraft.synth.picture import take_picture
from facecraft.synth.scene import Scene, make_pose
from facecraft.synth.subject import SPLITS, Subject
from facecraft.synth.viewpoint import ring_camera
from facecraft.synth.workspaces import bake_avatar
from facecraft.video import VideoWriter

FPS = 25
CHANNELS = {
    "jawOpen": ("jawOpen",),
    "eyeBlink": ("eyeBlinkLeft", "eyeBlinkRight"),
    "mouthSmile": ("mouthSmileLeft", "mouthSmileRight"),
    "browInnerUp": ("browInnerUp",),
    "browOuterUp": ("browOuterUpLeft", "browOuterUpRight"),
    "mouthPucker": ("mouthPucker",),
}


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--count", type=int, default=6)
    options.add_argument("--size", type=int, default=384)
    options.add_argument("--first", type=int, default=0)
    options.add_argument("--split", choices=SPLITS, default="test")
    options.add_argument("--fps", type=float, default=FPS, help="of the films")
    given = options.parse_args()
    rows = [
        measure(index, given.size, given.split, given.fps) for index in range(given.first, given.first + given.count)
    ]
    names = list(rows[0])
    print("| person | " + " | ".join(names) + " |\n|---|" + "---|" * len(names))
    for index, row in enumerate(rows, given.first):
        print(f"| {index} | " + " | ".join(f"{value:.3g}" for value in row.values()) + " |")
    print("| mean | " + " | ".join(f"{np.nanmean([row[name] for row in rows]):.3g}" for name in names) + " |")


def measure(index: int, size: int, split: str, fps: float) -> dict[str, float]:
    """The figures of one person."""
    camera = ring_camera(size, 0, 0)
    avatar, motion = make_person(index, size, split), act(fps)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.mp4"
        truth = film(avatar, motion, camera, path, fps)
        track, landmarks, seen, times, row = follow(path)
        width = np.ptp(truth[0, :, 0])
        error = np.linalg.norm(track.landmarks - truth[seen], axis=2).mean()
        row |= {"landmarks, % of width": 100 * error / width, "frames lost": len(truth) - len(seen)}
        found = retarget(to_motion(load_head(), track, landmarks, times), "auto")
        for label, names in CHANNELS.items():
            columns = [ARKIT_NAMES.index(name) for name in names]
            pair = found.expression[:, columns].ravel(), motion.expression[seen][:, columns].ravel()
            row[f"{label} r"] = float(np.corrcoef(*pair)[0, 1]) if pair[0].std() > 0 else 0.0
            row[f"{label} slope"] = float(np.polyfit(pair[1], pair[0], 1)[0])
        row["blink peak"] = float(found.expression[:, ARKIT_NAMES.index("eyeBlinkLeft")].max())
        film(avatar, still_motion(round(2 * fps), fps), camera, path, fps)
        still, *_ = follow(path)
    row["jitter, px"] = float(np.linalg.norm(np.diff(still.landmarks, axis=0), axis=2).mean())
    return row


def make_person(index: int, size: int, split: str = "test") -> Avatar:
    """Person `index` of a split, lit for good."""
    scene = Scene(Subject(split, 0, index), size)
    lit = scene.lit(make_pose({}), scene.light()[1])
    return bake_avatar(lit, take_picture(lit, ring_camera(size, 0, 0)))


def act(fps: float) -> Motion:
    """Talking, then the expressions."""
    parts = [built_in_motion(name, fps) for name in ("talking", "expressions")]
    expression, neck, gaze = (np.concatenate([getattr(p, n) for p in parts]) for n in ("expression", "neck", "gaze"))
    return Motion(expression, neck, gaze, np.arange(len(expression)) / fps)


@torch.inference_mode()
def film(avatar: Avatar, motion: Motion, camera: Camera, path: Path, fps: float) -> np.ndarray:
    """Write the video; returns the true landmarks [T, 478, 2], px."""
    rng = np.random.default_rng(0)
    channels = motion.expression_for(avatar.head.expression_names)
    truth = []
    with VideoWriter(path, fps) as writer:
        for pose in zip(channels, motion.gaze, motion.neck, strict=True):
            pose = [torch.as_tensor(part).float() for part in pose]
            rgb = render(avatar.pose(*pose), camera, torch.tensor([0.55, 0.6, 0.65]))[0].numpy()
            writer.write(to_bytes((rgb + rng.normal(0, 0.012, rgb.shape)).clip(0, 1)))
            points = avatar.head.landmarks(avatar.vertices(*pose)[None])[0].double().numpy()
            truth.append(camera.project(points)[:, :2])
    return np.stack(truth)


def follow(path: Path):
    """Track a video: the track, numbers of the frames in which the face was seen, their times, and speeds."""
    start = time.process_time()
    watched = watch_video(path)
    middle = time.process_time()
    track = fit_video(load_head(), watched)
    end = time.process_time()
    count = len(watched.seen)
    speeds = {"watch, frames/s": count / (middle - start), "fit, frames/s": count / (end - middle)}
    return track, watched.landmarks, watched.seen, watched.seen / watched.fps, speeds


if __name__ == "__main__":
    main()
