"""What `facecraft synth` writes: shards, multi-view films, workspaces."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from facecraft.avatar import Avatar, render
from facecraft.camera import read_frames
from facecraft.errors import InputError
from facecraft.face.landmarks import find_faces
from facecraft.head.model import load_head
from facecraft.image import read_picture
from facecraft.synth.labels import LABELS
from facecraft.synth.multiview import VAL_CAMERA, write_multiview
from facecraft.synth.sensor import photograph
from facecraft.synth.shards import KINDS, decode, read_shard, write_shards
from facecraft.synth.subject import Subject
from facecraft.synth.workspaces import write_workspace
from facecraft.views import load_views
from facecraft.workspace import Workspace

SIZE = 96


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    (path,) = write_shards(folder, "val", 5, count=2, views=2, size=SIZE, jobs=1)
    return path


def test_a_shard_has_the_pictures_and_the_numbers_behind_them(shard):
    header, arrays = read_shard(shard)
    assert header["indices"] == [0, 1] and header["split"] == "val" and header["labels"] == list(LABELS)
    assert arrays["subject"].tolist() == [0, 0, 1, 1]
    shapes = {"photo": (SIZE, SIZE, 3), "rgba": (SIZE, SIZE, 4), "normals": (SIZE, SIZE, 3)}
    for number in range(4):
        pictures = {kind: decode(arrays, kind, number) for kind in KINDS}
        for kind, picture in pictures.items():
            assert picture.shape == shapes.get(kind, (SIZE, SIZE)), kind
        seen = pictures["depth"] > 0
        assert np.array_equal(seen, pictures["labels"] > 0)
        assert (
            np.array_equal(seen, pictures["rgba"][..., 3] > 0.5)
            or np.mean(seen != (pictures["rgba"][..., 3] > 0.5)) < 0.01
        )


def test_the_numbers_of_a_shard_pose_the_head_that_its_pictures_show(shard):
    """Vertices from shape, expression, gaze, neck and offsets of the edits project onto the stored landmarks."""
    import torch

    header, arrays = read_shard(shard)
    head = load_head()
    offsets = head.edit(header["traits"][0]["edits"])[1]
    tensors = [torch.as_tensor(arrays[name][:1]) for name in ("shape", "expression", "gaze", "neck")]
    points = head.landmarks(head.vertices(*tensors, offsets=offsets))[0].numpy()
    fx, fy, cx, cy = arrays["intrinsics"][0]
    T = arrays["T_camera_world"][0]
    x, y, z = (points @ T[:3, :3].T + T[:3, 3]).T
    assert np.allclose(np.stack([fx * x / z + cx, fy * y / z + cy], 1), arrays["landmarks"][0, :, :2], atol=0.1)


def test_a_finished_shard_is_kept_and_other_options_are_refused(shard):
    before = shard.stat().st_mtime_ns
    write_shards(shard.parent, "val", 5, count=2, views=2, size=SIZE, jobs=1)
    assert shard.stat().st_mtime_ns == before
    with pytest.raises(InputError, match="other options"):
        write_shards(shard.parent, "val", 5, count=2, views=3, size=SIZE, jobs=1)


def test_two_pictures_in_a_row_are_one_moment_from_two_sides(shard):
    _, arrays = read_shard(shard)
    assert np.array_equal(arrays["expression"][0], arrays["expression"][1])
    assert not np.allclose(arrays["T_camera_world"][0], arrays["T_camera_world"][1])
    assert not np.allclose(arrays["shape"][0], arrays["shape"][2])


def test_processes_make_the_same_pictures(shard, tmp_path):
    (other,) = write_shards(tmp_path, "val", 5, count=2, views=2, size=SIZE, jobs=2)
    ours, theirs = load_file(shard), load_file(other)
    for kind in KINDS:
        for number in range(4):
            assert np.allclose(decode(ours, kind, number), decode(theirs, kind, number), atol=2 / 255), kind


@pytest.mark.parametrize("damage", ["schema", "starts", "bytes", "text"])
def test_a_broken_shard_is_refused(shard, tmp_path, damage):
    path = tmp_path / "broken.safetensors"
    header, arrays = read_shard(shard)
    if damage == "schema":
        header["schema"] = "other/9"
    if damage == "starts":
        arrays["photo.starts"] = arrays["photo.starts"][::-1].copy()
    if damage == "bytes":
        arrays["labels.bytes"] = arrays["labels.bytes"][:-9]
    save_file(arrays, path, {"facecraft": json.dumps(header)})
    if damage == "text":
        path.write_text("no shard")
    with pytest.raises(InputError):
        read_shard(path)


def test_a_film_from_sixteen_sides_has_the_layout_of_vhap(tmp_path):
    folder = write_multiview(tmp_path / "film", Subject("train", 0, 2), frames=2, size=64)
    frames = read_frames(folder / "transforms.json")
    assert len(frames) == 32
    centres = np.array([camera.centre for _, camera in frames[:16]])
    assert len(np.unique(centres.round(4), axis=0)) == 16 and np.allclose(centres, [c.centre for _, c in frames[16:]])
    splits = {name: json.loads((folder / f"transforms_{name}.json").read_text()) for name in ("train", "val", "test")}
    assert splits["val"]["camera_indices"] == [VAL_CAMERA] and VAL_CAMERA not in splits["train"]["camera_indices"]
    assert splits["test"]["timestep_indices"] == [1]
    for frame, camera in frames[:3]:
        picture = read_picture(folder / frame["file_path"])
        assert picture.alpha.shape == (camera.height, camera.width) and 0.1 < picture.alpha.mean() < 0.95
        params = np.load(folder / frame["head_param_path"])
        assert params["expression"].shape == (1, 52) and params["shape"].shape == (load_head().shape_count,)
    before = (folder / "transforms.json").stat().st_mtime_ns
    write_multiview(folder, Subject("train", 0, 2), frames=2, size=64)
    assert (folder / "transforms.json").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="other options"):
        write_multiview(folder, Subject("train", 0, 3), frames=2, size=64)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return Workspace(write_workspace(tmp_path_factory.mktemp("people") / "a.ws", Subject("test", 0, 1), 128))


def test_a_workspace_has_a_source_that_preprocess_made_and_the_truth_beside_it(workspace):
    records = workspace.records()
    assert [records[name]["stage"] for name in ("synth", "preprocess")] == ["synth", "preprocess"]
    assert not any(name.startswith("truth") for name in records["preprocess"]["reads"])
    assert all(name.startswith("truth/") for name in records["synth"]["writes"])
    about = json.loads((workspace / "truth/subject.json").read_text())
    assert about["split"] == "test" and about["index"] == 1 and about["labels"] == list(LABELS)


def test_the_photo_of_a_workspace_shows_the_face_where_the_truth_says(workspace):
    photo = read_picture(workspace / "truth/photo.jpg")
    (face,) = find_faces(photo.rgb)[:1]
    truth = np.load(workspace / "truth/views/landmarks.npz")["landmarks"][0]
    assert np.linalg.norm(face.landmarks[:, :2] - truth[:, :2], axis=1).mean() < 0.06 * face.height


def test_the_true_avatar_looks_like_the_true_views(workspace):
    """All but the highlights, which move with the camera."""
    avatar = Avatar.load(workspace / "truth/avatar.safetensors")
    about = json.loads((workspace / "truth/subject.json").read_text())
    view = load_views(workspace, "truth/views")[1]
    import torch

    pose = avatar.head.expression_vector(about["expression"])[0], *(torch.tensor(about[k]) for k in ("gaze", "neck"))
    rgb, alpha = render(avatar.pose(*pose), view.camera)
    truth = view.rgb * view.alpha[..., None]
    assert -10 * np.log10(((rgb.numpy() - truth) ** 2).mean()) > 28
    assert np.abs(alpha.numpy() - view.alpha).max() < 0.02


def test_the_sensor_keeps_the_picture_and_is_reproducible():
    rgb = np.tile(np.linspace(0, 1, 64)[None, :, None], (64, 1, 3))
    backdrop = np.zeros((64, 64, 3))
    for seed in range(20):
        jpeg, settings = photograph(rgb, np.ones((64, 64)), backdrop, np.random.default_rng(seed))
        assert jpeg == photograph(rgb, np.ones((64, 64)), backdrop, np.random.default_rng(seed))[0]
        assert 70 <= settings["jpeg_quality"] < 97
