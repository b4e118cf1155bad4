"""Light on a head: an environment sampled in many directions, a few lamps, and soft shadows of everything on everything.

Each direction keeps how far the light comes (an orthographic shadow map made of the Gaussians' middles). Points behind
others lose light exponentially with the depth, as in deep opacity maps (Yuksel & Keyser 2008): hair dims softly.
"""

from dataclasses import dataclass

import numba
import numpy as np

from facecraft.mesh.light import harmonics

DIRECTIONS = 36
MAP, MAP_M = 72, 0.62  # side of a shadow map, in cells and metres
WRAP = np.array([0.30, 0.16, 0.10])  # how far light creeps around skin, by colour
BIAS_M = 0.007
MOST_VEIL = np.float32(80)  # e^80 is within float32


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


def irradiance(light: Light) -> np.ndarray:
    """The light on an open surface as coefficients [9, 3] of mesh.light.harmonics of its normal; least squares.

    Order 2 keeps all but about 1 % of what any light does to a diffuse surface (Ramamoorthi & Hanrahan 2001).
    """
    directions, strengths = sources(light)
    normals = sphere_directions(400)
    arriving = np.maximum(normals @ directions.T, 0) @ strengths
    return np.linalg.lstsq(harmonics(normals), arriving, rcond=None)[0]


def shade_points(
    points: np.ndarray,  # [n, 3] m
    normals: np.ndarray,  # [n, 3] unit
    tangents: np.ndarray,  # [n, 3] unit, along strands; zero for surfaces
    softness: np.ndarray,  # [n] m, depth over which light fades behind a surface; few different ones, at least 1/80 of the radius
    light: Light,
) -> tuple[np.ndarray, np.ndarray]:
    """Light that arrives [n, 3] (1 = a white surface looks white) and how much of each lamp is seen [n, L]."""
    directions, strengths = sources(light)
    arrays = (np.ascontiguousarray(a, np.float32) for a in (points - points.mean(0), normals, tangents, softness))
    points, normals, tangents, softness = arrays
    directions, strengths = directions.astype(np.float32), strengths.astype(np.float32)
    frames = np.stack([_frame(d) for d in directions])
    fronts = np.full((len(directions), MAP, MAP), -9.0, np.float32)
    _draw_fronts(points, directions, frames, fronts)
    # exp((z - front) / softness) = veil exp(z / softness): one exponential for each point, not one for each cell around it
    kinds = np.unique(softness)
    kind = np.searchsorted(kinds, softness)
    fades = np.minimum(1 / kinds, MOST_VEIL / np.linalg.norm(points, axis=1).max())
    veils = np.exp(np.minimum(-fronts * fades[:, None, None, None], MOST_VEIL))
    out, lamps = np.zeros((len(points), 3), np.float32), np.zeros((len(points), len(light.lamps)), np.float32)
    surfaces = (points, normals, tangents, kind)
    _gather(*surfaces, directions, frames, veils, fades, strengths, WRAP.astype(np.float32), out, lamps)
    return out, lamps


def _frame(direction: np.ndarray) -> np.ndarray:
    """Two unit vectors perpendicular to `direction` [2, 3]."""
    first = np.cross([0, 1, 0] if abs(direction[1]) < 0.9 else [1, 0, 0], direction)
    first /= np.linalg.norm(first)
    return np.stack([first, np.cross(direction, first)]).astype(np.float32)


@numba.njit(cache=True)
def _place(p, direction, frame):
    """Column, row and depth of a point in a shadow map."""
    x = (p[0] * frame[0, 0] + p[1] * frame[0, 1] + p[2] * frame[0, 2]) * np.float32(MAP / MAP_M) + np.float32(MAP / 2)
    y = (p[0] * frame[1, 0] + p[1] * frame[1, 1] + p[2] * frame[1, 2]) * np.float32(MAP / MAP_M) + np.float32(MAP / 2)
    return x, y, p[0] * direction[0] + p[1] * direction[1] + p[2] * direction[2]


@numba.njit(cache=True, parallel=True)
def _draw_fronts(points, directions, frames, fronts):
    for k in numba.prange(len(directions)):
        for i in range(len(points)):
            x, y, z = _place(points[i], directions[k], frames[k])
            if x >= 0 and y >= 0 and x < MAP and y < MAP and z > fronts[k, int(y), int(x)]:
                fronts[k, int(y), int(x)] = z


@numba.njit(cache=True)
def _seen(point, direction, frame, veil, fade):
    """How much of a direction's light gets to a point."""
    x, y, z = _place(point, direction, frame)
    x, y = x - np.float32(0.5), y - np.float32(0.5)
    u, v = int(np.floor(x)), int(np.floor(y))
    if u < 0 or v < 0 or u >= MAP - 1 or v >= MAP - 1:
        return np.float32(1)
    one, fx, fy = np.float32(1), x - np.float32(u), y - np.float32(v)
    near = np.exp((z + np.float32(BIAS_M)) * fade)
    above = (one - fx) * min(veil[v, u] * near, one) + fx * min(veil[v, u + 1] * near, one)
    below = (one - fx) * min(veil[v + 1, u] * near, one) + fx * min(veil[v + 1, u + 1] * near, one)
    return (one - fy) * above + fy * below


@numba.njit(cache=True, parallel=True)
def _gather(points, normals, tangents, kind, directions, frames, veils, fades, strengths, wrap, out, lamps):
    first_lamp = len(directions) - 5 * lamps.shape[1]
    # a number of Python's own type would make all of this float64
    nothing, one, fifth = np.float32(0), np.float32(1), np.float32(0.2)
    share, spread, least = np.float32(0.72 * 0.35), np.float32(0.72 * 0.65), np.float32(0.72 * 0.12)
    narrowed = one / (one + wrap)
    for i in numba.prange(len(points)):
        n, t, veil, fade = normals[i], tangents[i], veils[kind[i]], fades[kind[i]]
        strand = t[0] ** 2 + t[1] ** 2 + t[2] ** 2 > 0.5
        red = green = blue = nothing
        for k in range(len(directions)):
            d = directions[k]
            cosine = n[0] * d[0] + n[1] * d[1] + n[2] * d[2]
            if not strand and cosine <= -wrap[0]:
                continue
            seen = _seen(points[i], d, frames[k], veil[k], fade)
            if k >= first_lamp:
                lamps[i, (k - first_lamp) // 5] += seen * fifth
            if strand:
                along = t[0] * d[0] + t[1] * d[1] + t[2] * d[2]
                lit = seen * np.sqrt(max(one - along * along, nothing)) * max(share + spread * cosine, least)
                red += strengths[k, 0] * lit
                green += strengths[k, 1] * lit
                blue += strengths[k, 2] * lit
            else:
                red += strengths[k, 0] * seen * max((cosine + wrap[0]) * narrowed[0], nothing)
                green += strengths[k, 1] * seen * max((cosine + wrap[1]) * narrowed[1], nothing)
                blue += strengths[k, 2] * seen * max((cosine + wrap[2]) * narrowed[2], nothing)
        out[i, 0], out[i, 1], out[i, 2] = red, green, blue


def add_highlights(
    colours: np.ndarray,  # [n, 3] linear, changed in place
    to_camera: np.ndarray,  # [n, 3] unit
    normals: np.ndarray,  # [n, 3] unit
    tangents: np.ndarray,  # [n, 3] unit; zero for surfaces
    albedo: np.ndarray,  # [n, 3]
    gloss: np.ndarray,  # [n]
    wet: np.ndarray,  # [n] bool: eyes and teeth mirror sharply
    light: Light,
    lamps: np.ndarray,  # [n, L] how much of each lamp is seen
) -> None:
    """Add what surfaces and strands mirror: two lobes on skin, one sharp on wet things (Blinn 1977), two along hair
    (Kajiya & Kay 1989: one white, one of the colour of the hair)."""
    arrays = (np.ascontiguousarray(a, np.float32) for a in (to_camera, normals, tangents, albedo, gloss))
    _mirror(colours, *arrays, wet, *(a.astype(np.float32) for a in (light.lamps, light.colours, light.widths)), lamps)


@numba.njit(cache=True, parallel=True)
def _mirror(colours, to_camera, normals, tangents, albedo, gloss, wet, directions, strengths, widths, seen):
    for i in numba.prange(len(colours)):
        t, n, v = tangents[i], normals[i], to_camera[i]
        strand = t[0] ** 2 + t[1] ** 2 + t[2] ** 2 > 0.5
        facing = min(max(n[0] * v[0] + n[1] * v[1] + n[2] * v[2], 0), 1)
        fresnel = 0.04 + 0.5 * (1 - facing) ** 5
        for k in range(len(directions)):
            d = directions[k]
            cosine = n[0] * d[0] + n[1] * d[1] + n[2] * d[2]
            x, y, z = v[0] + d[0], v[1] + d[1], v[2] + d[2]
            length = max(np.sqrt(x * x + y * y + z * z), 1e-6)
            x, y, z = x / length, y / length, z / length
            if strand:
                along = t[0] * x + t[1] * y + t[2] * z
                lobe = 0.055 * max(1 - along * along, 0) ** 30 * min(max(0.3 + cosine, 0), 1)
                through = 0.10 * max(-(d[0] * v[0] + d[1] * v[1] + d[2] * v[2]), 0) ** 4
                for c in range(3):
                    colours[i, c] += (lobe + (4 * lobe + through) * albedo[i, c]) * strengths[k, c] * seen[i, k]
            elif cosine > 0:
                sharp = 1 / (1 + 4 * widths[k])
                mirror = min(max(n[0] * x + n[1] * y + n[2] * z, 0), 1)
                shine = (
                    30 * mirror ** (420 * sharp) if wet[i] else 3 * mirror ** (36 * sharp) + 1.6 * mirror ** (9 * sharp)
                )
                for c in range(3):
                    colours[i, c] += shine * fresnel * gloss[i] * strengths[k, c] * seen[i, k]
