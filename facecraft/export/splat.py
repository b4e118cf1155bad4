"""Gaussians as .splat files, which many web viewers load: 32 bytes a point, no header, degree 0.

Position and scale (standard deviations, not logarithms) as 3 + 3 float32, red green blue opacity as 4 bytes, quaternion wxyz
as 4 bytes (128 + 128 q). Layout of antimatter15/splat; large and opaque points come first, so that a viewer can begin to
draw before it has everything. There is no place for a note that the file is synthetic.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facecraft.errors import InputError
from facecraft.splats.gaussians import Gaussians, dc_to_rgb, rgb_to_dc

_RECORD = np.dtype([("position", "<f4", 3), ("scale", "<f4", 3), ("rgba", "u1", 4), ("quat", "u1", 4)])
_LEAST_OPACITY = 0.25 / 255
"""What bytes 0 and 255 of opacity stand for, from 0 and from 1: their logits must be finite."""
LEAST_SCALE_M = 1e-12
"""What a scale of 0 is read as: its logarithm must be finite."""


def write_splat(path: Path, gaussians: Gaussians) -> None:
    """Write Gaussians; degrees above 0 are left out, colours outside [0, 1] cut off."""
    weight = gaussians.log_scales.sum(1).exp() * gaussians.opacities
    chosen = gaussians.detach().select(weight.detach().argsort(descending=True)).to("cpu")
    records = np.zeros(len(chosen), _RECORD)
    records["position"] = chosen.means.numpy()
    records["scale"] = chosen.scales.numpy()
    rgba = torch.cat([dc_to_rgb(chosen.sh[:, 0]), chosen.opacities[:, None]], 1)
    records["rgba"] = _to_bytes(255 * rgba)
    records["quat"] = _to_bytes(128 + 128 * torch.nn.functional.normalize(chosen.quats, dim=1))
    Path(path).write_bytes(records.tobytes())


def read_splat(path: Path) -> Gaussians:
    """Gaussians of a .splat, degree 0. InputError names the size, or the field and point that cannot be."""
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path") from error
    if len(data) % _RECORD.itemsize:
        raise InputError(f"{path} has {len(data)} bytes, which 32 does not divide; it is cut off or no .splat")
    records = np.frombuffer(data, _RECORD)
    for name in ("position", "scale"):
        _refuse(path, name, ~np.isfinite(records[name]).all(1), "finite")
    _refuse(path, "scale", (records["scale"] < 0).any(1), "at least 0")
    _refuse(path, "quaternion", (records["quat"] == 128).all(1), "longer than 0")
    colour = torch.from_numpy(records["rgba"] / np.float32(255))
    return Gaussians(
        torch.from_numpy(records["position"].copy()),
        torch.from_numpy((records["quat"].astype(np.float32) - 128) / 128),
        torch.from_numpy(records["scale"].copy()).clamp_min(LEAST_SCALE_M).log(),
        bytes_to_logits(records["rgba"][:, 3]),
        rgb_to_dc(colour[:, None, :3]),
    )


def bytes_to_logits(opacities: np.ndarray) -> Tensor:
    """Logits [N] of opacities [N] in 255ths; finite ones also for 0 and 255."""
    return torch.from_numpy(opacities / np.float32(255)).clamp(_LEAST_OPACITY, 1 - _LEAST_OPACITY).logit()


def _to_bytes(values: Tensor) -> np.ndarray:
    return values.round().clamp(0, 255).to(torch.uint8).numpy()


def _refuse(path: Path, name: str, bad: np.ndarray, wanted: str) -> None:
    if bad.any():
        raise InputError(f"{path} has a {name} that is not {wanted} at point {bad.argmax()}; remove such points")
