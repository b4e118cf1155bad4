"""View-dependent colour from real spherical harmonics, degree 0 to 3, and its derivative.

Basis order and signs of 3D Gaussian Splatting (Kerbl et al. 2023); polynomials after Sloan, "Efficient spherical harmonic
evaluation", 2013.
"""

import math

import numpy as np
import torch
from numba import njit

from facecraft.splats.threads import run_parts

MAX_DEGREE = 3
_PARTS = 16
_OPTIONS = dict(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})


class HarmonicColors(torch.autograd.Function):
    """max(0, 1/2 + SH) per camera: sh [N, K, 3] seen from centres [C, 3] as colours [C, N, 3]; 0 and no gradient where culled."""

    @staticmethod
    def forward(ctx, degree, means, sh, centres, radii):
        ctx.degree, C, N = degree, len(centres), len(means)
        colors = torch.zeros(C, N, 3)
        arrays = [t.detach().contiguous().numpy() for t in (means, sh)]
        for c in range(C):
            run_parts(_shade, _PARTS, degree, *arrays, centres[c].detach().numpy(), radii[c].numpy(), colors[c].numpy())
        ctx.save_for_backward(means, sh, centres, radii, colors)
        return colors

    @staticmethod
    def backward(ctx, v_colors):
        means, sh, centres, radii, colors = ctx.saved_tensors
        arrays = [t.detach().contiguous().numpy() for t in (means, sh)]
        # the first camera writes, the others add
        v_means, v_sh, v_centres = (torch.empty(t.shape) for t in (means, sh, centres))
        for c in range(len(centres)):
            seen = [t[c].contiguous().numpy() for t in (centres.detach(), radii, colors, v_colors)]
            v_centre, results = np.zeros((_PARTS, 3)), (v_means.numpy(), v_sh.numpy())
            run_parts(_shade_backward, _PARTS, ctx.degree, c > 0, *arrays, *seen, *results, v_centre)
            v_centres[c] = torch.from_numpy(v_centre.sum(0))
        return None, v_means, v_sh, v_centres, None


@njit(error_model="numpy", fastmath={"contract"})
def _evaluate_basis(degree, x, y, z, basis):
    """Write the (degree + 1)^2 basis functions at the unit vector (x, y, z)."""
    basis[0] = 0.28209479177387814
    if degree > 0:
        a = 0.4886025119029199
        basis[1], basis[2], basis[3] = -a * y, a * z, -a * x
    if degree > 1:
        a, b = 1.0925484305920792, 0.5462742152960396
        basis[4], basis[5], basis[7], basis[8] = a * x * y, -a * y * z, -a * x * z, b * (x * x - y * y)
        basis[6] = 0.31539156525252005 * (3 * z * z - 1)
    if degree > 2:
        a, b, c = 0.5900435899266435, 1.445305721320277, 0.4570457994644658
        basis[9], basis[15] = -a * y * (3 * x * x - y * y), -a * x * (x * x - 3 * y * y)
        basis[10], basis[14] = 2 * b * x * y * z, b * z * (x * x - y * y)
        basis[11], basis[13] = -c * y * (5 * z * z - 1), -c * x * (5 * z * z - 1)
        basis[12] = 0.3731763325901154 * z * (5 * z * z - 3)


@njit(error_model="numpy", fastmath={"contract"})
def _basis_grad(degree, x, y, z, w):
    """Gradient by (x, y, z) of the basis functions weighted with w [16]."""
    gx, gy, gz = 0.0, 0.0, 0.0
    if degree > 0:
        a = 0.4886025119029199
        gx, gy, gz = -a * w[3], -a * w[1], a * w[2]
    if degree > 1:
        a, b = 1.0925484305920792, 2 * 0.5462742152960396
        gx += a * (y * w[4] - z * w[7]) + b * x * w[8]
        gy += a * (x * w[4] - z * w[5]) - b * y * w[8]
        gz += 6 * 0.31539156525252005 * z * w[6] - a * (y * w[5] + x * w[7])
    if degree > 2:
        a, b, c = 3 * 0.5900435899266435, 1.445305721320277, 0.4570457994644658
        square, product, zonal = x * x - y * y, 2 * x * y, c * (5 * z * z - 1)
        gx += -a * (product * w[9] + square * w[15]) + 2 * b * z * (y * w[10] + x * w[14]) - zonal * w[13]
        gy += a * (product * w[15] - square * w[9]) + 2 * b * z * (x * w[10] - y * w[14]) - zonal * w[11]
        gz += b * (product * w[10] + square * w[14]) - 10 * c * z * (y * w[11] + x * w[13])
        gz += 3 * 0.3731763325901154 * (5 * z * z - 1) * w[12]
    return gx, gy, gz


@njit(error_model="numpy", fastmath={"contract"})
def _direction(means, i, centre):
    """Unit vector from the camera to Gaussian i, and 1 / distance."""
    x, y, z = means[i, 0] - centre[0], means[i, 1] - centre[1], means[i, 2] - centre[2]
    inverse = 1 / math.sqrt(np.float64(x * x + y * y + z * z))
    return x * inverse, y * inverse, z * inverse, inverse


@njit(**_OPTIONS)
def _shade(part, parts, degree, means, sh, centre, radii, colors):
    N = means.shape[0]
    basis = np.empty(16, np.float32)
    for i in range(part * N // parts, (part + 1) * N // parts):
        if radii[i, 0] <= 0:
            continue
        x, y, z, _ = _direction(means, i, centre)
        _evaluate_basis(degree, x, y, z, basis)
        r = g = b = np.float32(0.5)
        for k in range((degree + 1) ** 2):
            r += basis[k] * sh[i, k, 0]
            g += basis[k] * sh[i, k, 1]
            b += basis[k] * sh[i, k, 2]
        zero = np.float32(0)
        colors[i, 0], colors[i, 1], colors[i, 2] = max(r, zero), max(g, zero), max(b, zero)


@njit(**_OPTIONS)
def _shade_backward(part, parts, degree, add, means, sh, centre, radii, colors, v_colors, v_means, v_sh, v_centre):
    N = means.shape[0]
    basis, weights = np.empty(16, np.float32), np.empty(16, np.float32)
    for i in range(part * N // parts, (part + 1) * N // parts):
        if not add:
            v_means[i] = 0
            v_sh[i] = 0
        if radii[i, 0] <= 0:
            continue
        x, y, z, inverse = _direction(means, i, centre)
        _evaluate_basis(degree, x, y, z, basis)
        zero = np.float32(0)
        r = v_colors[i, 0] if colors[i, 0] > 0 else zero
        g = v_colors[i, 1] if colors[i, 1] > 0 else zero
        b = v_colors[i, 2] if colors[i, 2] > 0 else zero
        for k in range((degree + 1) ** 2):
            weights[k] = sh[i, k, 0] * r + sh[i, k, 1] * g + sh[i, k, 2] * b
            v_sh[i, k, 0] += basis[k] * r
            v_sh[i, k, 1] += basis[k] * g
            v_sh[i, k, 2] += basis[k] * b
        gx, gy, gz = _basis_grad(degree, x, y, z, weights)
        radial = gx * x + gy * y + gz * z
        gx, gy, gz = (gx - radial * x) * inverse, (gy - radial * y) * inverse, (gz - radial * z) * inverse
        v_means[i, 0] += gx
        v_means[i, 1] += gy
        v_means[i, 2] += gz
        v_centre[part, 0] -= gx
        v_centre[part, 1] -= gy
        v_centre[part, 2] -= gz
