import numpy as np
import pytest
from photographed_head import CLOTH, HAIR, SKIN, photograph

from facecraft.head.collar import find_collar, resembles
from facecraft.head.fit import pose_vertices
from facecraft.head.hair import has_long_hair
from facecraft.head.rays import FOOT, azimuths
from facecraft.head.surface import locate_surface
from facecraft.head.texture import make_texture
from facecraft.mesh.atlas import make_atlas, sample_pixels

COLLAR = -0.13
SIZE = 512


@pytest.fixture(scope="module")
def dressed():
    return photograph(0, collar=COLLAR, size=400)


def seen_surface(true):
    surface = locate_surface(true.head, true.vertices, true.camera, SIZE)
    return surface, sample_pixels(true.image, surface.pixels), (surface.facing > 0.4).astype(float)


def test_the_collar_is_found_where_it_is(dressed):
    surface, photo, seen = seen_surface(dressed)
    collar = find_collar(dressed.head, surface, photo, seen)
    template = surface.atlas.interpolate(dressed.head.template.double().numpy(), dressed.head.faces.numpy())
    error = np.abs(template[:, 1] - COLLAR)
    neck = (seen > 0) & (np.abs(template[:, 0]) < 0.05) & (template[:, 2] < -0.01) & (error > 0.005) & (error < 0.02)
    found = collar.covers(surface.positions[neck]) > 0.5
    assert neck.sum() > 200
    assert ((template[neck, 1] < COLLAR) == found).mean() > 0.9
    assert collar.skin == pytest.approx(np.median(photo[(seen > 0) & (surface.positions[:, 1] > -0.05)], 0), abs=0.1)


def test_the_collar_goes_on_where_the_photo_shows_only_cloth(dressed):
    surface, photo, seen = seen_surface(dressed)
    aside = np.abs(azimuths(surface.positions)) > np.radians(70)
    low = surface.positions[:, 1] < COLLAR - 0.03
    collar = find_collar(dressed.head, surface, photo, seen * (~aside | low))
    assert (surface.positions[aside & low & (seen > 0), 1] > COLLAR - 0.05).sum() > 50
    angles = np.radians([-90, -80, 80, 90])
    points = np.stack([FOOT[0] + 0.06 * np.sin(angles), np.full(4, COLLAR), FOOT[2] + 0.06 * np.cos(angles)], 1)
    assert (np.abs(collar.rise(points)) < 0.015).all()


def test_bare_shoulders_have_no_collar():
    bare = photograph(0)
    assert find_collar(bare.head, *seen_surface(bare)) is None


def test_the_hidden_neck_is_skin_above_cloth(dressed):
    texture = make_texture(dressed.head, dressed.vertices, dressed.camera, dressed.image, dressed.alpha, SIZE)
    atlas = make_atlas(dressed.head.uvs.numpy(), dressed.head.faces_uv.numpy(), SIZE)
    points = atlas.interpolate(dressed.vertices, dressed.head.faces.numpy())
    albedo = texture.albedo[atlas.rows, atlas.columns]
    hidden = texture.seen[atlas.rows, atlas.columns] < 0.05
    back = hidden & (points[:, 2] < -0.12) & (np.abs(points[:, 0]) < 0.04)
    levels = ((-0.02, 0.03, HAIR), (-0.09, -0.065, SKIN), (-0.18, -0.12, CLOTH))
    for low, high, colour in levels:
        here = albedo[back & (points[:, 1] > low) & (points[:, 1] < high)]
        assert len(here) > 50
        distances = [np.linalg.norm(here.mean(0) - other) for other in (HAIR, SKIN, CLOTH)]
        assert np.linalg.norm(here.mean(0) - colour) == min(distances) < 0.12


def test_skin_is_told_from_cloth_at_any_brightness():
    colours = np.stack([0.6 * SKIN, SKIN, 1.2 * SKIN, CLOTH, np.ones(3), np.zeros(3)])
    assert resembles(colours, SKIN).tolist() == [True, True, True, False, False, False]


def test_hair_beside_the_mouth_covers_the_neck_and_a_suit_does_not(dressed):
    bald = pose_vertices(dressed.head, dressed.shape, dressed.expression, np.zeros((2, 2)))
    assert not has_long_hair(dressed.head, bald, dressed.camera, dressed.alpha)
    h, w = dressed.alpha.shape
    top, bottom = dressed.camera.project(np.array([[0, 0.05, -0.05], [0, -0.12, -0.05]]))[:, 1].astype(int)
    left, right = dressed.camera.project(np.array([[-0.11, 0, -0.05], [0.11, 0, -0.05]]))[:, 0].astype(int)
    curtain = np.zeros((h, w))
    curtain[top:bottom, left:right] = 1
    assert has_long_hair(dressed.head, bald, dressed.camera, np.maximum(dressed.alpha, curtain))
    one_side = np.where(np.arange(w) < w / 2, curtain, 0)
    assert not has_long_hair(dressed.head, bald, dressed.camera, np.maximum(dressed.alpha, one_side))
    mouth = dressed.camera.project(np.array([[0, -0.042, -0.05]]))[0, 1]
    for height in (mouth, bottom):  # shoulders of a head that is bent down, and of others
        low = np.where(np.arange(h)[:, None] > height, 1.0, 0.0)
        assert not has_long_hair(dressed.head, bald, dressed.camera, np.maximum(dressed.alpha, low))


@pytest.mark.parametrize(("yaw", "side"), [(30, 1), (-30, -1)])
def test_one_side_tells_of_the_hair_of_a_turned_head(yaw, side):
    turned = photograph(yaw)
    bald = pose_vertices(turned.head, turned.shape, turned.expression, np.zeros((2, 2)))
    places = [[side * 0.09, 0.05, -0.09], [side * 0.09, -0.12, -0.09]]
    (x, top), (_, bottom) = turned.camera.project(np.array(places))[:, :2].astype(int)
    h, w = turned.alpha.shape
    rows, columns = np.mgrid[:h, :w]
    for middle, found in ((x, True), (w - x, False)):
        strands = (np.abs(columns - middle) < 20) & (rows > top) & (rows < bottom)
        assert has_long_hair(turned.head, bald, turned.camera, np.maximum(turned.alpha, strands)) == found


def test_long_hair_covers_the_back_of_the_neck(dressed):
    args = dressed.head, dressed.vertices, dressed.camera, dressed.image, dressed.alpha, SIZE
    atlas = make_atlas(dressed.head.uvs.numpy(), dressed.head.faces_uv.numpy(), SIZE)
    points = atlas.interpolate(dressed.vertices, dressed.head.faces.numpy())
    nape = (points[:, 2] < -0.12) & (np.abs(points[:, 0]) < 0.04) & (points[:, 1] < -0.07) & (points[:, 1] > -0.1)
    short, long = (
        make_texture(*args, long_hair=long).albedo[atlas.rows, atlas.columns][nape] for long in (False, True)
    )
    for colours, like, unlike in ((short, SKIN, HAIR), (long, HAIR, SKIN)):
        assert np.linalg.norm(colours.mean(0) - like) < np.linalg.norm(colours.mean(0) - unlike)
