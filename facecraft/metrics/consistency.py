"""Multi-view consistency: pixels of one view carried into another by depth should have their colour."""

import cv2
import numpy as np

from facecraft.camera import Camera

DEPTH_SLACK = 0.01
"""Share of the depth by which a point may lie behind the other view's surface and still count as seen."""
_SOLID = 0.9  # alpha: at outlines depth is a blend


def reprojection_error(
    rgb: np.ndarray,  # [H, W, 3]
    alpha: np.ndarray,  # [H, W]
    depth: np.ndarray,  # [H, W] z, m; 0 = nothing
    camera: Camera,
    other_rgb: np.ndarray,  # [H', W', 3]
    other_alpha: np.ndarray,
    other_depth: np.ndarray,
    other_camera: Camera,
) -> tuple[float, float]:
    """Mean absolute difference of colour where both views see the same point, and the share of the view's pixels that are.

    (nan, 0) when the views share nothing.
    """
    height, width = depth.shape
    pixels = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), -1)
    known = (alpha > _SOLID) & (depth > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y, z = np.moveaxis(other_camera.project(camera.unproject(pixels, depth)), -1, 0)
    known &= (z > 0) & np.isfinite(x) & np.isfinite(y)
    maps = [np.where(known, place - 0.5, -9).astype(np.float32) for place in (x, y)]

    def sample(picture: np.ndarray) -> np.ndarray:
        return cv2.remap(picture.astype(np.float32), *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)

    solid = sample((other_alpha > _SOLID) & (other_depth > 0)) > 0.999
    there = known & solid & (np.abs(z - sample(other_depth)) < DEPTH_SLACK * z)
    if not there.any():
        return float("nan"), 0.0
    error = np.abs(rgb - sample(other_rgb))[there].mean()
    return float(error), float(there.sum() / ((alpha > _SOLID) & (depth > 0)).sum())
