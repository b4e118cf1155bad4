"""How each family of hair lies: the comb, lengths and curls that make a style. `traits` are those of facecraft.synth.hair."""

from dataclasses import replace

import numpy as np

from facecraft.synth import chart
from facecraft.synth.growth import Habit, Roots, clump, curl, grow
from facecraft.synth.hull import Hull


def _edge(roots: Roots, traits) -> np.ndarray:
    """0 at the hairline to 1 within 3 cm of it [S]."""
    return np.clip(chart.over_hairline(roots.rest, traits.recession) / 0.03, 0, 1)


def _layers(roots: Roots, traits, rng: np.random.Generator) -> np.ndarray:
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
        side = np.tanh((points[:, 0] - x) / 0.003)
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
    return _falling(roots, traits, hull, rng, steps=int(np.clip(9 * traits.length / traits.curl_wavelength, 18, 60)))


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


def _knot(traits, hull: Hull) -> np.ndarray:
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


def gathered(roots, traits, hull, rng, count):
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


def _wavy(roots, traits, hull, rng):
    return _falling(roots, traits, hull, rng, steps=int(np.clip(7 * traits.length / traits.curl_wavelength, 14, 32)))


STYLES = {
    "buzz": _buzz,
    "crop": _crop,
    "side_part": _side_part,
    "slick_back": _slick_back,
    "bob": _falling,
    "long": _falling,
    "wavy": _wavy,
    "curly": _curly,
    "afro": _afro,
    "bun": _pulled_back,
    "ponytail": _pulled_back,
}
