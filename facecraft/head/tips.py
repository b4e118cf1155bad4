"""Where long hair ends: as far down as the photo shows it beside the neck it hangs over the back, too."""

import numpy as np

from facecraft.head.collar import resembles
from facecraft.head.completion import LONG_NAPE, NAPE_SOFT_M, TUFT_M, arc_around, strand_noise
from facecraft.head.model import HeadModel
from facecraft.head.rays import azimuths
from facecraft.head.surface import SKIN_REGIONS, Surface

CROWN = 0.03  # m, height above which what is seen of the scalp is hair
SHADES, UNLIKE = (0.6, 1.6), 0.2  # brightness of hair against its median, and the distance of other colours
ASIDE = np.radians(35)  # from the front, where hair hangs before the shoulders
BEHIND = np.radians([65, 95])  # where it begins to hang over the back, and does
BESIDE = (0.095, 0.12)  # m from the middle, between which it gives way to the shoulders
SLICE_M, SLICE_TEXELS, HAIRY = 0.01, 40, 0.3  # of height, texels and share of hair that tell what a slice is
FEWEST = 3  # slices of hair: a grey collar may be mistaken for less
BACK_FROM, HEAD_TO, HEAD_FROM = -0.08, -0.05, -0.01  # m, heights from which down hair is the back's, and the head's


def find_tips(head: HeadModel, surface: Surface, albedo: np.ndarray, seen: np.ndarray) -> float:
    """Height (m) down to which long hair hangs on the side where it hangs lower, LONG_NAPE at most; `albedo` [n, 3],
    `seen` [n] in 0..1."""
    y, clear = surface.positions[:, 1], seen > 0.5
    crown = clear & (surface.regions == head.region_names.index("scalp_neck")) & (y > CROWN)
    if crown.sum() < 500:
        return LONG_NAPE
    around = azimuths(surface.positions)
    below = clear & (y < LONG_NAPE) & _is_skin(head, surface) & (np.abs(around) > ASIDE)
    hair = resembles(albedo, np.median(albedo[crown], 0), SHADES, UNLIKE)
    return min(_end(y[side], hair[side]) for side in (below & (around > 0), below & (around < 0)))


def _end(heights: np.ndarray, hair: np.ndarray) -> float:
    """The height (m) below LONG_NAPE down to which slices of texels [n] are of `hair` [n] bool, one after the other."""
    slices = np.floor((LONG_NAPE - heights) / SLICE_M).astype(int)
    counts, hairs = np.bincount(slices, minlength=1), np.bincount(slices, hair, minlength=1)
    hairy = (counts >= SLICE_TEXELS) & (hairs > HAIRY * counts)
    count = int(np.argmin(np.append(hairy, False)))
    return LONG_NAPE - SLICE_M * count * (count >= FEWEST)


def cover_back(head: HeadModel, surface: Surface, end: float) -> np.ndarray:
    """How far texels [n] lie below the nape under hair that hangs over the back down to the height `end`, in tufts."""
    cover = np.zeros(len(surface.positions))
    if end == LONG_NAPE:
        return cover
    around = np.abs(azimuths(surface.positions))
    back = np.flatnonzero(_is_skin(head, surface) & (around > BEHIND[0]) & (surface.positions[:, 1] < HEAD_TO))
    x, y, _ = surface.positions[back].T
    tufts = TUFT_M * strand_noise(arc_around(surface.positions[back]), np.zeros(len(y)))
    hangs = np.clip(0.5 + (y - end - tufts) / NAPE_SOFT_M, 0, 1)
    hangs *= np.interp(around[back], BEHIND, (0, 1)) * np.interp(np.abs(x), BESIDE, (1, 0))
    cover[back] = hangs * np.interp(y, (BACK_FROM, HEAD_TO), (1, 0))
    return cover


def hang_hair(head: HeadModel, surface: Surface, colours: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """Colours [n, 3] with those of the hair at the nape where it covers the back by `cover` [n]."""
    y, behind = surface.positions[:, 1], np.abs(azimuths(surface.positions)) > BEHIND[1]
    scalp = surface.regions == head.region_names.index("scalp_neck")
    nape = scalp & behind & (y > HEAD_TO) & (y < HEAD_FROM)
    if not nape.any():
        return colours
    return colours + cover[:, None] * (np.median(colours[nape], 0) - colours)


def _is_skin(head: HeadModel, surface: Surface) -> np.ndarray:
    return head.faces_of(SKIN_REGIONS).numpy()[surface.atlas.faces]
