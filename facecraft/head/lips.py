"""Lips as the photo shows them: those that are closed there touch, those that are apart are as far apart as there.

A fit to colours takes teeth for lips that it does not know so bright, and closes a smile over them by up to 3 mm. Where inner lips
are, the detector knows well.
"""

from dataclasses import replace

import numpy as np
import torch
from scipy.optimize import lsq_linear

from facecraft.head.belief import expression_belief
from facecraft.head.fit import LandmarkFit
from facecraft.head.model import HeadModel
from facecraft.head.scene import Photo

UPPER_LIP, LOWER_LIP = (82, 13, 312), (87, 14, 317)
"""Landmarks on the rims of the lips in the middle, that face each other."""
LIPS = (78, 191, 80, 81, *UPPER_LIP, 311, 310, 415, 308, 324, 318, 402, *LOWER_LIP[::-1], 178, 88, 95)
"""Landmarks on the rims of the lips, around the mouth."""
OUTER_LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 17, 181, 84, 91, 146)
CLOSED_M = 6e-4  # distance in the middle of lips that touch; those of a smile are 10 mm apart
AJAR = 0.06  # of mouthClose: more is no error of the fit
SIGMA_M = 1.2e-3  # of landmarks on lips
ROUNDS, STEP = 3, 0.05


def settle_lips(head: HeadModel, fit: LandmarkFit, photo: Photo) -> LandmarkFit:
    """The fit with lips that touch, or are as far apart, as in the photo; as it is where something covers them."""
    if photo.hides(LIPS):
        return fit
    px_per_m = fit.camera.fx / fit.camera.T_camera_world[2, 3]
    upper, lower = photo.landmarks[list(UPPER_LIP), :2], photo.landmarks[list(LOWER_LIP), :2]
    if np.linalg.norm(upper - lower, axis=1).mean() > CLOSED_M * px_per_m:
        return _part(head, fit, photo.landmarks[list(LIPS + OUTER_LIPS), :2], SIGMA_M * px_per_m)
    return _shut(head, fit)


def _shut(head: HeadModel, fit: LandmarkFit) -> LandmarkFit:
    """The fit with lips that touch, unless much is missing: a slit between them would show bright teeth."""
    channel = head.expression_names.index("mouthClose")
    shape, expression = (torch.as_tensor(part, dtype=torch.float32)[None] for part in (fit.shape, fit.expression))
    needed = float(head.lip_closure(shape, expression)[0])
    if not 0 < needed - fit.expression[channel] < AJAR:
        return fit
    expression = fit.expression.copy()
    expression[channel] = needed
    return replace(fit, expression=expression)


def _part(head: HeadModel, fit: LandmarkFit, wanted: np.ndarray, sigma_px: float) -> LandmarkFit:
    """The fit whose lips are where they are `wanted` [n, 2] px, by as little as possible of jaw and mouth."""
    channels = np.array([i for i, name in enumerate(head.expression_names) if name.startswith(("jaw", "mouth"))])
    believe = np.linalg.cholesky(expression_belief(head.expression_names)[np.ix_(channels, channels)]).T
    start, expression = fit.expression[channels], fit.expression.copy()
    for _ in range(ROUNDS):
        here = expression[channels]
        steps = np.where(here > 0.5, -STEP, STEP)
        trials = np.repeat(expression[None], len(channels) + 1, 0)
        trials[np.arange(1, len(trials)), channels] += steps
        lips = _place_lips(head, fit, trials)
        slopes = ((lips[1:] - lips[0]).reshape(len(channels), -1) / steps[:, None]).T / sigma_px
        gaps = (wanted - lips[0]).ravel() / sigma_px
        A, b = np.concatenate([slopes, believe]), np.concatenate([gaps + slopes @ here, believe @ start])
        expression[channels] = lsq_linear(A, b, (0, 1)).x
    return replace(fit, expression=expression)


def _place_lips(head: HeadModel, fit: LandmarkFit, expressions: np.ndarray) -> np.ndarray:
    """LIPS and OUTER_LIPS [n, m, 2] px of the fitted head in the picture with `expressions` [n, 52]."""
    count = len(expressions)
    shape, gaze = (
        torch.as_tensor(part, dtype=torch.float32).expand(count, *part.shape) for part in (fit.shape, fit.gaze)
    )
    with torch.no_grad():
        vertices = head.vertices(shape, torch.as_tensor(expressions, dtype=torch.float32), gaze)
        points = head.landmarks(vertices)[:, list(LIPS + OUTER_LIPS)].double().numpy()
    return np.stack([fit.camera.project(p)[:, :2] for p in points])
