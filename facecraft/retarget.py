"""Motions made independent of who made them: relative to a neutral face, with gains, smoothed.

The identity is gone already: channels say by name what a face does. What stays is the driver's face at rest, which no two
people have alike; it is taken out, so that a driver at rest leaves the driven face at rest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from facecraft.drive import ALIASES, ARKIT_NAMES, Motion, finite_number
from facecraft.errors import InputError
from facecraft.head.model import HeadModel
from facecraft.progress import log

NEUTRALS = ("auto", "first", "mean", "none")
CALM_SHARE = 0.1  # of the frames, whose mean is the neutral face of `auto`
CALM_PERCENT = 30  # of the frames have a channel below its usual height at rest
STRAIGHT_RAD = np.radians(12)  # a turn that counts as much as a channel at 1 when calm frames are sought
FIRST_CHANNEL, FIRST_TURN = 0.35, np.radians(12)  # a first frame beyond these is not neutral
FAR_YAW = np.radians(45)  # landmarks of faces turned further are guesses
STRONGEST_GAIN = 4.0
AJAR = (0.04, 0.12)  # of mouthClose, whose 1 moves the lips by 36 mm
MILD, MARKED = 0.3, 0.6
CLEAR = {"jawOpen": 2.0, "mouthSmile": 1.5}
CLOSING = ("eyeBlink",)
NEVER_AT_REST = ("mouthClose", "eyeLook", "tongueOut")
OPPOSITE = (
    *((f"eyeLookOut{side}", f"eyeLookIn{side}") for side in ("Left", "Right")),
    *((f"eyeLookUp{side}", f"eyeLookDown{side}") for side in ("Left", "Right")),
    ("jawLeft", "jawRight"),
    ("mouthLeft", "mouthRight"),
)
"""Channels that are the two directions of one movement."""
PRESENT = ("eyeBlinkLeft", "eyeBlinkRight", "jawOpen")
"""Channels whose absence from a neutral face is what makes it neutral, whoever it is."""

# One-Euro filter: cutoff at rest in Hz, and what each unit per second adds to it
_CHANNELS, _TURNS, _GAZE, _MOVES = (3.0, 8.0), (1.5, 20.0), (3.0, 20.0), (1.5, 100.0)


def retarget(
    motion: Motion, neutral: str = "auto", gains: Mapping[str, float] | None = None, smooth: bool = True
) -> Motion:
    """The motion relative to the driver's neutral face, channels times `gains` and clamped to [0, 1], smoothed.

    `neutral`: `first` frame, `mean` of all, `auto` (mean of the calmest, straightest and most usual tenth) or `none`. A channel
    w of a driver whose rest is n becomes (w - n) / (1 - n): full closures of lids and lips stay full. The head turns in its own
    axes at rest. Warns when the first frame is taken and is not neutral, and when the head turns beyond 45 degrees.
    """
    if smooth:
        motion = smooth_motion(motion)
    rest = find_neutral(motion, neutral)
    if rest is not None:
        motion = _relative(motion, rest)
    weights = motion.expression * _gain_vector(gains or {})
    yaw = np.abs(Rotation.from_rotvec(motion.neck).as_euler("YXZ")[:, 0]).max()
    if yaw > FAR_YAW:
        log.warning(f"the head turns by up to {np.degrees(yaw):.0f} degrees; beyond 45 the face is guessed")
    return replace(motion, expression=weights.clip(0, 1))


def find_neutral(motion: Motion, neutral: str) -> Motion | None:
    """The driver at rest as a motion of one frame; None for `none`."""
    if neutral not in NEUTRALS:
        raise InputError(f"neutral {neutral!r} is not known; use one of {', '.join(NEUTRALS)}")
    if neutral == "none":
        return None
    turns = Rotation.from_rotvec(motion.neck)
    # against the usual rest, not 0: where tracking errs upwards at rest, the least of all is an expression as well
    usual = np.percentile(motion.expression, CALM_PERCENT, axis=0)
    present = motion.expression[:, [ARKIT_NAMES.index(name) for name in PRESENT]].sum(1)
    effort = np.linalg.norm(motion.expression - usual, axis=1) + present
    around = (turns.mean().inv() * turns).as_rotvec()
    away = np.linalg.norm(around - np.median(around, axis=0), axis=1)
    if neutral == "first":
        strongest = int(motion.expression[0].argmax())
        if motion.expression[0, strongest] > FIRST_CHANNEL or away[0] > FIRST_TURN:
            log.warning(
                f"the first frame is not neutral ({ARKIT_NAMES[strongest]} {motion.expression[0, strongest]:.2f}, head "
                f"{np.degrees(away[0]):.0f} degrees off its mean); --neutral auto looks for a calmer one"
            )
        chosen = np.array([0])
    elif neutral == "mean":
        chosen = np.arange(len(motion))
    else:
        chosen = np.argsort(effort + away / STRAIGHT_RAD)[: max(1, round(CALM_SHARE * len(motion)))]
    return Motion(
        motion.expression[chosen].mean(0, keepdims=True),
        turns[chosen].mean().as_rotvec()[None],
        motion.gaze[chosen].mean(0, keepdims=True),
        np.zeros(1),
        motion.translation[chosen].mean(0, keepdims=True),
    )


def _relative(motion: Motion, rest: Motion) -> Motion:
    base = rest.expression.clip(0, 0.9)
    weights = (motion.expression - base) / (1 - base)
    for pair in OPPOSITE:
        one, other = (ARKIT_NAMES.index(name) for name in pair)
        both = motion.expression - rest.expression
        weights[:, one], weights[:, other] = both[:, one] - both[:, other], both[:, other] - both[:, one]
    neck = (Rotation.from_rotvec(rest.neck[0]).inv() * Rotation.from_rotvec(motion.neck)).as_rotvec()
    moved = motion.translation - rest.translation
    return replace(motion, expression=weights.clip(0, 1), neck=neck, gaze=motion.gaze - rest.gaze, translation=moved)


def perform(
    head: HeadModel,
    shape: np.ndarray,  # [K] of who is driven
    offsets: np.ndarray,  # [V, 3] m
    photo: np.ndarray,  # [52] channels that the fit found in their photo
    weights: np.ndarray,  # [T, 52] of the motion; all in the order of the head
) -> np.ndarray:
    """Channels [T, 52] of a motion for one head: from its own rest on, and with lips that meet.

    The rest is part of whose face it is, so that a motion moves each face as far as any other: channels go beyond 1 where
    the rest is not 0. Only lids have an end to come to.
    """
    rest = own_rest(head.expression_names, np.asarray(photo))
    left = np.where([name.startswith(CLOSING) for name in head.expression_names], 1 - rest, 1)
    return meet_lips(head, shape, offsets, weights, rest + left * weights)


def own_rest(names: Sequence[str], photo: np.ndarray) -> np.ndarray:
    """What of the channels [52] found in a photo is how this face looks at rest; the remainder is an expression.

    A fit to one picture cannot tell them apart: of neutral synthetic people it says that they raise their brows by half and
    smile a little (benchmarks/drive.py). Brows count as the face's own, weights up to `MILD` too, those from `MARKED` on do
    not; jaws and smiles are taken `CLEAR` times, as hardly any neutral face is fitted with more than 0.2 of them. Gaze is
    never: see `perform_before_camera`. Nor are closed lips: see `meet_lips`.
    """
    clear = photo * [next((times for start, times in CLEAR.items() if name.startswith(start)), 1.0) for name in names]
    share = ((MARKED - clear) / (MARKED - MILD)).clip(0, 1)
    share[[name.startswith("brow") for name in names]] = 1
    share[[name.startswith(NEVER_AT_REST) for name in names]] = 0
    return (share * photo).clip(0, 0.9)


def meet_lips(
    head: HeadModel,
    shape: np.ndarray,  # [K] of who is driven
    offsets: np.ndarray,  # [V, 3] m
    motion: np.ndarray,  # [T, 52] channels in the order of the head, as the motion has them
    weights: np.ndarray,  # [T, 52] as this head is to have them
) -> np.ndarray:
    """`weights` with lips as far apart as the motion has them, and that touch where it closes those of the mean head.

    What parts the lips in the photo is taken back: a motion would open a mouth that smiles there twice. Where the mean head
    lacks less than `AJAR[0]` of mouthClose to shut, mouthClose becomes what shuts this one, as no two mouths close alike; from
    there to `AJAR[1]` ever less is added. Lids need no such thing: `HeadModel.vertices` shuts those of every head at a full
    blink.
    """
    channel = head.expression_names.index("mouthClose")
    given, wanted = (torch.as_tensor(part, dtype=torch.float32) for part in (motion, weights))
    who = [torch.as_tensor(np.asarray(part), dtype=torch.float32)[None] for part in (shape, offsets)]
    lacking = (head.lip_closure(expression=given) - given[:, channel]).numpy()
    shut = ((AJAR[1] - lacking) / (AJAR[1] - AJAR[0])).clip(0, 1)
    needed = head.lip_closure(who[0], wanted, who[1]).numpy()
    parted = needed - head.lip_closure(who[0], given, who[1]).numpy()
    out = weights.copy()
    out[:, channel] += np.maximum(shut * (needed - weights[:, channel]), parted).clip(0)
    return out


def parse_gains(text: str) -> dict[str, float]:
    """Factors by name of a text such as "smile=1.3,jawOpen=0.8"; InputError for other names or beyond [0, 4]."""
    gains = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = (piece.strip() for piece in part.partition("="))
        value = finite_number(number)
        if value is None or not 0 <= value <= STRONGEST_GAIN:
            raise InputError(
                f"gain {part!r} is not in [0, {STRONGEST_GAIN:g}]; write for example smile=1.3,jawOpen=0.8"
            )
        if name not in ALIASES and name not in ARKIT_NAMES:
            raise InputError(f"gain of {name!r} is not known; use an ARKit name or one of {', '.join(ALIASES)}")
        gains |= {channel: value for channel in ALIASES.get(name, (name,))}
    return gains


def _gain_vector(gains: Mapping[str, float]) -> np.ndarray:
    return np.array([gains.get(name, 1.0) for name in ARKIT_NAMES])


def smooth_motion(motion: Motion) -> Motion:
    """The motion through One-Euro filters: little jitter at rest, little lag in blinks and turns."""
    if len(motion) < 3:
        return motion
    turns = Rotation.from_rotvec(motion.neck)
    middle = turns.mean()
    around = one_euro(
        (middle.inv() * turns).as_rotvec(), motion.times, *_TURNS
    )  # far from half a turn, where axes flip
    return replace(
        motion,
        expression=one_euro(motion.expression, motion.times, *_CHANNELS),
        neck=(middle * Rotation.from_rotvec(around)).as_rotvec(),
        gaze=one_euro(motion.gaze.reshape(len(motion), 4), motion.times, *_GAZE).reshape(-1, 2, 2),
        translation=one_euro(motion.translation, motion.times, *_MOVES),
    )


def one_euro(
    values: np.ndarray,  # [T, D]
    times: np.ndarray,  # [T] s, increasing
    cutoff: float,  # Hz, of a value at rest
    slope: float,  # Hz for each unit per second
) -> np.ndarray:
    """Filtered values [T, D]: the One-Euro filter (Casiez, Roussel and Vogel 2012) run both ways and averaged, so no lag."""
    there = _one_euro(values, np.diff(times), cutoff, slope)
    back = _one_euro(values[::-1], np.diff(times)[::-1], cutoff, slope)[::-1]
    return (there + back) / 2


def _one_euro(values: np.ndarray, steps: np.ndarray, cutoff: float, slope: float) -> np.ndarray:
    out, speed = values.astype(float).copy(), np.zeros(values.shape[1])
    for t, step in enumerate(steps, 1):
        speed += _share(1.0, step) * ((values[t] - values[t - 1]) / step - speed)
        out[t] = out[t - 1] + _share(cutoff + slope * np.abs(speed), step) * (values[t] - out[t - 1])
    return out


def _share(cutoff, step: float):
    """How much of a new value a low pass of `cutoff` Hz takes after `step` s."""
    return 1 / (1 + 1 / (2 * np.pi * cutoff * step))
