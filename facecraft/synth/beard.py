"""Beards: stubble, moustache, goatee, short and long full beards, grown from the skin of the lower face."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from facecraft.synth import chart
from facecraft.synth.growth import ROOT_ATLAS, clump, scatter_roots
from facecraft.synth.noise import smooth_noise
from facecraft.synth.sites import surface_sites, texel_sites
from facecraft.synth.strands import Strands

FAMILIES = {
    "none": {},
    "shadow": {"moustache": 0.7, "chin": 0.8, "jaw": 0.7, "cheek": 0.35, "neck": 0.4},
    "stubble": {"moustache": 0.9, "chin": 1.0, "jaw": 0.9, "cheek": 0.5, "neck": 0.4},
    "moustache": {"moustache": 1.0},
    "goatee": {"moustache": 0.9, "chin": 1.0},
    "short": {"moustache": 0.9, "chin": 1.0, "jaw": 1.0, "cheek": 0.7, "neck": 0.3},
    "long": {"moustache": 1.0, "chin": 1.0, "jaw": 1.0, "cheek": 0.8, "neck": 0.5},
}
"""Where each kind of beard grows and how densely; parts of `chart.beard_place`."""
LENGTHS = {"shadow": 0.0, "stubble": 0.0022, "moustache": 0.011, "goatee": 0.013, "short": 0.010, "long": 0.045}


@dataclass(frozen=True)
class BeardTraits:
    """One person's beard."""

    family: str  # of FAMILIES
    length: float  # over the usual length of the family
    albedo: np.ndarray  # [3] linear
    grey: float  # share of strands without pigment
    curl: float  # 0 straight to 1 wiry


@cache
def _parts(size: int | None) -> dict[str, np.ndarray]:
    rest = texel_sites(ROOT_ATLAS).rest if size is None else surface_sites(size).rest
    return chart.beard_place(rest)


def _cover(size: int | None, traits: BeardTraits) -> np.ndarray:
    parts = _parts(size)
    amounts = FAMILIES[traits.family]
    return np.max([amounts.get(name, 0) * part for name, part in parts.items()], 0)


def beard_shadow(size: int, traits: BeardTraits, seed: int) -> np.ndarray:
    """How much the beard darkens the skin at surface_sites(size) [n] in [0, 1]."""
    if traits.family == "none":
        return np.zeros(len(surface_sites(size)))
    dots = 0.8 + 0.35 * smooth_noise(surface_sites(size).rest, 0.0016, seed + 50)
    strength = {"shadow": 0.30, "stubble": 0.5}.get(traits.family, 0.6)
    return np.clip(strength * _cover(size, traits) ** 1.2 * dots, 0, 1)


def grow_beard(vertices: np.ndarray, traits: BeardTraits, count: int, rng: np.random.Generator) -> list[Strands]:
    """The beard of a neutral head [V, 3], with up to `count` strands."""
    if LENGTHS.get(traits.family, 0) == 0:
        return []
    density = _cover(None, traits) ** 1.3
    share = {"moustache": 0.18, "goatee": 0.35}.get(traits.family, 1.0)
    roots = scatter_roots(vertices, density, int(share * count), rng)
    x, y, _ = roots.rest.T
    lip = (y > -0.0735) & (np.abs(x) < 0.034)
    side = np.where(x >= 0, 1.0, -1.0)
    comb = np.stack(
        [np.where(lip, side * np.clip(np.abs(x) / 0.014, 0.1, 1.2), 0.15 * side), -1 + 0 * x, 0.25 + 0 * x], 1
    )
    comb += (0.15 + 0.25 * traits.curl) * rng.standard_normal(comb.shape)
    length = LENGTHS[traits.family] * traits.length * (0.6 + 0.6 * rng.random(len(x)))
    length = np.where(lip, np.minimum(length, 0.013), length)
    if traits.family == "long":
        length *= np.where(lip, 1, np.interp(np.abs(x), [0, 0.03, 0.07], [1.0, 0.75, 0.3]))
    points = _hang(roots, comb, length, steps=2 if traits.family == "stubble" else 5, curl=traits.curl, rng=rng)
    if traits.family == "long":
        points = clump(points, max(len(points) // 12, 1), 0.5, rng)
    albedo = traits.albedo * np.exp(0.2 * rng.standard_normal((len(x), 1)))
    grey = np.clip(traits.grey + 0.3 * (traits.grey > 0) * rng.standard_normal((len(x), 1)), 0, 1)
    albedo += grey * (0.42 - albedo)
    width = {"stubble": 1.8e-4}.get(traits.family, 4.2e-4) * np.sqrt(2500 / max(count, 1))
    opacity = 0.85 if traits.family == "stubble" else 0.95
    return [Strands(points, roots.faces, np.full(len(x), width), albedo, "beard", 0.5, opacity)]


def _hang(roots, comb, lengths, steps: int, curl: float, rng) -> np.ndarray:
    """Strands [S, K + 1, 3] that leave the skin at a slant and fall along `comb` [S, 3]."""
    points = [roots.points]
    layer = rng.random((len(lengths), 1))
    for k in range(steps):
        lift = (0.9 * layer + 0.15) * (1 - 0.7 * k / steps)
        along = comb - (comb * roots.normals).sum(1, keepdims=True) * roots.normals
        along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
        direction = along + lift * roots.normals + 0.35 * curl * rng.standard_normal(along.shape)
        direction[:, 1] -= 0.12 * k
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        points.append(points[-1] + (lengths / steps)[:, None] * direction)
    return np.stack(points, 1)
