"""A contact sheet of random synthetic heads, and in how many of them MediaPipe finds a face.

Usage: python benchmarks/gallery_synth.py OUT.png [COUNT] (`make gallery-synth`)
"""

import sys
from pathlib import Path

import numpy as np

from facecraft.face.landmarks import find_faces
from facecraft.image import SYNTHETIC, write_png
from facecraft.synth.picture import take_picture
from facecraft.synth.scene import Scene
from facecraft.synth.subject import Subject
from facecraft.synth.viewpoint import portrait_camera, ring_camera

SIZE, COLUMNS = 256, 8
SEED = 2026


def main(out: Path, count: int = 64) -> None:
    """Write OUT.png with the portraits, OUT-around.png with the same people from the side and from behind."""
    portraits, around, missed, errors = [], [], [], []
    for index in range(count):
        subject = Subject("train", SEED, index)
        scene = Scene(subject, SIZE)
        pose, _ = scene.pose()
        lit = scene.lit(pose, scene.light()[1])
        front = take_picture(lit, portrait_camera(subject.stream("camera"), SIZE))
        portraits.append(_over_grey(front))
        around += [_over_grey(take_picture(lit, ring_camera(SIZE, azimuth, 5))) for azimuth in (90, 180)]
        faces = find_faces(portraits[-1])
        if not faces:
            missed.append(index)
            continue
        face = max(faces, key=lambda f: f.height)
        errors.append(np.linalg.norm(face.landmarks[:, :2] - front.landmarks[:, :2], axis=1).mean() / face.height)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_png(out, _tiles(portraits, COLUMNS), SYNTHETIC)
    write_png(out.with_stem(out.stem + "-around"), _tiles(around, 2 * COLUMNS), SYNTHETIC)
    print(f"a face found in {count - len(missed)} of {count} portraits; missed: {missed or 'none'}")
    print(
        f"landmarks found within {100 * np.median(errors):.1f} % of the face's height of the true ones (median of means)"
    )
    print(out)


def _over_grey(picture) -> np.ndarray:
    return picture.rgb * picture.alpha[..., None] + 0.55 * (1 - picture.alpha[..., None])


def _tiles(pictures: list[np.ndarray], columns: int) -> np.ndarray:
    pictures = pictures + [np.zeros_like(pictures[0])] * (-len(pictures) % columns)
    rows = [np.concatenate(pictures[i : i + columns], 1) for i in range(0, len(pictures), columns)]
    return np.concatenate(rows).astype(np.float32)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:3]))
