"""A head with FLAME's counts and parameters, but a made shape; for tests of what only FLAME avatars can do."""

import numpy as np
import torch

from facecraft.avatar import Avatar
from facecraft.camera import Camera, look_at
from facecraft.drive import ARKIT_NAMES
from facecraft.head.model import HeadModel, rotations_from_axis_angles
from facecraft.splats.gaussians import Gaussians

VERTICES, FACES = 5143, 10144


class FlameLikeHead(HeadModel):
    """A wrinkled sphere: identity swells it, the first channel opens it along y, the neck turns it about the origin."""

    name, digest, licence = "flame-like", "0" * 64, "made for tests"
    shape_count, expression_names = 300, ARKIT_NAMES
    joint_names, joint_parents = ("root", "neck", "jaw", "eye_L", "eye_R"), (-1, 0, 1, 1, 1)

    def __init__(self):
        draw = np.random.default_rng(5)
        points = draw.standard_normal((VERTICES, 3))
        self.template = torch.from_numpy(0.1 * points / np.linalg.norm(points, axis=1, keepdims=True)).float()
        corners = [draw.choice(VERTICES, 3, replace=False) for _ in range(FACES)]
        self.faces = torch.from_numpy(np.stack(corners)).long()

    def to(self, device=None, dtype=None):
        return self

    def shaped(self, shape=None):
        return self.template[None], torch.zeros(1, 5, 3)

    def vertices(self, shape=None, expression=None, gaze=None, neck=None, offsets=None):
        swell = 1 if shape is None else 1 + 0.1 * shape[:, :1, None]
        posed = self.template[None] * swell + (0 if offsets is None else offsets)
        if expression is not None:
            posed = posed + expression[:, :1, None] * self.template * torch.tensor([0, 0.2, 0])
        return posed if neck is None else posed @ rotations_from_axis_angles(neck).mT

    def lip_closure(self, shape=None, expression=None, offsets=None):
        return torch.zeros(1 if expression is None else len(expression))  # it has no mouth

    def flame_parameters(self, shape, offsets, expression, gaze, neck):
        named = {
            **{
                "shape": shape,
                "expr": torch.nn.functional.pad(expression, (0, 48))[None],
                "rotation": torch.zeros(1, 3),
            },
            **{
                "neck_pose": neck[None],
                "jaw_pose": torch.zeros(1, 3),
                "eyes_pose": gaze.flip(1).flatten().repeat(2)[None, :6],
            },
            **{"translation": torch.zeros(1, 3), "static_offset": offsets[None]},
        }
        return named | {"dynamic_offset": torch.zeros(1, VERTICES, 3)}


def pose_flame(head: FlameLikeHead, parameters: dict[str, np.ndarray]) -> torch.Tensor:
    """What FLAME does with the parameters of a bundle, for the made head: vertices [V, 3] of the first timestep."""
    given = {name: torch.from_numpy(values) for name, values in parameters.items()}
    offsets = given["static_offset"] + given["dynamic_offset"][:1]
    expression, neck = given["expr"][:1, : len(ARKIT_NAMES)], given["neck_pose"][:1]
    return head.vertices(given["shape"][None], expression, None, neck, offsets)[0]


def flame_like_avatar(count: int = 400) -> Avatar:
    head = FlameLikeHead()
    draw = torch.Generator().manual_seed(2)
    shapes = (count, 3), (count, 4), (count, 3), (count,), (count, 1, 3)
    gaussians = Gaussians(*(torch.randn(shape, generator=draw) for shape in shapes))
    camera = Camera(64, 64, 200.0, 200.0, 32.0, 32.0, look_at(np.array([0, 0, 1.0]), np.zeros(3)))
    offsets = 1e-3 * torch.randn(head.template.shape, generator=draw)
    shape, expression = torch.randn(300, generator=draw), torch.zeros(len(ARKIT_NAMES))
    binding = torch.randint(FACES, (count,), generator=draw)
    return Avatar(head, shape, offsets, expression, torch.zeros(2, 2), torch.zeros(3), binding, gaussians, camera)
