"""Light on a head: an environment sampled in many directions, a few lamps, and soft shadows of everything on everything.

Each direction keeps how far the light comes (an orthographic shadow map made of the Gaussians' middles). Points behind
others lose light exponentially with the depth, as in deep opacity maps (Yuksel & Keyser 2008): hair dims softly.
"""

from dataclasses import dataclass

import numba
import numpy as np

from facecraft.mesh.light import harmonics

DIRECTIONS = 40
MAP, MAP_M = 72, 0.62  # side of a shadow map, in cells and metres
WRAP = np.array([0.30, 0.16, 0.10])  # how far light creeps around skin, by colour
BIAS_M = 0.007


@dataclass(frozen=True)
class Light:
    """Radiance of an environment and lamps; directions point towards the light."""

    sky: np.ndarray  # [9, 3] coefficients of mesh.light.harmonics
    lamps: np.ndarray  # [L, 3] unit directions
    colours: np.ndarray  # [L, 3] strength
    widths: np.ndarray  # [L] rad, half the angle of a lamp


def sphere_directions(count: int) -> np.ndarray:
    """Directions [count, 3] spread evenly over the sphere (Fibonacci lattice)."""
    k = np.arange(count) + 0.5
    y, turn = 1 - 2 * k / count, np.pi * (1 + 5**0.5) * k
    flat = np.sqrt(1 - y * y)
    return np.stack([flat * np.cos(turn), y, flat * np.sin(turn)], 1)


def sources(light: Light) -> tuple[np.ndarray, np.ndarray]:
    """Directions [D, 3] and the light [D, 3] that a surface facing each of them gets from it."""
    directions = sphere_directions(DIRECTIONS)
    sky = np.maximum(harmonics(directions) @ light.sky, 0) / DIRECTIONS * 4
    spots, strengths = [], []
    for lamp, colour, width in zip(light.lamps, light.colours, light.widths, strict=True):
        side = np.cross(lamp, [0.3, 1.0, 0.2])
        side /= np.linalg.norm(side)
        other = np.cross(lamp, side)
        for a, b in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)):
            spot = lamp + np.tan(0.7 * width) * (a * side + b * other)
            spots.append(spot / np.linalg.norm(spot))
            strengths.append(colour / 5)
    return np.concatenate([directions, np.array(spots)]), np.concatenate([sky, np.array(strengths)])


def shade_points(
    points: np.ndarray,  # [n, 3] m
    normals: np.ndarray,  # [n, 3] unit
    tangents: np.ndarray,  # [n, 3] unit, along strands; zero for surfaces
    softness: np.ndarray,  # [n] m, depth over which light fades behind a surface
    light: Light,
) -> tuple[np.ndarray, np.ndarray]:
    """Light that arrives [n, 3] (1 = a white surface looks white) and how much of each lamp is seen [n, L]."""
    directions, strengths = sources(light)
    middle = points.mean(0)
    out, seen = np.zeros((len(points), 3), np.float32), np.zeros((len(points), len(directions)), np.float32)
    arrays = (np.ascontiguousarray(a, np.float32) for a in (points - middle, normals, tangents, softness))
    _shade(*arrays, directions.astype(np.float32), strengths.astype(np.float32), WRAP.astype(np.float32), out, seen)
    lamps = seen[:, DIRECTIONS:].reshape(len(points), -1, 5).mean(2)
    return out, lamps


@numba.njit(cache=True)
def _frame(d):
    """Two unit vectors perpendicular to d."""
    if abs(d[1]) < 0.9:
        a = np.array([d[2], 0.0, -d[0]], np.float32)
    else:
        a = np.array([0.0, -d[2], d[1]], np.float32)
    a /= np.sqrt((a * a).sum())
    return a, np.array([d[1] * a[2] - d[2] * a[1], d[2] * a[0] - d[0] * a[2], d[0] * a[1] - d[1] * a[0]], np.float32)


@numba.njit(cache=True, parallel=True)
def _shade(points, normals, tangents, softness, directions, strengths, wrap, out, seen):
    D, n = len(directions), len(points)
    for k in numba.prange(D):
        d = directions[k]
        a, b = _frame(d)
        front = np.full((MAP, MAP), -9.0, np.float32)
        scale = MAP / MAP_M
        for i in range(n):
            p = points[i]
            x = (p[0] * a[0] + p[1] * a[1] + p[2] * a[2]) * scale + MAP / 2
            y = (p[0] * b[0] + p[1] * b[1] + p[2] * b[2]) * scale + MAP / 2
            if x < 0 or y < 0 or x >= MAP or y >= MAP:
                continue
            z = p[0] * d[0] + p[1] * d[1] + p[2] * d[2]
            if z > front[int(y), int(x)]:
                front[int(y), int(x)] = z
        for i in range(n):
            p = points[i]
            x = (p[0] * a[0] + p[1] * a[1] + p[2] * a[2]) * scale + MAP / 2 - 0.5
            y = (p[0] * b[0] + p[1] * b[1] + p[2] * b[2]) * scale + MAP / 2 - 0.5
            z = p[0] * d[0] + p[1] * d[1] + p[2] * d[2]
            u, v = int(np.floor(x)), int(np.floor(y))
            if u < 0 or v < 0 or u >= MAP - 1 or v >= MAP - 1:
                seen[i, k] = 1
                continue
            fx, fy = x - u, y - v
            total = np.float32(0)
            for j in range(4):
                du, dv = j & 1, j >> 1
                behind = max(front[v + dv, u + du] - z - BIAS_M, 0)
                weight = (fx if du else 1 - fx) * (fy if dv else 1 - fy)
                total += weight * np.exp(-behind / softness[i])
            seen[i, k] = total
    for i in numba.prange(n):
        strand = tangents[i, 0] ** 2 + tangents[i, 1] ** 2 + tangents[i, 2] ** 2 > 0.5
        for k in range(D):
            d = directions[k]
            cosine = normals[i, 0] * d[0] + normals[i, 1] * d[1] + normals[i, 2] * d[2]
            if strand:
                along = tangents[i, 0] * d[0] + tangents[i, 1] * d[1] + tangents[i, 2] * d[2]
                lit = 0.72 * np.sqrt(max(1 - along * along, 0)) * max(0.35 + 0.65 * cosine, 0.12)
                for c in range(3):
                    out[i, c] += strengths[k, c] * lit * seen[i, k]
            else:
                for c in range(3):
                    lit = max((cosine + wrap[c]) / (1 + wrap[c]), 0)
                    out[i, c] += strengths[k, c] * lit * seen[i, k]
