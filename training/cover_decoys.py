"""What is no cover and may look like one, painted on faces: cast shadows, painted lips, teeth, beards, strands of hair."""

import cv2
import numpy as np
from cover_shapes import JAW, smooth_noise

LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)  # outer rim
MOUTH = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)  # inner rim
UNDER_NOSE = (423, 2, 203)


def add_decoys(rng: np.random.Generator, picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """A picture [side, side, 3] of a face with `landmarks` [478, 2] px and some of them, or none."""
    if rng.random() < 0.2:
        picture = _grow_beard(rng, picture, landmarks)
    if rng.random() < 0.25:
        picture = _paint_lips(rng, picture, landmarks)
    if rng.random() < 0.2:
        picture = _show_teeth(rng, picture, landmarks)
    if rng.random() < 0.4:
        picture = _darken(rng, picture)
    if rng.random() < 0.2:
        picture = _draw_strands(rng, picture, landmarks)
    return picture


def _fill(outline: np.ndarray, side: int, blur: float) -> np.ndarray:
    """Share [side, side] of each pixel within an outline [n, 2] px, blurred."""
    filled = np.zeros((side, side), np.float32)
    cv2.fillPoly(filled, [(16 * outline).round().astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(filled, (0, 0), blur)


def _grow_beard(rng: np.random.Generator, picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Noise of the colour of hair from the cheeks to below the chin, thin at its edges, with the lips left out."""
    side, lips = len(picture), landmarks[list(LIPS)]
    outline = np.concatenate(
        [landmarks[list(JAW)][int(rng.integers(1, 5)) :][: -int(rng.integers(2, 6))], landmarks[list(UNDER_NOSE)]]
    )
    outline = lips.mean(0) + (outline - lips.mean(0)) * rng.uniform(0.7, 1.4, 2)
    amount = _fill(outline, side, rng.uniform(1.5, 5)) * (1 - _fill(lips, side, 0.6)) * rng.uniform(0.4, 1)
    amount = amount * (1 + 0.3 * smooth_noise(rng, side, rng.uniform(0.6, 3))).clip(0, 1.3)
    hair = (rng.uniform(0.03, 0.9) ** 1.5) * np.array([1, rng.uniform(0.75, 1), rng.uniform(0.6, 1)])
    hair = hair * (1 + rng.uniform(0.1, 0.4) * smooth_noise(rng, side, rng.uniform(0.5, 1.2)))[..., None]
    return picture + amount.clip(0, 1)[..., None] * (hair - picture)


def _show_teeth(rng: np.random.Generator, picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """A smile: bright teeth, dark around them, between lips that are further apart."""
    side, inner = len(picture), landmarks[list(MOUTH)]
    middle = inner.mean(0)
    lips = _fill(middle + (landmarks[list(LIPS)] - middle) * [1.1, rng.uniform(1, 1.3)], side, 0.6)
    skin = picture[tuple(np.clip(middle.astype(int)[::-1], 0, side - 1))]
    picture = picture + lips[..., None] * 0.6 * (skin * [1, 0.85, 0.85] - picture)
    spread = [np.linspace(-1, 1, 12) * np.ptp(inner[:, 0]) / 2, 0]
    half = rng.uniform(0.05, 0.16) * np.ptp(inner[:, 0])
    smile = np.sqrt(1 - np.linspace(-1, 1, 12) ** 2)
    sag = rng.uniform(-0.1, 0.15) * np.ptp(inner[:, 0]) * (smile - 0.5)
    rims = [np.column_stack([middle[0] + spread[0], middle[1] + sag + sign * half * smile]) for sign in (-1, 1)]
    gap = _fill(np.concatenate([rims[0], rims[1][::-1]]), side, 0.5)
    rims[0], rims[1] = rims[0] * 0.9 + middle * 0.1, rims[1] * 0.9 + middle * 0.1 - [0, 0.5 * half * rng.random()]
    teeth = _fill(np.concatenate([rims[0], rims[1][::-1]]), side, 0.5)
    picture = picture + gap[..., None] * (np.array([0.25, 0.1, 0.1]) - picture)
    return picture + teeth[..., None] * (rng.uniform(0.55, 1) * np.array([1, 0.97, rng.uniform(0.85, 1)]) - picture)


def _darken(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """A cast shadow or a lit patch, sharp or soft: the face goes on below it."""
    side = len(picture)
    y, x = np.mgrid[:side, :side]
    angle = rng.uniform(0, 2 * np.pi)
    level = x * np.cos(angle) + y * np.sin(angle) + rng.uniform(0, 11) * smooth_noise(rng, side, rng.uniform(3, 15))
    inside = level > np.quantile(level, rng.uniform(0.2, 0.8))
    soft = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), rng.uniform(0.5, 6))[..., None]
    return picture * (1 - soft * (rng.uniform(0.1, 0.6) + rng.normal(0, 0.03, 3))).clip(0, 1.5)


def _paint_lips(rng: np.random.Generator, picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    amount = rng.uniform(0.2, 0.9) * _fill(landmarks[list(LIPS)], len(picture), rng.uniform(0.3, 0.8))
    colour = rng.uniform([0.3, 0, 0], [1, 0.4, 0.5]) * rng.uniform(0.6, 1)
    return picture + amount[..., None] * (colour - picture)


def _draw_strands(rng: np.random.Generator, picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """A few hairs across the forehead or beside the face."""
    drawn, top = picture.copy(), landmarks[10]
    colour = rng.uniform(0, 0.6) * np.array([1, 0.85, 0.7])
    start = top + rng.normal(0, [19, 4])
    for _ in range(rng.integers(2, 12)):
        bend = np.cumsum(rng.normal(0, 1.2, (10, 2)) + rng.normal(0, 1.5, 2) + [0, rng.uniform(1, 5)], 0)
        points = (4 * (start + rng.normal(0, 5, 2) + bend)).round().astype(np.int32)
        cv2.polylines(drawn, [points], False, colour.tolist(), 1, cv2.LINE_AA, 2)
    return drawn
