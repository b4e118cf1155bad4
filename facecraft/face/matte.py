"""The matte: how much of each pixel is the person whose face is used.

A coarse probability from MediaPipe's selfie segmentation in several squares around the head; local colour models of
person and backdrop sharpen it; what it is sure of becomes known, and closed-form matting solves the band between.
"""

import cv2
import numpy as np
from scipy import ndimage

from facecraft.face.landmarks import CHIN, Face, quiet_mediapipe
from facecraft.face.matting import PAIRS, invert_symmetric, multiply_symmetric, solve_matte
from facecraft.image import crop_square, to_bytes

MODEL_FILE = "selfie_segmentation/selfie_segmentation.tflite"

WINDOWS = ((4.4, 0, 0.3), (2.9, 0, 0), (2.3, 0, 0), (1.9, 0, -0.05), (2.0, -0.45, 0.35), (2.0, 0.45, 0.35))
"""Segmented squares: side, and shift right and down from the head's middle, in face heights. The last two: shoulders."""

HEAD_RISE = 0.1
"""The middle of the head with its hair is this far above the middle of the face, in face heights."""

MODEL_SIDE = 256
BUST_DROP, BUST_HALF_WIDTH = 0.55, 1.25
"""The bust ends this far below the chin and this far to the sides of the head's axis, in face heights."""

COLOUR_REACHES = (0.15, 0.4)
"""How far the local colour models look, in face heights: near for thin things, farther where the near is uncertain."""

COLOUR_NOISE = 0.03
LOG_ODDS_LIMIT = 5.0
CLOTHES = 0.35
"""Below the chin, wide patches of at least this alpha are the person's clothes."""

HAZE_DOUBT = 1.0
"""Log-odds taken from a coarse 1/2: where the network wavers over a wide patch it is mostly backdrop."""


def cut_out(rgb: np.ndarray, face: Face, others: list[Face], inside: np.ndarray) -> np.ndarray:
    """Alpha [H, W] of the bust of `face` in a square crop [H, W, 3] (landmarks in crop pixels).

    `inside` [H, W] is true where the crop shows the photo. `others` are the faces of people who stay out.
    """
    probability = person_probability(rgb, face, others, inside)
    certain, unknown = split_known(probability, face)
    unknown &= inside & ~belongs_to_others(face, others, len(rgb))
    alpha = solve_matte(rgb, probability, ~unknown, certain)
    alpha = settle_clothes(np.clip((alpha - 0.05) / 0.9, 0, 1), face)
    return trim(alpha, face, others) * inside


def trim(alpha: np.ndarray, face: Face, others: list[Face]) -> np.ndarray:
    """An alpha [H, W] of anything, without other people, other things, and what lies below the bust."""
    alpha = np.where(belongs_to_others(face, others, len(alpha)), 0, alpha)
    return alpha * keep_person(alpha, face) * bust_window(face, len(alpha))


def settle_clothes(alpha: np.ndarray, face: Face) -> np.ndarray:
    """`alpha` [H, W] without wide half-transparent patches below the chin: clothes as bright as the backdrop, not hair."""
    radius = 0.04 * face.height
    core = ndimage.distance_transform_edt(alpha > CLOTHES) > radius
    patch = (ndimage.distance_transform_edt(~core) < radius).astype(np.float64) if core.any() else np.zeros_like(alpha)
    down = (np.arange(len(alpha))[:, None] + 0.5 - face.landmarks[CHIN, 1]) / face.height
    return np.maximum(alpha, cv2.GaussianBlur(patch, (0, 0), 0.7) * np.clip(down / 0.1, 0, 1))


def person_probability(rgb: np.ndarray, face: Face, others: list[Face], inside: np.ndarray) -> np.ndarray:
    """Probability [H, W] that a pixel of a square crop [H, W, 3] is the person of `face`; arguments as in `cut_out`."""
    size = len(rgb)
    scale = MODEL_SIDE / size
    small_face = Face(face.landmarks * scale)
    small = cv2.resize(rgb, (MODEL_SIDE, MODEL_SIDE), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    coarse = segment_head(rgb, face)
    allowed = inside & ~belongs_to_others(face, others, size)
    coarse = cv2.resize(np.where(allowed, coarse, 0), (MODEL_SIDE, MODEL_SIDE), interpolation=cv2.INTER_AREA)
    shown = cv2.resize(inside.astype(np.float32), (MODEL_SIDE, MODEL_SIDE), interpolation=cv2.INTER_AREA) > 0.99
    sharp = drop_stray_patches(sharpen_by_colour(small, coarse, small_face, shown), coarse, small_face)
    return np.where(allowed, cv2.resize(sharp, (size, size), interpolation=cv2.INTER_LINEAR), 0)


def segment_head(rgb: np.ndarray, face: Face) -> np.ndarray:
    """Probability of a person [H, W] for a square crop: the mean of segmentations of WINDOWS and their mirror images.

    Fine squares count far more than wide ones, and all count less towards their border, where the network lacks context.
    """
    size, unit = len(rgb), face.height
    probability, total = np.zeros((size, size)), np.full((size, size), 1e-6)
    with quiet_mediapipe() as mp:
        with mp.solutions.selfie_segmentation.SelfieSegmentation(model_selection=0) as model:
            for window, right, down in WINDOWS:
                side = window * unit
                left, top = face.centre + np.array([right, down - HEAD_RISE]) * unit - side / 2
                patch = to_bytes(crop_square(rgb, left, top, side, MODEL_SIDE))
                mirrored = model.process(np.ascontiguousarray(patch[:, ::-1])).segmentation_mask[:, ::-1]
                found = (model.process(patch).segmentation_mask + mirrored) / 2
                scale = MODEL_SIDE / side
                weight = _taper(size, left, top, side) / window**3
                probability += weight * crop_square(found, -left * scale, -top * scale, size * scale, size)
                total += weight
    return probability / total


def _taper(size: int, left: float, top: float, side: float) -> np.ndarray:
    """Weight [size, size] that is 1 inside the square and falls to 0 at its border."""
    at = np.arange(size) + 0.5
    across = [np.clip(5 * np.minimum(at - start, start + side - at) / side, 0, 1) for start in (left, top)]
    return across[1][:, None] * across[0][None]


def sharpen_by_colour(rgb: np.ndarray, coarse: np.ndarray, face: Face, shown: np.ndarray, rounds: int = 5):
    """Probability [H, W] that weighs a coarse one with colour: is the pixel like the person near it, or the backdrop?

    Person and backdrop have one Gaussian colour model around each pixel, from the pixels that are surely theirs; each
    round is surer. `shown` [H, W] is false where there is no photo to learn from.
    """
    rgb = rgb.astype(np.float64)
    core = ndimage.distance_transform_edt(coarse > 0.9) > 0.08 * face.height  # a white shirt may look like the backdrop
    core |= face_hull(face, len(rgb))
    prior = np.clip(coarse, 0.01, 0.99)
    prior = np.log(prior / (1 - prior)) - HAZE_DOUBT * 4 * coarse * (1 - coarse)
    probability = coarse
    for _ in range(rounds):
        person, backdrop = ((probability > 0.9) | core) & shown, (probability < 0.1) & shown
        evidence, total = np.zeros(coarse.shape), np.full(coarse.shape, 1e-3)
        for reach in COLOUR_REACHES:
            weight_p, likely_p = _local_likelihood(rgb, person, reach * face.height)
            weight_b, likely_b = _local_likelihood(rgb, backdrop, reach * face.height)
            weight = np.minimum(weight_p, weight_b)
            evidence += weight * (likely_p - likely_b)
            total += weight
        trust = np.clip(total / 0.05, 0, 1)  # far from either side the colour says nothing
        odds = prior + trust * np.clip(evidence / total, -LOG_ODDS_LIMIT, LOG_ODDS_LIMIT)
        odds = cv2.GaussianBlur(odds, (0, 0), max(0.006 * face.height, 0.3))
        probability = np.where(core, 1.0, 1 / (1 + np.exp(-odds)))
    return probability


def _local_likelihood(rgb: np.ndarray, mask: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Share of `mask` around each pixel [H, W], and the log-likelihood [H, W] of its colour under the Gaussian there."""
    masked = mask.astype(np.float64)
    share = _spread(masked, reach)
    inverse = 1 / np.maximum(share, 1e-6)[..., None]
    mean = _spread(rgb * masked[..., None], reach) * inverse
    products = np.stack([rgb[..., i] * rgb[..., j] for i, j in PAIRS], -1) * masked[..., None]
    covariance = np.concatenate([_spread(products[..., k : k + 3], reach) for k in (0, 3)], -1) * inverse
    covariance -= np.stack([mean[..., i] * mean[..., j] for i, j in PAIRS], -1)
    covariance[..., [0, 3, 5]] = np.maximum(covariance[..., [0, 3, 5]], 0) + COLOUR_NOISE**2
    precision, determinant = invert_symmetric(covariance)
    away = rgb - mean
    distance = (multiply_symmetric(precision, away) * away).sum(-1)
    return share, -0.5 * np.minimum(distance, 16) - 0.5 * np.log(np.maximum(determinant, 1e-12))


def drop_stray_patches(sharp: np.ndarray, coarse: np.ndarray, face: Face) -> np.ndarray:
    """`sharp` [H, W] without thick patches that only colour speaks for and that barely touch the head: other things."""
    radius = 0.03 * face.height
    inner = ndimage.distance_transform_edt(sharp > 0.5) > radius
    labels, count = ndimage.label(inner)
    head = np.bincount(labels[face_hull(face, len(sharp))], minlength=2)[1:].argmax() + 1
    support = ndimage.mean(coarse, labels, np.arange(1, count + 1))
    stray = np.isin(labels, [i for i in range(1, count + 1) if i != head and support[i - 1] < 0.35])
    return np.where(ndimage.distance_transform_edt(~stray) < 2 * radius, 0, sharp) if stray.any() else sharp


def _spread(values: np.ndarray, reach: float) -> np.ndarray:
    """Gaussian mean of [H, W] or [H, W, C] over `reach` px; on a coarser grid, which a wide Gaussian does not see."""
    height, width = values.shape[:2]
    step = max(int(reach / 3), 1)
    coarse = cv2.resize(values, (-(-width // step), -(-height // step)), interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(coarse, (0, 0), reach / step), (width, height), interpolation=cv2.INTER_LINEAR)


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
    shoulders = np.clip((y - face.landmarks[CHIN, 1]) / face.height / 0.45, 0, 1)
    return np.hypot(x - face.centre[0], above) / face.height / (0.8 + 0.2 * shoulders)


def split_known(probability: np.ndarray, face: Face) -> tuple[np.ndarray, np.ndarray]:
    """(certain person [H, W], unknown [H, W]) from the probability: unknown is wide at hair, narrow at clothes."""
    unit, size = face.height, len(probability)
    y = np.arange(size)[:, None] + 0.5
    hair = np.clip((face.landmarks[CHIN, 1] + 0.1 * unit - y) / (0.2 * unit), 0, 1)
    inside = ndimage.distance_transform_edt(probability > 0.9)
    outside = ndimage.distance_transform_edt(probability < 0.1)
    certain = (inside > (0.02 + 0.03 * hair) * unit) | face_hull(face, size)
    return certain, ~certain & (outside < (0.02 + 0.06 * hair) * unit)


def face_hull(face: Face, size: int) -> np.ndarray:
    """Pixels [size, size] surely inside the face: the convex outline of the landmarks, drawn in by 4 %."""
    outline = cv2.convexHull(face.landmarks[:, :2].astype(np.float32))
    outline = outline.mean(0) + 0.96 * (outline - outline.mean(0))
    mask = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(mask, outline.round().astype(np.int32), 1)
    return mask > 0


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
    right, down = (x - face.centre[0]) / face.height, (y - face.landmarks[CHIN, 1]) / face.height
    right, down = right * np.cos(roll) + down * np.sin(roll), down * np.cos(roll) - right * np.sin(roll)
    reach = np.hypot(right / BUST_HALF_WIDTH, np.clip(down / BUST_DROP, 0, None))
    border = (1 - reach) * BUST_DROP * face.height  # px to the edge, near it and below the chin
    window = np.clip(border / (size / 64) + 0.5, 0, 1)
    below = np.clip(0.5 + 2 * down, 0, 1)  # hair beside and above the face is never cut
    return window * below + (1 - below)
