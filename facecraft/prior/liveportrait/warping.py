"""The warping module W: the volume of features moved from one set of keypoints to another (face-vid2vid, Wang et al. 2021).

Each keypoint offers to move the volume by its own way; a network mixes the offers, and that of not moving, at every
place, and tells what the picture does not show.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facecraft.prior.liveportrait.blocks import ConvBlock
from facecraft.prior.liveportrait.weights import State

VARIANCE = 0.01
"""Of the Gaussians that mark keypoints, in half widths of the picture, squared."""
SLOPE = 0.01


class WarpingModule(nn.Module):
    """`hidden` channels before the generator."""

    def __init__(self, dense_motion: nn.Module, inputs: int, hidden: int):
        super().__init__()
        self.dense_motion_network = dense_motion
        self.third = ConvBlock(2, inputs, hidden, slope=SLOPE)
        self.fourth = nn.Conv2d(hidden, hidden, 1)

    def forward(
        self,
        features: Tensor,  # [B, C, D, H, W]
        source: Tensor,  # [B, K, 3] keypoints where the features are
        driven: Tensor,  # [B, K, 3] and where they shall be
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Warped features [B, 4 C', H, W], occlusion [B, 1, H, W] in [0, 1], deformation [B, D, H, W, 3] in [-1, 1]."""
        deformation, occlusion = self.dense_motion_network(features, source, driven)
        moved = F.grid_sample(features, deformation, align_corners=False).flatten(1, 2)
        return self.fourth(self.third(moved)) * occlusion, occlusion, deformation


class DenseMotion(nn.Module):
    """The field of motion, and what is occluded."""

    def __init__(self, points: int, channels: int, depth: int, compressed: int, widths: list[int]):
        super().__init__()
        self.compress, self.norm = nn.Conv3d(channels, compressed, 1), nn.BatchNorm3d(compressed)
        inputs = (points + 1) * (compressed + 1)
        self.hourglass = _Hourglass(inputs, widths)
        outputs = inputs + widths[0]
        self.mask = nn.Conv3d(outputs, points + 1, 7, padding=3)
        self.occlusion = nn.Conv2d(outputs * depth, 1, 7, padding=3)

    def forward(self, features: Tensor, source: Tensor, driven: Tensor) -> tuple[Tensor, Tensor]:
        """Deformation [B, D, H, W, 3] and occlusion [B, 1, H, W]."""
        compressed = F.relu(self.norm(self.compress(features)))
        size = compressed.shape[2:]
        grid = unit_grid(size, source)
        offers = grid + (source - driven)[:, :, None, None, None]
        still = grid.expand(len(source), 1, *size, 3)
        offers = torch.cat([still, offers], 1)  # [B, K + 1, D, H, W, 3]
        count = offers.shape[1]
        moved = F.grid_sample(
            compressed[:, None].expand(-1, count, *(-1,) * 4).flatten(0, 1), offers.flatten(0, 1), align_corners=False
        ).unflatten(0, (-1, count))
        marks = F.pad(_marks(grid, driven) - _marks(grid, source), (0,) * 6 + (1, 0))
        seen = self.hourglass(torch.cat([marks[:, :, None], moved], 2).flatten(1, 2))
        shares = self.mask(seen).softmax(1)
        deformation = (offers * shares[..., None]).sum(1)
        return deformation, self.occlusion(seen.flatten(1, 2)).sigmoid()


def unit_grid(size: tuple[int, int, int], like: Tensor) -> Tensor:
    """Places x, y, z [D, H, W, 3] of a volume of `size` (D, H, W), from -1 to 1 at the outermost centres."""
    axes = [torch.linspace(-1, 1, n, device=like.device, dtype=like.dtype) for n in size]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], -1)


def _marks(grid: Tensor, points: Tensor) -> Tensor:
    """Gaussians [B, K, D, H, W] about keypoints [B, K, 3]."""
    return torch.exp(-0.5 / VARIANCE * (grid - points[:, :, None, None, None]).square().sum(-1))


class _Hourglass(nn.Module):
    """A U-net in the volume; `widths` of its levels from the largest plane to the smallest."""

    def __init__(self, inputs: int, widths: list[int]):
        super().__init__()
        self.encoder, self.decoder = nn.Module(), nn.Module()
        sizes = [inputs, *widths[1:]]
        downs = [ConvBlock(3, *pair, shrink=True) for pair in zip(sizes, sizes[1:], strict=False)]
        ups = [
            ConvBlock(3, below if below_is_last else 2 * below, above, grow=True)
            for above, below, below_is_last in _steps_up(widths)
        ]
        self.encoder.down_blocks, self.decoder.up_blocks = nn.ModuleList(downs), nn.ModuleList(ups)
        outputs = inputs + widths[0]
        self.decoder.conv, self.decoder.norm = nn.Conv3d(outputs, outputs, 3, padding=1), nn.BatchNorm3d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, D, H, W] to [B, inputs + widths[0], D, H, W]."""
        levels = [x]
        for block in self.encoder.down_blocks:
            levels.append(block(levels[-1]))
        x = levels.pop()
        for block in self.decoder.up_blocks:
            x = torch.cat([block(x), levels.pop()], 1)
        return F.relu(self.decoder.norm(self.decoder.conv(x)))


def _steps_up(widths: list[int]) -> list[tuple[int, int, bool]]:
    """Width above, width below, and whether nothing is joined to it, from the smallest plane up."""
    last = len(widths) - 1
    return [(widths[i], widths[i + 1], i + 1 == last) for i in reversed(range(last))]


def make_warping(state: State) -> WarpingModule:
    """The module of the size of its weights."""
    motion = "dense_motion_network"
    compressed, channels = (state.size(f"{motion}.compress.weight", axis) for axis in (0, 1))
    levels = state.count(f"{motion}.hourglass.encoder.down_blocks.{{}}.conv.weight", 6)
    widths = [state.size(f"{motion}.hourglass.encoder.down_blocks.{i}.conv.weight") for i in range(levels)]
    widths.insert(0, state.size(f"{motion}.hourglass.decoder.up_blocks.{levels - 1}.conv.weight"))
    points = state.size(f"{motion}.mask.weight") - 1
    depth = state.divide(f"{motion}.occlusion.weight", 1, state.size(f"{motion}.mask.weight", 1))
    dense = DenseMotion(points, channels, depth, compressed, widths)
    return WarpingModule(dense, channels * depth, state.size("third.conv.weight"))
