"""Measure the fit of the head on photos of synthetic people nobody tuned it on: one table, in markdown.

Each photo goes through `preprocess` as a cut-out PNG without EXIF, so landmarks are detected and the focal length is guessed.
Shape: mean distance over the face (no ears, no neck) of the neutral heads after rigid alignment, with the size equalised as
well, because one picture without its lens does not show size; "as is" leaves the size. Rotation: of the head against the
line of sight. Gaze: angle of the eyes' axes, also against the line of sight. With --photos each person is photographed
several times, in other poses, expressions, lenses and lights, and the photos are fitted in groups of so many: four photos
are four groups of one, two of two and one of four. The mean over all photos is printed, so no one photo's luck decides.

Usage: python benchmarks/fit.py [--count N] [--seed FIRST] [--quality Q] [--occlude | --photos 1 2 4 6] (`make bench-fit`)
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from facecraft.camera import Camera
from facecraft.face.portrait import Portrait, preprocess
from facecraft.head.fit import fit_landmarks, fit_together, pose_vertices
from facecraft.head.fitted import fit_faces
from facecraft.head.model import HeadModel, load_head
from facecraft.head.occlusion import uncover
from facecraft.head.photometric import fit_photos
from facecraft.head.scene import Photo
from facecraft.image import write_png

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "training"))
from synthetic_photo import SyntheticPhoto, occlude, photograph, random_person

HELD_OUT_SEED = 10_000  # smaller ones are for tuning
CHANNELS_SHOWN = 0.3  # a channel is judged where it is really there


def main() -> None:
    """Print the table of errors and that of the channels."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--count", type=int, default=40)
    options.add_argument("--seed", type=int, default=HELD_OUT_SEED)
    options.add_argument("--quality", default="standard", choices=("draft", "standard", "high"))
    options.add_argument("--occlude", action="store_true", help="a quarter of each face is covered as well")
    options.add_argument("--photos", type=int, nargs="+", help="fit so many photos of each person together")
    given = options.parse_args()
    head, seeds = load_head(), range(given.seed, given.seed + given.count)
    if given.photos:
        _print_errors(measure_together(head, seeds, given.quality, given.photos))
        return
    rows = measure(head, seeds, given.quality, given.occlude)
    _print_errors(rows)
    _print_channels(head, rows)


def measure(head: HeadModel, seeds: range, quality: str, with_occlusion: bool) -> dict[str, list]:
    """Errors of the fits to one photo of each person, by the name of the fit."""
    rows: dict[str, list] = {}
    for seed in seeds:
        truth, portraits = make_case(head, seed, with_occlusion)
        rows.setdefault("mean head", []).append(_judge(head, truth, None, 0.0))
        for name, portrait in portraits.items():
            for method in ("landmarks", quality):
                start = time.perf_counter()
                fit = _fit(head, portrait, method)
                rows.setdefault(method + name, []).append(_judge(head, truth, fit, time.perf_counter() - start))
    return rows


def measure_together(head: HeadModel, seeds: range, quality: str, counts: list[int]) -> dict[str, list]:
    """Errors of the fits to groups of so many photos of each person, by the name of the fit and the number of photos; a line
    on stderr for each person."""
    rows: dict[str, list] = {}
    for seed in seeds:
        shots, portraits = photograph_often(head, seed, max(counts))
        here = {"mean head": [_judge(head, shots[0], None, 0.0)]}
        for count in counts:
            for first in range(0, max(counts) - count + 1, count):
                group = slice(first, first + count)
                for method, fits, seconds in fit_several(head, portraits[group], quality):
                    judged = [_judge(head, *pair, seconds) for pair in zip(shots[group], fits, strict=True)]
                    here.setdefault(f"{method}, photos: {count}", []).extend(judged)
        for name, results in here.items():
            rows.setdefault(name, []).extend(results)
        means = (f"{name}: {np.mean([r['shape_mm'] for r in results]):.2f}" for name, results in here.items())
        print(seed, *means, file=sys.stderr)
    return rows


def make_case(head: HeadModel, seed: int, with_occlusion: bool) -> tuple[SyntheticPhoto, dict[str, Portrait]]:
    """One person photographed, as it is and with a quarter of the face covered, both preprocessed."""
    rng = np.random.default_rng(seed)
    photo = photograph(head, random_person(head, rng), rng)
    pictures = {"": photo.image}
    if with_occlusion:
        pictures[", a quarter covered"] = occlude(photo, head, rng)
    return photo, {name: develop(picture, photo.alpha) for name, picture in pictures.items()}


def photograph_often(head: HeadModel, seed: int, photos: int) -> tuple[list[SyntheticPhoto], list[Portrait]]:
    """Photos of a person, and the same preprocessed."""
    rng = np.random.default_rng(seed)
    person = random_person(head, rng)
    shots = [photograph(head, person, rng) for _ in range(photos)]
    return shots, [develop(shot.image, shot.alpha) for shot in shots]


def develop(image: np.ndarray, alpha: np.ndarray) -> Portrait:
    """A picture [H, W, 3] with alpha [H, W] preprocessed as a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.png"
        write_png(path, np.concatenate([image, alpha[..., None]], 2))
        return preprocess(path)


def fit_several(head: HeadModel, portraits: list[Portrait], quality: str) -> list[tuple]:
    """How, the fits to portraits of one person together, and the seconds that they took; twice."""
    start = time.perf_counter()
    first = fit_together(head, [portrait.landmarks for portrait in portraits], [p.camera for p in portraits])
    between = time.perf_counter()
    photos = [Photo(portrait.image, portrait.alpha, portrait.landmarks) for portrait in portraits]
    second = fit_photos(head, first, photos, quality)
    return [("landmarks", first, between - start), (quality, second, time.perf_counter() - start)]


def _fit(head: HeadModel, portrait: Portrait, method: str):
    if method == "landmarks":
        return fit_landmarks(head, portrait.landmarks, portrait.camera)
    photo = uncover(head, Photo(portrait.image, portrait.alpha, portrait.landmarks), portrait.camera)
    (fit,) = fit_faces(head, [photo], [portrait.camera], method)
    return fit


def _judge(head: HeadModel, truth: SyntheticPhoto, fit, seconds: float) -> dict:
    """Errors of one fit; of the mean head when `fit` is None."""
    face = face_part(head)
    if fit is None:
        neutral = head.template.double().numpy()
        return {
            "shape_mm": align_mm(neutral[face], truth.neutral[face], True),
            "rigid_mm": align_mm(neutral[face], truth.neutral[face], False),
        }
    neutral = pose_vertices(head, fit.shape, np.zeros(len(fit.expression)), np.zeros((2, 2)))
    return {
        "shape_mm": align_mm(neutral[face], truth.neutral[face], True),
        "rigid_mm": align_mm(neutral[face], truth.neutral[face], False),
        "rotation_deg": head_turn_deg(fit.camera, truth.camera),
        "gaze_deg": _gaze_error_deg(head, truth, fit),
        "seconds": seconds,
        "expression": (fit.expression, truth.expression),
    }


def face_part(head: HeadModel) -> np.ndarray:
    """Vertices [V] bool of the face without ears and neck."""
    x, y, z = head.template.double().numpy().T
    return (
        (head.vertex_regions.numpy() == head.region_names.index("face")) & (z > -0.06) & (y > -0.11) & (abs(x) < 0.068)
    )


def align_mm(points: np.ndarray, target: np.ndarray, scaled: bool) -> float:
    """Mean distance of corresponding points [n, 3] m after the best rigid motion, or similarity; mm."""
    a, b = points - points.mean(0), target - target.mean(0)
    u, s, vt = np.linalg.svd(a.T @ b)
    signs = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    scale = (s * signs).sum() / (a**2).sum() if scaled else 1.0
    return 1e3 * float(np.linalg.norm(scale * a @ (u * signs) @ vt - b, axis=1).mean())


def head_turn_deg(a: Camera, b: Camera) -> float:
    """Angle between two heads against the lines of sight."""
    return float(np.degrees(Rotation.from_matrix(_sighted(a) @ _sighted(b).T).magnitude()))


def _sighted(camera: Camera) -> np.ndarray:
    """Rotation [3, 3] of the head in a camera that looks straight at the middle between the eyes, upright in the picture."""
    ahead = camera.T_camera_world[:3, 3] / np.linalg.norm(camera.T_camera_world[:3, 3])
    right = np.cross([0, 1.0, 0], ahead)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(ahead, right), ahead]) @ camera.T_camera_world[:3, :3]


def _gaze_error_deg(head: HeadModel, truth: SyntheticPhoto, fit) -> float:
    axes = []
    for camera, expression, gaze in (
        (truth.camera, truth.expression, truth.gaze),
        (fit.camera, fit.expression, fit.gaze),
    ):
        angles = gaze + (expression @ head.look_angles.double().numpy()).reshape(2, 2)
        turns = [Rotation.from_euler("yx", angles[eye]).as_matrix() for eye in range(2)]
        axes.append([_sighted(camera) @ turns[eye] @ head.eye_axes.double().numpy()[eye] for eye in range(2)])
    cosines = np.sum(np.array(axes[0]) * axes[1], 1)
    return float(np.degrees(np.arccos(cosines.clip(-1, 1))).mean())


def _print_errors(rows: dict[str, list]) -> None:
    keys = ("shape_mm", "rigid_mm", "rotation_deg", "gaze_deg", "seconds")
    print("| fit | shape mm | as is mm | rotation deg | gaze deg | s |\n|---|---|---|---|---|---|")
    for name, results in rows.items():
        cells = [f"{np.mean([r[k] for r in results]):.2f}" if k in results[0] else "" for k in keys]
        print(f"| {name} | " + " | ".join(cells) + " |")


def _print_channels(head: HeadModel, rows: dict[str, list]) -> None:
    """Mean absolute error of each channel where it is present, and where it is not."""
    fits = {name: results for name, results in rows.items() if "expression" in results[0]}
    print("\n| channel | " + " | ".join(f"{name}: present, absent" for name in fits) + " |")
    print("|---|" + "---|" * len(fits))
    pairs = {name: np.array([r["expression"] for r in results]) for name, results in fits.items()}
    for channel, label in enumerate(head.expression_names):
        cells = []
        for found, true in (pair[:, :, channel].T for pair in pairs.values()):
            error, there = np.abs(found - true), true > CHANNELS_SHOWN
            present = f"{error[there].mean():.2f} of {true[there].mean():.2f}" if there.any() else "-"
            cells.append(f"{present}, {error[~there].mean():.2f}" if (~there).any() else f"{present}, -")
        print(f"| {label} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
