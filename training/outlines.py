"""Lines and areas between the 68 landmarks, for painting."""

import numpy as np
from scipy.spatial import cKDTree


def line_distance(points, corners) -> np.ndarray:
    """Distance [n] of points [n, D] from a line through corners [m, D]."""
    steps = np.linspace(0, 1, 24)[:, None, None]
    return cKDTree((corners[:-1] + steps * np.diff(corners, axis=0)).reshape(-1, 2)).query(points)[0]


def inside_polygon(points, corners) -> np.ndarray:
    """Which points [n, 2] lie inside the polygon of corners [m, 2], by the even-odd rule."""
    inside = np.zeros(len(points), bool)
    for a, b in zip(corners, np.roll(corners, -1, 0), strict=True):
        crosses = (a[1] > points[:, 1]) != (b[1] > points[:, 1])
        with np.errstate(divide="ignore", invalid="ignore"):
            at = a[0] + (points[:, 1] - a[1]) / (b[1] - a[1]) * (b[0] - a[0])
        inside ^= crosses & (points[:, 0] < at)
    return inside
