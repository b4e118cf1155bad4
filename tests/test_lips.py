from dataclasses import replace

import numpy as np
import pytest
import torch
from photographed_head import photograph

from facecraft.head.fit import LandmarkFit
from facecraft.head.lips import LIPS, LOWER_LIP, OUTER_LIPS, UPPER_LIP, settle_lips
from facecraft.head.model import landmark_points
from facecraft.head.scene import Photo


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
    assert abs(lacking(head, settle_lips(head, fit, photo))) < 1e-5


def test_lips_that_are_covered_or_far_from_closed_stay(ajar):
    head, fit, photo = ajar
    assert settle_lips(head, fit, replace(photo, hidden=(13,))) is fit
    wide = replace(fit, expression=head.expression_vector({"jawOpen": 0.5})[0].numpy())
    assert settle_lips(head, wide, photo) is wide


def test_lips_that_are_apart_come_to_where_the_photo_has_them():
    true, mouth = photograph(0), list(LIPS + OUTER_LIPS)
    gaze, errors = np.zeros((2, 2)), np.zeros(478)
    closed = true.head.expression_vector({"mouthSmileLeft": 0.3, "browInnerUp": 0.4})[0].numpy()
    fit = LandmarkFit(true.camera, true.shape, closed, gaze, errors, 0)
    settled = settle_lips(true.head, fit, Photo(true.image, true.alpha, true.landmarks))
    places = [true.camera.project(landmark_points(true.head, f.vertices(true.head)))[mouth] for f in (fit, settled)]
    before, after = (np.linalg.norm((p - true.landmarks[mouth])[:, :2], axis=1).mean() for p in places)
    assert after < 0.1 * before
    names = true.head.expression_names
    still = [i for i, name in enumerate(names) if not name.startswith(("jaw", "mouth"))]
    assert np.array_equal(settled.expression[still], closed[still])
    assert (settled.expression >= 0).all() and (settled.expression <= 1).all()
    assert settled.expression[names.index("jawOpen")] > 0.15  # 0.25 in the photo


def test_lips_are_where_teeth_and_lips_meet_around_the_whole_mouth():
    head = photograph(0).head
    rest = head.landmarks(head.template[None])[0].numpy()
    ring = rest[list(LIPS)]
    assert (np.linalg.norm(ring - np.roll(ring, 1, 0), axis=1) < 0.012).all()  # each beside the next
    outer = rest[list(OUTER_LIPS)]
    assert np.ptp(outer[:, 1]) > np.ptp(ring[:, 1]) and not set(LIPS) & set(OUTER_LIPS)
