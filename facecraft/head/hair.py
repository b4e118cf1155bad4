"""How hair lies on heads: its thickness along the rays of the hair shell, as normal distributions of short and of long hair.

Learned by training/hair_shell.py from the strands of synthetic people. An outline tells how thick hair is where the head
is seen in profile; what is most likely elsewhere follows from that.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy.ndimage import distance_transform_edt

from facecraft.camera import Camera
from facecraft.errors import InputError
from facecraft.head.model import HeadModel
from facecraft.mesh.raster import rasterize_mesh
from facecraft.shipped import read_shipped

HAIR_FILE = Path(__file__).with_name("hair.safetensors")
HAIR_FORMAT = "facecraft-hair/1"
NOISE_M = 0.015  # of one target: necks are bent, heads broader than the fit's, cameras guessed
INDEPENDENT = 50  # targets of an outline that err each on its own
MOUTH, NOSE, BESIDE = (-0.065, -0.045), (-0.03, -0.01), 4e-3  # m: heights, and from the head on
LONG_HAIR, HANGING, TURNED = 8e-3, 4e-3, np.radians(15)  # m, mean width of long hair there


@dataclass(frozen=True)
class HairModel:
    """Thickness of one kind of hair, m, at every vertex, 0 where `known` [V] bool says that no hair is."""

    mean: np.ndarray  # [V]
    modes: np.ndarray  # [M, V] of one standard deviation
    known: np.ndarray  # [V]

    def expect(self, vertices: np.ndarray, thickness: np.ndarray, trust: np.ndarray) -> np.ndarray:
        """The most likely thickness [V] of hair that is as thick as `thickness` [n] at `vertices` [n], as far as each is
        to be believed (`trust` [n] in 0..1). The mean where nothing is known."""
        known = self.known[vertices]
        vertices, thickness, trust = vertices[known], thickness[known], trust[known]
        weights = trust / NOISE_M**2 * min(1, INDEPENDENT / max(trust.sum(), 1e-9))
        here = self.modes[:, vertices]
        curvature = np.eye(len(self.modes)) + (here * weights) @ here.T
        code = np.linalg.solve(curvature, here @ (weights * (thickness - self.mean[vertices])))
        return np.clip(self.mean + code @ self.modes, 0, None)


@cache
def load_hair(head: HeadModel, long: bool, path: Path = HAIR_FILE) -> HairModel:
    """What is shipped for this head, of `long` hair or short. InputError when the file is damaged or of another head."""
    header, arrays = read_shipped(path, "the hair model")
    if header.get("format") != HAIR_FORMAT or header.get("mesh") != mesh_digest(head):
        raise InputError(f"{path} does not fit the {head.name} head; install facecraft again")
    kind = "long" if long else "short"
    mean, known = np.zeros(len(head.template)), np.zeros(len(head.template), bool)
    modes = np.zeros((len(arrays[f"{kind}_modes"]), len(mean)))
    rows = arrays["vertices"].astype(int)
    mean[rows], modes[:, rows], known[rows] = arrays[f"{kind}_mean"], arrays[f"{kind}_modes"], True
    return HairModel(mean, modes, known)


def mesh_digest(head: HeadModel) -> str:
    """sha256 of the head's triangles, on which the numbers of its vertices depend."""
    return hashlib.sha256(head.faces.numpy().astype("<i4").tobytes()).hexdigest()


def has_long_hair(head: HeadModel, vertices: np.ndarray, camera: Camera, alpha: np.ndarray) -> bool:
    """Whether hair hangs beside the bare head `vertices` [V, 3]: the matte [H, W] is wider at the heights of mouth and nose.

    Shoulders are not, at the nose. Of a head that is turned the side that is seen decides, of others both.
    """
    h, w = alpha.shape
    y, x = np.mgrid[:h, :w] + 0.5
    depth = camera.T_camera_world[2, 3]
    # of what each pixel shows, as far away as the head
    height = camera.unproject(np.stack([x, y], -1), np.full((h, w), depth))[..., 1]
    face = head.faces.numpy()[head.faces_of(("face", "eyeball_L", "eyeball_R")).numpy()]
    mask = rasterize_mesh(camera.project(vertices), face, h, w).mask
    if not mask.any():
        return False
    px_per_m, middle = camera.fx / depth, x[mask].mean()
    beside = (alpha > 0.5) & (distance_transform_edt(~mask) > BESIDE * px_per_m)

    def width(side: np.ndarray, low: float, high: float) -> float:
        return (beside & side & (height > low) & (height < high)).sum() / px_per_m**2 / (high - low)

    hangs = [width(side, *MOUTH) > LONG_HAIR and width(side, *NOSE) > HANGING for side in (x < middle, x > middle)]
    forward = camera.T_camera_world[:3, 2]
    yaw = np.arctan2(forward[0], -forward[2])
    return all(hangs) or (abs(yaw) > TURNED and hangs[int(yaw < 0)])
