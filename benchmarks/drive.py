"""Measure driven pictures against the truth on synthetic people that nobody tuned it on: two tables, in markdown.

The driver, a person of the split `test` (facecraft.synth), does `expressions` in a film with noise and H.264, which is tracked
and retargeted. Another person is photographed; preprocess and fit-3dmm make a head of the photo alone. The photo is driven by
the tracked motion, and once more by the true one, to what the driver did in the middle of each expression, and compared to
pictures of that person with the true channels, head and gaze as in the photo. PSNR inside of the face's outline. AED: summed
distance of channels from those of the truth, all read by the tracker with the person's shape, which it finds in the true
pictures; driven over undriven. Floor: the same for the true pictures moved a little and with other noise.

Views: landmarks found in the photo and the frontal views of the completed head, all driven to one moment, each triangulated
with the frames' cameras; distance of the rays to the point, mm.

Usage: python benchmarks/drive.py [--pairs 0:2,2:0] [--views N] [--sheet FILE] (`make bench-drive`)
"""

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
from track import film, make_person  # beside this file

from facecraft.camera import Camera
from facecraft.drive import ARKIT_NAMES, POSES, Motion, built_in_motion
from facecraft.face.landmarks import read_landmarks
from facecraft.face.portrait import Portrait, preprocess
from facecraft.face.upper_face import settle_upper_face
from facecraft.footage import to_motion, track_video
from facecraft.head.fit import OVAL, pose_vertices
from facecraft.head.fitted import FittedHead, fit_head
from facecraft.head.model import load_head
from facecraft.head.track import track_head
from facecraft.image import crop_square, write_png
from facecraft.metrics.pixels import psnr
from facecraft.prior.drive import frontal_views, perform_before_camera
from facecraft.prior.mouth import clean_mouth
from facecraft.prior.texture import surround
from facecraft.prior.warp import Warp
from facecraft.retarget import retarget
from facecraft.synth.picture import take_picture
from facecraft.synth.scene import Scene, make_pose
from facecraft.synth.subject import Subject
from facecraft.synth.viewpoint import portrait_camera, ring_camera
from facecraft.views import View

DRIVEN = ("smile", "jaw open", "pucker", "brows up", "blink", "wink")
PHOTO_PX, CROP_PX, FILM_PX, VIEW_PX, FPS = 640, 448, 384, 448, 12.5
LOW_DETECTION, MOST_TURN_DEG = 0.3, 40


def main() -> None:
    """Print the tables."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--pairs", default="2:0,0:2,0:4", help="driver:driven, by comma")
    options.add_argument("--views", type=int, default=12, help="views whose consistency is measured; 0 for none")
    options.add_argument("--sheet", type=Path, help="also write truth, tracked and truly driven, one above the other")
    given = options.parse_args()
    rows, spreads, strips = [], [], []
    for pair in given.pairs.split(","):
        driver, person = map(int, pair.split(":"))
        found, spread, strip = measure(driver, person, given.views)
        rows += [(pair, *row) for row in found]
        spreads.append((pair, *spread))
        strips.append(strip)
    print(
        "| pair | expression | PSNR undriven, dB | tracked motion | true motion | AED floor | tracked motion | true |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for pair, name, *values in rows:
        print(f"| {pair} | {name} | " + " | ".join(f"{value:.3g}" for value in values) + " |")
    means = np.mean([row[2:] for row in rows if row[1] == "mean"], 0)
    print("| all | mean | " + " | ".join(f"{value:.3g}" for value in means) + " |")
    if given.views:
        print("\n| pair | views with landmarks | median, mm | mean | 95 % |\n|---|---|---|---|---|")
        for pair, *values in spreads:
            print(f"| {pair} | " + " | ".join(f"{value:.3g}" for value in values) + " |")
    if given.sheet:
        write_png(given.sheet, np.concatenate(strips).clip(0, 1))


def measure(driver: int, person: int, views: int) -> tuple[list[tuple], tuple, np.ndarray]:
    """Rows of the table of one pair, the spread of its views, and the pictures."""
    acted = built_in_motion("expressions", FPS)
    tracked = follow(driver, acted)
    moments = np.array([round(FPS * (0.7 * list(POSES).index(name) + 0.15)) for name in DRIVEN])
    scene = Scene(Subject("test", 0, person), PHOTO_PX)
    light, (pose, _) = scene.light()[1], scene.pose()
    lit, camera = scene.lit(pose, light), portrait_camera(scene.subject.stream("camera"), PHOTO_PX)
    portrait, head = develop(take_picture(lit, camera)), load_head()
    fitted = clean_mouth(fit_head([portrait], head))
    looking = pose.gaze.numpy() + (pose.expression @ head.look_angles).reshape(2, 2).numpy()
    truths, faces = [], []
    for row in acted.expression[moments]:
        posed = make_pose(dict(zip(ARKIT_NAMES, row, strict=True)), looking, pose.neck.numpy())
        taken = take_picture(scene.lit(posed, light).exposed(lit.exposure), camera)
        truths.append(crop(portrait, flat(np.dstack([taken.rgb, taken.alpha]))))
        points = taken.landmarks[:, :2] * portrait.T_crop_photo[0, 0] + portrait.T_crop_photo[:2, 2]
        faces.append(outline(points, truths[-1].shape[:2]))
    photo = View(fitted.camera, portrait.image, portrait.alpha, np.zeros_like(portrait.alpha), "photo")
    still = flat(np.dstack([portrait.image, portrait.alpha]))
    drawn = [drive(fitted, photo, motion, moments) for motion in (tracked, acted)]
    true, shape = read_channels(truths, portrait.camera)
    others = (still_pictures(truths), [still] * len(truths), *drawn)
    floor, undriven, *driven = (np.abs(read_channels(part, portrait.camera, shape)[0] - true).sum(1) for part in others)
    rows = []
    for i, name in enumerate(DRIVEN):
        fidelity = [psnr(part[i], truths[i], faces[i]) for part in ([still] * len(truths), *drawn)]
        rows.append((name, *fidelity, *(part[i] / undriven[i] for part in (floor, *driven))))
    mean = np.mean([row[1:4] for row in rows], 0)
    rows.append(("mean", *mean, *(part.sum() / undriven.sum() for part in (floor, *driven))))
    spread = view_spread(fitted, portrait, acted, moments[[0, 1]], views) if views else ()
    return rows, spread, np.concatenate([np.concatenate(part, 1) for part in (truths, *drawn)])


def follow(driver: int, acted: Motion) -> Motion:
    """What tracking makes of a film in which the person does the motion, at the motion's times."""
    with tempfile.TemporaryDirectory() as folder:
        film(make_person(driver, FILM_PX), acted, ring_camera(FILM_PX, 0, 0), Path(folder) / "a.mp4", FPS)
        return retarget(track_video(Path(folder) / "a.mp4")).resampled(FPS)


def drive(fitted: FittedHead, view: View, motion: Motion, moments: np.ndarray) -> list[np.ndarray]:
    """Pictures [H, W, 3] of one view at some moments, on white."""
    warp = Warp(fitted, view, fitted.vertices())
    poses = zip(*perform_before_camera(fitted, motion, moments), strict=True)
    return [flat(warp(pose_vertices(fitted.head, fitted.shape, *pose, fitted.offsets))) for pose in poses]


def read_channels(pictures, camera: Camera, shape: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Channels [T, 52] that the tracker reads in pictures, and the shape that it took; pictures are seconds apart."""
    landmarks = np.stack([find(picture) for picture in pictures])
    track = track_head(load_head(), landmarks, camera, 2.0 * np.arange(len(landmarks)), shape)
    return to_motion(load_head(), track, landmarks, np.arange(len(landmarks))).expression, track.shape


def find(picture: np.ndarray) -> np.ndarray:
    """Landmarks [478, 3], as tracking has them; NaN when there is no face."""
    picture = picture.astype(np.float32).clip(0, 1)
    found = read_landmarks(picture, LOW_DETECTION)
    return np.full((478, 3), np.nan) if found is None else settle_upper_face(picture, found)


def still_pictures(pictures: list[np.ndarray]) -> list[np.ndarray]:
    """The pictures again, moved by up to 3 px and noisy."""
    rng = np.random.default_rng(0)
    out = []
    for picture in pictures:
        shift = np.float32([[1, 0, rng.uniform(-3, 3)], [0, 1, rng.uniform(-3, 3)]])
        moved = cv2.warpAffine(picture.astype(np.float32), shift, picture.shape[1::-1], borderValue=(1, 1, 1))
        out.append(moved + rng.normal(0, 0.012, moved.shape))
    return out


def view_spread(fitted: FittedHead, portrait: Portrait, motion: Motion, moments, count: int) -> tuple:
    """How many views show the driven face, and median, mean and 95th percentile of the rays' distances, mm."""
    views = surround(fitted, portrait.image, portrait.alpha, 24, VIEW_PX)
    views = [views[i] for i in frontal_views(views, count)]
    views = [view for view in views if turn_deg(view.camera, fitted) < MOST_TURN_DEG]
    driven = [drive(fitted, view, motion, moments) for view in views]
    distances, used = [], []
    for pictures in zip(*driven, strict=True):
        seen = [(view.camera, find(p)) for view, p in zip(views, pictures, strict=True)]
        seen = [(camera, points[:, :2]) for camera, points in seen if np.isfinite(points).all()]
        used.append(len(seen))
        inner = [i for i in range(468) if i not in OVAL]  # the outline belongs to the view, not to the face
        distances.append(ray_distances([camera for camera, _ in seen], np.stack([p for _, p in seen])[:, inner]))
    distances = 1e3 * np.concatenate([part.ravel() for part in distances])
    return np.mean(used), np.median(distances), distances.mean(), np.percentile(distances, 95)


def turn_deg(camera: Camera, fitted: FittedHead) -> float:
    """Angle between the camera's place and the front of the face."""
    ahead = camera.centre / np.linalg.norm(camera.centre)
    return float(np.degrees(np.arccos(np.clip(ahead[2], -1, 1))))


def ray_distances(
    cameras: list[Camera],
    pixels: np.ndarray,  # [C, n, 2]
) -> np.ndarray:
    """Distances [C, n], m, of the rays through pixels to the point nearest to all of them."""
    centres = np.stack([camera.centre for camera in cameras])[:, None]
    ends = np.stack([c.unproject(p, np.ones(len(p))) for c, p in zip(cameras, pixels, strict=True)])
    ways = ends - centres
    ways /= np.linalg.norm(ways, axis=2, keepdims=True)
    across = np.eye(3) - ways[..., None] * ways[..., None, :]  # [C, n, 3, 3]
    points = np.linalg.solve(across.sum(0), (across @ centres[..., None]).sum(0))[..., 0]
    return np.linalg.norm(np.einsum("cnij,cnj->cni", across, points - centres), axis=2)


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


if __name__ == "__main__":
    main()
