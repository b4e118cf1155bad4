"""Where the camera stands: portraits from the front, and all around."""

import numpy as np

from facecraft.camera import Camera, look_at

MIDDLE = np.array([0.0, -0.035, -0.065])  # of head and neck, m
HEAD_M = 0.30  # from under the chin to over the hair
RING = (
    (0, 0),
    (30, 0),
    (-30, 0),
    (60, 0),
    (-60, 0),
    (90, 0),
    (-90, 0),
    (135, 0),
    (-135, 0),
    (180, 0),
    (20, 25),
    (-20, -20),
)
"""Azimuth and elevation, degrees, of the views that a benchmark compares."""


def portrait_camera(rng: np.random.Generator, size: int) -> Camera:
    """A photographer's: within 35 degrees of the front, near eye height, any usual lens."""
    azimuth, elevation = np.clip(rng.normal(0, 16), -35, 35), np.clip(rng.normal(2, 7), -18, 22)
    return _camera(rng, size, azimuth, elevation, rng.uniform(0.50, 0.80))


def any_camera(rng: np.random.Generator, size: int) -> Camera:
    """For training: half portraits, a third to both sides, the rest from anywhere, also from behind."""
    kind = rng.random()
    azimuth = rng.normal(0, 20) if kind < 0.5 else rng.uniform(-100, 100) if kind < 0.82 else rng.uniform(-180, 180)
    elevation = np.clip(rng.normal(2, 11), -30, 45)
    return _camera(rng, size, azimuth, elevation, rng.uniform(0.50, 1.0))


def ring_camera(size: int, azimuth_deg: float, elevation_deg: float) -> Camera:
    """A fixed camera of a benchmark, 1.3 m away."""
    focal = 0.62 * size / HEAD_M * 1.3
    return _aimed(size, focal, azimuth_deg, elevation_deg, 0.0, 1.3, MIDDLE)


def _camera(rng: np.random.Generator, size: int, azimuth, elevation, share: float) -> Camera:
    """`share` of the picture's height is head."""
    fov = np.radians(np.exp(rng.uniform(np.log(11), np.log(38))))
    focal = size / 2 / np.tan(fov / 2)
    distance = focal * HEAD_M / (share * size)
    target = MIDDLE + rng.normal(0, [0.012, 0.012, 0.005])
    return _aimed(size, focal, azimuth, elevation, rng.normal(0, 4), distance, target)


def _aimed(size, focal, azimuth, elevation, roll, distance, target) -> Camera:
    a, e, r = np.radians([azimuth, elevation, roll])
    eye = target + distance * np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])
    side = np.array([np.cos(a), 0, -np.sin(a)])
    up = np.cos(r) * np.array([0, 1.0, 0]) + np.sin(r) * side
    return Camera(size, size, focal, focal, size / 2, size / 2, look_at(eye, target, up))
