"""Strands of hair: polylines grown over a head, and the elongated Gaussians that lie along them."""

from dataclasses import dataclass, field, replace

import numpy as np

LONGEST_OVERLAP = 0.42  # standard deviation along a segment over its length: neighbours meet without a gap


@dataclass(frozen=True)
class Strands:
    """S strands of K + 1 points, bound to the triangles where they grow."""

    points: np.ndarray  # [S, K + 1, 3] m
    faces: np.ndarray  # [S] triangle of the root
    widths: np.ndarray  # [S] m, standard deviation across, at the root
    albedo: np.ndarray  # [S, 3] linear
    label: str  # a name of labels.LABELS
    taper: float = 0.6  # width at the tip over that at the root
    opacity: float = 0.95
    tip_albedo: np.ndarray | None = field(default=None)  # [S, 3] linear, where it differs

    def __len__(self) -> int:
        return len(self.points)

    def select(self, index: np.ndarray) -> "Strands":
        """The strands that `index` names."""
        tip = None if self.tip_albedo is None else self.tip_albedo[index]
        return replace(
            self,
            points=self.points[index],
            faces=self.faces[index],
            widths=self.widths[index],
            albedo=self.albedo[index],
            tip_albedo=tip,
        )


def strand_segments(strands: Strands) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Middles [n, 3], directions [n, 3], lengths [n], widths [n], albedo [n, 3] and strand [n] of all segments.

    Segments shorter than a tenth of a millimetre are left out: strands may end early by standing still.
    """
    points = strands.points
    count = points.shape[1] - 1
    edges = np.diff(points, axis=1)
    lengths = np.linalg.norm(edges, axis=2)
    place = (np.arange(count) + 0.5) / count
    widths = strands.widths[:, None] * (1 + (strands.taper - 1) * place) * np.minimum(0.55 + 4 * place, 1)
    tip = strands.albedo if strands.tip_albedo is None else strands.tip_albedo
    albedo = strands.albedo[:, None] + place[:, None] * (tip - strands.albedo)[:, None]
    middles = (points[:, 1:] + points[:, :-1]) / 2
    owner = np.broadcast_to(np.arange(len(points))[:, None], lengths.shape)
    kept = lengths > 1e-4
    directions = edges[kept] / lengths[kept][:, None]
    return middles[kept], directions, lengths[kept], widths[kept], albedo[kept], owner[kept]


def turns_to(directions: np.ndarray) -> np.ndarray:
    """Quaternions [n, 4] that turn the x axis to unit `directions` [n, 3]."""
    flipped = np.where(directions[:, :1] < -0.999, [[0.0, 0, 1, 0]], 0)
    quats = np.stack([1 + directions[:, 0], 0 * directions[:, 0], -directions[:, 2], directions[:, 1]], 1)
    quats = np.where(directions[:, :1] < -0.999, flipped, quats)
    return quats / np.linalg.norm(quats, axis=1, keepdims=True)
