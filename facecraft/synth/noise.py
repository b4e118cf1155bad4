"""Noise in space: smooth (Perlin 2002) and cellular (Worley 1996), the same on every machine for the same seed."""

import numba
import numpy as np

PERLIN_DEVIATION = 0.27  # standard deviation of one octave, measured on 10^6 points
_SIGNS = ((-1, -1), (1, -1), (-1, 1), (1, 1))
_EDGES = np.array(
    [(a, b, 0) for a, b in _SIGNS] + [(a, 0, b) for a, b in _SIGNS] + [(0, a, b) for a, b in _SIGNS], float
)


def smooth_noise(points: np.ndarray, wavelength: float, seed: int, octaves: int = 1) -> np.ndarray:
    """Gradient noise [n] of about unit deviation at points [n, 3], m; each octave is half as long and half as strong."""
    out = np.zeros(len(points))
    _add_gradient_noise(np.ascontiguousarray(points, np.float64), wavelength, seed, octaves, out)
    return out / (PERLIN_DEVIATION * np.sqrt(sum(0.25**o for o in range(octaves))))


def cells(points: np.ndarray, wavelength: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the nearest random seed point [n], in wavelengths, and that seed's own random number [n] in [0, 1)."""
    distance, number = np.zeros(len(points)), np.zeros(len(points))
    _find_cells(np.ascontiguousarray(points, np.float64), wavelength, seed, distance, number)
    return distance, number


@numba.njit(cache=True)
def _hash(x, y, z, seed):
    """A random 32-bit number for a lattice point (Wang's integer mixer)."""
    h = (x * 73856093) ^ (y * 19349663) ^ (z * 83492791) ^ (seed * 2654435761)
    h &= 0xFFFFFFFF
    h = ((h ^ (h >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    h = ((h ^ (h >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    return h ^ (h >> 16)


@numba.njit(cache=True)
def _slope(h, x, y, z):
    """Product of (x, y, z) with one of 12 gradients along the edges of a cube."""
    edge = h % 12
    return _EDGES[edge, 0] * x + _EDGES[edge, 1] * y + _EDGES[edge, 2] * z


@numba.njit(cache=True)
def _ease(t):
    return t * t * t * (t * (t * 6 - 15) + 10)


@numba.njit(cache=True, parallel=True)
def _add_gradient_noise(points, wavelength, seed, octaves, out):
    for i in numba.prange(len(points)):
        strength, length = 1.0, wavelength
        for octave in range(octaves):
            x, y, z = points[i, 0] / length, points[i, 1] / length, points[i, 2] / length
            a, b, c = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
            x, y, z = x - a, y - b, z - c
            u, v, w = _ease(x), _ease(y), _ease(z)
            total = 0.0
            for k in range(8):
                dx, dy, dz = k & 1, (k >> 1) & 1, k >> 2
                weight = (u if dx else 1 - u) * (v if dy else 1 - v) * (w if dz else 1 - w)
                total += weight * _slope(_hash(a + dx, b + dy, c + dz, seed + 131 * octave), x - dx, y - dy, z - dz)
            out[i] += strength * total
            strength, length = strength * 0.5, length * 0.5


@numba.njit(cache=True, parallel=True)
def _find_cells(points, wavelength, seed, distance, number):
    for i in numba.prange(len(points)):
        x, y, z = points[i, 0] / wavelength, points[i, 1] / wavelength, points[i, 2] / wavelength
        a, b, c = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
        best, chosen = 1e9, 0
        for k in range(27):
            p, q, r = a + k % 3 - 1, b + (k // 3) % 3 - 1, c + k // 9 - 1
            h = _hash(p, q, r, seed)
            dx = p + (h & 1023) / 1023 - x
            dy = q + ((h >> 10) & 1023) / 1023 - y
            dz = r + ((h >> 20) & 1023) / 1023 - z
            d = dx * dx + dy * dy + dz * dz
            if d < best:
                best, chosen = d, h
        distance[i] = np.sqrt(best)
        number[i] = _hash(chosen, 17, 3, seed) / 4294967296.0
