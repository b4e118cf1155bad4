"""Shut lids hide the eyeballs: how much of them shines through, as a loss and as a measure.

Views with shut eyes are few, and in them a lid of the eyeball's brightness costs nothing when it is thin. So the eyes are also
drawn on their own, shut, with the eyeballs white and all else black: what is not black shines through. Only what lies in
front of the eyeballs can mend that, so the eyeballs themselves are held.
"""

from dataclasses import fields, replace

import numpy as np
import torch
from torch import Tensor

from facecraft.avatar import Avatar, render
from facecraft.camera import Camera, orbit_camera
from facecraft.splats.gaussians import Gaussians, rgb_to_dc
from facecraft.splats.rig import local_to_world

SHUT = {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}
EYEBALLS = ("eyeball_L", "eyeball_R")
AZIMUTHS_DEG = (0, -25, 25)
AROUND_M = 0.04  # what lies further from the line between the eyeballs does not hide them
PIXEL_M = 6e-4
WIDTH_PX, HEIGHT_PX = 176, 64  # both eyes
FREE_LEAK = 0.01  # costs nothing: seeds show this much; lids that must hide more grow and blur


class ShutLids:
    """The eyes of an avatar, as far as lids can hide them, from each of AZIMUTHS_DEG. The head must have EYEBALLS."""

    def __init__(self, avatar: Avatar):
        head = avatar.head
        self._faces, self._eyeballs = head.faces, head.faces_of(EYEBALLS)
        still, shut = (
            avatar.vertices(head.expression_vector(channels)[0], neck=avatar.neck).detach() for channels in ({}, SHUT)
        )
        self._shut = shut
        self._near, middle = self._surroundings()
        self._cameras = [_camera(avatar.camera, middle, azimuth) for azimuth in AZIMUTHS_DEG]
        with torch.no_grad():
            shown = [self._shown(avatar.gaussians, avatar.binding, still, camera) for camera in self._cameras]
        self._areas = [float(area) for area in shown]

    def leak(
        self,
        local: Gaussians,
        binding: Tensor,  # [N] long
        turn: int,  # of the cameras, counted round
    ) -> Tensor:
        """How much of the eyeballs shines through shut lids, over what the avatar's open eyes show of them: 0 is nothing.

        Differentiable in all Gaussians but those of the eyeballs.
        """
        turn %= len(self._cameras)
        return self._shown(local, binding, self._shut, self._cameras[turn]) / self._areas[turn]

    def _surroundings(self) -> tuple[Tensor, np.ndarray]:
        """Faces [F] bool around the eyes, and the point between the eyeballs [3], m."""
        centres = self._shut[self._faces].mean(1)
        balls = centres[self._eyeballs]
        left = balls[:, 0] > balls[:, 0].mean()
        start, end = balls[left].mean(0), balls[~left].mean(0)
        along = ((centres - start) @ (end - start) / (end - start).square().sum()).clamp(0, 1)
        near = (centres - start - along[:, None] * (end - start)).norm(dim=1) < AROUND_M
        return near, ((start + end) / 2).double().cpu().numpy()

    def _shown(self, local: Gaussians, binding: Tensor, vertices: Tensor, camera: Camera) -> Tensor:
        at = self._near[binding].nonzero()[:, 0]
        local, binding = local.select(at), binding[at]
        eyeballs = self._eyeballs[binding]
        world = local_to_world(_hold(local, eyeballs), binding, vertices, self._faces)
        return render(_marked(world, eyeballs), camera)[0][..., 0].sum()


def leaking_share(avatar: Avatar, size: int = 512) -> float:
    """How much of the eyeballs the avatar shows with shut eyes, over what it shows of them when neutral.

    Eyes look ahead; the camera is the source picture's, `size` px wide. All that hides the eyeballs counts. 0 when they are
    never seen.
    """
    head, camera = avatar.head, avatar.camera
    camera = camera.resized(size, round(size * camera.height / camera.width))
    eyeballs, shown = head.faces_of(EYEBALLS)[avatar.binding], []
    for channels in (SHUT, {}):
        posed = avatar.pose(head.expression_vector(channels)[0], neck=avatar.neck)
        with torch.no_grad():
            shown.append(float(render(_marked(posed, eyeballs), camera)[0][..., 0].sum()))
    return shown[0] / max(shown[1], 1e-6)


def _hold(gaussians: Gaussians, held: Tensor) -> Gaussians:
    """The same Gaussians; those `held` [N] bool get no gradient."""
    values = [getattr(gaussians, field.name) for field in fields(gaussians)]
    rows = [held.view(-1, *[1] * (value.ndim - 1)) for value in values]
    return Gaussians(*(torch.where(row, value.detach(), value) for row, value in zip(rows, values, strict=True)))


def _marked(gaussians: Gaussians, white: Tensor) -> Gaussians:
    """The same Gaussians, white where `white` [N] bool says so and black elsewhere."""
    return replace(gaussians, sh=rgb_to_dc(white.to(gaussians.sh)[:, None, None].expand(-1, 1, 3)))


def _camera(like: Camera, middle: np.ndarray, azimuth_deg: float) -> Camera:
    """Looks at both eyes from as far as `like` is."""
    distance = float(np.linalg.norm(like.centre - middle))
    focal = distance / PIXEL_M
    like = replace(like, width=WIDTH_PX, height=HEIGHT_PX, fx=focal, fy=focal)
    return orbit_camera(like, azimuth_deg, 0, middle, distance)
