"""Measure what painting 28 % of a face does to its fit: how far head and shape are from those of the photo as it is.

Each portrait is painted blue, dark grey and in the colour of its own skin, from below and from two sides, up to where 72 % of its
landmarks lie. The landmarks are then read in the painted picture; the head is fitted at draft quality to all of them, and by
head/occlusion.py. How well the cover is found is told by the landmarks on it: their intersection over union.

Usage: python benchmarks/occlusion.py PORTRAIT...
"""

import sys
import time
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

CHEEKS = (50, 280)
DIRECTIONS_DEG = (90, 30, 150)
LEFT = 0.72  # of the landmarks


def main(paths: list[Path]) -> None:
    """Print one line for each picture, and the means by colour."""
    head, rows = load_head(), {}
    print(
        "| portrait | colour | from | cover IoU | all landmarks: deg, mm | uncovered: deg, mm | s |\n|---|---|---|---|---|---|---|"
    )
    for path in paths:
        portrait = preprocess(path)
        as_it_is = Photo(portrait.image, portrait.alpha, portrait.landmarks)
        if uncover(head, as_it_is, portrait.camera) is not as_it_is:
            print(f"| {path.stem} | | seen as covered where nothing is | | | | |")
        true = fit(head, as_it_is, portrait.camera)
        for name, colour in colours(portrait).items():
            for direction in DIRECTIONS_DEG:
                painted, covered = paint(portrait, direction, colour)
                if painted is None:
                    print(f"| {path.stem} | {name} | {direction} | no face found | | | |")
                    continue
                row = measure(head, portrait, painted, covered, true)
                rows.setdefault(name, []).append(row)
                _print_row(path.stem, name, direction, row)
    for name, results in rows.items():
        _print_row(f"mean of {len(results)}", name, "", np.mean(results, 0))


def measure(head: HeadModel, portrait: Portrait, painted: Photo, covered: np.ndarray, true: LandmarkFit) -> list[float]:
    """Intersection over union of the landmarks found covered, deg and mm of both fits, seconds of uncovering."""
    start = time.perf_counter()
    found = uncover(head, painted, portrait.camera)
    seconds = time.perf_counter() - start
    x, y = portrait.landmarks[:, :2].astype(int).T
    seen = np.zeros(painted.alpha.shape, bool) if found.covered is None else found.covered
    overlap = (seen & covered)[y, x].sum() / (seen | covered)[y, x].sum()
    errors = [differences(head, fit(head, photo, portrait.camera), true) for photo in (painted, found)]
    return [overlap, *errors[0], *errors[1], seconds]


def colours(portrait: Portrait) -> dict[str, np.ndarray]:
    """What the covers are painted with, by name."""
    x, y = portrait.landmarks[list(CHEEKS), :2].astype(int).T
    return {"blue": np.array([0.15, 0.35, 0.75]), "grey": np.full(3, 0.15), "skin": portrait.image[y, x].mean(0)}


def paint(portrait: Portrait, direction_deg: float, colour: np.ndarray) -> tuple[Photo | None, np.ndarray]:
    """The photo with its far end in a direction painted, the landmarks read in it, and where [H, W]; no photo when no face is
    seen in it."""
    points, (h, w) = portrait.landmarks[:, :2], portrait.alpha.shape
    along = np.array([np.cos(np.radians(direction_deg)), np.sin(np.radians(direction_deg))])
    y, x = np.mgrid[:h, :w]
    covered = (x * along[0] + y * along[1] > np.quantile(points @ along, LEFT)) & (portrait.alpha > 0.5)
    image = np.where(covered[..., None], colour, portrait.image).astype(np.float32)
    face = find_landmarks(image, np.concatenate([points.min(0), points.max(0)]), 0.1)
    return None if face is None else Photo(image, portrait.alpha, face.landmarks), covered


def _print_row(name: str, colour: str, direction, row) -> None:
    overlap, turn, shape, turn_found, shape_found, seconds = row
    cells = f"{overlap:.2f} | {turn:.1f}, {shape:.2f} | {turn_found:.1f}, {shape_found:.2f} | {seconds:.1f}"
    print(f"| {name} | {colour} | {direction} | {cells} |", flush=True)


def fit(head: HeadModel, photo: Photo, camera: Camera) -> LandmarkFit:
    """The head of a photo at draft quality."""
    start = fit_landmarks(head, photo.landmarks, camera, hidden=photo.hidden)
    (found,) = fit_photos(head, [start], [photo], "draft")
    return found


def differences(head: HeadModel, found: LandmarkFit, true: LandmarkFit) -> tuple[float, float]:
    """Angle between two heads, deg, and mean distance of their neutral faces after alignment, mm."""
    rest = np.zeros(len(found.expression)), np.zeros((2, 2))
    face = face_part(head)
    shapes = (pose_vertices(head, each.shape, *rest)[face] for each in (found, true))
    return head_turn_deg(found.camera, true.camera), align_mm(*shapes, True)


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
