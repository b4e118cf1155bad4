"""Measure what painting 28 % of a face blue does to its fit: how far head and shape are from those of the photo as it is.

Each portrait is painted from below and from two sides, up to where 72 % of its landmarks lie. The landmarks are then read in the
painted picture; the head is fitted at draft quality to all of them, without the covered ones, and by head/occlusion.py.

Usage: python benchmarks/occlusion.py PORTRAIT...
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from fit import align_mm, face_part, head_turn_deg  # beside this file

from facecraft.camera import Camera
from facecraft.face.landmarks import find_landmarks
from facecraft.face.portrait import Portrait, preprocess
from facecraft.head.fit import LandmarkFit, fit_landmarks, pose_vertices
from facecraft.head.model import HeadModel, load_head
from facecraft.head.occlusion import uncover
from facecraft.head.photometric import fit_photos
from facecraft.head.scene import Photo

BLUE = np.array([0.15, 0.35, 0.75])
DIRECTIONS_DEG = (90, 30, 150)
LEFT = 0.72  # of the landmarks


def main(paths: list[Path]) -> None:
    """Print one line for each picture, and the means."""
    head, rows = load_head(), []
    print("| portrait | from | all landmarks: deg, mm | without covered | uncovered |\n|---|---|---|---|---|")
    for path in paths:
        portrait = preprocess(path)
        true = fit(head, Photo(portrait.image, portrait.alpha, portrait.landmarks), portrait.camera)
        for direction in DIRECTIONS_DEG:
            painted = paint(portrait, direction)
            if painted is None:
                continue
            found = uncover(head, painted, portrait.camera)
            photos = (painted, replace(painted, hidden=found.hidden), found)
            rows.append([differences(head, fit(head, photo, portrait.camera), true) for photo in photos])
            print(
                f"| {path.stem} | {direction} | " + " | ".join(f"{a:.1f}, {b:.2f}" for a, b in rows[-1]) + " |",
                flush=True,
            )
    print(f"| mean of {len(rows)} | | " + " | ".join(f"{a:.1f}, {b:.2f}" for a, b in np.mean(rows, 0)) + " |")


def paint(portrait: Portrait, direction_deg: float) -> Photo | None:
    """The photo with its far end in a direction painted, and the landmarks read in it; None when no face is seen."""
    points, (h, w) = portrait.landmarks[:, :2], portrait.alpha.shape
    along = np.array([np.cos(np.radians(direction_deg)), np.sin(np.radians(direction_deg))])
    y, x = np.mgrid[:h, :w]
    covered = (x * along[0] + y * along[1] > np.quantile(points @ along, LEFT)) & (portrait.alpha > 0.5)
    image = np.where(covered[..., None], BLUE, portrait.image).astype(np.float32)
    face = find_landmarks(image, np.concatenate([points.min(0), points.max(0)]), 0.1)
    return None if face is None else Photo(image, portrait.alpha, face.landmarks)


def fit(head: HeadModel, photo: Photo, camera: Camera) -> LandmarkFit:
    """The head of a photo at draft quality."""
    start = fit_landmarks(head, photo.landmarks, camera, hidden=photo.hidden)
    return fit_photos(head, [start], [photo], "draft")[0]


def differences(head: HeadModel, found: LandmarkFit, true: LandmarkFit) -> tuple[float, float]:
    """Angle between two heads, deg, and mean distance of their neutral faces after alignment, mm."""
    rest = np.zeros(len(found.expression)), np.zeros((2, 2))
    face = face_part(head)
    shapes = (pose_vertices(head, each.shape, *rest)[face] for each in (found, true))
    return head_turn_deg(found.camera, true.camera), align_mm(*shapes, True)


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
