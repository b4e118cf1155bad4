"""Perspective projection of 3D Gaussians to 2D Gaussians in the picture, and its derivative.

EWA splatting (Zwicker et al. 2001) as in 3D Gaussian Splatting (Kerbl et al. 2023), with gsplat 1.5.3's culling and clamped
Jacobian. Inputs and results are float32, the arithmetic float64: a needle's determinant cancels most digits of float32.
Eight Gaussians are projected at once: points, matrices and conics below are tuples of `float64x8`.
"""

import math

import numpy as np
import torch
from numba import njit
from torch import Tensor

from facecraft.splats.exponentials import log2
from facecraft.splats.quaternions import inline, quat_grad, rotation, unit_quat, unit_quat_grad
from facecraft.splats.rows import add_columns, keep_columns, load_rows, store_rows
from facecraft.splats.simd import LANES, lane_numbers, maximum, minimum, root, round_up, select, total
from facecraft.splats.threads import run_parts

ALPHA_MIN = 1.0 / 255.0
_ONE, _TWO, _THREE, _FOUR = (0,), (0, 0), (0, 0, 0), (0, 0, 0, 0)
_PARTS = 16
_OPTIONS = dict(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "arcp"})


class Projection(torch.autograd.Function):
    """means [N, 3], quats [N, 4], scales [N, 3] to means2d [C, N, 2] px, conics [C, N, 3], depths [C, N] m, radii [C, N, 2] px.

    A conic is (a, b, c) of the inverse covariance [[a, b], [b, c]] in px^-2. Culled Gaussians have radius 0 and no gradient.
    No gradient for opacities (they only shrink the radius) and intrinsics.
    """

    @staticmethod
    def forward(ctx, means, quats, scales, opacities, viewmats, Ks, size, limits):
        ctx.cameras = [_camera_row(V, K, *size, *limits) for V, K in zip(viewmats, Ks, strict=True)]
        arrays = [t.detach().contiguous().numpy() for t in (means, quats, scales, opacities)]
        C, N = len(viewmats), len(means)
        means2d, conics, depths = torch.empty(C, N, 2), torch.empty(C, N, 3), torch.empty(C, N)
        radii = torch.empty(C, N, 2, dtype=torch.int32)
        for c, camera in enumerate(ctx.cameras):
            results = [t[c].numpy() for t in (means2d, conics, depths, radii)]
            run_parts(_project, _PARTS, *arrays, camera, *results)
        ctx.save_for_backward(means, quats, scales, radii)
        ctx.viewmats = viewmats.detach()
        ctx.mark_non_differentiable(radii)
        return means2d, conics, depths, radii

    @staticmethod
    def backward(ctx, v_means2d, v_conics, v_depths, _):
        *inputs, radii = ctx.saved_tensors
        arrays = [t.detach().contiguous().numpy() for t in inputs]
        # the first camera writes, the others add
        grads = [torch.empty(t.shape) for t in inputs]
        results = [grad.numpy() for grad in grads]
        v_viewmats = torch.zeros_like(ctx.viewmats) if ctx.needs_input_grad[4] else None
        for c, camera in enumerate(ctx.cameras):
            upstream = [v[c].contiguous().numpy() for v in (v_means2d, v_conics, v_depths)]
            v_pose = None if v_viewmats is None else np.zeros((_PARTS, 3, 4))
            run_parts(_project_backward, _PARTS, c > 0, *arrays, camera, radii[c].numpy(), *upstream, *results, v_pose)
            if v_viewmats is not None:
                v_viewmats[c, :3] = torch.from_numpy(v_pose.sum(0))
        return *grads, None, v_viewmats, None, None, None


def _camera_row(viewmat: Tensor, K: Tensor, width: int, height: int, *limits: float) -> np.ndarray:
    """What the kernels need to know of a camera, float64 [26]: rows of the 3x4 pose, intrinsics, slopes, size, and the
    limits near, far, radius_clip, eps2d."""
    (fx, _, cx), (_, fy, cy), _ = K.tolist()
    # the Jacobian is taken at most 30 % of half the field of view outside the picture (Kerbl et al., released code)
    margin_x, margin_y = 0.15 * width / fx, 0.15 * height / fy
    slopes = (-cx / fx - margin_x, (width - cx) / fx + margin_x, -cy / fy - margin_y, (height - cy) / fy + margin_y)
    return np.array([*viewmat[:3].flatten().tolist(), fx, fy, cx, cy, *slopes, width, height, *limits])


@inline
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@inline
def _cross_rows(a, M):
    """Row vector times matrix: a [3], M three rows."""
    return (
        a[0] * M[0][0] + a[1] * M[1][0] + a[2] * M[2][0],
        a[0] * M[0][1] + a[1] * M[1][1] + a[2] * M[2][1],
        a[0] * M[0][2] + a[1] * M[1][2] + a[2] * M[2][2],
    )


@inline
def _view(camera):
    """Rows of the rotation world -> camera."""
    return (camera[0], camera[1], camera[2]), (camera[4], camera[5], camera[6]), (camera[8], camera[9], camera[10])


@inline
def _in_camera(camera, mean):
    V = _view(camera)
    return _dot(V[0], mean) + camera[3], _dot(V[1], mean) + camera[7], _dot(V[2], mean) + camera[11]


@inline
def _slopes(camera, point, inverse_z):
    """x / z and y / z at which the Jacobian is taken."""
    x, y, _ = point
    slope_x = minimum(maximum(x * inverse_z, camera[16]), camera[17])
    return slope_x, minimum(maximum(y * inverse_z, camera[18]), camera[19])


@inline
def _jacobian(camera, point, inverse_z):
    """(x_z, x_d, y_z, y_d): the pixel's derivative J = [[x_z, 0, x_d], [0, y_z, y_d]] by the point in the camera (eq. 29 of
    Zwicker et al.)."""
    slope_x, slope_y = _slopes(camera, point, inverse_z)
    x_z, y_z = camera[12] * inverse_z, camera[13] * inverse_z
    return x_z, -x_z * slope_x, y_z, -y_z * slope_y


@inline
def _times_view(J, V):
    """T = J V [2, 3], the pixel's derivative by the world position."""
    x_z, x_d, y_z, y_d = J
    return (
        (x_z * V[0][0] + x_d * V[2][0], x_z * V[0][1] + x_d * V[2][1], x_z * V[0][2] + x_d * V[2][2]),
        (y_z * V[1][0] + y_d * V[2][0], y_z * V[1][1] + y_d * V[2][1], y_z * V[1][2] + y_d * V[2][2]),
    )


@inline
def _scaled(a, s):
    return a[0] * s[0], a[1] * s[1], a[2] * s[2]


@njit(**_OPTIONS)
def _project(part, parts, means, quats, scales, opacities, camera, means2d, conics, depths, radii):
    N = means.shape[0]
    cx, cy, width, height = camera[14], camera[15], camera[20], camera[21]
    near, far, radius_clip, eps2d = camera[22], camera[23], camera[24], camera[25]
    last = (part + 1) * N // parts - 1
    for row in range(part * N // parts, last + 1, LANES):
        point = _in_camera(camera, load_rows(means, row, last, _THREE))
        (opacity,) = load_rows(opacities, row, last, _ONE)
        seen = (point[2] > near) & (point[2] < far) & (opacity >= np.float32(ALPHA_MIN))
        inverse_z = 1.0 / point[2]
        q, _ = unit_quat(load_rows(quats, row, last, _FOUR))
        R, s = rotation(q), load_rows(scales, row, last, _THREE)
        T = _times_view(_jacobian(camera, point, inverse_z), _view(camera))
        p0, p1 = _scaled(_cross_rows(T[0], R), s), _scaled(_cross_rows(T[1], R), s)
        xx, xy, yy = _dot(p0, p0) + eps2d, _dot(p0, p1), _dot(p1, p1) + eps2d
        det = xx * yy - xy * xy
        # where alpha falls under 1/255; 3.33 sigma is that of opacity 1
        reach = minimum(root(2 * math.log(2.0) * log2(opacity * (1 / ALPHA_MIN))), 3.33)
        rx, ry = round_up(reach * root(xx)), round_up(reach * root(yy))
        u, v = camera[12] * point[0] * inverse_z + cx, camera[13] * point[1] * inverse_z + cy
        seen = seen & (det > 0) & (maximum(rx, ry) > radius_clip)
        seen = seen & (u + rx > 0) & (u - rx < width) & (v + ry > 0) & (v - ry < height)
        a, b, c = yy / det, -xy / det, xx / det
        store_rows(means2d, row, last, keep_columns(seen, (u, v)))
        store_rows(conics, row, last, keep_columns(seen, (a, b, c)))
        store_rows(depths, row, last, (point[2],))
        store_rows(radii, row, last, keep_columns(seen, (rx, ry)))


@njit(**_OPTIONS)
def _project_backward(
    part,
    parts,
    add,
    means,
    quats,
    scales,
    camera,
    radii,
    v_means2d,
    v_conics,
    v_depths,
    v_means,
    v_quats,
    v_scales,
    v_pose,
):
    """Write or add to the gradients of the Gaussians; `v_pose` is None or gets the gradient of T_camera_world in `v_pose[part]`."""
    N, eps2d, V = means.shape[0], camera[25], _view(camera)
    last = (part + 1) * N // parts - 1
    for row in range(part * N // parts, last + 1, LANES):
        seen = load_rows(radii, row, last, _TWO)[0] > 0
        mean, s = load_rows(means, row, last, _THREE), load_rows(scales, row, last, _THREE)
        point = _in_camera(camera, mean)
        inverse_z = 1.0 / point[2]
        q, inverse = unit_quat(load_rows(quats, row, last, _FOUR))
        J = _jacobian(camera, point, inverse_z)
        R, T = rotation(q), _times_view(J, V)
        q0, q1 = _cross_rows(T[0], R), _cross_rows(T[1], R)
        p0, p1 = _scaled(q0, s), _scaled(q1, s)
        v_conic = load_rows(v_conics, row, last, _THREE)
        c00, c01, c11 = _covariance_grad(_dot(p0, p0) + eps2d, _dot(p0, p1), _dot(p1, p1) + eps2d, v_conic)
        # covariance = P P^T + eps I with P = Q diag(s), Q = T R
        d0 = (2 * (c00 * p0[0] + c01 * p1[0]), 2 * (c00 * p0[1] + c01 * p1[1]), 2 * (c00 * p0[2] + c01 * p1[2]))
        d1 = (2 * (c01 * p0[0] + c11 * p1[0]), 2 * (c01 * p0[1] + c11 * p1[1]), 2 * (c01 * p0[2] + c11 * p1[2]))
        v_scale = (d0[0] * q0[0] + d1[0] * q1[0], d0[1] * q0[1] + d1[1] * q1[1], d0[2] * q0[2] + d1[2] * q1[2])
        d0, d1 = _scaled(d0, s), _scaled(d1, s)
        v_quat = quat_grad(unit_quat_grad(q, T, d0, d1), q, inverse)
        e0 = (_dot(d0, R[0]), _dot(d0, R[1]), _dot(d0, R[2]))
        e1 = (_dot(d1, R[0]), _dot(d1, R[1]), _dot(d1, R[2]))
        v_mean2d, (v_depth,) = load_rows(v_means2d, row, last, _TWO), load_rows(v_depths, row, last, _ONE)
        v_point = _point_grad(camera, point, inverse_z, e0, e1, *v_mean2d, v_depth)
        v_mean = _cross_rows(v_point, V)
        _write_rows(v_scales, row, last, add, seen, v_scale)
        _write_rows(v_means, row, last, add, seen, v_mean)
        _write_rows(v_quats, row, last, add, seen, v_quat)
        if v_pose is not None:
            once = seen & (lane_numbers() < np.float32(last + 1 - row))
            _add_pose_grad(v_pose[part], once, J, e0, e1, v_point, mean)


@inline
def _write_rows(array, row, last, add, seen, values):
    """Write or add; 0 where not `seen`."""
    values = keep_columns(seen, values)
    if add:
        values = add_columns(values, load_rows(array, row, last, values))
    store_rows(array, row, last, values)


@inline
def _covariance_grad(xx, xy, yy, v_conic):
    """Gradient by the symmetric covariance (xx, xy, yy): -X V X with X its inverse and V the gradient by X."""
    det = xx * yy - xy * xy
    inverse = 1.0 / det
    a, b, c = yy * inverse, -xy * inverse, xx * inverse
    va, vb, vc = v_conic[0], 0.5 * v_conic[1], v_conic[2]
    m00, m01, m10, m11 = va * a + vb * b, va * b + vb * c, vb * a + vc * b, vb * b + vc * c
    return -(a * m00 + b * m10), -(a * m01 + b * m11), -(b * m01 + c * m11)


@inline
def _point_grad(camera, point, inverse_z, e0, e1, v_u, v_v, v_depth):
    """Gradient by the point in the camera: through the pixel, the depth, and the Jacobian (e0, e1: gradient by T)."""
    V = _view(camera)
    x_z, y_z = camera[12] * inverse_z, camera[13] * inverse_z
    x, y = point[0] * inverse_z, point[1] * inverse_z
    slope_x, slope_y = _slopes(camera, point, inverse_z)
    inside_x, inside_y = (x > camera[16]) & (x < camera[17]), (y > camera[18]) & (y < camera[19])
    v_x, v_y = x_z * v_u, y_z * v_v
    v_z = v_depth - x * v_x - y * v_y - inverse_z * (x_z * _dot(e0, V[0]) + y_z * _dot(e1, V[1]))
    # J's last column is -x_z slope_x and -y_z slope_y
    by_x, by_y = x_z * inverse_z * _dot(e0, V[2]), y_z * inverse_z * _dot(e1, V[2])
    v_z += slope_x * by_x + slope_y * by_y
    by_x, by_y = select(inside_x, by_x, 0), select(inside_y, by_y, 0)
    return v_x - by_x, v_y - by_y, v_z + slope_x * by_x + slope_y * by_y


@inline
def _add_pose_grad(v_pose, once, J, e0, e1, v_point, mean):
    """Gradient [3, 4] by the rows of T_camera_world: through the point, and through T = J V. Only lanes `once` count."""
    x_z, x_d, y_z, y_d = J
    for k in range(3):
        v_pose[0, k] += total(select(once, v_point[0] * mean[k] + x_z * e0[k], 0))
        v_pose[1, k] += total(select(once, v_point[1] * mean[k] + y_z * e1[k], 0))
        v_pose[2, k] += total(select(once, v_point[2] * mean[k] + x_d * e0[k] + y_d * e1[k], 0))
        v_pose[k, 3] += total(select(once, v_point[k], 0))
