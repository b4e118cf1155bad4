"""COIN training against plain training on views that disagree: `make bench-coin`. Prints a Markdown table.

The truth is the textured head of the sample portrait, rendered. Of its views the photo is kept as it is; the others get a
colour shift each (gain and bias per channel) and a smooth warp of 1 to 3 pixels. Training starts without colours.
Twelve views that no training saw are compared with the truth: PSNR inside the matte, SSIM, sharpness (the mean absolute
Laplacian over that of the truth, which noise and double edges raise as well) and edges (the gradient's component along
the truth's gradient, over that; only edges in the right place count). 1 is as sharp as the truth. `clean` trains on views
without disagreement.
"""

import facecraft  # noqa: F401 (before torch: it calms the thread pools)

# isort: split
import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from facecraft.stages import fit_3dmm, preprocess, sample
from scipy.ndimage import gaussian_filter, laplace, map_coordinates
from skimage.metrics import structural_similarity

from facecraft.avatar import Avatar, render
from facecraft.camera import Camera, orbit_camera
from facecraft.head.fitted import FittedHead, load_fitted
from facecraft.head.texture import render_textured
from facecraft.image import write_png
from facecraft.metrics.pixels import psnr
from facecraft.prior.texture import orbit_cameras
from facecraft.splats.coin import as_avatar
from facecraft.splats.schedule import Schedule
from facecraft.splats.seed import seed_gaussians
from facecraft.splats.train import Trainer
from facecraft.views import View
from facecraft.workspace import Workspace

GAIN, BIAS, WARP_PX = 0.12, 0.05, (1.0, 3.0)
ORBIT_VIEWS = 12  # and the 13 raised ones
PHOTO_WEIGHT = 6.0
HELD_OUT = ((15, 3), (-15, 3), (45, 8), (-45, 8), (75, 0), (-75, 0), (105, 10), (-105, 10), (140, 0), (-140, 0))
HELD_OUT += ((0, 12), (180, 10))
"""Azimuth and elevation, degrees."""


class Robust(Trainer):
    """Plain training whose L1 counts less where the residual is large (Geman and McClure, scale 0.1)."""

    def _step(self) -> None:
        make = self.target
        self.target = lambda shot, side: _weigh(make(shot, side), self, shot, side)
        super()._step()
        self.target = make


def _weigh(target, trainer: Trainer, shot, side: int):
    with torch.no_grad():
        residual = (trainer._render(shot, target, side).colors - target.picture.picture).abs().mean(2)
    weights = 1 / (1 + (residual / 0.1) ** 2) ** 2
    target.picture.weights = (weights / weights.mean()).contiguous()
    return target


def sample_head(folder: Path) -> FittedHead:
    """The head of the sample portrait, fitted by the stages when that is not done yet."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "sample.ws"
    preprocess.main([sample.main(folder / "sample.png", force=True)], path)
    fit_3dmm.main(path)
    return load_fitted(Workspace.open(path))


def plant(rgb: np.ndarray, alpha: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The view with a colour shift and a smooth warp of its own."""
    size = alpha.shape
    field = np.stack([gaussian_filter(rng.standard_normal(size), size[0] / 8, mode="wrap") for _ in range(2)])
    field *= rng.uniform(*WARP_PX) / np.linalg.norm(field, axis=0).max()
    at = np.indices(size) + field
    warped = np.stack([map_coordinates(rgb[..., c], at, order=1, mode="nearest") for c in range(3)], -1)
    shifted = warped * rng.uniform(1 - GAIN, 1 + GAIN, 3) + rng.uniform(-BIAS, BIAS, 3)
    return shifted.clip(0, 1).astype(np.float32), map_coordinates(alpha, at, order=1).astype(np.float32)


def take_views(fitted: FittedHead, size: int, planted: bool) -> tuple[list[View], list[View]]:
    """Views to train on, the photo first, and views to compare with."""
    vertices, rng = fitted.vertices(), np.random.default_rng(0)

    def take(camera: Camera, disagree: bool, kind: str = "texture", weight: float = 1.0) -> View:
        rgb, alpha, depth, _ = render_textured(fitted.head, vertices, fitted.texture, camera)
        rgb, alpha = plant(rgb, alpha, rng) if disagree else (rgb, alpha)
        return View(camera, rgb, alpha, depth, kind, weight)

    cameras = orbit_cameras(fitted, vertices, ORBIT_VIEWS, size)
    photo = take(fitted.camera.resized(size, size), False, "photo", PHOTO_WEIGHT)
    target = (vertices.min(0) + vertices.max(0)) / 2
    distance = float(np.linalg.norm(cameras[0].centre - target))
    held_out = [take(orbit_camera(cameras[0], *angles, target, distance), False) for angles in HELD_OUT]
    return [photo, *(take(camera, planted) for camera in cameras)], held_out


def blank_avatar(fitted: FittedHead, count: int) -> Avatar:
    """Gaussians on the head, all of the texture's mean colour."""
    albedo = fitted.texture.albedo
    flat = replace(fitted.texture, albedo=np.broadcast_to(albedo.mean((0, 1)), albedo.shape).copy())
    gaussians, binding, _ = seed_gaussians(replace(fitted, texture=flat), count, 0)
    return as_avatar(fitted, gaussians, binding)


def compare(avatar: Avatar, views: list[View]) -> tuple[np.ndarray, np.ndarray]:
    """Mean PSNR (dB), SSIM, sharpness and edges [4], and the renderings side by side."""
    pose, scores, pictures = avatar.pose(avatar.expression, avatar.gaze, avatar.neck), [], []
    for view in views:
        with torch.no_grad():
            rgb = render(pose, view.camera, torch.ones(3))[0].numpy().clip(0, 1)
        wanted, inside = _on_white(view), view.alpha > 0.5
        _, similar = structural_similarity(rgb, wanted, channel_axis=2, data_range=1, full=True)
        smooth = [gaussian_filter(picture.mean(2), 0.7) for picture in (rgb, wanted)]
        curvatures = [np.abs(laplace(picture))[inside].mean() for picture in smooth]
        slopes, true_slopes = (np.stack(np.gradient(picture))[:, inside] for picture in smooth)
        edges = (slopes * true_slopes).sum() / (true_slopes**2).sum()
        decibels = psnr(rgb, wanted, inside)
        scores.append([decibels, similar[inside].mean(), curvatures[0] / curvatures[1], edges])
        pictures.append(rgb)
    return np.mean(scores, 0), np.concatenate(pictures, 1)


def _on_white(view: View) -> np.ndarray:
    return view.rgb * view.alpha[..., None] + 1 - view.alpha[..., None]


def train(method: str, avatar: Avatar, views: list[View], options) -> tuple[Avatar, float]:
    """The trained avatar and the seconds that it took."""
    schedule = Schedule(options.iterations, options.gaussians, options.gaussians + 500)
    made = Robust if method == "robust L1" else Trainer
    unseen = torch.zeros(len(avatar.binding))
    trainer = made(avatar, views, unseen, schedule, options.seed, torch.device("cpu"), coin="COIN" in method)
    if method == "COIN, colours only":
        trainer.adam.set_rate("coin.shift", 0.0)
    start = time.perf_counter()
    trainer.run(options.iterations)
    return trainer.result(), time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("build/coin"), help="for the sample's head and pictures")
    parser.add_argument("--size", type=int, default=160, help="pixels")
    parser.add_argument("--iterations", type=int, default=1200)
    parser.add_argument("--gaussians", type=int, default=14_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--methods", nargs="*", help="only these rows")
    options = parser.parse_args()
    fitted = sample_head(options.folder)
    avatar = blank_avatar(fitted, options.gaussians)
    planted, held_out = take_views(fitted, options.size, planted=True)
    clean, _ = take_views(fitted, options.size, planted=False)
    print(f"{options.iterations} iterations, {options.gaussians} Gaussians, {options.size} px\n")
    print(
        "| training | PSNR dB | SSIM | sharpness | edges | PSNR of the photo dB | time, plain = 1 |\n|---|---:|---:|---:|---:|---:|---:|"
    )
    rows, plain_s = [np.concatenate([_on_white(view) for view in held_out], 1)], None
    for method in options.methods or ("plain", "robust L1", "COIN, colours only", "COIN", "clean"):
        result, seconds = train(method, avatar, clean if method == "clean" else planted, options)
        plain_s = plain_s or seconds
        scores, pictures = compare(result, held_out)
        photo = compare(result, planted[:1])[0][0]
        values = f"{scores[0]:.2f} | {scores[1]:.3f} | {scores[2]:.3f} | {scores[3]:.3f} | {photo:.1f} | {seconds / plain_s:.2f}"
        print(f"| {method} | {values} |", flush=True)
        rows.append(pictures)
    write_png(options.folder / "held_out.png", np.concatenate(rows))
    print(f"\nrows of {options.folder / 'held_out.png'}: truth, then as above", file=sys.stderr)


if __name__ == "__main__":
    main()
