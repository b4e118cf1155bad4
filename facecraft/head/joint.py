"""Several pictures of one head: the unknowns that they share and those of each, in one vector.

The normal equations of the pictures are summed where they share unknowns, so each picture may hold only its part of what is
believed of those beforehand; what landmarks say of the shape adds up to less than its sum (forgive_shape). With few pictures
the arrow-shaped system is small enough to be solved densely.
"""

import numpy as np

COMMON_SHARE = 0.75  # of the variance of how wrong landmarks draw a shape: 0.74 by benchmarks/landmark_share.py


def place_unknowns(shared: np.ndarray, pictures: int) -> np.ndarray:
    """Where the unknowns [P] of each picture are in the joint vector [pictures, P]; those `shared` [P] are there once.

    The vector begins with the unknowns of the first picture, so that of one picture is its own.
    """
    own = np.flatnonzero(~shared)
    places = np.tile(np.arange(len(shared)), (pictures, 1))
    for i in range(1, pictures):
        places[i, own] = len(shared) + (i - 1) * len(own) + np.arange(len(own))
    return places


def join_equations(
    equations: list[
        tuple[np.ndarray, np.ndarray, np.ndarray]
    ],  # hessian [P, P], gradient [P], free [P] of each picture
    places: np.ndarray,  # [pictures, P]
    count: int,  # of unknowns in all
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The joint hessian, gradient and free unknowns; a shared unknown is free where it is in all pictures."""
    hessian, gradient, free = np.zeros((count, count)), np.zeros(count), np.ones(count, bool)
    for place, (H, g, f) in zip(places, equations, strict=True):
        hessian[np.ix_(place, place)] += H
        gradient[place] += g
        free[place] &= f
    return hessian, gradient, free


def forgive_shape(
    hessian: np.ndarray,  # [P, P] of the landmarks of all pictures
    gradient: np.ndarray,  # [P]
    shape: np.ndarray,  # [K] where the shape is among the unknowns
    pictures: int,
) -> tuple[np.ndarray, np.ndarray, float]:
    """The landmarks' Hessian and gradient if what they draw is another shape, and how much less their energy is then.

    A detector draws a person's shape wrong alike in all pictures: by a common vector, of COMMON_SHARE of the variance that one
    picture leaves, which is marginalised. So N pictures tell N / (1 + (N - 1) COMMON_SHARE) times of the shape what one does.
    """
    if pictures == 1:
        return hessian, gradient, 0.0
    across = hessian[:, shape]
    precision = (1 + 1 / ((pictures - 1) * COMMON_SHARE)) * across[shape] + 1e-6 * np.eye(len(shape))
    drawn = np.linalg.solve(precision, np.column_stack([across.T, gradient[shape]]))
    return hessian - across @ drawn[:, :-1], gradient - across @ drawn[:, -1], 0.5 * gradient[shape] @ drawn[:, -1]


def damped_step(hessian: np.ndarray, gradient: np.ndarray, free: np.ndarray, damping: float) -> np.ndarray:
    """The step of Levenberg and Marquardt, 0 for what is not `free`."""
    where = np.flatnonzero(free)
    damped = hessian[np.ix_(where, where)] + damping * np.diag(np.diag(hessian)[where])
    delta = np.zeros(len(gradient))
    delta[where] = -np.linalg.solve(damped, gradient[where])
    return delta
