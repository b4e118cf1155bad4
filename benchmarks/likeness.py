"""Likeness of fitted heads: dlib's face embedding of each photo against textured renders, as a table in markdown.

Numbers are distances (less is more alike; 0.6 is dlib's bar for the same person), at -15 and +15 degrees, for the head fitted
to landmarks alone and for the one fitted to the picture; both are textured from the photo. Needs the extra `eval`.

Usage: python benchmarks/likeness.py PORTRAITS [--quality Q] [--sheets FOLDER] (`make bench-likeness`)
"""

import argparse
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import dlib
import numpy as np

from facecraft.camera import orbit_camera
from facecraft.face.portrait import Portrait, preprocess
from facecraft.head.fit import fit_landmarks
from facecraft.head.fitted import FittedHead, complete_fit, fit_faces
from facecraft.head.model import load_head
from facecraft.head.scene import Photo
from facecraft.head.texture import render_textured
from facecraft.image import to_bytes, write_png

SIDES_DEG = (-15, 15)
SHEET_DEG = (0, -30, 30, -60, 60, 90, 180)


def main() -> None:
    """Print the table; a row whose picture fit is less alike on average carries an exclamation mark."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("portraits", type=Path)
    options.add_argument("--quality", default="standard", choices=("draft", "standard", "high"))
    options.add_argument("--sheets", type=Path, help="folder for contact sheets, landmarks above, picture below")
    given = options.parse_args()
    print("| portrait | landmarks -15 | +15 | picture -15 | +15 | margin |\n|---|---|---|---|---|---|")
    for path in sorted(given.portraits.glob("*.jpg")) + sorted(given.portraits.glob("*.png")):
        portrait = preprocess(path)
        heads = fit_both(portrait, given.quality)
        photo = embed(portrait.image * portrait.alpha[..., None] + 1 - portrait.alpha[..., None])
        distances = [[distance(photo, embed(view(head, azimuth))) for azimuth in SIDES_DEG] for head in heads]
        margin = np.mean(distances[0]) - np.mean(distances[1])
        cells = [f"{d:.3f}" for pair in distances for d in pair] + [f"{margin:+.3f}{'' if margin >= 0 else ' !'}"]
        print(f"| {path.stem} | " + " | ".join(cells) + " |", flush=True)
        if given.sheets:
            given.sheets.mkdir(parents=True, exist_ok=True)
            write_png(given.sheets / f"{path.stem}.png", sheet(portrait, heads))


def fit_both(portrait: Portrait, quality: str) -> list[FittedHead]:
    """The head fitted to the landmarks alone, and to the picture."""
    head = load_head()
    first = fit_landmarks(head, portrait.landmarks, portrait.camera)
    photo = Photo(portrait.image, portrait.alpha, portrait.landmarks)
    second = fit_faces(head, [photo], [portrait.camera], quality)[0]
    return [complete_fit(head, fit, portrait.image, portrait.alpha) for fit in (first, second)]


def view(fitted: FittedHead, azimuth_deg: float) -> np.ndarray:
    """The textured head [H, W, 3] on white from `azimuth_deg` beside the photo's own view."""
    camera = fitted.camera
    target = fitted.vertices()[fitted.head.faces[fitted.head.landmark_faces].numpy()].mean((0, 1))
    away = camera.centre - target
    azimuth, elevation = np.arctan2(away[0], away[2]), np.arcsin(away[1] / np.linalg.norm(away))
    turned = orbit_camera(
        camera, np.degrees(azimuth) + azimuth_deg, np.degrees(elevation), target, np.linalg.norm(away)
    )
    rgb, alpha, _, _ = render_textured(fitted.head, fitted.vertices(), fitted.texture, turned)
    return rgb * alpha[..., None] + 1 - alpha[..., None]


@cache
def _models():
    folder = Path(find_spec("face_recognition_models").origin).parent / "models"
    names = ("shape_predictor_5_face_landmarks.dat", "dlib_face_recognition_resnet_model_v1.dat")
    detector = dlib.cnn_face_detection_model_v1(str(folder / "mmod_human_face_detector.dat"))
    return (
        detector,
        dlib.shape_predictor(str(folder / names[0])),
        dlib.face_recognition_model_v1(str(folder / names[1])),
    )


def embed(picture: np.ndarray) -> np.ndarray:
    """dlib's 128 numbers for the largest face of a picture [H, W, 3]; NaN when it finds none."""
    detector, predictor, network = _models()
    pixels = np.ascontiguousarray(to_bytes(picture))
    found = dlib.get_frontal_face_detector()(pixels, 1) or [face.rect for face in detector(pixels, 0)]
    if not found:
        return np.full(128, np.nan)
    largest = max(found, key=lambda rect: rect.area())
    return np.array(network.compute_face_descriptor(pixels, predictor(pixels, largest)))


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Euclidean distance of two embeddings."""
    return float(np.linalg.norm(a - b))


def sheet(portrait: Portrait, heads: list[FittedHead]) -> np.ndarray:
    """Photo, overlay and the textured head all around, one row for each head."""
    photo = portrait.image * portrait.alpha[..., None] + 1 - portrait.alpha[..., None]
    rows = []
    for fitted in heads:
        overlay = fitted.overlay(portrait.image, portrait.alpha)
        side = photo.shape[1]
        cells = [photo, overlay[:, side : 2 * side], *(view(fitted, azimuth) for azimuth in SHEET_DEG)]
        rows.append(np.concatenate([cell[::2, ::2] for cell in cells], 1))
    return np.concatenate(rows).astype(np.float32)


if __name__ == "__main__":
    main()
