"""Faces in a picture: where they are, their 478 MediaPipe landmarks, which way they look.

Landmarks are [478, 3] in pixels of the picture: x right, y down, z away from the camera in the scale of x (MediaPipe's
weak perspective; only differences of z mean something). Irises, the last ten, are where `face.irises` sees them. Left and
right are the subject's.
"""

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from facecraft.face.irises import settle_irises
from facecraft.image import crop_square, to_bytes

FOREHEAD, CHIN, RIGHT_CHEEK, LEFT_CHEEK = 10, 152, 234, 454
RIGHT_EYE, LEFT_EYE = (33, 133), (362, 263)
UPPER_LIP, LOWER_LIP = 13, 14
MIRRORED = np.array([[33, 263], [133, 362], [234, 454], [61, 291], [127, 356], [172, 397], [70, 300], [98, 327]])
"""Pairs of landmarks (subject's right, subject's left) that mirror each other."""

MODEL_FILES = (
    "face_detection/face_detection_short_range.tflite",
    "face_detection/face_detection_full_range_sparse.tflite",
    "face_landmark/face_landmark_with_attention.tflite",
)
_DETECT_SIDE, _DETECTOR_SIDE = 1600, 384


@dataclass(frozen=True)
class Face:
    """One face: landmarks [478, 3] in pixels of the picture it was found in."""

    landmarks: np.ndarray

    @property
    def box(self) -> np.ndarray:
        """Left, top, right, bottom of the landmarks [4], px."""
        xy = self.landmarks[:, :2]
        return np.concatenate([xy.min(0), xy.max(0)])

    @property
    def height(self) -> float:
        """From the top of the forehead to the chin in 3D, px: hardly changes with the pose of the head."""
        return float(np.linalg.norm(self.landmarks[CHIN] - self.landmarks[FOREHEAD]))

    @property
    def centre(self) -> np.ndarray:
        """Between the ears at half the height of the face [2], px: hardly moves when the head turns about its neck."""
        ears = self.landmarks[[RIGHT_CHEEK, LEFT_CHEEK], 0].mean()
        return np.array([ears, self.landmarks[[FOREHEAD, CHIN], 1].mean()])

    @property
    def angles_deg(self) -> tuple[float, float, float]:
        """Yaw, pitch, roll in degrees: positive yaw looks to the left edge of the picture, positive pitch looks up,
        positive roll leans the head to the right edge. From the axes of the 3D landmarks; magnitudes beyond 30 degrees
        come out too small."""
        left = (self.landmarks[MIRRORED[:, 1]] - self.landmarks[MIRRORED[:, 0]]).mean(0)
        left /= np.linalg.norm(left)
        down = self.landmarks[CHIN] - self.landmarks[FOREHEAD]
        down = down - left * (down @ left)
        down /= np.linalg.norm(down)
        yaw = np.arctan2(-left[2], np.hypot(left[0], left[1]))
        pitch = np.arctan2(-down[2], np.hypot(down[0], down[1]))
        return tuple(float(a) for a in np.degrees([yaw, pitch, np.arctan2(left[1], left[0])]))

    @property
    def mouth_opening(self) -> float:
        """Gap between the inner lips, in face heights."""
        return float(np.linalg.norm(self.landmarks[LOWER_LIP] - self.landmarks[UPPER_LIP]) / self.height)


def find_faces(rgb: np.ndarray) -> list[Face]:
    """All faces of a picture [H, W, 3], left to right; an empty list when there is none.

    Boxes come from both MediaPipe detectors; when they see nothing, from the picture with a border (faces that fill it)
    and from overlapping tiles (small faces). Each box is confirmed by the landmark model on its own enlarged crop.
    """
    scale = min(1.0, _DETECT_SIDE / max(rgb.shape[:2]))
    small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else rgb
    for windows, confidence in SEARCHES:
        boxes = _distinct(_detect(small, windows(small), confidence))
        faces = [find_landmarks(rgb, box / scale, max(confidence, 0.3)) for box in boxes]
        faces = _distinct_faces([face for face in faces if face is not None])
        if faces:
            return sorted(faces, key=lambda face: face.centre[0])
    return []


def sees_face(rgb: np.ndarray) -> bool:
    """Whether a MediaPipe detector is surer than 1/2 of a face in [H, W, 3]; profiles need no landmarks for that."""
    return bool(_detect(rgb, _whole(rgb), 0.5))


def find_landmarks(rgb: np.ndarray, box: np.ndarray, confidence: float = 0.5) -> Face | None:
    """Landmarks of the face around `box` (left, top, right, bottom px), or None when the model does not see one."""
    centre, side = (box[:2] + box[2:]) / 2, 2.2 * max(box[2] - box[0], box[3] - box[1])
    left, top = centre - side / 2
    landmarks = read_landmarks(crop_square(rgb, left, top, side, 512), confidence)
    return None if landmarks is None else Face(landmarks * (side / 512) + [left, top, 0])


def read_landmarks(rgb: np.ndarray, confidence: float = 0.5) -> np.ndarray | None:
    """Landmarks [478, 3] px of the most certain face in a picture [H, W, 3], or None. z is 0 at the head's centre."""
    with quiet_mediapipe():
        found = _open_mesh(confidence).process(to_bytes(rgb)).multi_face_landmarks
    return place_landmarks(rgb, found[0].landmark) if found else None


def place_landmarks(rgb: np.ndarray, found) -> np.ndarray:
    """Landmarks [478, 3] px of what MediaPipe `found` in a picture [H, W, 3], in [0, 1] or uint8, with settled irises."""
    height, width = rgb.shape[:2]
    return settle_irises(rgb, np.array([[p.x, p.y, p.z] for p in found]) * [width, height, width])


@cache
def _open_mesh(confidence: float):
    """MediaPipe's landmark model for single pictures; it takes longer to open than to run."""
    with quiet_mediapipe() as mp:
        return mp.solutions.face_mesh.FaceMesh(
            static_image_mode=True,
            refine_landmarks=True,
            min_detection_confidence=confidence,
            min_tracking_confidence=confidence,
        )


@contextlib.contextmanager
def quiet_mediapipe() -> Iterator:
    """The mediapipe module, with what its C++ parts say on stderr held back; it is shown when the body raises."""
    os.environ.setdefault("GLOG_minloglevel", "3")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # protobuf's and matplotlib's deprecations are not the user's
                import mediapipe

                yield mediapipe
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _whole(rgb: np.ndarray) -> list[np.ndarray]:
    height, width = rgb.shape[:2]
    return [np.array([0, 0, max(height, width)])]


def _with_border(rgb: np.ndarray) -> list[np.ndarray]:
    side = max(rgb.shape[:2])
    return [np.array([-side / 2, -side / 2, 2 * side])]


def _tiles(rgb: np.ndarray) -> list[np.ndarray]:
    """Squares of 1/2 and 1/4 of the longer side that overlap by half; none so small that their faces would be useless."""
    height, width = rgb.shape[:2]
    sides = [side for side in (max(height, width) / 2, max(height, width) / 4) if side >= 192]
    return [
        np.array([x, y, side])
        for side in sides
        for y in np.arange(0, max(height - side / 2, 1), side / 2)
        for x in np.arange(0, max(width - side / 2, 1), side / 2)
    ]


SEARCHES = ((_whole, 0.5), (_with_border, 0.5), (_tiles, 0.5), (_whole, 0.2), (_with_border, 0.2))
"""Where to look and how sure to be, until a face is found; turned and painted faces score low."""


def _detect(rgb: np.ndarray, windows: list[np.ndarray], confidence: float) -> list[np.ndarray]:
    """Boxes (left, top, right, bottom px, score) [5] that either detector sees in squares (left, top, side)."""
    boxes = []
    with quiet_mediapipe() as mp, contextlib.ExitStack() as stack:
        models = [stack.enter_context(mp.solutions.face_detection.FaceDetection(confidence, m)) for m in (0, 1)]
        for left, top, side in windows:
            patch = to_bytes(crop_square(rgb, left, top, side, _DETECTOR_SIDE))
            for model in models:
                for found in model.process(patch).detections or []:
                    box = found.location_data.relative_bounding_box
                    corners = np.array([box.xmin, box.ymin, box.xmin + box.width, box.ymin + box.height]) * side
                    boxes.append(np.append(corners + [left, top, left, top], found.score[0]))
    return boxes


def _distinct(boxes: list[np.ndarray]) -> list[np.ndarray]:
    """Boxes [4] without those that cover a more certain one by half of the smaller."""
    kept = []
    for box in sorted(boxes, key=lambda b: -b[4]):
        if all(_overlap(box, other) < 0.5 for other in kept):
            kept.append(box)
    return [box[:4] for box in kept]


def _distinct_faces(faces: list[Face]) -> list[Face]:
    """Faces, the most certain first, without those that share a head with one before."""
    kept = []
    for face in faces:
        if all(_overlap(face.box, other.box) < 0.5 and not _in_one_head(face, other) for other in kept):
            kept.append(face)
    return kept


def _in_one_head(a: Face, b: Face) -> bool:
    """Whether one face is above the other and nearer than heads can be: such a one is seen in a brow or on what covers a face."""
    height, (aside, above) = (a.height + b.height) / 2, np.abs(a.centre - b.centre)
    return aside < 0.35 * height and above < height


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Common area of two boxes, as a fraction of the smaller one."""
    size = np.clip(np.minimum(a[2:4], b[2:4]) - np.maximum(a[:2], b[:2]), 0, None)
    smaller = min(np.prod(a[2:4] - a[:2]), np.prod(b[2:4] - b[:2]))
    return float(np.prod(size) / max(smaller, 1e-9))
