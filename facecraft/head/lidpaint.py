"""Lids that shut in a picture which shows them open: their skin, and the lashes on their rims."""

import cv2
import numpy as np

from facecraft.blur import blur_known
from facecraft.head.lids import LID_RIMS, RIM_POINTS, smooth_line

LID_BLUR_M = 3e-3  # how smooth an unfolded lid is
OTHER_TONE, ROUNDS = 0.6, 2  # as a logarithm: what differs more from the skin around it is none; sockets lie in shade
ENOUGH = 0.03  # share of the pixels around that must show skin for its colour to be taken from there alone
# shares of the gap that a lid has shut when its lashes are drawn faintly, fully: till then they are seen
SUNK = (0.1, 0.45)
NARROWEST_M = 4e-3  # gap of an eye that can shut
LASH_M, BELOW_M = 0.8e-3, 1.5e-3  # how far lashes darken the lid above its rim and what is below


def shut_shares(points: np.ndarray, open_points: np.ndarray) -> np.ndarray:
    """How far [2] the eyes of landmarks [478, 3] m, right first, are shut against those of `open_points`: 0 not at all, 1 shut."""
    gaps = [_gaps(part) for part in (points, open_points)]
    return (1 - gaps[0] / np.maximum(gaps[1], NARROWEST_M)).clip(0, 1)


def unfold_lids(
    painted: np.ndarray,  # [H, W, 3]
    seen: np.ndarray,  # [H, W, 3] the picture, moved to where it belongs now
    shown: np.ndarray,  # [H, W] how far that is skin which was seen
    lid: np.ndarray,  # [H, W] bool
    shading: np.ndarray,  # [H, W] how bright the light makes the skin
    px_per_m: float,
) -> np.ndarray:
    """`painted` with lids as smooth as the skin around them [H, W, 3]; where none of it is seen they stay as they are."""
    if not lid.any():
        return painted
    sigma = LID_BLUR_M * px_per_m
    rows, columns = box(lid, 6 * sigma)
    weight = (shown**4)[rows, columns].astype(np.float32)
    # rims that come through a shut lid are lit otherwise
    shading = cv2.GaussianBlur(shading[rows, columns].astype(np.float32), (0, 0), sigma / 2)[..., None]
    seen = seen[rows, columns] / shading
    # pixels of another tone are brows, lashes and whites of eyes that the mesh takes for skin
    tone, likely = seen.clip(0.01, 1), weight
    for _ in range(ROUNDS):
        usual = blur_known(tone, likely, 4 * sigma)[0].clip(0.01)
        likely = weight * np.exp(-(np.log(tone / usual) ** 2).sum(2) / OTHER_TONE**2)
    weight = likely
    out = painted.copy()
    smooth = out[rows, columns] / shading
    for width in (4 * sigma, 2 * sigma, sigma):
        spread, known = blur_known(seen, weight, width)
        known = np.clip(known[..., None] / ENOUGH, 0, 1)
        smooth = known * spread + (1 - known) * smooth
    out[rows, columns] = np.where(lid[rows, columns, None], smooth * shading, out[rows, columns])
    return out


def draw_lashes(
    pixels: np.ndarray,  # [478, 2] landmarks in the picture
    shut: np.ndarray,  # [2] from shut_shares
    tones: np.ndarray,  # [2] from lash_tones
    size: tuple[int, int],  # H, W
    px_per_m: float,
) -> np.ndarray:
    """Factors [H, W] that darken the rims of upper lids as they come down, where the picture's own lashes are lost."""
    out = np.ones(size, np.float32)
    for eye, (upper, lower) in enumerate(np.array(LID_RIMS)):
        strength = np.clip((shut[eye] - SUNK[0]) / (SUNK[1] - SUNK[0]), 0, 1)
        if strength == 0:
            continue
        way = smooth_line(pixels[upper] + shut[eye] ** 4 * (pixels[lower] - pixels[upper]) / 2)
        low, high = way.min(0) - 4 * BELOW_M * px_per_m, way.max(0) + 4 * BELOW_M * px_per_m
        left, top = np.maximum(low, 0).astype(int)
        right, bottom = np.minimum(high + 1, size[::-1]).astype(int)
        if right <= left or bottom <= top:
            continue
        grid = np.stack(np.meshgrid(np.arange(left, right), np.arange(top, bottom)), 2) + 0.5
        arms = grid[:, :, None] - way
        nearest = (arms**2).sum(3).argmin(2)
        near = np.take_along_axis(arms, nearest[..., None, None], 2)[:, :, 0]
        # lashes are short in the corners and hang over the rim
        full = np.sin(np.pi * np.linspace(0.03, 0.97, RIM_POINTS))[nearest] ** 0.3
        width = full * np.where(near[..., 1] > 0, BELOW_M, LASH_M) * px_per_m
        line = full * np.exp(-((np.linalg.norm(near, axis=2) / width) ** 2))
        out[top:bottom, left:right] *= (1 - strength * (1 - tones[eye]) * line).astype(np.float32)
    return out


def box(mask: np.ndarray, margin: float) -> tuple[slice, slice]:
    """Rows and columns of what is in the mask [H, W], and of `margin` px around it."""
    spans = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return tuple(slice(max(0, int(span[0] - margin)), int(span[-1] + margin) + 2) for span in spans)


def _gaps(points: np.ndarray) -> np.ndarray:
    """Heights [2] of the eyes in the middle, right first."""
    return np.array([(points[u[3:6]] - points[low[3:6]])[:, 1].mean() for u, low in np.array(LID_RIMS)])
