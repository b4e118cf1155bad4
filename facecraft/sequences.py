"""Motions of other systems, as far as they can be read without their models: FLAME parameters, LivePortrait templates."""

import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from facecraft.drive import ARKIT_NAMES, Motion
from facecraft.errors import InputError
from facecraft.progress import log

FLAME_FPS = 25.0  # VHAP's files do not tell theirs
FLAME_JAW_RAD = 0.44  # how far jawOpen = 1 turns the jaw of the open head
LARGEST_BYTES, MOST_FRAMES = 1 << 30, 100_000
CLOSED_EYE = 0.05  # height over width of an eye that is shut, as LivePortrait measures it
SHUT_LIPS, OPEN_LIPS = 0.05, 1.08  # gap over the width of the mouth of the open head at jawOpen 0 and 1
_FLAME_SIZES = {"rotation": 3, "neck_pose": 3, "jaw_pose": 3, "eyes_pose": 6, "translation": 3}


def read_flame(path: Path) -> Motion:
    """Parameters as VHAP, GaussianAvatars and their --motion_path keep them: one .npz, or a folder of one per timestep.

    Head and neck turn as one; jaw and eyes become jawOpen and gaze. The coefficients `expr` mean nothing without the FLAME
    model, which facecraft does not have: they are left out, with a warning.
    """
    files = sorted(path.glob("*.npz")) if path.is_dir() else [path]
    if not files:
        raise InputError(f"{path} has no .npz; give the folder flame_param of a dataset, or one .npz")
    parts = [_load_arrays(file) for file in files[:MOST_FRAMES]]
    value = {name: np.concatenate([part[name] for part in parts]) for name in _FLAME_SIZES}
    count = len(value["rotation"])
    log.warning(
        f"{path.name}: only head, jaw and eyes are used: expr needs the FLAME model; {FLAME_FPS:g} frames/s assumed"
    )
    expression = np.zeros((count, 52))
    expression[:, ARKIT_NAMES.index("jawOpen")] = np.clip(value["jaw_pose"][:, 0] / FLAME_JAW_RAD, 0, 1)
    turn = Rotation.from_rotvec(value["rotation"]) * Rotation.from_rotvec(value["neck_pose"])
    gaze = value["eyes_pose"].reshape(count, 2, 3)[..., [1, 0]]  # rotations about +Y and +X, in our axes
    times = np.arange(count) / FLAME_FPS
    return Motion(expression, turn.as_rotvec(), gaze, times, value["translation"], path.name)


def _load_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(info.file_size for info in archive.infolist()) > LARGEST_BYTES:
                raise InputError(f"{path} unpacks to more than 1 GiB; it is no motion")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: np.atleast_2d(file[name]).astype(float) for name in _FLAME_SIZES if name in file}
    except (OSError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read as FLAME parameters ({error}); give a .npz of VHAP") from error
    for name, size in _FLAME_SIZES.items():
        found = arrays.get(name)
        if found is None or found.shape != (len(arrays["rotation"]), size) or not len(found):
            raise InputError(f"{path} has no {name} of [T, {size}]; give parameters of VHAP or GaussianAvatars")
        if not np.isfinite(found).all():
            raise InputError(f"{path} has a value in {name} that is not finite; track it again")
    return arrays


def read_liveportrait(path: Path) -> Motion:
    """A driving template of LivePortrait (.pkl): eyes and lips from its ratios, and the tilt of the head.

    Both lids get the mean of both eyes. Its keypoints, yaw and pitch mean nothing without its networks and are left out,
    with a warning. The pickle is read without running anything that it names.
    """
    data, motion, fps = _load_template(path)
    count = len(motion)
    log.warning(
        f"{path.name}: only lids, lips and the tilt of the head become curves: the rest needs LivePortrait's networks"
    )
    eyes = _rows(path, data, "c_eyes_lst", "c_d_eyes_lst", count, 2).mean(1)
    lips = _rows(path, data, "c_lip_lst", "c_d_lip_lst", count, 1)[:, 0]
    turns = [_rows(path, {"R": [frame]}, "R", "R", 1, 9) for frame in (_rotation(path, frame) for frame in motion)]
    turns = np.concatenate(turns).reshape(count, 3, 3)
    # points are rows times R in axes x right, y down: our roll is minus the angle on the screen
    roll = -np.arctan2(turns[:, 0, 1], turns[:, 0, 0])
    opened = max(np.percentile(eyes, 80), CLOSED_EYE + 0.05)
    expression = np.zeros((count, 52))
    for side in ("Left", "Right"):
        blink = (opened - eyes) / (opened - CLOSED_EYE)
        expression[:, ARKIT_NAMES.index(f"eyeBlink{side}")] = np.clip(blink, 0, 1)
    expression[:, ARKIT_NAMES.index("jawOpen")] = np.clip((lips - SHUT_LIPS) / (OPEN_LIPS - SHUT_LIPS), 0, 1)
    neck = np.stack([np.zeros(count), np.zeros(count), roll], 1)
    return Motion(expression, neck, np.zeros((count, 2, 2)), np.arange(count) / fps, source=path.name)


@dataclass(frozen=True)
class TemplateFace:
    """What a LivePortrait template says of the face in T frames, as its networks read it from a driving video."""

    expression: np.ndarray  # [T, K, 3] ways of the keypoints
    openness: np.ndarray  # [T, 3] height over width of both eyes and of the gap between the lips
    fps: float


def read_template_face(
    path: Path,
    points: int,  # keypoints K
) -> TemplateFace:
    """The face of a LivePortrait template (.pkl); InputError when it is not one of so many keypoints."""
    data, motion, fps = _load_template(path)
    count = len(motion)
    ways = {"exp": [frame.get("exp") if isinstance(frame, dict) else None for frame in motion]}
    expression = _rows(path, ways, "exp", "exp", count, 3 * points).reshape(count, points, 3)
    eyes = _rows(path, data, "c_eyes_lst", "c_d_eyes_lst", count, 2)
    lips = _rows(path, data, "c_lip_lst", "c_d_lip_lst", count, 1)
    return TemplateFace(expression, np.concatenate([eyes, lips], 1), fps)


def _rotation(path: Path, frame) -> object:
    found = frame.get("R", frame.get("R_d")) if isinstance(frame, dict) else None
    if found is None:
        raise InputError(f"{path} has a frame without R; give a template that LivePortrait wrote")
    return found


def _rows(path: Path, data: dict, name: str, legacy: str, count: int, size: int) -> np.ndarray:
    rows = data.get(name, data.get(legacy))
    try:
        table = np.stack([np.asarray(row, float).reshape(-1) for row in rows])
    except (TypeError, ValueError) as error:
        raise InputError(f"{path} has {name} that is not {count} rows of numbers; write it again") from error
    if table.shape != (count, size) or not np.isfinite(table).all():
        raise InputError(
            f"{path} has {list(table.shape)} finite numbers for {name}, not {[count, size]}; write it again"
        )
    return table


class _ArraysOnly(pickle.Unpickler):
    """Reads numbers, texts, lists, dictionaries and numpy arrays; whatever else a pickle names is refused."""

    def find_class(self, module: str, name: str):
        """The few functions by which numpy pickles arrays, or our own in their place."""
        if (module.split(".")[0], name) in _ALLOWED:
            return _ALLOWED[module.split(".")[0], name]
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def _empty(kind, shape, letter) -> np.ndarray:
    """What __setstate__ fills: its sizes must agree with the data that follows, so no small file takes much memory."""
    if kind is not np.ndarray or tuple(shape) != (0,):
        raise pickle.UnpicklingError("it has an array with a size but no data")
    return np.ndarray((0,), "b")


def _from_buffer(data, dtype, shape, order) -> np.ndarray:
    return np.frombuffer(data, dtype).reshape(shape, order=order)


def _encode(text: str, encoding: str = "latin1") -> bytes:
    return text.encode("latin1")


_ALLOWED = {
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "_reconstruct"): _empty,
    ("numpy", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _encode,
}


def _load_template(path: Path) -> tuple[dict, list, float]:
    """A template, its frames and how many there are in a second."""
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise InputError(f"{path} has more than 1 GiB; it is no motion")
        with open(path, "rb") as file:
            data = _ArraysOnly(file).load()
    except (OSError, pickle.UnpicklingError, EOFError, *_BROKEN) as error:
        raise InputError(f"{path} cannot be read as a LivePortrait template ({error}); it is not loaded") from error
    if not isinstance(data, dict):
        raise InputError(f"{path} is not a LivePortrait template; give the .pkl that it wrote")
    motion, fps = data.get("motion"), data.get("output_fps", 25)
    count = len(motion) if isinstance(motion, list) else 0
    if not 0 < count <= MOST_FRAMES or isinstance(fps, bool) or not isinstance(fps, int | float) or not 0 < fps < 1e4:
        raise InputError(f"{path} has no frames, or no output_fps; give a template that LivePortrait wrote")
    return data, motion, fps


_BROKEN = (AttributeError, ImportError, IndexError, KeyError, MemoryError, OverflowError, TypeError, ValueError)
"""What the unpickler raises on damaged files."""
