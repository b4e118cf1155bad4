"""Measures of a face by its landmarks: distances between two pictures, and how much they tremble over time."""

import numpy as np

from facecraft.face.landmarks import LEFT_CHEEK, RIGHT_CHEEK

LANDMARK_NET = "MediaPipe FaceMesh with attention, 478 points"


def keypoint_distance(
    landmarks: np.ndarray,  # [478, 2+] px
    truth: np.ndarray,  # [478, 2+] px
) -> tuple[float, float]:
    """AKD: mean distance of the landmarks in px, and in % of the width of the true face."""
    distance = float(np.linalg.norm(landmarks[:, :2] - truth[:, :2], axis=1).mean())
    return distance, 100 * distance / face_width(truth)


def face_width(landmarks: np.ndarray) -> float:
    """Between the cheeks in 3D where z is known, px: hardly changes when the head turns."""
    return float(np.linalg.norm(landmarks[LEFT_CHEEK] - landmarks[RIGHT_CHEEK]))


def landmark_jitter(
    tracks: np.ndarray,  # [T, 478, 2+] px, frame by frame
) -> float:
    """How much landmarks tremble: mean length of their second difference, in % of the face width; steady motion has none.

    nan for fewer than three frames. Fast true motion counts too: compare with the jitter of the truth.
    """
    if len(tracks) < 3:
        return float("nan")
    bends = tracks[2:, :, :2] - 2 * tracks[1:-1, :, :2] + tracks[:-2, :, :2]
    widths = [face_width(points) for points in tracks]
    return float(100 * np.linalg.norm(bends, axis=2).mean() / np.mean(widths))
