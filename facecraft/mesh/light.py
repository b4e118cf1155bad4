"""Soft light as spherical harmonics of order 2: the shading of a diffuse surface as a function of its normal."""

import numpy as np

from facecraft.mesh.geometry import graph_laplacian, vertex_normals

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])  # of linear sRGB; taken of sRGB as it is
DARKEST, BRIGHTEST = 0.65, 1.35  # shading outside is as likely paint, hair or a cast shadow as light


def shading_normals(vertices: np.ndarray, faces: np.ndarray, rounds: int = 10) -> np.ndarray:
    """Unit normals [V, 3] of the shape at large: folds, as of an open lid, must not look like light and shadow."""
    laplacian = graph_laplacian(faces, len(vertices))
    normals = vertex_normals(vertices, faces)
    for _ in range(rounds):
        normals = normals - 0.5 * (laplacian @ normals)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def harmonics(normals: np.ndarray) -> np.ndarray:
    """The nine real harmonics up to order 2 of unit normals [..., 3], unnormalised: [..., 9]."""
    x, y, z = np.moveaxis(normals, -1, 0)
    return np.stack([np.ones_like(x), x, y, z, x * y, x * z, y * z, x * x - y * y, 3 * z * z - 1], -1)


def fit_light(normals: np.ndarray, luminance: np.ndarray, rounds: int = 4, ridge: float = 0.05) -> np.ndarray:
    """Coefficients [9] of the shading that explains `luminance` [n] of a surface of one colour.

    The mean shading is 1. Points that are far off (brows, beard, highlights) are dropped from round to round; the ridge
    keeps directions that are not seen at the mean.
    """
    basis = harmonics(normals)
    relative = luminance / max(np.median(luminance), 1e-4)
    keep = (relative > 0.35) & (relative < 2.5)
    light = np.eye(9)[0]
    penalty = np.diag([0.0] + [1.0] * 8) * ridge
    for _ in range(rounds):
        if keep.sum() < 100:
            break
        A = basis[keep]
        light = np.linalg.solve(A.T @ A / len(A) + penalty, A.T @ relative[keep] / len(A))
        error = np.abs(basis @ light - relative)
        keep = error < 2.0 * max(np.median(error[keep]), 0.02)
    return light / max(np.mean(basis @ light), 0.2)


def shade(normals: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Shading [...] at unit normals [..., 3], limited to what light plausibly does."""
    return np.clip(harmonics(normals) @ light, DARKEST, BRIGHTEST)
