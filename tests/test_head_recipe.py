"""Facts about the steps of training/open_head.py that need no data."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation
from scipy.stats import multivariate_normal

TRAINING = str(Path(__file__).resolve().parents[1] / "training")


def recipe(module: str):
    sys.path.insert(0, TRAINING)
    try:
        return importlib.import_module(module)
    finally:
        sys.path.remove(TRAINING)


def border_edges(faces) -> list:
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1)
    unique, counts = np.unique(edges, axis=0, return_counts=True)
    return unique[counts == 1].tolist()


@pytest.fixture
def dome():
    sphere = trimesh.creation.icosphere(subdivisions=3, radius=10)
    faces = sphere.faces[(sphere.vertices[sphere.faces][..., 2] > -1e-6).all(1)]
    used, local = np.unique(faces, return_inverse=True)
    return np.asarray(sphere.vertices)[used], local.reshape(-1, 3)


def test_decimation_keeps_vertices_topology_and_the_surface(dome):
    vertices, faces = dome
    count, target = len(vertices), 120
    borders = border_edges(faces)
    even = np.full(count, 1.0)
    kept, ids = recipe("head_decimate").decimate_mesh(
        vertices[None], faces, target, borders, even, 3 * even, {int(borders[0][0])}
    )
    mesh = trimesh.Trimesh(vertices, kept, process=False)
    assert len(np.unique(kept)) == target and len(ids) == len(kept)
    assert borders[0][0] in kept
    rim = np.unique(border_edges(kept))
    assert set(rim) <= set(np.unique(borders)) and len(rim) > 12
    # a disc: V - E + F = 1
    assert target - len(mesh.edges_unique) + len(kept) == 1
    assert (mesh.face_normals @ np.array([0, 0, 1.0]) > -0.2).all()
    gaps = recipe("head_surface").Surface(vertices, kept).nearest(vertices)[2]
    # the sagitta of an edge of 2.5 on a sphere of 10 is 0.08
    assert gaps.mean() < 0.12 and gaps.max() < 0.5


def test_decimation_is_deterministic(dome):
    vertices, faces = dome
    even = np.full(len(vertices), 1.0)
    runs = [
        recipe("head_decimate").decimate_mesh(vertices[None], faces, 150, border_edges(faces), even, 3 * even, set())[0]
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*runs)


def test_a_flat_disc_flattens_to_itself(dome):
    flatten = recipe("head_flatten")
    vertices, faces = dome
    radius = np.linalg.norm(vertices[:, :2], axis=1)
    border = np.flatnonzero(radius > 9.999)
    border = border[np.argsort(np.arctan2(vertices[border, 1], vertices[border, 0]))]
    flat = vertices * [1, 1, 0]
    turns = 2 * np.pi * np.arange(len(border)) / len(border)
    start = flatten.tutte_embedding(faces, border, np.stack([np.cos(turns), np.sin(turns)], 1), len(vertices))
    free = np.zeros((len(vertices), 2), bool)
    uv = flatten.minimise_distortion(flat, faces, start, np.ones(len(faces)), free)
    sides = [np.linalg.norm(p[faces[:, 0]] - p[faces[:, 1]], axis=1) for p in (uv, flat)]
    np.testing.assert_allclose(sides[0], sides[1], rtol=2e-2)


def test_a_dome_flattens_without_flips(dome):
    flatten = recipe("head_flatten")
    vertices, faces = dome
    border = np.flatnonzero(np.linalg.norm(vertices[:, :2], axis=1) > 9.999)
    border = border[np.argsort(np.arctan2(vertices[border, 1], vertices[border, 0]))]
    turns = 2 * np.pi * np.arange(len(border)) / len(border)
    start = flatten.tutte_embedding(faces, border, np.stack([np.cos(turns), np.sin(turns)], 1), len(vertices))
    held = np.zeros((len(vertices), 2), bool)
    held[border[0]] = True
    uv = flatten.minimise_distortion(vertices, faces, start, np.ones(len(faces)), held)
    a, b, c = (uv[faces[:, i]] for i in range(3))
    areas = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    assert (areas > 0).all()
    # area is kept on the whole: that of the half sphere
    assert areas.sum() / 2 == pytest.approx(2 * np.pi * 100, rel=0.1)


def test_nearest_points_are_those_of_brute_force(dome):
    vertices, faces = dome
    points = np.random.default_rng(0).normal(0, 8, (60, 3)) + [0, 0, 4]
    surface = recipe("head_surface").Surface(vertices, faces)
    found, weights, gaps = surface.nearest(points)
    dense = trimesh.Trimesh(vertices, faces, process=False)
    samples = np.concatenate([dense.vertices, dense.subdivide().subdivide().vertices])
    brute = np.linalg.norm(points[:, None] - samples[None], axis=2).min(1)
    assert (gaps <= brute + 1e-9).all() and (gaps >= brute - 0.3).all()
    np.testing.assert_allclose(weights.sum(1), 1)
    assert (weights >= -1e-12).all()
    np.testing.assert_allclose(np.linalg.norm(surface.points(found, weights) - points, axis=1), gaps, atol=1e-9)


def test_a_similarity_is_carried_exactly():
    rng = np.random.default_rng(1)
    points, targets = rng.normal(size=(50, 3)), rng.normal(size=(7, 3))
    field = 0.2 * points + [1, 2, 3]
    carried = recipe("head_eyeball").similarity_field(points, field[None], targets)
    np.testing.assert_allclose(carried[0], 0.2 * targets + [1, 2, 3])


def test_a_robust_similarity_ignores_an_outlier():
    rng = np.random.default_rng(2)
    source = rng.normal(0, 40, (80, 3))
    turn = 1.1 * Rotation.from_rotvec([0.2, -0.1, 0.3]).as_matrix()
    target = source @ turn.T + [5, -3, 8]
    target[0] += 200
    linear, shift = recipe("head_register")._robust_similarity(source, target)
    np.testing.assert_allclose(linear, turn, atol=1e-3)
    np.testing.assert_allclose(shift, [5, -3, 8], atol=0.05)


def test_factors_of_known_noise_are_found():
    noise = recipe("head_noise")
    rng = np.random.default_rng(3)
    factors, sigmas = rng.normal(0, 1, (3, 40)), rng.uniform(0.3, 0.6, 40)
    covariance = factors.T @ factors + np.diag(sigmas**2)
    samples = rng.multivariate_normal(np.zeros(40), covariance, 6000)
    found, rest = noise.analyse_factors(samples, 3)
    np.testing.assert_allclose(rest, sigmas, rtol=0.1)
    np.testing.assert_allclose(found.T @ found, factors.T @ factors, atol=0.05 * np.abs(covariance).max())
    # the density is that of scipy, and higher than without factors
    ours = noise.log_likelihood(samples[:50], found, rest)
    dense = multivariate_normal(np.zeros(40), found.T @ found + np.diag(rest**2))
    assert ours == pytest.approx(dense.logpdf(samples[:50]).mean() / 40)
    assert ours > noise.log_likelihood(samples[:50], found[:0], samples.std(0)) + 0.3


def test_a_wild_error_does_not_make_the_noise():
    rng = np.random.default_rng(4)
    errors = rng.normal(0, 1, (300, 20, 2))
    errors[:5] *= 200
    factors, sigmas = recipe("head_noise").measure_noise(errors, 2)
    assert np.sqrt((factors**2).sum(0) + sigmas**2).max() < 1.5


def test_macro_amounts_are_shares():
    amounts = recipe("head_makehuman").macro_weights(0.3, 0.8, np.array([0.2, 0.5, 0.3]), 0.7, 0.4)
    universal = [value for name, value in amounts.items() if "universal" in name]
    origins = [value for name, value in amounts.items() if "universal" not in name]
    assert sum(universal) == pytest.approx(1) and sum(origins) == pytest.approx(1)
    assert min(amounts.values()) >= 0


def test_edits_are_half_the_way_between_the_ends_of_a_slider():
    directions, human = recipe("head_directions"), recipe("head_makehuman")
    names = {name.replace("*", side) for ends in directions._DETAILS.values() for name in ends for side in "lr"}
    names |= {name for ends in directions._WEIGHT_TOO for name in ends}
    names |= set(human.macro_weights(0.5, 0.5, np.full(3, 1 / 3), 0.5, 0.5))
    nothing = np.zeros(0)
    source = human.MakeHuman(nothing, nothing, nothing, nothing, (), nothing, tuple(sorted(names)), "CC0")
    amounts = dict(zip(directions.EDIT_NAMES, directions.edit_amounts(source), strict=True))
    number = source.target_names.index
    assert (
        amounts["eyeSize"][number("eyes/l-eye-scale-incr")]
        == amounts["eyeSize"][number("eyes/r-eye-scale-incr")]
        == 0.5
    )
    assert amounts["eyeSize"][number("eyes/l-eye-scale-decr")] == -0.5
    # from the young to the old, and as much away from the one as towards the other
    old = sum(
        v
        for name, v in zip(source.target_names, amounts["age"], strict=True)
        if "universal" in name and "-old-" in name
    )
    assert old == pytest.approx(1) and amounts["age"].sum() == pytest.approx(0, abs=1e-5)
    male = sum(v for name, v in zip(source.target_names, amounts["sex"], strict=True) if "universal-male" in name)
    assert male == pytest.approx(0.5)
