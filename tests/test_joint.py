"""Several pictures of one head: shared unknowns are there once, common errors count once, and the shape is found better."""

from dataclasses import replace

import numpy as np
import pytest
from photographed_head import photograph
from scipy.spatial import procrustes
from test_head_recipe import recipe
from test_prior import fitted_head

from facecraft.camera import Camera, orbit_camera, read_frames
from facecraft.face.portrait import Source
from facecraft.head.fit import LandmarkFit, fit_landmarks, fit_together, pose_vertices
from facecraft.head.fitted import load_fitted
from facecraft.head.joint import COMMON_SHARE, damped_step, forgive_shape, join_equations, place_unknowns
from facecraft.head.model import load_head
from facecraft.head.noise import IRISES
from facecraft.head.photometric import fit_photos
from facecraft.head.scene import Photo
from facecraft.image import read_picture
from facecraft.workspace import Workspace


def test_joint_equations_solve_the_stacked_least_squares():
    rng = np.random.default_rng(0)
    shared = np.array([False, True, True, False, False])
    places = place_unknowns(shared, 3)
    assert places.max() + 1 == 2 + 3 * 3
    assert (places[0] == np.arange(5)).all() and (places[:, shared] == places[0, shared]).all()
    A, b = rng.standard_normal((3, 9, 5)), rng.standard_normal((3, 9))
    stacked = np.zeros((27, 11))
    for i, place in enumerate(places):
        stacked[9 * i : 9 * i + 9, place] = A[i]
    free = np.ones((3, 5), bool)
    hessian, gradient, joint_free = join_equations(
        [(a.T @ a, a.T @ y, f) for a, y, f in zip(A, b, free, strict=True)], places, 11
    )
    expected = np.linalg.lstsq(stacked, -b.ravel(), rcond=None)[0]
    np.testing.assert_allclose(damped_step(hessian, gradient, joint_free, 0), expected, atol=1e-10)
    joint_free[3] = False
    step = damped_step(hessian, gradient, joint_free, 0)
    kept = np.delete(stacked, 3, 1)
    np.testing.assert_allclose(np.delete(step, 3), np.linalg.lstsq(kept, -b.ravel(), rcond=None)[0], atol=1e-10)
    assert step[3] == 0


def test_a_drawn_shape_is_marginalised_as_an_unknown_of_its_own():
    """Three pictures of one linear model, whose landmarks see the shape plus a common error of known precision."""
    rng, shared = np.random.default_rng(1), np.array([False, True, True, False])
    places, shape, pictures = place_unknowns(shared, 3), np.array([1, 2]), 3
    A, b = rng.standard_normal((3, 9, 4)), rng.standard_normal((3, 9))
    stacked = np.zeros((27, 8))
    for i, place in enumerate(places):
        stacked[9 * i : 9 * i + 9, place] = A[i]
    hessian, gradient = stacked.T @ stacked, stacked.T @ b.ravel()
    both = np.concatenate([stacked, stacked[:, shape]], 1)
    full = both.T @ both
    full[8:, 8:] += hessian[np.ix_(shape, shape)] / ((pictures - 1) * COMMON_SHARE) + 1e-6 * np.eye(2)
    found, slope, less = forgive_shape(hessian, gradient, shape, pictures)
    # the ridge of 1e-6 stands against a hessian of about 27
    np.testing.assert_allclose(np.linalg.inv(found), np.linalg.inv(full)[:8, :8], rtol=1e-4)
    best = np.linalg.solve(full[8:, 8:], both[:, 8:].T @ b.ravel())
    np.testing.assert_allclose(slope, gradient - full[:8, 8:] @ best, atol=1e-5)
    held = (
        0.5 * ((both[:, 8:] @ best - b.ravel()) ** 2).sum()
        + 0.5 * best @ (full[8:, 8:] - both[:, 8:].T @ both[:, 8:]) @ best
    )
    assert 0.5 * b.ravel() @ b.ravel() - less == pytest.approx(held, rel=1e-5)


def test_pictures_of_the_same_tell_of_the_shape_what_their_own_errors_allow():
    A = np.random.default_rng(2).standard_normal((30, 3))
    one = A.T @ A
    for pictures in (1, 2, 4, 100):
        told, _, _ = forgive_shape(pictures * one, np.zeros(3), np.arange(3), pictures)
        np.testing.assert_allclose(told, pictures / (1 + (pictures - 1) * COMMON_SHARE) * one, rtol=1e-6)


def test_a_shape_drawn_in_every_picture_is_hardly_believed_more_for_that(monkeypatch):
    """Landmarks of the mean head, drawn as another one's from four sides: what is found of that shape is all error."""
    head, rng = load_head(), np.random.default_rng(5)
    corners = pose_vertices(head, rng.standard_normal(head.shape_count), np.zeros(52), np.zeros((2, 2)))
    drawn = np.einsum(
        "lkd,lk->ld", corners[head.faces[head.landmark_faces].numpy()], head.landmark_barycentrics.double().numpy()
    )
    lens = Camera(256, 256, 600.0, 600.0, 128.0, 128.0)
    cameras = [orbit_camera(lens, azimuth, 5.0, np.array([0, 0, -0.05]), 1.0) for azimuth in (0, 15, -15, 8)]
    landmarks = [camera.project(drawn)[:, :2] for camera in cameras]

    def error(pictures):
        return np.linalg.norm(fit_together(head, landmarks[:pictures], cameras[:pictures])[0].shape)

    alone, together = error(1), error(4)
    assert together < 1.35 * alone
    monkeypatch.setattr("facecraft.head.joint.COMMON_SHARE", 1e-6)
    assert error(4) > 1.7 * alone


def noisy_landmarks(photo, head, rng, common):
    """Landmarks [478, 2] that err as a face of the detector's own, partly by what is `common` [R] to a person's photos."""
    corners = photo.vertices[head.faces[head.landmark_faces].numpy()]
    points = np.einsum("lkd,lk->ld", corners, head.landmark_barycentrics.double().numpy())
    factors = head.landmark_noise_factors.double().numpy().copy()
    factors[:, IRISES] = 0
    scale = photo.camera.fx / np.linalg.norm(photo.camera.centre)
    own = np.sqrt(COMMON_SHARE) * common + np.sqrt(1 - COMMON_SHARE) * rng.standard_normal(len(factors))
    return photo.camera.project(points)[:, :2] + scale * np.tensordot(own, factors, 1)


def test_more_photos_of_a_person_find_the_shape_better():
    synthetic, head, rng = recipe("synthetic_photo"), load_head(), np.random.default_rng(4)
    person = synthetic.random_person(head, rng, 256)
    shots = [synthetic.photograph(head, person, rng, 256, yaw_sigma_deg=25) for _ in range(3)]
    common = rng.standard_normal(len(head.landmark_noise_factors))
    photos = [Photo(shot.image, shot.alpha, noisy_landmarks(shot, head, rng, common)) for shot in shots]
    cameras = [shot.camera for shot in shots]
    face = (head.vertex_regions.numpy() == 0) & (head.template.numpy()[:, 2] > -0.06)

    def shape_error(fit):
        vertices = pose_vertices(head, fit.shape, np.zeros(52), np.zeros((2, 2)))
        return np.sqrt(procrustes(shots[0].neutral[face], vertices[face])[2])

    together = fit_together(head, [photo.landmarks for photo in photos], cameras)
    alone = [fit_landmarks(head, photo.landmarks, camera) for photo, camera in zip(photos, cameras, strict=True)]
    assert shape_error(together[0]) < 0.97 * np.mean([shape_error(fit) for fit in alone])
    fits = fit_photos(head, together, photos, "draft")
    assert all((fit.shape == fits[0].shape).all() for fit in fits)
    assert all(fit.camera.fx == shot.camera.fx for fit, shot in zip(fits, shots, strict=True))
    assert np.abs(fits[0].expression - fits[1].expression).max() > 0.05
    singles = [fit_photos(head, [a], [photo], "draft")[0] for a, photo in zip(alone, photos, strict=True)]
    assert shape_error(fits[0]) < 0.97 * np.mean([shape_error(fit) for fit in singles])


def test_a_head_of_two_photos_is_written_and_read_as_that_of_the_first(tmp_path):
    true, other = photograph(0), photograph(15)
    fit = LandmarkFit(other.camera, true.shape, np.zeros(52), np.zeros((2, 2)), np.zeros(478), 1)
    fitted = replace(fitted_head(true), others=(fit,))
    sources = [Source(t.image, t.alpha, t.landmarks, t.camera, {}) for t in (true, other)]
    with Workspace.create(tmp_path / "a.ws").stage("fit-3dmm", (), {}) as run:
        fitted.save(run, sources)
    workspace = Workspace.open(tmp_path / "a.ws")
    again = load_fitted(workspace)
    np.testing.assert_allclose(again.expression, true.expression, atol=1e-6)
    np.testing.assert_allclose(again.camera.T_camera_world, true.camera.T_camera_world, atol=1e-9)
    (first, _), (second, camera) = read_frames(workspace / "head/transforms.json")
    assert first["file_path"] == "../source/images/00000_00.png"
    assert second["file_path"] == "../source/more/00001/images/00001_00.png" and second["timestep_index"] == 1
    np.testing.assert_allclose(camera.T_camera_world, other.camera.T_camera_world, atol=1e-9)
    assert read_picture(workspace / "head/overlay.png").rgb.shape == (2 * 320, 3 * 320, 3)
