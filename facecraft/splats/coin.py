"""The stage `coin-fit`: from a fitted head and its views to an avatar on disk, with checkpoints on the way."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from facecraft.avatar import Avatar, render
from facecraft.camera import orbit_camera
from facecraft.device import torch_device
from facecraft.export.ply import write_ply
from facecraft.frames import load_frames
from facecraft.head.fitted import FittedHead, load_fitted
from facecraft.image import SYNTHETIC, write_png
from facecraft.metrics.pixels import psnr
from facecraft.progress import log
from facecraft.splats import structure
from facecraft.splats.fringe import hang_fringe
from facecraft.splats.gaussians import concatenate
from facecraft.splats.lashes import lash_gaussians
from facecraft.splats.schedule import SCHEDULES, VIDEO_SHARE, Schedule
from facecraft.splats.seed import fringe_gaussians, seed_gaussians
from facecraft.splats.train import Trainer
from facecraft.views import View, load_views
from facecraft.workspace import StageRun, write_atomic

CHECKPOINT = "avatar/checkpoints/train.safetensors"
COIN_QUALITIES = ("standard", "high")
"""Where COIN is the default. The views of draft come from one texture, agree, and are too few to tell a view's ways."""


def fit_avatar(
    run: StageRun,
    quality: str,
    iterations: int,
    gaussians: int,
    checkpoint_every: int,
    device: str,
    seed: int,
    fresh: bool,
    coin: bool | None = None,
    sh_degree: int = 0,
) -> Avatar:
    """Train an avatar on the views of a workspace, and on its video when it has one, and write it.

    `iterations` and `gaussians` of 0 and `coin` of None are the quality's; `sh_degree` is that of the colours, 0 to 3.
    `fresh` does not take up a checkpoint.
    """
    schedule = _schedule(quality, iterations, gaussians)
    fitted, views = load_fitted(run.workspace), load_views(run.workspace, "views/enhanced")
    views += load_views(run.workspace, "views/expressions")
    extras = (make(fitted, views[0]) for make in (fringe_gaussians, lash_gaussians))
    parts = (seed_gaussians(fitted, schedule.gaussians, seed), *extras)
    start = concatenate(part[0] for part in parts).with_degree(sh_degree)
    binding, seen = (torch.cat([part[i] for part in parts]) for i in (1, 2))
    chosen = torch_device(device)
    run.record["device"] = str(chosen)
    frames = load_frames(run.workspace, fitted.head)
    if frames:
        schedule = replace(schedule, video=VIDEO_SHARE * schedule.iterations)
        log.info(
            f"{len(frames.entries)} pictures of {frames.cameras} cameras join after {schedule.iterations} iterations"
        )
    coin = quality in COIN_QUALITIES if coin is None else coin
    run.record["structural_loss"] = structure.NAME if coin else "none"
    avatar = as_avatar(fitted, start, binding)
    trainer = Trainer(avatar, views, 1 - seen, schedule, seed, chosen, coin, frames=frames)
    checkpoint, key = run.workspace / CHECKPOINT, _fingerprint(run)
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    if not fresh:
        _resume(trainer, checkpoint, key)
    while trainer.iteration < schedule.total:
        trainer.run(min(trainer.iteration + checkpoint_every, schedule.total))
        write_atomic(checkpoint, save(trainer.state(), {"key": key}))
    avatar = hang_fringe(trainer.result(), views[0], fitted.texture.light)
    run.record["psnr_source"] = round(log_quality(avatar, views), 2)
    avatar.save(run.output("avatar/avatar.safetensors"))
    neutral = avatar.pose(avatar.expression, avatar.gaze, avatar.neck)
    write_ply(run.output("avatar/avatar.ply"), neutral)
    write_png(run.output("avatar/preview.png"), _preview(avatar), SYNTHETIC)
    run.use_weights(f"head/{fitted.head.name}", fitted.head.licence, fitted.head.digest)
    checkpoint.unlink(missing_ok=True)
    return avatar


def _schedule(quality: str, iterations: int, gaussians: int) -> Schedule:
    schedule = SCHEDULES[quality]
    if iterations:
        schedule = replace(schedule, iterations=iterations)
    if gaussians:
        schedule = replace(schedule, gaussians=gaussians, limit=round(1.5 * gaussians))
    return schedule


def as_avatar(fitted: FittedHead, gaussians, binding) -> Avatar:
    parts = (fitted.shape, fitted.offsets, fitted.expression, fitted.gaze, np.zeros(3))
    tensors = (torch.as_tensor(np.asarray(part, np.float32)) for part in parts)
    return Avatar(fitted.head, *tensors, binding, gaussians, fitted.camera, {"made by": "facecraft coin-fit"})


def _fingerprint(run: StageRun) -> str:
    """Digest of everything that training depends on: a checkpoint of other options or inputs is not taken up."""
    parts = {key: run.record[key] for key in ("facecraft", "options", "reads")}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _resume(trainer: Trainer, checkpoint: Path, key: str) -> None:
    if not checkpoint.is_file():
        return
    try:
        with safe_open(checkpoint, "pt") as file:
            if (file.metadata() or {}).get("key") != key:
                return
            trainer.load_state({name: file.get_tensor(name) for name in file.keys()})
    except SafetensorError as error:
        log.warning(f"{checkpoint} cannot be read ({error}); starting over")
        return
    log.info(f"going on from iteration {trainer.iteration}")


def log_quality(avatar: Avatar, views: list[View]) -> float:
    """Log and return the PSNR of the first view (the photo) inside its matte."""
    view = views[0]
    with torch.no_grad():
        rgb, _ = render(avatar.pose(avatar.expression, avatar.gaze, avatar.neck), view.camera, torch.ones(3))
    wanted = view.rgb * view.alpha[..., None] + 1 - view.alpha[..., None]
    decibels = psnr(rgb.numpy().clip(0, 1), wanted, view.alpha > 0.5)
    log.info(f"PSNR of the source view inside the matte: {decibels:.1f} dB with {len(avatar.binding)} Gaussians")
    return decibels


def _preview(avatar: Avatar, size: int = 384) -> np.ndarray:
    """The source expression from four sides, over white [size, 4 size, 3]."""
    camera = avatar.camera.resized(size, size)
    distance = np.linalg.norm(camera.centre)
    gaussians = avatar.pose(avatar.expression, avatar.gaze, avatar.neck)
    pictures = []
    for azimuth in (0, 45, 90, 180):
        with torch.no_grad():
            rgb, _ = render(
                gaussians, orbit_camera(camera, azimuth, 0, np.array([0, -0.03, -0.06]), distance), torch.ones(3)
            )
        pictures.append(rgb.numpy().clip(0, 1))
    return np.concatenate(pictures, 1)
