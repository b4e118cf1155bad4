"""The generator G: a picture of warped features by spatially adaptive normalisation (SPADE, Park et al. 2019)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facecraft.prior.liveportrait.weights import State

SLOPE = 0.2
MIDDLE = 6
HIDDEN = 128
"""Channels between features and the normalisation's scale and shift."""


class SpadeGenerator(nn.Module):
    """`widths` after the middle and after each doubling, `factor` of the last enlargement, by pixels shuffled."""

    def __init__(self, inputs: int, widths: tuple[int, int, int], factor: int):
        super().__init__()
        middle, upper, last = widths
        self.fc = nn.Conv2d(inputs, middle, 3, padding=1)
        for i in range(MIDDLE):
            setattr(self, f"G_middle_{i}", _SpadeBlock(middle, middle, inputs))
        self.up_0, self.up_1 = _SpadeBlock(middle, upper, inputs), _SpadeBlock(upper, last, inputs)
        self.conv_img = nn.Sequential(nn.Conv2d(last, 3 * factor**2, 3, padding=1), nn.PixelShuffle(factor))

    def forward(
        self,
        features: Tensor,  # [B, C, H, W]
    ) -> Tensor:
        """Pictures [B, 3, 8 H, 8 W] in [0, 1], when `factor` is 2."""
        x = self.fc(features)
        for i in range(MIDDLE):
            x = getattr(self, f"G_middle_{i}")(x, features)
        for block in (self.up_0, self.up_1):
            x = block(F.interpolate(x, scale_factor=2.0), features)
        return self.conv_img(F.leaky_relu(x, SLOPE)).sigmoid()


class _SpadeBlock(nn.Module):
    """Two normalised convolutions and a way past them, which is one too where the width changes."""

    def __init__(self, inputs: int, outputs: int, guides: int):
        super().__init__()
        inner = min(inputs, outputs)
        self.norm_0, self.norm_1 = _Spade(inputs, guides), _Spade(inner, guides)
        self.conv_0, self.conv_1 = _SpectralConv(inputs, inner, 3), _SpectralConv(inner, outputs, 3)
        self.widens = inputs != outputs
        if self.widens:
            self.norm_s, self.conv_s = _Spade(inputs, guides), _SpectralConv(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        past = self.conv_s(self.norm_s(x, features)) if self.widens else x
        x = self.conv_0(F.leaky_relu(self.norm_0(x, features), SLOPE))
        return past + self.conv_1(F.leaky_relu(self.norm_1(x, features), SLOPE))


class _Spade(nn.Module):
    """Instance norm whose scale and shift are read from features at each place."""

    def __init__(self, channels: int, guides: int):
        super().__init__()
        self.mlp_shared = nn.Sequential(nn.Conv2d(guides, HIDDEN, 3, padding=1), nn.ReLU())
        self.mlp_gamma, self.mlp_beta = (nn.Conv2d(HIDDEN, channels, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        shared = self.mlp_shared(F.interpolate(features, size=x.shape[2:]))
        return F.instance_norm(x) * (1 + self.mlp_gamma(shared)) + self.mlp_beta(shared)


class _SpectralConv(nn.Module):
    """A convolution whose weight is divided by its largest singular value, for which vectors u and v are kept
    (Miyato et al. 2018)."""

    def __init__(self, inputs: int, outputs: int, side: int, bias: bool = True):
        super().__init__()
        self.weight_orig = nn.Parameter(torch.zeros(outputs, inputs, side, side))
        self.register_parameter("bias", nn.Parameter(torch.zeros(outputs)) if bias else None)
        self.register_buffer("weight_u", torch.zeros(outputs))
        self.register_buffer("weight_v", torch.zeros(inputs * side * side))

    def forward(self, x: Tensor) -> Tensor:
        norm = self.weight_u @ (self.weight_orig.flatten(1) @ self.weight_v)
        return F.conv2d(x, self.weight_orig / norm, self.bias, padding=self.weight_orig.shape[2] // 2)


def make_generator(state: State) -> SpadeGenerator:
    """The generator of the size of its weights."""
    inputs = state.size("fc.weight", 1)
    widths = tuple(state.size(name) for name in ("fc.weight", "up_0.conv_1.weight_orig", "up_1.conv_1.weight_orig"))
    factor = max(1, round(state.divide("conv_img.0.weight", 0, 3) ** 0.5))
    return SpadeGenerator(inputs, widths, factor)
