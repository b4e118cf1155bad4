"""Hair styles: for each family where hair grows, how long, combed where, and how it curls.

The colour is that of two pigments, eumelanin (dark) and pheomelanin (red), in the manner of d'Eon et al. 2011, with
absorption per unit chosen so that 0.8 is blond, 2.5 light brown, 4 brown and 7 black.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from facecraft.synth import chart
from facecraft.synth.growth import ROOT_ATLAS, Roots, scatter_roots
from facecraft.synth.hull import Hull
from facecraft.synth.noise import smooth_noise
from facecraft.synth.sites import surface_sites, texel_sites
from facecraft.synth.strands import Strands
from facecraft.synth.styles import STYLES, gathered

EUMELANIN = np.array([0.55, 0.75, 1.08])
PHEOMELANIN = np.array([0.10, 0.48, 0.95])
GREY = np.array([0.52, 0.50, 0.48])
BLACKEST = 0.013

FAMILIES = (
    *("bald", "buzz", "crop", "side_part", "slick_back", "bob", "long", "wavy"),
    *("curly", "afro", "bun", "ponytail"),
)


@dataclass(frozen=True)
class HairTraits:
    """One person's hair; lengths in m."""

    family: str  # of FAMILIES
    length: float
    sides: float  # length at the sides over that on top
    volume: float  # height of the top layer over the scalp
    part: float  # x of the parting
    recession: float  # m, how far the hairline has gone back
    thinning: float  # 0 full to 1 bare crown
    curl_radius: float
    curl_wavelength: float
    clumping: float
    fringe: bool
    eumelanin: float
    pheomelanin: float
    grey: float  # share of strands without pigment
    dye: np.ndarray | None  # [3] linear, instead of the pigments
    tip_fade: float  # how much lighter the tips are, 0 to 1


def pigment_colour(eumelanin: float, pheomelanin: float) -> np.ndarray:
    """Linear albedo [3] of hair."""
    return np.exp(-eumelanin * EUMELANIN - pheomelanin * PHEOMELANIN) * (1 - BLACKEST) + BLACKEST


def hair_colour(traits: HairTraits) -> np.ndarray:
    """Mean linear albedo [3] of the strands."""
    own = pigment_colour(traits.eumelanin, traits.pheomelanin) if traits.dye is None else traits.dye
    return own + traits.grey * (GREY - own)


def hair_bulk(traits: HairTraits) -> float:
    """Thickness of the hair under a hat, m."""
    return 0.003 + 0.15 * traits.volume if traits.family != "bald" else 0.002


def scalp_cover(size: int, traits: HairTraits, seed: int) -> np.ndarray:
    """How much hair hides or darkens the scalp at surface_sites(size) [n] in [0, 1]."""
    sites = surface_sites(size)
    if traits.family == "bald":
        return 0.25 * _density(sites.rest, traits, seed) * (traits.thinning < 0.9)
    strength = {"buzz": 0.75}.get(traits.family, 0.95)
    return strength * _density(sites.rest, traits, seed)


@cache
def _root_rest() -> np.ndarray:
    return texel_sites(ROOT_ATLAS).rest


def _density(rest: np.ndarray, traits: HairTraits, seed: int) -> np.ndarray:
    ragged = 0.0030 * smooth_noise(rest, 0.007, seed + 40, 3)
    over = chart.over_hairline(rest, traits.recession) + ragged + 0.002 * smooth_noise(rest, 0.03, seed + 41)
    crown = np.exp(-0.5 * (((rest - [0, 0.115, -0.11]) / [0.045, 0.05, 0.055]) ** 2).sum(1))
    front = (
        chart.band(rest[:, 2], -0.10, -0.02)
        * chart.band(rest[:, 1], 0.04, 0.07)
        * chart.band(rest[:, 0] ** 2, 0.002, 0.0006)
    )
    bare = np.clip(traits.thinning * 1.6 * np.maximum(crown, front), 0, 1)
    back = chart.band(rest[:, 2], -0.055, -0.085) * chart.band(rest[:, 1], -0.085, -0.065)  # the nape is soft
    return chart.band(over, -0.004, 0.008 + 0.006 * back) * (1 - bare)


def grow_hair(vertices: np.ndarray, hull: Hull, traits: HairTraits, count: int, seed: int) -> list[Strands]:
    """The hair of a neutral head [V, 3] with about `count` strands, in one or more groups."""
    if traits.family == "bald":
        return []
    rng = np.random.default_rng([seed, 41])
    count = 2 * count if traits.family == "buzz" else count
    roots = scatter_roots(vertices, _density(_root_rest(), traits, seed), count, rng)
    if len(roots.points) == 0:
        return []
    if traits.family == "curly":  # fewer, thicker strands with enough points for each turn
        roots = Roots(*(getattr(roots, name)[::3] for name in Roots.__dataclass_fields__))
    points = STYLES[traits.family](roots, traits, hull, rng)
    kept = ~_across_face(points, hull, lowest=0.0 if traits.fringe else 0.035)
    groups = [_coloured(points[kept], roots.faces[kept], traits, rng)]
    if traits.family in ("bun", "ponytail"):
        groups.append(_coloured(*gathered(roots, traits, hull, rng, count // 3), traits, rng))
    return groups


def _across_face(points: np.ndarray, hull: Hull, lowest: float) -> np.ndarray:
    """Strands [S] bool that hang over eyes and nose, down to less than `lowest` m over the eyes: nobody wears those."""
    x, y, z = np.moveaxis(points - hull.centre + chart.SKULL, -1, 0)
    return ((z > 0.0) & (y < lowest) & (y > -0.10) & (np.abs(x) < 0.052)).any(1)


def _coloured(points: np.ndarray, faces: np.ndarray, traits: HairTraits, rng: np.random.Generator) -> Strands:
    own = pigment_colour(traits.eumelanin, traits.pheomelanin) if traits.dye is None else traits.dye
    spread = 0.3 if traits.family in ("curly", "afro") else 0.18
    albedo = own * np.exp(spread * rng.standard_normal((len(points), 1)))
    grey = np.clip(traits.grey + (0.35 * (traits.grey > 0)) * rng.standard_normal((len(points), 1)), 0, 1)
    albedo += grey * (GREY * np.exp(0.10 * rng.standard_normal((len(points), 1))) - albedo)
    tip = albedo ** (1 - 0.45 * traits.tip_fade)
    # fewer strands, thicker ones
    length = np.linalg.norm(np.diff(points, axis=1), axis=2).sum(1).mean()
    width = 6.5e-4 * np.sqrt(6000 / max(len(points), 1)) * np.clip(length / 0.06, 0.55, 1.25)
    widths = width * (0.8 + 0.4 * rng.random(len(points)))
    opacity = 0.8 if traits.family == "buzz" else 0.97
    return Strands(points, faces, widths, np.clip(albedo, 0, 0.9), "hair", 0.6, opacity, np.clip(tip, 0, 0.9))
