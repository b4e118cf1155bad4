"""The scene of the raster benchmark, and rasterisers to compare with: dense torch, a torch tile loop, plain numba.

The tile loop is the usual torch port of 3D Gaussian Splatting: 16 x 16 tiles, one batch of tensor operations per tile. The
plain numba port has one scalar loop per pixel, as on a GPU, over the same tiles in parallel. The dense version evaluates
every Gaussian at every pixel.
"""

import math
import time

import numpy as np
import torch
from numba import njit, prange

TILE = 16
DENSE_PAIRS = 4_000_000


def head_scene(N: int, size: int) -> tuple[dict, dict]:
    """Flat Gaussians on an ellipsoid of head size, a fifth of them in a thicker shell of hair, seen from 1 m."""
    g = torch.Generator().manual_seed(0)
    normal = torch.nn.functional.normalize(torch.randn(N, 3, generator=g), dim=-1)
    hair = torch.rand(N, 1, generator=g) < 0.2
    bumps = torch.where(hair, 0.12 * torch.rand(N, 1, generator=g), 0.01 * torch.randn(N, 1, generator=g))
    flat = torch.tensor([1, 1, 0.25])
    scene = dict(
        means=normal * torch.tensor([0.075, 0.11, 0.095]) * (1 + bumps),
        # the turn that takes z to the normal
        quats=torch.stack([1 + normal[:, 2], -normal[:, 1], normal[:, 0], torch.zeros(N)], -1),
        scales=0.75 * math.sqrt(0.11 / N) * torch.exp(0.45 * torch.randn(N, 3, generator=g)) * flat,
        opacities=torch.sigmoid(1.8 * torch.randn(N, generator=g) + 0.7),
        colors=(0.5 + 0.5 * normal + 0.1 * torch.randn(N, 3, generator=g)).clamp(0, 1),
    )
    view = torch.diag(torch.tensor([1.0, -1, -1, 1]))
    view[2, 3] = 1
    f = size * 0.8 / 0.24
    K = torch.tensor([[f, 0, size / 2], [0, f, size / 2], [0, 0, 1]])
    return scene, dict(viewmats=view[None], Ks=K[None], width=size, height=size)


def project_torch(means, quats, scales, viewmats, Ks):
    """means2d [N, 2], inverse covariances [N, 2, 2], depths [N], 3.33 sigma radii [N]."""
    V, K = viewmats[0], Ks[0]
    x, y, z = (means @ V[:3, :3].T + V[:3, 3]).unbind(-1)
    qw, qx, qy, qz = torch.nn.functional.normalize(quats, dim=-1).unbind(-1)
    rows = [1 - 2 * (qy**2 + qz**2), 2 * (qx * qy - qw * qz), 2 * (qx * qz + qw * qy)]
    rows += [2 * (qx * qy + qw * qz), 1 - 2 * (qx**2 + qz**2), 2 * (qy * qz - qw * qx)]
    rows += [2 * (qx * qz - qw * qy), 2 * (qy * qz + qw * qx), 1 - 2 * (qx**2 + qy**2)]
    zero = torch.zeros_like(z)
    J = torch.stack([K[0, 0] / z, zero, -K[0, 0] * x / z**2, zero, K[1, 1] / z, -K[1, 1] * y / z**2], -1)
    M = J.view(-1, 2, 3) @ V[:3, :3] @ (torch.stack(rows, -1).view(-1, 3, 3) * scales[:, None])
    covariances = M @ M.mT + 0.3 * torch.eye(2)
    radii = 3.33 * torch.linalg.eigvalsh(covariances.detach())[:, 1].sqrt()
    pixels = torch.stack([K[0, 0] * x / z + K[0, 2], K[1, 1] * y / z + K[1, 2]], -1)
    return pixels, torch.linalg.inv(covariances), z.detach(), radii


def blend_torch(ids, x0, x1, y0, y1, means2d, inverses, opacities, colors):
    """The pixels [y1 - y0, x1 - x0, 3] of a rectangle from Gaussians `ids`, sorted by depth."""
    xs, ys = torch.arange(x0, x1) + 0.5, torch.arange(y0, y1) + 0.5
    d = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), -1).reshape(-1, 1, 2) - means2d[ids]
    a, b, c = inverses[ids, 0, 0], inverses[ids, 0, 1], inverses[ids, 1, 1]
    sigma = 0.5 * (a * d[..., 0] ** 2 + c * d[..., 1] ** 2) + b * d[..., 0] * d[..., 1]
    alpha = (opacities[ids] * torch.exp(-sigma)).clamp(max=0.999)
    alpha = torch.where(alpha >= 1 / 255, alpha, 0.0)
    after = torch.cumprod(1 - alpha, -1)
    before = torch.cat([torch.ones_like(after[:, :1]), after[:, :-1]], -1)
    weight = torch.where(after > 1e-4, alpha * before, 0.0)
    return (weight @ colors[ids]).view(y1 - y0, x1 - x0, 3)


def tile_loop(scene, camera) -> torch.Tensor:
    """The picture [H, W, 3], tile by tile."""
    means2d, inverses, depths, radii = project_torch(
        *(scene[k] for k in ("means", "quats", "scales")), camera["viewmats"], camera["Ks"]
    )
    order = torch.argsort(depths, stable=True)
    centres, reach = means2d.detach()[order], radii[order, None]
    low, high = centres - reach, centres + reach
    rows = []
    for y in range(0, camera["height"], TILE):
        band = (high[:, 1] > y) & (low[:, 1] < y + TILE)
        tiles = []
        for x in range(0, camera["width"], TILE):
            ids = order[band & (high[:, 0] > x) & (low[:, 0] < x + TILE)]
            tiles.append(
                blend_torch(ids, x, x + TILE, y, y + TILE, means2d, inverses, scene["opacities"], scene["colors"])
            )
        rows.append(torch.cat(tiles, 1))
    return torch.cat(rows, 0)


class PlainBlend(torch.autograd.Function):
    """2D Gaussians to a picture [H, W, 3]: sorted (tile, depth) pairs, then a scalar loop per pixel."""

    @staticmethod
    def forward(ctx, means2d, inverses, depths, radii, opacities, colors, width, height):
        arrays = [t.detach().contiguous().numpy() for t in (means2d, inverses, opacities, colors)]
        ids, offsets = _sorted_pairs(arrays[0], depths.numpy(), radii.numpy(), width, height)
        image, left, last = (
            torch.empty(height, width, 3),
            np.empty((height, width)),
            np.empty((height, width), np.int64),
        )
        _blend_pixels(*arrays, ids, offsets, image.numpy(), left, last)
        ctx.lists, ctx.arrays, ctx.pixels = (ids, offsets), arrays, (left, last)
        return image

    @staticmethod
    def backward(ctx, v_image):
        slots = np.zeros((len(ctx.lists[0]), 9))
        _blend_pixels_backward(*ctx.arrays, *ctx.lists, *ctx.pixels, v_image.contiguous().numpy(), slots)
        sums = np.stack([np.bincount(ctx.lists[0], column, len(ctx.arrays[0])) for column in slots.T], 1)
        sums = torch.from_numpy(sums.astype(np.float32))
        v_inverses = sums[:, [2, 3, 3, 4]].view(-1, 2, 2)
        return sums[:, :2], v_inverses, None, None, sums[:, 5], sums[:, 6:], None, None


def plain_numba(scene, camera) -> torch.Tensor:
    """The picture [H, W, 3]."""
    shape = (scene[k] for k in ("means", "quats", "scales"))
    projected = project_torch(*shape, camera["viewmats"], camera["Ks"])
    return PlainBlend.apply(*projected, scene["opacities"], scene["colors"], camera["width"], camera["height"])


@njit
def _sorted_pairs(means2d, depths, radii, width, height):
    columns, rows = -(-width // TILE), -(-height // TILE)
    low = np.floor((means2d - radii.reshape(-1, 1)) / TILE).astype(np.int64)
    high = np.floor((means2d + radii.reshape(-1, 1)) / TILE).astype(np.int64)
    offsets = np.zeros(columns * rows + 1, np.int64)
    for i in range(len(low)):
        for row in range(max(low[i, 1], 0), min(high[i, 1], rows - 1) + 1):
            for column in range(max(low[i, 0], 0), min(high[i, 0], columns - 1) + 1):
                offsets[row * columns + column + 1] += 1
    offsets = np.cumsum(offsets)
    ids, places = np.empty(offsets[-1], np.int64), offsets[:-1].copy()
    for i in np.argsort(depths, kind="mergesort"):
        for row in range(max(low[i, 1], 0), min(high[i, 1], rows - 1) + 1):
            for column in range(max(low[i, 0], 0), min(high[i, 0], columns - 1) + 1):
                ids[places[row * columns + column]] = i
                places[row * columns + column] += 1
    return ids, offsets


@njit(fastmath=True)
def _alpha(means2d, inverses, opacities, i, x, y):
    dx, dy = np.float32(x + 0.5) - means2d[i, 0], np.float32(y + 0.5) - means2d[i, 1]
    a, b, c = inverses[i, 0, 0], inverses[i, 0, 1], inverses[i, 1, 1]
    sigma = np.float32(0.5) * (a * dx * dx + c * dy * dy) + b * dx * dy
    return min(opacities[i] * math.exp(-sigma), np.float32(0.999)), dx, dy


@njit(parallel=True, fastmath=True)
def _blend_pixels(means2d, inverses, opacities, colors, ids, offsets, image, left, last):
    height, width = left.shape
    columns = -(-width // TILE)
    for tile in prange(len(offsets) - 1):
        x0, y0 = tile % columns * TILE, tile // columns * TILE
        for y in range(y0, min(y0 + TILE, height)):
            for x in range(x0, min(x0 + TILE, width)):
                T, r, g, b = np.float32(1), np.float32(0), np.float32(0), np.float32(0)
                last[y, x] = offsets[tile]
                for k in range(offsets[tile], offsets[tile + 1]):
                    i = ids[k]
                    alpha, _, _ = _alpha(means2d, inverses, opacities, i, x, y)
                    if alpha < 1 / 255:
                        continue
                    after = T * (1 - alpha)
                    if after <= 1e-4:
                        break
                    weight = alpha * T
                    r, g, b = r + weight * colors[i, 0], g + weight * colors[i, 1], b + weight * colors[i, 2]
                    T, last[y, x] = after, k + 1
                image[y, x, 0], image[y, x, 1], image[y, x, 2], left[y, x] = r, g, b, T


@njit(parallel=True, fastmath=True)
def _blend_pixels_backward(means2d, inverses, opacities, colors, ids, offsets, left, last, v_image, slots):
    height, width = left.shape
    columns = -(-width // TILE)
    for tile in prange(len(offsets) - 1):
        x0, y0 = tile % columns * TILE, tile // columns * TILE
        for y in range(y0, min(y0 + TILE, height)):
            for x in range(x0, min(x0 + TILE, width)):
                after, behind = np.float32(left[y, x]), np.float32(0)
                vr, vg, vb = v_image[y, x, 0], v_image[y, x, 1], v_image[y, x, 2]
                for k in range(last[y, x] - 1, offsets[tile] - 1, -1):
                    i = ids[k]
                    alpha, dx, dy = _alpha(means2d, inverses, opacities, i, x, y)
                    if alpha < 1 / 255:
                        continue
                    before = after / (1 - alpha)
                    weight = alpha * before
                    v_weight = vr * colors[i, 0] + vg * colors[i, 1] + vb * colors[i, 2]
                    v_alpha = before * v_weight - behind / (1 - alpha)
                    slots[k, 6] += weight * vr
                    slots[k, 7] += weight * vg
                    slots[k, 8] += weight * vb
                    if alpha < 0.999:
                        a, b, c = inverses[i, 0, 0], inverses[i, 0, 1], inverses[i, 1, 1]
                        g = v_alpha * alpha
                        slots[k, 0] += g * (a * dx + b * dy)
                        slots[k, 1] += g * (b * dx + c * dy)
                        slots[k, 2] -= 0.5 * g * dx * dx
                        slots[k, 3] -= 0.5 * g * dx * dy
                        slots[k, 4] -= 0.5 * g * dy * dy
                        slots[k, 5] += g / opacities[i]
                    after, behind = before, behind + weight * v_weight


def time_dense(scene, camera) -> float:
    """Seconds of a piece of the middle row with its gradients, scaled to the picture; without projection and sorting."""
    N, W, H = len(scene["means"]), camera["width"], camera["height"]
    columns = min(W, max(8, DENSE_PAIRS // N))
    shape = [scene[k] for k in ("means", "quats", "scales")]
    means2d, inverses, depths, _ = project_torch(*shape, camera["viewmats"], camera["Ks"])
    order, x, y = torch.argsort(depths), (W - columns) // 2, H // 2
    means2d, inverses, opacities, colors = (
        t.detach().clone().requires_grad_() for t in (means2d, inverses, scene["opacities"], scene["colors"])
    )
    start = time.perf_counter()
    blend_torch(order, x, x + columns, y, y + 1, means2d, inverses, opacities, colors).sum().backward()
    return (time.perf_counter() - start) * W * H / columns
