"""How far Gaussians may be from their triangle, by the region of the head that the triangle belongs to.

GaussianAvatars lets every Gaussian stray one triangle size. Hair stands off the scalp, so it may go further; eyeballs,
teeth, tongue and the inside of the mouth lie close behind lids and lips and would shine through them, so they may not.
"""

import torch
from torch import Tensor

from facecraft.head.model import HeadModel

FREE = {"scalp_neck": 4.0}
"""Distance from the triangle's centre that costs nothing, in triangle sizes, where it is not FREE_ELSEWHERE."""
FREE_ELSEWHERE = 1.0
INNER_REGIONS = ("mouth_socket", "eye_socket_L", "eye_socket_R", "eyeball_L", "eyeball_R", "gums", "tongue")
INNER_REGIONS += ("teeth_upper", "teeth_lower")
INNER_REACH, INNER_HEIGHT = 1.0, 0.2
"""Inner Gaussians stay this near to the centre of their triangle and this low over it, in triangle sizes."""


class RegionLimits:
    """The limits of each face of a head. Lengths are local: in triangle sizes; the second axis points outwards."""

    def __init__(
        self,
        head: HeadModel,
        frozen: Tensor | None = None,  # [F] bool: Gaussians of these faces stay as many as they are
    ):
        regions = head.face_regions
        per_region = [FREE.get(name, FREE_ELSEWHERE) for name in head.region_names]
        self._free = torch.tensor(per_region, device=regions.device)[regions]
        inner = torch.tensor([name in INNER_REGIONS for name in head.region_names], device=regions.device)
        self._inner = inner[regions]
        self._frozen = torch.zeros_like(self._inner) if frozen is None else frozen.to(regions.device)
        assert self._frozen.shape == regions.shape and self._frozen.dtype == torch.bool, self._frozen.shape

    def free(self, binding: Tensor) -> Tensor:
        """Distances [N] that cost nothing."""
        return self._free[binding]

    def fixed(self, binding: Tensor) -> Tensor:
        """Which Gaussians [N] bool are neither doubled, split nor removed."""
        return self._frozen[binding]

    def strayed(
        self,
        means: Tensor,  # [N, 3] local
        binding: Tensor,  # [N] long
    ) -> Tensor:
        """Which Gaussians [N] bool are on the wrong part: inner ones at twice their reach from their triangle."""
        return self._inner[binding] & (means.detach().norm(dim=1) > 2 * INNER_REACH)

    def pull_back(
        self,
        means: Tensor,  # [N, 3] local
        binding: Tensor,  # [N] long
    ) -> Tensor:
        """Means [N, 3] with the inner ones moved to where they may be, along the shortest way."""
        inside = means * (INNER_REACH / means.norm(dim=1, keepdim=True).clamp_min(INNER_REACH))
        low = torch.cat([inside[:, :1], inside[:, 1:2].clamp_max(INNER_HEIGHT), inside[:, 2:]], 1)
        return torch.where(self._inner[binding][:, None], low, means)
