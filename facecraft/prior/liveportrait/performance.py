"""What drives LivePortrait: the face of a video, of a template, or the subject's own head that plays a motion.

Only the driver's expression is taken, as it differs from a face at rest: heads keep their pose, so that all views of a
moment go together.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facecraft.drive import Motion
from facecraft.errors import InputError
from facecraft.face.landmarks import LEFT_EYE, RIGHT_EYE
from facecraft.footage import Watched, is_video, open_motion, resample, track_watched, watch_video
from facecraft.head.fit import pose_vertices
from facecraft.head.fitted import FittedHead
from facecraft.head.texture import render_textured
from facecraft.prior.drive import choose_moments
from facecraft.prior.liveportrait.crop import DRIVER, face_square, measure_openness
from facecraft.prior.liveportrait.networks import POINTS, LivePortrait
from facecraft.progress import track
from facecraft.retarget import STRAIGHT_RAD, retarget
from facecraft.sequences import read_template_face
from facecraft.video import read_video


@dataclass(frozen=True)
class Performance:
    """T moments of a driver: change of the keypoints [T, K, 3] against rest, openness [T, 3] of right eye, left eye and
    lips; and the expression [T, E] and gaze [T, 2, 2] that the driven head then has."""

    change: Tensor
    openness: np.ndarray
    expression: np.ndarray
    gaze: np.ndarray


def perform(portrait: LivePortrait, fitted: FittedHead, name: str, fps: float, most: int) -> Performance:
    """Up to `most` moments of the motion called `name`, which is looked at `fps` times a second."""
    path = Path(name)
    if path.is_file() and is_video(name):
        return _watch(portrait, fitted, path, fps, most)
    if path.is_file() and path.suffix.lower() == ".pkl":
        return _read(fitted, path, fps, most)
    return _play(portrait, fitted, open_motion(name, fps), most)


def _watch(portrait: LivePortrait, fitted: FittedHead, path: Path, fps: float, most: int) -> Performance:
    """From the frames of a video."""
    watched = watch_video(path)
    motion = resample(retarget(track_watched(watched)), str(path), fps)
    moments, rest = choose_moments(fitted.head, motion, most), calmest(motion)
    wanted = motion.times[[rest, *moments]] * watched.fps
    rows = np.abs(watched.seen[None] - wanted[:, None]).argmin(1)  # of the frames in which there was a face
    motions = _read_frames(portrait, path, watched, set(rows.tolist()))
    ways = torch.cat([motions[row] for row in rows.tolist()])
    openness = measure_openness(watched.landmarks[rows[1:]])
    return Performance(ways[1:] - ways[:1], openness, *_add_to_photo(fitted, motion, moments, rest))


def _read_frames(portrait: LivePortrait, path: Path, watched: Watched, rows: set[int]) -> dict[int, Tensor]:
    """Expressions [1, K, 3] by row of `watched`, seen through one upright square as LivePortrait does; here it goes along
    with the eyes, so that a driver may move about."""
    square = face_square(watched.landmarks.mean(0), *DRIVER, upright=True)
    eyes = watched.landmarks[:, [*RIGHT_EYE, *LEFT_EYE], :2].mean(1)
    middles = square.middle + eyes - eyes.mean(0)
    row_of = {int(watched.seen[row]): row for row in rows}
    out = {}
    for number, frame in enumerate(read_video(path)[1]):
        if number in row_of:
            row = row_of[number]
            crop = replace(square, middle=middles[row]).cut(frame.astype(np.float32) / 255)
            out[row] = portrait.read_motion(crop).expression
        if len(out) == len(rows):
            return out
    raise InputError(
        f"{path} ended before frame {max(row_of)}, which it had before; let it be written to its end first"
    )


def _read(fitted: FittedHead, path: Path, fps: float, most: int) -> Performance:
    """From LivePortrait's own numbers."""
    face, motion = read_template_face(path, POINTS), open_motion(str(path), fps)
    moments, rest = choose_moments(fitted.head, motion, most), calmest(motion)
    rows = np.round(motion.times[[rest, *moments]] * face.fps).astype(int).clip(0, len(face.expression) - 1)
    ways = torch.from_numpy(face.expression[rows]).float()
    return Performance(ways[1:] - ways[:1], face.openness[rows[1:]], *_add_to_photo(fitted, motion, moments, rest))


def _play(portrait: LivePortrait, fitted: FittedHead, motion: Motion, most: int) -> Performance:
    """From pictures of the fitted head, which wears the photo: the photo's expression is its rest."""
    head, camera = fitted.head, fitted.camera
    moments = choose_moments(head, motion, most)
    weights, gaze = motion.expression_for(head.expression_names)[moments], motion.gaze[moments]
    meshes = [pose_vertices(head, fitted.shape, *pose, fitted.offsets) for pose in zip(weights, gaze, strict=True)]
    points = [head_points(fitted, mesh) for mesh in (fitted.vertices(), *meshes)]
    square = face_square(camera.project(points[0]), *DRIVER, upright=True)
    ways = []
    for mesh in track([fitted.vertices(), *meshes], "playing the motion"):
        rgb, alpha, _, _ = render_textured(head, mesh, fitted.texture.for_shut_eyes(), camera)
        crop = square.cut(rgb * alpha[..., None] + 1 - alpha[..., None])
        ways.append(portrait.read_motion(crop).expression)
    return Performance(torch.cat(ways[1:]) - ways[0], head_openness(fitted, np.stack(points[1:])), weights, gaze)


def head_points(fitted: FittedHead, vertices: np.ndarray) -> np.ndarray:
    """MediaPipe's landmarks [478, 3] m on vertices [V, 3] of the head."""
    return fitted.head.landmarks(torch.from_numpy(vertices).float()[None])[0].double().numpy()


def head_openness(
    fitted: FittedHead,
    points: np.ndarray,  # [..., 478, 3] m
) -> np.ndarray:
    """As `measure_openness` [..., 3]; lids that are shut are at 0, whose landmarks on the model stay apart."""
    names = fitted.head.expression_names
    shut = np.array([float(name.startswith("eyeBlink")) for name in names])
    at_rest, closed = (
        measure_openness(head_points(fitted, fitted.vertices(weights)))[:2] for weights in (0 * shut, shut)
    )
    found = measure_openness(points)
    found[..., :2] = np.maximum(found[..., :2] - closed, 0) * at_rest / np.maximum(at_rest - closed, 1e-6)
    return found


def calmest(motion: Motion) -> int:
    """The frame whose face is most at rest and looks straight ahead."""
    effort = np.linalg.norm(motion.expression, axis=1) + np.linalg.norm(motion.neck, axis=1) / STRAIGHT_RAD
    return int(effort.argmin())


def _add_to_photo(fitted: FittedHead, motion: Motion, moments: np.ndarray, rest: int) -> tuple[np.ndarray, np.ndarray]:
    """Expression [T, E] and gaze [T, 2, 2] of the photo with the motion's change since rest."""
    weights = motion.expression_for(fitted.head.expression_names)
    expression = np.clip(fitted.expression + weights[moments] - weights[rest], 0, 1)
    return expression, fitted.gaze + motion.gaze[moments] - motion.gaze[rest]
