"""What views of one head show differently: the inconsistent component of COIN training.

FaceCraft4D (section 3.4, supplement 6.3): views that were generated one by one disagree, and a model that must explain
all of them blurs. In training the colour of a Gaussian is therefore c* = c + MLP(e_view, c, e_g), of two layers, with an
embedding of the view and one of the Gaussian's place; later the view is fixed to the reference, here the photo.
Ours as well: a smooth shift of the picture, a grid of SHIFT_GRID^2 vectors for each view, because pictures that are
generated disagree by a few pixels and colours alone explain that badly. The photo has none: it is where things are.

The paper states no sizes and no rates. These were measured on rendered heads with planted inconsistencies
(`make bench-coin`, benchmarks/RESULTS.md).
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, relu

VIEW_SIZE, PLACE_SIZE, WIDTH = 8, 8, 32
SHIFT_GRID = 6
PLACE_WAVE_M = 0.05  # embeddings of places begin as random waves about this long
PLACE = "coin.place"  # the one tensor with a row for each Gaussian
COIN_RATES = {"coin.place": 1e-2, "coin.view": 1e-2, "coin.shift": 7e-4}
COIN_RATES |= {"coin.from_color": 2e-3, "coin.from_view": 2e-3, "coin.from_place": 2e-3, "coin.out": 2e-3}


def start_inconsistency(
    places: Tensor,  # [N, 3] m, where the Gaussians are on the neutral head
    views: int,  # the first is the reference
    seed: int,
) -> dict[str, Tensor]:
    """Tensors by name, with all offsets and shifts 0."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator).to(places)

    waves, phases = normal(3, PLACE_SIZE) * 2 * math.pi / PLACE_WAVE_M, normal(PLACE_SIZE) * math.pi
    values = {
        PLACE: 0.1 * torch.sin(places @ waves + phases),
        "coin.from_color": normal(WIDTH, 3) / math.sqrt(3),
        "coin.from_view": normal(WIDTH, VIEW_SIZE) / math.sqrt(VIEW_SIZE),
        "coin.from_place": normal(WIDTH, PLACE_SIZE) / math.sqrt(PLACE_SIZE),
        "coin.out": places.new_zeros(3, WIDTH),
    }
    values |= {f"coin.view.{view}": 0.1 * normal(VIEW_SIZE) for view in range(views)}
    return values | {f"coin.shift.{view}": places.new_zeros(2, SHIFT_GRID, SHIFT_GRID) for view in range(1, views)}


def color_offsets(
    values: Mapping[str, Tensor],
    view: int,
    colors: Tensor,  # [N, 3] base colours
) -> Tensor:
    """What `view` adds to the colours [N, 3]."""
    hidden = colors @ values["coin.from_color"].mT + values[PLACE] @ values["coin.from_place"].mT
    hidden = hidden + values["coin.from_view"] @ values[f"coin.view.{view}"]
    return relu(hidden) @ values["coin.out"].mT


def shift_means(
    values: Mapping[str, Tensor],
    view: int,
    means: Tensor,  # [N, 3] world, m
    viewmat: Tensor,  # [1, 4, 4]
    K: Tensor,  # [1, 3, 3] px
    width: int,
    height: int,
) -> Tensor:
    """The means [N, 3] as far to the side as `view` shows them; unchanged for the reference.

    The grid spans the picture and holds shifts in picture widths; where a Gaussian is on it is not differentiated.
    """
    if not view:
        return means
    rotation, translation = viewmat[0, :3, :3], viewmat[0, :3, 3]
    seen = means.detach() @ rotation.mT + translation
    depth = seen[:, 2:].clamp_min(1e-6)
    pixels = (seen @ K[0].mT)[:, :2] / depth
    at = pixels * pixels.new_tensor([2 / width, 2 / height]) - 1
    shifts = grid_sample(values[f"coin.shift.{view}"][None], at[None, None], align_corners=False, padding_mode="border")
    metres = shifts[0, :, 0].mT * (width * depth / K[0, 0, 0])
    return means + metres @ rotation[:2]


def shift_size(values: Mapping[str, Tensor], view: int) -> Tensor | float:
    """Mean absolute shift of `view`, in picture widths; without a price all views may drift together."""
    return values[f"coin.shift.{view}"].abs().mean() if view else 0.0
