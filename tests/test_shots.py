"""Shots: which cameras and poses the options of render mean, and the pictures of them."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from region_avatar import region_avatar

from facecraft.camera import Camera, frame_record, orbit_camera, read_frames, transforms_text
from facecraft.device import torch_device
from facecraft.drive import built_in_motion
from facecraft.errors import DependencyError, InputError
from facecraft.retarget import own_rest
from facecraft.shots import head_sphere, orbit_cameras, parse_background, plan_shots, render_shots, write_shots
from facecraft.video import read_video


@pytest.fixture(scope="module")
def avatar():
    return region_avatar()


def weight(avatar, shot, name):
    return float(shot.expression[avatar.head.expression_names.index(name)])


def test_without_motion_and_expression_the_photo_is_shown_again(avatar):
    (shot,) = plan_shots(avatar, "source", size=128)
    assert torch.allclose(shot.expression, avatar.expression)
    assert torch.allclose(shot.gaze, avatar.gaze) and torch.allclose(shot.neck, avatar.neck, atol=1e-6)
    assert (shot.camera.width, shot.camera.height) == (96, 128)
    assert np.allclose(shot.camera.T_camera_world, avatar.camera.T_camera_world)


def test_an_expression_starts_from_neutral_and_a_turn_alone_keeps_the_photo(avatar):
    (driven,) = plan_shots(avatar, expression="jawOpen=0.3")
    assert weight(avatar, driven, "jawOpen") == pytest.approx(0.3) and not driven.gaze.any()
    assert driven.expression.sum() == pytest.approx(0.3)
    (turned,) = plan_shots(avatar, head_turn="0,10,0")
    assert torch.allclose(turned.expression, avatar.expression)
    assert not torch.allclose(turned.neck, avatar.neck)


def test_motion_and_expression_add_up(avatar):
    shots = plan_shots(avatar, motion="talking", expression="jawOpen=0.2", fps=10)
    plain = built_in_motion("talking", 10).expression_for(["jawOpen"])[:, 0]
    assert np.allclose([weight(avatar, shot, "jawOpen") for shot in shots], np.minimum(plain + 0.2, 1), atol=1e-6)


def test_the_turntable_goes_once_around_in_equal_steps_with_the_face_at_rest(avatar):
    shots = plan_shots(avatar, motion="turntable", fps=5)
    centre, radius = head_sphere(avatar)
    arms = np.array([shot.camera.centre - centre for shot in shots])
    angles = np.unwrap(np.arctan2(arms[:, 0], arms[:, 2]))
    assert len(shots) == 20 and np.allclose(np.diff(angles), 2 * np.pi / 20)
    assert np.ptp(np.linalg.norm(arms, axis=1)) < 1e-9 and np.linalg.norm(arms[0]) > 2 * radius
    rest = own_rest(avatar.head.expression_names, avatar.expression.numpy())
    assert avatar.expression.max() > 0.4 and rest.max() == 0  # the photo smiles by half, the motion does not
    assert all(np.allclose(shot.expression, rest, atol=0.05) and not shot.neck.any() for shot in shots)


def test_orbit_follows_the_length_of_a_motion_and_front_stands_still(avatar):
    motion = plan_shots(avatar, "orbit", "talking", fps=10)
    assert len(motion) == len(built_in_motion("talking", 10))
    assert len({tuple(shot.camera.centre.round(6)) for shot in motion}) == len(motion)
    assert len({id(shot.camera) for shot in plan_shots(avatar, "front", "talking", fps=10)}) == 1


def test_the_head_fits_into_every_view_of_the_orbit(avatar):
    centre, radius = head_sphere(avatar)
    points = avatar.pose().means.numpy()
    inside = points[np.linalg.norm(points - centre, axis=1) < radius]
    for camera in orbit_cameras(avatar, 200, range(0, 360, 45)):
        pixels = camera.project(inside)
        assert pixels[:, :2].min() > 10 and pixels[:, :2].max() < 190
        assert np.ptp(pixels[:, 1]) > 120


def test_cameras_of_a_file_are_shown_one_by_one_or_stretched_over_a_motion(avatar, tmp_path):
    like = Camera(60, 40, 100, 100, 30, 20)
    cameras = [orbit_camera(like, azimuth, 0, np.zeros(3), 1.0) for azimuth in (0, 20, 40)]
    records = [frame_record(camera, file_path=f"{i}.png") for i, camera in enumerate(cameras)]
    (tmp_path / "path.json").write_text(transforms_text(records))
    stills = plan_shots(avatar, str(tmp_path / "path.json"), size=120)
    assert [shot.camera.width for shot in stills] == [120] * 3 and stills[0].camera.height == 80
    assert np.allclose([shot.camera.centre for shot in stills], [camera.centre for camera in cameras])
    moving = plan_shots(avatar, str(tmp_path / "path.json"), "talking", fps=10)
    thirds = [moving[i * len(moving) // 6].camera.centre for i in (1, 3, 5)]
    assert np.allclose(thirds, [camera.centre for camera in cameras])


def test_turning_the_head_left_equals_moving_the_camera_right_for_the_face(avatar):
    # about the neck joint the head turns rigidly, so the nose has the same place in the picture
    neck = avatar.head.shaped()[1][0, avatar.head.joint_names.index("neck")].numpy()
    like = Camera(100, 100, 300, 300, 50, 50)
    nose = int(avatar.head.template[:, 2].argmax())
    (turned,) = plan_shots(avatar, expression="jawOpen=0", head_turn="25,0,0")
    here = avatar.vertices(turned.expression, neck=turned.neck)[nose].numpy()
    still = avatar.vertices()[nose].numpy()
    a = orbit_camera(like, 0, 0, neck, 1.5).project(here)
    b = orbit_camera(like, -25, 0, neck, 1.5).project(still)
    assert np.allclose(a, b, atol=0.05)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"camera": "sideways"}, "sideways"),
        ({"motion": "dance"}, "dance"),
        ({"expression": "grin=1"}, "grin"),
        ({"head_turn": "left"}, "left"),
    ],
)
def test_unknown_words_are_named(avatar, arguments, named):
    with pytest.raises(InputError, match=named):
        plan_shots(avatar, **arguments)


def test_cameras_and_motions_that_cannot_be_shown_are_refused(avatar, tmp_path):
    flat = frame_record(Camera(0, 40, 100, 100, 30, 20), file_path="a.png")
    mixed = [frame_record(Camera(w, 40, 100, 100, 30, 20), file_path="a.png") for w in (40, 60)]
    for name, records, named in (
        ("flat", [flat], "not positive"),
        ("mixed", mixed, "one shape"),
        ("none", [], "no frames"),
    ):
        (tmp_path / f"{name}.json").write_text(transforms_text(records))
        with pytest.raises(InputError, match=named):
            plan_shots(avatar, str(tmp_path / f"{name}.json"))
    (tmp_path / "long.json").write_text(json.dumps({"fps": 1e-9, "frames": [{"jawOpen": 0}] * 2}))
    with pytest.raises(InputError, match="lasts 1000000000 s"):
        plan_shots(avatar, motion=str(tmp_path / "long.json"))


def test_backgrounds():
    assert parse_background("white").tolist() == [1, 1, 1]
    assert parse_background("transparent") is None
    assert torch.allclose(parse_background("#ff8000"), torch.tensor([1, 128 / 255, 0]))
    with pytest.raises(InputError, match="pink"):
        parse_background("pink")


def test_transparent_pictures_have_straight_colours(avatar):
    shots = plan_shots(avatar, size=96)
    (over,) = render_shots(avatar, shots, torch.tensor([0.2, 0.9, 0.4]))
    (cut,) = render_shots(avatar, shots, None)
    alpha = cut[..., 3:]
    assert alpha[2, 2] == 0 and alpha[48, 48] > 0.99
    composed = cut[..., :3] * alpha + (1 - alpha) * np.array([0.2, 0.9, 0.4])
    assert np.abs(composed - over).max() < 2e-3


def test_written_frames_video_and_cameras_agree_and_say_synthetic(avatar, tmp_path):
    shots = plan_shots(avatar, "orbit", size=66, fps=1)
    write_shots(avatar, shots, None, 1, tmp_path, tmp_path / "a.mp4")
    assert sorted(path.name for path in tmp_path.glob("*.png")) == [f"{i:05d}_00.png" for i in range(4)]
    with Image.open(tmp_path / "00002_00.png") as picture:
        assert picture.size == (66, 66) and picture.mode == "RGBA"
        assert picture.text["Comment"].startswith("synthetic: generated by facecraft")
        rgba = np.asarray(picture, float) / 255
    for (record, camera), shot in zip(read_frames(tmp_path / "transforms.json"), shots, strict=True):
        assert (tmp_path / record["file_path"]).is_file()
        assert np.allclose(camera.T_camera_world, shot.camera.T_camera_world) and camera.fx == shot.camera.fx
    assert json.loads((tmp_path / "transforms.json").read_text())["synthetic"] is True
    _, frames = read_video(tmp_path / "a.mp4")
    frames = list(frames)
    white = rgba[..., :3] * rgba[..., 3:] + 1 - rgba[..., 3:]
    assert len(frames) == 4 and np.abs(frames[2] / 255 - white).mean() < 0.02


def test_a_still_makes_no_video(avatar, tmp_path):
    write_shots(avatar, plan_shots(avatar, size=32), torch.zeros(3), 25, tmp_path, tmp_path / "a.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000_00.png", "transforms.json"]


def test_devices():
    assert torch_device("cpu").type == "cpu"
    with pytest.raises(InputError, match="tpu"):
        torch_device("tpu")
    with pytest.raises(DependencyError, match="cuda:99"):
        torch_device("cuda:99")
