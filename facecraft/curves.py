"""Files of motions, whoever wrote them; here those of ARKit curves: LAM's JSON, a plain JSON, the CSV of Live Link Face."""

import csv
import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from facecraft.drive import ANGLE_NAMES, ARKIT_NAMES, Motion, finite_number, turn_vectors
from facecraft.errors import InputError
from facecraft.motion import load_motion
from facecraft.progress import log
from facecraft.sequences import read_flame, read_liveportrait

_KNOWN = {name.lower(): name for name in ARKIT_NAMES + ANGLE_NAMES}
_TIMECODE = re.compile(r"(\d+):(\d+):(\d+):(\d+(?:\.\d+)?)")
_LAM_FPS = 30
_LIVE_LINK_FPS = (24, 25, 30, 50, 60)


def read_motion(path: Path) -> Motion:
    """A motion file: our .safetensors; Live Link Face .csv; .json as LAM's (names, frames of weights) or plain (fps, frames
    by name); FLAME parameters as .npz or a folder of them; LivePortrait's .pkl.

    Missing channels are 0, unknown ones are warned about once; weights are clipped to [0, 1]. Head and eye angles are taken
    as rad in our frame, which is ARKit's; eye angles count only when the file has no eyeLook channel, which says the
    same. InputError names the frame or line that is not usable.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        return load_motion(path)
    if suffix == ".npz" or path.is_dir():
        return read_flame(path)
    if suffix == ".pkl":
        return read_liveportrait(path)
    return replace(_read_curves(path, suffix), source=path.name)


def _read_curves(path: Path, suffix: str) -> Motion:
    try:
        text = path.read_text("utf-8-sig")
        if suffix == ".csv":
            return _read_live_link(path, text)
        return _read_json(path, json.loads(text))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a motion ({error}); give ARKit curves as .json or .csv") from error


def _read_json(path: Path, data) -> Motion:
    frames = data.get("frames") if isinstance(data, dict) else None
    if not isinstance(frames, list) or not frames or not all(isinstance(frame, dict) for frame in frames):
        raise InputError(f"{path} has no frames; a motion has a list 'frames' of objects")
    return _read_lam(path, data, frames) if "names" in data else _read_plain(path, data, frames)


def _read_lam(path: Path, data: dict, frames: list[dict]) -> Motion:
    names = data["names"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path} has names that are not a list of texts; name the channels")
    rows, neck, times = [], [], []
    for i, frame in enumerate(frames):
        weights, rotation = frame.get("weights"), frame.get("rotation") or [0.0, 0.0, 0.0]
        if not isinstance(weights, list) or len(weights) != len(names):
            raise InputError(f"{path} frame {i} has not {len(names)} weights; give one for each name")
        if not isinstance(rotation, list) or len(rotation) != 3:
            raise InputError(f"{path} frame {i} has rotation {rotation}; give 3 numbers, axis times angle in rad")
        where = f"{path} frame {i}"
        rows.append([_checked(where, name, value) for name, value in zip(names, weights, strict=True)])
        neck.append([_checked(where, "rotation", value) for value in rotation])
        times.append(_checked(where, "time", frame.get("time", i / _LAM_FPS)))
    motion = _assemble(path, names, np.array(rows).reshape(len(rows), -1), np.array(times), "frame")
    return replace(motion, neck=np.array(neck)) if np.any(neck) else motion


def _read_plain(path: Path, data: dict, frames: list[dict]) -> Motion:
    fps = finite_number(data.get("fps"))
    if not fps or fps < 0:
        raise InputError(f"{path} has fps {data.get('fps')!r}; give the frames per second, for example 30")
    names = list(dict.fromkeys(name for frame in frames for name in frame))
    rows = [[_checked(f"{path} frame {i}", n, frame.get(n, 0.0)) for n in names] for i, frame in enumerate(frames)]
    return _assemble(path, names, np.array(rows).reshape(len(rows), -1), np.arange(len(rows)) / fps, "frame")


def _read_live_link(path: Path, text: str) -> Motion:
    header, *lines = list(csv.reader(text.splitlines())) or [[]]
    header = [name.strip() for name in header]
    lower = [name.lower() for name in header]
    if "timecode" not in lower:
        raise InputError(f"{path} has no column Timecode; give a CSV of Live Link Face")
    columns = [i for i, name in enumerate(lower) if name not in ("timecode", "blendshapecount")]
    rows, codes = [], []
    for number, line in enumerate(lines, 2):
        where = f"{path} line {number}"
        if not any(line) or ("blendshapecount" in lower and line[lower.index("blendshapecount") :][:1] == ["0"]):
            continue  # Live Link Face writes a row with count 0 and no values while it sees no face
        if len(line) != len(header):
            raise InputError(f"{where} has {len(line)} values for {len(header)} columns; it is cut off or damaged")
        rows.append([_checked(where, header[i], line[i]) for i in columns])
        codes.append(_timecode(where, line[lower.index("timecode")]))
    if not rows:
        raise InputError(f"{path} has no frames; record again")
    return _assemble(path, [header[i] for i in columns], np.array(rows), _clock(np.array(codes)), "frame")


def _timecode(where: str, text: str) -> tuple[float, float]:
    """Whole seconds and frames of hh:mm:ss:ff or hh:mm:ss:ff.sub."""
    match = _TIMECODE.fullmatch(text.strip())
    if not match:
        raise InputError(f"{where} has timecode {text!r}; it must read hh:mm:ss:ff or hh:mm:ss:ff.sub")
    hours, minutes, seconds, frame = map(float, match.groups())
    return 3600 * hours + 60 * minutes + seconds, frame


def _clock(
    codes: np.ndarray,  # [T, 2] whole seconds, frames
) -> np.ndarray:
    """Seconds [T] since the first row, across midnight.

    The file does not tell its frame rate: it is the lowest usual one above every frame number, once a second has passed
    in which all numbers can occur; else 60, the app's default.
    """
    seconds, frames = codes.T
    passed = np.ptp(seconds) >= 2 or np.any(np.diff(frames) < 0)
    rates = [rate for rate in _LIVE_LINK_FPS if rate > frames.max()] if passed else [60]
    times = seconds + frames / (rates[0] if rates else math.ceil(frames.max() + 1))
    times = times + 86400 * np.cumsum(np.diff(times, prepend=times[0]) < -43200)
    return times - times[0]


def _assemble(path: Path, names: Sequence[str], table: np.ndarray, times: np.ndarray, unit: str) -> Motion:
    """A motion of named columns [T, C], in whatever order and case."""
    known = [_KNOWN.get(name.lower()) for name in names]
    unknown = [name for name, channel in zip(names, known, strict=True) if channel is None]
    if unknown:
        log.warning(f"{path.name}: unknown channels ignored: {', '.join(unknown[:8])}")
    if len(unknown) == len(names):
        raise InputError(f"{path} has no ARKit channel; name them as jawOpen or JawOpen")
    back = np.flatnonzero(np.diff(times) < 0)
    if len(back):
        raise InputError(f"{path} {unit} {back[0] + 1} is earlier than the one before; put the frames in order")
    keep = np.append(np.diff(times) > 0, True)  # of several at one time the last
    value = dict(zip(known, table[keep].T, strict=True))
    zero = np.zeros(keep.sum())
    weights = np.stack([value.get(name, zero) for name in ARKIT_NAMES], 1)
    outside = np.count_nonzero((weights < -0.01) | (weights > 1.01))
    if outside:
        log.warning(f"{path.name}: {outside} weights outside [0, 1] are clipped")
    angles = np.stack([value.get(name, zero) for name in ANGLE_NAMES], 1).reshape(-1, 3, 3)
    looks = any(name and name.startswith("eyeLook") for name in value)
    gaze = np.zeros((len(zero), 2, 2)) if looks else angles[:, 1:, :2]
    return Motion(np.clip(weights, 0, 1), turn_vectors(angles[:, 0]), gaze, times[keep] - times[0])


def _checked(where: str, name: str, value) -> float:
    number = finite_number(value)
    if number is None:
        raise InputError(f"{where} has {name} = {value!r}, which is not a finite number; mend or remove it")
    return number
