"""Training data in shards: one safetensors file with the encoded pictures and the numbers of many subjects."""

import io
import json
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numba
import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from facecraft import __version__
from facecraft.errors import InputError
from facecraft.head.model import load_head
from facecraft.image import to_bytes
from facecraft.progress import track
from facecraft.records import write_atomic
from facecraft.synth.backdrop import paint_backdrop
from facecraft.synth.labels import LABELS
from facecraft.synth.light import irradiance
from facecraft.synth.picture import Picture, take_picture
from facecraft.synth.scene import Scene
from facecraft.synth.sensor import photograph
from facecraft.synth.subject import Subject
from facecraft.synth.viewpoint import any_camera

SCHEMA = "facecraft-synth-shard/1"
SUBJECTS = 32
"""Subjects in a shard."""
DEPTH_UNIT_M = 1e-4
KINDS = ("photo", "rgba", "depth", "normals", "labels")


def write_shards(
    folder: Path, split: str, seed: int, count: int, views: int, size: int, jobs: int = 0, force: bool = False
) -> list[Path]:
    """Pictures of subjects 0 to count - 1 below `folder`, `views` of each; `jobs` processes, 0 = one for each core.

    A shard that is there with the same options is kept. InputError when one has others.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths, missing = [], []
    for first in range(0, count, SUBJECTS):
        indices = range(first, min(first + SUBJECTS, count))
        path = folder / f"{split}-{seed}-{first:06d}.safetensors"
        header = {
            "schema": SCHEMA,
            "split": split,
            "seed": seed,
            "indices": list(indices),
            "views": views,
            "size": size,
        }
        if force or not _is_there(path, header):
            missing.append((path, header, indices))
        paths.append(path)
    subjects = [Subject(split, seed, index) for _, _, indices in missing for index in indices]
    made = iter(track(_make_all(subjects, views, size, jobs), "subjects", len(subjects)))
    for path, header, indices in missing:
        write_atomic(path, _pack([next(made) for _ in indices], header))
    return paths


def read_shard(path: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """Header and arrays of a shard. InputError when it is none, or its numbers disagree."""
    try:
        with safe_open(path, "np") as file:
            header = json.loads((file.metadata() or {}).get("facecraft", "{}"))
            arrays = {key: file.get_tensor(key) for key in file.keys()}
    except (OSError, SafetensorError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a shard ({error}); make it again") from error
    if header.get("schema") != SCHEMA:
        raise InputError(f"{path} has schema {header.get('schema')}, not {SCHEMA}; make it with this facecraft")
    total = len(header["indices"]) * header["views"]
    for kind in KINDS:
        starts, data = arrays.get(f"{kind}.starts"), arrays.get(f"{kind}.bytes")
        if (
            starts is None
            or data is None
            or len(starts) != total + 1
            or (np.diff(starts) < 0).any()
            or starts[-1] != len(data)
        ):
            raise InputError(f"{path} has broken {kind} pictures; make it again")
    return header, arrays


def decode(arrays: dict[str, np.ndarray], kind: str, number: int) -> np.ndarray:
    """Picture `number` of a shard: photo [H, W, 3], rgba [H, W, 4] and normals [H, W, 3] as float32, depth [H, W] m
    (0 = nothing), labels [H, W] uint8."""
    start, end = arrays[f"{kind}.starts"][number : number + 2]
    pixels = np.asarray(
        Image.open(io.BytesIO(arrays[f"{kind}.bytes"][start:end].tobytes()), formats=("JPEG", "WEBP", "PNG"))
    )
    if kind == "labels":
        return pixels
    if kind == "depth":
        return pixels.astype(np.float32) * DEPTH_UNIT_M
    pixels = pixels.astype(np.float32) / 255
    return pixels * 2 - 1 if kind == "normals" else pixels


def make_subject(
    subject: Subject, views: int, size: int
) -> tuple[dict, dict[str, list[bytes]], dict[str, list[np.ndarray]]]:
    """Traits, encoded pictures by kind, and numbers by name of `views` pictures of one person.

    Two pictures after each other show the same pose under the same light from two sides; the next two another. Numbers
    of each picture: intrinsics fx fy cx cy, T_camera_world, shape, expression, gaze, neck, landmarks (px, px, m), subject,
    and light: the irradiance [9, 3] of mesh.light.harmonics that turns albedo into linear colour, shadows left out.
    """
    scene = Scene(subject, size)
    pictures: dict[str, list[bytes]] = {kind: [] for kind in KINDS}
    numbers: dict[str, list[np.ndarray]] = {}
    for view in range(views):
        if view % 2 == 0:
            pose, _ = scene.pose(view // 2)
            _, light = scene.light(view // 2)
            lit = scene.lit(pose, light, view // 2)
        picture = take_picture(lit, any_camera(subject.stream("camera", view), size))
        backdrop = paint_backdrop(subject.stream("backdrop", view), size)
        jpeg, _ = photograph(picture.rgb, picture.alpha, backdrop, subject.stream("sensor", view))
        for kind, data in (("photo", jpeg), *_encode(picture).items()):
            pictures[kind].append(data)
        camera = picture.camera
        row = {
            "intrinsics": [camera.fx, camera.fy, camera.cx, camera.cy],
            "T_camera_world": camera.T_camera_world,
            "shape": scene.traits.shape,
            "expression": pose.expression,
            "gaze": pose.gaze,
            "neck": pose.neck,
            "light": lit.exposure * irradiance(light),
            "landmarks": picture.landmarks,
            "subject": subject.index,
        }
        for name, value in row.items():
            numbers.setdefault(name, []).append(np.asarray(value, np.int64 if name == "subject" else np.float32))
    return scene.describe(), pictures, numbers


def _encode(picture: Picture) -> dict[str, bytes]:
    rgba = np.concatenate([picture.rgb, picture.alpha[..., None]], 2)
    depth = np.clip(picture.depth / DEPTH_UNIT_M, 0, 65535).round().astype(np.uint16)
    return {
        "rgba": _bytes(to_bytes(rgba), "WEBP", quality=92, method=1),
        "normals": _bytes(to_bytes(picture.normals / 2 + 0.5), "WEBP", quality=92, method=1),
        "depth": _bytes(depth, "PNG", compress_level=1),
        "labels": _bytes(picture.labels, "PNG", compress_level=1),
    }


def _bytes(pixels: np.ndarray, form: str, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


def _make_all(subjects: list[Subject], views: int, size: int, jobs: int) -> Iterator[tuple]:
    """`make_subject` of all, in order, in `jobs` processes."""
    jobs = min(jobs or len(os.sched_getaffinity(0)), len(subjects))
    if jobs <= 1:
        yield from (make_subject(subject, views, size) for subject in subjects)
        return
    # spawned, not forked: numba's and torch's threads do not survive a fork
    with ProcessPoolExecutor(jobs, get_context("spawn"), initializer=_use_one_thread) as pool:
        yield from pool.map(make_subject, subjects, [views] * len(subjects), [size] * len(subjects))


def _use_one_thread() -> None:
    numba.set_num_threads(1)
    torch.set_num_threads(1)


def _pack(subjects: Iterable[tuple], header: dict) -> bytes:
    """A shard as the bytes of a safetensors file."""
    subjects = list(subjects)
    head = load_head()
    header = header | {"traits": [traits for traits, _, _ in subjects], "labels": LABELS, "synthetic": True}
    header |= {"facecraft": __version__, "head": head.name, "head_sha256": head.digest, "depth_unit_m": DEPTH_UNIT_M}
    header |= {"expression_names": head.expression_names, "licence": head.licence}
    arrays = {name: np.concatenate([np.stack(n[name]) for _, _, n in subjects]) for name in subjects[0][2]}
    for kind in KINDS:
        blobs = [blob for _, pictures, _ in subjects for blob in pictures[kind]]
        arrays[f"{kind}.bytes"] = np.frombuffer(b"".join(blobs), np.uint8)
        arrays[f"{kind}.starts"] = np.cumsum([0, *map(len, blobs)]).astype(np.int64)
    return save(arrays, {"facecraft": json.dumps(header)})


def _is_there(path: Path, header: dict) -> bool:
    if not path.exists():
        return False
    found, _ = read_shard(path)
    if {key: found.get(key) for key in header} != header:
        raise InputError(f"{path} was made with other options; name another folder or use --force")
    return True
