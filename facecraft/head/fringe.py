"""Hair that hangs over the forehead in a picture: brows move below it, it stays."""

from itertools import pairwise

import cv2
import numpy as np
from scipy.spatial import KDTree

from facecraft.head.model import HeadModel
from facecraft.mesh.raster import MeshBuffers

HAIRY = ("face", "scalp_neck")
LOWEST_M = 0.006  # height on the mean head down to which hair may hang: below are lids and lashes
SKIN_M, MIDDLE_M = (-0.06, -0.01), 0.045  # heights of cheeks, whose colour is skin's; how far from the middle
CROWN_M = 0.06  # height above which the scalp shows hair
SHADES, HUES = 0.35, 0.06  # how much, as logarithms, brightness and balance of colours vary within hair and within skin
UNLIKE = 1.5  # of these: hair that differs less from skin cannot be told from it
THINNEST_M, THICK_M = 4e-3, 10e-3  # wisps are left to the skin; near brows, which touch hair, all but thick hair is
BROWS = ((70, 63, 105, 66, 107), (46, 53, 52, 65, 55), (300, 293, 334, 296, 336), (276, 283, 282, 295, 285))
"""Landmarks of the upper and the lower rims of brows, right and left."""
NEAR_BROWS_M = 6e-3
SOFT_M = 0.8e-3
FEWEST_PX = 50


def find_fringe(
    head: HeadModel,
    buffers: MeshBuffers,  # of the head as the picture shows it
    colours: np.ndarray,  # [H, W, 3] without shading
    alpha: np.ndarray,  # [H, W]
    px_per_m: float,
) -> np.ndarray:
    """How far [H, W] a picture shows hair of the scalp over the face, above LOWEST_M; 0 where hair is like skin or none is seen."""
    face, scalp = (buffers.mask & head.faces_of((name,)).numpy()[buffers.face_ids] for name in HAIRY)
    rest = buffers.interpolate(head.template.double().numpy(), head.faces.numpy())
    landmarks = head.landmarks(head.vertices())[0].double().numpy()
    solid, height = alpha > 0.9, rest[..., 1]
    cheeks = face & solid & (height > SKIN_M[0]) & (height < SKIN_M[1]) & (np.abs(rest[..., 0]) < MIDDLE_M)
    crown = scalp & solid & (height > CROWN_M)
    if min(cheeks.sum(), crown.sum()) < FEWEST_PX:
        return np.zeros_like(alpha, np.float32)
    tones = _tones(colours)
    skin, hair = np.median(tones[cheeks], 0), np.median(tones[crown], 0)
    if ((hair - skin) ** 2).sum() < UNLIKE**2:
        return np.zeros_like(alpha, np.float32)
    hairy = ((tones - hair) ** 2).sum(2) < ((tones - skin) ** 2).sum(2)
    hairy &= (face | scalp) & (height > LOWEST_M)
    brows = np.concatenate([np.linspace(a, b, 4) for rim in BROWS for a, b in pairwise(landmarks[list(rim)])])
    by_brow = np.zeros_like(hairy)
    by_brow[hairy] = np.isfinite(KDTree(brows).query(rest[hairy], distance_upper_bound=NEAR_BROWS_M)[0])
    hung = np.where(by_brow, _thicker(hairy, THICK_M * px_per_m), _thicker(hairy, THINNEST_M * px_per_m))
    _, labels = cv2.connectedComponents(hung)
    grown = np.isin(labels, np.setdiff1d(labels[scalp & (hung > 0)], 0)) & face
    return cv2.GaussianBlur(grown.astype(np.float32), (0, 0), SOFT_M * px_per_m)


def _thicker(mask: np.ndarray, width_px: float) -> np.ndarray:
    """Where [H, W], 0 or 1, the mask is at least so wide."""
    size = 1 + 2 * max(1, round(width_px / 2))
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((size, size), np.uint8))


def _tones(colours: np.ndarray) -> np.ndarray:
    """Brightness and the balance of colours [H, W, 3], in SHADES and HUES."""
    red, green, blue = np.moveaxis(np.log(colours.clip(0.03, None)), -1, 0)
    return np.dstack([(red + green + blue) / 3 / SHADES, (red - green) / HUES, (blue - green) / HUES])
