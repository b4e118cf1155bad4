"""Teach facecraft.head.cover what lies before a face: synthetic faces, a random cover painted before three of five.

Usage: python training/cover_model.py --out facecraft/head/cover.safetensors [--people 160] [--steps 5000]
"""

import argparse
import json
import os
from functools import cache
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import torch
from cover_decoys import add_decoys
from cover_photos import KEPT, mesh_faces, splat_faces
from cover_shapes import random_shape, random_stuff, smooth_noise
from safetensors.torch import save_file

from facecraft.head.cover import CELL, COVER_FORMAT, GROUND, SIDE, CoverNetwork
from facecraft.head.model import load_head

BATCH, RATE = 16, 5e-3
COVERED = 0.6  # of the pictures have a cover
SECOND = 0.2  # of those have another one
SEED = 5


def main() -> None:
    """Photograph, train, write. The same options give the same bytes on one machine."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--people", type=int, default=160, help="of each of the two kinds")
    options.add_argument("--steps", type=int, default=5000)
    given = options.parse_args()
    people = range(given.people)
    faces = list(chain(mesh_faces(load_head(), people), splat_faces(people)))
    network = train(faces, given.steps)
    weights = {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}
    header = {"format": COVER_FORMAT, "people": 2 * given.people, "steps": given.steps, "licence": "Apache-2.0"}
    header["source"] = "synthetic faces of training/cover_photos.py, covers of training/cover_shapes.py"
    save_file(weights, given.out, metadata={"facecraft": json.dumps(header, sort_keys=True)})
    os.chmod(given.out, 0o644)


def train(faces: list[tuple[np.ndarray, np.ndarray]], steps: int) -> CoverNetwork:
    """A network that knows covers on `faces`, pictures [KEPT, KEPT, 3] bytes with landmarks [478, 2] px."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    rng, network = np.random.default_rng(SEED), CoverNetwork()
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.1)
    recent = []
    for step in range(1, steps + 1):
        pictures, targets = zip(*(make_sample(rng, faces) for _ in range(BATCH)), strict=True)
        batch = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
        odds, target = network(batch), torch.from_numpy(np.stack(targets))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(odds, target)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        recent.append([loss.item(), *_count(odds.detach() > 0, target > 0.5)])
        if step % 200 == 0:
            loss_mean, both, either = np.mean(recent, 0)
            print(f"{step}: loss {loss_mean:.4f}, IoU {both / max(either, 1e-9):.3f}", flush=True)
            recent = []
    return network


def _count(found: torch.Tensor, true: torch.Tensor) -> tuple[float, float]:
    return (found & true).float().sum().item(), (found | true).float().sum().item()


def make_sample(rng: np.random.Generator, faces: list) -> tuple[np.ndarray, np.ndarray]:
    """A picture [SIDE, SIDE, 3] of a random one of `faces` and how much of each cell [SIDE / CELL, SIDE / CELL] is covered."""
    picture, landmarks, person = _shift(rng, *faces[rng.integers(len(faces))])
    skin = np.median(picture[tuple(landmarks[[6, 50, 280, 195]].astype(int).T[::-1].clip(0, SIDE - 1))], 0)
    picture = add_decoys(rng, picture, landmarks)
    covered = np.zeros((SIDE, SIDE), np.float32)
    if rng.random() < COVERED:
        bounds = person if rng.random() < 0.6 else np.ones_like(person)
        for _ in range(1 + (rng.random() < SECOND)):
            share = random_shape(rng, landmarks, SIDE) * bounds
            other, _, _ = _shift(rng, *faces[rng.integers(len(faces))])
            picture = _lay_before(rng, picture, share, random_stuff(rng, picture, skin, other), person)
            covered = np.maximum(covered, share)
    picture = np.where(person[..., None] + covered[..., None] > 0.5, _develop(rng, picture), GROUND)
    cells = covered.reshape(SIDE // CELL, CELL, SIDE // CELL, CELL).mean((1, 3))
    return picture.clip(0, 1).astype(np.float32), cells


def _shift(rng: np.random.Generator, kept: np.ndarray, landmarks: np.ndarray) -> tuple:
    """Picture [SIDE, SIDE, 3], landmarks and person [SIDE, SIDE] 0 or 1, as a detector that errs would frame them."""
    T = cv2.getRotationMatrix2D((KEPT / 2, KEPT / 2), rng.normal(0, 6), np.exp(rng.normal(0, 0.1)))
    T[:, 2] += (SIDE - KEPT) / 2 + rng.normal(0, 4, 2)
    if rng.random() < 0.5:
        kept, landmarks = kept[:, ::-1], landmarks * [-1, 1] + [KEPT, 0]
        landmarks = landmarks[_mirrored_landmarks()]
    bare = (kept == round(GROUND * 255)).all(2).astype(np.float32)
    picture = cv2.warpAffine(kept.astype(np.float32) / 255, T, (SIDE, SIDE), borderValue=(GROUND,) * 3)
    person = cv2.warpAffine(1 - bare, T, (SIDE, SIDE)) > 0.5
    return picture, landmarks @ T[:, :2].T + T[:, 2], person.astype(np.float32)


@cache
def _mirrored_landmarks() -> np.ndarray:
    """Which landmark [478] is each one's mirror image, by where they lie on the mean head."""
    head = load_head()
    points = head.landmarks(head.template[None])[0].double().numpy()
    return np.linalg.norm(points[:, None] * [-1, 1, 1] - points[None], axis=2).argmin(1)


def _lay_before(rng: np.random.Generator, picture, share, stuff, person) -> np.ndarray:
    """The picture with a cover, round at its edges, that casts a shadow."""
    amount, reach = rng.uniform(0, 0.6) * (rng.random() < 0.6), rng.uniform(1, 6)
    depth = cv2.distanceTransform((share > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    stuff = stuff * (1 - amount * np.exp(-depth / reach))[..., None]
    if rng.random() < 0.5:
        offset = np.float32([[1, 0, rng.normal(0, 3)], [0, 1, rng.normal(0, 3)]])
        shadow = cv2.GaussianBlur(cv2.warpAffine(share, offset, (SIDE, SIDE)), (0, 0), rng.uniform(0.6, 3))
        picture = picture * (1 - rng.uniform(0.1, 0.6) * shadow * person)[..., None]
    return picture + share[..., None] * (stuff - picture)


def _develop(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Contrast, tint, grey or sepia, blur, grain and JPEG, over face and cover alike."""
    picture = np.clip(picture, 0, 1) ** np.exp(rng.normal(0, 0.25))
    if rng.random() < 0.3:
        grey = (picture @ [0.3, 0.59, 0.11])[..., None]
        picture = grey + rng.choice([0.0, 0.0, 0.4]) * (picture - grey)
        picture = picture * (1 + rng.choice([0, 1]) * rng.normal(0, 0.08, 3))
    picture = (picture - 0.5) * np.exp(rng.normal(0, 0.2)) + 0.5 + rng.normal(0, 0.06)
    picture = picture * np.exp(rng.normal(0, 0.06, 3))
    if rng.random() < 0.3:
        picture = picture * (1 + rng.uniform(0, 0.12) * smooth_noise(rng, SIDE, rng.uniform(0.6, 5)))[..., None]
    if rng.random() < 0.4:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 1.0))
    picture = picture + rng.gamma(1.2, 0.01) * rng.standard_normal(picture.shape)
    if rng.random() < 0.3:
        data = (picture.clip(0, 1) * 255).astype(np.uint8)
        data = cv2.imencode(".jpg", data, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 95))])[1]
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR) / 255.0
    return picture


if __name__ == "__main__":
    main()
