"""Natural image matting: alpha from a trimap, and the foreground's own colour.

Closed-form matting (Levin, Lischinski, Weiss: A Closed Form Solution to Natural Image Matting, PAMI 2008). The matting
Laplacian is never built: box filters apply it (He, Sun, Tang: Fast Matting Using Large Kernel Matting Laplacian Matrices,
CVPR 2010).
"""

import cv2
import numpy as np

EPSILON = 1e-4
"""Regulariser of the colour lines, for colours in [0, 1]: above JPEG noise, below the contrast of hair."""

KNOWN_WEIGHT, SURE_WEIGHT, UNSURE_WEIGHT = 100.0, 1.0, 0.02
"""How firmly alpha is held to known pixels, and elsewhere to a prior near 0 or 1, or near 1/2. The Laplacian's diagonal is
at most 9; without a prior it drags alpha along every edge of a busy backdrop."""


def solve_matte(rgb: np.ndarray, prior: np.ndarray, is_known: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Alpha [H, W]: closed-form matting, coarse to fine, with known pixels held and the others drawn to `prior`."""
    levels = [(rgb, prior, is_known, value)]
    while min(levels[0][0].shape[:2]) > 160:
        rgb, prior, is_known, value = levels[0]
        half = (rgb.shape[1] // 2, rgb.shape[0] // 2)
        shrunk = [cv2.resize(a.astype(np.float64), half, interpolation=cv2.INTER_AREA) for a in levels[0]]
        levels.insert(0, (shrunk[0], shrunk[1], shrunk[2] > 0.99, shrunk[3]))
    alpha = levels[0][1]
    for rgb, prior, is_known, value in levels:
        alpha = cv2.resize(alpha.astype(np.float64), rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        alpha = _solve_level(rgb, prior, is_known, value.astype(float), alpha)
    return np.clip(alpha, 0, 1)


def _solve_level(rgb, prior, is_known, value, start, iterations: int = 60, tolerance: float = 1e-4):
    """Preconditioned conjugate gradients on (L + W) alpha = W target."""
    laplacian = MattingLaplacian(rgb)
    weight = np.where(is_known, KNOWN_WEIGHT, UNSURE_WEIGHT + SURE_WEIGHT * (2 * prior - 1) ** 4)
    target = np.where(is_known, value, prior)
    inverse = 1 / (laplacian.diagonal() + weight)
    alpha = np.where(is_known, value, start)
    residual = weight * target - laplacian.apply(alpha) - weight * alpha
    step = inverse * residual
    energy = (residual * step).sum()
    stop = tolerance**2 * max((weight * target**2).sum(), 1e-12)
    for _ in range(iterations):
        if energy < stop:
            break
        image = laplacian.apply(step) + weight * step
        length = energy / (step * image).sum()
        alpha = alpha + length * step
        residual = residual - length * image
        ahead = inverse * residual
        energy, before = (residual * ahead).sum(), energy
        step = ahead + energy / before * step
    return alpha


class MattingLaplacian:
    """The matting Laplacian of a picture [H, W, 3] over windows of 2 `radius` + 1 pixels, as a linear map."""

    def __init__(self, rgb: np.ndarray, radius: int = 1, epsilon: float = EPSILON):
        self.rgb = np.ascontiguousarray(rgb, np.float64)
        self.side = 2 * radius + 1
        self.count = self._sum(np.ones(rgb.shape[:2]))
        self.mean = self._sum(self.rgb) / self.count[..., None]
        products = np.stack([self.rgb[..., i] * self.rgb[..., j] for i, j in PAIRS], -1)
        covariance = np.concatenate([self._sum(products[..., :3]), self._sum(products[..., 3:])], -1)
        covariance /= self.count[..., None]
        covariance -= np.stack([self.mean[..., i] * self.mean[..., j] for i, j in PAIRS], -1)
        covariance[..., [0, 3, 5]] += (epsilon / self.count)[..., None]
        self.inverse, _ = invert_symmetric(covariance)

    def apply(self, alpha: np.ndarray) -> np.ndarray:
        """L alpha [H, W]."""
        mean = self._sum(alpha) / self.count
        covariance = self._sum(self.rgb * alpha[..., None]) / self.count[..., None] - self.mean * mean[..., None]
        slope = multiply_symmetric(self.inverse, covariance)
        offset = mean - (slope * self.mean).sum(-1)
        return self.count * alpha - (self._sum(slope) * self.rgb).sum(-1) - self._sum(offset)

    def diagonal(self) -> np.ndarray:
        """Diagonal of L [H, W]."""
        shift = multiply_symmetric(self.inverse, self.mean)
        share = 1 / self.count
        matrix = np.concatenate([self._sum(self.inverse[..., k : k + 3] * share[..., None]) for k in (0, 3)], -1)
        linear = self._sum(shift * share[..., None])
        constant = self._sum(share * (1 + (shift * self.mean).sum(-1)))
        square = (multiply_symmetric(matrix, self.rgb) * self.rgb).sum(-1)
        return self.count - square + 2 * (linear * self.rgb).sum(-1) - constant

    def _sum(self, values: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(values, -1, (self.side, self.side), normalize=False, borderType=cv2.BORDER_CONSTANT)


PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
"""Entries of a symmetric 3x3 matrix as they are stored, [..., 6]."""


def invert_symmetric(m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inverse [..., 6] and determinant [...] of symmetric 3x3 matrices stored as PAIRS."""
    a, b, c, d, e, f = np.moveaxis(m, -1, 0)
    cofactors = np.stack([d * f - e * e, c * e - b * f, b * e - c * d, a * f - c * c, b * c - a * e, a * d - b * b], -1)
    determinant = a * cofactors[..., 0] + b * cofactors[..., 1] + c * cofactors[..., 2]
    return cofactors / determinant[..., None], determinant


def multiply_symmetric(m: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Symmetric 3x3 matrices stored as PAIRS times vectors [..., 3]."""
    x, y, z = v[..., 0], v[..., 1], v[..., 2]
    a, b, c, d, e, f = (m[..., k] for k in range(6))
    return np.stack([a * x + b * y + c * z, b * x + d * y + e * z, c * x + e * y + f * z], -1)


def estimate_foreground(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colour [H, W, 3] of the person alone: what it would be without the background that shines through.

    Smooth foreground and background that mix to the picture, solved from 1 pixel up to full size (Germer, Uelwer,
    Conrad, Harmeling: Fast Multi-Level Foreground Estimation, ICPR 2020).
    """
    size = alpha.shape[0]
    level, foreground, backdrop = 1, rgb.mean((0, 1), keepdims=True), rgb.mean((0, 1), keepdims=True)
    while True:
        image = cv2.resize(rgb.astype(np.float32), (level, level), interpolation=cv2.INTER_AREA)
        matte = cv2.resize(alpha.astype(np.float32), (level, level), interpolation=cv2.INTER_AREA)
        shape = (level, level)
        foreground, backdrop = (
            cv2.resize(a.astype(np.float32), shape, interpolation=cv2.INTER_LINEAR) for a in (foreground, backdrop)
        )
        image = image.reshape(level, level, 3)
        foreground, backdrop = foreground.reshape(image.shape), backdrop.reshape(image.shape)
        for _ in range(10 if level <= 32 else 3):
            foreground, backdrop = _relax_colours(image, matte, foreground, backdrop)
        if level == size:
            return np.where(alpha[..., None] > 0.995, rgb, foreground)
        level = min(2 * level, size)


def _relax_colours(image, matte, foreground, backdrop, smooth: float = 1e-4, edge: float = 0.1):
    """One sweep: each pixel's foreground and backdrop from the picture and the mean of the four neighbours."""
    weights, pulls_f, pulls_b = 0, 0, 0
    for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        rows = np.clip(np.arange(matte.shape[0]) + dy, 0, matte.shape[0] - 1)[:, None]
        columns = np.clip(np.arange(matte.shape[1]) + dx, 0, matte.shape[1] - 1)[None]
        w = smooth + edge * np.abs(matte - matte[rows, columns])
        weights = weights + w
        pulls_f = pulls_f + w[..., None] * foreground[rows, columns]
        pulls_b = pulls_b + w[..., None] * backdrop[rows, columns]
    f, b = pulls_f / weights[..., None], pulls_b / weights[..., None]
    miss = image - matte[..., None] * f - (1 - matte[..., None]) * b
    gain = miss / (matte**2 + (1 - matte) ** 2 + weights)[..., None]
    return np.clip(f + matte[..., None] * gain, 0, 1), np.clip(b + (1 - matte[..., None]) * gain, 0, 1)
