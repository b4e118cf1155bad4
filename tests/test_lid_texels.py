from dataclasses import replace

import numpy as np
import pytest
from photographed_head import SKIN, photograph
from scipy.spatial import KDTree

from facecraft.head.fit import pose_vertices
from facecraft.head.lids import SHUT, eyeball_middles, rim_lines
from facecraft.head.texture import Texture, make_texture, render_textured
from facecraft.mesh.atlas import make_atlas

SHADOWED = SKIN * [0.75, 0.65, 0.8]  # the skin around the eyes
SIZE = 512


@pytest.fixture(scope="module")
def made_up():
    """A head with coloured skin around its eyes and black lashes over the lids, and the texture that its photo makes."""
    true = photograph(0, hair=False)
    head, faces = true.head, true.head.faces.numpy()
    atlas = make_atlas(head.uvs.numpy(), head.faces_uv.numpy(), SIZE)
    places = atlas.interpolate(head.template.double().numpy(), faces)
    face = head.face_regions.numpy()[atlas.faces] == head.region_names.index("face")
    around = face & (KDTree(eyeball_middles(head)).query(places)[0] < 0.032)
    upper, lower = (KDTree(rim.reshape(-1, 3)).query(places)[0] for rim in rim_lines(head, head.vertices()[0].numpy()))
    colours = np.where(around[:, None], SHADOWED, np.where(face[:, None], SKIN, [0.9, 0.9, 0.9]))
    lashes = face & (upper < 2.5e-3) & (upper < lower)
    painted = np.where(lashes[:, None], 0.08, colours)
    look = Texture(atlas.spread(painted), np.ones((SIZE, SIZE), np.float32), true.texture.light)
    image, alpha, _, _ = render_textured(head, true.vertices, look, true.camera)
    true = replace(true, image=image, alpha=alpha)
    texture = make_texture(head, true.vertices, true.camera, image, alpha, SIZE)
    clean = replace(look, albedo=atlas.spread(colours))
    return true, texture, clean


def pose_shut(true):
    """Vertices [V, 3] of the head with its eyes shut."""
    expression = true.head.expression_vector(SHUT)[0].numpy()
    return pose_vertices(true.head, true.shape, expression, np.zeros((2, 2)), true.offsets)


def shut_eyes(true, texture):
    """The picture with its eyes shut, and its pixels on the lids [n], and how high they are over the line where these meet, m."""
    head, shut = true.head, pose_shut(true)
    camera = true.camera.resized(2 * true.camera.width, 2 * true.camera.height)
    rgb, alpha, _, _ = render_textured(head, shut, texture, camera)
    upper, lower = camera.project(rim_lines(head, shut).reshape(-1, 3))[:, :2].reshape(2, -1, 2)
    middle = (upper + lower) / 2
    pixels = np.stack(np.meshgrid(np.arange(camera.width), np.arange(camera.height)), 2) + 0.5
    away, nearest = KDTree(middle).query(pixels)
    central = (nearest % 48 > 10) & (nearest % 48 < 37)
    rise = (middle[nearest, 1] - pixels[..., 1]) * camera.project(np.zeros((1, 3)))[0, 2] / camera.fx
    return rgb, central & (np.abs(rise) < 0.012), rise


def test_a_shut_lid_has_the_colour_of_the_skin_around_the_eye(made_up):
    true, texture, clean = made_up
    rgb, lids, rise = shut_eyes(true, texture.for_shut_eyes())
    truth = shut_eyes(true, clean)[0]
    lid = lids & (rise > 0.003) & (rise < 0.009)
    assert lid.sum() > 100
    assert np.abs(rgb - truth)[lid].mean() < 0.015


def test_shut_lids_meet_in_a_dark_line(made_up):
    true, texture, clean = made_up
    rgb, lids, rise = shut_eyes(true, texture.for_shut_eyes())
    profile = [rgb[lids & (np.abs(rise - at) < 5e-4)].mean() for at in np.arange(-4, 9) * 1e-3]
    assert abs(np.argmin(profile) - 4) <= 1 and min(profile) < 0.6 * profile[9]


def test_open_eyes_wear_the_lashes_of_the_photo(made_up):
    true, texture, clean = made_up
    bare = render_textured(true.head, true.vertices, clean, true.camera)[0]
    lashes = (true.alpha > 0.9) & (np.abs(bare - true.image).mean(2) > 0.2)
    assert lashes.sum() > 50
    off, off_shut = (
        np.abs(render_textured(true.head, true.vertices, look, true.camera)[0] - true.image)[lashes].mean()
        for look in (texture, texture.for_shut_eyes())
    )
    assert off < 0.1 < off_shut
