"""Hair styles: for each family where hair grows, how long, combed where, and how it curls.

The colour is that of two pigments, eumelanin (dark) and pheomelanin (red), in the manner of d'Eon et al. 2011, with
absorption per unit chosen so that 0.8 is blond, 2.5 light brown, 4 brown and 7 black.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from facecraft.synth import chart
from facecraft.synth.growth import ROOT_ATLAS, Habit, Roots, clump, curl, grow, scatter_roots
from facecraft.synth.hull import Hull
from facecraft.synth.noise import smooth_noise
from facecraft.synth.sites import surface_sites, texel_sites
from facecraft.synth.strands import Strands

EUMELANIN = np.array([0.55, 0.75, 1.08])
PHEOMELANIN = np.array([0.10, 0.48, 0.95])
GREY = np.array([0.52, 0.50, 0.48])
BLACKEST = 0.008

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
    over = chart.over_hairline(rest, traits.recession) + ragged
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
        roots = Roots(*(getattr(roots, name)[::2] for name in Roots.__dataclass_fields__))
    points = _STYLES[traits.family](roots, traits, hull, rng)
    groups = [_coloured(points, roots.faces, traits, rng)]
    if traits.family in ("bun", "ponytail"):
        groups.append(_coloured(*_gathered(roots, traits, hull, rng, count // 3), traits, rng))
    return groups


def _coloured(points: np.ndarray, faces: np.ndarray, traits: HairTraits, rng: np.random.Generator) -> Strands:
    own = pigment_colour(traits.eumelanin, traits.pheomelanin) if traits.dye is None else traits.dye
    albedo = own * np.exp(0.16 * rng.standard_normal((len(points), 1)))
    grey = np.clip(traits.grey + (0.35 * (traits.grey > 0)) * rng.standard_normal((len(points), 1)), 0, 1)
    albedo += grey * (GREY * np.exp(0.10 * rng.standard_normal((len(points), 1))) - albedo)
    tip = albedo ** (1 - 0.45 * traits.tip_fade)
    # fewer strands, thicker ones
    length = np.linalg.norm(np.diff(points, axis=1), axis=2).sum(1).mean()
    width = 6.5e-4 * np.sqrt(6000 / max(len(points), 1)) * np.clip(length / 0.06, 0.55, 1.25)
    widths = width * (0.8 + 0.4 * rng.random(len(points)))
    opacity = 0.55 if traits.family == "buzz" else 0.9
    return Strands(points, faces, widths, np.clip(albedo, 0, 0.9), "hair", 0.6, opacity, np.clip(tip, 0, 0.9))


def _edge(roots: Roots, traits: HairTraits) -> np.ndarray:
    """0 at the hairline to 1 within 3 cm of it [S]."""
    return np.clip(chart.over_hairline(roots.rest, traits.recession) / 0.03, 0, 1)


def _layers(roots: Roots, traits: HairTraits, rng: np.random.Generator) -> np.ndarray:
    """Height [S] over the scalp at which each strand lies."""
    return traits.volume * rng.random(len(roots.points)) ** 0.7 * (0.25 + 0.75 * _edge(roots, traits)) + 0.0015


def _top(roots: Roots) -> np.ndarray:
    return chart.band(roots.rest[:, 1], 0.02, 0.085)


def _around(point: np.ndarray):
    """The comb that leads away from a whorl."""
    return lambda points: points - point


def _parted(x: float, back: float):
    """The comb that leads to both sides of a parting and down."""

    def flow(points):
        side = np.tanh((points[:, 0] - x) / 0.006)
        top = chart.band(points[:, 1], 0.02, 0.09)
        front = chart.band(points[:, 2], -0.06, -0.01)
        return np.stack([side * (0.35 + 0.8 * top), -0.7 + 0.6 * top, -back * (1 + front)], 1)

    return flow


def _buzz(roots, traits, hull, rng):
    lengths = (
        traits.length * (traits.sides + (1 - traits.sides) * _top(roots)) * (0.7 + 0.5 * rng.random(len(roots.points)))
    )
    habit = Habit(lengths, steps=3, lift=0.75, stiffness=0.9, gravity=0.0, volume=traits.length, hold=0.3)
    return grow(roots, habit, _around(hull.centre + [0.012, 0.085, -0.045]), hull, rng)


def _crop(roots, traits, hull, rng):
    lengths = (
        traits.length * (traits.sides + (1 - traits.sides) * _top(roots)) * (0.75 + 0.4 * rng.random(len(roots.points)))
    )
    habit = Habit(lengths, steps=7, lift=0.55, stiffness=0.55, gravity=0.15, volume=_layers(roots, traits, rng))
    points = grow(roots, habit, _around(hull.centre + [0.012, 0.085, -0.045]), hull, rng)
    points = clump(points, len(points) // 12, traits.clumping, rng)
    return curl(points, traits.curl_radius, traits.curl_wavelength, len(points) // 8, rng)


def _side_part(roots, traits, hull, rng):
    lengths = (
        traits.length * (traits.sides + (1 - traits.sides) * _top(roots)) * (0.8 + 0.3 * rng.random(len(roots.points)))
    )
    habit = Habit(lengths, steps=9, lift=0.4, stiffness=0.55, gravity=0.2, volume=_layers(roots, traits, rng), hold=1.2)
    points = grow(roots, habit, _parted(traits.part, 0.35), hull, rng)
    points = clump(points, len(points) // 14, traits.clumping, rng)
    return curl(points, traits.curl_radius, traits.curl_wavelength, len(points) // 10, rng)


def _slick_back(roots, traits, hull, rng):
    def flow(points):
        top = chart.band(points[:, 1], 0.0, 0.08)
        return np.stack([0.1 * np.sign(points[:, 0]), -0.9 + 0.7 * top, -1 + 0 * top], 1)

    lengths = (
        traits.length
        * (traits.sides + (1 - traits.sides) * _top(roots))
        * (0.85 + 0.25 * rng.random(len(roots.points)))
    )
    habit = Habit(
        lengths, steps=10, lift=0.35, stiffness=0.5, gravity=0.2, volume=_layers(roots, traits, rng), hold=1.2
    )
    points = clump(grow(roots, habit, flow, hull, rng), len(roots.points) // 12, traits.clumping, rng)
    return curl(points, traits.curl_radius, traits.curl_wavelength, len(points) // 10, rng)


def _falling(roots, traits, hull, rng, steps=14):
    """Bob, long and wavy hair: from the parting to the sides and down; a fringe if there is one."""
    lengths = traits.length * (0.9 + 0.2 * rng.random(len(roots.points)))
    # ends at one level rather than strands of one length: crown hair has further to go
    lengths = lengths + np.clip(roots.rest[:, 1] + 0.02, -0.05, 0.12) * 0.9
    parted = _parted(traits.part, 0.25)
    front = (roots.rest[:, 2] > -0.035) & (np.abs(roots.rest[:, 0]) < 0.045) & traits.fringe

    def flow(points):
        return np.where(front[:, None], np.array([0.0, -0.4, 1.0]), parted(points))

    lengths = np.where(front, 0.058 + 0.055 * np.clip((roots.rest[:, 1] - 0.06) / 0.05, 0, 1), lengths)
    # the fringe may hang into the face, the rest is tucked behind it
    habit = Habit(lengths, steps, lift=0.35, stiffness=0.5, gravity=0.75, volume=_layers(roots, traits, rng))
    habit = replace(habit, tuck=np.where(front, 0, 1.5)[:, None])
    points = grow(roots, habit, flow, hull, rng)
    points = clump(points, max(len(points) // 18, 1), traits.clumping, rng)
    return curl(points, traits.curl_radius, traits.curl_wavelength, max(len(points) // 16, 1), rng)


def _curly(roots, traits, hull, rng):
    return _falling(roots, traits, hull, rng, steps=int(np.clip(5.5 * traits.length / traits.curl_wavelength, 14, 40)))


def _afro(roots, traits, hull, rng):
    count = len(roots.points)
    lengths = traits.length * (0.35 + 0.65 * rng.random(count) ** 0.5) * (0.45 + 0.55 * _edge(roots, traits))
    lengths *= traits.sides + (1 - traits.sides) * _top(roots)
    habit = Habit(
        lengths, steps=12, lift=0.9, stiffness=0.85, comb=0.8, gravity=0.03, volume=2 * traits.length, hold=0.3
    )

    def flow(points):
        return points - hull.centre

    points = grow(roots, habit, flow, hull, rng)
    return curl(points, traits.curl_radius, traits.curl_wavelength, max(count // 5, 1), rng, loose=1.0)


def _knot(traits: HairTraits, hull: Hull) -> np.ndarray:
    height = 0.075 if traits.family == "bun" and traits.fringe else 0.02 + 0.05 * (traits.volume > 0.012)
    back = hull.centre + np.array([0, height, -0.01])
    direction = np.array([0, 0.35 * height / 0.075, -1.0])
    direction /= np.linalg.norm(direction)
    clearance, _ = hull.clearance((back + 0.2 * direction)[None])
    return back + (0.2 - clearance[0] + 0.008) * direction


def _pulled_back(roots, traits, hull, rng):
    """Great circles around the skull from each root to the knot, lying close."""
    knot = _knot(traits, hull)
    start, end = roots.points - hull.centre, np.broadcast_to(knot - hull.centre, roots.points.shape)
    near, far = (np.linalg.norm(arms, axis=1)[:, None, None] for arms in (start, end))
    angle = np.arccos(np.clip((start * end).sum(1) / (near * far)[:, 0, 0], -1, 1))[:, None, None] + 1e-4
    t = np.linspace(0, 1, 13)[None, :, None]
    way = np.sin((1 - t) * angle) * (start[:, None] / near) + np.sin(t * angle) * (end[:, None] / far)
    points = hull.centre + way / np.sin(angle) * (near + t * (far - near))
    wanted = 0.002 + (0.35 * _layers(roots, traits, rng))[:, None, None] * np.sin(np.pi * t) ** 0.7 + 0.006 * t**4
    for _ in range(2):
        height, outward = hull.clearance(points.reshape(-1, 3))
        points = points + (wanted - height.reshape(wanted.shape)) * outward.reshape(points.shape)
    points[:, 0] = roots.points
    points[:, -1] = knot + 0.007 * rng.standard_normal((len(points), 3))
    return clump(points, max(len(points) // 10, 1), 0.6 * traits.clumping, rng)


def _gathered(roots, traits, hull, rng, count):
    """Bun or tail: strands that start at the knot; bound to the triangle of the root nearest to it."""
    knot = _knot(traits, hull)
    nearest = roots.faces[np.argmin(np.linalg.norm(roots.points - knot, axis=1))]
    faces = np.full(count, nearest)
    if traits.family == "bun":
        radius = 0.022 + 0.012 * min(traits.length / 0.3, 1)
        centre = knot + radius * 0.75 * (knot - hull.centre) / np.linalg.norm(knot - hull.centre)
        axis = (knot - hull.centre) / np.linalg.norm(knot - hull.centre)
        side = np.cross(axis, [0.0, 1.0, 0.0])
        side /= np.linalg.norm(side)
        up = np.cross(side, axis)
        start, turn = rng.random((2, count)) * 2 * np.pi
        steps = start[:, None] + np.linspace(0, 2.2, 11)[None]
        tube = radius * (0.25 + 0.35 * rng.random(count) ** 0.5)[:, None]
        ring = radius * 0.62 + tube * np.cos(turn[:, None] + 1.2 * steps)
        high = tube * np.sin(turn[:, None] + 1.2 * steps) * 1.2
        points = centre + (ring * np.cos(steps))[..., None] * side + (ring * np.sin(steps))[..., None] * up
        return points + high[..., None] * axis, faces
    start = knot + 0.007 * rng.standard_normal((count, 3))
    away = (knot - hull.centre) * [0, 0.6, 1]
    away /= np.linalg.norm(away)
    tail = Roots(faces, start, np.tile([[0.0, 0.05, -0.2]], (count, 1)), np.tile(away, (count, 1)))
    habit = Habit(traits.length * (0.75 + 0.3 * rng.random(count)), steps=14, lift=0.9, stiffness=0.7, gravity=1.0)
    habit = Habit(**{**habit.__dict__, "comb": 0.0, "hold": 0.0, "shoulder_split": 0.0})
    points = grow(tail, habit, lambda p: np.tile(away, (len(p), 1)), hull, rng)
    swell = np.sin(np.pi * np.linspace(0.05, 0.95, points.shape[1]))[None, :, None]
    points = points + 0.012 * swell * rng.standard_normal((count, 1, 3))
    points = clump(points, max(count // 25, 1), 0.5 * traits.clumping, rng)
    return curl(points, traits.curl_radius, traits.curl_wavelength, max(count // 20, 1), rng), faces


_STYLES = {
    "buzz": _buzz,
    "crop": _crop,
    "side_part": _side_part,
    "slick_back": _slick_back,
    "bob": _falling,
    "long": _falling,
    "wavy": _falling,
    "curly": _curly,
    "afro": _afro,
    "bun": _pulled_back,
    "ponytail": _pulled_back,
}
