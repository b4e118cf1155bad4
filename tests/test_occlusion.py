import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from facecraft.stages import sample
from photographed_head import SKIN, photograph
from scipy.ndimage import binary_erosion
from scipy.spatial.transform import Rotation

from facecraft.errors import InputError
from facecraft.face.landmarks import find_landmarks
from facecraft.face.portrait import preprocess
from facecraft.head import occlusion
from facecraft.head.contour import measure_matte
from facecraft.head.cover import SIDE, find_covered, frame_face, load_network
from facecraft.head.fit import LandmarkFit, fit_landmarks
from facecraft.head.fitted import complete_fit
from facecraft.head.model import load_head
from facecraft.head.occlusion import _fit_light, _paint_over, uncover
from facecraft.head.scene import Photo, blur
from facecraft.head.texture import make_texture
from facecraft.mesh.atlas import sample_texture
from facecraft.mesh.light import harmonics
from facecraft.prior.texture import surround

BLUE = np.array([0.15, 0.35, 0.75])
TRAINING = str(Path(__file__).resolve().parents[1] / "training")


@pytest.fixture(scope="module")
def portrait(tmp_path_factory):
    return preprocess(sample.main(tmp_path_factory.mktemp("sample") / "astronaut.png"), size=384)


def paint_side(portrait, colour) -> tuple[np.ndarray, np.ndarray]:
    """The portrait with its lower left, 28 % of the landmarks, painted, and where."""
    across = np.array([np.cos(np.radians(30)), np.sin(np.radians(30))])
    height, width = portrait.alpha.shape
    y, x = np.mgrid[:height, :width]
    edge = np.quantile(portrait.landmarks[:, :2] @ across, 0.72)
    covered = (x * across[0] + y * across[1] > edge) & (portrait.alpha > 0.5)
    return np.where(covered[..., None], colour, portrait.image).astype(np.float32), covered


def skin_of(portrait) -> np.ndarray:
    x, y = portrait.landmarks[[50, 280], :2].astype(int).T
    return portrait.image[y, x].mean(0)


def test_a_face_that_nothing_covers_stays_as_it_is(portrait):
    photo = Photo(portrait.image, portrait.alpha, portrait.landmarks)
    assert uncover(load_head(), photo, portrait.camera) is photo


@pytest.mark.parametrize("name", ["blue", "grey", "skin"])
def test_covers_of_any_colour_are_seen_where_they_are(portrait, name):
    colour = {"blue": BLUE, "grey": np.full(3, 0.15), "skin": skin_of(portrait)}[name]
    image, covered = paint_side(portrait, colour)
    found = find_covered(image, portrait.alpha, portrait.landmarks) > 0.5
    x, y = portrait.landmarks[:, :2].astype(int).T
    both, either = (found & covered)[y, x].sum(), (found | covered)[y, x].sum()
    assert both > 0.75 * either


def test_a_cover_is_the_same_in_a_larger_picture(portrait):
    image, _ = paint_side(portrait, BLUE)
    once = find_covered(image, portrait.alpha, portrait.landmarks)
    twice = find_covered(
        image.repeat(2, 0).repeat(2, 1), portrait.alpha.repeat(2, 0).repeat(2, 1), 2 * portrait.landmarks
    )
    assert np.abs(twice.reshape(384, 2, 384, 2).mean((1, 3)) - once).mean() < 0.01


def test_the_network_sees_the_face_in_the_middle(portrait):
    T = frame_face(portrait.landmarks)
    framed = portrait.landmarks[:, :2] @ T[:, :2].T + T[:, 2]
    assert np.allclose((framed.min(0) + framed.max(0)) / 2, SIDE / 2)
    assert np.isclose(np.ptp(framed, axis=0).max(), SIDE / 1.7)


def test_a_damaged_network_is_refused(tmp_path):
    path = tmp_path / "cover.safetensors"
    path.write_bytes(b"no network")
    with pytest.raises(InputError, match="install facecraft again"):
        load_network(path)


def test_the_pose_is_found_as_if_a_side_of_the_face_were_not_covered(portrait):
    head, true = load_head(), portrait.landmarks[:, :2]
    image, covered = paint_side(portrait, BLUE)
    misled = find_landmarks(image, np.concatenate([true.min(0), true.max(0)]), 0.1).landmarks
    found = uncover(head, Photo(image, portrait.alpha, misled), portrait.camera)
    assert np.array_equal(found.image, image)
    assert 40 < len(found.hidden) < 200
    x, y = true[list(found.hidden)].astype(int).T
    assert covered[y, x].mean() > 0.9
    fits = [
        fit_landmarks(head, landmarks, portrait.camera, hidden=hidden)
        for landmarks, hidden in ((true, ()), (misled, ()), (found.landmarks, found.hidden))
    ]
    turns = [fit.camera.T_camera_world[:3, :3] for fit in fits]
    errors = [np.degrees(Rotation.from_matrix(turn @ turns[0].T).magnitude()) for turn in turns[1:]]
    assert errors[1] < 0.6 * errors[0]


def test_what_is_covered_looks_like_the_other_side_of_the_face():
    true = photograph(0)
    head, h = true.head, len(true.alpha)
    fit = LandmarkFit(true.camera, true.shape, true.expression, np.zeros((2, 2)), np.zeros(478), 0)
    rest = head.template.double().numpy()
    marked = np.flatnonzero(np.linalg.norm(rest - [0.035, -0.045, 0.02], axis=1) < 0.006)
    there = true.camera.project(true.vertices[head.mirror.numpy()[marked]])[:, :2].astype(int)
    middle = true.camera.project(true.vertices[np.abs(rest[:, 0]) < 1e-3])[:, 0].mean()
    covered = np.tile(np.arange(h) < middle, (h, 1)) & (true.alpha > 0.5)
    image = np.where(covered[..., None], [0.2, 0.8, 0.2], true.image).astype(np.float32)
    assert covered[there[:, 1], there[:, 0]].all()
    painted = _paint_over(head, Photo(image, true.alpha, true.landmarks, covered=covered), fit, 0.02 * h)
    # as the head is seen where the mark is, and without the mark
    blueness = [p[there[:, 1], there[:, 0]].mean(0) @ [-1, 0, 1] for p in (painted, true.image)]
    assert blueness[0] > 0.25 > 0 > blueness[1]


def test_a_cover_is_seen_from_landmarks_that_crowd_beside_it(portrait):
    image, covered = paint_side(portrait, BLUE)
    points = portrait.landmarks.copy()
    y, x = np.nonzero(covered)
    # as the detector does that takes the visible part for the whole face
    across = np.array([np.cos(np.radians(30)), np.sin(np.radians(30))])
    along = points[:, :2] @ across
    edge = np.min(np.stack([x, y], 1) @ across)
    squeezed = np.interp(along, [along.min(), along.max()], [along.min(), edge + 5])
    points[:, :2] += (squeezed - along)[:, None] * across
    u, v = points[:, :2].astype(int).T
    assert covered[v, u].mean() < 0.04
    found = uncover(load_head(), Photo(image, portrait.alpha, points), portrait.camera)
    assert (found.covered & covered).sum() > 0.5 * covered.sum()


def test_what_lies_apart_from_the_face_covers_nothing(portrait, monkeypatch):
    image, covered = paint_side(portrait, BLUE)
    tie = np.zeros_like(covered)
    tie[-30:-10, 180:200] = True
    monkeypatch.setattr(occlusion, "find_covered", lambda *_: (covered | tie).astype(float))
    found = uncover(load_head(), Photo(image, portrait.alpha, portrait.landmarks), portrait.camera)
    assert not found.covered[tie].any() and found.covered[covered].all()


def test_what_lies_beside_the_person_is_plain_for_the_detector(portrait):
    image, _ = paint_side(portrait, BLUE)
    image = np.where(portrait.alpha[..., None] > 0, image, BLUE).astype(np.float32)  # as preprocess carries colours on
    covered = np.zeros(portrait.alpha.shape, bool)
    covered[200:220, 180:200] = True
    photo = Photo(image, portrait.alpha, portrait.landmarks, covered=covered)
    fit = fit_landmarks(load_head(), portrait.landmarks, portrait.camera)
    painted = _paint_over(load_head(), photo, fit, 3.0)
    assert np.ptp(painted[portrait.alpha == 0]) == 0


def test_a_head_is_finished_without_what_covers_it():
    true = photograph(0)
    h = len(true.alpha)
    fit = LandmarkFit(true.camera, true.shape, true.expression, np.zeros((2, 2)), np.zeros(478), 0)
    middle = true.landmarks[:, 0].mean()
    covered = np.tile(np.arange(h) > middle + 0.1 * h, (h, 1)) & (np.arange(h)[:, None] > 0.4 * h)
    green = np.array([0.1, 0.9, 0.1])
    image = np.where(covered[..., None], green, true.image).astype(np.float32)
    alpha = np.where(covered & (np.arange(h) < 0.9 * h), 1, true.alpha)  # what covers stands out beside the head
    photo = Photo(image, alpha, true.landmarks, covered=covered)
    with_cover, without = (
        complete_fit(true.head, fit, each, 256) for each in (Photo(image, alpha, true.landmarks), photo)
    )
    greenness = [(f.texture.albedo @ [-0.5, 1, -0.5] > 0.15).mean() for f in (with_cover, without)]
    assert greenness[0] > 0.05 and greenness[1] < 0.002
    # the true head, the bald one with hair from its matte, is nearer than the one that reaches out to the cover's end
    errors = [np.linalg.norm(f.vertices() - true.vertices, axis=1).mean() for f in (with_cover, without)]
    assert errors[1] < 0.7 * errors[0]
    view = surround(without, image, alpha, 4, 64)[0]
    sure = binary_erosion(covered, iterations=6) & (true.alpha > 0.9)
    assert np.abs(view.rgb - true.image)[sure].mean() < 0.25 * np.abs(image - true.image)[sure].mean()
    assert view.alpha[covered & (true.alpha == 0)].mean() < 0.25
    assert np.array_equal(
        view.rgb[~without.covered & (np.abs(np.arange(h) - middle) < 0.05 * h)],
        image[~without.covered & (np.abs(np.arange(h) - middle) < 0.05 * h)],
    )


def test_a_mask_leaves_lips():
    """Under a cover that hides all of the mouth the head has lips of its own, in the tone of the skin around."""
    true = photograph(0)
    points = true.landmarks
    covered = np.zeros(true.alpha.shape, bool)
    covered[int(points[4, 1]) :, :] = True  # from the tip of the nose on
    image = np.where(covered[..., None], BLUE, true.image).astype(np.float32)
    plain = make_texture(true.head, true.vertices, true.camera, image, true.alpha, 256, cover=covered)
    uvs = true.head.uvs.numpy()[true.head.faces_uv.numpy()[true.head.landmark_faces.numpy()]]
    places = np.einsum("lkc,lk->lc", uvs, true.head.landmark_barycentrics.numpy())
    lips, cheeks = (
        sample_texture(plain.albedo, places[list(ids)]) for ids in ((37, 267, 84, 314), (50, 280, 205, 425))
    )
    redness = [c[:, 0].mean() / c[:, 1].mean() for c in (lips, cheeks)]
    assert redness[0] > 1.05 * redness[1]
    assert np.abs(cheeks.mean(0) - SKIN).max() < 0.12


def test_hidden_landmarks_tell_nothing():
    true, hidden = photograph(10), list(range(0, 478, 3))
    wrong = true.landmarks.copy()
    wrong[hidden] += 30
    fits = [fit_landmarks(true.head, points, true.camera, hidden=hidden) for points in (true.landmarks, wrong)]
    assert np.allclose(fits[0].shape, fits[1].shape, atol=0.1)


def test_colours_under_a_cover_and_beside_it_are_not_compared():
    alpha, covered = np.ones((64, 64), np.float32), np.zeros((64, 64), bool)
    covered[:, 40:] = True
    photo = Photo(np.zeros((64, 64, 3), np.float32), alpha, np.zeros((478, 2)), covered=covered)
    picture = blur(photo, measure_matte(alpha), 2.0)
    assert (picture.alpha[:, 37:] == 0).all() and (picture.alpha[:, :34] == 1).all()


def test_light_is_found_beside_what_it_does_not_explain():
    rng = np.random.default_rng(0)
    normals = rng.normal(0, 1, (2000, 3)) + [0, 0, 1.5]
    basis = harmonics(normals / np.linalg.norm(normals, axis=1, keepdims=True))
    true = np.zeros((9, 3))
    true[0], true[2], true[3] = 0.5, 0.15, 0.2
    skin = rng.uniform(0.5, 0.9, (2000, 3))
    colours = skin * np.sqrt(np.maximum(basis @ true, 0))
    colours[:300] = BLUE
    light = _fit_light(basis, skin, colours)
    assert np.abs(basis @ (light - true)).mean() < 0.03


def test_the_recipe_of_the_network_is_deterministic():
    sys.path.insert(0, TRAINING)
    try:
        model = importlib.import_module("cover_model")
    finally:
        sys.path.remove(TRAINING)
    rng = np.random.default_rng(0)
    points = np.column_stack([rng.uniform(40, 100, (478, 2))])
    faces = [(rng.integers(0, 255, (model.KEPT, model.KEPT, 3), np.uint8), points)]
    first, second = (model.train(faces, 2).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["leave.weight"], model.CoverNetwork().leave.weight)
