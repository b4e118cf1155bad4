"""An avatar without training: one Gaussian on each triangle of the open head, coloured by region; for tests."""

from functools import cache

import numpy as np
import torch

from facecraft.avatar import Avatar
from facecraft.camera import Camera, look_at
from facecraft.head.model import load_head
from facecraft.splats.gaussians import Gaussians, rgb_to_dc

COLOURS = {
    "face": (0.8, 0.6, 0.5),
    "scalp_neck": (0.3, 0.2, 0.15),
    "eyeball_L": (0.0, 0.0, 1.0),
    "eyeball_R": (0.0, 1.0, 0.0),
    "teeth_upper": (1.0, 1.0, 1.0),
    "teeth_lower": (1.0, 1.0, 1.0),
    "tongue": (1.0, 0.0, 0.0),
}


@cache
def region_avatar() -> Avatar:
    head = load_head()
    count = len(head.faces)
    rgb = torch.tensor([COLOURS.get(head.region_names[region], (0.5, 0.2, 0.2)) for region in head.face_regions])
    flat = torch.tensor([0.35, 0.05, 0.35]).log()  # thin along the normal, the second axis of the triangle's frame
    upright = torch.tensor([1.0, 0, 0, 0])
    gaussians = Gaussians(
        torch.zeros(count, 3),
        upright.repeat(count, 1),
        flat.repeat(count, 1),
        torch.full((count,), 4.0),
        rgb_to_dc(rgb)[:, None],
    )
    camera = Camera(96, 128, 300.0, 300.0, 48.0, 64.0, look_at(np.array([0, 0, 1.0]), np.array([0, -0.03, 0])))
    smile = head.expression_vector({"mouthSmileLeft": 0.5, "mouthSmileRight": 0.5})[0]
    shape, offsets = torch.zeros(head.shape_count), torch.zeros_like(head.template)
    pose = smile, torch.tensor([[0.1, 0.0], [0.1, 0.0]]), torch.tensor([0.0, 0.05, 0.0])
    return Avatar(head, shape, offsets, *pose, torch.arange(count), gaussians, camera, {"made": "for tests"})
