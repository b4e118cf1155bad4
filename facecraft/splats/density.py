"""Where Gaussians are added and removed: the default strategy of gsplat, on Gaussians bound to triangles.

A Gaussian whose position pulls hard in the picture is doubled when it is small and split in two when it is large; faint
and strayed ones go. Children keep their parent's triangle, and every triangle keeps at least one (GaussianAvatars,
section 3.2).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from facecraft.splats.rig import matrices_from_quaternions


@dataclass(frozen=True)
class DensityPlan:
    """How to change the number of Gaussians."""

    limit: int  # never more Gaussians than this
    grow_grad2d: float = 2e-4  # of the mean loss by the position in the picture (-1..1), as in gsplat
    grow_scale_m: float = 1.5e-3  # larger ones are split, smaller ones doubled
    prune_opacity: float = 0.02


class DensityStatistics:
    """Running mean of the gradient of each Gaussian's position in the picture."""

    def __init__(self, count: int):
        self.total = torch.zeros(count)
        self.seen = torch.zeros(count)

    def add(self, meta: dict) -> None:
        """Count one rendering; `meta` as `rasterize` gives it, after backward."""
        half = torch.tensor([meta["width"] / 2, meta["height"] / 2])
        grads = meta["means2d"].grad * half.to(meta["means2d"].device) * meta["n_cameras"]
        visible = (meta["radii"] > 0).all(-1)
        self.total += (grads.norm(dim=-1) * visible).sum(0).cpu()
        self.seen += visible.sum(0).cpu()

    def mean(self) -> Tensor:
        """[N]"""
        return self.total / self.seen.clamp_min(1)


def plan_change(
    plan: DensityPlan,
    statistics: DensityStatistics,
    largest_m: Tensor,  # [N] largest standard deviation
    opacities: Tensor,  # [N]
    binding: Tensor,  # [N]
    strayed: Tensor,  # [N] bool: on the wrong part of the head
    fixed: Tensor,  # [N] bool: not to be touched
) -> tuple[Tensor, Tensor, Tensor]:
    """Indices to keep, of those to double, and of those to split in two (which are not kept)."""
    pull = statistics.mean()
    grow = (pull > plan.grow_grad2d) & ~strayed & ~fixed
    room = max(plan.limit - len(binding), 0)
    if grow.sum() > room:
        threshold = torch.topk(pull.where(grow, pull.new_zeros(())), room).values.min() if room else torch.inf
        grow &= pull >= threshold
    split = grow & (largest_m > plan.grow_scale_m)
    useless = ((opacities < plan.prune_opacity) | strayed) & ~grow & ~fixed & ~_last_of_its_face(opacities, binding)
    keep = ~useless & ~split
    return keep.nonzero()[:, 0], (grow & ~split).nonzero()[:, 0], split.nonzero()[:, 0]


def _last_of_its_face(opacities: Tensor, binding: Tensor) -> Tensor:
    """The most opaque Gaussian of each triangle [N] bool."""
    strongest = torch.zeros(int(binding.max()) + 1).scatter_reduce(0, binding, opacities, "amax")
    return opacities >= strongest[binding]


def split_in_two(parameters: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Two children for each of the local Gaussians [M], drawn from it, 1.6 times smaller: [2 M]."""
    children = {name: value.repeat(2, *[1] * (value.ndim - 1)) for name, value in parameters.items()}
    scales = children["log_scales"].exp()
    draws = torch.randn(scales.shape, generator=generator) * scales
    turned = matrices_from_quaternions(children["quats"]) @ draws[..., None]
    children["means"] = children["means"] + turned[..., 0]
    children["log_scales"] = (scales / 1.6).log()
    return children
