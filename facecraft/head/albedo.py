"""The skin colour model: what colours faces have, as a mean and principal components on the head's atlas.

Learned by training/skin_model.py from painted skins, not from people: tones, blush, beards, brows, lips, eyes. It tells the
photometric fit which colours belong together; the texture of an avatar is the photo's own.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy.ndimage import distance_transform_edt

from facecraft.errors import InputError
from facecraft.head.model import HeadModel
from facecraft.head.surface import Surface
from facecraft.mesh.atlas import sample_texture
from facecraft.shipped import read_shipped

SKIN_FILE = Path(__file__).with_name("skin.safetensors")
PLAIN = (0.2, 1.5)
SKIN_FORMAT = "facecraft-skin/2"


@dataclass(frozen=True)
class SkinModel:
    """sRGB reflectances: `mean` [T, T, 3], `modes` [M, T, T, 3] of one standard deviation on the atlas, off the face the
    nearest; of eyes, by the angle to their axis from 0 to `eye_reach` (rad), `eye_mean` [n, 3], `eye_modes` [E, n, 3]."""

    mean: np.ndarray
    modes: np.ndarray
    eye_mean: np.ndarray
    eye_modes: np.ndarray
    eye_reach: float

    @property
    def count(self) -> int:
        """Number of modes of skin and eyes together."""
        return len(self.modes) + len(self.eye_modes)

    def of_skin(self, uvs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean [n, 3] and modes [M + E, n, 3] at texture coordinates [n, 2]."""
        modes = np.zeros((self.count, len(uvs), 3), np.float32)
        modes[: len(self.modes)] = [sample_texture(mode, uvs) for mode in self.modes]
        return sample_texture(self.mean, uvs), modes

    def of_eyes(self, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean [n, 3] and modes [M + E, n, 3] at angles [n] to the axis of the eye, rad."""
        place = np.clip(angles / self.eye_reach, 0, 1 - 1e-6) * (len(self.eye_mean) - 1)
        low = place.astype(int)
        share = (place - low)[:, None]
        modes = np.zeros((self.count, len(angles), 3), np.float32)
        modes[len(self.modes) :] = (1 - share) * self.eye_modes[:, low] + share * self.eye_modes[:, low + 1]
        return (1 - share) * self.eye_mean[low] + share * self.eye_mean[low + 1], modes


def eye_angles(head: HeadModel, points: np.ndarray, eye: int) -> np.ndarray:
    """Angles [n], rad, between points [n, 3] of the mean head's eyeball (0 left, 1 right) and its axis, from its middle."""
    joint = head.joints.double().numpy()[head.joint_names.index(("eye_L", "eye_R")[eye])]
    arms = points - joint
    cosines = arms @ head.eye_axes.double().numpy()[eye] / np.maximum(np.linalg.norm(arms, axis=1), 1e-9)
    return np.arccos(cosines.clip(-1, 1))


def plain_skin(head: HeadModel, surface: Surface) -> np.ndarray:
    """What average skin is beside its cheeks' colour [n, 3]: redder on lips, darker at brows; 1 off the face."""
    uvs = surface.atlas.interpolate(head.uvs.double().numpy(), head.faces_uv.numpy())
    mean, face = sample_texture(load_skin(head).mean, uvs), surface.regions == head.region_names.index("face")
    return np.where(face[:, None], mean / np.median(mean[face], 0), 1).clip(*PLAIN)


def layout_digest(head: HeadModel) -> str:
    """sha256 of the head's texture layout, which the skin model depends on."""
    return hashlib.sha256(head.uvs.numpy().round(4).tobytes() + head.faces_uv.numpy().tobytes()).hexdigest()


@cache
def load_skin(head: HeadModel, path: Path = SKIN_FILE) -> SkinModel:
    """The skin colour model of `head`. InputError when the file is damaged or belongs to another layout."""
    header, arrays = read_shipped(path, "a skin model")
    if header.get("format") != SKIN_FORMAT or header.get("layout") != layout_digest(head):
        raise InputError(f"{path} does not fit the head {head.name!r}; run training/skin_model.py")
    size = int(header["size"])
    colours = np.concatenate([arrays["mean"][None], arrays["modes"]]).astype(np.float32)
    covered = np.zeros((size, size), bool)
    covered[arrays["rows"], arrays["columns"]] = True
    nearest = distance_transform_edt(~covered, return_distances=False, return_indices=True)
    textures = np.zeros((len(colours), size, size, 3), np.float32)
    textures[:, arrays["rows"], arrays["columns"]] = colours
    textures = textures[:, nearest[0], nearest[1]]
    eyes = (arrays["eye_mean"].astype(float), arrays["eye_modes"].astype(float), float(header["eye_reach_rad"]))
    return SkinModel(textures[0], textures[1:], *eyes)
