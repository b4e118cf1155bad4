"""Measure how much of the shapes that landmarks wrongly draw is the same in all photos of a person: COMMON_SHARE of head/joint.py.

Landmarks detected in a photo draw another shape than the true landmarks of the same photo, both fitted alone. The share is the
variance of that difference between people over its whole variance (analysis of variance with one factor, sums over the modes).

Usage: python benchmarks/landmark_share.py [--count N] [--seed FIRST] [--photos N]
"""

import argparse

import numpy as np
from fit import photograph_often  # beside this file
from synthetic_photo import SyntheticPhoto

from facecraft.face.portrait import Portrait
from facecraft.head.fit import fit_landmarks
from facecraft.head.model import HeadModel, load_head


def main() -> None:
    """Print the share and what it is made of."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--count", type=int, default=20)
    options.add_argument("--seed", type=int, default=100)
    options.add_argument("--photos", type=int, default=4)
    given, head = options.parse_args(), load_head()
    differences = []
    for seed in range(given.seed, given.seed + given.count):
        pairs = zip(*photograph_often(head, seed, given.photos), strict=True)
        differences.append([draw_difference(head, shot, portrait) for shot, portrait in pairs])
    within, between = split_variance(np.array(differences))
    print(f"within people {within:.3f}, between them {between:.3f}: share {between / (within + between):.2f}")


def draw_difference(head: HeadModel, shot: SyntheticPhoto, portrait: Portrait) -> np.ndarray:
    """Shape [K] that the detected landmarks of a photo draw, less that of its true ones."""
    corners = shot.vertices[head.faces[head.landmark_faces].numpy()]
    points = np.einsum("lkd,lk->ld", corners, head.landmark_barycentrics.double().numpy())
    T = portrait.T_crop_photo
    true = shot.camera.project(points)[:, :2] @ T[:2, :2].T + T[:2, 2]
    return (
        fit_landmarks(head, portrait.landmarks, portrait.camera).shape
        - fit_landmarks(head, true, portrait.camera).shape
    )


def split_variance(values: np.ndarray) -> tuple[float, float]:
    """Variances within and between groups of values [groups, n, D], from 0 and summed over D, without bias."""
    count = values.shape[1]
    within = values.var(1, ddof=1).mean(0).sum()
    return float(within), float((values.mean(1) ** 2).mean(0).sum() - within / count)


if __name__ == "__main__":
    main()
