"""The iris network in numpy against torch, where it finds drawn irises, and the patches that it sees."""

import numpy as np
import pytest
import torch

from facecraft.errors import InputError
from facecraft.face import heat, irises
from facecraft.face.heat import cut_patches, find_points
from facecraft.face.irises import EYES, IRISES, PATCH, eye_frames, settle_irises

SIZE = 300


@pytest.mark.parametrize("stride", [1, 2])
def test_a_layer_is_that_of_torch(stride):
    rng = np.random.default_rng(0)
    x, weight, bias = rng.normal(size=(2, 6, 8, 3)), rng.normal(size=(5, 3, 3, 3)), rng.normal(size=5)
    ours = heat._convolve(x, weight, bias, stride)
    tensors = (torch.from_numpy(a) for a in (x.transpose(0, 3, 1, 2), weight, bias))
    theirs = torch.nn.functional.conv2d(*tensors, stride, 1).numpy().transpose(0, 2, 3, 1)
    assert np.allclose(ours, theirs, atol=1e-12)


def test_twice_the_size_is_that_of_torch():
    x = np.random.default_rng(1).normal(size=(2, 3, 5, 4))
    theirs = torch.nn.functional.interpolate(torch.from_numpy(x.transpose(0, 3, 1, 2)), scale_factor=2, mode="bilinear")
    assert np.allclose(heat._enlarge(x), theirs.numpy().transpose(0, 2, 3, 1), atol=1e-12)


@pytest.mark.parametrize(("step", "side", "turn"), [(0.5, 1, 0.1), (1.0, -1, -0.2), (1.6, 1, 0.0)])
def test_a_place_in_a_patch_is_that_in_the_picture(step, side, turn):
    """Places count from the corner of the first pixel, in patches as in pictures."""
    spot = np.array([61.3, 58.8])
    y, x = np.mgrid[:120, :120] + 0.5
    picture = np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / 8)[..., None].repeat(3, 2)
    turned = step * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.diag([side, 1.0])
    frame = np.column_stack([turned, spot + [3, -2] - turned @ [32, 24]])
    patch = cut_patches(picture, frame[None], PATCH)[0, ..., 0].astype(float)
    v, u = np.mgrid[: PATCH[0], : PATCH[1]] + 0.5
    found = frame @ [(patch * u).sum() / patch.sum(), (patch * v).sum() / patch.sum(), 1]
    assert np.abs(found - spot).max() < 0.02


def drawn_eyes(gaze: np.ndarray, mirrored: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A picture of two eyes with brown irises off the middle by `gaze` [2] px, its landmarks [478, 3] with irises in the
    middle, and the true places [2, 2]."""
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    picture = np.tile(np.array([0.8, 0.6, 0.5]), (SIZE, SIZE, 1))
    landmarks, truth = np.zeros((478, 3)), []
    for (outer, inner, upper, lower), part, middle, side in zip(EYES, IRISES, (105.0, 195.0), (1, -1), strict=True):
        place = np.array([middle, 150.0])
        away = np.hypot(x - place[0] - gaze[0], y - place[1] - gaze[1])
        eye = np.where(away < 8, 0.25, 0.9)[..., None] * [1.0, 0.85, 0.75]
        eye = np.where((away < 3.5)[..., None], 0.03, eye)
        opening = np.abs(y - place[1]) < 9 * (1 - ((x - place[0]) / 21) ** 2)
        picture[opening] = eye[opening]
        landmarks[[outer, inner], :2] = place + np.array([[-21 * side, 0], [21 * side, 0]])
        landmarks[[upper, lower], :2] = place + np.array([[0, -9], [0, 9]])
        landmarks[part, :2] = place + np.array([[0, 0], [8, 0], [0, -8], [-8, 0], [0, 8]])
        truth.append(place + gaze)
    return picture, landmarks, np.array(truth)


@pytest.mark.parametrize("gaze", [(0, 0), (6, 0), (-7, 1), (2, -4), (0, 3)])
def test_drawn_irises_are_found(gaze):
    picture, landmarks, truth = drawn_eyes(np.array(gaze, float))
    settled = settle_irises(picture, landmarks)
    assert np.linalg.norm(settled[[468, 473], :2] - truth, axis=1).max() < 1.5
    moved = settled - landmarks
    assert not moved[:468].any() and not moved[:, 2].any()
    assert np.allclose(moved[468:473], moved[468]) and np.allclose(moved[473:], moved[473])
    bytes_ = (255 * picture).round().astype(np.uint8)
    assert np.abs(settle_irises(bytes_, landmarks) - settled).max() < 0.1


def test_a_mirrored_picture_has_mirrored_irises():
    picture, landmarks, _ = drawn_eyes(np.array([5.0, 1.0]))
    settled = settle_irises(picture, landmarks)[[468, 473], :2]
    other = landmarks.copy()
    for ours, theirs in zip(EYES, EYES[::-1], strict=True):
        other[list(ours)] = landmarks[list(theirs)]
    other[IRISES[0]], other[IRISES[1]] = landmarks[IRISES[1]], landmarks[IRISES[0]]
    other[:, 0] = SIZE - other[:, 0]
    mirrored = settle_irises(picture[:, ::-1], other)[[473, 468], :2]
    assert np.allclose(mirrored, [SIZE, 0] + settled * [-1, 1], atol=0.02)


def test_eyes_beside_the_picture_and_one_point_are_no_errors():
    picture, landmarks, _ = drawn_eyes(np.zeros(2))
    for points in (landmarks + [500, 0, 0], landmarks - [170, 300, 0], 0 * landmarks):
        assert np.isfinite(settle_irises(picture, points)).all()
    for values in find_points(np.ones((1, *PATCH, 3)), irises.load_weights()):
        assert np.isfinite(values).all()


def test_patches_do_not_depend_on_the_size_of_the_picture():
    """A picture of twice the size is blurred before it shrinks."""
    picture, landmarks, _ = drawn_eyes(np.array([3.0, 1.0]))
    large = picture.repeat(4, 0).repeat(4, 1) + 0.2 * np.random.default_rng(0).normal(size=(4 * SIZE, 4 * SIZE, 1))
    small = settle_irises(picture, landmarks)
    assert np.abs(settle_irises(large, 4 * landmarks) / 4 - small).max() < 1.0
    assert eye_frames(4 * landmarks) == pytest.approx(4 * eye_frames(landmarks))


def test_a_damaged_file_is_named(tmp_path, monkeypatch):
    irises.load_weights.cache_clear()
    monkeypatch.setattr(irises, "SHIPPED", tmp_path / "irises.safetensors")
    with pytest.raises(InputError, match="install facecraft again"):
        irises.load_weights()
    (tmp_path / "irises.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="install facecraft again"):
        irises.load_weights()
    irises.load_weights.cache_clear()
