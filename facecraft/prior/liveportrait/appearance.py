"""The appearance extractor F: a picture as a volume of features (face-vid2vid, Wang et al. 2021)."""

from torch import Tensor, nn

from facecraft.prior.liveportrait.blocks import ConvBlock, ResBlock3d
from facecraft.prior.liveportrait.weights import State


class AppearanceExtractor(nn.Module):
    """Convolutions in the plane, channels cut into `depth` layers, residual blocks in the volume."""

    def __init__(self, widths: list[int], channels: int, depth: int, blocks: int):
        super().__init__()
        self.channels, self.depth = channels, depth
        self.first = ConvBlock(2, 3, widths[0])
        pairs = zip(widths, widths[1:], strict=False)
        self.down_blocks = nn.ModuleList([ConvBlock(2, *pair, shrink=True) for pair in pairs])
        self.second = nn.Conv2d(widths[-1], channels * depth, 1)
        self.resblocks_3d = nn.Sequential()
        for i in range(blocks):
            self.resblocks_3d.add_module(f"3dr{i}", ResBlock3d(channels))

    def forward(
        self,
        rgb: Tensor,  # [B, 3, 256, 256] in [0, 1]
    ) -> Tensor:
        """Features [B, C, D, 64, 64]; published are C 32, D 16."""
        x = self.first(rgb)
        for block in self.down_blocks:
            x = block(x)
        x = self.second(x)
        return self.resblocks_3d(x.unflatten(1, (self.channels, self.depth)))


def make_appearance(state: State) -> AppearanceExtractor:
    """The extractor of the size of its weights."""
    downs = state.count("down_blocks.{}.conv.weight", 6)
    widths = [state.size("first.conv.weight")] + [state.size(f"down_blocks.{i}.conv.weight") for i in range(downs)]
    channels = state.size("resblocks_3d.3dr0.conv1.weight")
    depth = state.divide("second.weight", 0, channels)
    return AppearanceExtractor(widths, channels, depth, state.count("resblocks_3d.3dr{}.conv1.weight", 64))
