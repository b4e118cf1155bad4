"""Honesty: the truth of a synthetic subject is for `eval` alone; and an avatar that is the truth is found to be it."""

import importlib
import json
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from facecraft.stages import coin_fit, enhance_views, export, fit_3dmm, render, sheet
from facecraft.stages import eval as stage

from facecraft.avatar import Avatar
from facecraft.avatar import render as draw
from facecraft.camera import Camera, look_at
from facecraft.cli import STAGES
from facecraft.drive import POSES, parse_expression
from facecraft.evaluation.pairs import Shown
from facecraft.evaluation.subject import Subject, Truth, expression_name, load_truth, subject_pairs, view_name
from facecraft.synth.labels import LABELS
from facecraft.views import View, save_views
from facecraft.workspace import Workspace

_opened: list[str] | None = None
"""Paths that this process opens or lists, while a test asks for them: an audit hook cannot be taken away."""


def _listen(event: str, arguments: tuple) -> None:
    if _opened is not None and event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], (str, bytes)):
        _opened.append(str(arguments[0]))


sys.addaudithook(_listen)


def test_no_stage_but_eval_declares_the_truth_as_read():
    for name in STAGES:
        module = importlib.import_module(f"facecraft.stages.{name.replace('-', '_')}")
        reads = (*module.READS, *getattr(module, "OPTIONAL_READS", ()))
        assert ("truth" in str(reads)) == (name == "eval"), name


def test_the_chain_never_opens_the_truth(astronaut_workspace, tmp_path):
    """From source/ to the exports beside a truth/ full of rubbish, which would fail whoever read it behind Python's back."""
    global _opened
    path = tmp_path / "astronaut.ws"
    shutil.copytree(astronaut_workspace, path)
    for name in (
        "avatar.safetensors",
        "subject.json",
        "views/transforms.json",
        "views/images/00000_00.png",
        "photo.jpg",
    ):
        (path / "truth" / name).parent.mkdir(parents=True, exist_ok=True)
        (path / "truth" / name).write_bytes(b"rubbish")
    _opened = []
    try:
        fit_3dmm.main(path, quality="draft", texture_size=256, force=True)
        enhance_views.main(path, views=4, size=96, force=True)
        coin_fit.main(path, quality="draft", iterations=3, gaussians=500, device="cpu", force=True)
        render.main(path, size=32)
        sheet.main(path, size=64)
        export.main(path, format="splat")
        opened = _opened
    finally:
        _opened = None
    assert any("source" in name for name in opened)  # the hook hears what is read
    assert [name for name in opened if f"{path.name}/truth" in name or name.endswith("/truth")] == []
    for record in Workspace.open(path).records().values():
        assert not any(name.startswith("truth") for name in (*record["reads"], *record["read_names"])), record["stage"]


def turn_about(avatar: Avatar, azimuth_deg: float) -> Camera:
    angle = np.radians(azimuth_deg)
    middle = np.array([0.0, -0.035, -0.065])
    eye = middle + 1.3 * np.array([np.sin(angle), 0, np.cos(angle)])
    return Camera(96, 96, 230.0, 230.0, 48.0, 48.0, look_at(eye, middle))


@pytest.fixture(scope="module")
def avatar(astronaut_workspace) -> Avatar:
    return Avatar.load(astronaut_workspace / "avatar/avatar.safetensors")


def true_views(avatar: Avatar, cameras: list[Camera], channels: list[dict]) -> list[View]:
    views = []
    for camera, named in zip(cameras, channels, strict=True):
        expression = avatar.head.expression_vector(named)[0]
        with torch.no_grad():
            rgb, alpha = draw(avatar.pose(expression, torch.zeros(2, 2), torch.zeros(3)), camera)
        straight = (rgb / alpha.clamp_min(1e-6)[..., None]).clamp(0, 1).numpy()
        views.append(View(camera, straight, alpha.numpy(), np.zeros(alpha.shape, np.float32), "truth", 1.0, named))
    return views


def moved(avatar: Avatar, scale: float, turn: np.ndarray, shift: np.ndarray) -> Truth:
    """The truth of a head that is `avatar` itself, seen from a frame that is turned, shifted and of another size."""
    smile = parse_expression(POSES["smile"])
    photo = dict(zip(avatar.head.expression_names, avatar.expression.tolist(), strict=True))
    cameras = [turn_about(avatar, azimuth) for azimuth in (0, 30, 0)]
    views = true_views(avatar, cameras, [photo, photo, smile])

    class Moved:
        """An avatar whose vertices lie in the other frame."""

        head = avatar.head

        def vertices(self, *pose):
            return torch.as_tensor(scale * avatar.vertices(*pose).double().numpy() @ turn.T + shift)

    def move(camera: Camera) -> Camera:
        T = camera.T_camera_world.copy()
        T[:3, :3] = T[:3, :3] @ turn.T
        T[:3, 3] = scale * T[:3, 3] - T[:3, :3] @ shift
        return replace(camera, T_camera_world=T)

    views = [replace(view, camera=move(view.camera)) for view in views]
    clothes = [np.zeros(view.alpha.shape, bool) for view in views]
    return Truth(views, Moved(), clothes, torch.zeros(2, 2), torch.zeros(3))


def test_an_avatar_that_is_the_truth_in_another_frame_is_found_to_be_it(avatar):
    """Cameras and meshes of a frame that is turned, shifted and 1.2 times as large come back where they were."""
    from scipy.spatial.transform import Rotation

    still = replace(avatar, gaze=torch.zeros(2, 2), neck=torch.zeros(3))
    turn = Rotation.from_rotvec([0.1, 0.3, -0.05]).as_matrix()
    truth = moved(still, 1.2, turn, np.array([0.02, -0.1, 0.3]))
    subject = Subject(still, Shown(np.ones((96, 96, 3), np.float32)), truth)
    assert subject.similarity[0] == pytest.approx(1 / 1.2)
    pairs = list(subject_pairs(subject, "head"))
    assert len(pairs) == subject.comparisons == 4
    for pair in pairs[1:]:
        assert np.abs(pair.predicted.rgb - pair.truth.rgb).max() < 2e-3, pair.name
    assert pairs[3].name == "smile" and max(pairs[3].figures.values()) < 1e-2


def test_vertices_that_are_off_are_measured_in_millimetres_of_the_truth(avatar):
    still = replace(avatar, gaze=torch.zeros(2, 2), neck=torch.zeros(3))
    truth = moved(still, 1.0, np.eye(3), np.zeros(3))
    rng = np.random.default_rng(0)
    noise = 0.002 * rng.standard_normal(tuple(avatar.offsets.shape))
    rough = replace(still, offsets=still.offsets + torch.as_tensor(noise).float())
    errors = Subject(rough, Shown(np.ones((96, 96, 3), np.float32)), truth).geometry_errors({"jawOpen": 0.5})
    assert errors["vertex_mm"] == pytest.approx(2 * np.sqrt(8 / np.pi), rel=0.05)  # the mean length of such noise
    assert errors["motion_mm"] < 0.5


def test_names_of_views_and_expressions(avatar):
    assert view_name(turn_about(avatar, 30)) == "+30°" and view_name(turn_about(avatar, -90)) == "-90°"
    assert expression_name(parse_expression(POSES["jaw open"])) == "jaw open"
    assert expression_name({"jawLeft": 0.3, "cheekPuff": 0.9, "tongueOut": 0.1}) == "cheekPuff 0.9 + jawLeft 0.3"


def test_a_synthetic_workspace_is_read_as_synth_writes_it(astronaut_workspace, avatar, tmp_path):
    """truth/ by the same function that synth calls; eval finds views, clothes and expressions."""
    path = tmp_path / "twin.ws"
    shutil.copytree(astronaut_workspace, path)
    photo = dict(zip(avatar.head.expression_names, avatar.expression.tolist(), strict=True))
    named = [photo, photo, parse_expression(POSES["smile"])]
    views = true_views(avatar, [turn_about(avatar, a) for a in (0, 60, 0)], named)
    with Workspace.open(path).stage("synth", (), {}) as run:
        save_views(run, "truth/views", views)
        for i in range(3):
            labels = np.zeros((96, 96), np.uint8)
            labels[70:] = LABELS.index("cloth")
            shutil.os.makedirs(run.output("truth/views/labels"), exist_ok=True)
            from PIL import Image

            Image.fromarray(labels).save(run.output(f"truth/views/labels/00000_{i:02d}.png"))
        avatar.save(run.output("truth/avatar.safetensors"))
        about = {"gaze": [[0, 0], [0, 0]], "neck": [0, 0, 0], "labels": list(LABELS)}
        run.output("truth/subject.json").write_text(json.dumps(about))
    truth = load_truth(Workspace.open(path))
    assert len(truth.views) == 3 and truth.clothes[0][70:].all() and not truth.clothes[0][:70].any()
    report = stage.main(path, metrics="psnr")
    groups = [image["group"] for image in json.loads(report.with_name("metrics.json").read_text())["images"]]
    assert groups == ["photo", "true views", "true views", "true expressions"]
    assert "truth" in Workspace.open(path).records()["eval-avatar"]["read_names"]
