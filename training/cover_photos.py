"""Faces to learn covers on, as facecraft.head.cover sees them, with room to shift: people of synthetic_photo.py and of facecraft.synth."""

from collections.abc import Iterator

import cv2
import numpy as np
from synthetic_photo import photograph, random_person

from facecraft.head.cover import GROUND, SIDE, frame_face
from facecraft.head.model import HeadModel
from facecraft.image import to_bytes
from facecraft.synth.picture import take_picture
from facecraft.synth.scene import Scene
from facecraft.synth.subject import Subject
from facecraft.synth.viewpoint import portrait_camera

MARGIN = 1.5  # of a kept picture, in sides of what the network sees
KEPT = int(MARGIN * SIDE)
FIRST_SEED, SPLIT_SEED = 700_000, 31  # far from the seeds of benchmarks/fit.py and of skin_model.py
PICTURES = 3  # of each person, in other poses and lights
MESH_SIZE, SPLAT_SIZE = 256, 192


def mesh_faces(head: HeadModel, people: range) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pictures [KEPT, KEPT, 3] bytes and landmarks [478, 2] px in them, of people with painted skin."""
    for number in people:
        rng = np.random.default_rng(FIRST_SEED + number)
        person = random_person(head, rng, 256)
        for _ in range(PICTURES):
            photo = photograph(head, person, rng, MESH_SIZE, 18.0)
            posed = head.template.new_tensor(photo.vertices)[None]
            points = photo.camera.project(head.landmarks(posed)[0].double().numpy())
            yield cut_face(photo.image, photo.alpha, points)


def splat_faces(people: range) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The same of people with hair, beards, glasses and hats."""
    for number in people:
        scene = Scene(Subject("train", SPLIT_SEED, number), SPLAT_SIZE)
        for take in range(PICTURES):
            lit = scene.lit(scene.pose(take)[0], scene.light(take)[1], take)
            picture = take_picture(lit, portrait_camera(scene.subject.stream("camera", take), SPLAT_SIZE))
            yield cut_face(picture.rgb, picture.alpha, picture.landmarks)


def cut_face(image: np.ndarray, alpha: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A picture [H, W, 3] with alpha on a grey ground, KEPT px wide, and its landmarks [478, 2] in it."""
    T = frame_face(landmarks)
    T[:, 2] += (KEPT - SIDE) / 2
    shift = (T[0, 0] - 1) / 2
    ground = (alpha[..., None] * image + (1 - alpha[..., None]) * GROUND).astype(np.float32)
    if T[0, 0] < 1:
        ground = cv2.GaussianBlur(ground, (0, 0), 0.4 / T[0, 0])
    kept = cv2.warpAffine(ground, T + [[0, 0, shift]] * 2, (KEPT, KEPT), borderValue=(GROUND,) * 3)
    return to_bytes(kept), landmarks[:, :2] @ T[:, :2].T + T[:, 2]
