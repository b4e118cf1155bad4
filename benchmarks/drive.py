"""Measure driven pictures against the truth on synthetic people that nobody tuned it on: one table, in markdown.

A person of the split `test` (facecraft.synth) is photographed; preprocess and fit-3dmm make a head of the photo alone. The
photo is then driven to expressions that the same person really makes before the same camera. PSNR inside of the face's
outline, of the photo as it is and driven. Expression: distance of the 52 channels that fit_landmarks finds in the picture to
those that it finds in the true one, driven over undriven.

Usage: python benchmarks/drive.py [--count N] [--first I] [--sheet FILE] (`make bench-drive`)
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from facecraft.drive import POSES, parse_expression
from facecraft.face.landmarks import read_landmarks
from facecraft.face.portrait import Portrait, preprocess
from facecraft.head.fit import OVAL, fit_landmarks, pose_vertices
from facecraft.head.fitted import fit_head
from facecraft.head.model import load_head
from facecraft.image import crop_square, write_png
from facecraft.prior.warp import Warp, clean_mouth
from facecraft.synth.picture import take_picture
from facecraft.synth.scene import Scene, make_pose
from facecraft.synth.subject import Subject
from facecraft.synth.viewpoint import portrait_camera
from facecraft.views import View

DRIVEN = ("jaw open", "smile", "blink", "pucker", "brows up")
PHOTO_PX, CROP_PX = 640, 448


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--count", type=int, default=4)
    options.add_argument("--first", type=int, default=0)
    options.add_argument("--sheet", type=Path, help="also write truth and driven pictures, one above the other")
    given = options.parse_args()
    rows, strips = [], []
    for index in range(given.first, given.first + given.count):
        found, strip = measure(index)
        rows += found
        strips.append(strip)
    print("| person | expression | PSNR undriven, dB | PSNR driven, dB | expression error, driven / undriven |")
    print("|---|---|---|---|---|")
    for person, name, *values in rows:
        print(f"| {person} | {name} | " + " | ".join(f"{value:.3g}" for value in values) + " |")
    print("| mean | | " + " | ".join(f"{np.mean([row[i] for row in rows]):.3g}" for i in (2, 3)), end=" | ")
    print(f"{np.median([row[4] for row in rows]):.3g} (median) |")
    if given.sheet:
        write_png(given.sheet, np.concatenate(strips))


def measure(index: int) -> tuple[list[tuple], np.ndarray]:
    """Rows of the table of one person, and the pictures side by side."""
    scene = Scene(Subject("test", 0, index), PHOTO_PX)
    light, (pose, _) = scene.light()[1], scene.pose()
    lit, camera = scene.lit(pose, light), portrait_camera(scene.subject.stream("camera"), PHOTO_PX)
    portrait = develop(take_picture(lit, camera))
    head = load_head()
    fitted = clean_mouth(fit_head([portrait], head))
    photo = View(fitted.camera, portrait.image, portrait.alpha, np.zeros_like(portrait.alpha), "photo")
    warp, before = Warp(fitted, photo, fitted.vertices()), flat(np.dstack([portrait.image, portrait.alpha]))
    rows, strip = [], [np.concatenate([before, before])]
    for name in DRIVEN:
        channels = parse_expression(POSES[name])
        really = scene.lit(replace(make_pose(channels), neck=pose.neck), light).exposed(lit.exposure)
        taken = take_picture(really, camera)
        truth = crop(portrait, flat(np.dstack([taken.rgb, taken.alpha])))
        weights = head.expression_vector(channels)[0].numpy()
        driven = flat(warp(pose_vertices(head, fitted.shape, weights, np.zeros((2, 2)), fitted.offsets)))
        scale, shift = portrait.T_crop_photo[0, 0], portrait.T_crop_photo[:2, 2]
        face = outline(taken.landmarks[:, :2] * scale + shift, truth.shape[:2])
        errors = [expression_error(portrait, picture, truth) for picture in (driven, before)]
        rows.append((index, name, psnr(before, truth, face), psnr(driven, truth, face), errors[0] / errors[1]))
        strip.append(np.concatenate([truth, driven]))
    return rows, np.concatenate(strip, 1)


def develop(picture) -> Portrait:
    """What preprocess makes of a picture, cut out as it is."""
    with tempfile.TemporaryDirectory() as folder:
        write_png(Path(folder) / "a.png", np.dstack([picture.rgb, picture.alpha]))
        return preprocess(Path(folder) / "a.png", CROP_PX)


def crop(portrait: Portrait, picture: np.ndarray) -> np.ndarray:
    """The part of a picture that the portrait is of its photo."""
    T = portrait.T_crop_photo
    left, top = -T[:2, 2] / T[0, 0]
    return crop_square(picture, left, top, CROP_PX / T[0, 0], CROP_PX)


def flat(rgba: np.ndarray) -> np.ndarray:
    """A picture [H, W, 4] on white [H, W, 3]."""
    return rgba[..., :3] * rgba[..., 3:] + 1 - rgba[..., 3:]


def outline(landmarks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pixels [H, W] inside of the face's outline."""
    mask = np.zeros(size, np.uint8)
    cv2.fillPoly(mask, [landmarks[list(OVAL)].round().astype(np.int32)], 1)
    return mask.astype(bool)


def psnr(picture: np.ndarray, truth: np.ndarray, where: np.ndarray) -> float:
    """Peak signal to noise, dB."""
    return float(-10 * np.log10(((picture - truth)[where] ** 2).mean()))


def expression_error(portrait: Portrait, picture: np.ndarray, truth: np.ndarray) -> float:
    """Distance of the channels found in two pictures; NaN when one shows no face."""
    found = [read_landmarks(image.astype(np.float32), 0.3) for image in (picture, truth)]
    if any(points is None for points in found):
        return float("nan")
    one, other = (fit_landmarks(load_head(), points, portrait.camera).expression for points in found)
    return float(np.abs(one - other).sum())


if __name__ == "__main__":
    main()
