"""Skin: colour from melanin and haemoglobin, relief from pores and wrinkles; lips, freckles, make-up.

Colour is linear RGB. Two absorbers over a pale dermis, after Tsumura et al. 2003 (skin colour is two-dimensional in the
logarithm) with a floor for what the surface reflects; melanin falls with the wavelength to the power 3.3 (Jacques 2013).
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from facecraft.head.model import load_head
from facecraft.synth import chart
from facecraft.synth.noise import cells, smooth_noise
from facecraft.synth.sites import surface_sites, texel_axes

DERMIS = np.array([0.93, 0.76, 0.64])
MELANIN = np.array([1.0, 1.50, 2.05])
HAEMOGLOBIN = np.array([0.13, 1.0, 0.80])
SURFACE = 0.026
_TILT = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])  # else the lattice of the noise shows
STEP_M = 3e-4  # over which the relief is differentiated


@dataclass(frozen=True)
class SkinTraits:
    """What one person's skin is like. Amounts without unit are 0 = none to 1 = strong."""

    melanin: float  # 0.05 palest to 2.6 darkest
    haemoglobin: float  # 0.08 pale to 0.4 ruddy
    mottling: float
    flush: float  # red of cheeks, nose and ears
    freckles: float
    moles: int
    blemishes: float
    pores: float
    wrinkles: float
    eye_shade: float  # dark rings
    lip_blood: float
    lip_colour: np.ndarray | None  # [3] linear lipstick
    lid_colour: np.ndarray | None  # [3] linear eye shadow
    blush: float
    liner: float
    gloss: float  # strength of the highlights


@cache
def _fields(size: int) -> dict[str, np.ndarray]:
    """Everything about the sites that does not depend on the person."""
    sites = surface_sites(size)
    x, y, z = sites.rest.T
    fields = {
        "lips": chart.lip_depth(sites.rest),
        "lids": chart.lid_gap(sites.rest),
        "front": chart.in_front(sites.rest),
        "cheeks": chart.bump(sites.rest, (0.042, -0.036, 0.008), 0.014),
        "nose": chart.bump(sites.rest, (0, -0.042, 0.044), 0.010),
        "ears": chart.on_ear(sites.rest) * chart.band(np.abs(x), 0.070, 0.080),
        "chin": chart.bump(sites.rest, (0, -0.103, 0.018), 0.010),
        "under_eyes": chart.bump(sites.rest, (0.030, -0.016, 0.012), 0.0075),
        "upper_lids": chart.bump(sites.rest, (0.033, 0.007, 0.013), 0.008),
        "forehead": chart.band(y, 0.02, 0.035) * chart.band(z, -0.02, 0.0),
        "nostrils": np.isin(sites.faces, load_head().nostril_faces.numpy()).astype(float),
        "mouth_line": np.abs(y + 0.0725) * chart.band(lips := chart.lip_depth(sites.rest), 0, 1e-4) + (lips <= 0),
    }
    return fields


def paint_skin(sites_size: int, traits: SkinTraits, seed: int) -> np.ndarray:
    """Albedo [n, 3] of the outer skin at surface_sites(size), linear; other regions get skin too."""
    sites, f = surface_sites(sites_size), _fields(sites_size)
    rest = sites.rest
    slow = smooth_noise(rest, 0.022, seed, 3)
    fine = smooth_noise(rest @ _TILT, 0.0030, seed + 1, 3)
    melanin = traits.melanin * (
        1 + 0.05 * traits.mottling * slow + 0.035 * fine + 0.08 * f["forehead"] - 0.04 * f["nose"]
    )
    melanin += traits.eye_shade * (0.10 + 0.25 * traits.melanin) * (f["under_eyes"] + 0.5 * f["upper_lids"])
    melanin += _freckles(rest, traits, seed, f) + _moles(rest, traits, seed)
    red = smooth_noise(rest, 0.012, seed + 2, 3)
    blood = traits.haemoglobin * (1 + 0.18 * traits.mottling * red + 0.10 * fine)
    warm = 0.9 * f["cheeks"] + 0.8 * f["nose"] + 0.9 * f["ears"] + 0.35 * f["chin"] + 0.25 * f["upper_lids"]
    blood += traits.flush * 0.22 * warm * (1 + 0.3 * red) + 0.10 * traits.eye_shade * f["under_eyes"]
    blood += traits.blush * 0.5 * f["cheeks"] + _blemishes(rest, traits, seed)
    lips = chart.band(f["lips"] + 3e-4 * red, -8e-4, 1.4e-3)
    blood += lips * traits.lip_blood * (0.55 + 0.08 * fine)
    melanin = melanin * (1 - 0.35 * lips) + 0.12 * lips * traits.melanin**0.5
    albedo = reflectance(melanin, blood)
    if traits.lip_colour is not None:
        albedo += (0.8 * lips)[:, None] * (traits.lip_colour * (1 + 0.05 * fine[:, None]) - albedo)
    if traits.lid_colour is not None:
        shadow = chart.band(f["upper_lids"], 0.35, 0.9) * chart.band(rest[:, 1], -0.002, 0.004)
        albedo += (0.55 * shadow)[:, None] * (traits.lid_colour - albedo)
    lash_line = chart.band(f["lids"], 1.0e-3, 0.1e-3) * f["front"] * (0.12 + 0.65 * traits.liner)
    albedo *= 1 - 0.75 * lash_line[:, None]
    albedo *= 1 - 0.5 * chart.band(f["mouth_line"], 1.4e-3, 0.2e-3)[:, None]
    albedo *= 1 - 0.8 * f["nostrils"][:, None]
    return np.clip(albedo, 0.005, 0.95)


def reflectance(melanin: np.ndarray, haemoglobin: np.ndarray) -> np.ndarray:
    """Linear RGB [n, 3] of skin with these amounts of absorber [n]."""
    depth = np.maximum(melanin, 0)[:, None] * MELANIN + np.maximum(haemoglobin, 0)[:, None] * HAEMOGLOBIN
    return (1 - SURFACE) * DERMIS * np.exp(-depth) + SURFACE


def _freckles(rest, traits: SkinTraits, seed: int, f) -> np.ndarray:
    if traits.freckles <= 0:
        return np.zeros(len(rest))
    spread = np.clip(f["front"] * (0.4 + 1.2 * f["cheeks"] + f["nose"]), 0, 1)
    total = np.zeros(len(rest))
    for k, wavelength in enumerate((0.0035, 0.0055)):
        distance, number = cells(rest + 4e-4 * smooth_noise(rest, 0.003, seed + 7)[:, None], wavelength, seed + 20 + k)
        size = 0.12 + 0.22 * ((number * 7.3) % 1)
        total += chart.band(distance, size + 0.08, size - 0.08) * (number < traits.freckles * spread)
    return 0.35 * np.clip(total, 0, 1)


def _moles(rest, traits: SkinTraits, seed: int) -> np.ndarray:
    distance, number = cells(rest, 0.045, seed + 30)
    return 0.9 * chart.band(distance, 0.035, 0.018) * (number < traits.moles / 30)


def _blemishes(rest, traits: SkinTraits, seed: int) -> np.ndarray:
    distance, number = cells(rest, 0.014, seed + 31)
    return 0.22 * chart.band(distance, 0.16, 0.04) * (number < 0.35 * traits.blemishes)


def relief_slopes(size: int, traits: SkinTraits, seed: int) -> np.ndarray:
    """Gradient [n, 3] of the skin's height along the surface of the mean head, at surface_sites(size), without unit."""
    sites = surface_sites(size)
    points, along, across = _stencil(size)
    height = _height(points, _creases(size), traits, seed).reshape(3, -1)
    rises = (height[1:] - height[0]) / STEP_M
    slopes = rises[0, :, None] * along + rises[1, :, None] * across
    skin = sites.within("face", "scalp_neck")
    return np.where(skin[:, None], np.clip(slopes, -0.8, 0.8), 0)


@cache
def _stencil(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The sites and two steps from each along the surface [3 n, 3]; the directions of the steps [n, 3]."""
    sites = surface_sites(size)
    axes = texel_axes(sites, load_head().template.double().numpy())
    along = axes[:, :, 0] / np.linalg.norm(axes[:, :, 0], axis=1, keepdims=True)
    normal = np.cross(axes[:, :, 0], axes[:, :, 1])
    across = np.cross(normal / np.linalg.norm(normal, axis=1, keepdims=True), along)
    return np.concatenate([sites.rest, sites.rest + STEP_M * along, sites.rest + STEP_M * across]), along, across


@cache
def _creases(size: int) -> dict[str, np.ndarray]:
    """Folds at the points of the stencil [3 n]: 1 in the middle of the fold, fading over its width and to its ends."""
    points = _stencil(size)[0]
    profiles = {}
    for name in chart.CREASES:
        gap, along = chart.crease_gap(points, name)
        profiles[name] = np.exp(-0.5 * (gap / CREASE_WIDTH.get(name, 9e-4)) ** 2) * np.sin(np.pi * (0.1 + 0.8 * along))
    x, y, z = points.T
    profiles["forehead"] = (
        chart.band(np.abs(x), 0.050, 0.030) * chart.band(y, 0.022, 0.028) * chart.band(y, 0.064, 0.052)
    )
    profiles["forehead"] *= chart.band(z, -0.01, 0.01)
    profiles["neck"] = chart.band(y, -0.118, -0.126) * chart.band(y, -0.175, -0.165) * chart.band(z, -0.13, -0.10)
    profiles["lips"] = chart.band(chart.lip_depth(points), 0, 1.5e-3)
    return profiles


CREASE_WIDTH = {"nasolabial": 1.6e-3, "marionette": 1.3e-3, "eye_bag": 1.5e-3, "lid_fold": 7e-4}
CREASE_DEPTH = {"nasolabial": 1.5e-3, "marionette": 0.7e-3, "eye_bag": 0.8e-3, "glabella": 0.5e-3, "lid_fold": 0.35e-3}
"""m, of the deepest; others 0.35 mm."""


def _height(points: np.ndarray, folds: dict[str, np.ndarray], traits: SkinTraits, seed: int) -> np.ndarray:
    """Height [3 n] of the skin at the points of a stencil, m."""
    w = traits.wrinkles
    x, y, _ = points.T
    height = 7e-5 * traits.pores * smooth_noise(points @ _TILT, 0.0026, seed + 3, 2)
    height += 2e-4 * (0.3 + w) * smooth_noise(points, 0.012, seed + 4)
    height -= 1.2e-4 * folds["lips"] * np.abs(smooth_noise(points * [1, 0.25, 0.25], 0.0016, seed + 5))
    waves = y + 0.0014 * smooth_noise(points * [1, 0.1, 1], 0.02, seed + 6)
    phase = 2 * np.pi * (waves / 0.0085 + (seed % 97) / 97)
    height -= 3.2e-4 * w * folds["forehead"] * np.maximum(np.cos(phase), 0) ** 3
    height -= 5e-4 * w * folds["neck"] * np.maximum(np.cos(2 * np.pi * (waves / 0.017 + (seed % 89) / 89)), 0) ** 6
    for name in chart.CREASES:
        depth = CREASE_DEPTH.get(name, 3.5e-4)
        amount = w if name != "lid_fold" else 0.6
        height -= depth * amount * folds[name]
    return height
