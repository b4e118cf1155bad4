"""The ears of a head, and the surface that their surroundings span in their place when hair covers them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_matrix, diags
from scipy.sparse.linalg import splu

from facecraft.head.model import HeadModel


@dataclass(frozen=True)
class Ear:
    """One ear, and the membrane that its surroundings span in its place."""

    vertices: np.ndarray  # [E]
    solve: Callable[[np.ndarray], np.ndarray]  # of the membrane's equations
    pull: csc_matrix  # [E, V] of the surroundings

    def membrane(self, points: np.ndarray) -> np.ndarray:
        """Points [E, 3] of the harmonic patch between all other `points` [V, 3]."""
        return self.solve(-self.pull @ points)

    def sink(self, thickness: np.ndarray) -> float:
        """How far the ear lies under hair of `thickness` [V], 0..1."""
        return float(np.clip((np.percentile(thickness[self.vertices], 75) - 0.012) / 0.012, 0, 1))


def ear_vertices(head: HeadModel, side: int) -> np.ndarray:
    """Skin [V] bool of the ear at the subject's left (1) or right (-1) and of what is behind it."""
    x, y, z = head.template.double().numpy().T
    skin = head.vertices_of(("face", "scalp_neck")).numpy()
    return skin & (side * x > 0.06) & (y > -0.075) & (y < 0.035) & (z > -0.125) & (z < -0.055)


def find_ears(head: HeadModel, laplacian, held: np.ndarray) -> tuple[Ear, Ear]:
    """The ears at the subject's left and right, as far as they are not `held` [V] with the face; `laplacian` [V, V]."""
    return _find_ear(head, laplacian, held, 1), _find_ear(head, laplacian, held, -1)


def _find_ear(head: HeadModel, laplacian, held: np.ndarray, side: int) -> Ear:
    ear = np.flatnonzero(ear_vertices(head, side) & (held < 0.5))
    rows = laplacian[ear].tocsc()
    outside = np.ones(laplacian.shape[0])
    outside[ear] = 0
    return Ear(ear, splu(rows[:, ear]).solve, rows @ diags(outside))
