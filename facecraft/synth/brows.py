"""Brows and lashes: short strands on the lids and over the eyes."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from facecraft.head.model import load_head
from facecraft.splats.rig import triangle_frames
from facecraft.synth import chart
from facecraft.synth.growth import ROOT_ATLAS, Roots, scatter_roots
from facecraft.synth.sites import texel_sites
from facecraft.synth.strands import Strands

UPPER_LID = (263, 466, 388, 387, 386, 385, 384, 398, 362)
LOWER_LID = (263, 249, 390, 373, 374, 380, 381, 382, 362)
RIGHT_UPPER_LID = (33, 246, 161, 160, 159, 158, 157, 173, 133)
RIGHT_LOWER_LID = (33, 7, 163, 144, 145, 153, 154, 155, 133)


@dataclass(frozen=True)
class BrowTraits:
    """Brows and lashes of one person; 1 is usual."""

    density: float
    thickness: float
    length: float
    arch: float  # m added in the outer middle
    rise: float  # m that the whole brow lies higher
    albedo: np.ndarray  # [3] linear
    lash_length: float  # m
    lash_density: float


@cache
def _brow_fields() -> tuple[np.ndarray, np.ndarray]:
    return chart.brow_place(texel_sites(ROOT_ATLAS).rest)


def grow_brows(vertices: np.ndarray, traits: BrowTraits, count: int, rng: np.random.Generator) -> Strands:
    """`count` strands of both brows on a neutral head [V, 3]."""
    along, height = _brow_fields()
    middle = traits.rise + traits.arch * np.exp(-0.5 * ((along - 0.62) / 0.2) ** 2)
    half = traits.thickness * np.interp(along, [0, 0.12, 0.5, 0.8, 1], [1.9e-3, 2.7e-3, 2.4e-3, 1.6e-3, 0.4e-3])
    inside = np.exp(-(((height - middle) / half) ** 4)) * (along > 0) * (along < 1)
    density = inside * np.interp(along, [0, 0.1, 0.3, 0.85, 1], [0.35, 0.8, 1, 0.9, 0.5])
    count = int(count * min(traits.density, 1.6))
    roots = scatter_roots(vertices, density, count, rng)
    place, offset = chart.brow_place(roots.rest)
    side = np.where(roots.rest[:, 0] >= 0, 1.0, -1.0)
    upward = np.interp(place, [0, 0.15, 0.5, 1], [1.3, 0.8, 0.25, -0.45]) - 70 * (offset - traits.rise)
    comb = np.stack([side * np.interp(place, [0, 0.15, 1], [0.15, 0.8, 1]), upward, 0 * side], 1)
    comb += 0.16 * rng.standard_normal(comb.shape)
    lengths = traits.length * np.interp(place, [0, 0.3, 1], [6e-3, 8e-3, 6e-3]) * (0.7 + 0.6 * rng.random(len(side)))
    points = _lay(roots, comb, lengths, steps=3, lift=0.35)
    albedo = traits.albedo * np.exp(0.15 * rng.standard_normal((len(points), 1)))
    # fewer strands than hairs: each stands for several
    return Strands(points, roots.faces, np.full(len(points), 2.1e-4), albedo, "brow", 0.3, 0.8)


def _lay(roots: Roots, comb: np.ndarray, lengths: np.ndarray, steps: int, lift: float) -> np.ndarray:
    """Strands [S, K + 1, 3] that rise from the skin and lie down along `comb` [S, 3]."""
    along = comb - (comb * roots.normals).sum(1, keepdims=True) * roots.normals
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    points = [roots.points + 1.5e-4 * roots.normals]
    for k in range(steps):
        direction = along + lift * (1 - 1.6 * k / steps) * roots.normals
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        points.append(points[-1] + (lengths / steps)[:, None] * direction)
    return np.stack(points, 1)


def grow_lashes(vertices: np.ndarray, traits: BrowTraits, count: int, rng: np.random.Generator) -> Strands:
    """`count` lashes for each upper lid, half as many for each lower one, on a neutral head [V, 3]."""
    loops = ((UPPER_LID, 1, 1.0), (RIGHT_UPPER_LID, 1, -1.0), (LOWER_LID, -1, 1.0), (RIGHT_LOWER_LID, -1, -1.0))
    parts = [_lash_row(vertices, loop, up, side, traits, count, rng) for loop, up, side in loops]
    points = np.concatenate([p for p, _ in parts])
    faces = np.concatenate([f for _, f in parts])
    dark = 0.5 * traits.albedo * np.exp(0.1 * rng.standard_normal((len(points), 1)))
    return Strands(points, faces, np.full(len(points), 0.7e-4), dark, "skin", 0.3, 0.9)


@cache
def _lid_faces() -> np.ndarray:
    """For each landmark [478] the triangle that carries lashes: near it, moves with it and keeps its size in a blink.

    Triangles on the rim of the lids unfold: a Gaussian on them would grow several times over.
    """
    head = load_head()
    shut = head.expression_vector({"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0})
    rest, blink = head.template[None], head.vertices(expression=shut)
    (_, before, at), (_, after, then) = (triangle_frames(v[0], head.faces) for v in (rest, blink))
    growth = (after / before).log().abs().numpy()
    skin = (head.face_regions == head.region_names.index("face")).numpy()
    faces = head.landmark_faces.numpy().copy()
    for mark in {*UPPER_LID, *LOWER_LID, *RIGHT_UPPER_LID, *RIGHT_LOWER_LID}:
        point, moved = (head.landmarks(v)[0, mark] for v in (rest, blink))
        apart = (at - point).norm(dim=1).numpy()
        stray = ((then - at) - (moved - point)).norm(dim=1).numpy()
        faces[mark] = np.argmin(np.where(skin & (apart < 5e-3), growth + stray / 2e-3 + apart / 5e-3, np.inf))
    return faces


def _lash_row(vertices, loop, up: int, side: float, traits: BrowTraits, count: int, rng):
    head = load_head()
    index = np.array(loop)
    corners = vertices[head.faces[head.landmark_faces[index]].numpy()]
    line = np.einsum("lkd,lk->ld", corners, head.landmark_barycentrics[index].double().numpy())
    count = int(count * traits.lash_density * (1 if up > 0 else 0.5))
    place = np.sort(rng.random(count)) * 0.94 + 0.03
    at = place * (len(loop) - 1)
    low = np.minimum(at.astype(int), len(loop) - 2)
    roots = line[low] + (at - low)[:, None] * (line[low + 1] - line[low])
    faces = _lid_faces()[index[np.round(at).astype(int)]]
    outwards = 0.75 * (0.45 - place) * 2 * side  # the loops start at the outer corner
    aim = np.stack([outwards, np.full(count, 0.15 * up), np.ones(count)], 1)
    aim += 0.10 * rng.standard_normal(aim.shape)
    aim /= np.linalg.norm(aim, axis=1, keepdims=True)
    length = traits.lash_length * (1 if up > 0 else 0.55) * np.sin(np.pi * (0.2 + 0.65 * (1 - place)))
    length = length * (0.75 + 0.5 * rng.random(count))
    points = [roots]
    for k in range(3):
        bend = aim + [0, up * (-0.15 + 0.55 * k), 0]
        bend /= np.linalg.norm(bend, axis=1, keepdims=True)
        points.append(points[-1] + (length / 3)[:, None] * bend)
    return np.stack(points, 1), faces
