"""Measures on triangle meshes: normals, Laplacian, edges. Arrays are numpy, vertices [V, 3], faces [F, 3] int."""

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, diags


def face_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unnormalised face normals [F, 3], twice the area long, outward for counter-clockwise faces."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    return np.cross(b - a, c - a)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Area-weighted unit vertex normals [V, 3]; zero for vertices without faces."""
    normals = np.zeros_like(vertices)
    per_face = face_normals(vertices, faces)
    for i in range(3):
        np.add.at(normals, faces[:, i], per_face)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def unique_edges(faces: np.ndarray) -> np.ndarray:
    """Undirected edges [E, 2], each once."""
    return np.unique(np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1), axis=0)


def graph_laplacian(faces: np.ndarray, count: int) -> csr_matrix:
    """Uniform Laplacian [V, V]: (L x)_i = x_i - mean of its neighbours; zero rows for vertices without edges."""
    e = unique_edges(faces)
    weights = coo_matrix((np.ones(len(e)), (e[:, 0], e[:, 1])), shape=(count, count))
    weights = (weights + weights.T).tocsr()
    degree = np.asarray(weights.sum(1)).ravel()
    inverse = np.where(degree > 0, 1 / np.maximum(degree, 1), 0)
    return (diags((degree > 0).astype(float)) - diags(inverse) @ weights).tocsr()
