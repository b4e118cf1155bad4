"""Cameras: projection and its inverse, orbits, and the way to nerfstudio's convention and back."""

import json

import numpy as np
import pytest

from facecraft.camera import Camera, frame_record, look_at, orbit_camera, read_frames, transforms_text
from facecraft.errors import InputError

RNG = np.random.default_rng(0)


def some_camera() -> Camera:
    return Camera(640, 480, 700.0, 710.0, 300.0, 250.0, look_at(np.array([0.3, 0.2, 1.1]), np.array([0.0, 0.05, 0.0])))


def test_a_point_on_the_axis_lands_on_the_principal_point():
    camera = Camera(640, 480, 700.0, 710.0, 300.0, 250.0)
    assert camera.project(np.array([0.0, 0.0, 2.0])).tolist() == [300.0, 250.0, 2.0]


def test_projection_by_hand_x_right_y_down():
    camera = Camera(640, 480, 700.0, 710.0, 300.0, 250.0)
    assert np.allclose(camera.project(np.array([0.1, 0.2, 2.0])), [300 + 35, 250 + 71, 2.0])


def test_projection_equals_the_homogeneous_matrix():
    camera, points = some_camera(), RNG.uniform(-0.2, 0.2, (50, 3))
    T = np.linalg.inv(np.linalg.inv(camera.T_camera_world))
    homogeneous = (camera.K @ (T @ np.c_[points, np.ones(50)].T)[:3]).T
    assert np.allclose(camera.project(points)[:, :2], homogeneous[:, :2] / homogeneous[:, 2:])


def test_unproject_inverts_project():
    camera, points = some_camera(), RNG.uniform(-0.2, 0.2, (4, 25, 3))
    pixels = camera.project(points)
    assert np.allclose(camera.unproject(pixels[..., :2], pixels[..., 2]), points, atol=1e-12)


def test_look_at_is_a_rotation_that_keeps_up_upright():
    eye, target = np.array([0.5, 0.3, 0.8]), np.array([0.0, -0.1, 0.1])
    T = look_at(eye, target)
    R = T[:3, :3]
    assert np.allclose(R @ R.T, np.eye(3)) and np.isclose(np.linalg.det(R), 1)
    camera = Camera(100, 100, 100.0, 100.0, 50.0, 50.0, T)
    assert np.allclose(camera.centre, eye)
    assert np.allclose(camera.transform(target), [0, 0, np.linalg.norm(target - eye)])
    above = camera.project(target + [0, 0.01, 0])
    assert np.isclose(above[0], 50) and above[1] < 50  # up in the world is up in the picture


@pytest.mark.parametrize("azimuth", [0, 30, -75, 180])
@pytest.mark.parametrize("elevation", [0, 25])
def test_an_orbit_camera_looks_at_its_target(azimuth, elevation):
    like, target = some_camera(), np.array([0.01, 0.02, -0.05])
    camera = orbit_camera(like, azimuth, elevation, target, 1.5)
    assert np.allclose(camera.project(target), [320, 240, 1.5])
    assert (camera.fx, camera.fy, camera.width, camera.height) == (like.fx, like.fy, like.width, like.height)
    offset = camera.centre - target
    assert np.isclose(np.degrees(np.arctan2(offset[0], offset[2])) % 360, azimuth % 360)
    assert np.isclose(np.degrees(np.arcsin(offset[1] / 1.5)), elevation)


def test_positive_azimuth_shows_the_subjects_left():
    camera = orbit_camera(some_camera(), 60, 0, np.zeros(3), 1.0)
    left_ear, right_ear = camera.project(np.array([[0.07, 0, -0.05], [-0.07, 0, -0.05]]))
    assert left_ear[2] < right_ear[2]


def test_the_subjects_left_is_on_the_right_of_a_frontal_picture():
    camera = orbit_camera(some_camera(), 0, 0, np.zeros(3), 1.0)
    assert camera.project(np.array([0.07, 0, 0]))[0] > 320


def test_resized_projects_the_same_point_in_proportion():
    camera, points = some_camera(), RNG.uniform(-0.1, 0.1, (10, 3))
    small = camera.resized(320, 120)
    assert np.allclose(small.project(points), camera.project(points) * [0.5, 0.25, 1])


def test_nerfstudio_cameras_look_along_minus_z_with_y_up():
    camera = Camera(64, 64, 80.0, 80.0, 32.0, 32.0, look_at(np.array([0, 0, 2.0]), np.zeros(3)))
    matrix = np.array(frame_record(camera)["transform_matrix"])
    assert np.allclose(matrix, [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 2], [0, 0, 0, 1]])


def test_cameras_survive_the_file(tmp_path):
    cameras = [orbit_camera(some_camera(), a, 10, np.zeros(3), 1.0) for a in (0, 90, 200)]
    frames = [frame_record(camera, file_path=f"images/{i}.png") for i, camera in enumerate(cameras)]
    (tmp_path / "transforms.json").write_text(transforms_text(frames[::-1]))
    found = read_frames(tmp_path / "transforms.json")
    assert [frame["file_path"] for frame, _ in found] == ["images/0.png", "images/1.png", "images/2.png"]
    for (_, camera), expected in zip(found, cameras, strict=True):
        assert np.allclose(camera.T_camera_world, expected.T_camera_world, atol=1e-12)
        assert np.array_equal(camera.K, expected.K)


def test_intrinsics_of_the_whole_file_hold_for_frames_without_their_own(tmp_path):
    frame = frame_record(some_camera(), file_path="a.png")
    shared = {key: frame.pop(key) for key in ("fl_x", "fl_y", "cx", "cy", "w", "h")}
    (tmp_path / "transforms.json").write_text(json.dumps({**shared, "frames": [frame]}))
    ((_, camera),) = read_frames(tmp_path / "transforms.json")
    assert np.array_equal(camera.K, some_camera().K)


SINGULAR, INFINITE = np.zeros((4, 4)).tolist(), np.full((4, 4), np.inf).tolist()


@pytest.mark.parametrize(
    "change",
    [
        {"transform_matrix": [[1, 0], [0, 1]]},
        {"transform_matrix": SINGULAR},
        {"transform_matrix": INFINITE},
        {"w": "wide"},
    ],
)
def test_a_damaged_frame_is_one_line(tmp_path, change):
    path = tmp_path / "transforms.json"
    path.write_text(json.dumps({"frames": [{**frame_record(some_camera(), file_path="a.png"), **change}]}))
    with pytest.raises(InputError, match="is not a transforms.json") as error:
        read_frames(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"frames": 3}', '{"frames": [3]}', '{"frames": [{}]}', "\xff"])
def test_what_is_not_transforms_is_one_line(tmp_path, text):
    path = tmp_path / "transforms.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match="is not a transforms.json") as error:
        read_frames(path)
    assert "\n" not in str(error.value)
