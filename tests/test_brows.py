"""The brow network on drawn brows: it follows them up and down, mirrored ones alike, and moves nothing else."""

import numpy as np
import pytest

from facecraft.errors import InputError
from facecraft.face import brows
from facecraft.face.brows import BROWS, CORNERS, MIDDLES, TRUST, brow_frames, settle_brows

SIZE = 300
POINTS = [i for brow in BROWS for part in brow for i in part] + [i for pair in MIDDLES for i in pair]


def drawn_brows(rise: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """A picture of two eyes and dark brows, the right and the left one `rise` px over where its landmarks [478, 3] are."""
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    picture = np.tile(np.array([0.8, 0.6, 0.5]), (SIZE, SIZE, 1))
    landmarks = np.zeros((478, 3))
    for side, middle, corners, brow, between, up in zip(
        (1, -1), (105.0, 195.0), CORNERS, BROWS, MIDDLES, rise, strict=True
    ):
        out = side * (middle - x)  # px from the middle of the eye outwards
        opening = np.abs(y - 160) < 8 * (1 - (out / 21) ** 2)
        picture[opening] = 0.9
        picture[opening & (np.hypot(out, y - 160) < 8)] = [0.25, 0.2, 0.15]
        arch = 126 - up + 0.006 * (out - 4) ** 2
        picture[(np.abs(y - arch) < 4) & (out > -26) & (out < 34)] = [0.2, 0.13, 0.1]
        landmarks[list(corners), :2] = [[middle - side * 21, 160], [middle + side * 21, 160]]
        for part, place in zip(brow, (-22, 28), strict=True):
            landmarks[list(part), :2] = [middle - side * place, 128]
        landmarks[list(between), :2] = [middle - side * 4, 126]
    return picture, landmarks


def heights(picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """How far [2, 2] the ends of the right and the left brow were raised, px."""
    way = landmarks - settle_brows(picture, landmarks)
    return np.array([[way[list(part), 1].mean() for part in brow] for brow in BROWS])


def test_drawn_brows_are_followed_one_by_one():
    rest = heights(*drawn_brows((0, 0)))
    for rise in ((10, 10), (-6, -6), (10, 0), (0, 10)):
        moved = (heights(*drawn_brows(rise)) - rest) / TRUST
        assert np.abs(moved.mean(1) - rise).max() < 4


def test_nothing_else_moves_and_bytes_are_read_alike():
    picture, landmarks = drawn_brows((8, 8))
    settled = settle_brows(picture, landmarks)
    still = np.setdiff1d(np.arange(478), POINTS)
    assert np.array_equal(settled[still], landmarks[still]) and np.array_equal(settled[:, 2], landmarks[:, 2])
    assert np.allclose(settled[:, 0], landmarks[:, 0])  # the eyes are level
    bytes_ = (255 * picture).round().astype(np.uint8)
    assert np.abs(settle_brows(bytes_, landmarks) - settled).max() < 0.1


def test_a_mirrored_picture_has_mirrored_brows():
    picture, landmarks = drawn_brows((9, 2))
    other = landmarks * [-1, 1, 1] + [SIZE, 0, 0]
    swap = np.arange(478)
    for right, left in ((*CORNERS,), (*MIDDLES,), *zip(*BROWS, strict=True)):
        swap[list(right)], swap[list(left)] = left, right
    found = heights(picture[:, ::-1], other[swap])
    assert np.allclose(found[::-1], heights(picture, landmarks), atol=0.05)


def test_frames_turn_with_the_head_and_a_face_beside_the_picture_is_no_error():
    picture, landmarks = drawn_brows((0, 0))
    turned = landmarks.copy()
    turned[:, :2] = landmarks[:, 1::-1] * [-1, 1]  # a quarter of a turn
    for straight, rolled in zip(brow_frames(landmarks), brow_frames(turned), strict=True):
        assert np.allclose(rolled, [[0, -1], [1, 0]] @ straight)
    for points in (landmarks + [500, 0, 0], landmarks - [170, 300, 0], 0 * landmarks):
        assert np.isfinite(settle_brows(picture, points)).all()


def test_a_damaged_file_is_named(tmp_path, monkeypatch):
    brows.load_weights.cache_clear()
    monkeypatch.setattr(brows, "SHIPPED", tmp_path / "brows.safetensors")
    with pytest.raises(InputError, match="install facecraft again"):
        brows.load_weights()
    brows.load_weights.cache_clear()
