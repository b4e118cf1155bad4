"""How far to believe landmarks: they err together, as a face of the detector's own, and some are wild.

Errors are F^T u + s e: factors F that the landmarks share (u ~ N(0, 1), one number each), and what each does alone (e, Huber's
loss). The factors are never solved for as unknowns of the fit: by Woodbury's identity they only lower the weights.
"""

from dataclasses import dataclass

import numpy as np

from facecraft.head.model import HeadModel

HUBER = 3.0  # in standard deviations
IRISES = slice(468, 478)
IRIS_SIGMA_M = 1e-3  # five points err as one, by 0.4 mm
ROUNDS = 3  # of reweighting while the shared part is estimated


@dataclass(frozen=True)
class LandmarkNoise:
    """Noise of the 478 landmarks of one picture: shared `factors` [R, 956] px, `precisions` [956] 1/px^2 of the rest."""

    factors: np.ndarray
    precisions: np.ndarray

    def explain(self, residuals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The shared part `u` [R] of residuals [478, 2] px, and the precisions [956] without the trust that wild ones lost."""
        flat, precisions = residuals.ravel(), self.precisions
        for _ in range(ROUNDS):
            u = np.linalg.solve(self._inner(precisions), self.factors @ (precisions * flat))
            alone = ((flat - u @ self.factors) ** 2 * self.precisions).reshape(-1, 2).sum(1)
            robust = np.minimum(1, HUBER / np.sqrt(np.maximum(alone, 1e-12)))
            precisions = self.precisions * np.repeat(robust, 2)
        return u, precisions

    def energy(self, residuals: np.ndarray) -> float:
        """Minus the log probability of residuals [478, 2] px, up to a constant; the shared part at its estimate."""
        u, _ = self.explain(residuals)
        r = np.sqrt(((residuals.ravel() - u @ self.factors) ** 2 * self.precisions).reshape(-1, 2).sum(1))
        return float(np.where(r < HUBER, 0.5 * r**2, HUBER * (r - 0.5 * HUBER)).sum() + 0.5 * u @ u)

    def normal_equations(self, J: np.ndarray, residuals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gauss-Newton Hessian [P, P] and gradient [P] of `energy`; `J` [956, P] are the residuals' derivatives."""
        u, precisions = self.explain(residuals)
        weighted = J * precisions[:, None]
        shared = self.factors @ weighted
        hessian = weighted.T @ J - shared.T @ np.linalg.solve(self._inner(precisions), shared)
        return hessian, weighted.T @ (residuals.ravel() - u @ self.factors)

    def _inner(self, precisions: np.ndarray) -> np.ndarray:
        return np.eye(len(self.factors)) + (self.factors * precisions) @ self.factors.T


def landmark_noise(
    head: HeadModel,
    px_per_m: float,
    roll: float,  # rad, of the head in the picture, x towards y
    misfit_m: float,  # how far real faces are from the model's, neighbouring landmarks alike
    ignored: np.ndarray,  # numbers of landmarks
) -> LandmarkNoise:
    """The head's own noise model in pixels of a picture; `ignored` ones have no weight."""
    turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    factors = px_per_m * head.landmark_noise_factors.double().numpy() @ turn.T
    squares = np.repeat((head.landmark_noise_sigmas.double().numpy() ** 2).mean(1), 2) + misfit_m**2
    factors[:, IRISES], squares.reshape(-1, 2)[IRISES] = 0, IRIS_SIGMA_M**2  # found apart from the rest: face.irises
    precisions = 1 / (px_per_m**2 * squares)
    precisions.reshape(-1, 2)[ignored] = 0
    return LandmarkNoise(factors.reshape(len(factors), -1), precisions)
