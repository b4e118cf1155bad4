"""Pictures of synthetic brows and lids, each with their places: what the network of the upper face is trained on.

The painters are those of `iris_patches.py`, with brows that rise and fall on their own and together, and lids that do
otherwise: how far a lid is open must not tell how high the brow is. Many of the grown people have a fringe or a hat, as
brows that are covered in part are what is hard to see.
"""

from collections.abc import Iterator
from itertools import count

import cv2
import numpy as np
from iris_patches import cut_loose, photograph_grown, photograph_painted, random_gaze
from synthetic_photo import random_expression, random_person

from facecraft.face.upper_face import PARTS, PATCH, upper_face_frames
from facecraft.head.model import HeadModel
from facecraft.synth.scene import Scene, make_pose
from facecraft.synth.subject import Subject

FIRST_SEED = 700_000  # far from the seeds of the irises and of benchmarks
SHOTS = 12  # pictures of a person
REACH_M = (0.075, 0.060)  # sidewards and up from between the eyes: what is rendered
HANGING = ("bob", "long", "wavy", "curly", "afro", "side_part")  # hair whose fringe comes down to the brows
BARE = 3  # of people with bare foreheads, one in this many
COARSE, COARSEST = 1 / 3, 3.0  # share of the patches that are made coarser; how much at most


def painted_faces(head: HeadModel, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Patches [2 SHOTS, *PATCH, 3] uint8 and points [2 SHOTS, P, 2], px, of the mesh of person `number`."""
    rng = np.random.default_rng(FIRST_SEED + number)
    person, found = random_person(head, rng), []
    for _ in range(SHOTS):
        expression = random_expression(head, rng)
        for name, weight in random_channels(rng).items():
            expression[head.expression_names.index(name)] = weight
        pose = (person.shape, expression, random_gaze(rng))
        found.append(cut_out(*photograph_painted(head, person, pose, REACH_M, rng), rng))
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))


def grown_faces(head: HeadModel, number: int) -> tuple[np.ndarray, np.ndarray]:
    """The same of person `number` of facecraft.synth."""
    rng = np.random.default_rng(FIRST_SEED + number)
    scene, found = Scene(Subject("train", FIRST_SEED, number), 512), []
    for shot in range(SHOTS):
        pose, channels = scene.pose(shot)
        pose = make_pose(channels | random_channels(rng), random_gaze(rng), pose.neck.numpy())
        found.append(cut_out(*photograph_grown(head, scene, pose, shot, REACH_M, rng), rng))
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))


def covered_people() -> Iterator[int]:
    """Numbers of people of facecraft.synth, of whom half have something before their foreheads."""
    for number in count():
        traits = Scene(Subject("train", FIRST_SEED, number), 512).traits
        fringe = traits.hair.fringe and traits.hair.family in HANGING
        if fringe or traits.accessories.hat or number % BARE == 0:
            yield number


def random_channels(rng: np.random.Generator) -> dict[str, float]:
    """Weights of the channels of brows and lids.

    Brows are at rest in a third of the pictures, else up, down or raised at one end. Lids are as often open, ajar or shut,
    both or one of them, and wide, narrowed or lowered on top of that.
    """
    up, out, down = rng.random(3) * rng.choice([0, 1], 3, p=[0.4, 0.6])
    if rng.random() < 0.3:
        up = out
    kind = rng.choice(3)
    weights = {"browInnerUp": up * (kind == 1)}
    for side in ("Left", "Right"):
        weights |= {f"browOuterUp{side}": out * (kind == 1), f"browDown{side}": down * (kind == 2)}
    if rng.random() < 0.15:
        weights[f"browOuterUp{rng.choice(['Left', 'Right'])}"] = rng.random()
    shut = rng.choice([0, rng.random(), rng.uniform(0.9, 1)], p=[0.45, 0.35, 0.2])
    lids = {name: rng.random() * (rng.random() < 0.25) for name in ("eyeWide", "eyeSquint", "eyeLookDown")}
    weights |= {name + side: weight for name, weight in lids.items() for side in ("Left", "Right")}
    winking = rng.random() < 0.15
    return weights | {"eyeBlinkLeft": shut, "eyeBlinkRight": rng.random() * 0.3 if winking else shut}


def cut_out(image: np.ndarray, landmarks: np.ndarray, rng) -> tuple[np.ndarray, np.ndarray]:
    """Patches [2, *PATCH, 3] uint8 of both sides and the places [2, P, 2] px of their `PARTS` in them."""
    patches, frames = cut_loose(image, upper_face_frames(landmarks), PATCH, rng)
    points = [
        [np.linalg.solve(frame[:, :2], landmarks[list(part), :2].mean(0) - frame[:, 2]) for part in parts]
        for parts, frame in zip(PARTS, frames, strict=True)
    ]
    return patches, np.array(points)


def coarsen(patches: np.ndarray) -> np.ndarray:
    """Patches [N, *PATCH, 3] uint8 of which some look as if they were filmed with fewer pixels: sharp ones teach nothing of those."""
    rng, out = np.random.default_rng(FIRST_SEED), patches.copy()
    for patch in out:
        if rng.random() < COARSE:
            size = np.round(np.array(PATCH[::-1]) / rng.uniform(1, COARSEST)).astype(int).tolist()
            patch[:] = cv2.resize(cv2.resize(patch, size, interpolation=cv2.INTER_AREA), PATCH[::-1])
    return out
