import numpy as np
import pytest
from photographed_head import photograph

from facecraft.camera import Camera
from facecraft.head.fit import OVAL, fit_landmarks


def rotation_between_deg(a: Camera, b: Camera) -> float:
    turn = a.T_camera_world[:3, :3] @ b.T_camera_world[:3, :3].T
    return float(np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))))


@pytest.mark.parametrize("yaw_deg", [0, 20, -20])
def test_exact_landmarks_give_the_head_back(yaw_deg):
    true = photograph(yaw_deg)
    fit = fit_landmarks(true.head, true.landmarks, true.camera)
    face_width_px = np.ptp(true.landmarks[:, 0])
    assert fit.errors_px.mean() < 0.008 * face_width_px  # errors are believed to be shared: some of any shape is noise
    assert rotation_between_deg(fit.camera, true.camera) < 2
    for channel in ("jawOpen", "mouthSmileLeft", "mouthSmileRight"):
        index = true.head.expression_names.index(channel)
        assert abs(fit.expression[index] - true.expression[index]) < 0.25, channel  # the prior pulls towards rest


def test_expression_stays_within_its_bounds_and_frozen_channels_at_rest():
    true = photograph(0)
    rng = np.random.default_rng(0)
    noisy = true.landmarks[:, :2] + rng.normal(0, 8, (478, 2))
    fit = fit_landmarks(true.head, noisy, true.camera)
    assert fit.expression.min() >= 0 and fit.expression.max() <= 1
    assert fit.expression[true.head.expression_names.index("tongueOut")] == 0


def test_a_few_wild_landmarks_do_not_move_the_head():
    true = photograph(0)
    wild = true.landmarks.copy()
    wild[::40, :2] += 60
    exact, fit = (fit_landmarks(true.head, points, true.camera) for points in (true.landmarks, wild))
    assert rotation_between_deg(fit.camera, exact.camera) < 1
    kept = np.ones(478, bool)
    kept[::40] = False
    assert np.median(fit.errors_px[kept]) < 1.5


def test_far_outline_is_ignored_when_the_head_is_turned():
    true = photograph(35)
    moved = true.landmarks.copy()
    # the camera is at the subject's left, so the subject's right outline is far
    far = [i for i in OVAL if true.head.landmarks(true.head.template[None])[0, i, 0] < -0.03]
    moved[far, 0] -= 25
    exact, fit = (fit_landmarks(true.head, points, true.camera) for points in (true.landmarks, moved))
    assert rotation_between_deg(exact.camera, fit.camera) < 0.05


def test_intrinsics_are_kept_and_the_distance_follows_the_focal_length():
    true = photograph(0)
    fit = fit_landmarks(true.head, true.landmarks, true.camera)
    assert (fit.camera.fx, fit.camera.cx) == (true.camera.fx, true.camera.cx)
    distance = np.linalg.norm(fit.camera.centre) / np.linalg.norm(true.camera.centre)
    assert abs(distance - 1) < 0.12  # a small head near by looks much like a large one far off
