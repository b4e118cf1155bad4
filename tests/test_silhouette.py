import numpy as np
import pytest
from photographed_head import HAIR_M, photograph

from facecraft.head.fit import OVAL, pose_vertices
from facecraft.head.hair import load_hair
from facecraft.head.rays import latitudes
from facecraft.head.silhouette import coverage, fit_silhouette
from facecraft.mesh.raster import rasterize_mesh


def bald_vertices(true):
    return pose_vertices(true.head, true.shape, true.expression, np.zeros((2, 2)))


def fit(true, alpha=None):
    alpha = true.alpha if alpha is None else alpha
    return fit_silhouette(true.head, bald_vertices(true), true.camera, alpha, load_hair(true.head, long=False))


def mask_of(true, vertices):
    return rasterize_mesh(true.camera.project(vertices), true.head.faces.numpy(), *true.alpha.shape).mask


def test_hair_is_covered_and_the_face_stays():
    true = photograph(0)
    bald = bald_vertices(true)
    offsets = fit(true)
    before, after = (coverage(mask_of(true, v), true.alpha) for v in (bald, bald + offsets))
    assert after > 0.975 > before
    corners = true.head.faces[true.head.landmark_faces].numpy()
    inner = np.setdiff1d(np.arange(478), OVAL)
    assert np.linalg.norm(offsets[np.unique(corners[inner])], axis=1).max() < 1e-3


def test_the_back_takes_about_the_thickness_of_the_rim():
    true = photograph(0)
    offsets = fit(true)
    template = true.head.template.numpy()
    back = (template[:, 2] < -0.15) & (np.abs(template[:, 1] - 0.04) < 0.03)
    thickness = np.linalg.norm(offsets[back], axis=1)
    assert back.sum() > 20
    assert 0.4 * HAIR_M < np.median(thickness) < 1.6 * HAIR_M


def test_a_head_that_fits_already_is_left_alone():
    true = photograph(0, hair=False)
    offsets = fit(true)
    upper = true.head.template.numpy()[:, 1] > -0.08
    assert np.median(np.linalg.norm(offsets[upper], axis=1)) < 1e-3
    assert np.linalg.norm(offsets[upper], axis=1).max() < 1e-2


def test_specks_of_the_matte_raise_no_flap():
    true = photograph(0)
    specked = true.alpha.copy()
    specked[60:64, 20:26] = 1
    plain, noisy = (fit(true, alpha) for alpha in (true.alpha, specked))
    assert np.linalg.norm(plain - noisy, axis=1).max() < 2e-3


def test_an_empty_matte_moves_nothing_to_infinity():
    true = photograph(0)
    offsets = fit(true, np.zeros_like(true.alpha))
    assert np.isfinite(offsets).all()
    assert np.linalg.norm(offsets, axis=1).max() < 0.3


@pytest.mark.parametrize("point, latitude", [((0, 0.2, -0.08), 0.0), ((0.1, 0.035, -0.085), np.pi / 2)])
def test_latitude_runs_from_the_crown_to_the_equator(point, latitude):
    assert abs(latitudes(np.array([point]))[0] - latitude) < 0.08


def test_latitude_grows_down_the_neck():
    down = np.stack([np.full(9, 0.06), np.linspace(0.1, -0.3, 9), np.full(9, -0.09)], 1)
    assert (np.diff(latitudes(down)) > 0).all()
