"""The similarity that brings points onto others."""

import numpy as np


def fit_similarity(
    source: np.ndarray,  # [n, d]
    target: np.ndarray,  # [n, d]
) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation [d, d] and translation [d] with the least squares of scale * source @ rotation.T + translation - target.

    Umeyama 1991, eq. 40 to 43: never a reflection. Points that are all one point give scale 0.
    """
    middle_source, middle_target = source.mean(0), target.mean(0)
    centred = source - middle_source
    u, singular, vt = np.linalg.svd((target - middle_target).T @ centred / len(source))
    signs = np.ones(len(singular))
    signs[-1] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    rotation = (u * signs) @ vt
    variance = (centred**2).sum() / len(source)
    scale = float((singular * signs).sum() / variance) if variance > 0 else 0.0
    return scale, rotation, middle_target - scale * rotation @ middle_source
