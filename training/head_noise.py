"""How the detector's 478 landmarks err together: it has a mean face of its own, and draws all faces towards that.

A factor model, covariance = sum over r of f_r f_r^T + diag(s^2), of greatest likelihood (Joreskog 1967, whose two steps
are taken in turn).
"""

import numpy as np
from scipy.linalg import eigh

FACTORS = 64
_ROUNDS = 20
# errors beyond this many robust sigmas are drawn in: a slipped outline must not make the noise of all faces
_LIMIT = 4.0


def measure_noise(
    errors: np.ndarray,  # [N, 478, 2] mm
    count: int = FACTORS,
) -> tuple[np.ndarray, np.ndarray]:
    """Factors [R, 478, 2] mm, largest first, and what is independent of them as standard deviations [478, 2] mm."""
    spreads = 1.4826 * np.median(np.abs(errors), 0)
    flat = np.clip(errors, -_LIMIT * spreads, _LIMIT * spreads).reshape(len(errors), -1)
    factors, sigmas = analyse_factors(flat, count)
    return factors.reshape(count, -1, 2), sigmas.reshape(-1, 2)


def analyse_factors(
    samples: np.ndarray,  # [N, D], mean 0
    count: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Factors [R, D], orthogonal after division by sigma and largest first, and sigmas [D]: the most likely of that rank."""
    covariance = samples.T @ samples / len(samples)
    variances = covariance.diagonal()
    floor, top = 1e-3 * variances.mean(), [len(variances) - count, len(variances) - 1]
    rest = np.maximum(0.3 * variances, floor)
    for _ in range(_ROUNDS):
        # given the sigmas, the best factors are principal components of the whitened samples
        root = np.sqrt(rest)
        strengths, axes = eigh(covariance / np.outer(root, root), subset_by_index=top)
        gains = np.sqrt(np.maximum(strengths[::-1] - 1, 0))
        factors = gains[:, None] * axes.T[::-1] * root
        rest = np.maximum(variances - (factors**2).sum(0), floor)
    largest = np.abs(factors).argmax(1)
    signs = np.sign(factors[np.arange(count), largest])
    return factors * np.where(signs, signs, 1)[:, None], np.sqrt(rest)


def log_likelihood(samples: np.ndarray, factors: np.ndarray, sigmas: np.ndarray) -> float:
    """Mean log density of samples [N, D] under factors [R, D] and sigmas [D], per dimension."""
    white, loads = samples / sigmas, factors / sigmas
    inner = np.eye(len(factors)) + loads @ loads.T
    along = white @ loads.T
    distances = (white**2).sum(1) - (along * np.linalg.solve(inner, along.T).T).sum(1)
    constant = np.linalg.slogdet(inner)[1] + 2 * np.log(sigmas).sum() + samples.shape[1] * np.log(2 * np.pi)
    return float(-0.5 * (distances.mean() + constant) / samples.shape[1])
