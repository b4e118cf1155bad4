"""Eyeballs on a grid of our own: rings about the gaze axis, with the radius that ICT's sclera and cornea have there.

ICT's identity modes move an eyeball as a similarity (residual <= 0.03 mm), so a centre and a radius profile say all.
"""

from dataclasses import dataclass

import numpy as np
from head_sources import IctHead

MERIDIANS = 16
# rings are close together over the cornea, with one at the limbus (iris 6 mm wide at 20.5 degrees)
RING_ANGLES_DEG = np.array([3.5, 7.5, 12, 16.5, 20.5, 25, 34, 48, 68, 95, 130])


@dataclass(frozen=True)
class Eyeball:
    """One eyeball: `centre` [3], gaze `axis` [3], `profile` of (angle from the axis deg, radius mm) [N, 2]."""

    centre: np.ndarray
    axis: np.ndarray
    profile: np.ndarray

    def radius(self, angle_deg: np.ndarray) -> np.ndarray:
        """Radius mm at angles from the axis."""
        return np.interp(angle_deg, self.profile[:, 0], self.profile[:, 1])

    def mirrored(self) -> "Eyeball":
        """The same eyeball on the other side."""
        return Eyeball(self.centre * [-1, 1, 1], self.axis * [-1, 1, 1], self.profile)


def measure_eyeball(ict: IctHead) -> Eyeball:
    """The left eyeball of the neutral head."""
    points = ict.neutral[ict.region("sclera_L")]
    back = points[points[:, 2] < np.quantile(points[:, 2], 0.6)]
    centre = _sphere_centre(back)
    arms = points - centre
    reach = np.linalg.norm(arms, axis=1)
    bulge = np.maximum(reach - np.quantile(reach, 0.8), 0)
    axis = (arms * bulge[:, None]).sum(0)
    axis /= np.linalg.norm(axis)
    angles = np.degrees(np.arccos(np.clip(arms @ axis / reach, -1, 1)))
    grid = np.arange(0, 181, 3.0)
    near = np.exp(-0.5 * ((angles - grid[:, None]) / 2.5) ** 2)
    return Eyeball(centre, axis, np.stack([grid, near @ reach / near.sum(1)], 1))


def eyeball_grid(eye: Eyeball) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [2 + rings * meridians, 3] (front pole, rings, back pole) and outward faces."""
    upward = np.array([0, 1.0, 0]) - eye.axis[1] * eye.axis
    upward /= np.linalg.norm(upward)
    sideways = np.cross(upward, eye.axis)
    turns = 2 * np.pi * np.arange(MERIDIANS) / MERIDIANS
    around = np.sin(turns)[:, None] * sideways + np.cos(turns)[:, None] * upward
    angles = np.radians(RING_ANGLES_DEG)[:, None, None]
    directions = np.sin(angles) * around + np.cos(angles) * eye.axis
    rings = eye.centre + eye.radius(RING_ANGLES_DEG)[:, None, None] * directions
    front, back = eye.centre + eye.axis * eye.radius(0), eye.centre - eye.axis * eye.radius(180)
    return np.concatenate([front[None], rings.reshape(-1, 3), back[None]]), _grid_faces()


def _grid_faces() -> np.ndarray:
    rings, last = len(RING_ANGLES_DEG), 1 + len(RING_ANGLES_DEG) * MERIDIANS
    faces = []
    for j in range(MERIDIANS):
        k = (j + 1) % MERIDIANS
        faces.append((0, 1 + k, 1 + j))
        for i in range(rings - 1):
            inner, outer = 1 + i * MERIDIANS, 1 + (i + 1) * MERIDIANS
            faces += [(inner + j, inner + k, outer + k), (inner + j, outer + k, outer + j)]
        faces.append((last - MERIDIANS + j, last - MERIDIANS + k, last))
    return np.array(faces)


def _sphere_centre(points) -> np.ndarray:
    """Algebraic least squares: |p|^2 = 2 c.p + const."""
    system = np.c_[2 * points, np.ones(len(points))]
    return np.linalg.lstsq(system, (points**2).sum(1), rcond=None)[0][:3]


def similarity_field(
    points: np.ndarray,  # [N, 3]
    displacements: np.ndarray,  # [..., N, 3]
    targets: np.ndarray,  # [M, 3]
) -> np.ndarray:
    """Displacements [..., M, 3] of `targets` under the best translation and scaling of `points`."""
    middle = points.mean(0)
    arms = points - middle
    scales = (displacements * arms).sum((-1, -2)) / (arms**2).sum()
    return displacements.mean(-2)[..., None, :] + scales[..., None, None] * (targets - middle)
