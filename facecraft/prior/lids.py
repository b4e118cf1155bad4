"""Lids that shut in a picture which shows them open: their skin, and the lashes where they meet."""

import cv2
import numpy as np

from facecraft.mesh.light import LUMINANCE

LID_BLUR_M = 3e-3  # how smooth an unfolded lid is
OTHER_TONE = 0.25  # as a logarithm: skin that differs so much from the skin around it is none
ENOUGH = 0.03  # share of the pixels around that must show skin for its colour to be taken from there alone
LID_RIMS = (
    ((33, 246, 161, 160, 159, 158, 157, 173, 133), (33, 7, 163, 144, 145, 153, 154, 155, 133)),
    ((362, 398, 384, 385, 386, 387, 388, 466, 263), (362, 382, 381, 380, 374, 373, 390, 249, 263)),
)
"""Landmarks of the upper and the lower rim of each eye, from corner to corner."""
LASH_M, LASH_TONE = 0.9e-3, 0.35  # width of the line that lashes make where lids meet, and its tone
MEETING_M = (1e-3, 3e-3)  # lids this close have met, this far not yet


def unfold_lids(
    painted: np.ndarray,  # [H, W, 3]
    seen: np.ndarray,  # [H, W, 3] the picture, moved to where it belongs now
    shown: np.ndarray,  # [H, W] how far that is skin which was seen
    lid: np.ndarray,  # [H, W] bool
    px_per_m: float,
) -> np.ndarray:
    """`painted` with lids as smooth as the skin around them [H, W, 3]; where none of it is seen they stay as they are."""
    if not lid.any():
        return painted
    sigma = LID_BLUR_M * px_per_m
    rows, columns = _box(lid, 6 * sigma)
    weight = (shown**4)[rows, columns].astype(np.float32)
    seen = seen[rows, columns]
    tone = (seen @ LUMINANCE).clip(0.01, 1)
    usual = _blur(tone, weight, 4 * sigma)[0][..., 0]
    # pixels of another tone are brows, lashes and whites of eyes that the mesh takes for skin
    weight *= np.exp(-((np.log(tone / usual.clip(0.01)) / OTHER_TONE) ** 2))
    out = painted.copy()
    smooth = out[rows, columns]
    for width in (4 * sigma, 2 * sigma, sigma):
        spread, known = _blur(seen, weight, width)
        known = np.clip(known[..., None] / ENOUGH, 0, 1)
        smooth = known * spread + (1 - known) * smooth
    out[rows, columns] = np.where(lid[rows, columns, None], smooth, out[rows, columns])
    return out


def draw_lashes(
    points: np.ndarray,  # [478, 3] landmarks, m
    pixels: np.ndarray,  # [478, 2] where they are in the picture
    size: tuple[int, int],  # H, W
    px_per_m: float,
    softness_px: float,
) -> np.ndarray:
    """Factors [H, W] that darken the line along which lids meet; 1 where they are open."""
    line = np.zeros(size, np.float32)
    for upper, lower in np.array(LID_RIMS):
        gap = (points[upper[3:6]] - points[lower[3:6]])[:, 1].mean()
        met = np.clip((MEETING_M[1] - gap) / (MEETING_M[1] - MEETING_M[0]), 0, 1)
        way = (16 * (pixels[upper] + pixels[lower]) / 2).round().astype(np.int32)
        drawn = np.zeros_like(line)
        cv2.polylines(drawn, [way], False, 1.0, max(1, round(LASH_M * px_per_m)), cv2.LINE_AA, 4)
        line = np.maximum(line, met * cv2.GaussianBlur(drawn, (0, 0), softness_px))
    return 1 - (1 - LASH_TONE) * line


def _box(mask: np.ndarray, margin: float) -> tuple[slice, slice]:
    """Rows and columns of what is in the mask [H, W], and of `margin` px around it."""
    spans = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return tuple(slice(max(0, int(span[0] - margin)), int(span[-1] + margin) + 2) for span in spans)


def _blur(values: np.ndarray, weights: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian means [H, W, D] of values [H, W, D] or [H, W] by weights [H, W], and how much weight there was [H, W]."""
    values = np.atleast_3d(values)
    spread = cv2.GaussianBlur(np.dstack([values * weights[..., None], weights]).astype(np.float32), (0, 0), sigma)
    return spread[..., :-1] / np.maximum(spread[..., -1:], 1e-6), spread[..., -1]
