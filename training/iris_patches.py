"""Pictures of synthetic eyes, each with the place of its iris: what the iris network is trained on.

Two painters, so that the network does not learn one's habits: the textured mesh of `synthetic_photo.py` (skin, light, cast
shadows, noise) and the people of `facecraft.synth` (strands as brows and lashes, patterned irises, corneas, make-up).
Patches lie where landmarks would put them: the truth's, off by as much as the detector is.
"""

import numpy as np
import torch
from synthetic_photo import random_camera, random_expression, random_person, render

from facecraft.camera import Camera
from facecraft.face.heat import cut_patches
from facecraft.face.irises import IRISES, PATCH, eye_frames
from facecraft.head.fit import pose_vertices
from facecraft.head.model import HeadModel
from facecraft.synth.picture import take_picture
from facecraft.synth.scene import Scene, make_pose
from facecraft.synth.subject import Subject
from facecraft.synth.viewpoint import portrait_camera

FIRST_SEED = 600_000  # far from the seeds of benchmarks/fit.py, for tuning and held out
SHOTS = 10  # pictures of a person
REACH_M = (0.075, 0.040)  # sidewards and up from between the eyes: what is rendered
BETWEEN = 168  # landmark
JITTER, SCALE_JITTER, ROLL_JITTER = 0.035, 0.08, 0.05  # of the patch's width; of its size; rad


def painted_eyes(head: HeadModel, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Patches [2 SHOTS, 48, 64, 3] and irises [2 SHOTS, 2], px, of the mesh of person `number`."""
    rng = np.random.default_rng(FIRST_SEED + number)
    person, found = random_person(head, rng), []
    blinks = [i for i, name in enumerate(head.expression_names) if name.startswith("eyeBlink")]
    for _ in range(SHOTS):
        expression, gaze = random_expression(head, rng), random_gaze(rng)
        expression[blinks] = rng.choice([0, 0.5, 0.9], p=[0.5, 0.35, 0.15]) * rng.random()
        pose = (person.shape, expression, gaze)
        found.append(cut_out(*photograph_painted(head, person, pose, REACH_M, rng), rng))
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))


def grown_eyes(head: HeadModel, number: int) -> tuple[np.ndarray, np.ndarray]:
    """The same of person `number` of facecraft.synth."""
    rng = np.random.default_rng(FIRST_SEED + number)
    scene, found = Scene(Subject("train", FIRST_SEED, number), 512), []
    for shot in range(SHOTS):
        pose, channels = scene.pose(shot)
        if rng.random() < 0.7:
            pose = make_pose(channels, random_gaze(rng), pose.neck.numpy())
        found.append(cut_out(*photograph_grown(head, scene, pose, shot, REACH_M, rng), rng))
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))


def random_gaze(rng: np.random.Generator) -> np.ndarray:
    """Yaw and pitch [2, 2] of both eyes, rad; now and then they squint."""
    return np.repeat(rng.normal(0, (0.22, 0.17), (1, 2)), 2, 0) + rng.normal(0, 0.03, (2, 2))


def photograph_painted(
    head: HeadModel, person, pose, reach_m: tuple[float, float], rng
) -> tuple[np.ndarray, np.ndarray]:
    """A picture [H, W, 3] of the eyes of a person of synthetic_photo in a pose (shape, expression, gaze), and its landmarks."""
    camera = random_camera(rng, int(rng.uniform(280, 1000)), 17.0)
    window, points = look_closer(head, pose_vertices(head, *pose, person.bumps), camera, reach_m)
    image, _ = render(head, pose_vertices(head, *pose, person.bumps + person.hair), person.albedo, window, rng)
    return image, points


def photograph_grown(
    head: HeadModel, scene: Scene, pose, shot: int, reach_m: tuple[float, float], rng
) -> tuple[np.ndarray, np.ndarray]:
    """The same of a person of facecraft.synth, before a backdrop of one colour."""
    lit = scene.lit(pose, scene.light(shot)[1], shot)
    window, points = look_closer(head, lit.vertices, portrait_camera(rng, int(rng.uniform(280, 640))), reach_m)
    taken = take_picture(lit, window)
    cover = taken.alpha[..., None]
    return taken.rgb * cover + rng.random(3) * (1 - cover), points


def look_closer(
    head: HeadModel, vertices: np.ndarray, camera: Camera, reach_m: tuple[float, float]
) -> tuple[Camera, np.ndarray]:
    """The part of a camera's picture that the eyes are in, as a camera, and the landmarks [478, 3] in it, z in px as well."""
    points = camera.project(head.landmarks(torch.as_tensor(vertices).float()[None])[0].double().numpy())
    scale = camera.fx / points[BETWEEN, 2]
    reach = np.ceil(scale * np.array(reach_m)).astype(int)
    left, top = np.round(points[BETWEEN, :2]).astype(int) - reach
    window = Camera(
        *(2 * reach).tolist(), camera.fx, camera.fy, camera.cx - left, camera.cy - top, camera.T_camera_world
    )
    return window, (points - [left, top, points[BETWEEN, 2]]) * [1, 1, scale]


def cut_out(image: np.ndarray, points: np.ndarray, rng) -> tuple[np.ndarray, np.ndarray]:
    """Patches [2, 48, 64, 3] uint8 of both eyes and irises [2, 2] px in them."""
    patches, frames = cut_loose(image, eye_frames(points), PATCH, rng)
    irises = [
        np.linalg.solve(frame[:, :2], points[part.start, :2] - frame[:, 2])
        for part, frame in zip(IRISES, frames, strict=True)
    ]
    return patches, np.stack(irises)


def cut_loose(image: np.ndarray, frames: np.ndarray, size: tuple[int, int], rng) -> tuple[np.ndarray, np.ndarray]:
    """Patches [2, *size, 3] uint8 at `frames` [2, 2, 3] that err as the detector's do, and those."""
    centre, loose = np.array(size[::-1]) / 2, []
    for frame in frames:
        axes, width = frame[:, :2], size[1] * np.linalg.norm(frame[:, 0])
        c, s = np.cos(roll := rng.normal(0, ROLL_JITTER)), np.sin(roll)
        turned = np.array([[c, -s], [s, c]]) @ axes * np.exp(rng.normal(0, SCALE_JITTER))
        middle = frame @ [*centre, 1] + rng.normal(0, JITTER, 2) * width
        loose.append(np.column_stack([turned, middle - turned @ centre]))
    patches = (255 * cut_patches(image, np.stack(loose), size).clip(0, 1)).round().astype(np.uint8)
    return patches, np.stack(loose)
