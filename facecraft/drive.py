"""Motions: what the face, the eyes and the head do over time, and the three that are built in.

Channels carry ARKit's names. Angles follow facecraft.camera: positive yaw (about +Y) turns to the subject's left, positive
pitch (about +X) turns down, positive roll (about +Z) tips the head to its right shoulder.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.spatial.transform import Rotation, Slerp

from facecraft.errors import InputError

ARKIT_NAMES = tuple(
    """browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff cheekSquintLeft cheekSquintRight
    eyeBlinkLeft eyeBlinkRight eyeLookDownLeft eyeLookDownRight eyeLookInLeft eyeLookInRight eyeLookOutLeft
    eyeLookOutRight eyeLookUpLeft eyeLookUpRight eyeSquintLeft eyeSquintRight eyeWideLeft eyeWideRight jawForward jawLeft
    jawOpen jawRight mouthClose mouthDimpleLeft mouthDimpleRight mouthFrownLeft mouthFrownRight mouthFunnel mouthLeft
    mouthLowerDownLeft mouthLowerDownRight mouthPressLeft mouthPressRight mouthPucker mouthRight mouthRollLower
    mouthRollUpper mouthShrugLower mouthShrugUpper mouthSmileLeft mouthSmileRight mouthStretchLeft mouthStretchRight
    mouthUpperUpLeft mouthUpperUpRight noseSneerLeft noseSneerRight tongueOut""".split()
)

ANGLE_NAMES = tuple(f"{part}{angle}" for part in ("head", "leftEye", "rightEye") for angle in ("Yaw", "Pitch", "Roll"))
"""Angles in rad that may stand beside the channels, as in Live Link Face."""

ALIASES = {
    "smile": ("mouthSmileLeft", "mouthSmileRight"),
    "frown": ("mouthFrownLeft", "mouthFrownRight"),
    "blink": ("eyeBlinkLeft", "eyeBlinkRight"),
    "pucker": ("mouthPucker",),
    "browsUp": ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
}
"""Short words for several channels at once."""

POSES = {
    "neutral": "",
    "smile": "smile=0.8,cheekSquintLeft=0.5,cheekSquintRight=0.5",
    "jaw open": "jawOpen=0.6",
    "pucker": "pucker=0.8",
    "brows up": "browsUp=0.9,eyeWideLeft=0.4,eyeWideRight=0.4",
    "frown": "frown=0.7,browDownLeft=0.8,browDownRight=0.8",
    "blink": "blink=1",
    "wink": "eyeBlinkLeft=1,cheekSquintLeft=0.6,mouthSmileLeft=0.4",
    "look left": "eyeLookOutLeft=0.8,eyeLookInRight=0.8",
    "look right": "eyeLookInLeft=0.8,eyeLookOutRight=0.8",
}
"""The stops of the motion `expressions`, as `parse_expression` reads them."""

_VISEMES = {
    "a": {"jawOpen": 0.42, "mouthLowerDownLeft": 0.2, "mouthLowerDownRight": 0.2},
    "e": {
        "jawOpen": 0.22,
        "mouthStretchLeft": 0.3,
        "mouthStretchRight": 0.3,
        "mouthUpperUpLeft": 0.15,
        "mouthUpperUpRight": 0.15,
    },
    "i": {
        "jawOpen": 0.1,
        "mouthSmileLeft": 0.3,
        "mouthSmileRight": 0.3,
        "mouthStretchLeft": 0.15,
        "mouthStretchRight": 0.15,
    },
    "o": {"jawOpen": 0.3, "mouthFunnel": 0.5, "mouthPucker": 0.2},
    "u": {"jawOpen": 0.1, "mouthPucker": 0.6, "mouthFunnel": 0.2},
    "m": {"mouthPressLeft": 0.4, "mouthPressRight": 0.4, "mouthRollLower": 0.15, "mouthRollUpper": 0.15},
    "f": {"jawOpen": 0.06, "mouthRollLower": 0.4, "mouthUpperUpLeft": 0.2, "mouthUpperUpRight": 0.2},
    "d": {"jawOpen": 0.14, "mouthShrugUpper": 0.1},
    "s": {
        "jawOpen": 0.05,
        "mouthStretchLeft": 0.25,
        "mouthStretchRight": 0.25,
        "mouthLowerDownLeft": 0.2,
        "mouthLowerDownRight": 0.2,
    },
}


@dataclass(frozen=True)
class Motion:
    """T poses in time. Resample before rendering."""

    expression: np.ndarray  # [T, 52] in [0, 1], order of ARKIT_NAMES
    neck: np.ndarray  # [T, 3] axis times angle, head against shoulders, rad
    gaze: np.ndarray  # [T, 2, 2] left and right eye: yaw, pitch, rad; added to the eyeLook channels
    times: np.ndarray  # [T] s, from 0, increasing
    translation: np.ndarray | None = None  # [T, 3] of the head, m; None becomes 0; kept, but no avatar is moved by it
    source: str = ""  # what it was read from

    def __post_init__(self):
        if self.translation is None:
            object.__setattr__(self, "translation", np.zeros((len(self.times), 3)))

    def __len__(self) -> int:
        return len(self.times)

    def expression_for(self, names: Sequence[str]) -> np.ndarray:
        """Weights [T, len(names)] in the order of a head's channels; 0 for those that ARKit does not have."""
        columns = [ARKIT_NAMES.index(name) if name in ARKIT_NAMES else -1 for name in names]
        return np.pad(self.expression, ((0, 0), (0, 1)))[:, columns]

    def resampled(self, fps: float) -> "Motion":
        """The motion at times 0, 1/fps, ...; channels and gaze linear between samples, the head on great arcs."""
        times = np.arange(math.floor(self.times[-1] * fps + 1e-6) + 1) / fps
        inside = np.clip(times, 0, self.times[-1])
        flat = np.concatenate([self.expression, self.gaze.reshape(len(self), 4), self.translation], 1)
        flat = np.stack([np.interp(inside, self.times, column) for column in flat.T], 1)
        rotations = Rotation.from_rotvec(self.neck)
        neck = Slerp(self.times, rotations)(inside) if len(self) > 1 else rotations
        gaze = flat[:, 52:56].reshape(-1, 2, 2)
        return Motion(flat[:, :52], neck.as_rotvec(), gaze, times, flat[:, 56:], self.source)

    def added(self, expression: Mapping[str, float], turn: np.ndarray) -> "Motion":
        """The motion with constant weights added (up to 1) and the head turned by `turn` [3] after it."""
        constant = np.array([expression.get(name, 0.0) for name in ARKIT_NAMES])
        neck = (Rotation.from_rotvec(turn) * Rotation.from_rotvec(self.neck)).as_rotvec()
        return replace(self, expression=np.clip(self.expression + constant, 0, 1), neck=neck)


def still_motion(count: int = 1, fps: float = 25) -> Motion:
    """`count` neutral frames."""
    return Motion(np.zeros((count, 52)), np.zeros((count, 3)), np.zeros((count, 2, 2)), np.arange(count) / fps)


def parse_expression(text: str) -> dict[str, float]:
    """Weights by ARKit name of a text such as "smile=0.8,jawOpen=0.3"; InputError for other names or beyond [0, 1]."""
    weights = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = (piece.strip() for piece in part.partition("="))
        value = finite_number(number)
        if value is None or not 0 <= value <= 1:
            raise InputError(f"expression {part!r} has no weight in [0, 1]; write for example smile=0.8,jawOpen=0.3")
        if name not in ALIASES and name not in ARKIT_NAMES:
            raise InputError(f"expression {name!r} is not known; use an ARKit name or one of {', '.join(ALIASES)}")
        weights |= {channel: value for channel in ALIASES.get(name, (name,))}
    return weights


def parse_turn(text: str) -> np.ndarray:
    """Axis times angle [3] in rad of a text "yaw,pitch,roll" in degrees."""
    angles = [finite_number(part) for part in text.split(",")]
    if len(angles) != 3 or None in angles or max(map(abs, angles)) > 90:
        raise InputError(f"head turn {text!r} is not yaw,pitch,roll in degrees up to 90; write for example 20,-5,0")
    return turn_vectors(np.radians(angles))


def turn_vectors(
    angles: np.ndarray,  # [..., 3] yaw, pitch, roll, rad
) -> np.ndarray:
    """Axis times angle [..., 3]: roll about +Z first, then pitch about +X, then yaw about +Y."""
    return Rotation.from_euler("YXZ", angles).as_rotvec()


def finite_number(value) -> float | None:
    """A finite number, or None for anything else."""
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def built_in_motion(name: str, fps: float) -> Motion:
    """One of MOTIONS at `fps`, every channel with a continuous derivative; begins and ends neutral."""
    return MOTIONS[name](fps)


def _turntable(fps: float) -> Motion:
    return still_motion(round(4 * fps), fps)  # the camera moves, see facecraft.shots


def _expressions(fps: float) -> Motion:
    """Eases through POSES: 0.4 s to the next, 0.3 s there."""
    keys, time = [], 0.0
    for text in [*POSES.values(), ""]:
        weights = parse_expression(text)
        keys += [(time, weights), (time + 0.3, weights)]
        time += 0.7
    return _from_keys({name: [(t, w.get(name, 0.0)) for t, w in keys] for name in ARKIT_NAMES}, fps)


def _talking(fps: float) -> Motion:
    """Six seconds of words made of drawn visemes, with blinks, lively brows and small turns of the head."""
    draw = np.random.default_rng(7)
    keys, time = [(0.0, {})], 0.25
    while time < 5.3:
        for _ in range(draw.integers(3, 8)):
            keys.append((time, _VISEMES[draw.choice(list(_VISEMES))]))
            time += draw.uniform(0.1, 0.19)
        keys.append((time, {}))
        time += draw.uniform(0.12, 0.4)
    end = max(6.0, time)
    keys.append((end, {}))
    curves = {name: [(t, w.get(name, 0.0)) for t, w in keys] for name in ARKIT_NAMES}
    blinks = [
        (0.0, 0.0),
        *(key for t in (0.9, 3.1, 4.6) for key in ((t, 0.0), (t + 0.1, 1.0), (t + 0.28, 0.0))),
        (end, 0.0),
    ]
    curves["eyeBlinkLeft"] = curves["eyeBlinkRight"] = blinks
    curves["browInnerUp"] = [
        (0.0, 0.0),
        *((t, draw.uniform(0, 0.5)) for t in np.arange(0.7, end - 0.5, 0.8)),
        (end, 0.0),
    ]
    for name, reach_deg in {"headYaw": 7, "headPitch": 4, "headRoll": 3}.items():
        nods = ((t, np.radians(draw.uniform(-reach_deg, reach_deg))) for t in np.arange(0.6, end - 0.5, 0.65))
        curves[name] = [(0.0, 0.0), *nods, (end, 0.0)]
    return _from_keys(curves, fps)


MOTIONS = {"turntable": _turntable, "expressions": _expressions, "talking": _talking}
"""The built-in motions by name."""


def _from_keys(curves: Mapping[str, list[tuple[float, float]]], fps: float) -> Motion:
    """A motion through keys (time s, value) of channels and head angles; monotone between keys, flat at both ends.

    Monotone cubic interpolation (Fritsch and Carlson 1980) has a continuous derivative and never overshoots, so weights
    stay in [0, 1].
    """
    end = max(keys[-1][0] for keys in curves.values())
    times = np.arange(math.floor(end * fps + 1e-6) + 1) / fps
    value = {}
    for name, keys in curves.items():
        padded = [(keys[0][0] - 1, keys[0][1]), *keys, (end + 1, keys[-1][1])]
        value[name] = PchipInterpolator(*np.array(padded).T)(times)
    zero = np.zeros(len(times))
    neck = turn_vectors(np.stack([value.get(f"head{angle}", zero) for angle in ("Yaw", "Pitch", "Roll")], 1))
    weights = np.stack([value.get(name, zero) for name in ARKIT_NAMES], 1)
    return Motion(np.clip(weights, 0, 1), neck, np.zeros((len(times), 2, 2)), times)
