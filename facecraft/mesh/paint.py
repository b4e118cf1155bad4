"""Colour a rasterised mesh: texture, soft light and antialiasing in one pass."""

import numba
import numpy as np

from facecraft.mesh.light import BRIGHTEST, DARKEST
from facecraft.mesh.raster import MeshBuffers


def paint_mesh(
    buffers: MeshBuffers,  # at `supersample` times the size of the result
    faces: np.ndarray,  # [F, 3]
    normals: np.ndarray,  # [V, 3] unit
    faces_uv: np.ndarray,  # [F, 3]
    uvs: np.ndarray,  # [T, 2] v up
    layers: np.ndarray,  # [S, S, 4] rgb without light, and a fourth layer that is not lit
    light: np.ndarray,  # [9] of mesh.light
    supersample: int,
) -> np.ndarray:
    """Means over the covered samples of each pixel [H, W, 6]: lit rgb, the fourth layer, depth (m); then coverage."""
    height, width = (n // supersample for n in buffers.face_ids.shape)
    out = np.zeros((height, width, 6), np.float32)
    _paint(
        buffers.face_ids,
        buffers.barycentrics,
        buffers.depth,
        np.ascontiguousarray(faces, np.int64),
        np.ascontiguousarray(normals, np.float32),
        np.ascontiguousarray(faces_uv, np.int64),
        np.ascontiguousarray(uvs, np.float32),
        np.ascontiguousarray(layers, np.float32),
        np.ascontiguousarray(light, np.float32),
        (DARKEST, BRIGHTEST),  # an argument: numba's cache would keep the constants of another module as they once were
        supersample,
        out,
    )
    return out


@numba.njit(cache=True, parallel=True)
def _paint(face_ids, barycentrics, depth, faces, normals, faces_uv, uvs, layers, light, limits, s, out):
    for row in numba.prange(out.shape[0]):
        texel = np.zeros(4, np.float32)
        for column in range(out.shape[1]):
            covered = 0
            for y in range(row * s, row * s + s):
                for x in range(column * s, column * s + s):
                    face = face_ids[y, x]
                    if face < 0:
                        continue
                    covered += 1
                    _look_up(barycentrics[y, x], faces_uv[face], uvs, layers, texel)
                    lit = _shade(barycentrics[y, x], faces[face], normals, light, limits)
                    for c in range(3):
                        out[row, column, c] += min(texel[c] * lit, 1)
                    out[row, column, 3] += texel[3]
                    out[row, column, 4] += depth[y, x]
            if covered:
                for c in range(5):
                    out[row, column, c] /= covered
                out[row, column, 5] = covered / (s * s)


@numba.njit(cache=True)
def _look_up(weights, corners, uvs, layers, texel):
    """Bilinear sample of `layers`, edges extended."""
    size = layers.shape[0]
    u = weights[0] * uvs[corners[0], 0] + weights[1] * uvs[corners[1], 0] + weights[2] * uvs[corners[2], 0]
    v = weights[0] * uvs[corners[0], 1] + weights[1] * uvs[corners[1], 1] + weights[2] * uvs[corners[2], 1]
    x = min(max(u * size - 0.5, 0), size - 1.001)
    y = min(max((1 - v) * size - 0.5, 0), size - 1.001)
    i, j = int(y), int(x)
    a, b = y - i, x - j
    for c in range(4):
        top = (1 - b) * layers[i, j, c] + b * layers[i, j + 1, c]
        bottom = (1 - b) * layers[i + 1, j, c] + b * layers[i + 1, j + 1, c]
        texel[c] = (1 - a) * top + a * bottom


@numba.njit(cache=True)
def _shade(weights, corners, normals, light, limits):
    """mesh.light.shade of one point."""
    x = y = z = 0.0
    for k in range(3):
        x += weights[k] * normals[corners[k], 0]
        y += weights[k] * normals[corners[k], 1]
        z += weights[k] * normals[corners[k], 2]
    length = max(np.sqrt(x * x + y * y + z * z), 1e-6)
    x, y, z = x / length, y / length, z / length
    lit = light[0] + light[1] * x + light[2] * y + light[3] * z + light[4] * x * y + light[5] * x * z
    lit += light[6] * y * z + light[7] * (x * x - y * y) + light[8] * (3 * z * z - 1)
    return min(max(lit, limits[0]), limits[1])
