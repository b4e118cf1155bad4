from copy import copy

import numpy as np
import pytest

from facecraft.head.model import load_head
from facecraft.head.teeth import MOST_M, close_gaps
from facecraft.mesh.raster import rasterize_mesh

PIXEL_M, FRONT_M = 1e-4, 0.012
CROWN = 0.1, 0.45  # of a tooth's height from its tip, what a smile shows of it


def dark_share(head, region: str, up: int, vertices: np.ndarray) -> float:
    """How much of the crowns of front teeth, seen alone from the front, is no tooth."""
    faces = head.faces.numpy()[head.faces_of((region,)).numpy()]
    height = up * vertices[faces, 1]
    front = height[np.abs(vertices[faces, 0]).max(1) < FRONT_M]
    low, high = (front.max() - share * np.ptp(front) for share in CROWN[::-1])
    pixels = np.stack([vertices[:, 0] + FRONT_M, high - up * vertices[:, 1], 2 - vertices[:, 2]], 1) / PIXEL_M
    return 1 - rasterize_mesh(pixels, faces, round((high - low) / PIXEL_M), round(2 * FRONT_M / PIXEL_M)).mask.mean()


@pytest.mark.parametrize(("region", "up"), [("teeth_upper", -1), ("teeth_lower", 1)])
def test_front_teeth_touch(region, up):
    head = load_head()
    template = head.template.double().numpy()
    before, after = (dark_share(head, region, up, v) for v in (template, template + close_gaps(head)))
    assert after < 0.3 * before


def test_only_teeth_move_as_much_on_either_side():
    head = load_head()
    offsets = close_gaps(head)
    teeth = head.vertices_of(("teeth_upper", "teeth_lower")).numpy()
    assert not offsets[~teeth].any() and np.abs(offsets[teeth]).max() <= MOST_M
    assert np.abs(offsets[head.mirror.numpy()] * [-1, 1, 1] - offsets).max() < 1e-5


def test_a_head_without_teeth_stays():
    toothless = copy(load_head())
    toothless.region_names = tuple(name.replace("teeth", "gums") for name in toothless.region_names)
    assert not close_gaps.__wrapped__(toothless).any()
