"""The outline of the bare head against the matte, as residuals of a fit.

Hair only adds to a head, so no point of the bare head may lie outside the matte. Where the outline is skin (cheeks, ears,
jaw, neck) it should also reach the matte's border; hair, hats and clothes that hide it make the matte far wider there, so
that pull fades out beyond a few millimetres. Gradients through visibility are approximated: the vertices on the outline are
found anew in each iteration and held while the step is taken.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt

from facecraft.camera import Camera
from facecraft.head.model import HeadModel
from facecraft.mesh.atlas import sample_pixels
from facecraft.mesh.raster import rasterize_mesh

OUTSIDE_SIGMA_M, INSIDE_SIGMA_M = 1.5e-3, 2e-3
FADE_M = 4e-3  # how far inside the matte's border skin still feels it
RIM_PX = 1.5
LOWEST = -0.12  # m, below it clothes begin
WEIGHT = 0.3  # neighbouring points of an outline err together


@dataclass(frozen=True)
class Matte:
    """Signed distance [H, W] px to the border, positive inside, and its gradient [H, W, 2]; the picture's edge is no border."""

    distance: np.ndarray
    gradient: np.ndarray


def measure_matte(alpha: np.ndarray) -> Matte:
    """Distances to the border of a matte [H, W]."""
    padded = np.pad(alpha > 0.5, 1, mode="edge")
    distance = (distance_transform_edt(padded) - distance_transform_edt(~padded))[1:-1, 1:-1]
    dy, dx = np.gradient(distance)
    return Matte(distance, np.stack([dx, dy], -1))


def outline_residuals(
    head: HeadModel,
    vertices: np.ndarray,  # [V, 3] m
    camera: Camera,
    matte: Matte,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices on the outline [n], weighted residuals [n] and their derivatives by the vertex's pixel [n, 2]."""
    h, w = matte.distance.shape
    pixels = camera.project(vertices)
    mask = rasterize_mesh(pixels, head.faces.numpy(), h, w).mask
    if not mask.any() or mask.all():
        return np.zeros(0, int), np.zeros(0), np.zeros((0, 2))
    skin, scalp = (head.vertex_regions.numpy() == head.region_names.index(n) for n in ("face", "scalp_neck"))
    inside = (pixels[:, 0] > 2) & (pixels[:, 0] < w - 2) & (pixels[:, 1] > 2) & (pixels[:, 1] < h - 2)
    rim = inside & (skin | scalp) & (head.template.numpy()[:, 1] > LOWEST)
    rim[rim] = sample_pixels(distance_transform_edt(mask), pixels[rim, :2]) < RIM_PX
    ids = np.flatnonzero(rim)
    gap = sample_pixels(matte.distance, pixels[ids, :2]) - 0.5
    gradient = sample_pixels(matte.gradient, pixels[ids, :2])
    px_per_m = camera.fx / pixels[ids, 2]
    fade = 1 / (1 + (gap / (FADE_M * px_per_m)) ** 2)
    weight = WEIGHT * np.where(gap < 0, 1 / OUTSIDE_SIGMA_M, skin[ids] * fade / INSIDE_SIGMA_M) / px_per_m
    # far outside is more likely a hole of the matte than a wrong head
    weight *= np.minimum(1, 6e-3 * px_per_m / np.maximum(-gap, 1e-3))
    return ids, weight * gap, weight[:, None] * gradient
