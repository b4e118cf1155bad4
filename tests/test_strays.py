from dataclasses import replace

import numpy as np
import pytest
from photographed_head import MARK, SKIN, photograph

from facecraft.head.ears import ear_vertices
from facecraft.head.strays import find_strays, hollow_ears
from facecraft.head.surface import locate_surface
from facecraft.head.texture import make_texture
from facecraft.mesh.atlas import sample_pixels

SIZE = 256


@pytest.fixture(scope="module")
def bald():
    return photograph(0, hair=False)


def look(true):
    surface = locate_surface(true.head, true.vertices, true.camera, SIZE)
    return surface, sample_pixels(true.image, surface.pixels), (surface.facing > 0.3).astype(float)


def rest_points(true, surface):
    return surface.atlas.interpolate(true.head.template.double().numpy(), true.head.faces.numpy())


def with_something_beside_the_left_cheek(true):
    """The photo with the outer 4 mm of the left cheek in another colour, as if the cheek ended before them."""
    surface, *_ = look(true)
    points = rest_points(true, surface)
    cheek = (points[:, 0] > 0.03) & (points[:, 1] > -0.07) & (points[:, 1] < -0.02) & (points[:, 2] > -0.05)
    edge = surface.pixels[cheek & (surface.facing > 0.3), 0].max()
    rows = surface.pixels[cheek, 1].astype(int)
    image = true.image.copy()
    margin = round(4e-3 * true.camera.fx / true.camera.T_camera_world[2, 3])
    image[rows.min() : rows.max(), int(edge) - margin :] = MARK
    return replace(true, image=image)


def test_a_face_that_fits_shows_nothing_else(bald):
    surface, photo, weight = look(bald)
    strays, bare = find_strays(bald.head, bald.vertices, surface, photo, weight)
    assert strays.mean() < 0.01
    assert bare[ear_vertices(bald.head, 1)].all() and bare[ear_vertices(bald.head, -1)].all()


def test_what_lies_beside_a_cheek_does_not_colour_it(bald):
    marked = with_something_beside_the_left_cheek(bald)
    texture = make_texture(marked.head, marked.vertices, marked.camera, marked.image, marked.alpha, SIZE)
    surface, *_ = look(bald)
    points = rest_points(bald, surface)
    side = (points[:, 0] > 0.05) & (points[:, 1] > -0.06) & (points[:, 1] < -0.03) & (points[:, 2] > -0.05)
    side &= (points[:, 2] < -0.01) & (surface.regions == bald.head.region_names.index("face"))
    albedo = texture.albedo[surface.atlas.rows, surface.atlas.columns][side]
    assert side.sum() > 50
    assert (np.linalg.norm(albedo - SKIN, axis=1) < np.linalg.norm(albedo - MARK, axis=1)).mean() > 0.97


def test_ears_under_hair_are_not_bare(bald):
    surface, photo, weight = look(bald)
    ears = ear_vertices(bald.head, 1) | ear_vertices(bald.head, -1)
    on_ears = surface.atlas.interpolate(ears[:, None].astype(float), bald.head.faces.numpy())[:, 0] > 0
    _, bare = find_strays(bald.head, bald.vertices, surface, np.where(on_ears[:, None], MARK, photo), weight)
    assert not bare.any()


def test_only_bare_ears_get_shadows_in_their_hollows(bald):
    surface, *_ = look(bald)
    left = ear_vertices(bald.head, 1)
    brightness = hollow_ears(bald.head, bald.vertices, surface, left)
    points = rest_points(bald, surface)
    assert (brightness[points[:, 0] < 0] == 1).all()
    assert brightness.min() < 0.85 and brightness.max() <= 1.15
