"""Faces, landmarks and mattes: invariances, closed forms, and composites whose truth is known."""

import numpy as np
import pytest
from scipy import ndimage
from skimage import data, transform

from facecraft.face import matting
from facecraft.face.landmarks import Face, _distinct_faces, find_faces, find_landmarks
from facecraft.face.matte import (
    belongs_to_others,
    bust_window,
    cut_out,
    drop_stray_patches,
    face_hull,
    settle_clothes,
    trim,
)
from facecraft.face.matting import MattingLaplacian, estimate_foreground, solve_matte
from facecraft.image import crop_square


@pytest.fixture(scope="module")
def photo():
    return (data.astronaut() / 255).astype(np.float32)


@pytest.fixture(scope="module")
def face(photo):
    (only,) = find_faces(photo)
    return only


def head_crop(rgb, face, side=2.9, size=512):
    """A square crop around a face and the face in it."""
    left, top = face.centre - side * face.height / 2
    scale = size / (side * face.height)
    return crop_square(rgb, left, top, side * face.height, size), Face((face.landmarks - [left, top, 0]) * scale)


def test_landmarks_are_where_the_face_is(face):
    """The astronaut's pupils and mouth corners, read off the enlarged picture by hand; right is the subject's right."""
    by_hand = {468: (204, 101), 473: (247, 103.4), 61: (205, 140.6), 291: (244, 141.3)}
    for index, point in by_hand.items():
        assert np.linalg.norm(face.landmarks[index, :2] - point) < 3
    assert face.landmarks.shape == (478, 3)
    assert 95 < face.height < 125


@pytest.mark.parametrize(("zoom", "shift"), [(1.0, 40), (0.6, 0), (2.0, 0)])
def test_landmarks_do_not_depend_on_the_crop(photo, face, zoom, shift):
    side = 400 / zoom
    left, top = face.centre - side / 2 + shift
    (again,) = find_faces(crop_square(photo, left, top, side, 400))
    moved = again.landmarks[:, :2] / zoom + [left, top]
    assert np.linalg.norm(moved - face.landmarks[:, :2], axis=1).mean() < 0.02 * face.height


def test_mirror_turns_yaw_and_roll_around(photo):
    def angles(rgb):
        (found,) = find_faces(np.ascontiguousarray(rgb))
        return np.array(found.angles_deg)

    turned = transform.rotate(photo, -12, mode="edge").astype(np.float32)
    assert np.abs(angles(turned[:, ::-1]) - angles(turned) * [-1, 1, -1]).max() < 4


@pytest.mark.parametrize("turn_deg", [-25, 15])
def test_roll_follows_the_picture(photo, face, turn_deg):
    """skimage turns counter-clockwise as seen, which leans the head to the left: negative roll."""
    (turned,) = find_faces(transform.rotate(photo, turn_deg, mode="edge", center=face.centre).astype(np.float32))
    assert turned.angles_deg[2] - face.angles_deg[2] == pytest.approx(-turn_deg, abs=4)


def test_yaw_sign_from_geometry(face):
    """Turn the landmarks about the vertical so that the subject's left side comes nearer: the face points left."""
    c, s = np.cos(0.4), np.sin(0.4)
    yaw = Face(face.landmarks @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T).angles_deg[0] - face.angles_deg[0]
    assert yaw == pytest.approx(np.degrees(0.4), abs=2)


def test_two_faces_are_numbered_left_to_right(photo):
    small = crop_square(photo, 128, 0, 200, 256)
    found = find_faces(np.concatenate([small, photo[:256, 96:352]], 1))
    assert len(found) == 2
    assert found[0].centre[0] < 256 < found[1].centre[0]
    assert found[0].height == pytest.approx(1.28 * found[1].height, rel=0.06)


def test_small_faces_and_faces_that_fill_the_picture_are_found(photo, face):
    scene = np.full((2400, 3200, 3), 0.5, np.float32)
    scene[900:1412, 2500:3012] = photo
    (small,) = find_faces(scene)
    assert np.abs(small.centre - (face.centre + [2500, 900])).max() < 6
    left, top, right, bottom = face.box.astype(int)
    (large,) = find_faces(crop_square(photo, left, top, bottom - top, 600))
    assert large.height > 500


@pytest.mark.parametrize("name", ["cat", "brick", "noise"])
def test_no_face_where_there_is_none(name):
    if name == "noise":
        picture = np.random.default_rng(0).random((300, 300, 3))
    else:
        picture = getattr(data, name)() / 255
    picture = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, -1)
    assert find_faces(picture.astype(np.float32)) == []


def test_mediapipe_is_quiet(photo, capfd):
    find_faces(photo)
    assert capfd.readouterr().err == ""


def dense_laplacian(rgb, epsilon):
    """Levin et al. 2008, equation 12, entry by entry over windows of 3x3 that are cut off at the border."""
    height, width = rgb.shape[:2]
    L = np.zeros((height * width, height * width))
    index = np.arange(height * width).reshape(height, width)
    for y in range(height):
        for x in range(width):
            window = np.s_[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
            colours, ids = rgb[window].reshape(-1, 3), index[window].ravel()
            n, away = len(ids), colours - colours.mean(0)
            matrix = np.linalg.inv(away.T @ away / n + epsilon / n * np.eye(3))
            L[np.ix_(ids, ids)] += np.eye(n) - (1 + away @ matrix @ away.T) / n
    return L


def test_matting_laplacian_equals_the_dense_one():
    rng = np.random.default_rng(1)
    rgb = ndimage.gaussian_filter(rng.random((9, 11, 3)), (1, 1, 0))
    reference, fast = dense_laplacian(rgb, 1e-4), MattingLaplacian(rgb, epsilon=1e-4)
    alpha = rng.random((9, 11))
    assert np.abs(fast.apply(alpha).ravel() - reference @ alpha.ravel()).max() < 1e-8
    assert np.abs(fast.diagonal().ravel() - np.diag(reference)).max() < 1e-8
    assert np.abs(fast.apply(np.ones((9, 11)))).max() < 1e-8


def composite(size=192):
    """A soft disc with hairs, of smooth colours over smooth colours: picture, alpha, the disc's colour."""
    y, x = np.mgrid[:size, :size] / size
    radius, angle = np.hypot(x - 0.5, y - 0.5), np.arctan2(y - 0.5, x - 0.5)
    alpha = np.clip((0.3 + 0.03 * np.sin(24 * angle) - radius) * 30, 0, 1)
    person = np.stack([0.35 + 0.3 * x, 0.15 + 0.1 * y, 0.1 + 0 * x], -1)
    backdrop = np.stack([0.4 + 0.1 * y, 0.7 + 0.2 * x, 0.9 - 0.2 * y], -1)
    return alpha[..., None] * person + (1 - alpha[..., None]) * backdrop, alpha, person, radius


def test_solver_equals_dense_algebra():
    """(L + W) alpha = W target, with the weights that the module states."""
    rgb, alpha, _, radius = composite(24)
    known, prior = radius > 0.42, np.clip(ndimage.gaussian_filter(alpha, 2), 0, 1)
    weight = np.where(known, matting.KNOWN_WEIGHT, matting.UNSURE_WEIGHT + matting.SURE_WEIGHT * (2 * prior - 1) ** 4)
    target = np.where(known, 0, prior)
    system = dense_laplacian(rgb, matting.EPSILON) + np.diag(weight.ravel())
    exact = np.linalg.solve(system, (weight * target).ravel()).reshape(24, 24)
    assert np.abs(solve_matte(rgb, prior, known, np.zeros_like(known)) - np.clip(exact, 0, 1)).max() < 0.01


def test_closed_form_matting_sharpens_a_blurred_prior():
    rgb, alpha, _, _ = composite()
    prior = np.clip(ndimage.gaussian_filter(alpha, 5), 0, 1)
    known = (prior < 0.02) | (prior > 0.98)
    solved = solve_matte(rgb, prior, known, prior > 0.98)
    assert np.abs(prior - alpha).mean() > 0.025
    assert np.abs(solved - alpha).mean() < np.abs(prior - alpha).mean() / 2


def test_foreground_colours_lose_the_backdrop():
    rgb, alpha, person, _ = composite()
    edge = (alpha > 0.1) & (alpha < 0.9)
    estimate = estimate_foreground(rgb.astype(np.float32), alpha)
    assert np.abs(estimate - person)[edge].mean() < 0.02
    assert np.abs(rgb - person)[edge].mean() > 0.15
    assert (estimate[alpha == 1] == rgb.astype(np.float32)[alpha == 1]).all()
    again = alpha[..., None] * estimate
    assert np.abs(again - alpha[..., None] * person).max() < 0.1


def test_matte_of_a_known_composite(photo, face):
    """The astronaut's own cut-out put before a garden-coloured wall comes out again."""
    crop, inner = head_crop(photo, face)
    everywhere = np.ones((512, 512), bool)
    alpha = cut_out(crop, inner, [], everywhere)
    person = estimate_foreground(crop, alpha)
    y, x = np.mgrid[:512, :512] / 512
    wall = np.stack([0.25 + 0.15 * x, 0.5 + 0.2 * np.sin(9 * x + 4 * y), 0.3 + 0.1 * y], -1)
    scene = (alpha[..., None] * person + (1 - alpha[..., None]) * wall).astype(np.float32)
    again = cut_out(scene, inner, [], everywhere)
    above = slice(0, int(inner.landmarks[152, 1]))  # below, the cut of the first bust is a new edge in the scene
    assert np.abs(again - alpha)[above].mean() < 0.01
    assert alpha[face_hull(inner, 512)].min() > 0.99
    assert alpha[:60].max() == 0
    assert 0 < ((alpha > 0.05) & (alpha < 0.95)).mean() < 0.1


def test_bust_ends_below_the_chin(face):
    inner = head_crop(np.zeros((8, 8, 3), np.float32), face)[1]
    window = bust_window(inner, 512)
    axis, chin, unit = int(inner.centre[0]), inner.landmarks[152, 1], inner.height
    assert (window[: int(inner.centre[1])] == 1).all()
    column = window[:, axis]
    assert np.interp(0.5, column[::-1], np.arange(512)[::-1] + 0.5) == pytest.approx(chin + 0.55 * unit, abs=3)
    assert window[int(chin + 0.6 * unit) :].max() < 0.1
    ends = [np.flatnonzero(window[:, int(axis + d * unit)] > 0.5).max() for d in (0, 0.5, 0.9)]
    assert ends[0] > ends[1] > ends[2]


def test_others_get_their_side(face):
    left, right = Face(face.landmarks - [110, 0, 0]), Face(face.landmarks + [110, 0, 0])
    taken = belongs_to_others(left, [right], 512)
    assert (taken ^ belongs_to_others(right, [left], 512)).mean() > 0.99
    assert taken[face_hull(right, 512)].all()
    assert not taken[face_hull(left, 512)].any()
    alpha = trim(np.ones((512, 512)), left, [right])
    assert alpha[taken].max() == 0
    assert alpha[face_hull(left, 512)].min() == 1


def test_stray_patches_go_and_strands_stay(face):
    inner = head_crop(np.zeros((8, 8, 3), np.float32), face)[1]
    y, x = np.mgrid[:512, :512]
    head = np.hypot(x - inner.centre[0], y - inner.centre[1]) < 0.8 * inner.height
    start = int(inner.centre[0] + 0.8 * inner.height)
    star, strand, sharp = np.zeros((3, 512, 512), bool)
    star[200:230, start + 10 : start + 40] = True
    strand[300:304, start - 30 : start + 40] = True
    bridge = np.zeros_like(star)
    bridge[213:217, start - 20 : start + 12] = True
    sharp = (head | star | strand | bridge).astype(float)
    cleaned = drop_stray_patches(sharp, head * 1.0 + 0.1, inner)
    assert cleaned[star].max() == 0
    assert cleaned[strand].min() == 1
    assert cleaned[head].min() == 1


def test_wide_doubt_below_the_chin_is_clothes_and_thin_doubt_is_hair(face):
    size = 512
    alpha = np.zeros((size, size))
    chin, x, width = int(face.landmarks[152, 1]), int(face.landmarks[152, 0]), int(0.3 * face.height)
    patch = np.s_[chin + 30 : chin + 30 + width, x : x + width]
    strand = np.s_[chin + 30 : chin + 30 + width, x - 60 : x - 56]
    above = np.s_[chin - 2 * width : chin - width, x : x + width]
    for part in (patch, strand, above):
        alpha[part] = 0.5
    settled = settle_clothes(alpha, face)
    assert np.median(settled[patch]) == 1
    assert (settled[strand] == 0.5).all() and (settled[above] == 0.5).all()
    assert (settled >= alpha).all() and (settled - alpha).sum() < 0.6 * width**2


def test_landmark_model_says_none_without_a_face():
    wall = np.full((200, 200, 3), 0.5, np.float32)
    assert find_landmarks(wall, np.array([50.0, 50, 150, 150])) is None


def test_a_face_seen_within_another_ones_head_is_none(face):
    moved = lambda right, down: Face(face.landmarks + face.height * np.array([right, down, 0]))  # noqa: E731
    assert _distinct_faces([face, moved(0.05, -0.85)]) == [face]
    for right, down in ((0.8, 0.1), (0.1, 1.1), (0.5, -0.9)):  # cheek to cheek, a child below, someone behind
        assert len(_distinct_faces([face, moved(right, down)])) == 2
