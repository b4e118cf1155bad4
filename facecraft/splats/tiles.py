"""Sorting 2D Gaussians by depth and listing, for each tile of the picture, those that it sees, front to back.

A Gaussian becomes a record of floats in depth order. With the Cholesky factor of its conic in units of log2,
log2(alpha at (dx, dy)) = LOG2_OPACITY - (L11 dx + L21 dy)^2 - (L22 dy)^2, one exponential away from alpha.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from facecraft.splats.project import ALPHA_MIN
from facecraft.splats.scratch import scratch
from facecraft.splats.threads import run_parts

TILE_WIDTH, TILE_HEIGHT = 8, 16
# places in a record; HALF_* bound where alpha >= 1/255, TILT is dy at its rightmost point, REACH is log2(255 opacity)
X, Y, L11, L21, L22, LOG2_OPACITY, HALF_WIDTH, HALF_HEIGHT, TILT, REACH, COLOR = range(11)
LOG2_ALPHA_MIN = np.float32(math.log2(ALPHA_MIN))

_BINS = 11
_PARTS = 8
_OPTIONS = dict(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz", "arcp"})
_inline = njit(error_model="numpy", fastmath={"contract", "nsz", "arcp"}, forceinline=True)


@dataclass(frozen=True)
class TileLists:
    """Records in depth order and the list of each tile.

    `ids[offsets[t]:offsets[t + 1]]` are the ranks that tile t sees. Each (Gaussian, tile) pair also has a slot; the slots
    `starts[r]:starts[r + 1]` belong to rank r, so that gradients are summed in a fixed order without atomics.
    """

    order: np.ndarray  # [M] rank -> Gaussian
    records: np.ndarray  # [M * record_size] float32
    record_size: int
    offsets: np.ndarray  # [tiles + 1]
    ids: np.ndarray  # [I]
    slots: np.ndarray  # [I]
    starts: np.ndarray  # [M + 1]
    columns: int
    rows: int


def list_tiles(
    means2d: np.ndarray,  # [N, 2] px
    conics: np.ndarray,  # [N, 3] px^-2
    depths: np.ndarray,  # [N]
    radii: np.ndarray,  # [N, 2], <= 0: not seen
    colors: np.ndarray,  # [N, D]
    opacities: np.ndarray,  # [N]
    width: int,
    height: int,
) -> TileLists:
    """Sort by depth (stable), pack and bin. The lists are exact: a tile in which alpha stays under 1/255 is left out."""
    order = sort_by_depth(depths, radii)
    M, D = len(order), colors.shape[1]
    record_size = -(-(COLOR + D) // 16) * 16
    records = np.empty(M * record_size + 16, np.float32)
    run_parts(_pack, _PARTS, order, means2d, conics, colors, opacities, records, record_size)
    columns, rows = -(-width // TILE_WIDTH), -(-height // TILE_HEIGHT)
    counts = scratch("counts", (_PARTS, columns * rows), np.int32)
    counts[:] = 0
    run_parts(_count_tiles, _PARTS, records, record_size, M, columns, rows, counts)
    firsts = np.zeros(_PARTS, np.int64)
    np.cumsum(counts.sum(1, dtype=np.int64)[:-1], out=firsts[1:])
    offsets = _to_offsets(counts)
    ids, slots = np.empty(offsets[-1], np.int32), np.empty(offsets[-1], np.int32)
    starts = np.full(M + 1, offsets[-1], np.int32)
    run_parts(_fill_tiles, _PARTS, records, record_size, M, columns, rows, counts, firsts, ids, slots, starts)
    return TileLists(order, records, record_size, offsets, ids, slots, starts, columns, rows)


def sort_by_depth(depths: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Indices [M] of the Gaussians with a radius, near to far; equal depths (all > 0) keep their order."""
    N = len(depths)
    keys, ids, order = scratch("keys", (2, N), np.uint32), scratch("ids", (N,), np.int32), np.empty(N, np.int32)
    return order[: _radix_sort(depths, radii, keys[0], ids, keys[1], order)]


@intrinsic
def _bits(typing, value):
    """The bits of a float32: for positive numbers they sort like the number."""

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(types.uint32))

    return types.uint32(types.float32), codegen


@njit(**_OPTIONS)
def _radix_sort(depths, radii, keys, ids, keys_out, ids_out):
    """Stable radix sort of 3 x 11 bits; the result is in `ids_out`, its length is returned."""
    size = np.uint32(1 << _BINS)
    histogram = np.zeros((3, 1 << _BINS), np.int64)
    M = 0
    for i in range(depths.shape[0]):
        if radii[i, 0] > 0:
            key = _bits(depths[i])
            keys[M], ids[M] = key, i
            M += 1
            for digit in range(3):
                histogram[digit, (key >> np.uint32(_BINS * digit)) % size] += 1
    for digit in range(3):
        total = 0
        for bin in range(1 << _BINS):
            total, histogram[digit, bin] = total + histogram[digit, bin], total
    _scatter_digit(0, M, histogram, keys, ids, keys_out, ids_out)
    _scatter_digit(1, M, histogram, keys_out, ids_out, keys, ids)
    _scatter_digit(2, M, histogram, keys, ids, keys_out, ids_out)
    return M


@_inline
def _scatter_digit(digit, M, histogram, keys, ids, keys_out, ids_out):
    shift, size = np.uint32(_BINS * digit), np.uint32(1 << _BINS)
    for j in range(M):
        bin = (keys[j] >> shift) % size
        to = histogram[digit, bin]
        histogram[digit, bin] = to + 1
        keys_out[to], ids_out[to] = keys[j], ids[j]


@njit(**_OPTIONS)
def _pack(part, parts, order, means2d, conics, colors, opacities, records, record_size):
    M, D = order.shape[0], colors.shape[1]
    half_log2_e = 0.5 / math.log(2.0)
    for r in range(part * M // parts, (part + 1) * M // parts):
        i, at = order[r], r * record_size
        a, b, c = np.float64(conics[i, 0]), np.float64(conics[i, 1]), np.float64(conics[i, 2])
        det = max(a * c - b * b, 1e-30)
        l11 = math.sqrt(half_log2_e * a)
        log2_opacity = math.log2(opacities[i])
        reach = max(log2_opacity - LOG2_ALPHA_MIN, 0.0)
        half_width, half_height = math.sqrt(reach / half_log2_e * c / det), math.sqrt(reach / half_log2_e * a / det)
        records[at + X], records[at + Y] = means2d[i, 0], means2d[i, 1]
        records[at + L11], records[at + L21] = l11, half_log2_e * b / l11
        records[at + L22] = math.sqrt(half_log2_e * det / a)
        records[at + LOG2_OPACITY], records[at + REACH] = log2_opacity, reach
        records[at + HALF_WIDTH], records[at + HALF_HEIGHT] = half_width, half_height
        records[at + TILT] = -b / c * half_width
        for k in range(D):
            records[at + COLOR + k] = colors[i, k]


@_inline
def _pixel_tiles(low, high, tile, tiles):
    """First and last tile that hold a pixel centre in [low, high] px (1e-3 px of tolerance); last < first if none does."""
    first, last = math.ceil(low - 0.501), math.floor(high - 0.499)
    if last < first or last < 0 or first >= tile * tiles:
        return 0, -1
    return max(int(first), 0) // tile, min(int(last) // tile, tiles - 1)


@_inline
def _row_span(records, at, row, columns):
    """First and last tile column that the ellipse alpha >= 1/255 meets in a row of tiles."""
    x, y = records[at + X], records[at + Y]
    half_width, half_height, tilt = records[at + HALF_WIDTH], records[at + HALF_HEIGHT], records[at + TILT]
    top = np.float32(row * TILE_HEIGHT) + np.float32(0.5) - y
    bottom = np.float32(row * TILE_HEIGHT + TILE_HEIGHT) - np.float32(0.5) - y
    if top <= -half_height and half_height <= bottom:
        return _pixel_tiles(x - half_width, x + half_width, TILE_WIDTH, columns)
    top, bottom = max(top, -half_height), min(bottom, half_height)
    l21, l22, reach = records[at + L21], records[at + L22], records[at + REACH]
    zero, inverse = np.float32(0), np.float32(1) / records[at + L11]
    chord_top = math.sqrt(max(reach - (l22 * top) ** 2, zero))
    chord_bottom = math.sqrt(max(reach - (l22 * bottom) ** 2, zero))
    right = max(chord_top - l21 * top, chord_bottom - l21 * bottom) * inverse
    left = min(-chord_top - l21 * top, -chord_bottom - l21 * bottom) * inverse
    if top <= tilt and tilt <= bottom:
        right = half_width
    if top <= -tilt and -tilt <= bottom:
        left = -half_width
    return _pixel_tiles(x + left, x + right, TILE_WIDTH, columns)


@_inline
def _rows_of(records, at, rows):
    y, half = records[at + Y], records[at + HALF_HEIGHT]
    return _pixel_tiles(y - half, y + half, TILE_HEIGHT, rows)


@njit(**_OPTIONS)
def _count_tiles(part, parts, records, record_size, M, columns, rows, counts):
    for r in range(part * M // parts, (part + 1) * M // parts):
        at = r * record_size
        top, bottom = _rows_of(records, at, rows)
        for row in range(top, bottom + 1):
            left, right = _row_span(records, at, row, columns)
            for tile in range(row * columns + left, row * columns + right + 1):
                counts[part, tile] += 1


@njit(**_OPTIONS)
def _to_offsets(counts):
    """Turn counts [parts, tiles] into the place where each part starts to write in each tile; returns the tile offsets."""
    parts, tiles = counts.shape
    offsets = np.empty(tiles + 1, np.int32)
    total = 0
    for tile in range(tiles):
        offsets[tile] = total
        for part in range(parts):
            total, counts[part, tile] = total + counts[part, tile], total
    offsets[tiles] = total
    return offsets


@njit(**_OPTIONS)
def _fill_tiles(part, parts, records, record_size, M, columns, rows, places, firsts, ids, slots, starts):
    slot = firsts[part]
    for r in range(part * M // parts, (part + 1) * M // parts):
        at = r * record_size
        starts[r] = slot
        top, bottom = _rows_of(records, at, rows)
        for row in range(top, bottom + 1):
            left, right = _row_span(records, at, row, columns)
            for tile in range(row * columns + left, row * columns + right + 1):
                place = places[part, tile]
                places[part, tile] = place + 1
                ids[place], slots[place] = r, slot
                slot += 1
