"""Motion files: facecraft's own, safetensors with ARKit channels by name."""

import json
import os
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from facecraft import __version__
from facecraft.drive import ARKIT_NAMES, Motion
from facecraft.errors import InputError
from facecraft.progress import log
from facecraft.records import write_atomic

SCHEMA = "facecraft-motion/1"
_SHAPES = {"times": (), "expression": (-1,), "head_rotation": (3,), "head_translation": (3,), "gaze": (2, 2)}
"""Tensors of the file without their first size T; s, [T, channels named in the header], rad, m, rad."""


def save_motion(motion: Motion, path: Path) -> None:
    """Write a motion: expression [T, 52], head_rotation [T, 3], head_translation [T, 3], gaze [T, 2, 2], times [T].

    InputError when it cannot be written there.
    """
    tensors = {
        "expression": motion.expression,
        "head_rotation": motion.neck,
        "head_translation": motion.translation,
        "gaze": motion.gaze,
    }
    tensors = {name: np.ascontiguousarray(value, np.float32) for name, value in tensors.items()}
    tensors["times"] = np.ascontiguousarray(motion.times, np.float64)
    header = {
        "schema": SCHEMA,
        "facecraft": __version__,
        "expression_names": json.dumps(ARKIT_NAMES),
        "units": "weights in [0, 1]; axis times angle, rad; m; yaw and pitch of left and right eye, rad; s",
        "source": motion.source,
    }
    try:
        write_atomic(Path(path), save(tensors, header))
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else error
        raise InputError(f"{path} cannot be written ({reason}); name another place with --out") from error


def load_motion(path: Path) -> Motion:
    """Read what `save_motion` wrote; channels by name, missing ones are 0, others are warned about.

    InputError names the tensor that is missing, misshapen or not finite.
    """
    try:
        with safe_open(path, "np") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name).astype(float) for name in _SHAPES if name in file.keys()}
        names = json.loads(header.get("expression_names", "null"))
    except (OSError, SafetensorError, ValueError, TypeError) as error:
        raise InputError(f"{path} cannot be read as a motion ({error}); make it with `facecraft track`") from error
    if header.get("schema") != SCHEMA:
        raise InputError(f"{path} has schema {header.get('schema')}, not {SCHEMA}; make it with `facecraft track`")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path} has expression_names that are not a list of texts; make it again")
    _check_tensors(path, tensors, len(names))
    unknown = [name for name in names if name not in ARKIT_NAMES]
    if unknown:
        log.warning(f"{Path(path).name}: unknown channels ignored: {', '.join(unknown[:8])}")
    expression = np.zeros((len(tensors["times"]), len(ARKIT_NAMES)))
    for column, name in enumerate(names):
        if name in ARKIT_NAMES:
            expression[:, ARKIT_NAMES.index(name)] = tensors["expression"][:, column].clip(0, 1)
    times = tensors["times"] - tensors["times"][0]
    rest = (tensors[name] for name in ("head_rotation", "gaze"))
    return Motion(expression, *rest, times, tensors["head_translation"], header.get("source", ""))


def _check_tensors(path: Path, tensors: dict[str, np.ndarray], channels: int) -> None:
    count = len(tensors["times"]) if tensors.get("times", np.zeros(())).ndim == 1 else 0
    for name, shape in _SHAPES.items():
        wanted = (count, *(channels if size < 0 else size for size in shape))
        found = tensors.get(name)
        if found is None or not count or found.shape != wanted:
            shapes = "nothing" if found is None else list(found.shape)
            raise InputError(f"{path} has {shapes} for {name}, not {list(wanted)}; make it again")
        if not np.isfinite(found).all():
            raise InputError(f"{path} has a value in {name} that is not finite; make it again")
    if np.any(np.diff(tensors["times"]) <= 0):
        raise InputError(f"{path} has times that do not increase; make it again")
