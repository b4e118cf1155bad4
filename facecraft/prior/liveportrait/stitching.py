"""Stitching S and retargeting R: small networks that move keypoints (LivePortrait, section 3.3).

S keeps the shoulders where they are, so that the picture fits back into the photo. R_eyes and R_lip open eyes and lips as
far as wanted.
"""

import torch
from torch import Tensor, nn

from facecraft.prior.liveportrait.weights import State


class PointNetwork(nn.Module):
    """Linear layers of `sizes` with ReLU between them."""

    def __init__(self, sizes: list[int]):
        super().__init__()
        layers = []
        for pair in zip(sizes, sizes[1:], strict=False):
            layers += [nn.Linear(*pair), nn.ReLU()]
        self.mlp = nn.Sequential(*layers[:-1])
        self.inputs, self.outputs = sizes[0], sizes[-1]

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs] to [B, outputs]."""
        return self.mlp(x)


def stitch(
    network: PointNetwork,
    source: Tensor,  # [B, K, 3] keypoints of the photo
    driven: Tensor,  # [B, K, 3]
) -> Tensor:
    """The driven keypoints [B, K, 3], each moved by its own way and all together in the picture."""
    out = network(torch.cat([source.flatten(1), driven.flatten(1)], 1))
    moved = driven + out[:, :-2].unflatten(1, (-1, 3))
    return torch.cat([moved[..., :2] + out[:, None, -2:], moved[..., 2:]], 2)


def retarget(
    network: PointNetwork,
    source: Tensor,  # [B, K, 3] keypoints of the photo
    ratios: Tensor,  # [B, 3] how open its eyes are, and the driver's; or [B, 2] its lips and the driver's
) -> Tensor:
    """Ways [B, K, 3] of the keypoints that open eyes or lips."""
    return network(torch.cat([source.flatten(1), ratios], 1)).unflatten(1, (-1, 3))


def make_point_network(state: State) -> PointNetwork:
    """The network of the size of its weights."""
    layers = [f"mlp.{2 * i}.weight" for i in range(state.count("mlp.{}.weight", 16, step=2))]
    return PointNetwork([state.size(layers[0], 1), *(state.size(name) for name in layers)])
