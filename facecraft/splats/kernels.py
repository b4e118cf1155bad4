"""Compositing of tiles: colours from records, and gradients of the records from gradients of the picture.

Front-to-back alpha blending (Kerbl et al. 2023, eq. 3) with the constants of gsplat 1.5.3. A tile is 8 pixels wide, one
vector; its planes stay in the L1 cache. A dead pixel (transmittance about to fall to 1e-4, or outside the picture) keeps
its transmittance with a minus sign. The backward pass also runs front to back: what lies behind a Gaussian is what
the finished pixel has minus what was blended so far.
"""

import math

import numpy as np
from numba import njit

from facecraft.splats.channels import (
    add_dot,
    add_scaled,
    broadcast_channels,
    load_channels,
    store_channels,
    store_totals,
    zeros_like,
)
from facecraft.splats.exponentials import exp2
from facecraft.splats.simd import (
    absolute,
    any_lane,
    broadcast,
    lane_numbers,
    load,
    minimum,
    negative_absolute,
    prefetch,
    select,
    store,
    total,
)
from facecraft.splats.tiles import (
    COLOR,
    HALF_HEIGHT,
    L11,
    L21,
    L22,
    LOG2_ALPHA_MIN,
    LOG2_OPACITY,
    TILE_HEIGHTS,
    TILE_WIDTH,
    X,
    Y,
)

MAX_ALPHA = np.float32(0.999)
MIN_TRANSMITTANCE = np.float32(1e-4)
MOMENTS = 6

_PIXELS = TILE_WIDTH * TILE_HEIGHTS[-1]
# planes of a tile: alphas of the Gaussian at hand, transmittances, then those of the pass
_ALPHA, _TRANSMITTANCE, _COLOR = 0, _PIXELS, 2 * _PIXELS
_BEHIND, _V_ALPHA, _V_COLOR = 2 * _PIXELS, 3 * _PIXELS, 4 * _PIXELS
# Gaussians between two checks for rows that are finished
_CHUNK = 16
_AHEAD = 4
_ZERO, _ONE, _HALF, _SLACK = np.float32(0), np.float32(1), np.float32(0.5), np.float32(1e-3)
# not nnan and ninf: masked lanes hold both
_FASTMATH = {"contract", "arcp", "nsz", "reassoc", "afn"}
_OPTIONS = dict(nogil=True, cache=True, error_model="numpy", fastmath=_FASTMATH)
_inline = njit(error_model="numpy", fastmath=_FASTMATH, forceinline=True)


@_inline
def _row_range(records, at, y0, top, bottom):
    """Rows of the tile in which the Gaussian can reach alpha 1/255, within [top, bottom]."""
    y, half = records[at + Y] - y0, records[at + HALF_HEIGHT] + _SLACK
    return max(int(math.ceil(y - half)), top), min(int(math.floor(y + half)), bottom)


@_inline
def _fill_alphas(records, at, x0, y0, first, last, planes):
    """Alphas of the Gaussian in rows first..last; a loop of its own, so that the exponentials overlap."""
    l21, l22, log2_opacity = records[at + L21], records[at + L22], records[at + LOG2_OPACITY]
    y = records[at + Y] - y0
    across = (lane_numbers() + (x0 - records[at + X])) * records[at + L11]
    nothing, most, least = broadcast(_ZERO), broadcast(MAX_ALPHA), broadcast(LOG2_ALPHA_MIN)
    for row in range(first, last + 1):
        dy = np.float32(row) - y
        u, v = across + l21 * dy, l22 * dy
        exponent = (log2_opacity - v * v) - u * u
        store(planes, _ALPHA + row * TILE_WIDTH, select(exponent >= least, minimum(exp2(exponent), most), nothing))


@_inline
def _live_rows(planes, top, bottom):
    """Shrink the range of rows that still have a live pixel."""
    nothing = broadcast(_ZERO)
    while top <= bottom and not any_lane(load(planes, _TRANSMITTANCE + top * TILE_WIDTH) > nothing):
        top += 1
    while bottom >= top and not any_lane(load(planes, _TRANSMITTANCE + bottom * TILE_WIDTH) > nothing):
        bottom -= 1
    return top, bottom


@_inline
def _blend(records, at, first, last, background, planes):
    colors = broadcast_channels(records, at + COLOR, background)
    nothing, least = broadcast(_ZERO), broadcast(MIN_TRANSMITTANCE)
    for row in range(first, last + 1):
        p = row * TILE_WIDTH
        before = load(planes, _TRANSMITTANCE + p)
        weight = load(planes, _ALPHA + p) * before
        after = before - weight
        live = after > least
        store(planes, _TRANSMITTANCE + p, select(live, after, negative_absolute(before)))
        blended = load_channels(planes, _COLOR + p, _PIXELS, background)
        blended = add_scaled(select(live, weight, nothing), colors, blended)
        store_channels(planes, _COLOR + p, _PIXELS, blended)


@_inline
def _clear(planes, columns, rows, background):
    """Transmittance 1 inside the picture, dead outside; colours 0."""
    one = broadcast(_ONE)
    inside = lane_numbers() < broadcast(np.float32(columns))
    for row in range(rows):
        p = row * TILE_WIDTH
        store(planes, _TRANSMITTANCE + p, select(inside, one, negative_absolute(one)))
        store_channels(planes, _COLOR + p, _PIXELS, zeros_like(background))


@_inline
def _write_tile(planes, x0, y0, columns, rows, background, image, alphas):
    for row in range(rows):
        for column in range(columns):
            p = row * TILE_WIDTH + column
            left = abs(planes[_TRANSMITTANCE + p])
            alphas[y0 + row, x0 + column] = _ONE - left
            for c in range(len(background)):
                image[y0 + row, x0 + column, c] = planes[_COLOR + c * _PIXELS + p] + left * background[c]


@njit(**_OPTIONS)
def blend_tiles(
    part, parts, records, record_size, ids, offsets, tile_columns, tile_height, background, image, alphas, ends
):
    """Blend the tiles of a part into image [H, W, D] and alphas [H, W].

    background: tuple of D floats. ends [tiles]: how far each list was read before all pixels were dead.
    """
    height, width = alphas.shape
    tiles = offsets.shape[0] - 1
    planes = np.empty(_PIXELS * (2 + len(background)), np.float32)
    for tile in range(part * tiles // parts, (part + 1) * tiles // parts):
        x0, y0 = tile % tile_columns * TILE_WIDTH, tile // tile_columns * tile_height
        columns, rows = min(TILE_WIDTH, width - x0), min(tile_height, height - y0)
        _clear(planes, columns, rows, background)
        centre_x, centre_y = np.float32(x0) + _HALF, np.float32(y0) + _HALF
        top, bottom, k, end = 0, rows - 1, offsets[tile], offsets[tile + 1]
        while k < end and top <= bottom:
            stop = min(k + _CHUNK, end)
            while k < stop:
                at = np.intp(ids[k]) * record_size
                if k + _AHEAD < end:
                    prefetch(records, np.intp(ids[k + _AHEAD]) * record_size)
                first, last = _row_range(records, at, centre_y, top, bottom)
                _fill_alphas(records, at, centre_x, centre_y, first, last, planes)
                _blend(records, at, first, last, background, planes)
                k += 1
            top, bottom = _live_rows(planes, top, bottom)
        ends[tile] = k
        _write_tile(planes, x0, y0, columns, rows, background, image, alphas)


@_inline
def _open_backward(planes, x0, y0, columns, rows, background, image, alphas, v_image, v_alphas):
    """Fill the planes: transmittance 1, gradients of the picture, and gradient . (colour, alpha) of the finished pixel."""
    for row in range(rows):
        for column in range(TILE_WIDTH):
            p = row * TILE_WIDTH + column
            inside = column < columns
            y, x = y0 + row, x0 + column if inside else x0
            planes[_TRANSMITTANCE + p] = _ONE if inside else -_ONE
            planes[_V_ALPHA + p] = v_alphas[y, x]
            behind = v_alphas[y, x] * alphas[y, x]
            for c in range(len(background)):
                planes[_V_COLOR + c * _PIXELS + p] = v_image[y, x, c]
                behind += v_image[y, x, c] * image[y, x, c]
            planes[_BEHIND + p] = behind


@_inline
def _blend_backward(records, at, x0, y0, first, last, background, planes, grads, slot, spread):
    """Gradients of one Gaussian in one tile, into its slot of `grads`.

    With g = d loss / d log(alpha) per pixel: sums of g, g dx, g dy, g dx^2, g dx dy, g dy^2, then of the colour channels.
    `spread` is None or gets, at the same slot, the sums of |g s_x| and |g s_y| for s = (u, u L21 + v L22), u and v the two
    squares of the record: the absolute gradients of AbsGS (Ye et al. 2024), up to factors of the Gaussian.
    """
    colors = broadcast_channels(records, at + COLOR, background)
    y, l21, l22 = records[at + Y] - y0, records[at + L21], records[at + L22]
    dx = lane_numbers() + (x0 - records[at + X])
    across = dx * records[at + L11]
    nothing, one, least, most = broadcast(_ZERO), broadcast(_ONE), broadcast(MIN_TRANSMITTANCE), broadcast(MAX_ALPHA)
    g_sum = gy_sum = gyy_sum = spread_x = spread_y = nothing
    v_colors = zeros_like(background)
    for row in range(first, last + 1):
        p = row * TILE_WIDTH
        dy = np.float32(row) - y
        alpha, before = load(planes, _ALPHA + p), load(planes, _TRANSMITTANCE + p)
        weight = alpha * before
        after = before - weight
        live = after > least
        weight = select(live, weight, nothing)
        store(planes, _TRANSMITTANCE + p, select(live, after, negative_absolute(before)))
        v_image = load_channels(planes, _V_COLOR + p, _PIXELS, background)
        v_weight = add_dot(colors, v_image, load(planes, _V_ALPHA + p))
        v_colors = add_scaled(weight, v_image, v_colors)
        behind = load(planes, _BEHIND + p) - weight * v_weight
        store(planes, _BEHIND + p, behind)
        g = select(live & (alpha < most), alpha * (before * v_weight - behind / (one - alpha)), nothing)
        gy = g * dy
        g_sum, gy_sum, gyy_sum = g_sum + g, gy_sum + gy, gyy_sum + gy * dy
        if spread is not None:
            u = across + l21 * dy
            spread_x = spread_x + absolute(g * u)
            spread_y = spread_y + absolute(g * (u * l21 + l22 * l22 * dy))
    gx = g_sum * dx
    if spread is not None:
        spread[2 * slot], spread[2 * slot + 1] = total(spread_x), total(spread_y)
    slot *= MOMENTS + len(background)
    moments = (g_sum, gx, gy_sum, gx * dx, gy_sum * dx, gyy_sum)
    store_totals(grads, slot, moments + v_colors)


@_inline
def _skip_backward(grads, slot, size, spread):
    for c in range(size):
        grads[slot * size + c] = _ZERO
    if spread is not None:
        spread[2 * slot], spread[2 * slot + 1] = _ZERO, _ZERO


@njit(**_OPTIONS)
def blend_tiles_backward(
    part,
    parts,
    records,
    record_size,
    ids,
    slots,
    offsets,
    ends,
    tile_columns,
    tile_height,
    background,
    image,
    alphas,
    v_image,
    v_alphas,
    grads,
    spread,
):
    """Gradients per (Gaussian, tile) slot into grads [I * (6 + D)]; see `_blend_backward`."""
    height, width = alphas.shape
    tiles = offsets.shape[0] - 1
    size = MOMENTS + len(background)
    planes = np.empty(_PIXELS * (4 + len(background)), np.float32)
    for tile in range(part * tiles // parts, (part + 1) * tiles // parts):
        x0, y0 = tile % tile_columns * TILE_WIDTH, tile // tile_columns * tile_height
        columns, rows = min(TILE_WIDTH, width - x0), min(tile_height, height - y0)
        _open_backward(planes, x0, y0, columns, rows, background, image, alphas, v_image, v_alphas)
        centre_x, centre_y = np.float32(x0) + _HALF, np.float32(y0) + _HALF
        top, bottom, k, end = 0, rows - 1, offsets[tile], ends[tile]
        while k < end:
            stop = min(k + _CHUNK, end)
            while k < stop:
                at = np.intp(ids[k]) * record_size
                if k + _AHEAD < end:
                    prefetch(records, np.intp(ids[k + _AHEAD]) * record_size)
                    prefetch(grads, np.intp(slots[k + _AHEAD]) * size)
                first, last = _row_range(records, at, centre_y, top, bottom)
                slot = np.intp(slots[k])
                if first <= last:
                    _fill_alphas(records, at, centre_x, centre_y, first, last, planes)
                    _blend_backward(
                        records, at, centre_x, centre_y, first, last, background, planes, grads, slot, spread
                    )
                else:
                    _skip_backward(grads, slot, size, spread)
                k += 1
            top, bottom = _live_rows(planes, top, bottom)
        for unread in range(end, offsets[tile + 1]):
            _skip_backward(grads, np.intp(slots[unread]), size, spread)
