"""Blocks that the networks share, named as their published weights are."""

import torch.nn.functional as F
from torch import Tensor, nn


class ConvBlock(nn.Module):
    """Convolution of side 3, batch norm, activation; in a plane (`axes` 2) or a volume (3).

    `grow` doubles height and width before, `shrink` halves them after; the depth of a volume stays.
    """

    def __init__(
        self, axes: int, inputs: int, outputs: int, *, grow: bool = False, shrink: bool = False, slope: float = 0.0
    ):
        super().__init__()
        convolution, norm = ((nn.Conv2d, nn.BatchNorm2d), (nn.Conv3d, nn.BatchNorm3d))[axes - 2]
        self.conv, self.norm = convolution(inputs, outputs, 3, padding=1), norm(outputs)
        self.factors = (1,) * (axes - 2) + (2, 2)
        self.grow, self.shrink, self.slope = grow, shrink, slope

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, (D,) H, W] to [B, outputs, (D,) H, W], 2 H or H / 2."""
        if self.grow:
            x = F.interpolate(x, scale_factor=tuple(map(float, self.factors)))
        x = F.leaky_relu(self.norm(self.conv(x)), self.slope)
        if self.shrink:
            pool = F.avg_pool2d if len(self.factors) == 2 else F.avg_pool3d
            x = pool(x, self.factors)
        return x


class ResBlock3d(nn.Module):
    """Two convolutions of a volume [B, C, D, H, W], each after norm and ReLU, added to it."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv3d(channels, channels, 3, padding=1) for _ in range(2))
        self.norm1, self.norm2 = (nn.BatchNorm3d(channels) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """The volume, of the same size."""
        return x + self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))
