"""Decimation by half-edge collapses that keeps a whole family of shapes, not one.

Quadric error metric (Garland and Heckbert 1997) averaged over shapes that share the faces. Collapsing a vertex onto a
neighbour keeps a subset of the vertices, so identity modes and expressions carry over without interpolation.
"""

import heapq
from collections import defaultdict

import numba
import numpy as np

_LENGTH_WEIGHT = 0.02
_MAX_TURN_COS = 0.3
_MIN_QUALITY = 0.12
_MAX_EDGE = 2.2


def decimate_mesh(
    shapes: np.ndarray,  # [S, V, 3]; the first is the one whose triangles must stay well-formed
    faces: np.ndarray,  # [F, 3]
    target: int,  # vertices to keep
    borders: list,  # edges (a, b): open borders and lines between regions, which stay lines
    importance: np.ndarray,  # [V]
    spacing: np.ndarray,  # [V] wanted edge length
    fixed: set,  # vertices never removed
    max_edge: float = _MAX_EDGE,  # longest edge in units of spacing
) -> tuple[np.ndarray, np.ndarray]:
    """Faces [F', 3] over at most `target` of the same vertices (more when nothing more can go), and which faces they were."""
    used, local = np.unique(faces, return_inverse=True)
    number = {int(v): i for i, v in enumerate(used)}
    collapse = _Collapse(
        np.ascontiguousarray(shapes[:, used], float),
        local.reshape(-1, 3).astype(np.int64),
        [(number[int(a)], number[int(b)]) for a, b in borders],
        importance[used],
        spacing[used],
        {number[int(v)] for v in fixed if int(v) in number},
        max_edge,
    )
    kept = collapse.run(target)
    return used[collapse.faces[kept]], kept


class _Collapse:
    def __init__(self, shapes, faces, borders, importance, spacing, fixed, max_edge):
        self.shapes, self.faces, self.importance, self.spacing = shapes, faces, importance, spacing
        self.max_edge = max_edge
        self.stars = defaultdict(set)
        for f, face in enumerate(faces):
            for v in face:
                self.stars[int(v)].add(f)
        self.lines = defaultdict(set)
        for a, b in borders:
            self.lines[a].add(b)
            self.lines[b].add(a)
        # ends and crossings of lines stay where they are
        self.fixed = fixed | {v for v, ends in self.lines.items() if len(ends) != 2}
        self.quadrics = _surface_quadrics(shapes, faces)
        _add_line_quadrics(self.quadrics, shapes, faces, self._line_faces(borders))
        self.areas = _vertex_areas(shapes[0], faces)
        self.version = np.zeros(shapes.shape[1], int)
        self.heap = []

    def _line_faces(self, borders) -> np.ndarray:
        by_edge = defaultdict(list)
        for f, (a, b, c) in enumerate(self.faces.tolist()):
            for edge in ((a, b), (b, c), (c, a)):
                by_edge[frozenset(edge)].append(f)
        rows = [(a, b, f) for a, b in borders for f in by_edge[frozenset((a, b))]]
        return np.array(rows, np.int64).reshape(-1, 3)

    def run(self, target: int) -> np.ndarray:
        alive = set(self.stars)
        for u in sorted(alive):
            self._offer(u)
        while len(alive) > target and self.heap:
            _, u, v, version = heapq.heappop(self.heap)
            if u in alive and v in alive and version == self.version[u] and self._may_collapse(u, v):
                self._collapse(u, v)
                alive.discard(u)
        return np.array(sorted({f for v in alive for f in self.stars[v]}))

    def _neighbours(self, u: int) -> set:
        return {int(v) for f in self.stars[u] for v in self.faces[f]} - {u}

    def _offer(self, u: int):
        """Put the cheapest collapse of u on the heap. A vertex of a line may only move along the line."""
        if u in self.fixed:
            return
        best = None
        for v in sorted(self.lines[u] or self._neighbours(u)):
            kept = [f for f in self.stars[u] if v not in self.faces[f]]
            star = self.faces[sorted(kept)]
            longest = self.max_edge * min(self.spacing[u], self.spacing[v])
            cost = _collapse_cost(self.shapes, self.quadrics, star, u, v, longest, self.areas[u], self.spacing[u])
            if cost >= 0 and (best is None or cost < best[0]):
                best = (cost, v)
        if best:
            heapq.heappush(self.heap, (best[0] * self.importance[u], u, best[1], int(self.version[u])))

    def _may_collapse(self, u: int, v: int) -> bool:
        """The link condition: an edge may go only when its ends share no neighbours beyond its own triangles."""
        shared = sum(v in self.faces[f] for f in self.stars[u])
        return len(self._neighbours(u) & self._neighbours(v)) == shared

    def _collapse(self, u: int, v: int):
        for f in sorted(self.stars[u]):
            if v in self.faces[f]:
                for w in self.faces[f]:
                    self.stars[int(w)].discard(f)
            else:
                self.faces[f][self.faces[f] == u] = v
                self.stars[v].add(f)
        del self.stars[u]
        for end in self.lines.pop(u, set()):
            self.lines[end].discard(u)
            if end != v:
                self.lines[end].add(v)
                self.lines[v].add(end)
        self.quadrics[:, v] += self.quadrics[:, u]
        self.areas[v] += self.areas[u]
        for w in sorted(self._neighbours(v) | {v}):
            self.version[w] += 1
            self._offer(w)


def _vertex_areas(vertices, faces) -> np.ndarray:
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    areas = np.zeros(len(vertices))
    np.add.at(areas, faces, np.linalg.norm(np.cross(b - a, c - a), axis=1)[:, None] / 6)
    return areas


@numba.njit(cache=True)
def _add_plane(quadric, normal, point, weight):
    plane = np.array([normal[0], normal[1], normal[2], -(normal * point).sum()])
    k = 0
    for i in range(4):
        for j in range(i, 4):
            quadric[k] += weight * plane[i] * plane[j] * (1.0 if i == j else 2.0)
            k += 1


@numba.njit(cache=True)
def _surface_quadrics(shapes, faces):
    quadrics = np.zeros((shapes.shape[0], shapes.shape[1], 10))
    for s in range(shapes.shape[0]):
        for f in range(faces.shape[0]):
            a, b, c = shapes[s, faces[f, 0]], shapes[s, faces[f, 1]], shapes[s, faces[f, 2]]
            normal = np.cross(b - a, c - a)
            size = np.sqrt((normal**2).sum())
            if size > 1e-12:
                for i in range(3):
                    _add_plane(quadrics[s, faces[f, i]], normal / size, a, size / 6)
    return quadrics


@numba.njit(cache=True)
def _add_line_quadrics(quadrics, shapes, faces, line_faces):
    """Planes through each line edge, square to its face: leaving the line costs as much as leaving the surface."""
    for s in range(shapes.shape[0]):
        for row in range(line_faces.shape[0]):
            a, b, f = line_faces[row]
            edge = shapes[s, b] - shapes[s, a]
            corner = shapes[s, faces[f, 0]]
            across = np.cross(shapes[s, faces[f, 1]] - corner, shapes[s, faces[f, 2]] - corner)
            normal = np.cross(edge, across)
            size = np.sqrt((normal**2).sum())
            if size > 1e-12:
                weight = (edge**2).sum()
                _add_plane(quadrics[s, a], normal / size, shapes[s, a], weight)
                _add_plane(quadrics[s, b], normal / size, shapes[s, a], weight)


@numba.njit(cache=True)
def _quadric_error(q, p):
    x, y, z = p[0], p[1], p[2]
    error = q[0] * x * x + q[1] * x * y + q[2] * x * z + q[3] * x + q[4] * y * y
    return error + q[5] * y * z + q[6] * y + q[7] * z * z + q[8] * z + q[9]


@numba.njit(cache=True)
def _collapse_cost(shapes, quadrics, star, u, v, longest, area, spacing):
    """Mean quadric error of moving u onto v, plus a pull to even spacing; -1 when a triangle would turn or degenerate."""
    worst = _worst_quality(shapes[0], star, u, v, longest)
    if worst < 0:
        return -1.0
    error = 0.0
    for s in range(shapes.shape[0]):
        error += max(_quadric_error(quadrics[s, u], shapes[s, v]), 0.0)
    length = np.sqrt(((shapes[0, u] - shapes[0, v]) ** 2).sum())
    cost = error / shapes.shape[0] + _LENGTH_WEIGHT * area * (length / spacing) ** 2
    return cost * (1 + 2 * (1 - worst) ** 2)


@numba.njit(cache=True)
def _worst_quality(vertices, star, u, v, longest):
    worst = 1.0
    for t in range(star.shape[0]):
        old = np.empty((3, 3))
        new = np.empty((3, 3))
        for i in range(3):
            old[i] = vertices[star[t, i]]
            new[i] = vertices[v] if star[t, i] == u else vertices[star[t, i]]
            if np.sqrt(((new[i] - vertices[v]) ** 2).sum()) > longest:
                return -1.0
        before = np.cross(old[1] - old[0], old[2] - old[0])
        after = np.cross(new[1] - new[0], new[2] - new[0])
        size_before, size_after = np.sqrt((before**2).sum()), np.sqrt((after**2).sum())
        if size_after < 1e-9 or (before * after).sum() < _MAX_TURN_COS * size_before * size_after:
            return -1.0
        sides = ((new[1] - new[0]) ** 2).sum() + ((new[2] - new[1]) ** 2).sum() + ((new[0] - new[2]) ** 2).sum()
        worst = min(worst, 2 * np.sqrt(3.0) * size_after / sides)
    return worst if worst >= _MIN_QUALITY else -1.0
