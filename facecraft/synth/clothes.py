"""Clothes: what is worn on the shoulders, as colours and cloth thickness on the bust, a collar, and a torso below it."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d

from facecraft.head.model import load_head
from facecraft.synth import chart
from facecraft.synth.noise import smooth_noise
from facecraft.synth.patches import Patch, sheet
from facecraft.synth.sites import surface_sites

NECKLINES = ("crew", "scoop", "v_neck", "turtleneck", "shirt", "bare")
THICK_M = 0.004


@dataclass(frozen=True)
class ClothesTraits:
    """What a person wears; colours linear."""

    neckline: str  # of NECKLINES
    depth: float  # 0 high to 1 low
    colour: np.ndarray  # [3]
    second: np.ndarray  # [3] of the pattern
    pattern: str  # plain, stripes, checks, speckle
    scale: float  # m, of the pattern


def edge_height(points: np.ndarray, traits: ClothesTraits) -> np.ndarray:
    """Height [n] over the edge of the cloth at points [n, 3] of the mean head, negative below it, m."""
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    front = chart.band(z, -0.14, -0.08)
    across = np.clip(x / 0.075, 0, 2)
    base = {"crew": -0.172, "scoop": -0.190, "v_neck": -0.182, "turtleneck": -0.128, "shirt": -0.165, "bare": -0.36}
    low = {"crew": 0.008, "scoop": 0.05, "v_neck": 0.085, "turtleneck": 0.0, "shirt": 0.05, "bare": 0.0}[
        traits.neckline
    ]
    dip = (
        low
        * (0.4 + 0.6 * traits.depth)
        * np.clip(1 - across, 0, 1) ** (1.0 if traits.neckline in ("v_neck", "shirt") else 0.5)
    )
    rise = 0.022 * np.clip(across - 0.6, 0, 1)  # the edge climbs the slope of the neck
    back = 0.030 * (1 - front)
    return y - (base[traits.neckline] + rise + back - front * dip)


def paint_clothes(size: int, albedo: np.ndarray, traits: ClothesTraits, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`albedo` [n, 3] at surface_sites(size) with the cloth painted, and where it is [n] in [0, 1]."""
    sites = surface_sites(size)
    here = sites.within("face", "scalp_neck", "bust") & (sites.rest[:, 1] < -0.10)
    cover = np.where(here, chart.band(edge_height(sites.rest, traits), 0.0012, -0.0008), 0)
    colour = cloth_colour(sites.rest, traits, seed)
    # the edge throws a shadow and has a seam
    gap = edge_height(sites.rest, traits)
    colour = colour * (1 - 0.25 * np.exp(-(((gap + 0.010) / 0.0012) ** 2)))[:, None]
    skin = albedo * (1 - 0.35 * here * np.exp(-np.clip(gap, 0, 1) / 0.004))[:, None]
    return skin + cover[:, None] * (colour - skin), cover


def cloth_colour(points: np.ndarray, traits: ClothesTraits, seed: int) -> np.ndarray:
    """Colour [n, 3] of the cloth at points [n, 3], linear, with folds."""
    x, y, _ = points.T
    warped = 0.15 * smooth_noise(points, 0.05, seed + 60)
    amount = np.zeros(len(points))
    if traits.pattern == "stripes":
        amount = chart.band(np.sin(2 * np.pi * (y / traits.scale + warped)), -0.15, 0.15)
    if traits.pattern == "checks":
        rows, columns = (np.sin(2 * np.pi * (a / traits.scale + warped)) for a in (x, y))
        amount = 0.5 * (chart.band(rows, -0.1, 0.1) + chart.band(columns, -0.1, 0.1))
    if traits.pattern == "speckle":
        amount = chart.band(smooth_noise(points, 0.4 * traits.scale, seed + 61, 2), 0.3, 0.9)
    colour = traits.colour + amount[:, None] * (traits.second - traits.colour)
    folds = smooth_noise(points * [1, 0.45, 1], 0.035, seed + 62, 2) + 0.4 * smooth_noise(points, 0.002, seed + 63)
    return np.clip(colour * np.exp(0.10 * folds)[:, None], 0.004, 0.9)


def cloth_offsets(vertices: np.ndarray, normals: np.ndarray, traits: ClothesTraits) -> np.ndarray:
    """How far cloth lifts the skin's vertices [V, 3], m."""
    rest = load_head().template.double().numpy()
    thick = THICK_M * chart.band(edge_height(rest, traits), 0.001, -0.004) * (rest[:, 1] < -0.10)
    thick *= load_head().vertex_regions.numpy() != load_head().region_names.index("mouth_socket")
    return thick[:, None] * normals


def torso(vertices: np.ndarray, traits: ClothesTraits, seed: int, spacing: float) -> Patch:
    """The body below the bust, down to the waist: the bust's widest outline drawn downwards."""
    ring, face = _widest_ring(vertices)
    depth = np.arange(0, 0.42, 1.0 * spacing)
    centre = ring.mean(0)
    share = np.clip(depth / 0.30, 0, 1)[:, None]
    rows = np.repeat(ring[None], len(depth), 0)
    rows[..., 0] = centre[0] + (ring[None, :, 0] - centre[0]) * (1 + 0.22 * np.sin(share * np.pi / 2))
    rows[..., 2] = centre[2] + (ring[None, :, 2] - centre[2]) * (1 + 0.10 * share)
    rows[:, :, 1] = ring[None, :, 1] - depth[:, None]
    rest = rows - centre + [0, -0.25, -0.12]
    colour = cloth_colour(rest.reshape(-1, 3), traits, seed).reshape(rest.shape)
    patch = sheet(rows, colour, face, "cloth")
    # rounded at the top, where it meets the shoulders
    up = 0.9 * np.exp(-depth / 0.04)[:, None] * np.ones(len(ring))
    normals = patch.normals + up.reshape(-1, 1) * [0, 1, 0]
    return replace(patch, normals=normals / np.linalg.norm(normals, axis=1, keepdims=True))


def _widest_ring(vertices: np.ndarray, count: int = 180) -> tuple[np.ndarray, int]:
    """Where the bust is widest in each of `count` directions, in order, and a triangle of the bust."""
    head = load_head()
    bust = np.flatnonzero(head.face_regions.numpy() == head.region_names.index("bust"))
    members = np.unique(head.faces.numpy()[bust])
    points = vertices[members]
    middle = (points.min(0) + points.max(0)) / 2
    arms = points - middle
    angle, reach = np.arctan2(arms[:, 0], arms[:, 2]), np.hypot(arms[:, 0], arms[:, 2])
    at = np.linspace(-np.pi, np.pi, count, endpoint=False)
    apart = np.abs((angle[None] - at[:, None] + np.pi) % (2 * np.pi) - np.pi)
    widest = np.argmax(np.where(apart < 0.12, reach[None], -apart), 1)
    radius, height = (gaussian_filter1d(values[widest], 4, mode="wrap") for values in (reach, points[:, 1]))
    ring = np.stack([middle[0] + radius * np.sin(at), height, middle[2] + radius * np.cos(at)], 1)
    return ring, int(bust[0])
