"""`facecraft export`: what it writes where, in which axes, and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from facecraft.stages import export
from flame_like import flame_like_avatar
from hostile import angles_between
from PIL import Image
from region_avatar import region_avatar
from typer.testing import CliRunner

from facecraft.cli import app
from facecraft.errors import InputError, WorkspaceError
from facecraft.export.formats import turn_for_viewers
from facecraft.export.gltf import read_glb
from facecraft.export.gltf_splats import read_gltf_splats
from facecraft.export.ply import read_ply
from facecraft.export.splat import read_splat
from facecraft.export.spz import read_spz
from facecraft.splats.colors import bake_colors
from facecraft.splats.gaussians import dc_to_rgb
from facecraft.splats.rig import matrices_from_quaternions
from facecraft.workspace import Workspace


@pytest.fixture
def subject(tmp_path):
    workspace = Workspace.create(tmp_path / "ann.ws")
    with workspace.stage("fit-3dmm", (), {}) as run:
        Image.new("RGB", (8, 8)).save(run.output("head/texture.png"))
    with workspace.stage("coin-fit", (), {}) as run:
        region_avatar().save(run.output("avatar/avatar.safetensors"))
    return workspace.path


def photo_pose():
    avatar = region_avatar()
    return avatar.pose(avatar.expression, avatar.gaze, avatar.neck)


def test_all_formats_of_gaussians_show_the_pose_of_the_photo(subject):
    wanted = photo_pose()
    upright = [read_spz(export.main(subject, "spz")), read_gltf_splats(export.main(subject, "gltf-splats"))]
    turned = [read_ply(export.main(subject, "ply"))]
    for back in [*upright, *map(turn_for_viewers, turned)]:
        assert (back.means - wanted.means).abs().max() < 1e-5
        assert angles_between(back.quats, wanted.quats).max() < 5e-3
        assert (back.sh[:, 0] - wanted.sh[:, 0]).abs().max() <= 0.5 / (0.15 * 255) + 1e-6
    splat = turn_for_viewers(read_splat(export.main(subject, "splat")))
    order = (
        torch.argsort(means[:, 0], stable=True) for means in (splat.means, wanted.means)
    )  # .splat is sorted by size
    assert torch.equal(*(cloud.means[at, 0] for cloud, at in zip((splat, wanted), order, strict=True)))
    assert torch.allclose(splat.means.mean(0), wanted.means.mean(0), atol=1e-6)


def test_colours_that_depend_on_the_side_travel_in_all_formats_that_have_a_place_for_them(subject):
    avatar, path = region_avatar(), subject / "avatar/avatar.safetensors"
    gaussians = avatar.gaussians.with_degree(3)
    draw = torch.Generator().manual_seed(2)
    rest = (torch.randn(gaussians.sh[:, 1:].shape, generator=draw) / 10).clamp(-0.4, 0.4)
    avatar = replace(avatar, gaussians=replace(gaussians, sh=torch.cat([gaussians.sh[:, :1], rest], 1)))
    path.unlink()
    avatar.save(path)
    posed = avatar.pose(avatar.expression, avatar.gaze, avatar.neck)
    assert torch.allclose(turn_for_viewers(read_ply(export.main(subject, "ply"))).sh, posed.sh)
    assert torch.allclose(read_gltf_splats(export.main(subject, "gltf-splats")).sh, posed.sh)
    back = read_spz(export.main(subject, "spz"))
    assert back.degree == 3 and (back.sh - posed.sh).abs().max() < 0.08  # 4 or 5 bits each
    splat = read_splat(export.main(subject, "splat"))
    viewmat = torch.as_tensor(avatar.camera.T_camera_world).float()
    baked = turn_for_viewers(bake_colors(posed, viewmat))
    slanted = torch.tensor([1.0, 2.7, 3.1]).double()  # no two are as far along this
    order = (torch.argsort(means.double() @ slanted) for means in (splat.means, baked.means))
    found, wanted = (dc_to_rgb(cloud.sh[at, 0]) for cloud, at in zip((splat, baked), order, strict=True))
    assert (found - wanted.clamp(0, 1)).abs().max() < 0.6 / 255


def test_viewers_see_the_head_upright_with_y_down():
    gaussians = photo_pose()
    turned = turn_for_viewers(gaussians)
    turn = torch.diag(torch.tensor([1.0, -1, -1]))
    assert torch.equal(turned.means, gaussians.means @ turn)
    axes, wanted = (matrices_from_quaternions(g.quats) for g in (turned, gaussians))
    assert torch.allclose(axes, turn @ wanted, atol=1e-6)


def test_an_expression_poses_the_export(subject):
    avatar = region_avatar()
    jaw = avatar.pose(avatar.head.expression_vector({"jawOpen": 0.5})[0])
    back = read_spz(export.main(subject, "spz", expression="jawOpen=0.5"))
    assert (back.means - jaw.means).abs().max() < 1e-5
    neutral = read_spz(export.main(subject, "spz", expression="jawOpen=0"))
    assert (neutral.means - avatar.pose().means).abs().max() < 1e-5
    scene, _ = read_glb(export.main(subject, "glb", expression="jawOpen=0.5"))
    weights = dict(zip(scene["meshes"][0]["extras"]["targetNames"], scene["meshes"][0]["weights"], strict=True))
    assert weights["jawOpen"] == 0.5 and sum(weights.values()) == 0.5


def test_every_file_with_a_place_for_it_says_that_it_is_synthetic(subject):
    for format in ("ply", "spz", "gltf-splats", "glb"):
        assert b"synthetic" in export.main(subject, format).read_bytes(), format
    assert b"colours of the reference view" in export.main(subject, "ply").read_bytes()[:1000]
    assert region_avatar().head.digest.encode() in export.main(subject, "glb").read_bytes()


def test_exports_stand_side_by_side_are_made_once_and_recorded(subject):
    first = export.main(subject, "spz")
    made = first.stat().st_mtime_ns
    assert export.main(subject, "ply").is_file()
    assert export.main(subject, "spz").stat().st_mtime_ns == made
    assert first == subject / "exports/avatar.spz"
    record = Workspace.open(subject).records()["export-spz"]
    assert record["weights"][0]["name"] == "head/open" and list(record["writes"]) == ["exports/avatar.spz"]


def test_out_is_a_copy_and_the_path_printed(subject, tmp_path):
    result = CliRunner().invoke(app, ["export", str(subject), "--format", "spz", "--out", str(tmp_path / "b.spz")])
    assert result.exit_code == 0 and result.stdout == f"{tmp_path}/b.spz\n"
    assert (tmp_path / "b.spz").read_bytes() == (subject / "exports/avatar.spz").read_bytes()
    assert export.main(subject, "spz", out=tmp_path) == tmp_path / "avatar.spz"
    with pytest.raises(InputError, match="none/b.spz cannot be written"):
        export.main(subject, "spz", out=tmp_path / "none/b.spz")


def test_the_open_head_has_no_bundle(subject):
    with pytest.raises(InputError, match="needs FLAME: export glb, ply or spz"):
        export.main(subject, "gaussian-avatars")
    assert not (subject / "exports").exists()


def test_a_flame_avatar_has_one(subject, tmp_path, monkeypatch):
    monkeypatch.setattr("facecraft.avatar.load_head", lambda name: flame_like_avatar().head)
    with Workspace.open(subject).stage("coin-fit", (), {"head": "flame"}) as run:
        flame_like_avatar().save(run.output("avatar/avatar.safetensors"))
    folder = export.main(subject, "gaussian-avatars", out=tmp_path / "bundle")
    assert sorted(path.name for path in folder.iterdir()) == ["flame_param.npz", "point_cloud.ply"]
    assert np.load(folder / "flame_param.npz")["shape"].shape == (300,)


def test_what_cannot_be_exported_says_so(subject, tmp_path):
    with pytest.raises(InputError, match="grin"):
        export.main(subject, "ply", expression="grin=1")
    with Workspace.create(tmp_path / "b.ws").stage("fit-3dmm", (), {}) as run:
        run.output("head/texture.png").touch()
    with pytest.raises(WorkspaceError, match="coin-fit"):
        export.main(tmp_path / "b.ws", "ply")
    assert CliRunner().invoke(app, ["export", str(subject), "--format", "obj"]).exit_code == 2
