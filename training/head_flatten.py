"""Flattening a disc-like piece of mesh without flips: Tutte's embedding, then least symmetric-Dirichlet distortion.

The minimiser is SLIM (Rabinovich et al. 2017, Scalable Locally Injective Mappings): reweighted least squares with a
step that stops before any triangle would flip.
"""

import numpy as np
from scipy.sparse import coo_matrix, diags, identity
from scipy.sparse.linalg import splu

_ITERATIONS = 60


def tutte_embedding(
    faces: np.ndarray,  # [F, 3]
    border: np.ndarray,  # [N] vertices of the outer border
    places: np.ndarray,  # [N, 2] where they go, convex
    count: int,
) -> np.ndarray:
    """Positions [V, 2]: every inner vertex in the middle of its neighbours."""
    starts, ends = faces.ravel(), np.roll(faces, -1, 1).ravel()
    links = coo_matrix((np.ones(len(starts)), (starts, ends)), shape=(count, count)).tocsr()
    links = ((links + links.T) > 0).astype(float)
    laplacian = (diags(np.asarray(links.sum(1)).ravel()) - links).tocsr()
    uv = np.zeros((count, 2))
    uv[border] = places
    inner = np.setdiff1d(np.arange(count), border)
    if len(inner):
        solve = splu(laplacian[inner][:, inner].tocsc()).solve
        uv[inner] = solve(-(laplacian[inner][:, border] @ places))
    return uv


def minimise_distortion(
    vertices: np.ndarray,  # [V, 3]
    faces: np.ndarray,  # [F, 3]
    uv: np.ndarray,  # [V, 2] start, no triangle flipped
    scales: np.ndarray,  # [F] wanted lengths in uv per length on the surface
    held: np.ndarray,  # [V, 2] bool, coordinates that stay
) -> np.ndarray:
    """Positions [V, 2] of least area-weighted symmetric Dirichlet energy near the start."""
    gradients, areas = _surface_gradients(vertices, faces, scales)
    free = np.flatnonzero(~held.ravel())
    uv = _matched_scale(uv, faces, gradients, areas)
    energy = _energy(_jacobians(uv, faces, gradients), areas)
    for _ in range(_ITERATIONS):
        goal = _weighted_step(uv, faces, gradients, areas, free)
        direction = goal - uv
        step = min(1.0, 0.8 * _flip_limit(uv, direction, faces))
        while step > 1e-10:
            trial = _energy(_jacobians(uv + step * direction, faces, gradients), areas)
            if trial < energy:
                break
            step /= 2
        if step <= 1e-10 or energy - trial < 1e-7 * energy:
            break
        uv, energy = uv + step * direction, trial
    return uv


def _surface_gradients(vertices, faces, scales) -> tuple[np.ndarray, np.ndarray]:
    """Per face the matrix [2, 3] from corner values to the gradient in its own plane, and areas, both after scaling."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    along = np.linalg.norm(b - a, axis=1)
    first = (b - a) / along[:, None]
    x = ((c - a) * first).sum(1)
    y = np.linalg.norm(c - a - x[:, None] * first, axis=1)
    along, x, y = along * scales, x * scales, y * scales
    gradients = np.zeros((len(faces), 2, 3))
    gradients[:, 0, 0], gradients[:, 0, 1] = -1 / along, 1 / along
    gradients[:, 1, 2] = 1 / y
    gradients[:, 1, 1] = -x / (along * y)
    gradients[:, 1, 0] = -gradients[:, 1, 1] - gradients[:, 1, 2]
    return gradients, 0.5 * along * y


def _jacobians(uv, faces, gradients) -> np.ndarray:
    """[F, 2 uv, 2 surface]."""
    return np.einsum("fik,fkc->fci", gradients, uv[faces])


def _determinants(matrices) -> np.ndarray:
    return matrices[:, 0, 0] * matrices[:, 1, 1] - matrices[:, 0, 1] * matrices[:, 1, 0]


def _energy(jacobians, areas) -> float:
    determinants = _determinants(jacobians)
    if (determinants <= 0).any():
        return np.inf
    return float((areas * (jacobians**2).sum((1, 2)) * (1 + 1 / determinants**2)).sum())


def _matched_scale(uv, faces, gradients, areas) -> np.ndarray:
    return uv / np.sqrt(np.average(_determinants(_jacobians(uv, faces, gradients)), weights=areas))


def _weighted_step(uv, faces, gradients, areas, free) -> np.ndarray:
    """Minimiser of sum A |W (J - R)|^2 with R the nearest rotations and W from the energy's slope (SLIM, equation 12)."""
    left, stretch, right = np.linalg.svd(_jacobians(uv, faces, gradients))
    rotations = left @ right
    flipped = _determinants(rotations) < 0
    assert not flipped.any(), flipped.sum()
    apart = np.where(np.abs(stretch - 1) < 1e-6, 1.0, stretch - 1)
    slopes = np.where(np.abs(stretch - 1) < 1e-6, 4.0, (stretch - stretch**-3) / apart)
    weights = (left * np.sqrt(slopes)[:, None]) @ left.mT * np.sqrt(areas)[:, None, None]
    shape = (len(faces), 2, 2, 3, 2)
    values = np.einsum("frc,fik->frikc", weights, gradients)
    rows = np.broadcast_to(np.arange(4 * len(faces)).reshape(-1, 2, 2, 1, 1), shape)
    columns = np.broadcast_to(2 * faces[:, None, None, :, None] + np.arange(2), shape)
    system = coo_matrix((values.ravel(), (rows.ravel(), columns.ravel())), shape=(4 * len(faces), uv.size)).tocsc()
    target = (weights @ rotations).reshape(-1)
    held = uv.ravel().copy()
    held[free] = 0
    moving = system[:, free]
    # translation along free axes costs nothing: a whisker of proximity makes the system regular
    proximal = 1e-8 * float(areas.sum()) / len(uv) * identity(len(free))
    normal = (moving.T @ moving + proximal).tocsc()
    right_side = moving.T @ (target - system @ held) + proximal @ uv.ravel()[free]
    goal = uv.ravel().copy()
    goal[free] = splu(normal).solve(right_side)
    return goal.reshape(-1, 2)


def _flip_limit(uv, direction, faces) -> float:
    """Largest step before some triangle has area 0: smallest positive root of a quadratic per face."""
    p, d = uv[faces], direction[faces]
    e1, e2, f1, f2 = p[:, 1] - p[:, 0], p[:, 2] - p[:, 0], d[:, 1] - d[:, 0], d[:, 2] - d[:, 0]

    def cross(a, b):
        return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]

    a, b, c = cross(f1, f2), cross(e1, f2) + cross(f1, e2), cross(e1, e2)
    disc = np.sqrt(np.maximum(b * b - 4 * a * c, 0))
    # 2c / (-b -+ disc) stays finite when the quadratic term vanishes
    with np.errstate(divide="ignore", invalid="ignore"):
        roots = np.stack([2 * c / (-b - disc), 2 * c / (-b + disc)])
    real = (b * b - 4 * a * c >= 0) & np.isfinite(roots) & (roots > 1e-12)
    return float(np.where(real, roots, np.inf).min())
