"""GaussianAvatars bundles: both ways for FLAME, refused for other heads and for files that do not belong together."""

import io
import zipfile
from dataclasses import fields

import numpy as np
import pytest
import torch
from flame_like import FACES, VERTICES, flame_like_avatar, pose_flame
from hostile import check_finite, mutants, read_all
from region_avatar import region_avatar

from facecraft.errors import InputError
from facecraft.export.gaussian_avatars import FlameAvatar, as_flame, read_bundle, write_bundle
from facecraft.export.ply import read_vertices, write_ply
from facecraft.splats.gaussians import Gaussians
from facecraft.splats.rig import local_to_world


def a_pose():
    expression = torch.zeros(52)
    expression[0] = 0.7
    return expression, torch.zeros(2, 2), torch.tensor([0.1, 0.4, -0.2])


@pytest.fixture
def bundle(tmp_path):
    write_bundle(tmp_path, as_flame(flame_like_avatar(), *a_pose()), ("for tests",))
    return tmp_path


def test_a_bundle_comes_back_as_it_was(bundle):
    avatar = flame_like_avatar()
    back = read_bundle(bundle)
    assert torch.equal(back.binding, avatar.binding)
    for field in fields(Gaussians):
        assert torch.equal(getattr(back.gaussians, field.name), getattr(avatar.gaussians, field.name)), field.name
    for name, values in avatar.head.flame_parameters(avatar.shape, avatar.offsets, *a_pose()).items():
        assert np.array_equal(back.parameters[name], values.numpy()), name


def test_flame_posed_by_the_bundle_shows_the_avatar(bundle):
    """Who poses FLAME with the parameters and applies the binding sees the Gaussians of the avatar's own pose."""
    avatar = flame_like_avatar()
    back = read_bundle(bundle)
    seen = local_to_world(back.gaussians, back.binding, pose_flame(avatar.head, back.parameters), avatar.head.faces)
    own = avatar.pose(*a_pose())
    for field in fields(Gaussians):
        assert torch.allclose(getattr(seen, field.name), getattr(own, field.name), atol=1e-6), field.name


def test_the_layout_is_that_of_gaussian_avatars(bundle):
    vertices = read_vertices(bundle / "point_cloud.ply")
    assert vertices.dtype.names[-1] == "binding_0" and len(vertices.dtype.names) == 63
    assert b"comment synthetic\n" in (bundle / "point_cloud.ply").read_bytes()[:2000]
    with np.load(bundle / "flame_param.npz", allow_pickle=False) as file:
        shapes = {name: file[name].shape for name in file.files}
    assert shapes == {
        **{"shape": (300,), "expr": (1, 100), "rotation": (1, 3), "neck_pose": (1, 3), "jaw_pose": (1, 3)},
        **{"eyes_pose": (1, 6), "translation": (1, 3), "static_offset": (1, VERTICES, 3)},
        "dynamic_offset": (1, VERTICES, 3),
    }


def test_a_trained_bundle_of_degree_3_over_time_is_read(bundle):
    """As GaussianAvatars trains them: harmonics of degree 3, many timesteps, compressed or not."""
    back = read_bundle(bundle)
    times = {
        name: np.repeat(values, 4, 0)
        for name, values in back.parameters.items()
        if name not in ("shape", "static_offset")
    }
    np.savez_compressed(bundle / "flame_param.npz", **{**back.parameters, **times})
    parts = [getattr(back.gaussians, name) for name in ("means", "quats", "log_scales", "logit_opacities")]
    colourful = Gaussians(*parts, torch.randn(len(back.binding), 16, 3))
    write_ply(bundle / "point_cloud.ply", colourful, extra={"binding_0": back.binding})
    again = read_bundle(bundle)
    assert again.gaussians.degree == 3 and torch.equal(again.gaussians.sh, colourful.sh)
    assert again.parameters["expr"].shape == (4, 100)


def test_an_avatar_on_another_head_is_refused():
    avatar = region_avatar()
    with pytest.raises(InputError, match="open head, which has no FLAME parameters"):
        as_flame(avatar, avatar.expression, avatar.gaze, avatar.neck)


def rewrite(bundle, **arrays):
    with np.load(bundle / "flame_param.npz") as file:
        old = {name: file[name] for name in file.files}
    kept = {name: values for name, values in {**old, **arrays}.items() if values is not None}
    np.savez(bundle / "flame_param.npz", **kept)


@pytest.mark.parametrize(
    ("arrays", "named"),
    [
        ({"jaw_pose": None}, "no jaw_pose"),
        ({"shape": np.zeros(100, "f4")}, r"shape of shape \[100\], not \[300\]"),
        ({"rotation": np.zeros((2, 3), "f4")}, r"rotation of shape \[2, 3\], not \[1, 3\]"),
        ({"expr": np.zeros((0, 100), "f4")}, "expr of"),
        ({"expr": np.float32(1)}, "expr of"),
        ({"static_offset": np.zeros((1, 77, 3), "f4")}, "static_offset of"),
        ({"neck_pose": np.full((1, 3), np.nan, "f4")}, "neck_pose that is not finite"),
        ({"neck_pose": np.full((1, 3), 1e300)}, "neck_pose that is not finite"),
        ({"neck_pose": np.zeros((1, 3), "i4")}, "neck_pose of .* int32"),
        ({"neck_pose": np.array([[None] * 3])}, "neck_pose of .* object"),
    ],
)
def test_parameters_that_cannot_be_are_refused_by_name(bundle, arrays, named):
    rewrite(bundle, **arrays)
    with pytest.raises(InputError, match=named):
        read_bundle(bundle)


@pytest.mark.parametrize("face", [FACES, -1, 0.5, np.nan, 1e30])
def test_bindings_that_are_no_faces_are_refused(bundle, face):
    back = read_bundle(bundle)
    binding = back.binding.float()
    binding[7] = face
    write_ply(bundle / "point_cloud.ply", back.gaussians, extra={"binding_0": binding})
    with pytest.raises(InputError, match="binding_0"):
        read_bundle(bundle)


def test_teeth_need_the_mesh_with_teeth(bundle):
    back = read_bundle(bundle)
    bare = {name: v[:, :5023] if name.endswith("offset") else v for name, v in back.parameters.items()}
    bare = {name: np.ascontiguousarray(values) for name, values in bare.items()}
    with pytest.raises(InputError, match="5023 vertices, so 9976 faces"):
        write_bundle(bundle, FlameAvatar(back.gaussians, back.binding, bare))
    write_bundle(bundle, FlameAvatar(back.gaussians, back.binding.clamp(max=9975), bare))
    assert read_bundle(bundle).parameters["static_offset"].shape == (1, 5023, 3)


def test_a_ply_without_binding_is_refused(bundle):
    write_ply(bundle / "point_cloud.ply", read_bundle(bundle).gaussians)
    with pytest.raises(InputError, match="no property binding_0"):
        read_bundle(bundle)


def npy(header: str, body: bytes = b"") -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


@pytest.mark.parametrize(
    "data",
    [
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1000000000000)}"),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -12)}", bytes(48)),
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (1, 3)}", b"cos\nsystem\n."),
        npy("{'descr': '<f4', 'fortran_order': False"),
        npy("__import__('os')"),
        b"\x93NUMPY\x09\x00" + bytes(100),
        b"",
    ],
)
def test_arrays_that_lie_are_refused(bundle, data):
    with zipfile.ZipFile(bundle / "flame_param.npz") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(bundle / "flame_param.npz", "w") as archive:
        for name, old in members.items():
            archive.writestr(name, data if name == "rotation.npy" else old)
    with pytest.raises(InputError, match="rotation"):
        read_bundle(bundle)


def test_damaged_parameters_are_refused_or_finite(tmp_path):
    avatar = flame_like_avatar(5)
    write_bundle(tmp_path, as_flame(avatar, *a_pose()))
    small = io.BytesIO()
    with np.load(tmp_path / "flame_param.npz") as file:
        np.savez_compressed(small, **{name: np.zeros_like(file[name]) for name in file.files})

    def check(back):
        assert all(np.isfinite(values).all() for values in back.parameters.values())
        check_finite(back.gaussians)

    # the central directory at the end is what a zip is read by
    read_all(lambda: read_bundle(tmp_path), tmp_path / "flame_param.npz", mutants(small.getvalue(), 60, 10**6), check)
    (tmp_path / "flame_param.npz").write_bytes(b"not a zip")
    with pytest.raises(InputError, match="not a whole npz"):
        read_bundle(tmp_path)
