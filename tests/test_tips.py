"""Where long hair ends: found where it is painted, and hung over the back as low, not over the face."""

import numpy as np
import pytest
from photographed_head import CLOTH, HAIR, photograph

from facecraft.head.completion import LONG_NAPE
from facecraft.head.rays import azimuths
from facecraft.head.surface import locate_surface
from facecraft.head.tips import cover_back, find_tips, hang_hair


@pytest.fixture(scope="module")
def surface():
    true = photograph(0)
    return true.head, locate_surface(true.head, true.vertices, true.camera, 384)


def paint(head, surface, end, side=1):
    """Hair on the scalp, and before the shoulder of one side down to the height `end`; cloth below the neck."""
    y, around = surface.positions[:, 1], azimuths(surface.positions)
    albedo = np.where(y[:, None] < -0.05, CLOTH, HAIR)
    hangs = (y < -0.05) & (y > end) & (side * around > 0.5)
    albedo[hangs] = HAIR * np.linspace(0.8, 1.25, hangs.sum())[:, None]
    return albedo, (surface.facing > 0.2).astype(float)


@pytest.mark.parametrize("side", (1, -1))
@pytest.mark.parametrize("end", (-0.16, -0.19))
def test_hair_ends_where_it_is_painted(surface, end, side):
    assert find_tips(*surface, *paint(*surface, end, side)) == pytest.approx(end, abs=0.012)


@pytest.mark.parametrize("end", (0.0, -0.135))
def test_without_hair_over_the_shoulders_it_ends_at_the_nape(surface, end):
    assert find_tips(*surface, *paint(*surface, end)) == LONG_NAPE


def test_nothing_is_found_without_a_scalp_to_tell_the_colour(surface):
    albedo, seen = paint(*surface, -0.18)
    assert find_tips(*surface, albedo, seen * (surface[1].positions[:, 1] < 0)) == LONG_NAPE


def test_the_back_is_covered_down_to_the_end_and_the_front_is_not(surface):
    head, where = surface
    y, around = where.positions[:, 1], np.abs(azimuths(where.positions))
    skin = where.regions == head.region_names.index("scalp_neck")
    cover = cover_back(head, where, -0.17)
    back = skin & (around > 1.8) & (np.abs(where.positions[:, 0]) < 0.09)
    assert cover[back & (y < -0.09) & (y > -0.155)].min() > 0.9
    assert cover[y < -0.185].max() == 0 and cover[around < 1.1].max() == 0 and cover[y > -0.05].max() == 0
    assert cover[np.abs(where.positions[:, 0]) > 0.12].max() == 0
    assert not cover_back(head, where, LONG_NAPE).any()
    colours = np.where((y > -0.06)[:, None], HAIR, CLOTH)
    hung = hang_hair(head, where, colours, cover)
    assert np.allclose(hung[cover == 1], HAIR) and np.array_equal(hung[cover == 0], colours[cover == 0])
