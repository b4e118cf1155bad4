import numpy as np
from photographed_head import SKIN, photograph

from facecraft.head.texture import make_texture

FOREHEAD = 151  # MediaPipe's landmark in the middle of the forehead


def forehead_colours(brightness: float, radius_px: float):
    """Albedo [3] in the middle and beside a round patch on the forehead that adds `brightness` to all channels."""
    true = photograph(0)
    middle = true.landmarks[FOREHEAD, :2]
    y, x = np.mgrid[: true.camera.height, : true.camera.width] + 0.5
    blob = np.exp(-0.5 * ((x - middle[0]) ** 2 + (y - middle[1]) ** 2) / radius_px**2)
    image = np.clip(true.image + brightness * blob[..., None], 0, 1)
    texture = make_texture(true.head, true.vertices, true.camera, image, true.alpha, 256)
    uvs = true.head.uvs.numpy()[true.head.faces_uv.numpy()[true.head.landmark_faces.numpy()[FOREHEAD]]].mean(0)
    row, column = int((1 - uvs[1]) * 256), int(uvs[0] * 256)
    return texture.albedo[row, column], texture.albedo[row, column + 28]


def test_a_highlight_leaves_the_skin():
    plain, _ = forehead_colours(0.0, 5)
    middle, _ = forehead_colours(0.2, 5)
    assert np.abs(middle - plain).max() < 0.07  # 0.2 was added


def test_skin_without_a_highlight_keeps_its_colour():
    middle, beside = forehead_colours(0.0, 5)
    assert np.abs(middle / middle.mean() - SKIN / SKIN.mean()).max() < 0.03
    assert np.abs(middle - beside).max() < 0.05


def test_a_dark_mole_stays():
    plain, _ = forehead_colours(0.0, 5)
    mole, _ = forehead_colours(-0.3, 5)
    assert (plain - mole).min() > 0.2
