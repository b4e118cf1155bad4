"""Alpha blending of 2D Gaussians into pictures as a differentiable function."""

import math

import numpy as np
import torch
from numba import njit
from torch import Tensor

from facecraft.splats.kernels import MOMENTS, blend_tiles, blend_tiles_backward
from facecraft.splats.scratch import scratch
from facecraft.splats.simd import LANES, broadcast, load, store
from facecraft.splats.threads import run_parts
from facecraft.splats.tiles import L11, list_tiles

_PARTS = 32
_OPTIONS = dict(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "arcp"})


class Blend(torch.autograd.Function):
    """2D Gaussians of C cameras to image [C, H, W, D] and alphas [C, H, W].

    Inputs: means2d [C, N, 2], conics [C, N, 3], colors [C, N, D], opacities [C, N], backgrounds [C, D]; depths [C, N]
    and radii [C, N, 2] only sort and cull. `size` is (width, height). With `absgrad` the backward pass sets
    `means2d.absgrad` [C, N, 2], sums of the absolute gradients of the pixels.
    """

    @staticmethod
    def forward(ctx, means2d, conics, depths, radii, colors, opacities, backgrounds, size, tile_height, absgrad):
        (C, _, D), (width, height) = colors.shape, size
        image, alphas = torch.empty(C, height, width, D), torch.empty(C, height, width)
        ctx.absgrad, ctx.tiles, ctx.ends = absgrad, [], []
        for c in range(C):
            rows = [_array(t[c]) for t in (means2d, conics, depths, radii, colors, opacities)]
            tiles = list_tiles(*rows, width, height, tile_height)
            ends = np.empty(len(tiles.offsets) - 1, np.int32)
            background = tuple(_array(backgrounds[c]))
            records = (tiles.records, tiles.record_size, tiles.ids, tiles.offsets, tiles.columns, tile_height)
            run_parts(blend_tiles, _PARTS, *records, background, image[c].numpy(), alphas[c].numpy(), ends)
            ctx.tiles.append(tiles)
            ctx.ends.append(ends)
        ctx.save_for_backward(means2d, conics, colors, opacities, backgrounds, image, alphas)
        ctx.set_materialize_grads(False)
        return image, alphas

    @staticmethod
    def backward(ctx, v_image, v_alphas):
        means2d, conics, colors, opacities, backgrounds, image, alphas = ctx.saved_tensors
        v_image, v_alphas = (_or_zeros(v, like) for v, like in ((v_image, image), (v_alphas, alphas)))
        all_seen = all(len(tiles.order) == means2d.shape[1] for tiles in ctx.tiles)
        blank = torch.empty if all_seen else torch.zeros
        v_means2d, v_conics, v_colors, v_opacities = (blank(t.shape) for t in (means2d, conics, colors, opacities))
        spread = blank(means2d.shape) if ctx.absgrad else None
        for c, (tiles, ends) in enumerate(zip(ctx.tiles, ctx.ends, strict=True)):
            upstream = [_array(t[c]) for t in (image, alphas, v_image, v_alphas)]
            grads, slot_spread = _slot_grads(tiles, ends, tuple(_array(backgrounds[c])), upstream, ctx.absgrad)
            owners = (tiles.order, tiles.starts)
            results = [t[c].numpy() for t in (v_means2d, v_conics, v_colors, v_opacities)]
            run_parts(_sum_slots, _PARTS, *owners, _array(conics[c]), _array(opacities[c]), grads, *results)
            if ctx.absgrad:
                records = (tiles.records, tiles.record_size)
                run_parts(_sum_spread, _PARTS, *owners, *records, slot_spread, spread[c].numpy())
        if ctx.absgrad:
            means2d.absgrad = spread
        v_backgrounds = None
        if ctx.needs_input_grad[6]:
            v_backgrounds = ((1 - alphas)[..., None] * v_image).sum((1, 2))
        return v_means2d, v_conics, None, None, v_colors, v_opacities, v_backgrounds, None, None, None


def _or_zeros(gradient: Tensor | None, like: Tensor) -> Tensor:
    """What autograd would make of a missing gradient, in memory that is used again."""
    if gradient is not None:
        return gradient
    zeros = scratch("zeros", like.shape)
    zeros.fill(0)
    return torch.from_numpy(zeros)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def _slot_grads(tiles, ends, background, upstream, absgrad):
    grads = scratch("grads", (len(tiles.slots) * (MOMENTS + len(background)) + 2 * LANES,))
    spread = scratch("spread", (len(tiles.slots) * 2,)) if absgrad else None
    lists = (tiles.records, tiles.record_size, tiles.ids, tiles.slots, tiles.offsets, ends, tiles.columns)
    lists += (tiles.tile_height,)
    run_parts(blend_tiles_backward, _PARTS, *lists, background, *upstream, grads, spread)
    return grads, spread


@njit(**_OPTIONS)
def _sum_slots(part, parts, order, starts, conics, opacities, grads, v_means2d, v_conics, v_colors, v_opacities):
    """Sum the slots of each Gaussian that is seen, and turn moments of d loss / d log(alpha) into gradients of its parameters."""
    M, size = order.shape[0], MOMENTS + v_colors.shape[1]
    sums = np.empty(size + 2 * LANES, np.float32)
    for r in range(part * M // parts, (part + 1) * M // parts):
        i, first, end = order[r], np.intp(starts[r]) * size, np.intp(starts[r + 1]) * size
        for k in range(0, size, 2 * LANES):
            low = high = broadcast(np.float32(0))
            for at in range(first + k, end + k, size):
                low, high = low + load(grads, at), high + load(grads, at + LANES)
            store(sums, k, low)
            store(sums, k + LANES, high)
        a, b, c = conics[i, 0], conics[i, 1], conics[i, 2]
        v_means2d[i, 0] = a * sums[1] + b * sums[2]
        v_means2d[i, 1] = b * sums[1] + c * sums[2]
        v_conics[i, 0], v_conics[i, 1], v_conics[i, 2] = -0.5 * sums[3], -sums[4], -0.5 * sums[5]
        v_opacities[i] = sums[0] / opacities[i] if first < end else np.float32(0)
        for k in range(v_colors.shape[1]):
            v_colors[i, k] = sums[MOMENTS + k]


@njit(**_OPTIONS)
def _sum_spread(part, parts, order, starts, records, record_size, slot_spread, spread):
    M = order.shape[0]
    factor = 2 * math.log(2.0)
    for r in range(part * M // parts, (part + 1) * M // parts):
        x, y = np.float32(0), np.float32(0)
        for slot in range(starts[r], starts[r + 1]):
            x += slot_spread[2 * slot]
            y += slot_spread[2 * slot + 1]
        spread[order[r], 0] = factor * x * records[r * record_size + L11]
        spread[order[r], 1] = factor * y
