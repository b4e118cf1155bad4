"""Eyes, teeth and the rest of what lies behind lids and lips: colours of the inner regions."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from facecraft.head.model import load_head
from facecraft.synth.chart import band
from facecraft.synth.noise import smooth_noise
from facecraft.synth.sites import surface_sites

IRIS_RAD = 0.395  # half the angle under which the iris of the mean eye is seen from the middle of the eyeball
SCLERA = np.array([0.66, 0.62, 0.60])
VESSEL = np.array([0.50, 0.16, 0.14])
TOOTH = np.array([0.62, 0.56, 0.46])
GUM = np.array([0.36, 0.10, 0.10])
TONGUE = np.array([0.38, 0.11, 0.11])
THROAT = np.array([0.10, 0.02, 0.02])
LIPS_M, THROAT_M = 0.024, -0.035  # between these depths the light fades on its way into the mouth


@dataclass(frozen=True)
class EyeTraits:
    """One pair of eyes; colours linear."""

    iris: np.ndarray  # [3] outer part
    inner: np.ndarray  # [3] around the pupil
    pupil: float  # radius over that of the iris
    size: float  # radius of the iris over the mean
    veins: float  # 0 to 1
    white: float  # brightness of the white
    tooth: float  # brightness of the teeth
    tooth_warmth: float  # 0 white to 1 yellow


@cache
def _angles(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Angle from the axis of its eye [n] rad (pi elsewhere), direction around it [n, 2], and height on the eyeball [n]."""
    head, sites = load_head(), surface_sites(size)
    angle, around, height = np.full(len(sites), np.pi), np.zeros((len(sites), 2)), np.zeros(len(sites))
    for eye, side in enumerate("LR"):
        here = sites.within(f"eyeball_{side}")
        arms = sites.rest[here] - head.joints.numpy()[head.joint_names.index(f"eye_{side}")]
        arms /= np.linalg.norm(arms, axis=1, keepdims=True)
        axis = head.eye_axes.double().numpy()[eye]
        axis = axis / np.linalg.norm(axis)
        angle[here] = np.arccos(np.clip(arms @ axis, -1, 1))
        right = np.cross([0, 1, 0], axis)
        plane = np.stack([arms @ right, arms @ np.cross(axis, right)], 1)
        around[here] = plane / np.maximum(np.linalg.norm(plane, axis=1, keepdims=True), 1e-6)
        height[here] = arms[:, 1]
    return angle, around, height


def iris_share(size: int, traits: EyeTraits) -> np.ndarray:
    """How much of a site is iris or pupil [n]."""
    angle, _, _ = _angles(size)
    return band(angle, IRIS_RAD * traits.size + 0.02, IRIS_RAD * traits.size - 0.02)


@cache
def iris_sites(size: int) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the surface_sites(size) on the left and on the right cornea."""
    front = _angles(size)[0] < 1.1 * IRIS_RAD
    sites = surface_sites(size)
    return tuple(np.flatnonzero(front & sites.within(f"eyeball_{side}")) for side in "LR")


def paint_inside(size: int, albedo: np.ndarray, traits: EyeTraits, seed: int) -> np.ndarray:
    """`albedo` [n, 3] of surface_sites(size) with eyeballs, teeth, gums, tongue and the mouth cavity painted, linear."""
    sites = surface_sites(size)
    out = albedo.copy()
    eyes = sites.within("eyeball_L", "eyeball_R")
    out[eyes] = _paint_eyes(size, traits, seed)[eyes]
    dim = np.clip((sites.rest[:, 2] - THROAT_M) / (LIPS_M - THROAT_M), 0, 1)[:, None] ** 2.5 * 0.95 + 0.05
    tooth = TOOTH * traits.tooth * (1 - traits.tooth_warmth * np.array([0.0, 0.06, 0.20]))
    mottled = 1 + 0.05 * smooth_noise(sites.rest, 0.004, seed)[:, None]
    inside = {"teeth_upper": tooth, "teeth_lower": tooth * 0.9, "gums": GUM, "tongue": TONGUE, "mouth_socket": THROAT}
    for region, colour in inside.items():
        here = sites.within(region)
        out[here] = (dim * mottled * colour)[here]
    return out


def _paint_eyes(size: int, traits: EyeTraits, seed: int) -> np.ndarray:
    angle, around, height = _angles(size)
    outer = IRIS_RAD * traits.size
    radius = angle / outer
    fibres = smooth_noise(np.column_stack([around * 9, radius * 1.2]), 1.0, seed, 3)
    coarse = smooth_noise(np.column_stack([around * 2.5, radius * 2]), 1.0, seed + 1, 2)
    ring = band(radius, traits.pupil + 0.42, traits.pupil + 0.12)[:, None]
    iris = traits.iris + ring * (traits.inner - traits.iris)
    iris = iris * np.exp(0.28 * fibres + 0.16 * coarse)[:, None]
    iris = iris * (1 - 0.65 * band(radius, 0.78, 1.0))[:, None]  # the dark ring at the border
    redness = traits.veins * band(angle, outer + 0.15, 1.1)
    veins = band(np.abs(smooth_noise(np.column_stack([around * 3, angle * 1.5]), 1.0, seed + 2, 3)), 0.12, 0.0)
    white = SCLERA * traits.white * (1 - 0.10 * band(angle, 0.6, 1.3))[:, None]
    white = white + (redness * (0.15 + 0.45 * veins))[:, None] * (VESSEL - white)
    colour = white + iris_share(size, traits)[:, None] * (iris - white)
    colour *= (1 - band(radius, traits.pupil + 0.06, traits.pupil - 0.06) * 0.985)[:, None]
    return colour * (1 - 0.55 * band(height, 0.10, 0.42))[:, None]  # the shadow of upper lid and lashes
