"""What lies behind a person: plain walls, gradients, blurred rooms and lights. sRGB pictures [H, W, 3]."""

import numpy as np
from scipy.ndimage import gaussian_filter

from facecraft.synth.noise import smooth_noise


def paint_backdrop(rng: np.random.Generator, size: int) -> np.ndarray:
    """A backdrop [size, size, 3] in [0, 1]."""
    kind = rng.random()
    if kind < 0.18:
        return np.broadcast_to(_colour(rng), (size, size, 3)).copy()
    if kind < 0.42:
        return _vignette(rng, size)
    picture = _clutter(rng, size) if kind < 0.8 else _nature(rng, size)
    return picture


def _colour(rng: np.random.Generator) -> np.ndarray:
    """Mostly dull: backdrops of portraits are."""
    grey = rng.uniform(0.05, 0.95)
    return np.clip(grey + rng.normal(0, 0.10, 3) * rng.choice([0.2, 0.6, 1.4]), 0, 1)


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    line = (np.arange(size) + 0.5) / size
    return np.meshgrid(line, line)


def _vignette(rng: np.random.Generator, size: int) -> np.ndarray:
    x, y = _grid(size)
    cx, cy = rng.uniform(0.2, 0.8, 2)
    t = np.clip(np.hypot(x - cx, y - cy) / rng.uniform(0.5, 1.2), 0, 1)[..., None]
    picture = _colour(rng) * (1 - t) + _colour(rng) * t
    points = np.stack([x.ravel(), y.ravel(), 0 * x.ravel()], 1)
    mottled = smooth_noise(points, rng.uniform(0.1, 0.5), int(rng.integers(1 << 30)), 3).reshape(size, size, 1)
    return np.clip(picture * (1 + 0.06 * rng.random() * mottled), 0, 1)


def _clutter(rng: np.random.Generator, size: int) -> np.ndarray:
    """Boxes, as of furniture and windows, and spots of light, out of focus."""
    picture = np.broadcast_to(_colour(rng), (size, size, 3)).copy()
    for _ in range(rng.integers(6, 28)):
        x, y = rng.integers(-size // 4, size, 2)
        w, h = (size * rng.uniform(0.04, 0.5, 2)).astype(int)
        picture[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)] = _colour(rng)
    gx, gy = _grid(size)
    for _ in range(int(rng.integers(0, 14))):
        x, y, r = rng.uniform(0, 1), rng.uniform(0, 0.7), rng.uniform(0.01, 0.05)
        picture[np.hypot(gx - x, gy - y) < r] += rng.uniform(0.2, 0.8) * np.array([1, 0.9, 0.75])
    blur = size * rng.uniform(0.004, 0.04)
    return np.clip(gaussian_filter(picture, (blur, blur, 0)), 0, 1)


def _nature(rng: np.random.Generator, size: int) -> np.ndarray:
    """Foliage and sky, or any mottled surface, out of focus."""
    x, y = _grid(size)
    points = np.stack([x.ravel(), y.ravel(), 0 * x.ravel()], 1)
    seed = int(rng.integers(1 << 30))
    leaves = smooth_noise(points, rng.uniform(0.05, 0.3), seed, 5).reshape(size, size, 1)
    tint = smooth_noise(points, 0.4, seed + 1, 2).reshape(size, size, 1)
    a, b, c = (_colour(rng) for _ in range(3))
    if rng.random() < 0.6:
        a, b = np.array([0.16, 0.26, 0.08]) * rng.uniform(0.5, 2), np.array([0.45, 0.55, 0.25]) * rng.uniform(0.6, 1.5)
    picture = a + (b - a) * np.clip(0.5 + 0.4 * leaves, 0, 1) + 0.08 * tint
    horizon = rng.uniform(-0.3, 0.6)
    picture = np.where((y[..., None] + 0.03 * tint) < horizon, 0.4 * picture + 0.6 * np.clip(c + 0.3, 0, 1), picture)
    blur = size * rng.uniform(0.002, 0.02)
    return np.clip(gaussian_filter(picture, (blur, blur, 0)), 0, 1)
