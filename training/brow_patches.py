"""Pictures of synthetic brows, each with the places of its two ends: what the brow network is trained on.

The painters are those of `iris_patches.py`, with brows that rise and fall on their own and together, with lids that do
otherwise: how far a lid is open must not tell how high the brow is. Many of the grown people have hair, hats and glasses before
their brows.
"""

import numpy as np
from iris_patches import cut_loose, photograph_grown, photograph_painted, random_gaze
from synthetic_photo import random_expression, random_person

from facecraft.face.brows import BROWS, PATCH, brow_frames
from facecraft.head.model import HeadModel
from facecraft.synth.scene import Scene, make_pose
from facecraft.synth.subject import Subject

FIRST_SEED = 700_000  # far from the seeds of the irises and of benchmarks
SHOTS = 12  # pictures of a person
REACH_M = (0.075, 0.060)  # sidewards and up from between the eyes: what is rendered


def painted_brows(head: HeadModel, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Patches [2 SHOTS, *PATCH, 3] uint8 and the brows' ends [2 SHOTS, 2, 2], px, of the mesh of person `number`."""
    rng = np.random.default_rng(FIRST_SEED + number)
    person, found = random_person(head, rng), []
    for _ in range(SHOTS):
        expression = random_expression(head, rng)
        for name, weight in random_brows(rng).items():
            expression[head.expression_names.index(name)] = weight
        pose = (person.shape, expression, random_gaze(rng))
        found.append(cut_out(*photograph_painted(head, person, pose, REACH_M, rng), rng))
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))


def grown_brows(head: HeadModel, number: int) -> tuple[np.ndarray, np.ndarray]:
    """The same of person `number` of facecraft.synth."""
    rng = np.random.default_rng(FIRST_SEED + number)
    scene, found = Scene(Subject("train", FIRST_SEED, number), 512), []
    for shot in range(SHOTS):
        pose, channels = scene.pose(shot)
        pose = make_pose(channels | random_brows(rng), random_gaze(rng), pose.neck.numpy())
        found.append(cut_out(*photograph_grown(head, scene, pose, shot, REACH_M, rng), rng))
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))


def random_brows(rng: np.random.Generator) -> dict[str, float]:
    """Weights of the channels of brows and lids: at rest in a third of the pictures, else up, down or raised at one end."""
    up, out, down = rng.random(3) * rng.choice([0, 1], 3, p=[0.4, 0.6])
    if rng.random() < 0.3:
        up = out
    kind = rng.choice(3)
    weights = {"browInnerUp": up * (kind == 1)}
    for side in ("Left", "Right"):
        weights |= {f"browOuterUp{side}": out * (kind == 1), f"browDown{side}": down * (kind == 2)}
    if rng.random() < 0.15:
        weights[f"browOuterUp{rng.choice(['Left', 'Right'])}"] = rng.random()
    lids = {name: rng.random() * (rng.random() < 0.3) for name in ("eyeBlink", "eyeWide", "eyeSquint")}
    return weights | {name + side: weight for name, weight in lids.items() for side in ("Left", "Right")}


def cut_out(image: np.ndarray, points: np.ndarray, rng) -> tuple[np.ndarray, np.ndarray]:
    """Patches [2, *PATCH, 3] uint8 of both brows and their inner and outer ends [2, 2, 2] px in them."""
    patches, frames = cut_loose(image, brow_frames(points), PATCH, rng)
    ends = [
        [np.linalg.solve(frame[:, :2], points[list(part), :2].mean(0) - frame[:, 2]) for part in brow]
        for brow, frame in zip(BROWS, frames, strict=True)
    ]
    return patches, np.array(ends)
