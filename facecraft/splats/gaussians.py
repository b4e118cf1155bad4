"""3D Gaussians as tensors, stored before activation as in 3D Gaussian Splatting (Kerbl et al. 2023)."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

SH_DC = 0.28209479177387814
"""The constant spherical harmonic, 1 / (2 sqrt(pi)): rgb = 0.5 + SH_DC * sh[:, 0] at degree 0."""

SH_COUNTS = (1, 4, 9, 16)
"""Coefficients for each colour channel at degrees 0 to 3."""


@dataclass(frozen=True)
class Gaussians:
    """N Gaussians on one device. Quaternions need not have unit length."""

    means: Tensor  # [N, 3] m
    quats: Tensor  # [N, 4] wxyz
    log_scales: Tensor  # [N, 3] natural logarithm of the standard deviations in m
    logit_opacities: Tensor  # [N]
    sh: Tensor  # [N, K, 3], K in SH_COUNTS

    def __post_init__(self):
        count = len(self.means)
        assert self.means.shape == (count, 3), self.means.shape
        assert self.quats.shape == (count, 4), self.quats.shape
        assert self.log_scales.shape == (count, 3), self.log_scales.shape
        assert self.logit_opacities.shape == (count,), self.logit_opacities.shape
        assert self.sh.ndim == 3 and self.sh.shape[0] == count and self.sh.shape[2] == 3, self.sh.shape
        assert self.sh.shape[1] in SH_COUNTS, self.sh.shape

    def __len__(self) -> int:
        return len(self.means)

    @property
    def scales(self) -> Tensor:
        """Standard deviations along the axes of each Gaussian [N, 3], m."""
        return self.log_scales.exp()

    @property
    def opacities(self) -> Tensor:
        """Opacities [N] in (0, 1)."""
        return self.logit_opacities.sigmoid()

    @property
    def degree(self) -> int:
        """Degree of the spherical harmonics, 0 to 3."""
        return SH_COUNTS.index(self.sh.shape[1])

    def with_degree(self, degree: int) -> "Gaussians":
        """The same Gaussians with harmonics of another degree: higher ones begin at 0, lower ones are cut off."""
        count = SH_COUNTS[degree]
        more = self.sh.new_zeros(len(self), max(count - self.sh.shape[1], 0), 3)
        return replace(self, sh=torch.cat([self.sh[:, :count], more], 1))

    def select(
        self,
        index: Tensor,  # [M] long or [N] bool
    ) -> "Gaussians":
        """The Gaussians that `index` names."""
        return Gaussians(*(getattr(self, field.name)[index] for field in fields(self)))

    def to(self, device: torch.device | str) -> "Gaussians":
        """The same Gaussians on `device`."""
        return Gaussians(*(getattr(self, field.name).to(device) for field in fields(self)))

    def detach(self) -> "Gaussians":
        """The same Gaussians without the graph that made them."""
        return Gaussians(*(getattr(self, field.name).detach() for field in fields(self)))


def concatenate(parts: Iterable[Gaussians]) -> Gaussians:
    """All Gaussians of `parts`, in order; their spherical harmonics must have one degree."""
    parts = list(parts)
    return Gaussians(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Gaussians)))


def rgb_to_dc(
    rgb: Tensor,  # [..., 3] in [0, 1]
) -> Tensor:
    """Degree-0 coefficients [..., 3] that show `rgb` from every side."""
    return (rgb - 0.5) / SH_DC


def dc_to_rgb(
    dc: Tensor,  # [..., 3]
) -> Tensor:
    """Colour [..., 3] of degree-0 coefficients; outside [0, 1] where they are out of gamut."""
    return 0.5 + SH_DC * dc
