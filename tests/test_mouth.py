from dataclasses import replace

import numpy as np
import pytest
import torch
from photographed_head import SKIN, photograph

from facecraft.head.fit import LandmarkFit, pose_vertices
from facecraft.head.model import load_head
from facecraft.head.mouth import LOWER_LIP, UPPER_LIP, fit_teeth, shut_lips
from facecraft.head.scene import Photo
from facecraft.mesh.raster import rasterize_mesh

TOOTH, CAVITY, LONGER = 0.8, 0.05, 2.5e-3
SIZE = 512


def lacking(head, fit) -> float:
    """How much of mouthClose the lips lack until they touch."""
    shape, expression = (torch.as_tensor(part, dtype=torch.float32)[None] for part in (fit.shape, fit.expression))
    return float(head.lip_closure(shape, expression)[0]) - fit.expression[head.expression_names.index("mouthClose")]


@pytest.fixture(scope="module")
def ajar():
    """A head whose lips are 0.7 mm apart, and a photo in which they touch."""
    true = photograph(0)
    expression = true.head.expression_vector({"jawOpen": 0.02})[0].numpy()
    fit = LandmarkFit(true.camera, 0 * true.shape, expression, np.zeros((2, 2)), np.zeros(478), 0)
    landmarks = true.landmarks.copy()
    landmarks[list(LOWER_LIP)] = landmarks[list(UPPER_LIP)]
    return true.head, fit, Photo(true.image, true.alpha, landmarks)


def test_lips_that_touch_in_the_photo_touch(ajar):
    head, fit, photo = ajar
    assert 0.005 < lacking(head, fit) < 0.06
    assert abs(lacking(head, shut_lips(head, fit, photo))) < 1e-5


def test_lips_that_are_apart_or_covered_or_far_from_closed_stay(ajar):
    head, fit, photo = ajar
    apart = photo.landmarks.copy()
    apart[list(LOWER_LIP), 1] += 3
    assert shut_lips(head, fit, replace(photo, landmarks=apart)) is fit
    assert shut_lips(head, fit, replace(photo, hidden=(13,))) is fit
    wide = replace(fit, expression=head.expression_vector({"jawOpen": 0.5})[0].numpy())
    assert shut_lips(head, wide, photo) is wide


def smile(longer_m: float, tooth: float, jaw: float = 0.2):
    """A head that smiles in front of a camera, and its picture with longer teeth of some brightness."""
    head, true = load_head(), photograph(0)
    channels = {"jawOpen": jaw, "mouthSmileLeft": 0.7, "mouthSmileRight": 0.7} if jaw else {}
    expression = head.expression_vector(channels)[0].numpy()
    upper = head.vertices_of(("teeth_upper",)).numpy()
    height = head.template.double().numpy()[:, 1]
    offsets = np.zeros(head.template.shape)
    offsets[upper, 1] = -longer_m * (height[upper].max() - height[upper]) / np.ptp(height[upper])
    camera = true.camera.resized(SIZE, SIZE)
    shown, real = (pose_vertices(head, true.shape, expression, np.zeros((2, 2)), part) for part in (None, offsets))
    buffers = rasterize_mesh(camera.project(real), head.faces.numpy(), SIZE, SIZE)
    colours = np.full((len(head.region_names), 3), CAVITY)
    colours[head.region_names.index("face")] = SKIN
    colours[[head.region_names.index(name) for name in ("teeth_upper", "teeth_lower")]] = tooth
    image = np.where(buffers.mask[..., None], colours[head.face_regions.numpy()[buffers.face_ids]], 1)
    return head, shown, camera, image, offsets


def test_teeth_are_drawn_down_to_where_those_of_the_photo_end():
    head, shown, camera, image, true = smile(LONGER, TOOTH)
    found = fit_teeth(head, shown, camera, image)
    assert np.abs(found - true).max() < 0.8e-3
    assert not found[~head.vertices_of(("teeth_upper",)).numpy()].any()


@pytest.mark.parametrize(("longer", "tooth", "jaw"), [(0.0, TOOTH, 0.2), (LONGER, 0.1, 0.2), (LONGER, TOOTH, 0.0)])
def test_teeth_that_fit_or_are_not_seen_stay(longer, tooth, jaw):
    head, shown, camera, image, _ = smile(longer, tooth, jaw)
    assert np.abs(fit_teeth(head, shown, camera, image)).max() < 0.5e-3
