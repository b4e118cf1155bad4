"""What every morphable head can do: vertices from shape, expression and pose; landmarks; names.

Frame: metres, +Y up, +Z out of the face, +X to the subject's left, origin midway between the eyeballs of the mean head.
Rotations follow the right-hand rule, so positive yaw (about +Y) looks to the subject's left, positive pitch (about +X) down.
"""

import difflib
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from functools import cache

import numpy as np
import torch
from torch import Tensor

from facecraft.errors import InputError


class HeadModel(ABC):
    """A morphable head. B batch, K identity modes, D edits, V vertices, F faces, T texture vertices, J joints.

    Everything that is not a name is a tensor on one device; `to` gives a copy on another. Batches of 1 broadcast.
    """

    name: str
    digest: str  # sha256 of the model file
    licence: str

    template: Tensor  # [V, 3] mean head, m
    faces: Tensor  # [F, 3] long, counter-clockwise seen from outside
    uvs: Tensor  # [T, 2] in [0, 1], v up
    faces_uv: Tensor  # [F, 3] long, into uvs
    region_names: tuple[str, ...]
    face_regions: Tensor  # [F] long, into region_names
    vertex_regions: Tensor  # [V] long, into region_names
    mirror: Tensor  # [V] long, the vertex on the other side; itself on the midline
    shape_count: int  # K
    expression_names: tuple[str, ...]  # the 52 ARKit names
    edit_names: tuple[str, ...] = ()  # D directions of identity; 1 is the full strength of MakeHuman's slider
    edit_shapes: Tensor  # [D, K] standard deviations
    edit_offsets: Tensor  # [D, V, 3] m, what the modes leave of them
    joint_names: tuple[str, ...]
    joint_parents: tuple[int, ...]  # -1 for the root
    skin_weights: Tensor  # [V, J], rows sum to 1
    landmark_faces: Tensor  # [478] long, face of each MediaPipe landmark
    landmark_barycentrics: Tensor  # [478, 3]
    landmark_sigmas: Tensor  # [478] m, spread of the detector on frontal faces
    # how the detector errs on faces turned by up to 25 deg, as x right, y down in an upright picture, m at the head:
    # covariance = sum over r of f_r f_r^T + diag(s^2); measured by training/head_noise.py
    landmark_noise_factors: Tensor  # f [R, 478, 2]
    landmark_noise_sigmas: Tensor  # s [478, 2]
    landmark68_vertices: Tensor  # [68] long, iBUG order

    @abstractmethod
    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "HeadModel":
        """The same head with its tensors on `device`, its floating tensors as `dtype`; itself when nothing changes."""

    @abstractmethod
    def shaped(
        self,
        shape: Tensor | None = None,  # [B, K] in standard deviations
    ) -> tuple[Tensor, Tensor]:
        """Vertices [B, V, 3] and joints [B, J, 3] of a neutral, unposed identity, m."""

    @abstractmethod
    def vertices(
        self,
        shape: Tensor | None = None,  # [B, K] in standard deviations
        expression: Tensor | None = None,  # [B, 52] ARKit channels in [0, 1], order of expression_names
        gaze: Tensor | None = None,  # [B, 2, 2] left and right eye: yaw, pitch, rad; added to the eyeLook channels
        neck: Tensor | None = None,  # [B, 3] axis times angle, head against shoulders, rad
        offsets: Tensor | None = None,  # [B, V, 3] m, added to the shaped head before it is posed
    ) -> Tensor:
        """Posed vertices [B, V, 3], m; differentiable in every argument. None means zero."""

    @abstractmethod
    def lip_closure(
        self,
        shape: Tensor | None = None,  # [B, K] in standard deviations
        expression: Tensor | None = None,  # [B, 52]
        offsets: Tensor | None = None,  # [B, V, 3] m
    ) -> Tensor:
        """Weights [B] of mouthClose at which the lips of this identity touch, the other channels as they are; 0 where they do."""

    def faces_of(self, names: Collection[str]) -> Tensor:
        """Which faces [F] bool belong to regions called one of `names`; a head need not have them all."""
        return self._are_of(self.face_regions, names)

    def vertices_of(self, names: Collection[str]) -> Tensor:
        """Which vertices [V] bool belong to regions called one of `names`; a head need not have them all."""
        return self._are_of(self.vertex_regions, names)

    def _are_of(self, regions: Tensor, names: Collection[str]) -> Tensor:
        numbers = [number for number, name in enumerate(self.region_names) if name in names]
        return torch.isin(regions, torch.tensor(numbers, dtype=regions.dtype, device=regions.device))

    def landmarks(
        self,
        vertices: Tensor,  # [B, V, 3]
    ) -> Tensor:
        """MediaPipe's 478 points on the surface [B, 478, 3]."""
        corners = vertices[:, self.faces[self.landmark_faces]]
        return (corners * self.landmark_barycentrics[..., None]).sum(2)

    def edit(self, values: Mapping[str, float]) -> tuple[Tensor, Tensor]:
        """Shape [1, K] and offsets [1, V, 3], m, to add to those of a head that is to be older, heavier, longer-nosed.

        `values` by name of `edit_names`; linear, so minus takes back. InputError for a name that is not an edit.
        """
        shape = self.template.new_zeros(1, self.shape_count)
        offsets = torch.zeros_like(self.template)[None]
        for name, value in values.items():
            if name not in self.edit_names:
                known = f"use {', '.join(self.edit_names)}" if self.edit_names else "it has none"
                raise InputError(f"{name or 'nothing'} is not an edit of the {self.name} head; {known}")
            row = self.edit_names.index(name)
            shape = shape + float(value) * self.edit_shapes[row]
            offsets = offsets + float(value) * self.edit_offsets[row]
        return shape, offsets

    def expression_vector(self, values: Mapping[str, float]) -> Tensor:
        """Channels by name to [1, 52], the rest 0. InputError for a name that is not an ARKit channel."""
        vector = torch.zeros(1, len(self.expression_names), dtype=self.template.dtype, device=self.template.device)
        for channel, value in values.items():
            if channel not in self.expression_names:
                raise InputError(f"{channel} is not an expression channel; {self._near_names(channel)}")
            vector[0, self.expression_names.index(channel)] = float(value)
        return vector

    def _near_names(self, channel: str) -> str:
        by_lower = {name.lower(): name for name in self.expression_names}
        near = difflib.get_close_matches(channel.lower(), list(by_lower), n=3, cutoff=0.5)
        near += [lower for lower in by_lower if channel and channel.lower() in lower and lower not in near][:4]
        if not near:
            return "use ARKit names such as jawOpen, eyeBlinkLeft, mouthSmileRight"
        return "near names: " + ", ".join(by_lower[lower] for lower in near)


@cache
def load_head(name: str = "open") -> HeadModel:
    """The head called `name`, loaded once. InputError when there is none of that name."""
    if name != "open":
        raise InputError(f"head {name!r} is not known; the head that ships with facecraft is 'open'")
    from facecraft.head.open_head import OPEN_HEAD_FILE, OpenHead

    return OpenHead.load(OPEN_HEAD_FILE)


def rotations_from_axis_angles(
    vectors: Tensor,  # [..., 3] axis times angle, rad
) -> Tensor:
    """Rotation matrices [..., 3, 3] (Rodrigues); smooth through 0."""
    angles = torch.sqrt((vectors**2).sum(-1) + torch.finfo(vectors.dtype).tiny)[..., None, None]
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    # sinc keeps both factors and their derivatives finite at angle 0
    first = torch.sinc(angles / torch.pi)
    second = 0.5 * torch.sinc(angles / (2 * torch.pi)) ** 2
    return torch.eye(3, dtype=vectors.dtype, device=vectors.device) + first * cross + second * (cross @ cross)


def landmark_points(head: HeadModel, vertices: np.ndarray) -> np.ndarray:
    """`HeadModel.landmarks` of one head with `vertices` [V, 3] in numpy [478, 3], in double precision."""
    corners = vertices[head.faces[head.landmark_faces].numpy()]
    return np.einsum("lkd,lk->ld", corners, head.landmark_barycentrics.double().numpy())
