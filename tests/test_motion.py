"""Motion files: round trips, other systems' files as far as they say something, and files that want to do harm."""

import io
import json
import logging
import os
import pickle

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from scipy.spatial.transform import Rotation

from facecraft.curves import read_motion
from facecraft.drive import ARKIT_NAMES, Motion, built_in_motion
from facecraft.errors import InputError
from facecraft.motion import SCHEMA, load_motion, save_motion


def some_motion() -> Motion:
    talk = built_in_motion("talking", 25)
    moves = np.random.default_rng(1).normal(size=(len(talk), 3))
    return Motion(talk.expression, talk.neck, talk.gaze + 0.1, talk.times, moves, "a.mp4")


def channel(motion: Motion, name: str) -> np.ndarray:
    return motion.expression[:, ARKIT_NAMES.index(name)]


def test_a_motion_comes_back_as_it_was(tmp_path):
    motion = some_motion()
    save_motion(motion, tmp_path / "a.safetensors")
    again = read_motion(tmp_path / "a.safetensors")
    for name in ("expression", "neck", "gaze", "translation"):
        assert np.allclose(getattr(again, name), getattr(motion, name), atol=1e-6), name
    assert np.array_equal(again.times, motion.times) and again.source == "a.mp4"


def test_channels_are_found_by_name(tmp_path):
    tensors = {"expression": np.array([[0.25, 0.5]]), "times": np.zeros(1), "gaze": np.zeros((1, 2, 2))}
    tensors |= {"head_rotation": np.zeros((1, 3)), "head_translation": np.zeros((1, 3))}
    save_file(tensors, tmp_path / "a.safetensors", {"schema": SCHEMA, "expression_names": '["jawOpen", "wiggle"]'})
    motion = load_motion(tmp_path / "a.safetensors")
    assert channel(motion, "jawOpen") == 0.25 and motion.expression.sum() == 0.25


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"times": np.array([0.0, np.nan, 2.0])}, "times"),
        ({"times": np.array([0.0, 2.0, 1.0])}, "increase"),
        ({"expression": np.full((3, 52), np.inf)}, "expression"),
        ({"expression": np.zeros((3, 51))}, "expression"),
        ({"gaze": np.zeros((2, 2, 2))}, "gaze"),
        ({"times": np.zeros(())}, "times"),
        ({"head_rotation": None}, "head_rotation"),
    ],
)
def test_damaged_motion_files_are_refused_by_tensor(tmp_path, change, named):
    path = tmp_path / "a.safetensors"
    save_motion(Motion(np.zeros((3, 52)), np.zeros((3, 3)), np.zeros((3, 2, 2)), np.arange(3.0)), path)
    with safe_open(path, "np") as file:
        header = file.metadata()
    tensors = {name: value for name, value in (load_file(path) | change).items() if value is not None}
    save_file(tensors, path, header)
    with pytest.raises(InputError, match=named):
        load_motion(path)
    save_file(tensors, path, header | {"expression_names": json.dumps({"a": 1})})
    with pytest.raises(InputError, match="expression_names"):
        load_motion(path)


def test_other_safetensors_are_no_motion(tmp_path):
    save_file({"a": np.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="schema"):
        read_motion(tmp_path / "a.safetensors")
    (tmp_path / "b.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(InputError, match="cannot be read"):
        read_motion(tmp_path / "b.safetensors")


def flame_arrays(count: int) -> dict[str, np.ndarray]:
    sizes = {"rotation": 3, "neck_pose": 3, "jaw_pose": 3, "eyes_pose": 6, "translation": 3, "expr": 100}
    arrays = {name: np.zeros((count, size), np.float32) for name, size in sizes.items()}
    arrays["rotation"][:, 1], arrays["neck_pose"][:, 1] = 0.2, 0.1
    arrays["jaw_pose"][:, 0] = np.linspace(0, 0.22, count)
    arrays["eyes_pose"][:, 1], arrays["eyes_pose"][:, 3] = 0.3, 0.4  # left eye to the left, right eye down
    return arrays


def test_flame_parameters_give_head_jaw_and_eyes(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("facecraft"), "propagate", True)
    arrays = flame_arrays(5)
    np.savez(tmp_path / "whole.npz", **arrays)
    (tmp_path / "flame_param").mkdir()
    for t in range(5):
        np.savez(tmp_path / f"flame_param/{t:05d}.npz", **{name: value[t : t + 1] for name, value in arrays.items()})
    whole, parts = read_motion(tmp_path / "whole.npz"), read_motion(tmp_path / "flame_param")
    assert np.allclose(whole.expression, parts.expression) and np.allclose(whole.neck, parts.neck)
    assert np.allclose(whole.neck, [0, 0.3, 0], atol=1e-6)
    assert np.allclose(channel(whole, "jawOpen"), np.linspace(0, 0.5, 5), atol=1e-6)
    assert np.allclose(whole.gaze, [[0.3, 0], [0, 0.4]])
    assert "expr needs the FLAME model" in caplog.text


@pytest.mark.parametrize(
    "change", [{"jaw_pose": np.zeros((4, 3))}, {"rotation": np.full((5, 3), np.nan)}, {"neck_pose": None}]
)
def test_damaged_flame_parameters_are_refused(tmp_path, change):
    arrays = {name: value for name, value in (flame_arrays(5) | change).items() if value is not None}
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=next(iter(change))):
        read_motion(tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(InputError, match="cannot be read"):
        read_motion(tmp_path / "b.npz")


def template(count: int = 6) -> dict:
    """As LivePortrait writes them; the head tilts to the right of the picture, the eyes close, the mouth opens."""
    frames = []
    for angle in np.linspace(0, 0.3, count):
        turn = Rotation.from_rotvec([0, 0, angle]).as_matrix().astype(np.float32)  # x right, y down: clockwise
        zero = np.zeros((1, 21, 3), np.float32)
        frames.append({"R": turn.T[None], "scale": np.ones((1, 1), np.float32), "exp": zero, "kp": zero, "x_s": zero})
    eyes = [np.full((1, 2), value, np.float32) for value in np.linspace(0.4, 0.05, count)]
    lips = [np.full((1, 1), value, np.float32) for value in np.linspace(0.05, 1.08, count)]
    return {"n_frames": count, "output_fps": 25, "motion": frames, "c_eyes_lst": eyes, "c_lip_lst": lips}


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_liveportrait_templates_give_lids_lips_and_tilt(tmp_path, protocol):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(template(), protocol))
    motion = read_motion(tmp_path / "a.pkl")
    assert np.allclose(np.diff(motion.times), 1 / 25)
    assert channel(motion, "eyeBlinkLeft")[0] == 0 and channel(motion, "eyeBlinkRight")[-1] == pytest.approx(1)
    assert np.allclose(channel(motion, "jawOpen"), np.linspace(0, 1, 6), atol=1e-6)
    # clockwise for who looks at the picture is towards the subject's left shoulder: negative about +Z
    assert np.allclose(motion.neck, np.outer(np.linspace(0, -0.3, 6), [0, 0, 1]), atol=1e-6)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("/tmp/facecraft-was-here",)


def oversized() -> bytes:
    """An array that claims 8 TB and brings no data."""
    function = np.zeros(1).__reduce__()[0]

    class Bomb:
        def __reduce__(self):
            return function, (np.ndarray, (1 << 40,), b"d")

    return pickle.dumps({"motion": [Bomb()]})


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps({"motion": [Evil()]}),
        oversized(),
        pickle.dumps([1, 2]),
        pickle.dumps(template() | {"output_fps": 0}),
        pickle.dumps(template() | {"motion": []}),
        pickle.dumps(template() | {"c_lip_lst": [np.zeros((1, 1))]}),
        pickle.dumps(template() | {"c_eyes_lst": [np.full((1, 2), np.nan)] * 6}),
        pickle.dumps(template())[:-40],
        pickle.dumps(io.BytesIO),
        b"",
        b"\x80\x05nonsense",
    ],
)
def test_hostile_and_damaged_templates_are_refused_and_run_nothing(tmp_path, data):
    (tmp_path / "a.pkl").write_bytes(data)
    with pytest.raises(InputError, match="a.pkl"):
        read_motion(tmp_path / "a.pkl")
    assert not os.path.exists("/tmp/facecraft-was-here")
