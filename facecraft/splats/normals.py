"""Normals of Gaussians, and pictures of them: a Gaussian is taken for a disc across its shortest axis."""

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from facecraft.splats.raster import rasterize
from facecraft.splats.rig import matrices_from_quaternions


def gaussian_normals(
    means: Tensor,  # [N, 3] world, m
    quats: Tensor,  # [N, 4] wxyz, any length > 0
    scales: Tensor,  # [N, 3] m
    viewmats: Tensor,  # [C, 4, 4] T_camera_world
) -> Tensor:
    """Unit normals [C, N, 3] in camera axes (OpenCV), turned to the camera. Differentiable but for the choice of the axis."""
    shortest = one_hot(scales.detach().argmin(-1), 3).to(means.dtype)
    axes = (matrices_from_quaternions(quats) @ shortest[..., None])[..., 0]
    R, t = viewmats[:, :3, :3], viewmats[:, :3, 3]
    normals, points = axes @ R.mT, means @ R.mT + t[:, None]
    away = (normals * points).sum(-1, keepdim=True) > 0
    return torch.where(away, -normals, normals)


def rasterize_normals(
    means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, viewmats: Tensor, *args, **kwargs
) -> tuple[Tensor, Tensor, dict]:
    """Blended normals [C, H, W, 3] in camera axes, of length 1 (0 where nothing is seen), alphas [C, H, W, 1], and what lies between.

    Arguments as for `rasterize`, without colors. On the CPU and on CUDA.
    """
    normals = gaussian_normals(means, quats, scales, viewmats)
    blended, alphas, meta = rasterize(means, quats, scales, opacities, normals, viewmats, *args, **kwargs)
    return normalize(blended, dim=-1), alphas, meta
