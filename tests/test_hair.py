"""How thick hair is: what a rim tells of the rest, the file that ships, and the recipe's measure of strands."""

from pathlib import Path

import numpy as np
import pytest

from facecraft.errors import InputError
from facecraft.head.albedo import SKIN_FILE
from facecraft.head.hair import INDEPENDENT, NOISE_M, HairModel, load_hair
from facecraft.head.model import load_head
from facecraft.head.rays import leave_axis

TRAINING = str(Path(__file__).resolve().parents[1] / "training")


def small_model():
    rng = np.random.default_rng(4)
    known = np.arange(20) < 18
    return HairModel(0.03 + 0.01 * rng.random(20), 0.004 * rng.standard_normal((3, 20)) * known, known)


def test_the_rest_follows_as_in_a_normal_distribution():
    model, seen = small_model(), np.arange(0, 18, 2)
    measured = model.mean[seen] + 0.01
    covariance = model.modes.T @ model.modes
    gain = covariance[:, seen] @ np.linalg.inv(covariance[np.ix_(seen, seen)] + NOISE_M**2 * np.eye(len(seen)))
    wanted = model.mean + gain @ (measured - model.mean[seen])
    assert wanted.min() > 0
    assert np.allclose(model.expect(seen, measured, np.ones(len(seen))), wanted, atol=1e-12)


def test_a_rim_counts_no_more_for_being_cut_finer():
    model, seen = small_model(), np.arange(0, 18)
    rims = [np.repeat(seen, repeats) for repeats in (INDEPENDENT, 3 * INDEPENDENT)]
    first, second = (model.expect(rim, model.mean[rim] + 0.01, np.ones(len(rim))) for rim in rims)
    assert np.allclose(first, second, atol=1e-12)


def test_the_mean_stays_where_nothing_is_to_be_believed():
    model = small_model()
    nothing = model.expect(np.zeros(0, int), np.zeros(0), np.zeros(0))
    unbelieved = model.expect(np.arange(5), np.full(5, 0.2), np.zeros(5))
    unknown = model.expect(np.array([18, 19]), np.full(2, 0.2), np.ones(2))
    for thickness in (nothing, unbelieved, unknown):
        assert np.allclose(thickness, model.mean)


def test_hair_is_never_thinner_than_nothing():
    model = small_model()
    assert model.expect(np.arange(18), np.full(18, -0.5), np.ones(18)).min() == 0


def test_what_ships_hangs_over_the_neck_only_where_it_is_long():
    head = load_head()
    short, long = (load_hair(head, is_long) for is_long in (False, True))
    x, y, z = head.template.double().numpy().T
    crown = head.vertices_of(("scalp_neck",)).numpy() & (y > 0.1)
    beside = head.vertices_of(("scalp_neck",)).numpy() & (np.abs(y + 0.09) < 0.03) & (abs(x) > 0.045) & (z < -0.06)
    for model in (short, long):
        assert 3e-3 < model.mean[crown].mean() < 0.02
        assert np.allclose(model.mean, model.mean[head.mirror.numpy()], atol=2e-4)
        assert not model.known[head.vertices_of(("teeth_upper", "eyeball_L")).numpy()].any()
    assert short.mean[beside].mean() < 2e-3 and long.mean[beside].mean() > 8e-3


def test_damaged_and_foreign_files_are_refused(tmp_path):
    head = load_head()
    path = tmp_path / "hair.safetensors"
    path.write_bytes(b"no hair")
    with pytest.raises(InputError, match="cannot be read as the hair model"):
        load_hair(head, True, path)
    with pytest.raises(InputError, match="does not fit the open head"):
        load_hair(head, True, SKIN_FILE)


def test_the_recipe_measures_a_layer_of_known_thickness(monkeypatch):
    monkeypatch.syspath_prepend(TRAINING)
    from hair_shell import cover_radius

    head = load_head()
    vertices = head.template.double().numpy()
    scalp = head.vertices_of(("scalp_neck",)).numpy() & (vertices[:, 1] > 0.03)
    starts, rays, radius = leave_axis(vertices)
    # two layers: the outer one covers half of what is there, the inner one all
    points = np.concatenate([vertices + lift * rays for lift in (0.012, 0.006)])[np.tile(scalp, 2)]
    dense = np.full(scalp.sum(), 2e-4)
    for outer, thickness in ((2e-4, 0.012), (1e-6, 0.006)):
        areas = np.concatenate([dense / 2e-4 * outer, dense])
        top = cover_radius(vertices, points, areas)
        deep = scalp & (vertices[:, 1] > 0.06)
        assert np.median(top[deep] - radius[deep]) == pytest.approx(thickness, abs=1.5e-3)
    assert (top[vertices[:, 1] < -0.1] == 0).all()
