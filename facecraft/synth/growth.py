"""Growing hair: where strands start, and how each finds its way along the head under comb, gravity and its own stiffness."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.spatial import cKDTree

from facecraft.head.model import load_head
from facecraft.mesh.geometry import vertex_normals
from facecraft.synth.hull import Hull
from facecraft.synth.sites import texel_axes, texel_sites

ROOT_ATLAS = 384
DEEPEST_M = 0.006
FARTHEST_LOCK_M = 0.035
DOWN = np.array([0.0, -1.0, 0.0])


@dataclass(frozen=True)
class Roots:
    """Where S strands start: triangle, place on the person's head, its rest position and the outward normal."""

    faces: np.ndarray  # [S]
    points: np.ndarray  # [S, 3] m
    rest: np.ndarray  # [S, 3] m, on the mean head
    normals: np.ndarray  # [S, 3]


@cache
def _areas() -> np.ndarray:
    """Area of every texel of the root atlas on the mean head [n], m^2; 0 off the outer skin."""
    sites = texel_sites(ROOT_ATLAS)
    axes = texel_axes(sites, load_head().template.double().numpy())
    area = np.linalg.norm(np.cross(axes[:, :, 0], axes[:, :, 1]), axis=1)
    return area * sites.within("face", "scalp_neck")


def scatter_roots(vertices: np.ndarray, density: np.ndarray, count: int, rng: np.random.Generator) -> Roots:
    """`count` roots on the head `vertices` [V, 3], as dense as `density` [n] per area at texel_sites(ROOT_ATLAS)."""
    sites = texel_sites(ROOT_ATLAS)
    mass = np.cumsum(density * _areas())
    if mass[-1] <= 0:
        count = 0
    chosen = np.searchsorted(mass, (np.arange(count) + rng.random(count)) / max(count, 1) * mass[-1])
    sites = sites.select(np.minimum(chosen, len(mass) - 1))
    jitter = (rng.random((count, 2)) - 0.5)[:, None]
    rest = sites.rest + (texel_axes(sites, load_head().template.double().numpy()) * jitter).sum(2)
    points = sites.interpolate(vertices) + (texel_axes(sites, vertices) * jitter).sum(2)
    normals = sites.interpolate(vertex_normals(vertices, load_head().faces.numpy()))
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    return Roots(sites.faces, points, rest, normals)


@dataclass(frozen=True)
class Habit:
    """How hair grows and lies. Fields with [S] may be one number for all strands."""

    lengths: np.ndarray  # [S] m
    steps: int = 12
    lift: float = 0.5  # share of the normal in the first direction
    stiffness: float = 0.6  # share of the old direction kept at each centimetre
    comb: float = 1.0  # pull of the flow
    gravity: float = 0.4
    volume: np.ndarray | float = 0.01  # [S] m, height over the scalp that the strand seeks
    hold: float = 1.0  # pull towards that height
    shoulder_split: float = 0.6  # how much hair that reaches the shoulders goes to the front or the back
    tuck: float = 1.5  # how strongly hair keeps out of the face


def grow(roots: Roots, habit: Habit, flow, hull: Hull, rng: np.random.Generator) -> np.ndarray:
    """Strands [S, K + 1, 3]; `flow(points)` [S, 3] is the direction of the comb at points [S, 3]."""
    count = len(roots.points)
    points = np.empty((count, habit.steps + 1, 3))
    points[:, 0] = roots.points
    # short steps near the root, where the strand turns from standing to lying
    growing = np.linspace(0.35, 1.65, habit.steps) / habit.steps
    wanted = np.broadcast_to(habit.volume, count)[:, None]
    scatter = 0.12 * rng.standard_normal((count, 3))
    front = np.where(roots.rest[:, 2] > -0.10, 1.0, -1.0)
    _, outward = hull.clearance(roots.points)
    direction = _unit(habit.lift * roots.normals + (1 - habit.lift) * _along(flow(roots.points), outward) + scatter)
    height, _ = hull.clearance(roots.points)
    ended, layer = np.zeros(count, bool), 0.5 + rng.random(count)
    for k in range(habit.steps):
        here = points[:, k]
        step = (np.broadcast_to(habit.lengths, count) * growing[k])[:, None]
        keep = habit.stiffness ** (step / 0.01)
        comb = flow(here) + scatter
        near = np.clip(1.5 - height[:, None] / 0.05, 0, 1)
        comb = _along(comb, outward) * near + comb * (1 - near)
        pull = np.clip((wanted - height[:, None]) / np.maximum(wanted, 0.004), -1, 1)
        low = np.clip((hull.centre[1] - 0.11 - here[:, 1]) / 0.04, 0, 1)
        sideways = low * near[:, 0] ** 2 * habit.shoulder_split * front
        high = 1 - low[:, None]  # below the chin nothing combs, hair just falls
        desire = habit.comb * high * comb + habit.hold * (0.3 + 0.7 * high) * pull * outward
        desire += habit.gravity * (1 - 0.7 * near * high) * DOWN
        desire += habit.tuck * _out_of_face(here, hull)
        desire[:, 2] += sideways
        # falls beside the neck, not over the arms
        desire[:, 0] -= low * np.sign(here[:, 0]) * np.clip((np.abs(here[:, 0]) - 0.085) / 0.03, 0, 1)
        direction = _unit(keep * direction + (1 - keep) * _unit(desire))
        following = here + step * direction
        height, outward = hull.clearance(following)
        # the hull has no clothes on
        least = np.minimum(0.0012 + 0.25 * wanted[:, 0], 0.004) + 0.009 * low * layer
        push = np.clip(least - height, 0, 1.3 * step[:, 0] + 0.002)
        # over the shoulders hair moves to the front or the back rather than outwards
        aside = outward + low[:, None] * (outward * [-0.75, 0, 0] + front[:, None] * [0, 0, 0.2])
        following = following + push[:, None] * aside
        height = height + push
        # a strand that got into the head ends there: it would come out elsewhere
        ended |= height < -DEEPEST_M
        points[:, k + 1] = np.where(ended[:, None], here, following)
    return points


def _out_of_face(points: np.ndarray, hull: Hull) -> np.ndarray:
    """A push [S, 3] to the side and back for points in front of the face."""
    arms = points - hull.centre
    angle = np.abs(np.arctan2(arms[:, 0], arms[:, 2]))
    inside = np.clip((1.15 - angle) / 0.25, 0, 1) * np.clip((0.035 - arms[:, 1]) / 0.02, 0, 1) * (arms[:, 1] > -0.14)
    side = np.where(arms[:, 0] >= 0, 1.0, -1.0)
    return inside[:, None] * np.stack([side, 0 * side, -0.5 + 0 * side], 1)


def clump(points: np.ndarray, count: int, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Draw strands [S, K + 1, 3] to one of `count` of them near their root, more towards the tips: locks of hair."""
    owner = _owners(points, count, rng)
    ramp = np.linspace(0, 1, points.shape[1])[None, :, None] ** 0.8
    # not across a parting: what lies between two strands that part is the face
    apart = np.linalg.norm(points[owner] - points, axis=2).max(1)
    ramp = ramp * np.exp(-((apart / FARTHEST_LOCK_M) ** 2))[:, None, None]
    return points + strength * ramp * (points[owner] - points)


def curl(
    points: np.ndarray, radius: float, wavelength: float, locks: int, rng: np.random.Generator, loose: float = 0.35
) -> np.ndarray:
    """Wind strands [S, K + 1, 3] around themselves; neighbours of one of `locks` turn together but for `loose`."""
    tangents = _unit(np.gradient(points, axis=1))
    side = _unit(np.cross(tangents, np.array([0.31, 0.84, 0.45])))
    other = np.cross(tangents, side)
    travelled = np.cumsum(np.linalg.norm(np.diff(points, axis=1, prepend=points[:, :1]), axis=2), axis=1)
    phase = rng.random(len(points)) * 2 * np.pi
    owner = _owners(points, locks, rng)
    phase = phase[owner] + loose * rng.standard_normal(len(points))
    stretch = 1 + 0.15 * rng.standard_normal(len(points))[owner]
    angle = 2 * np.pi * travelled / (wavelength * stretch[:, None]) + phase[:, None]
    reach = radius * np.clip(travelled / 0.02, 0, 1)[..., None]
    return points + reach * (
        (np.cos(angle) - np.cos(angle[:, :1]) * 0)[..., None] * side + np.sin(angle)[..., None] * other
    )


def _owners(points: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """For each strand the one, out of `count` random ones, whose root is nearest [S]."""
    leaders = rng.choice(len(points), min(count, len(points)), replace=False)
    return leaders[cKDTree(points[leaders, 0]).query(points[:, 0])[1]]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _along(vectors: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """The part of `vectors` along the surface, of unit length."""
    return _unit(vectors - (vectors * normals).sum(1, keepdims=True) * normals)
