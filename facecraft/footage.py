"""Motions by the names that users give them; a video becomes one by the landmarks of every frame, which one head explains."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from facecraft.camera import Camera
from facecraft.curves import read_motion
from facecraft.drive import ARKIT_NAMES, MOTIONS, Motion, built_in_motion
from facecraft.errors import InputError
from facecraft.face.portrait import CROP_SIDE, PRIOR_FOCAL
from facecraft.face.watch import find_window, watch_face
from facecraft.head.model import HeadModel, load_head
from facecraft.head.track import LIDS, HeadTrack, track_head
from facecraft.progress import log
from facecraft.retarget import OPPOSITE, retarget
from facecraft.video import read_video

SUFFIXES = (".mp4", ".mov", ".webm", ".mkv", ".avi", ".m4v")
LONGEST_FRAMES = 100_000
FEWEST_SEEN = 0.5
NARROWEST_EYE_M = 5e-3  # a smaller usual gap between the lids is an eye that is shut all the time
BLINKING = (0.25, 0.5)  # shares of the usual gap between the lids: shut, and not yet
WINKING = (0.4, 0.6)  # likewise against the other eye's share
LOW = {"mouthSmile": 0.7, "browInnerUp": 0.65, "browOuterUp": 0.65, "mouthPucker": 0.5}
"""Slope of tracked channels against the true ones where they follow them closely: see benchmarks/RESULTS.md."""
TOLD = 250  # frames between two lines about progress
_FACING = np.diag([1.0, -1.0, -1.0])  # the axes of a head that looks straight into the camera


def is_video(name: str) -> bool:
    """Whether a file of this name is a video and not curves."""
    return Path(name).suffix.lower() in SUFFIXES


def open_motion(name: str, fps: float) -> Motion:
    """The motion called `name` at `fps`: a built-in one, a file of one, or a video, which is tracked and retargeted."""
    if name in MOTIONS:
        return built_in_motion(name, fps)
    if not Path(name).is_file():
        raise InputError(f"motion {name!r} is neither a file nor one of {', '.join(MOTIONS)}; check the name")
    motion = retarget(track_video(Path(name))) if is_video(name) else read_motion(Path(name))
    return resample(motion, name, fps)


def resample(motion: Motion, name: str, fps: float) -> Motion:
    """The motion called `name` at `fps`. InputError when it is too long."""
    if motion.times[-1] * fps > LONGEST_FRAMES:
        raise InputError(f"motion {name} lasts {motion.times[-1]:.0f} s; give at most {LONGEST_FRAMES} frames")
    return motion.resampled(fps)


@dataclass(frozen=True)
class Watched:
    """Landmarks [T, 478, 3] px of the frames `seen` [T] in which there was a face, of `count` in all."""

    landmarks: np.ndarray
    seen: np.ndarray
    count: int
    fps: float
    camera: Camera  # intrinsics, guessed as those of a photo are


def track_video(path: Path) -> Motion:
    """The motion of the largest face of a video, turned and moved against the camera; not yet retargeted.

    Frames in which the face is not seen are bridged; InputError when these are most, or when there is no face at all.
    """
    return replace(track_watched(watch_video(path)), source=Path(path).name)


def track_watched(watched: Watched) -> Motion:
    """The motion of a face whose landmarks are there, as `track_video` has it."""
    head = load_head()
    track = fit_video(head, watched)
    errors = np.linalg.norm(track.landmarks - watched.landmarks[..., :2], axis=2).mean()
    log.info(
        f"{watched.count} frames at {watched.fps:g} frames/s, landmarks followed within {errors:.2f} px on average"
    )
    motion = to_motion(head, track, watched.landmarks, watched.seen / watched.fps)
    return _cover(motion, watched.count / watched.fps)


def watch_video(path: Path) -> Watched:
    """The landmarks of the largest face of a video; InputError when it is seen in less than half of the frames."""
    path = Path(path)
    fps, frames = read_video(path)
    found = find_window(frames)
    if found is None:
        raise InputError(f"{path} shows no face in its first frames; cut it so that it begins with the face in view")
    face, window = found
    landmarks, seen, size, count = [], [], [0, 0], 0
    for points in watch_face(_remember_size(read_video(path)[1], path, size), window):
        if points is not None:
            landmarks.append(points)
            seen.append(count)
        count += 1
        if count % TOLD == 0:
            log.info(f"watched {count} frames")
    if len(seen) < max(1, FEWEST_SEEN * count):
        raise InputError(f"{path} shows the face in {len(seen)} of {count} frames only; give a video of one face")
    if len(seen) < count:
        log.warning(f"{path.name}: no face in {count - len(seen)} of {count} frames; they are bridged")
    focal = PRIOR_FOCAL * CROP_SIDE * face.height
    height, width = size
    camera = Camera(width, height, focal, focal, width / 2, height / 2)
    return Watched(np.stack(landmarks), np.array(seen), count, fps, camera)


def fit_video(head: HeadModel, watched: Watched) -> HeadTrack:
    """One head for what was watched."""
    return track_head(head, watched.landmarks, watched.camera, watched.seen / watched.fps)


def _remember_size(frames, path: Path, size: list[int]):
    """The frames, while `size` gets their height and width."""
    for number, frame in enumerate(frames):
        if number >= LONGEST_FRAMES:
            raise InputError(f"{path} has more than {LONGEST_FRAMES} frames; cut it")
        size[:] = frame.shape[:2]
        yield frame


def to_motion(
    head: HeadModel,
    track: HeadTrack,
    landmarks: np.ndarray,  # [T, 478, 2+] px that were tracked
    times: np.ndarray,  # [T] s
) -> Motion:
    """A track as a motion: rotation and translation of the head in its own axes as it looks straight into the camera."""
    columns = [head.expression_names.index(name) for name in ARKIT_NAMES]
    shut = shut_shares(lid_gaps(track, landmarks))
    expression = settle_opposites(raise_channels(track.expression[:, columns]))
    expression = shut_lids(pair_eyes(expression, 1 - shut), shut)
    neck = Rotation.from_matrix(_FACING @ track.rotation).as_rotvec()
    return Motion(expression, neck, np.zeros((len(times), 2, 2)), times, track.translation @ _FACING)


def raise_channels(
    expression: np.ndarray,  # [T, 52]
) -> np.ndarray:
    """Channels [T, 52] that reach as high as the driver's do on average: tracked ones are too low by `LOW`.

    The detector draws faces towards its mean, and the fit draws channels towards 0.
    """
    heights = [next((low for start, low in LOW.items() if name.startswith(start)), 1.0) for name in ARKIT_NAMES]
    return (expression / heights).clip(0, 1)


def settle_opposites(
    expression: np.ndarray,  # [T, 52]
) -> np.ndarray:
    """Channels [T, 52] of which one at most of two opposite ones is not 0: no mouth is on both sides at once."""
    out = expression.copy()
    for pair in OPPOSITE:
        one, other = (ARKIT_NAMES.index(name) for name in pair)
        ahead = expression[:, one] - expression[:, other]
        out[:, one], out[:, other] = ahead.clip(0), (-ahead).clip(0)
    return out


def lid_gaps(track: HeadTrack, landmarks: np.ndarray) -> np.ndarray:
    """How far the lids of the left and the right eye are apart [T, 2], m, in landmarks [T, 478, 2+] px."""
    upper, lower = np.array(LIDS).T
    roll = np.arctan2(track.rotation[:, 1, 0], track.rotation[:, 0, 0])
    down = np.stack([-np.sin(roll), np.cos(roll)], 1)[:, None]
    gaps = ((landmarks[:, lower, :2] - landmarks[:, upper, :2]) * down).sum(2)
    gaps = gaps * (track.translation[:, 2] / track.camera.fx)[:, None]
    return gaps.reshape(len(gaps), 2, -1).mean(2)[:, ::-1]


def shut_shares(
    gaps: np.ndarray,  # [T, 2] m, left and right
) -> np.ndarray:
    """How far the lids shut [T, 2]: 0 open or narrowed, 1 shut.

    At a full blink gaps of 14 people of `train` are -0.03 to 0.15 of the driver's usual ones, median 0.04, where the network
    of the upper face sees the lids, and 0.05 to 0.80, median 0.34, as the detector has them. A
    gap below `BLINKING[1]` of the usual one is a blink, or below `WINKING[1]` of the other eye's share; at the lower bounds
    it is a full one. The other eye goes along with a blink unless it is as open as in a wink.
    """
    usual = np.maximum(np.percentile(gaps, 80, axis=0), NARROWEST_EYE_M)
    share = gaps / usual
    against = share / np.maximum(share[:, ::-1], 0.5)
    bounds = ((share, BLINKING), (against, WINKING))
    shut = np.maximum(*(np.clip((high - part) / (high - low), 0, 1) for part, (low, high) in bounds))
    return np.maximum(shut, shut[:, ::-1] * np.clip((0.75 - share) / 0.25, 0, 1))


def shut_lids(
    expression: np.ndarray,  # [T, 52]
    shut: np.ndarray,  # [T, 2] left and right
) -> np.ndarray:
    """Channels [T, 52] whose lids shut where those of the driver do; the tracked ones stay ajar, as a part of each blink is
    taken for a look down."""
    out = expression.copy()
    for eye, side in enumerate(("Left", "Right")):
        blink, down = (ARKIT_NAMES.index(f"{name}{side}") for name in ("eyeBlink", "eyeLookDown"))
        out[:, blink] += shut[:, eye] * (1 - out[:, blink])
        out[:, down] *= 1 - shut[:, eye]
    return out


def pair_eyes(
    expression: np.ndarray,  # [T, 52]
    seen: np.ndarray,  # [T, 2] how open the left and the right eye are
) -> np.ndarray:
    """Eyes that turn together, by those that are open: what single irises say apart is noise of the detector, and so is what
    it says of shut ones. While both are shut they go from where they looked before to where they look next."""
    at = {name: i for i, name in enumerate(ARKIT_NAMES)}
    out, look = expression.copy(), lambda name: expression[:, at[f"eyeLook{name}"]]
    left = np.stack([look("OutLeft") - look("InLeft"), look("InRight") - look("OutRight")], 1)
    up = np.stack([look(f"Up{side}") - look(f"Down{side}") for side in ("Left", "Right")], 1)
    weight = seen.sum(1)
    left, up = (_bridge((way * seen).sum(1) / np.maximum(weight, 1e-6), weight.clip(0, 1)) for way in (left, up))
    for name, value in {"OutLeft": left, "InRight": left, "InLeft": -left, "OutRight": -left}.items():
        out[:, at[f"eyeLook{name}"]] = value.clip(0, 1)
    for side in ("Left", "Right"):
        out[:, at[f"eyeLookUp{side}"]], out[:, at[f"eyeLookDown{side}"]] = up.clip(0, 1), (-up).clip(0, 1)
    return out


def _bridge(
    values: np.ndarray,  # [T]
    trust: np.ndarray,  # [T] in [0, 1]
) -> np.ndarray:
    """Values [T] that are straight lines between the nearest fully trusted ones as far as they are not trusted."""
    sure = np.flatnonzero(trust >= 1)
    if not len(sure):
        return trust * values
    return trust * values + (1 - trust) * np.interp(np.arange(len(values)), sure, values[sure])


def _cover(motion: Motion, seconds: float) -> Motion:
    """The motion from 0 to `seconds`: it holds still before the face is first and after it is last seen."""
    order = np.arange(len(motion))
    times = motion.times
    if times[0] > 0:
        order, times = np.r_[0, order], np.r_[0.0, times]
    if seconds - times[-1] > 1.5 * (seconds / max(len(times), 1)):
        order, times = np.r_[order, order[-1]], np.r_[times, seconds]
    parts = (motion.expression, motion.neck, motion.gaze)
    return Motion(*(part[order] for part in parts), times, motion.translation[order], motion.source)
