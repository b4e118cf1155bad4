"""Views driven by LivePortrait: a real run of the stage with small random networks, from a motion, a template, a video."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from facecraft.stages import drive_video
from test_motion import template
from tiny_liveportrait import write_official

from facecraft.camera import Camera, orbit_camera
from facecraft.errors import DependencyError, InputError
from facecraft.face.portrait import Source
from facecraft.frames import load_frames
from facecraft.head.fitted import FittedHead, load_fitted
from facecraft.head.model import load_head
from facecraft.head.texture import Texture, render_textured
from facecraft.image import read_picture, to_bytes, write_sample
from facecraft.prior.liveportrait.crop import SOURCE, face_square
from facecraft.prior.liveportrait.drive import facing_views, put_face
from facecraft.prior.liveportrait.networks import load_liveportrait
from facecraft.prior.liveportrait.performance import head_openness, head_points, perform
from facecraft.sequences import read_template_face
from facecraft.video import VideoWriter
from facecraft.views import View, load_views, save_views
from facecraft.workspace import Workspace

LIKE = Camera(160, 160, 200.0, 200.0, 80.0, 80.0)
TARGET = np.array([0, -0.02, 0.0])


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return write_official(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def portrait(weights):
    return load_liveportrait(weights, torch.device("cpu"))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    """A smiling head, seen from the front, from behind and from 60 degrees."""
    head = load_head()
    albedo = np.random.default_rng(0).uniform(0.3, 0.8, (64, 64, 3)).astype(np.float32).repeat(4, 0).repeat(4, 1)
    texture = Texture(albedo, np.ones((256, 256), np.float32), np.eye(9)[0])
    smile = head.expression_vector({"mouthSmileLeft": 0.5, "mouthSmileRight": 0.5})[0].numpy().astype(float)
    camera = orbit_camera(LIKE, 0, 0, TARGET, 0.6)
    zeros = (np.zeros(head.shape_count), smile, np.zeros((2, 2)), np.zeros(head.template.shape))
    fitted = FittedHead(head, camera, *zeros, texture, np.zeros(478))
    views = []
    for azimuth in (0, 180, 60):
        camera = orbit_camera(LIKE, azimuth, 0, TARGET, 0.6)
        rgb, alpha, depth, _ = render_textured(head, fitted.vertices(), texture, camera)
        views.append(View(camera, rgb, alpha, depth, "texture" if azimuth else "photo"))
    path = tmp_path_factory.mktemp("driven") / "a.ws"
    with Workspace.create(path).stage("fit-3dmm", (), {}) as run:
        fitted.save(run, [Source(views[0].rgb, views[0].alpha, np.zeros((478, 3)), views[0].camera, {})])
    with Workspace.open(path).stage("enhance-views", (), {}) as run:
        save_views(run, "views/enhanced", views)
    return Workspace.open(path)


def outside_of(square, camera: Camera) -> np.ndarray:
    """Pixels [H, W] that are not in a square."""
    rows, columns = np.mgrid[: camera.height, : camera.width] + 0.5
    x, y = square.to_crop(1) @ np.stack([columns.ravel(), rows.ravel(), np.ones(rows.size)])
    return ((x < 0) | (x > 1) | (y < 0) | (y > 1)).reshape(rows.shape)


def test_the_stage_drives_all_views_that_show_the_face_at_once(workspace, weights, portrait):
    options = {"motion": "expressions", "driver": "liveportrait", "weights": weights, "moments": 3, "fps": 5}
    folder = drive_video.main(workspace.path, device="cpu", **options)
    fitted, views = load_fitted(workspace), load_views(workspace, "views/enhanced")
    frames = load_frames(workspace, fitted.head)
    assert frames.cameras == 2 and len(frames.entries) == 6  # not from behind
    assert not frames.poses.neck.any() and not frames.poses.rotation.any()
    performance = perform(portrait, fitted, "expressions", 5, 3)
    assert np.allclose(frames.poses.expression, performance.expression, atol=1e-6)
    points = head_points(fitted, fitted.vertices())
    changed = 0
    for timestep, number, camera, path in frames.entries:
        view, picture = views[(0, 2)[number]], read_picture(path)
        assert np.allclose(camera.T_camera_world, view.camera.T_camera_world)
        assert np.array_equal(picture.alpha, view.alpha)
        square = face_square(camera.project(points), *SOURCE)
        away = outside_of(square, camera)
        assert away.any() and np.array_equal(picture.rgb[away], view.rgb[away])
        changed += np.abs(picture.rgb - view.rgb)[~away & (view.alpha > 0.5)].mean() > 0.02
        # the moment's change, the same for all views, in each view's own pose
        shown = view.rgb * view.alpha[..., None] + 1 - view.alpha[..., None]
        source = portrait.read_source(square.cut(shown), head_openness(fitted, points))
        driven = portrait.place_points(source, performance.change[timestep], performance.openness[timestep], ())
        wanted = put_face(view, square, portrait.draw(source, driven))
        assert np.isfinite(wanted).all()
        assert np.abs(picture.rgb - wanted[..., :3])[view.alpha > 0.5].max() < 0.01
    assert changed == 6
    record = workspace.records()["drive-video"]
    assert [w["name"] for w in record["weights"]][0] == "LivePortrait/appearance_feature_extractor"
    made = (folder / "transforms.json").stat().st_mtime_ns
    drive_video.main(workspace.path, device="cpu", **options)
    assert (folder / "transforms.json").stat().st_mtime_ns == made


def test_other_weights_make_other_pictures(workspace, weights, tmp_path):
    options = {"driver": "liveportrait", "views": 1, "moments": 2, "fps": 5, "device": "cpu"}
    pictures = []
    for folder, retarget in ((weights, "none"), (weights, "both"), (write_official(tmp_path / "b", 1), "none")):
        out = drive_video.main(workspace.path, weights=folder, retarget=retarget, **options)
        pictures.append(read_picture(out / "images/00001_00.png").rgb)
    assert np.abs(pictures[1] - pictures[0]).max() > 0.02 and np.abs(pictures[2] - pictures[0]).max() > 0.02


def test_without_weights_the_stage_tells_how_to_get_them(workspace, tmp_path):
    with pytest.raises(DependencyError, match="hf download KwaiVGI/LivePortrait"):
        drive_video.main(workspace.path, driver="liveportrait")
    with pytest.raises(DependencyError, match=r"has no appearance_feature_extractor.*MIT"):
        drive_video.main(workspace.path, driver="liveportrait", weights=tmp_path)


def test_a_played_motion_replaces_the_expression_of_the_photo(workspace, portrait):
    fitted = load_fitted(workspace)
    performance = perform(portrait, fitted, "expressions", 5, 4)
    smile = fitted.head.expression_names.index("mouthSmileLeft")
    assert performance.expression[:, smile].min() == 0
    # the photo's own face, played, changes nothing
    rest = performance.change[performance.expression.sum(1).argmin()]
    assert rest.abs().max() > 0 and torch.isfinite(performance.change).all()


def test_a_template_changes_the_expression_of_the_photo(workspace, portrait, tmp_path):
    made, fitted = template(6), load_fitted(workspace)
    draw = np.random.default_rng(1)
    for frame in made["motion"]:
        frame["exp"] = draw.normal(size=(1, 21, 3)).astype(np.float32)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(made))
    performance = perform(portrait, fitted, str(tmp_path / "a.pkl"), 25, 3)
    ways = np.concatenate([frame["exp"] for frame in made["motion"]])
    # frame 0 is the calmest: upright, eyes open, lips shut; it is the first moment too
    moments = [int(np.abs(ways - ways[0] - change.numpy()).max((1, 2)).argmin()) for change in performance.change]
    assert moments[0] == 0 and len(set(moments)) == len(moments)
    assert np.allclose(performance.change.numpy(), (ways - ways[0])[moments], atol=1e-6)
    eyes, lips = (np.concatenate(made[name])[moments] for name in ("c_eyes_lst", "c_lip_lst"))
    assert np.allclose(performance.openness, np.concatenate([eyes, lips], 1))
    smile, jaw = (fitted.head.expression_names.index(name) for name in ("mouthSmileLeft", "jawOpen"))
    assert np.allclose(performance.expression[:, smile], 0.5)
    assert performance.expression[0, jaw] == 0 and np.ptp(performance.expression[:, jaw]) > 0.3


@pytest.mark.parametrize("exp", [None, np.zeros((1, 20, 3)), np.full((1, 21, 3), np.nan), "text"])
def test_a_template_of_other_keypoints_is_refused(tmp_path, exp):
    made = template(3)
    made["motion"][1]["exp"] = exp
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(made))
    with pytest.raises(InputError, match=r"a\.pkl has .*exp"):
        read_template_face(tmp_path / "a.pkl", 21)


def test_a_video_is_seen_by_the_networks(workspace, portrait, tmp_path, monkeypatch):
    """Nine frames in which the sample portrait moves to the right and grows darker: the networks must see its face in all."""
    write_sample(tmp_path / "a.png")
    photo = to_bytes(read_picture(tmp_path / "a.png").rgb)
    with VideoWriter(tmp_path / "a.mp4", 9) as writer:
        for t in range(9):
            writer.write((np.roll(photo, 12 * t, 1) * (1 - 0.05 * t)).astype(np.uint8))
    seen = []
    read = type(portrait).read_motion

    def watch(self, crop):
        seen.append(crop[100:400, 150:350])
        return read(self, crop)

    monkeypatch.setattr(type(portrait), "read_motion", watch)
    fitted = load_fitted(workspace)
    performance = perform(portrait, fitted, str(tmp_path / "a.mp4"), 9, 3)
    assert len(performance.change) <= 3 and performance.change.shape[1:] == (21, 3)
    assert performance.openness.shape == (len(performance.change), 3) and (performance.openness > 0).all()
    assert (np.diff([crop.mean() for crop in seen]) < 0).all()  # in their order
    off = [np.abs(crop / crop.mean() - seen[0] / seen[0].mean()).mean() for crop in seen]
    assert len(seen) > 1 and max(off) < 0.08  # the same face at the same place
    smile = fitted.head.expression_names.index("mouthSmileLeft")
    assert np.abs(performance.expression[:, smile] - 0.5).max() < 0.3  # the driver hardly moves


def test_views_without_a_face_are_not_enough(workspace):
    views = load_views(workspace, "views/enhanced")
    assert len(facing_views(views)) == 2
    with pytest.raises(InputError, match="none of 1 views shows the face"):
        facing_views(views[1:2])
