"""Blurring of what is known in a picture, without what is not."""

import cv2
import numpy as np


def blur_known(values: np.ndarray, weights: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian means [H, W, D] of values [H, W, D] by weights [H, W] over `sigma` px, and the mean weight [H, W] they rest on."""
    sums = cv2.GaussianBlur(np.dstack([values * weights[..., None], weights]).astype(np.float32), (0, 0), sigma)
    return sums[..., :-1] / np.maximum(sums[..., -1:], 1e-6), sums[..., -1]
