"""Pictures of the same moments from several sides: the views of a head, driven by one motion through its mesh."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from facecraft.drive import Motion
from facecraft.frames import HeadPoses, save_frames
from facecraft.head.fit import pose_vertices
from facecraft.head.fitted import FittedHead
from facecraft.head.model import HeadModel
from facecraft.prior.mouth import clean_mouth
from facecraft.prior.warp import Warp
from facecraft.progress import log, track
from facecraft.retarget import perform
from facecraft.views import View

MARGIN_PX = 20  # around what moves
MOST_COMPARED = 2000  # frames of a motion among which moments are chosen
SAME_M = 1e-3  # all landmarks together moved less: the same face again
STILL_M = 5e-5  # less is no movement


@dataclass(frozen=True)
class Window:
    """The part of a picture in which anything moves."""

    rows: slice
    columns: slice

    def cut(self, view: View) -> View:
        """Only that part of a view, with the camera of the part."""
        left, top = self.columns.start, self.rows.start
        width, height = self.columns.stop - left, self.rows.stop - top
        camera = view.camera
        camera = replace(camera, width=width, height=height, cx=camera.cx - left, cy=camera.cy - top)
        rgb, alpha, depth = (part[self.rows, self.columns] for part in (view.rgb, view.alpha, view.depth))
        return replace(view, camera=camera, rgb=rgb, alpha=alpha, depth=depth)


def drive_views(output, fitted: FittedHead, views: list[View], motion: Motion, count: int, most: int) -> None:
    """Write frames/ by way of `output`: the `count` views nearest to the front at up to `most` moments of `motion`.

    `views[0]` is the photo and stays first. Heads keep their pose; expression and gaze are the motion's, from the photo's on.
    """
    head = fitted.head
    chosen = [views[i] for i in frontal_views(views, count)]
    moments = choose_moments(head, motion, most)
    weights, gaze = perform_before_camera(fitted, motion, moments)
    log.info(f"{len(chosen)} views at {len(moments)} of {len(motion)} frames of the motion")
    meshes = [pose_vertices(head, fitted.shape, *pose, fitted.offsets) for pose in zip(weights, gaze, strict=True)]
    still = (torch.zeros(len(moments), 3) for _ in range(3))  # neck, rotation, translation
    poses = HeadPoses(*(torch.from_numpy(part).float() for part in (weights, gaze)), *still)
    cameras = [view.camera for view in chosen]
    save_frames(output, head, poses, cameras, _drive(clean_mouth(fitted), chosen, meshes))


def perform_before_camera(fitted: FittedHead, motion: Motion, moments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Channels [n, 52] and gaze [n, 2, 2], rad, of a head that keeps the pose of its photo, at `moments` [n].

    A driver at rest looks where the photo looks, with the lids that go with it: most look at who takes it, and so they
    still do.
    """
    head = fitted.head
    weights = motion.expression_for(head.expression_names)[moments]
    weights = perform(head, fitted.shape, fitted.offsets, fitted.expression, weights)
    looks = [name.startswith("eyeLook") for name in head.expression_names]
    weights[:, looks] += fitted.expression[looks]
    return weights, motion.gaze[moments] + fitted.gaze


def frontal_views(views: list[View], count: int) -> list[int]:
    """Numbers of the photo and of the other views nearest to the front of the head."""
    ahead = [view.camera.centre / np.linalg.norm(view.camera.centre) for view in views]
    by_angle = sorted(range(1, len(views)), key=lambda i: -ahead[i][2])
    return [0, *by_angle[: count - 1]]


def choose_moments(head: HeadModel, motion: Motion, most: int) -> np.ndarray:
    """Up to `most` frames [n] whose faces differ most, in the order of time: the calmest, then always the farthest from all."""
    looked_at = np.unique(np.linspace(0, len(motion) - 1, MOST_COMPARED).astype(int))
    weights = torch.from_numpy(motion.expression_for(head.expression_names)[looked_at]).float()
    gaze = torch.from_numpy(motion.gaze[looked_at]).float()
    rest = head.landmarks(head.vertices())
    faces = [
        head.landmarks(head.vertices(None, *part)) - rest
        for part in zip(weights.split(64), gaze.split(64), strict=True)
    ]
    points = torch.cat(faces).flatten(1).numpy()
    chosen = [int((points**2).sum(1).argmin())]
    away = np.full(len(points), np.inf)
    while len(chosen) < min(most, len(points)):
        away = np.minimum(away, ((points - points[chosen[-1]]) ** 2).sum(1))
        if away.max() < SAME_M**2:
            break
        chosen.append(int(away.argmax()))
    return looked_at[np.sort(chosen)]


def _drive(fitted: FittedHead, views: list[View], meshes: list[np.ndarray]) -> Iterator[tuple[int, int, np.ndarray]]:
    """Moment, number of the view and picture [H, W, 4] of all, view by view."""
    source = fitted.vertices()
    moving = np.max([np.linalg.norm(mesh - source, axis=1) for mesh in meshes], axis=0) > STILL_M
    steps = iter(track(range(len(views) * len(meshes)), "driving views"))
    for number, view in enumerate(views):
        still = np.concatenate([view.rgb, view.alpha[..., None]], 2)
        window = _window(view, source, meshes, moving)
        warp = Warp(fitted, window.cut(view), source) if window else None
        for moment, mesh in enumerate(meshes):
            next(steps)
            picture = still.copy()
            if warp:
                picture[window.rows, window.columns] = warp(mesh)
            yield moment, number, picture
    next(steps, None)


def _window(view: View, source: np.ndarray, meshes: list[np.ndarray], moving: np.ndarray) -> Window | None:
    """Where the moving vertices [V] of all meshes are in the picture; None when nothing moves in it."""
    if not moving.any():
        return None
    places = np.concatenate([view.camera.project(mesh[moving])[:, :2] for mesh in [source, *meshes]])
    size = np.array([view.camera.width, view.camera.height])
    low = np.clip(np.floor(places.min(0)) - MARGIN_PX, 0, size).astype(int)
    high = np.clip(np.ceil(places.max(0)) + MARGIN_PX, 0, size).astype(int)
    if (high <= low).any():
        return None
    return Window(slice(low[1], high[1]), slice(low[0], high[0]))
