"""LPIPS (Zhang et al. 2018), version 0.1: distance of two pictures in the features of AlexNet or VGG16.

The package lpips holds the learned weights of the features, and wants torchvision only for the two networks. They are
written out here, because a torchvision that fits a CPU build of torch is not on PyPI.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from facecraft.errors import DependencyError
from facecraft.metrics.networks import ALEXNET, VGG16

_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""What turns [-1, 1] into the statistics of ImageNet."""
_VGG_BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def alexnet_stages() -> nn.ModuleList:
    """The convolutions of AlexNet, cut after each activation; module names as in torchvision's state dict by order."""
    sizes = ((3, 64, 11, 4, 2), (64, 192, 5, 1, 2), (192, 384, 3, 1, 1), (384, 256, 3, 1, 1), (256, 256, 3, 1, 1))
    stages = nn.ModuleList()
    for i, (inputs, outputs, side, stride, padding) in enumerate(sizes):
        pool = [nn.MaxPool2d(3, 2)] if i in (1, 2) else []
        stages.append(nn.Sequential(*pool, nn.Conv2d(inputs, outputs, side, stride, padding), nn.ReLU()))
    return stages


def vgg_stages() -> nn.ModuleList:
    """The convolutions of VGG16, cut before each pooling."""
    stages, inputs = nn.ModuleList(), 3
    for i, block in enumerate(_VGG_BLOCKS):
        layers = [nn.MaxPool2d(2, 2)] if i else []
        for outputs in block:
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
            inputs = outputs
        stages.append(nn.Sequential(*layers))
    return stages


class Lpips(nn.Module):
    """The distance; `stages` are alexnet_stages or vgg_stages, `weights` one [C] for each."""

    def __init__(self, stages: nn.ModuleList, weights: list[Tensor]):
        super().__init__()
        self.stages, self.weights = stages.eval().requires_grad_(False), weights

    @torch.inference_mode()
    def forward(
        self,
        predicted: Tensor,  # [B, 3, H, W] in [0, 1]
        truth: Tensor,  # [B, 3, H, W]
    ) -> Tensor:
        """Distances [B]."""
        both = 2 * torch.cat([predicted, truth]) - 1
        x = (both - both.new_tensor(_SHIFT)[:, None, None]) / both.new_tensor(_SCALE)[:, None, None]
        total = 0
        for stage, weight in zip(self.stages, self.weights, strict=True):
            x = stage(x)
            unit = x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)
            ours, theirs = unit.chunk(2)
            total = total + ((ours - theirs).square() * weight[:, None, None]).sum(1).mean((1, 2))
        return total

    def distance(self, predicted: np.ndarray, truth: np.ndarray) -> float:
        """The distance of two pictures [H, W, 3] in [0, 1]."""
        planes = [
            torch.from_numpy(np.ascontiguousarray(p, np.float32)).permute(2, 0, 1)[None] for p in (predicted, truth)
        ]
        device = self.weights[0].device
        return float(self(*(p.to(device) for p in planes)))


def fill_stages(stages: nn.ModuleList, state: dict[str, Tensor]) -> None:
    """Copy torchvision's `features.N.weight` and `.bias` into the stages, in their order."""
    names = [name for name in state if name.startswith("features.")]
    for own, name in zip(stages.parameters(), names, strict=True):
        own.data.copy_(state[name])


def load_lpips(net: Literal["alex", "vgg"], device: torch.device) -> Lpips:
    """LPIPS with the published weights. DependencyError tells which command gets what is missing."""
    package = find_spec("lpips")
    if package is None:
        raise DependencyError("the package lpips is not installed; run `pip install --no-deps lpips`")
    heads = Path(package.submodule_search_locations[0]) / f"weights/v0.1/{net}.pth"
    backbone = (ALEXNET if net == "alex" else VGG16).require()
    stages = alexnet_stages() if net == "alex" else vgg_stages()
    fill_stages(stages, torch.load(backbone, "cpu", weights_only=True))
    return Lpips(stages.to(device), [weight.to(device) for weight in load_heads(heads)])


def load_heads(path: Path) -> list[Tensor]:
    """The learned weights [C] of the five stages from a file of the package lpips."""
    state = torch.load(path, "cpu", weights_only=True)
    return [state[f"lin{i}.model.1.weight"].flatten() for i in range(5)]
