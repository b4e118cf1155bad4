"""The research video prior: the views of a head driven through LivePortrait, each with its own pose."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from facecraft.device import torch_device
from facecraft.errors import InputError
from facecraft.frames import HeadPoses, save_frames
from facecraft.head.fitted import FittedHead, load_fitted
from facecraft.prior.drive import frontal_views
from facecraft.prior.liveportrait.crop import SOURCE, Square, face_square
from facecraft.prior.liveportrait.networks import LivePortrait, load_liveportrait
from facecraft.prior.liveportrait.performance import Performance, head_openness, head_points, perform
from facecraft.prior.liveportrait.weights import LICENCE, find_weights
from facecraft.progress import log, track
from facecraft.records import digest_file
from facecraft.views import View, load_views

FARTHEST_DEG = 76.0
"""Views from farther to the side show too little of a face; FaceCraft4D drives the 11 of 24 up to 75 degrees."""
RETARGETED = {"none": (), "eyes": ("eyes",), "lips": ("lips",), "both": ("eyes", "lips")}
"""What opens as far as the driver's, by the word for it."""


def animate_workspace(run, folder: Path, retarget: str, device: str, *motion) -> None:
    """`animate_views` with the views of a stage's workspace and the weights in `folder`, which its record names."""
    portrait = load_liveportrait(folder, torch_device(device))
    for name, path in find_weights(folder).items():
        run.use_weights(f"LivePortrait/{name}", LICENCE, digest_file(path))
    fitted, views = load_fitted(run.workspace), load_views(run.workspace, "views/enhanced")
    animate_views(run.output, fitted, views, portrait, *motion, RETARGETED[retarget])


def animate_views(
    output,  # from a name to the path to write
    fitted: FittedHead,
    views: list[View],
    portrait: LivePortrait,
    motion: str,
    fps: float,
    count: int,
    most: int,
    retargeted: tuple[str, ...] = (),
) -> None:
    """Write frames/ by way of `output`: up to `count` views that show the face, at up to `most` moments of a motion.

    `motion` is a name as `open_motion` takes it; `retargeted` are "eyes" and "lips" that open as far as the driver's. As
    `drive_views`, but a video or a template changes the photo's expression, it does not replace it.
    """
    chosen = facing_views([views[i] for i in frontal_views(views, count)])
    performance = perform(portrait, fitted, motion, fps, most)
    moments = len(performance.change)
    log.info(f"{len(chosen)} of {min(count, len(views))} views show the face; {moments} moments")
    still = (torch.zeros(moments, 3) for _ in range(3))  # neck, rotation, translation
    poses = HeadPoses(*(torch.from_numpy(p).float() for p in (performance.expression, performance.gaze)), *still)
    cameras = [view.camera for view in chosen]
    save_frames(output, fitted.head, poses, cameras, _animate(fitted, chosen, portrait, performance, retargeted))


def facing_views(views: list[View]) -> list[View]:
    """Those taken from up to FARTHEST_DEG beside the front of the head. InputError when there is none."""
    ahead = [view.camera.centre[2] / np.linalg.norm(view.camera.centre) for view in views]
    chosen = [view for view, cosine in zip(views, ahead, strict=True) if cosine >= np.cos(np.radians(FARTHEST_DEG))]
    if not chosen:
        raise InputError(f"none of {len(views)} views shows the face; make them again with `facecraft enhance-views`")
    return chosen


def _animate(
    fitted: FittedHead,
    views: list[View],
    portrait: LivePortrait,
    performance: Performance,
    retargeted: tuple[str, ...],
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Moment, number of the view and picture [H, W, 4] of all, view by view."""
    points = head_points(fitted, fitted.vertices())
    steps = iter(track(range(len(views) * len(performance.change)), "driving views"))
    for number, view in enumerate(views):
        square = face_square(view.camera.project(points), *SOURCE)
        shown = view.rgb * view.alpha[..., None] + 1 - view.alpha[..., None]
        source = portrait.read_source(square.cut(shown), head_openness(fitted, points))
        for moment, change in enumerate(performance.change):
            next(steps)
            driven = portrait.place_points(source, change, performance.openness[moment], retargeted)
            yield moment, number, put_face(view, square, portrait.draw(source, driven))
    next(steps, None)


def put_face(
    view: View,
    square: Square,
    face: np.ndarray,  # [S, S, 3] over white
) -> np.ndarray:
    """The view [H, W, 4] with a new face in its square; its outline stays. Over white it is the face where that is put."""
    placed, share = square.put_back(face, view.rgb)
    share = (share * (view.alpha > 0))[..., None]
    alpha = view.alpha[..., None]
    shown = share * placed + (1 - share) * (view.rgb * alpha + 1 - alpha)
    straight = ((shown - 1 + alpha) / np.maximum(alpha, 1e-6)).clip(0, 1)
    return np.concatenate([np.where(share > 0, straight, view.rgb), alpha], 2).astype(np.float32)
