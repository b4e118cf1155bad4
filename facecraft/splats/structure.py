"""A structural loss: whether a picture has the same edges, whatever its colours are exactly.

FaceCraft4D compares its consistent picture with the target by LPIPS, whose weights are not ours to ship. This is the
open stand-in: SSIM's contrast and structure (Wang et al. 2004, eq. 9 and 10, without the luminance) of the gradients of
the luma at three coarse scales, which forgives a shift of a pixel and any change of brightness.
"""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

NAME = "SSIM of luma gradients at 1/2, 1/4 and 1/8"
LUMA = (0.299, 0.587, 0.114)  # BT.601
_SCALES, _WINDOW, _FLOOR = 3, 7, 1e-3


def luma(rgb: Tensor) -> Tensor:
    """Luma [...] of colours [..., 3]."""
    return rgb @ rgb.new_tensor(LUMA)


def gradient_pyramid(picture: Tensor) -> list[Tensor]:
    """Horizontal and vertical differences [2, h, w] of a luma [H, W] at the three scales."""
    planes, levels = picture[None], []
    for _ in range(_SCALES):
        planes = avg_pool2d(planes, 2)
        across, down = planes[:, 1:-1, 2:] - planes[:, 1:-1, :-2], planes[:, 2:, 1:-1] - planes[:, :-2, 1:-1]
        levels.append(torch.cat([across, down]))
    return levels


def structural_loss(
    picture: Tensor,  # [H, W] luma, at least 80 px each way
    target: list[Tensor],  # gradient_pyramid of the target
) -> Tensor:
    """1 - structure, 0 for equal gradients, mean over pixels, directions and scales."""
    losses = []
    for own, wanted in zip(gradient_pyramid(picture), target, strict=True):
        products = torch.stack([own * wanted, own * own + wanted * wanted])
        mixed, squares = avg_pool2d(products, _WINDOW, 1)
        losses.append(1 - ((2 * mixed + _FLOOR) / (squares + _FLOOR)).mean())
    return torch.stack(losses).mean()
