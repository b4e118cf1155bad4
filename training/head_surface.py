"""Nearest points on a triangle mesh."""

import numba
import numpy as np
from scipy.spatial import cKDTree

from facecraft.mesh.geometry import face_normals

_NEIGHBOURS = 32


class Surface:
    """A mesh that answers where the surface is nearest. `vertices` [V, 3], `faces` [F, 3]."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray):
        self.vertices = np.ascontiguousarray(vertices, float)
        self.faces = np.ascontiguousarray(faces, np.int64)
        normals = face_normals(self.vertices, self.faces)
        self.normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        self.tree = cKDTree(self.vertices[self.faces].mean(1))

    def nearest(
        self,
        points: np.ndarray,  # [N, 3]
        normals: np.ndarray | None = None,  # [N, 3]; only faces whose normal agrees to min_cosine count
        min_cosine: float = -2.0,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Faces [N], barycentrics [N, 3] and distances [N]; face 0 at infinity where no face agrees.

        Only the 32 faces with the nearest centroids are looked at.
        """
        near = self.tree.query(points, k=min(_NEIGHBOURS, len(self.faces)))[1]
        facing = np.zeros_like(points) if normals is None else normals
        return _nearest(
            np.ascontiguousarray(points, float), np.ascontiguousarray(facing, float), near,
            self.vertices, self.faces, self.normals, min_cosine,
        )  # fmt: skip

    def points(self, faces: np.ndarray, barycentrics: np.ndarray) -> np.ndarray:
        """Points [N, 3] at barycentrics of faces."""
        return (self.vertices[self.faces[faces]] * barycentrics[..., None]).sum(1)

    def border_faces(self) -> np.ndarray:
        """Faces [F] bool that touch an open border."""
        edges = np.concatenate([self.faces[:, [0, 1]], self.faces[:, [1, 2]], self.faces[:, [2, 0]]])
        _, first, counts = np.unique(np.sort(edges, 1), axis=0, return_index=True, return_counts=True)
        return np.isin(self.faces, edges[first[counts == 1]]).any(1)


@numba.njit(cache=True, parallel=True)
def _nearest(points, facing, near, vertices, faces, normals, min_cosine):
    count = len(points)
    found = np.zeros(count, np.int64)
    barycentrics = np.zeros((count, 3))
    distances = np.full(count, np.inf)
    for i in numba.prange(count):
        for k in range(near.shape[1]):
            f = near[i, k]
            if min_cosine > -1 and (facing[i] * normals[f]).sum() < min_cosine:
                continue
            a, b, c = vertices[faces[f, 0]], vertices[faces[f, 1]], vertices[faces[f, 2]]
            weights = _project(points[i], a, b, c)
            gap = np.sqrt(((weights[0] * a + weights[1] * b + weights[2] * c - points[i]) ** 2).sum())
            if gap < distances[i]:
                distances[i], found[i], barycentrics[i] = gap, f, weights
    return found, barycentrics, distances


@numba.njit(cache=True)
def _project(p, a, b, c):
    """Barycentrics of the nearest point of a triangle: of its plane when inside, else of its nearest side."""
    ab, ac, ap = b - a, c - a, p - a
    d00, d01, d11 = (ab * ab).sum(), (ab * ac).sum(), (ac * ac).sum()
    d20, d21 = (ap * ab).sum(), (ap * ac).sum()
    area = d00 * d11 - d01 * d01
    if area > 1e-12:
        v, w = (d11 * d20 - d01 * d21) / area, (d00 * d21 - d01 * d20) / area
        if v >= 0 and w >= 0 and v + w <= 1:
            return np.array([1 - v - w, v, w])
    best, weights = np.inf, np.array([1.0, 0.0, 0.0])
    corners = (a, b, c)
    for i in range(3):
        start, end = corners[i], corners[(i + 1) % 3]
        side = end - start
        along = min(max(((p - start) * side).sum() / max((side * side).sum(), 1e-18), 0.0), 1.0)
        gap = ((start + along * side - p) ** 2).sum()
        if gap < best:
            best = gap
            weights = np.zeros(3)
            weights[i], weights[(i + 1) % 3] = 1 - along, along
    return weights
