"""Likeness of fitted heads: dlib's face embedding of each photo against textured renders, as a table in markdown.

Numbers are distances (less is more alike; 0.6 is dlib's bar for the same person), at -15 and +15 degrees, for the head fitted
to landmarks alone and for the one fitted to the picture; both are textured from the photo. Needs the extra `eval`. Of a folder of
synthetic subjects (`facecraft synth` and `facecraft preprocess`) the second one is the true head, in the true camera: what dlib can tell.

Usage: python benchmarks/likeness.py PORTRAITS|WORKSPACES [--quality Q] [--sheets FOLDER] (`make bench-likeness`)
"""

import argparse
import json
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import dlib
import numpy as np

from facecraft.alignment import fit_similarity
from facecraft.camera import Camera, orbit_camera
from facecraft.evaluation.subject import load_truth
from facecraft.face.portrait import Portrait, Source, load_source, preprocess
from facecraft.head.fit import LandmarkFit, fit_landmarks
from facecraft.head.fitted import FittedHead, complete_fit, fit_faces
from facecraft.head.model import HeadModel, landmark_points, load_head
from facecraft.head.occlusion import uncover
from facecraft.head.scene import Photo
from facecraft.head.texture import render_textured
from facecraft.image import to_bytes, write_png
from facecraft.workspace import Workspace

SIDES_DEG = (-15, 15)
SHEET_DEG = (0, -30, 30, -60, 60, 90, 180)


def main() -> None:
    """Print the table; a row whose picture fit is less alike on average carries an exclamation mark."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("portraits", type=Path)
    options.add_argument("--quality", default="standard", choices=("draft", "standard", "high"))
    options.add_argument("--sheets", type=Path, help="folder for contact sheets, landmarks above, picture below")
    given = options.parse_args()
    print("| portrait | landmarks -15 | +15 | picture or truth -15 | +15 | margin |\n|---|---|---|---|---|---|")
    for path in sorted(path for suffix in ("jpg", "png", "ws") for path in given.portraits.glob(f"*.{suffix}")):
        workspace = Workspace.open(path) if path.is_dir() else None
        portrait = load_source(workspace) if workspace else preprocess(path)
        heads = fit_both(portrait, given.quality, find_truth(workspace) if workspace else None)
        photo = embed(portrait.image * portrait.alpha[..., None] + 1 - portrait.alpha[..., None])
        distances = [[distance(photo, embed(view(head, azimuth))) for azimuth in SIDES_DEG] for head in heads]
        margin = np.mean(distances[0]) - np.mean(distances[1])
        cells = [f"{d:.3f}" for pair in distances for d in pair] + [f"{margin:+.3f}{'' if margin >= 0 else ' !'}"]
        print(f"| {path.stem} | " + " | ".join(cells) + " |", flush=True)
        if given.sheets:
            given.sheets.mkdir(parents=True, exist_ok=True)
            write_png(given.sheets / f"{path.stem}.png", sheet(portrait, heads))


def fit_both(portrait: Portrait | Source, quality: str, truth: "TrueFit | None") -> list[FittedHead]:
    """The head fitted to the landmarks alone, and to the picture, or the true one."""
    head = load_head()
    first = fit_landmarks(head, portrait.landmarks, portrait.camera)
    photo = uncover(head, Photo(portrait.image, portrait.alpha, portrait.landmarks), portrait.camera)
    second = truth or fit_faces(head, [photo], [portrait.camera], quality)[0]
    heads = [complete_fit(head, fit, photo) for fit in (first, second)]
    return [heads[0], replace(heads[1], offsets=heads[1].offsets + truth.own)] if truth else heads


@dataclass(frozen=True)
class TrueFit(LandmarkFit):
    """A head with offsets `own` [V, 3], m, that its shape does not make."""

    own: np.ndarray

    def vertices(self, head: HeadModel, offsets: np.ndarray | None = None) -> np.ndarray:
        """The head as it is in the picture [V, 3], m."""
        return super().vertices(head, self.own if offsets is None else self.own + offsets)


def find_truth(workspace: Workspace) -> TrueFit:
    """The true head of a synthetic subject with its neck straight, in the crop that preprocess took of its photo."""
    truth, report = load_truth(workspace), json.loads(workspace.require("source/report.json").read_text())
    avatar, crop, whole = truth.avatar, report["crop"], truth.views[0].camera.resized(*report["photo_size"])
    scale = crop["size"] / crop["side"]
    middle = (whole.cx - crop["left"]) * scale, (whole.cy - crop["top"]) * scale
    expression = avatar.head.expression_vector(truth.photo_expression)[0].numpy()
    straight = TrueFit(
        Camera(crop["size"], crop["size"], whole.fx * scale, whole.fy * scale, *middle, whole.T_camera_world),
        *(np.asarray(part, float) for part in (avatar.shape, expression, truth.gaze, np.zeros(478))),
        *(0, np.asarray(avatar.offsets, float)),
    )
    meshes = truth.vertices(truth.photo_expression, truth.gaze), straight.vertices(avatar.head)
    _, rotation, translation = fit_similarity(*(landmark_points(avatar.head, mesh) for mesh in meshes))
    turn = np.eye(4)
    turn[:3, :3], turn[:3, 3] = rotation, translation
    return replace(straight, camera=replace(straight.camera, T_camera_world=whole.T_camera_world @ np.linalg.inv(turn)))


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
