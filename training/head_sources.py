"""The two sources of the open head, as packed in shared/data/head: ICT-FaceKit (MIT) and MakeHuman's assets (CC0).

Everything in the recipe is in millimetres and in ICT's frame (+x subject's left, +y up, +z out of the face);
head_file turns the result into facecraft's frame. Side `L` is the subject's left.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

ARKIT_NAMES = tuple(
    "eyeBlinkLeft eyeLookDownLeft eyeLookInLeft eyeLookOutLeft eyeLookUpLeft eyeSquintLeft eyeWideLeft eyeBlinkRight "
    "eyeLookDownRight eyeLookInRight eyeLookOutRight eyeLookUpRight eyeSquintRight eyeWideRight jawForward jawLeft "
    "jawRight jawOpen mouthClose mouthFunnel mouthPucker mouthLeft mouthRight mouthSmileLeft mouthSmileRight "
    "mouthFrownLeft mouthFrownRight mouthDimpleLeft mouthDimpleRight mouthStretchLeft mouthStretchRight mouthRollLower "
    "mouthRollUpper mouthShrugLower mouthShrugUpper mouthPressLeft mouthPressRight mouthLowerDownLeft "
    "mouthLowerDownRight mouthUpperUpLeft mouthUpperUpRight browDownLeft browDownRight browInnerUp browOuterUpLeft "
    "browOuterUpRight cheekPuff cheekSquintLeft cheekSquintRight noseSneerLeft noseSneerRight tongueOut".split()
)

# ICT's neutral lips stand 0.75 mm apart, and teeth show through; this much of mouthClose makes them touch
_LIPS_TOUCH = 0.021


@dataclass(frozen=True)
class IctHead:
    """ICT-FaceKit: `neutral` [V, 3] mm, 100 `identity` modes of 1 sigma [100, V, 3] mm, named `expressions` [V, 3] mm."""

    neutral: np.ndarray
    faces: np.ndarray
    uv_faces: np.ndarray
    identity: np.ndarray
    expressions: dict[str, np.ndarray]
    vertex_ranges: dict[str, tuple[int, int]]
    face_ranges: dict[str, tuple[int, int]]
    landmarks68: np.ndarray
    mirror: np.ndarray
    licence: str

    def region(self, *names: str) -> np.ndarray:
        """Vertex numbers of regions."""
        return np.concatenate([np.arange(*self.vertex_ranges[name]) for name in names])

    def region_faces(self, *names: str) -> np.ndarray:
        """Faces [F, 3] of regions."""
        return np.concatenate([self.faces[slice(*self.face_ranges[name])] for name in names])

    def expression(self, arkit_name: str) -> np.ndarray:
        """Displacements [V, 3] of an ARKit channel; zero for tongueOut, which ICT lacks."""
        short = arkit_name.replace("Left", "_L").replace("Right", "_R")
        if arkit_name in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
            short = arkit_name
        parts = [name for name in (short, short + "_L", short + "_R") if name in self.expressions]
        return sum((self.expressions[name] for name in parts), np.zeros_like(self.neutral))


def load_ict(folder: Path) -> IctHead:
    """Read ict_facekit.npz."""
    data = np.load(folder / "ict_facekit.npz")
    names = [str(name) for name in data["region_names"]]
    neutral = data["neutral"].astype(float) * 1000
    ranges = dict(zip(names, map(tuple, data["region_vertex_range"].tolist()), strict=True))
    deltas = data["expression"].astype(np.float32) * 1000
    expressions = dict(zip([str(name) for name in data["expression_names"]], deltas, strict=True))
    return IctHead(
        neutral + _LIPS_TOUCH * expressions["mouthClose"],
        data["faces"].astype(np.int64),
        data["faces_uv"].astype(np.int64),
        data["identity"].astype(np.float32) * 1000,
        expressions,
        ranges,
        dict(zip(names, map(tuple, data["region_face_range"].tolist()), strict=True)),
        data["multipie68"].astype(np.int64),
        _mirror_map(neutral, ranges),
        str(data["licence"]).strip(),
    )


def _mirror_map(vertices, ranges) -> np.ndarray:
    """For each vertex the one on the other side. Right for all but the lashes."""
    mirror = np.empty(len(vertices), np.int64)
    for name, (start, stop) in ranges.items():
        other = name[:-2] + {"_L": "_R", "_R": "_L"}[name[-2:]] if name[-2:] in ("_L", "_R") else name
        first = ranges[other][0]
        tree = cKDTree(vertices[slice(*ranges[other])])
        mirror[start:stop] = first + tree.query(vertices[start:stop] * [-1, 1, 1])[1]
    middle = np.abs(vertices[:, 0]) < 0.03
    mirror[middle] = np.flatnonzero(middle)
    # two gum vertices stand 0.3 mm off: they are one another's mirror; lashes do not match but are not used either
    gums = np.arange(*ranges["gums_tongue"])
    loose = gums[mirror[mirror[gums]] != gums]
    mirror[loose] = loose[::-1]
    used = np.arange(ranges["lacrimal_L"][0])
    assert len(loose) == 2 and (mirror[mirror[used]] == used).all(), loose
    return mirror
