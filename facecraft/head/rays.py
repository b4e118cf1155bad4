"""The rays along which hair lies on a head: away from the axis of skull, neck and bust; and angles around that axis."""

import numpy as np

SKULL = np.array([0.0, 0.035, -0.085])  # m, middle of the brain case behind the eyes
FOOT = np.array([0.0, -0.34, -0.10])  # m, lower end of the axis of head, neck and bust
NECK_BASE = -0.20  # m, height where the neck meets the shoulders
LATITUDE_M = 0.1  # m of height below the equator that count as one radian


def leave_axis(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where on the axis the rays of points [n, 3] start [n, 3], their unit directions [n, 3] and how far the points are [n], m."""
    axis = FOOT - SKULL
    along = np.clip((points - SKULL) @ axis / (axis @ axis), 0, 1)
    starts = SKULL + along[:, None] * axis
    arms = points - starts
    radius = np.linalg.norm(arms, axis=1)
    return starts, arms / np.maximum(radius, 1e-6)[:, None], radius


def latitudes(vertices: np.ndarray) -> np.ndarray:
    """Angle [V] from the crown, pi/2 at the skull's equator, going on down the neck by LATITUDE_M per radian."""
    axis = FOOT - SKULL
    along = (vertices - SKULL) @ axis / (axis @ axis)
    arms = vertices - SKULL
    above = np.arccos(np.clip(-(arms @ axis) / (np.linalg.norm(arms, axis=1) * np.linalg.norm(axis)), -1, 1))
    return np.where(along > 0, np.pi / 2 + along * np.linalg.norm(axis) / LATITUDE_M, above)


def azimuths(points: np.ndarray) -> np.ndarray:
    """Angle [n] of points [n, 3] around the axis of the neck: 0 in front, positive to the subject's left, rad."""
    return np.arctan2(points[:, 0] - FOOT[0], points[:, 2] - FOOT[2])
