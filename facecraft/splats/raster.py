"""Rendering 3D Gaussians: the call shape of gsplat 1.5.3 on the CPU, and gsplat itself on CUDA."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from facecraft.errors import DependencyError
from facecraft.splats.blend import Blend
from facecraft.splats.harmonics import MAX_DEGREE, HarmonicColors
from facecraft.splats.project import Projection
from facecraft.splats.tiles import TILE_HEIGHTS

RENDER_MODES = ("RGB", "D", "ED", "RGB+D", "RGB+ED")
RASTERIZE_MODES = ("classic", "antialiased")


def rasterize(means: Tensor, *args, **kwargs) -> tuple[Tensor, Tensor, dict]:
    """`rasterization` on the device of `means`: numba on the CPU, gsplat's kernels on CUDA. Same arguments and results.

    DependencyError when gsplat is needed and not installed.
    """
    if means.device.type == "cpu":
        return rasterization(means, *args, **kwargs)
    return load_gsplat().rasterization(means, *args, packed=False, **kwargs)


def load_gsplat():
    """The module gsplat, which CUDA needs; DependencyError when it is not installed."""
    try:
        import gsplat
    except ImportError as error:
        raise DependencyError("gsplat is not installed, CUDA needs it; run `pip install 'facecraft[cuda]'`") from error
    return gsplat


def rasterization(
    means: Tensor,  # [N, 3] world, m
    quats: Tensor,  # [N, 4] wxyz, any length > 0
    scales: Tensor,  # [N, 3] m, standard deviations
    opacities: Tensor,  # [N] in [0, 1]
    colors: Tensor,  # [N, D] or [C, N, D], or [N, K, 3] spherical harmonics when sh_degree is given
    viewmats: Tensor,  # [C, 4, 4] T_camera_world, OpenCV axes
    Ks: Tensor,  # [C, 3, 3] px
    width: int,
    height: int,
    *,
    near_plane: float = 0.01,
    far_plane: float = 1e10,
    radius_clip: float = 0.0,
    eps2d: float = 0.3,
    sh_degree: int | None = None,
    tile_size: int = 16,
    backgrounds: Tensor | None = None,  # [C, D]
    render_mode: str = "RGB",
    absgrad: bool = False,
    rasterize_mode: str = "classic",
) -> tuple[Tensor, Tensor, dict]:
    """Render C cameras: colors [C, H, W, X], alphas [C, H, W, 1], and a dict of what lies between.

    3D Gaussian Splatting (Kerbl et al. 2023) with the semantics of gsplat 1.5.3: alpha is at most 0.999, alphas under 1/255
    are left out, a pixel stops before its transmittance falls to 1e-4. `eps2d` px^2 is added to the variances in the picture;
    rasterize_mode "antialiased" lowers the opacity by what that adds in area (Mip-Splatting, Yu et al. 2024). Gaussians with
    both radii at most `radius_clip` px are left out. render_mode: "RGB" colours, "D" accumulated depth (z, m), "ED" expected
    depth (divided by alpha), or colours + depth as last channel. `tile_size` (4, 8 or 16 rows of 8 pixels) changes the speed
    only. Differentiable in all floats but Ks.

    The dict has means2d [C, N, 2] px (`retain_grad()` works; with `absgrad` backward sets `means2d.absgrad`), radii
    [C, N, 2] px int32 (0: culled), depths [C, N], conics [C, N, 3], opacities [C, N], width, height, n_cameras.
    A camera that sees nothing gives the background with alpha 0.
    """
    _check(means, quats, scales, opacities, colors, viewmats, Ks, sh_degree, backgrounds)
    assert render_mode in RENDER_MODES and rasterize_mode in RASTERIZE_MODES, (render_mode, rasterize_mode)
    assert tile_size in TILE_HEIGHTS, tile_size
    limits = (near_plane, far_plane, radius_clip, eps2d)
    means2d, conics, depths, radii = Projection.apply(
        means, quats, scales, opacities, viewmats, Ks, (width, height), limits
    )
    C, N = depths.shape
    if sh_degree is not None:
        R, t = viewmats[:, :3, :3], viewmats[:, :3, 3:]
        colors = HarmonicColors.apply(sh_degree, means, colors, (-R.mT @ t)[..., 0], radii)
    elif colors.ndim == 2:
        colors = colors[None].expand(C, N, -1)
    opacities = opacities[None].expand(C, N)
    if rasterize_mode == "antialiased":
        opacities = opacities * _area_kept(conics, eps2d)
    colors, backgrounds = _with_depth(colors, depths, backgrounds, render_mode)
    footprints = (means2d, conics, depths, radii)
    image, alphas = _blend(*footprints, colors, opacities, backgrounds, (width, height), tile_size, absgrad)
    if render_mode.endswith("ED"):
        image = torch.cat([image[..., :-1], image[..., -1:] / alphas.clamp(min=1e-10)], -1)
    between = dict(means2d=means2d, radii=radii, depths=depths, conics=conics, opacities=opacities)
    return image, alphas, dict(**between, width=width, height=height, n_cameras=C)


def _check(means, quats, scales, opacities, colors, viewmats, Ks, sh_degree, backgrounds):
    N, C = len(means), len(viewmats)
    assert means.shape == (N, 3), means.shape
    assert quats.shape == (N, 4), quats.shape
    assert scales.shape == (N, 3), scales.shape
    assert opacities.shape == (N,), opacities.shape
    assert viewmats.shape == (C, 4, 4) and C > 0, viewmats.shape
    assert Ks.shape == (C, 3, 3) and not Ks.requires_grad, Ks
    if sh_degree is None:
        assert colors.shape[:-1] in ((N,), (C, N)), colors.shape
    else:
        assert 0 <= sh_degree <= MAX_DEGREE, sh_degree
        assert colors.shape[::2] == (N, 3) and colors.shape[1] >= (sh_degree + 1) ** 2, colors.shape
    if backgrounds is not None:
        assert backgrounds.shape == (C, 3 if sh_degree is not None else colors.shape[-1]), backgrounds.shape
    for tensor in (means, quats, scales, opacities, colors):
        assert tensor.dtype == torch.float32 and tensor.device.type == "cpu", (tensor.dtype, tensor.device)


def _area_kept(conics, eps2d):
    """sqrt(det(S) / det(S + eps2d I)) of the covariances S + eps2d I that the conics are inverses of."""
    a, b, c = conics.unbind(-1)
    kept = (1 - eps2d * a) * (1 - eps2d * c) - (eps2d * b) ** 2
    return kept.clamp_min(1e-12).sqrt()


def _with_depth(colors, depths, backgrounds, render_mode):
    """Add the depth as a channel, or put it in place of the colours; the background has depth 0."""
    if backgrounds is None:
        backgrounds = colors.new_zeros(len(colors), colors.shape[-1])
    if render_mode in ("D", "ED"):
        return depths[..., None], backgrounds.new_zeros(len(depths), 1)
    if render_mode == "RGB":
        return colors, backgrounds
    return torch.cat([colors, depths[..., None]], -1), pad(backgrounds, (0, 1))


def _blend(means2d, conics, depths, radii, colors, opacities, backgrounds, size, tile_size, absgrad):
    """image [C, H, W, D] and alphas [C, H, W, 1], with channels of zeros added up to the next compiled number of them."""
    D = colors.shape[-1]
    # each number of channels is compiled on its own: few of them
    missing = 0 if D in (3, 4) else 3 - D if D < 3 else -D % 8
    if missing:
        colors, backgrounds = pad(colors, (0, missing)), pad(backgrounds, (0, missing))
    footprints = (means2d, conics, depths, radii)
    image, alphas = Blend.apply(*footprints, colors, opacities, backgrounds, size, tile_size, absgrad)
    return image[..., :D] if missing else image, alphas[..., None]
