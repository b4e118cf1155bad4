"""How far the head reaches in every direction: what hair lies on, falls along and must not enter.

Directions are seen from an axis inside the head: from the middle of the skull above it, and level from the spine below.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt, map_coordinates, maximum_filter

from facecraft.head.model import load_head
from facecraft.synth.chart import SKULL, on_ear

ROWS, COLUMNS = 56, 72
SKULL_ROWS = 24  # rows from the crown to the equator
LEVEL_M = 0.32  # height of the part below the equator
FOOT_BACK = -0.03  # m, how far the spine runs back over LEVEL_M


@dataclass(frozen=True)
class Hull:
    """Radius [ROWS, COLUMNS] in m by latitude (crown, equator, then down) and azimuth (from the front over the left)."""

    centre: np.ndarray  # [3] middle of the skull
    radii: np.ndarray

    def place(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Row, column [n], radius [n] and outward direction [n, 3] of points [n, 3]."""
        arms = points - self.centre
        below = np.minimum(arms[:, 1], 0)
        axis = np.stack([0 * below, below, -below / LEVEL_M * FOOT_BACK], 1)
        arms = arms - axis
        radius = np.maximum(np.linalg.norm(arms, axis=1), 1e-6)
        above = np.arccos(np.clip(arms[:, 1] / radius, 0, 1)) / (np.pi / 2) * SKULL_ROWS
        row = np.where(below < 0, SKULL_ROWS - below / LEVEL_M * (ROWS - 1 - SKULL_ROWS), above)
        column = (np.arctan2(arms[:, 0], arms[:, 2]) / (2 * np.pi) % 1) * COLUMNS
        return row, column, radius, arms / radius[:, None]

    def clearance(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Height over the head [n], m, negative inside; and the outward direction [n, 3]."""
        row, column, radius, outward = self.place(points)
        return radius - map_coordinates(self.radii, [row.clip(0, ROWS - 1), column], order=1, mode="grid-wrap"), outward


def make_hull(vertices: np.ndarray) -> Hull:
    """The hull of a head's outer skin, ears left out; `vertices` [V, 3] m, neutral."""
    head = load_head()
    names = ("face", "scalp_neck", "bust")
    skin = np.isin(head.vertex_regions.numpy(), [head.region_names.index(name) for name in names])
    rest = head.template.double().numpy()
    scalp = (head.vertex_regions.numpy() == head.region_names.index("scalp_neck")) & (rest[:, 1] > 0)
    centre = SKULL + (vertices - rest)[scalp].mean(0) * [0, 1, 1]
    hull = Hull(centre, np.zeros((ROWS, COLUMNS)))
    ears = on_ear(rest) & (np.abs(rest[:, 0]) > 0.072)
    faces = head.faces.numpy()
    faces = faces[(skin & ~ears)[faces].all(1)]
    weights = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [1 / 3] * 3])
    points = np.einsum("fkd,wk->fwd", vertices[faces], weights).reshape(-1, 3)
    row, column, radius, _ = hull.place(points)
    row, column = row.round().astype(int), column.round().astype(int) % COLUMNS
    kept = (row >= 0) & (row < ROWS)
    radii = np.zeros((ROWS, COLUMNS))
    np.maximum.at(radii, (row[kept], column[kept]), radius[kept])
    nearest = distance_transform_edt(radii == 0, return_distances=False, return_indices=True)
    radii = radii[tuple(nearest)]
    radii[0] = radii[0].max()
    smooth = maximum_filter(radii, 2, mode=["nearest", "wrap"])
    return Hull(centre, 0.5 * radii + 0.5 * smooth)
