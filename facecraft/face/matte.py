"""The matte: how much of each pixel is the person whose face is used, and the colour of that part.

A coarse probability from MediaPipe's selfie segmentation at several scales; pixels that it is sure of become known; the
rest is solved by closed-form matting (Levin, Lischinski, Weiss: A Closed Form Solution to Natural Image Matting, PAMI
2008), held softly to the coarse answer. The matting Laplacian is never built: box filters apply it (He, Sun, Tang: Fast
Matting Using Large Kernel Matting Laplacian Matrices, CVPR 2010).
"""

import cv2
import numpy as np
from scipy import ndimage

from facecraft.face.landmarks import CHIN, Face, quiet_mediapipe
from facecraft.image import crop_square, to_bytes

MODEL_FILE = "selfie_segmentation/selfie_segmentation.tflite"
WINDOWS = (2.9, 2.3, 1.8)
"""Sides of the segmented squares around the head, in face heights."""

EPSILON = 1e-4
"""Regulariser of the colour lines of closed-form matting, for colours in [0, 1]: above JPEG noise, below hair contrast."""

KNOWN_WEIGHT, PRIOR_WEIGHT = 100.0, 0.05
BUST_DROP, BUST_HALF_WIDTH = 0.55, 1.3
"""The bust ends this far below the chin and this far to the sides of the head's axis, in face heights."""


def segment_person(rgb: np.ndarray) -> np.ndarray:
    """Probability [H, W] that a pixel belongs to a person, from a picture [H, W, 3]; resolved at 256 x 256."""
    with quiet_mediapipe() as mp:
        with mp.solutions.selfie_segmentation.SelfieSegmentation(model_selection=0) as model:
            return model.process(to_bytes(rgb)).segmentation_mask


def head_probability(rgb: np.ndarray, face: Face) -> np.ndarray:
    """Probability of person [H, W] for a square crop: segmentations of squares around the head, finer ones inside.

    Each square counts in proportion to its resolution and less towards its border, where the network lacks context.
    """
    size = rgb.shape[0]
    probability, total = segment_person(rgb), np.full((size, size), 0.2)
    probability = probability * total
    for window in WINDOWS:
        side = window * face.height
        left, top = face.centre - [side / 2, side * 0.55]
        patch = segment_person(crop_square(rgb, left, top, side, 512))
        scale = 512 / side
        back = crop_square(patch, -left * scale, -top * scale, size * scale, size)
        weight = _taper(size, left, top, side) / window
        probability += back * weight
        total += weight
    return probability / total


def _taper(size: int, left: float, top: float, side: float) -> np.ndarray:
    """Weight [size, size] that is 1 inside the square and falls to 0 at its border."""
    at = np.arange(size) + 0.5
    across = [np.clip(5 * np.minimum(at - start, start + side - at) / side, 0, 1) for start in (left, top)]
    return across[1][:, None] * across[0][None]


def cut_out(rgb: np.ndarray, face: Face, others: list[Face], inside: np.ndarray) -> np.ndarray:
    """Alpha [H, W] of the bust of `face` in a square crop [H, W, 3] (landmarks in crop pixels).

    `inside` [H, W] is true where the crop shows the photo. `others` are the faces of people who stay out.
    """
    probability = head_probability(rgb, face)
    probability = np.where(inside & ~belongs_to_others(face, others, rgb.shape[0]), probability, 0)
    known, unknown = split_known(probability, face)
    alpha = solve_matte(rgb, probability, ~unknown, known)
    alpha = np.clip((alpha - 0.04) / 0.92, 0, 1)
    return alpha * keep_person(alpha, face) * bust_window(face, rgb.shape[0]) * inside


def belongs_to_others(face: Face, others: list[Face], size: int) -> np.ndarray:
    """Pixels [size, size] nearer to another head, or the body under it, than to this one, in face heights."""
    own = _body_distance(face, size)
    taken = np.zeros((size, size), bool)
    for other in others:
        taken |= _body_distance(other, size) < own
    return taken


def _body_distance(face: Face, size: int) -> np.ndarray:
    y, x = np.mgrid[:size, :size] + 0.5
    above = np.minimum(y - face.centre[1], 0)  # the body goes on downwards
    return np.hypot(x - face.centre[0], above) / face.height


def split_known(probability: np.ndarray, face: Face) -> tuple[np.ndarray, np.ndarray]:
    """(certain person [H, W], unknown [H, W]) from the coarse probability: wide around hair, narrow around clothes."""
    unit = face.height
    person, backdrop = probability > 0.9, probability < 0.1
    y = np.arange(len(probability))[:, None]
    hair = np.clip((face.landmarks[CHIN, 1] + 0.1 * unit - y) / (0.2 * unit), 0, 1)
    outside = ndimage.distance_transform_edt(backdrop)
    inside = ndimage.distance_transform_edt(person)
    hull = face_hull(face, len(probability))
    certain = (inside > (0.02 + 0.06 * hair) * unit) | hull
    unknown = ~certain & ~(outside > (0.02 + 0.08 * hair) * unit)
    return certain, unknown


def face_hull(face: Face, size: int) -> np.ndarray:
    """Pixels [size, size] inside the convex outline of the landmarks."""
    mask = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(face.landmarks[:, :2].round().astype(np.int32)), 1)
    return mask > 0


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
    weight = np.where(is_known, KNOWN_WEIGHT, PRIOR_WEIGHT)
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
        products = np.stack([self.rgb[..., i] * self.rgb[..., j] for i, j in _PAIRS], -1)
        covariance = np.concatenate([self._sum(products[..., :3]), self._sum(products[..., 3:])], -1)
        covariance /= self.count[..., None]
        covariance -= np.stack([self.mean[..., i] * self.mean[..., j] for i, j in _PAIRS], -1)
        covariance[..., [0, 3, 5]] += (epsilon / self.count)[..., None]
        self.inverse = _invert_symmetric(covariance)

    def apply(self, alpha: np.ndarray) -> np.ndarray:
        """L alpha [H, W]."""
        mean = self._sum(alpha) / self.count
        covariance = self._sum(self.rgb * alpha[..., None]) / self.count[..., None] - self.mean * mean[..., None]
        slope = _multiply_symmetric(self.inverse, covariance)
        offset = mean - (slope * self.mean).sum(-1)
        return self.count * alpha - (self._sum(slope) * self.rgb).sum(-1) - self._sum(offset)

    def diagonal(self) -> np.ndarray:
        """Diagonal of L [H, W]."""
        shift = _multiply_symmetric(self.inverse, self.mean)
        share = 1 / self.count
        matrix = np.concatenate([self._sum(self.inverse[..., k : k + 3] * share[..., None]) for k in (0, 3)], -1)
        linear = self._sum(shift * share[..., None])
        constant = self._sum(share * (1 + (shift * self.mean).sum(-1)))
        square = (_multiply_symmetric(matrix, self.rgb) * self.rgb).sum(-1)
        return self.count - square + 2 * (linear * self.rgb).sum(-1) - constant

    def _sum(self, values: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(values, -1, (self.side, self.side), normalize=False, borderType=cv2.BORDER_CONSTANT)


_PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
"""Entries of a symmetric 3x3 matrix as they are stored, [..., 6]."""


def _invert_symmetric(m: np.ndarray) -> np.ndarray:
    a, b, c, d, e, f = np.moveaxis(m, -1, 0)
    cofactors = np.stack([d * f - e * e, c * e - b * f, b * e - c * d, a * f - c * c, b * c - a * e, a * d - b * b], -1)
    determinant = a * cofactors[..., 0] + b * cofactors[..., 1] + c * cofactors[..., 2]
    return cofactors / determinant[..., None]


def _multiply_symmetric(m: np.ndarray, v: np.ndarray) -> np.ndarray:
    x, y, z = v[..., 0], v[..., 1], v[..., 2]
    a, b, c, d, e, f = (m[..., k] for k in range(6))
    return np.stack([a * x + b * y + c * z, b * x + d * y + e * z, c * x + e * y + f * z], -1)


def keep_person(alpha: np.ndarray, face: Face) -> np.ndarray:
    """Window [H, W] around the connected part that holds the face: 1 on it and on strands nearby, 0 on other things."""
    labels, _ = ndimage.label(alpha > 0.4)
    hull = face_hull(face, len(alpha))
    own = labels == np.bincount(labels[hull & (labels > 0)], minlength=2).argmax()
    distance = ndimage.distance_transform_edt(~own) / face.height
    return np.clip((0.1 - distance) / 0.04, 0, 1)


def bust_window(face: Face, size: int) -> np.ndarray:
    """Window [size, size] that ends below the shoulders in the arc of a sculpted bust, softly over 1/64 of the crop."""
    y, x = np.mgrid[:size, :size] + 0.5
    roll = np.radians(face.angles_deg[2]) / 3  # shoulders follow the head's lean only a little
    axis, chin = face.centre[0], face.landmarks[CHIN, 1]
    right, down = (x - axis) / face.height, (y - chin) / face.height
    right, down = right * np.cos(roll) + down * np.sin(roll), down * np.cos(roll) - right * np.sin(roll)
    reach = np.abs(right / BUST_HALF_WIDTH) ** 2.5 + np.clip(down / BUST_DROP, 0, None) ** 2.5
    border = (1 - reach**0.4) * BUST_DROP * face.height  # px to the edge, near it and below the chin
    window = np.clip(border / (size / 64) + 0.5, 0, 1)
    below = np.clip(0.5 + 2 * down, 0, 1)  # hair beside and above the face is never cut
    return window * below + (1 - below)


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
