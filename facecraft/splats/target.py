"""What training compares with: pictures over black and white, made ready when they are first drawn."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from facecraft.camera import Camera
from facecraft.splats.loss import PhotometricTarget
from facecraft.splats.structure import gradient_pyramid, luma
from facecraft.views import View

_READY = 64
"""Targets kept ready: at 384 px one takes 6 MiB, at 512 px 11 MiB."""


@dataclass(frozen=True, eq=False)
class Shot:
    """One picture to train on. `view` numbers its inconsistent component, `timestep` the head's pose (None: static)."""

    camera: Camera
    kind: str  # "photo" or "texture"
    view: int
    read: Callable[[], tuple[np.ndarray, np.ndarray]]  # straight colours [H, W, 3] and alpha [H, W]
    expression: dict[str, float] | None = None
    timestep: int | None = None


@dataclass(frozen=True)
class Target:
    """A shot over one background, on the device."""

    viewmat: Tensor  # [1, 4, 4]
    K: Tensor  # [1, 3, 3]
    alpha: Tensor  # [H, W, 1]
    picture: PhotometricTarget  # [H, W, 3]
    gradients: list[Tensor]


def shot_of(view: View, number: int) -> Shot:
    """The shot of a view in memory."""
    return Shot(view.camera, view.kind, number, lambda: (view.rgb, view.alpha), view.expression)


def target_maker(device: torch.device) -> Callable[[Shot, int], Target]:
    """A function from a shot and a background (0 black, 1 white) to its target; it remembers the last ones."""

    @lru_cache(_READY)
    def make(shot: Shot, side: int) -> Target:
        def tensor(array):
            return torch.as_tensor(np.ascontiguousarray(array), dtype=torch.float32, device=device)

        rgb, alpha = shot.read()
        alpha = tensor(alpha)[..., None]
        picture = (tensor(rgb) * alpha + side * (1 - alpha)).contiguous()
        pose, K = tensor(shot.camera.T_camera_world)[None], tensor(shot.camera.K)[None]
        return Target(pose, K, alpha, PhotometricTarget(picture), gradient_pyramid(luma(picture)))

    return make
