"""Colours of Gaussians as one camera sees them.

Directions are those of the head's frame (rest pose, +Z out of the face), in which GaussianAvatars evaluates its harmonics too
and in which all exports carry them. Triangles that turn do not take their colours' directions along: a light that shines
on the head from somewhere goes on doing so.
"""

from dataclasses import replace

import torch
from torch import Tensor

from facecraft.splats.gaussians import Gaussians, dc_to_rgb, rgb_to_dc
from facecraft.splats.harmonics import HarmonicColors
from facecraft.splats.raster import load_gsplat


def seen_colors(
    gaussians: Gaussians,  # posed, in the frame of the camera's world
    viewmat: Tensor,  # [4, 4] T_camera_world
) -> Tensor:
    """Colours [N, 3], not negative above degree 0. Differentiable. DependencyError when CUDA has no gsplat."""
    if not gaussians.degree:
        return dc_to_rgb(gaussians.sh[:, 0])
    centre = -viewmat[:3, :3].mT @ viewmat[:3, 3]
    if gaussians.means.device.type == "cpu":
        all_seen = torch.ones(1, len(gaussians), 2, dtype=torch.int32)
        return HarmonicColors.apply(gaussians.degree, gaussians.means, gaussians.sh, centre[None], all_seen)[0]
    directions = gaussians.means - centre
    return (load_gsplat().spherical_harmonics(gaussians.degree, directions, gaussians.sh) + 0.5).clamp_min(0)


def bake_colors(
    gaussians: Gaussians,
    viewmat: Tensor,  # [4, 4] T_camera_world
) -> Gaussians:
    """The Gaussians in degree 0, with the colours that the camera sees."""
    return replace(gaussians, sh=rgb_to_dc(seen_colors(gaussians, viewmat))[:, None])
