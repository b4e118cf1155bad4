"""The network of the upper face on drawn brows and lids: it follows them, mirrored ones alike, and moves nothing else."""

import numpy as np
import pytest

from facecraft.errors import InputError
from facecraft.face import upper_face
from facecraft.face.upper_face import BROW, CLEAR_PX, CORNERS, LIDS, PARTS, TRUST, settle_upper_face, upper_face_frames

SIZE = 300
PLACES = np.array(
    [[-22, 128], [4, 126], [28, 128], [0, 152], [0, 168]]
)  # px outwards from the middle of the eye, and down


def drawn_face(rise: tuple[float, float] = (0, 0), opening: float = 16) -> tuple[np.ndarray, np.ndarray]:
    """A picture of two eyes `opening` px high and dark brows, the right and the left one `rise` px over where its
    landmarks [478, 3] are; those of the eyes are 16 px apart."""
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    picture = np.tile(np.array([0.8, 0.6, 0.5]), (SIZE, SIZE, 1))
    landmarks = np.zeros((478, 3))
    for side, middle, corners, parts, up in zip((1, -1), (105.0, 195.0), CORNERS, PARTS, rise, strict=True):
        out = side * (middle - x)  # px from the middle of the eye outwards
        rim = opening / 2 * (1 - (out / 21) ** 2)
        picture[np.abs(y - 160) < rim] = 0.9
        picture[(np.abs(y - 160) < rim) & (np.hypot(out, y - 160) < 8)] = [0.25, 0.2, 0.15]
        picture[(np.abs(np.abs(y - 160) - rim) < 1) & (np.abs(out) < 21)] = [0.3, 0.15, 0.1]
        arch = 126 - up + 0.006 * (out - 4) ** 2
        picture[(np.abs(y - arch) < 4) & (out > -26) & (out < 34)] = [0.2, 0.13, 0.1]
        landmarks[list(corners), :2] = [[middle - side * 21, 160], [middle + side * 21, 160]]
        for part, (place, row) in zip(parts, PLACES, strict=True):
            landmarks[list(part), :2] = [middle - side * place, row]
    return picture, landmarks


def heights(picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """How far [2, P] the parts of the right and the left side were raised, px, were the network trusted alone."""
    way = landmarks - settle_upper_face(picture, landmarks)
    return np.array([[way[list(part), 1].mean() for part in parts] for parts in PARTS]) / TRUST


def test_drawn_brows_are_followed_one_by_one():
    rest = heights(*drawn_face())
    for rise in ((10, 10), (-6, -6), (10, 0), (0, 10)):
        moved = (heights(*drawn_face(rise)) - rest)[:, BROW]
        assert np.abs(moved.mean(1) - rise).max() < 4


def test_drawn_lids_are_followed_until_they_shut():
    gaps = []
    for opening in (16, 11, 6, 1):
        upper, lower = heights(*drawn_face(opening=opening))[:, LIDS].T
        gaps.append(16 + upper - lower)
    assert np.abs(np.array(gaps[:3]) - [[16], [11], [6]]).max() < 4
    assert np.max(gaps[3]) < 3 and (np.diff(gaps, axis=0) < 0).all()


def test_hidden_parts_of_brows_rise_with_those_that_show():
    ways = np.array([[1.0, 2, 3], [4, 5, 600]])
    spreads = np.tile(CLEAR_PX, (2, 1))
    for blur in (0.5, 1, 3):  # of all parts alike: some films are soft
        assert np.array_equal(upper_face._fill_hidden(ways, blur * spreads), ways)
    spreads[1, 2] *= 10
    filled = upper_face._fill_hidden(ways, spreads)
    assert np.allclose(filled.ravel()[:5], ways.ravel()[:5]) and abs(filled[1, 2] - 3) < 0.1  # the mean of the others


def test_nothing_else_moves_and_bytes_are_read_alike():
    picture, landmarks = drawn_face((8, 8))
    settled = settle_upper_face(picture, landmarks)
    still = np.setdiff1d(np.arange(478), [i for parts in PARTS for part in parts for i in part])
    assert np.array_equal(settled[still], landmarks[still]) and np.array_equal(settled[:, 2], landmarks[:, 2])
    assert np.allclose(settled[:, 0], landmarks[:, 0])  # the eyes are level
    bytes_ = (255 * picture).round().astype(np.uint8)
    assert np.abs(settle_upper_face(bytes_, landmarks) - settled).max() < 0.1


def test_a_mirrored_picture_has_mirrored_brows():
    picture, landmarks = drawn_face((9, 2))
    other = landmarks * [-1, 1, 1] + [SIZE, 0, 0]
    swap = np.arange(478)
    for right, left in ((*CORNERS,), *zip(*PARTS, strict=True)):
        swap[list(right)], swap[list(left)] = left, right
    found = heights(picture[:, ::-1], other[swap])
    assert np.allclose(found[::-1], heights(picture, landmarks), atol=0.05)


def test_frames_turn_with_the_head_and_a_face_beside_the_picture_is_no_error():
    picture, landmarks = drawn_face()
    turned = landmarks.copy()
    turned[:, :2] = landmarks[:, 1::-1] * [-1, 1]  # a quarter of a turn
    for straight, rolled in zip(upper_face_frames(landmarks), upper_face_frames(turned), strict=True):
        assert np.allclose(rolled, [[0, -1], [1, 0]] @ straight)
    for points in (landmarks + [500, 0, 0], landmarks - [170, 300, 0], 0 * landmarks):
        assert np.isfinite(settle_upper_face(picture, points)).all()


def test_a_damaged_file_is_named(tmp_path, monkeypatch):
    upper_face.load_weights.cache_clear()
    monkeypatch.setattr(upper_face, "SHIPPED", tmp_path / "upper_face.safetensors")
    with pytest.raises(InputError, match="install facecraft again"):
        upper_face.load_weights()
    upper_face.load_weights.cache_clear()
