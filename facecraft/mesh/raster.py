"""A z-buffer rasteriser for triangle meshes on the CPU (numba)."""

from dataclasses import dataclass

import numba
import numpy as np


@dataclass(frozen=True)
class MeshBuffers:
    """What each pixel sees: `face_ids` [H, W] (-1 nothing), perspective-correct `barycentrics` [H, W, 3], `depth` [H, W] (inf)."""

    face_ids: np.ndarray
    barycentrics: np.ndarray
    depth: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """Covered pixels [H, W] bool."""
        return self.face_ids >= 0

    def interpolate(self, values: np.ndarray, faces: np.ndarray) -> np.ndarray:
        """Per-vertex `values` [V, D] (or [T, D] with faces into them) at each pixel [H, W, D]; 0 where nothing is seen."""
        out = np.zeros((*self.face_ids.shape, values.shape[1]), np.float32)
        seen = self.mask
        corners = values[faces[self.face_ids[seen]]]
        out[seen] = np.einsum("nkd,nk->nd", corners, self.barycentrics[seen])
        return out


def rasterize_mesh(
    pixels: np.ndarray,  # [V, 3] x px, y px, depth m (Camera.project)
    faces: np.ndarray,  # [F, 3]
    height: int,
    width: int,
    cull: bool = False,
) -> MeshBuffers:
    """Nearest triangle at each pixel centre. Triangles with a vertex at depth <= 1 mm are dropped (no near clipping).

    `cull` drops triangles that show their back (clockwise in world, seen from the camera).
    """
    assert pixels.ndim == 2 and pixels.shape[1] == 3, pixels.shape
    face_ids = np.full((height, width), -1, np.int32)
    barycentrics = np.zeros((height, width, 3), np.float32)
    depth = np.full((height, width), np.inf, np.float32)
    _rasterize(
        np.ascontiguousarray(pixels, np.float64),
        np.ascontiguousarray(faces, np.int64),
        cull,
        # each band looks at all triangles, so there are no more of them than keep the threads busy
        1 if numba.get_num_threads() == 1 else 2 * numba.get_num_threads(),
        face_ids,
        barycentrics,
        depth,
    )
    return MeshBuffers(face_ids, barycentrics, depth)


@numba.njit(cache=True, parallel=True)
def _rasterize(pixels, faces, cull, bands, face_ids, barycentrics, depth):
    height, width = face_ids.shape
    for band in numba.prange(bands):
        top, bottom = height * band // bands, height * (band + 1) // bands
        for f in range(faces.shape[0]):
            _draw_triangle(pixels, faces, f, cull, top, bottom, width, face_ids, barycentrics, depth)


@numba.njit(cache=True)
def _draw_triangle(pixels, faces, f, cull, top, bottom, width, face_ids, barycentrics, depth):
    a, b, c = pixels[faces[f, 0]], pixels[faces[f, 1]], pixels[faces[f, 2]]
    if not (a[2] > 1e-3 and b[2] > 1e-3 and c[2] > 1e-3):
        return
    y0 = max(top, int(np.floor(min(a[1], b[1], c[1]) - 0.5)))
    y1 = min(bottom - 1, int(np.ceil(max(a[1], b[1], c[1]) - 0.5)))
    ab_x, ab_y, ac_x, ac_y = b[0] - a[0], b[1] - a[1], c[0] - a[0], c[1] - a[1]
    area = ab_x * ac_y - ac_x * ab_y
    # y points down in pixels, so a counter-clockwise triangle seen from the front has negative area
    if y0 > y1 or area == 0 or (cull and area > 0):
        return
    x0 = max(0, int(np.floor(min(a[0], b[0], c[0]) - 0.5)))
    x1 = min(width - 1, int(np.ceil(max(a[0], b[0], c[0]) - 0.5)))
    inverse, near_a, near_b, near_c = 1 / area, 1 / a[2], 1 / b[2], 1 / c[2]
    for y in range(y0, y1 + 1):
        py = y + 0.5 - a[1]
        for x in range(x0, x1 + 1):
            px = x + 0.5 - a[0]
            w1 = (px * ac_y - ac_x * py) * inverse
            w2 = (ab_x * py - px * ab_y) * inverse
            w0 = 1 - w1 - w2
            if w0 < 0 or w1 < 0 or w2 < 0:
                continue
            # 1 / depth is linear in the picture
            z = 1 / (w0 * near_a + w1 * near_b + w2 * near_c)
            if z < depth[y, x]:
                depth[y, x] = z
                face_ids[y, x] = f
                barycentrics[y, x, 0] = w0 * near_a * z
                barycentrics[y, x, 1] = w1 * near_b * z
                barycentrics[y, x, 2] = w2 * near_c * z
