"""Gaussians in glTF: the extension KHR_gaussian_splatting, experimental because Khronos has not ratified it yet.

Release candidate of July 2026 (KhronosGroup/glTF 77b44be): one primitive of POINTS with linear scales, opacities in [0, 1],
unit quaternions xyzw and harmonics as they are trained. Axes are glTF's own, which are those of the head.
"""

from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import normalize

from facecraft.errors import InputError
from facecraft.export.gltf import GlbWriter, lookup, read_accessor, read_glb
from facecraft.export.splat import LEAST_SCALE_M
from facecraft.splats.gaussians import SH_COUNTS, Gaussians, dc_to_rgb

EXTENSION = "KHR_gaussian_splatting"
_HARMONICS = [f"SH_DEGREE_{degree}_COEF_{n}" for degree in range(len(SH_COUNTS)) for n in range(2 * degree + 1)]
_LEAST_OPACITY = 2.0**-23
"""What 0 is read as, and 1 as far from 1: logits must be finite."""


def write_gltf_splats(path: Path, gaussians: Gaussians, extras: dict | None = None) -> None:
    """Write a GLB with one node of Gaussians; `extras` go to the metadata of the asset.

    Viewers without the extension show points: COLOR_0 has their colour, linear as glTF wants it, and opacity.
    """
    assert len(gaussians), "glTF has no empty accessors"
    cloud = gaussians.detach().to("cpu")
    writer = GlbWriter(extras or {})
    rgb = dc_to_rgb(cloud.sh[:, 0]).clamp(0, 1)
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)  # IEC 61966-2-1
    attributes = {
        "POSITION": writer.add_vertices(cloud.means.numpy(), bounds=True),
        "COLOR_0": writer.add_vertices(torch.cat([linear, cloud.opacities[:, None]], 1).numpy()),
        f"{EXTENSION}:ROTATION": writer.add_vertices(normalize(cloud.quats, dim=1).roll(-1, 1).numpy()),
        f"{EXTENSION}:SCALE": writer.add_vertices(cloud.scales.numpy()),
        f"{EXTENSION}:OPACITY": writer.add_vertices(cloud.opacities.numpy()),
    }
    for name, values in zip(_HARMONICS, cloud.sh.unbind(1), strict=False):
        attributes[f"{EXTENSION}:{name}"] = writer.add_vertices(values.contiguous().numpy())
    kernel = {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}
    kernel |= {"sortingMethod": "cameraDistance", "projection": "perspective"}
    writer.scene |= {
        "extensionsUsed": [EXTENSION],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": "avatar", "mesh": 0}],
        "meshes": [{"primitives": [{"mode": 0, "attributes": attributes, "extensions": {EXTENSION: kernel}}]}],
    }
    writer.write(path)


def read_gltf_splats(path: Path) -> Gaussians:
    """Gaussians of the first primitive of a GLB that has the extension, in the axes of its mesh (nodes are not applied).

    InputError names the attribute that is missing, of another length or out of range.
    """
    path = Path(path)
    scene, data = read_glb(path)
    attributes = _find_primitive(path, scene)

    def read(name: str, *shape: int) -> np.ndarray:
        if name not in attributes:
            raise InputError(f"{path} has no attribute {name}; give a GLB of Gaussians")
        values = read_accessor(path, scene, data, attributes[name]).astype(np.float32)
        if values.shape != (shape or (len(values), 3)):
            raise InputError(
                f"{path} has {name} of shape {list(values.shape)}, not {list(shape or 'N3')}; it is damaged"
            )
        return values

    means = read("POSITION")
    total = len(means)
    quats, scales = read(f"{EXTENSION}:ROTATION", total, 4), read(f"{EXTENSION}:SCALE", total, 3)
    opacities = read(f"{EXTENSION}:OPACITY", total)
    count = max(k for k in SH_COUNTS if k == 1 or f"{EXTENSION}:{_HARMONICS[k - 1]}" in attributes)
    sh = np.stack([read(f"{EXTENSION}:{name}", total, 3) for name in _HARMONICS[:count]], 1)
    _refuse(path, "SCALE", scales.min(1, initial=0) < 0, "at least 0")
    _refuse(path, "OPACITY", (opacities < 0) | (opacities > 1), "in [0, 1]")
    _refuse(path, "ROTATION", np.linalg.norm(quats.astype(float), axis=1) == 0, "longer than 0")
    return Gaussians(
        torch.from_numpy(means),
        torch.from_numpy(quats).roll(1, 1),
        torch.from_numpy(scales).clamp_min(LEAST_SCALE_M).log(),
        torch.from_numpy(opacities).clamp(_LEAST_OPACITY, 1 - _LEAST_OPACITY).logit(),
        torch.from_numpy(sh),
    )


def _find_primitive(path: Path, scene: dict) -> dict:
    """Attributes of the first primitive with the extension."""
    meshes = scene.get("meshes", [])
    for number in range(len(meshes) if isinstance(meshes, list) else 0):
        primitives = lookup(path, scene, "meshes", number).get("primitives")
        for primitive in primitives if isinstance(primitives, list) else []:
            extensions = primitive.get("extensions") if isinstance(primitive, dict) else None
            if isinstance(extensions, dict) and EXTENSION in extensions:
                if isinstance(primitive.get("attributes"), dict):
                    return primitive["attributes"]
    raise InputError(f"{path} has no primitive with {EXTENSION}; give a GLB of Gaussians")


def _refuse(path: Path, name: str, bad: np.ndarray, wanted: str) -> None:
    if bad.any():
        raise InputError(f"{path} has a {name} that is not {wanted} at point {bad.argmax()}; remove such points")
