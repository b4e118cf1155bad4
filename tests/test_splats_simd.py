"""Vectors of eight inside numba functions against numpy, and the ends of arrays that eight does not divide."""

import numpy as np
import pytest
import torch
from dense_splats import random_scene
from numba import njit

from facecraft.splats.exponentials import exp2, log2
from facecraft.splats.project import Projection
from facecraft.splats.rows import add_columns, load_rows, store_rows
from facecraft.splats.simd import LANES, broadcast, load, maximum, minimum, root, round_up, select, store, total


@njit
def _exponentials(values, powers, logarithms):
    for i in range(0, len(values), LANES):
        vector = load(values, i)
        store(logarithms, i, log2(vector))
        store(powers, i, exp2(minimum(log2(vector), broadcast(np.float32(0)))))


def test_exponentials():
    values = np.geomspace(1e-30, 1e30, 8000).astype(np.float32)
    powers, logarithms = np.empty_like(values), np.empty_like(values)
    _exponentials(values, powers, logarithms)
    wanted = np.log2(values.astype(np.float64))
    assert np.abs(logarithms - wanted).max() < 4e-6  # half a unit in the last place of 100
    near_one = np.abs(wanted) < 0.5
    assert np.abs(logarithms / wanted - 1)[near_one & (wanted != 0)].max() < 3e-7
    exact = np.exp2(np.minimum(logarithms, 0).astype(np.float64))
    assert np.abs(powers / exact - 1).max() < 3e-7


@njit
def _mixed(rows, doubles, sums):
    last = rows.shape[0] - 1
    for row in range(0, last + 1, LANES):
        a, b = load_rows(rows, row, last, (0, 0))
        logarithm = log2(a)
        distance = root(a * a + b * b) - 2 * (-b) / maximum(a, 0.5)
        values = (select(a > b, logarithm, round_up(distance)), minimum(distance, 1))
        store_rows(doubles, row, last, add_columns(values, (a, b)))
        sums[row // LANES] = total(a)


@pytest.mark.parametrize("N", [1, 7, 8, 21])
def test_doubles_by_rows(N):
    rows = np.random.default_rng(N).uniform(0.1, 4, (N, 2)).astype(np.float32)
    results, sums = np.full((N + 1, 2), 7, np.float32), np.zeros(-(-N // LANES))
    _mixed(rows, results[:N], sums)
    a, b = rows.astype(np.float64).T
    distance = np.hypot(a, b) + 2 * b / np.maximum(a, 0.5)
    wanted = np.stack([np.where(a > b, np.log2(a), np.ceil(distance)) + a, np.minimum(distance, 1) + b], -1)
    np.testing.assert_allclose(results[:N], wanted, rtol=1e-6)
    assert (results[N] == 7).all()  # nothing is written beyond the last row
    assert sums[0] == pytest.approx(a[np.minimum(np.arange(LANES), N - 1)].sum(), rel=1e-12)


def _project(scene, camera, chosen):
    """Footprints and the gradients of their squares, for some Gaussians of a scene seen by two cameras."""
    leaves = {name: scene[name][chosen].float().requires_grad_() for name in ("means", "quats", "scales", "opacities")}
    views, Ks = camera["viewmats"].repeat(2, 1, 1), camera["Ks"].repeat(2, 1, 1)
    results = Projection.apply(*leaves.values(), views, Ks, (camera["width"], camera["height"]), (0.01, 1e10, 0, 0.3))
    means2d, conics, depths, _ = results
    (means2d.square().sum() + conics.square().sum() + depths.square().sum()).backward()
    return [result.detach() for result in results], [leaves[name].grad for name in ("means", "quats", "scales")]


@pytest.mark.parametrize("N", [1, 5, 17])
def test_a_gaussian_does_not_depend_on_its_lane(N):
    scene, camera = random_scene(N=300)
    all_results, all_grads = _project(scene, camera, torch.arange(300))
    chosen = torch.randperm(300, generator=torch.Generator().manual_seed(N))[:N]
    results, grads = _project(scene, camera, chosen)
    assert all(torch.equal(own, whole[:, chosen]) for own, whole in zip(results, all_results, strict=True))
    assert all(torch.equal(own, whole[chosen]) for own, whole in zip(grads, all_grads, strict=True))
