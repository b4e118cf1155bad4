"""LivePortrait's networks, very small and with random weights, in the files and folders of its publishers.

Two more halvings than the published ones have make features of 16 px and pictures of 128 px: a sixteenth of the work.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from facecraft.prior.liveportrait.appearance import AppearanceExtractor
from facecraft.prior.liveportrait.generator import SpadeGenerator
from facecraft.prior.liveportrait.motion import MotionExtractor
from facecraft.prior.liveportrait.networks import POINTS
from facecraft.prior.liveportrait.stitching import PointNetwork
from facecraft.prior.liveportrait.warping import DenseMotion, WarpingModule

CHANNELS, DEPTH = 2, 3


def states(seed: int = 0) -> dict[str, dict[str, Tensor]]:
    """Tensors by name, of the networks by the names of their files or of their dictionaries."""
    flat = 3 * POINTS
    dense = DenseMotion(POINTS, CHANNELS, DEPTH, 1, [3, 4, 5])
    networks = {
        "appearance_feature_extractor": AppearanceExtractor([4, 5, 6, 6, 6], CHANNELS, DEPTH, 2),
        "motion_extractor": MotionExtractor([4, 6, 8, 8], [1, 1, 2, 1], POINTS),
        "warping_module": WarpingModule(dense, CHANNELS * DEPTH, 6),
        "spade_generator": SpadeGenerator(6, (8, 6, 4), 2),
        "retarget_shoulder": PointNetwork([2 * flat, 16, flat + 2]),
        "retarget_eye": PointNetwork([flat + 3, 16, 8, flat]),
        "retarget_mouth": PointNetwork([flat + 2, 16, flat]),
    }
    torch.manual_seed(seed)
    return {name: _draw(network) for name, network in networks.items()}


def _draw(network: nn.Module) -> dict[str, Tensor]:
    out = {}
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            fan = max(tensor[0].numel(), 1) if tensor.ndim > 1 else 1
            tensor = torch.randn(tensor.shape) / fan**0.5 * (1 if tensor.ndim > 1 else 0.1)
        if name.endswith("running_var"):
            tensor = tensor.abs() + 1
        out[name] = tensor
    for name in [name for name in out if name.endswith("weight_orig")]:
        u, _, v = torch.linalg.svd(out[name].flatten(1), full_matrices=False)
        stem = name.removesuffix("orig")
        out |= {f"{stem}u": u[:, 0].clone(), f"{stem}v": v[0].clone()}
    return out


def write_official(folder: Path, seed: int = 0) -> Path:
    """Write .pth files as on KwaiVGI/LivePortrait; the folder."""
    found = states(seed)
    parts = {name: found.pop(name) for name in list(found) if name.startswith("retarget")}
    for place in ("base_models", "retargeting_models"):
        (folder / "liveportrait" / place).mkdir(parents=True)
    for name, state in found.items():
        torch.save(state, folder / f"liveportrait/base_models/{name}.pth")
    nested = {part: {f"module.{name}": tensor for name, tensor in state.items()} for part, state in parts.items()}
    torch.save(nested, folder / "liveportrait/retargeting_models/stitching_retargeting_module.pth")
    return folder
