"""The avatar: posing, the picture, and a file that refuses what does not belong together."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from region_avatar import region_avatar
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from facecraft.avatar import Avatar, render
from facecraft.camera import Camera, orbit_camera
from facecraft.errors import InputError
from facecraft.splats.gaussians import Gaussians
from facecraft.splats.rig import triangle_frames


@pytest.fixture
def saved(tmp_path):
    region_avatar().save(tmp_path / "avatar.safetensors")
    return tmp_path / "avatar.safetensors"


def rewrite(path, tensors=None, **metadata):
    with safe_open(path, "pt") as file:
        old = file.metadata()
    save_file({**load_file(path), **(tensors or {})}, path, old | metadata)


def test_gaussians_without_offset_sit_at_the_centres_of_their_posed_triangles():
    avatar = region_avatar()
    expression = avatar.head.expression_vector({"jawOpen": 0.6})[0]
    neck = torch.tensor([0.1, 0.3, 0.0])
    posed = avatar.pose(expression, neck=neck)
    vertices = avatar.head.vertices(expression=expression[None], neck=neck[None])[0]
    _, sizes, centres = triangle_frames(vertices, avatar.head.faces)
    assert torch.allclose(posed.means, centres, atol=1e-7)
    assert torch.allclose(posed.scales[:, 1], 0.05 * sizes, rtol=1e-4)


def test_offsets_and_shape_move_the_gaussians():
    avatar = region_avatar()
    shift = torch.tensor([0.0, 0.01, 0.0])
    moved = replace(avatar, offsets=avatar.offsets + shift).pose()
    skin = avatar.head.face_regions == avatar.head.region_names.index("scalp_neck")  # lids also rest on the eyeballs
    assert torch.allclose(moved.means[skin], avatar.pose().means[skin] + shift, atol=1e-6)
    shaped = replace(avatar, shape=torch.ones_like(avatar.shape)).pose()
    assert (shaped.means - avatar.pose().means).norm(dim=1).max() > 2e-3


def test_pose_carries_derivatives_to_gaussians_and_offsets():
    avatar = region_avatar()
    offsets = torch.zeros_like(avatar.offsets, requires_grad=True)
    replace(avatar, offsets=offsets).pose().means[:, 1].sum().backward()
    # every triangle's centre is the mean of its corners: the sum moves by a third for each corner
    corners = torch.bincount(avatar.head.faces.flatten(), minlength=len(offsets))
    assert torch.allclose(offsets.grad[:, 1], corners / 3, atol=1e-4)


def test_file_round_trip(saved):
    avatar, back = region_avatar(), Avatar.load(saved)
    for name in ("shape", "offsets", "expression", "gaze", "neck", "binding"):
        assert torch.equal(getattr(back, name), getattr(avatar, name)), name
    for field in fields(Gaussians):
        assert torch.equal(getattr(back.gaussians, field.name), getattr(avatar.gaussians, field.name))
    assert replace(back.camera, T_camera_world=None) == replace(avatar.camera, T_camera_world=None)
    assert np.array_equal(back.camera.T_camera_world, avatar.camera.T_camera_world)
    assert back.provenance == {"made": "for tests"}


def test_file_describes_itself(saved):
    with safe_open(saved, "pt") as file:
        metadata = file.metadata()
    head = region_avatar().head
    assert metadata["synthetic"] == "true" and metadata["schema"] == "facecraft-avatar/1"
    assert (metadata["head"], metadata["head_digest"], metadata["head_licence"]) == (
        head.name,
        head.digest,
        head.licence,
    )
    assert json.loads(metadata["expression_names"]) == list(head.expression_names)


def avatar_with_coin():
    avatar = region_avatar()
    count = len(avatar.binding)
    draw = torch.Generator().manual_seed(4)
    shapes = {"coin.colors": (count, 3), "coin.place": (count, 8), "coin.view.0": (8,), "coin.out": (3, 32)}
    return replace(avatar, coin={name: torch.randn(shape, generator=draw) for name, shape in shapes.items()})


def test_the_network_of_coin_travels_with_the_avatar(saved):
    avatar = avatar_with_coin()
    avatar.save(saved)
    back = Avatar.load(saved)
    assert back.coin.keys() == avatar.coin.keys()
    assert all(torch.equal(back.coin[name], tensor) for name, tensor in avatar.coin.items())
    with safe_open(saved, "pt") as file:
        assert "coin.view.0, the reference" in file.metadata()["coin"]
    region_avatar().save(saved)
    assert Avatar.load(saved).coin == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("coin.place", torch.zeros(3, 8)),
        ("coin.colors", torch.zeros(())),
        ("coin.out", torch.full((3, 32), torch.nan)),
        ("coin.view.0", torch.zeros(8, dtype=torch.float64)),
    ],
)
def test_coin_that_does_not_fit_is_refused_by_name(saved, name, value):
    avatar_with_coin().save(saved)
    rewrite(saved, {name: value})
    with pytest.raises(InputError, match=name):
        Avatar.load(saved)


@pytest.mark.parametrize(
    ("metadata", "named"),
    [
        ({"head_digest": "0" * 64}, "head_digest 000000000000"),
        ({"head": "nobody"}, "nobody"),
        ({"schema": "facecraft-avatar/9"}, "facecraft-avatar/9"),
        ({"expression_names": '["jawOpen"]'}, "expression_names"),
        ({"expression_names": "{"}, "expression_names"),
        ({"provenance": "[]"}, "provenance"),
    ],
)
def test_foreign_metadata_is_refused_by_name(saved, metadata, named):
    rewrite(saved, **metadata)
    with pytest.raises(InputError, match=named):
        Avatar.load(saved)


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("gaussians.means", torch.zeros(3, 3), r"gaussians.means of shape \[3, 3\]"),
        ("offsets", torch.zeros(5, 3), "offsets of shape"),
        ("shape", torch.zeros(999), "999 modes"),
        ("shape", torch.zeros(2, 2), "shape of shape"),
        ("expression", torch.zeros(51), "expression of shape"),
        ("gaze", torch.full((2, 2), torch.nan), "value in gaze"),
        ("neck", torch.zeros(3, dtype=torch.float64), "neck of type"),
        ("binding", torch.zeros(7, dtype=torch.int32), "gaussians.means of shape"),
        ("binding", torch.tensor(1, dtype=torch.int32), "binding of shape"),
        ("camera.intrinsics", torch.tensor([0.0, 10, 1, 1, 0, 0], dtype=torch.float64), "camera.intrinsics"),
        ("camera.intrinsics", torch.tensor([10.0, 1e9, 1, 1, 0, 0], dtype=torch.float64), "camera.intrinsics"),
        ("camera.T_camera_world", torch.zeros(4, 4, dtype=torch.float64), "not a rotation"),
        ("camera.T_camera_world", torch.full((4, 4), torch.inf, dtype=torch.float64), "camera.T_camera_world"),
    ],
)
def test_tensors_that_disagree_are_refused_by_name(saved, name, value, named):
    rewrite(saved, {name: value})
    with pytest.raises(InputError, match=named):
        Avatar.load(saved)


@pytest.mark.parametrize("binding", [-1, 10**6])
def test_binding_beyond_the_faces_is_refused(saved, binding):
    tensors = load_file(saved)
    tensors["binding"][3] = binding
    rewrite(saved, {"binding": tensors["binding"]})
    with pytest.raises(InputError, match="binding beyond"):
        Avatar.load(saved)


def test_a_missing_tensor_and_a_broken_file_are_refused(saved):
    tensors = load_file(saved)
    del tensors["gaussians.quats"]
    with safe_open(saved, "pt") as file:
        metadata = file.metadata()
    save_file(tensors, saved, metadata)
    with pytest.raises(InputError, match="no gaussians.quats"):
        Avatar.load(saved)
    saved.write_bytes(saved.read_bytes()[:1000])
    with pytest.raises(InputError, match="cannot be read"):
        Avatar.load(saved)


def test_a_gaussian_is_drawn_where_the_camera_projects_it_in_its_colour():
    camera = orbit_camera(Camera(64, 48, 80, 80, 32, 24), 30, 10, np.zeros(3), 1.0)
    place = np.array([0.05, 0.02, -0.03])
    one = Gaussians(
        torch.tensor(place[None], dtype=torch.float32),
        torch.tensor([[1.0, 0, 0, 0]]),
        torch.full((1, 3), -4.0),
        torch.tensor([9.0]),
        torch.tensor([[[0.5, -0.5, 0.0]]]) / 0.28209479177387814,
    )
    rgb, alpha = render(one, camera, torch.tensor([0.0, 0.0, 1.0]))
    y, x = np.unravel_index(int(alpha.argmax()), alpha.shape)
    x, y = int(x), int(y)
    assert np.allclose([x + 0.5, y + 0.5], camera.project(place)[:2], atol=0.6)
    assert torch.allclose(
        rgb[y, x], alpha[y, x] * torch.tensor([1.0, 0, 0.5]) + (1 - alpha[y, x]) * torch.tensor([0, 0, 1.0])
    )
    assert rgb[0, 0].tolist() == [0, 0, 1] and alpha[0, 0] == 0


def test_the_head_shows_its_left_eye_right_of_the_middle_and_hides_it_from_behind():
    avatar = region_avatar()
    like = Camera(128, 128, 500, 500, 64, 64)

    def blue_pixels(azimuth):
        rgb, _ = render(avatar.pose(), orbit_camera(like, azimuth, 0, np.zeros(3), 1.5))
        return torch.nonzero((rgb[..., 2] > 0.5) & (rgb[..., 0] < 0.3))

    front = blue_pixels(0)
    assert len(front) > 5 and (front[:, 1] > 64).all()
    assert len(blue_pixels(180)) == 0


def test_blinking_hides_the_eyes():
    avatar = region_avatar()
    camera = orbit_camera(Camera(128, 128, 700, 700, 64, 64), 0, 0, np.zeros(3), 1.5)
    closed = avatar.head.expression_vector({"eyeBlinkLeft": 1, "eyeBlinkRight": 1})[0]
    whites = []
    for expression in (None, closed):
        rgb, _ = render(avatar.pose(expression), camera)
        whites.append(int(((rgb[..., 1:].amax(-1) > 0.6) & (rgb[..., 0] < 0.3)).sum()))
    assert whites[0] > 10 and whites[1] == 0
