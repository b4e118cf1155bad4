import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from photographed_head import photograph
from safetensors.torch import load_file, save_file
from test_prior import fitted_head

from facecraft.avatar import render
from facecraft.camera import orbit_camera
from facecraft.errors import InputError
from facecraft.frames import HeadPoses, load_frames, pose_head, save_frames
from facecraft.prior.texture import surround
from facecraft.splats.coin import as_avatar
from facecraft.splats.gaussians import Gaussians
from facecraft.splats.rig import local_to_world
from facecraft.splats.schedule import Schedule
from facecraft.splats.seed import seed_gaussians
from facecraft.splats.train import Trainer
from facecraft.workspace import Workspace

SIZE, TIMESTEPS, CAMERAS = 96, 3, 2
OPEN = 0.5


@pytest.fixture(scope="module")
def scene():
    """An avatar, views of it, and what an expression that opens the mouth looks like from two sides."""
    true = photograph(0, size=160)
    fitted = fitted_head(true)
    gaussians, binding, seen = seed_gaussians(fitted, 14_000, 0)
    avatar = as_avatar(fitted, gaussians, binding)
    poses = HeadPoses(*(torch.zeros(TIMESTEPS, *shape) for shape in ((52,), (2, 2), (3,), (3,), (3,))))
    poses.expression[1:, avatar.head.expression_names.index("jawOpen")] = OPEN
    poses.rotation[2, 1] = 0.1
    poses.translation[2, 0] = 0.01
    distance = float(np.linalg.norm(avatar.camera.centre))
    like = avatar.camera.resized(SIZE, SIZE)
    cameras = [orbit_camera(like, azimuth, 0, np.array([0, -0.03, -0.04]), distance) for azimuth in (-20, 20)]
    pictures = {(t, c): take(avatar, poses, t, cameras[c]) for t in range(TIMESTEPS) for c in range(CAMERAS)}
    return avatar, surround(fitted, true.image, true.alpha, 4, SIZE), 1 - seen, poses, cameras, pictures


def posed(avatar, poses, timestep) -> Gaussians:
    vertices = pose_head(avatar, {name: tensor[timestep] for name, tensor in poses.tensors().items()})
    return local_to_world(avatar.gaussians, avatar.binding, vertices, avatar.head.faces)


def take(avatar, poses, timestep, camera) -> np.ndarray:
    rgb, alpha = render(posed(avatar, poses, timestep), camera)
    straight = rgb / alpha[..., None].clamp_min(1e-6)
    return torch.cat([straight, alpha[..., None]], 2).clamp(0, 1).numpy()


@pytest.fixture
def workspace(scene, tmp_path):
    avatar, _, _, poses, cameras, pictures = scene

    def output(name):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        return tmp_path / name

    save_frames(output, avatar.head, poses, cameras, ((*key, rgba) for key, rgba in pictures.items()))
    return Workspace(tmp_path)


def test_a_turned_head_moves_its_vertices_rigidly(scene):
    avatar, poses = scene[0], scene[3]
    still, turned = (pose_head(avatar, {k: v[t] for k, v in poses.tensors().items()}) for t in (1, 2))
    cos, sin = np.cos(0.1), np.sin(0.1)
    wanted = still @ torch.tensor([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]).float().mT + torch.tensor([0.01, 0, 0])
    assert torch.allclose(turned, wanted, atol=1e-6)


def test_frames_come_back_as_they_were_written(scene, workspace):
    avatar, _, _, poses, cameras, pictures = scene
    frames = load_frames(workspace, avatar.head)
    assert frames.cameras == CAMERAS and len(frames.entries) == TIMESTEPS * CAMERAS
    for name, tensor in poses.tensors().items():
        assert torch.equal(tensor, frames.poses.tensors()[name]), name
    for shot, (timestep, number, *_) in zip(frames.shots(7), frames.entries, strict=True):
        rgb, alpha = shot.read()
        wanted = pictures[timestep, number]
        assert shot.view == 7 + number and shot.timestep == timestep
        assert np.abs(alpha - wanted[..., 3]).max() < 0.003
        assert np.abs((rgb - wanted[..., :3])[alpha > 0.5]).max() < 0.003
        assert np.allclose(shot.camera.T_camera_world, cameras[number].T_camera_world)


def test_without_frames_there_is_no_video(tmp_path, scene):
    assert load_frames(Workspace(tmp_path), scene[0].head) is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"timestep_index": -1}, "timestep_index"),
        ({"timestep_index": 10**9}, "timestep_index"),
        ({"timestep_index": 9}, "without gaps"),
        ({"camera_index": "0"}, "camera_index"),
        ({"head_param_path": "../../etc/passwd"}, "head_param_path"),
        ({"file_path": "images/none.png"}, "file_path"),
        ({"w": 97}, "97x96"),
    ],
)
def test_a_wrong_frame_is_named(scene, workspace, change, named):
    path = workspace / "frames/transforms.json"
    data = json.loads(path.read_text())
    data["frames"][0] |= change
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match=named):
        load_frames(workspace, scene[0].head)


@pytest.mark.parametrize("value", [torch.full((3,), torch.nan), torch.zeros(4), None])
def test_a_wrong_pose_is_named(scene, workspace, value):
    path = workspace / "frames/head_param/00001.safetensors"
    tensors = load_file(path) | {"neck": value}
    names = {"expression_names": json.dumps(scene[0].head.expression_names)}
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, path, names)
    with pytest.raises(InputError, match=r"00001.*neck"):
        load_frames(workspace, scene[0].head)


def test_video_corrects_the_expressions_of_its_timesteps(scene, workspace):
    avatar, views, unseen, poses, *_ = scene
    frames = load_frames(workspace, avatar.head)
    jaw = avatar.head.expression_names.index("jawOpen")
    wrong = replace(frames.poses, expression=frames.poses.expression.clone())
    wrong.expression[1, jaw] -= 0.03
    schedule = Schedule(2, 14_000, 14_000, video=100)
    trainer = Trainer(avatar, views, unseen, schedule, 0, torch.device("cpu"), frames=replace(frames, poses=wrong))
    trainer.run(schedule.total)
    learnt = trainer.adam.values["pose.expression"].detach()[1, jaw]
    assert abs(learnt - OPEN) < 0.5 * 0.03
    assert trainer.iteration == 102 and f"coin.view.{len(views) + 1}" in trainer.adam.values
