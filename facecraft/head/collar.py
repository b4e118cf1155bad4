"""Where clothes end at the neck: one height around it, so that hidden sides get skin above it and cloth below.

Seen texels are skin when their colour is the face's median at some brightness. The collar is how far up, all around the axis of
the neck, the others go without a gap, which shadows under a chin have below them; where the photo shows no skin above it, it
goes on between its ends, above all cloth, and is no lower than usual.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import median_filter

from facecraft.head.model import HeadModel
from facecraft.head.rays import azimuths
from facecraft.head.surface import Surface

JAW = -0.05  # m, height from which down a neck may be dressed
LOWEST = -0.22  # m, height down to which skin tells that nothing is worn
BACK, HIGH = -0.10, -0.09  # m, least height of a collar at the back, and most where it is not seen
BINS, BIN_TEXELS = 48, 12  # around the neck, and how many texels of cloth make an edge
SLICE_M, SLICE_TEXELS = 4e-3, 4  # of height, and how many texels tell what a slice is
STEADY = 3  # bins whose median is the collar
TALLEST = -0.07  # m, height above which no collar ends: hair or the backdrop beside a neck
SHADES, UNLIKE = (0.5, 1.3), 0.13  # brightness of skin against its median, and the distance of other colours
DRESSED = 0.25  # least share of cloth on neck and chest
SOFT_M, MARGIN_M = 1.5e-3, 5e-3  # of the edge of the cloth, and above it
GRAZING = 0.5  # cosine below which what stands off the neck hides it


@dataclass(frozen=True)
class Collar:
    """Height [BINS] m of the collar at azimuths around the neck, from -pi on; the back is at -pi."""

    heights: np.ndarray
    skin: np.ndarray  # [3] colour of the face

    def covers(self, points: np.ndarray) -> np.ndarray:
        """How far points [n, 3] of the skin below the jaw are under cloth, 0..1."""
        return np.clip(0.5 - self.rise(points) / (2 * SOFT_M), 0, 1)

    def rise(self, points: np.ndarray) -> np.ndarray:
        """Height [n] m of points [n, 3] above the collar."""
        return points[:, 1] - np.interp(azimuths(points), _bins(), self.heights, period=2 * np.pi)

    def astray(self, surface: Surface, albedo: np.ndarray) -> np.ndarray:
        """Which texels [n] of the bare neck do not look like skin, or are too near to the cloth to tell."""
        rise = self.rise(surface.positions)
        neck = (surface.positions[:, 1] < JAW) & (rise > -SOFT_M)
        return neck & (~resembles(albedo, self.skin) | (rise < MARGIN_M))


def find_collar(head: HeadModel, surface: Surface, albedo: np.ndarray, seen: np.ndarray) -> Collar | None:
    """The collar that the photo shows, None when neck and shoulders are bare; `albedo` [n, 3], `seen` [n] in 0..1."""
    y, face = surface.positions[:, 1], surface.regions == head.region_names.index("face")
    clear = seen > 0.5
    skin = face & clear & (y > JAW)
    dressed = clear & (y < JAW - 0.03)
    if skin.sum() < 500 or dressed.sum() < 500:
        return None
    colour = np.median(albedo[skin], 0)
    cloth = ~resembles(albedo, colour)
    if cloth[dressed & (y > LOWEST)].mean() < DRESSED:
        return None
    below = clear & (y < JAW)
    tops, ended = _tops(surface.positions[below], cloth[below])
    tall = tops > TALLEST
    tops[tall], ended[tall] = np.nan, False
    if np.isnan(tops).all():
        return None
    heights = usual = BACK - 0.05 * (0.5 + 0.5 * np.cos(_bins()))  # lower in front
    if ended.any():
        heights = np.interp(_bins(), _bins()[ended], tops[ended], period=2 * np.pi)
    heights = np.where(ended, heights, np.fmax(np.clip(heights, usual, HIGH), tops))
    return Collar(median_filter(heights, STEADY, mode="wrap"), colour)


def _tops(points: np.ndarray, is_cloth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Height [BINS] up to which points [n, 3] around the neck are mostly cloth, from below, NaN where too few are seen; and
    whether skin is seen above it [BINS] bool: else cloth may go on."""
    bins = np.round((azimuths(points) + np.pi) / (2 * np.pi) * BINS).astype(int) % BINS
    slices = np.floor((points[:, 1] - LOWEST) / SLICE_M).astype(int).clip(0)
    counts, cloths = (np.zeros((BINS, slices.max() + 1)) for _ in range(2))
    np.add.at(counts, (bins, slices), 1)
    np.add.at(cloths, (bins, slices), is_cloth)
    tops, ended = np.full(BINS, np.nan), np.zeros(BINS, bool)
    for b in np.flatnonzero(counts.sum(1) >= BIN_TEXELS):
        known = np.flatnonzero(counts[b] >= SLICE_TEXELS)
        bare = known[cloths[b, known] < 0.5 * counts[b, known]]
        end = bare[0] if len(bare) else known[-1] + 1 if len(known) else 0
        tops[b], ended[b] = LOWEST + SLICE_M * end, len(bare) > 0
    return tops, ended


def resembles(colours: np.ndarray, colour: np.ndarray, shades=SHADES, unlike=UNLIKE) -> np.ndarray:
    """Which `colours` [n, 3] are `colour` [3] or [n, 3] at some brightness in `shades`, within `unlike` of its length."""
    shade = np.clip((colours * colour).sum(-1) / (colour * colour).sum(-1), *shades)
    return np.linalg.norm(colours - shade[..., None] * colour, axis=-1) < unlike * np.linalg.norm(colour, axis=-1)


def _bins() -> np.ndarray:
    return -np.pi + 2 * np.pi * np.arange(BINS) / BINS
