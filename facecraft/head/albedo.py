"""The skin colour model: what colours faces have, as a mean and principal components on the head's atlas.

Learned by training/skin_model.py from painted skins, not from people: tones, blush, beards, brows, lips, eyes. It tells the
photometric fit which colours belong together; the texture of an avatar is the photo's own.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from scipy.ndimage import distance_transform_edt

from facecraft.errors import InputError
from facecraft.head.model import HeadModel
from facecraft.mesh.atlas import sample_texture

SKIN_FILE = Path(__file__).with_name("skin.safetensors")
SKIN_FORMAT = "facecraft-skin/1"


@dataclass(frozen=True)
class SkinModel:
    """sRGB reflectances on the atlas: `mean` [T, T, 3], `modes` [M, T, T, 3] of one standard deviation; off the face the nearest."""

    mean: np.ndarray
    modes: np.ndarray

    def at(self, uvs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean [n, 3] and modes [M, n, 3] at texture coordinates [n, 2]."""
        return sample_texture(self.mean, uvs), np.stack([sample_texture(mode, uvs) for mode in self.modes])


def layout_digest(head: HeadModel) -> str:
    """sha256 of the head's texture layout, which the skin model depends on."""
    return hashlib.sha256(head.uvs.numpy().round(4).tobytes() + head.faces_uv.numpy().tobytes()).hexdigest()


@cache
def load_skin(head: HeadModel, path: Path = SKIN_FILE) -> SkinModel:
    """The skin colour model of `head`. InputError when the file is damaged or belongs to another layout."""
    try:
        with safe_open(path, "np") as file:
            header = json.loads((file.metadata() or {}).get("facecraft", "{}"))
            arrays = {key: file.get_tensor(key) for key in ("mean", "modes", "rows", "columns")}
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise InputError(f"{path} cannot be read as a skin model ({error}); install facecraft again") from error
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
    return SkinModel(textures[0], textures[1:])
