"""Sorting 2D Gaussians by depth and listing, for each tile of the picture, those that it sees, front to back.

A Gaussian becomes a record of floats in depth order. With the Cholesky factor of its conic in units of log2,
log2(alpha at (dx, dy)) = LOG2_OPACITY - (L11 dx + L21 dy)^2 - (L22 dy)^2, one exponential away from alpha.

Lists are filled in two passes over parts of the Gaussians: the first packs the records and finds the tiles of each, as one
span per row of tiles; the second sorts these into the lists, once it is known how many come before.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from facecraft.splats.project import ALPHA_MIN
from facecraft.splats.scratch import recycled, scratch
from facecraft.splats.threads import run_parts

TILE_WIDTH = 8
TILE_HEIGHTS = (4, 8, 16)
# places in a record; HALF_* bound where alpha >= 1/255, TILT is dy at its rightmost point, REACH is log2(255 opacity)
X, Y, L11, L21, L22, LOG2_OPACITY, HALF_WIDTH, HALF_HEIGHT, TILT, REACH, COLOR = range(11)
LOG2_ALPHA_MIN = np.float32(math.log2(ALPHA_MIN))

_BINS = 11
_PARTS = 8
_BLOCK = 64
_SPANS = 4  # rows of tiles per Gaussian that there is room for at first
_WIDTH_SHIFT = TILE_WIDTH.bit_length() - 1
_OPTIONS = dict(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz", "arcp"})
_inline = njit(error_model="numpy", fastmath={"contract", "nsz", "arcp"}, forceinline=True)


@dataclass(frozen=True)
class TileLists:
    """Records in depth order and the list of each tile.

    `ids[offsets[t]:offsets[t + 1]]` are the ranks that tile t sees. Each (Gaussian, tile) pair also has a slot; the slots
    `starts[r]:starts[r + 1]` belong to rank r, so that gradients are summed in a fixed order without atomics.
    """

    order: np.ndarray  # [M] the Gaussian of each rank
    records: np.ndarray  # [M * record_size] float32
    record_size: int
    offsets: np.ndarray  # [tiles + 1]
    lists: np.ndarray  # [2 * I] ids, then slots
    starts: np.ndarray  # [M + 1]
    columns: int
    tile_height: int

    @property
    def ids(self) -> np.ndarray:
        """Ranks [I], tile by tile."""
        return self.lists[: len(self.lists) // 2]

    @property
    def slots(self) -> np.ndarray:
        """Slots [I], tile by tile."""
        return self.lists[len(self.lists) // 2 :]


def list_tiles(
    means2d: np.ndarray,  # [N, 2] px
    conics: np.ndarray,  # [N, 3] px^-2
    depths: np.ndarray,  # [N]
    radii: np.ndarray,  # [N, 2], <= 0: not seen
    colors: np.ndarray,  # [N, D]
    opacities: np.ndarray,  # [N]
    width: int,
    height: int,
    tile_height: int,
) -> TileLists:
    """Sort by depth (stable), pack and bin. The lists are exact: a tile in which alpha stays under 1/255 is left out."""
    order = sort_by_depth(depths, radii)
    M, D = len(order), colors.shape[1]
    record_size = -(-(COLOR + D) // 16) * 16
    records, starts = recycled("records", M * record_size + 16), np.empty(M + 1, np.int32)
    columns, rows = -(-width // TILE_WIDTH), -(-height // tile_height)
    counts = scratch("counts", (_PARTS, columns * rows + 1), np.int32)
    found = np.zeros((2, _PARTS), np.int64)
    inputs, grid = (order, means2d, conics, colors, opacities), (columns, rows, tile_height.bit_length() - 1)
    room = _SPANS * (M // _PARTS + 1)
    while True:
        spans = scratch("spans", (_PARTS, room, 3), np.int32)
        run_parts(_pack, _PARTS, *inputs, *grid, records, record_size, starts, counts, spans, *found)
        if found[0].max() <= room:
            break
        room = int(found[0].max())
    offsets = _to_offsets(counts)
    tiles = TileLists(
        order,
        records,
        record_size,
        offsets,
        recycled("lists", 2 * offsets[-1], np.int32),
        starts,
        columns,
        tile_height,
    )
    starts[M] = offsets[-1]
    firsts = np.cumsum(found[1]) - found[1]
    run_parts(_fill_lists, _PARTS, M, firsts, spans, found[0], counts, starts, tiles.ids, tiles.slots)
    return tiles


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


@_inline
def _write_record(records, at, i, means2d, conics, colors, opacities):
    half_log2_e = 0.5 / math.log(2.0)
    a, b, c = np.float64(conics[i, 0]), np.float64(conics[i, 1]), np.float64(conics[i, 2])
    det = max(a * c - b * b, 1e-30)
    l11 = math.sqrt(half_log2_e * a)
    log2_opacity = math.log2(opacities[i])
    reach = max(log2_opacity - LOG2_ALPHA_MIN, 0.0)
    extent = reach / (half_log2_e * det)
    half_width = math.sqrt(extent * c)
    records[at + X], records[at + Y] = means2d[i, 0], means2d[i, 1]
    records[at + L11], records[at + L21] = l11, half_log2_e * b / l11
    records[at + L22] = math.sqrt(half_log2_e * det / a)
    records[at + LOG2_OPACITY], records[at + REACH] = log2_opacity, reach
    records[at + HALF_WIDTH], records[at + HALF_HEIGHT] = half_width, math.sqrt(extent * a)
    records[at + TILT] = -b / c * half_width
    for k in range(colors.shape[1]):
        records[at + COLOR + k] = colors[i, k]


@_inline
def _pixel_tiles(low, high, shift, tiles):
    """First and last of tiles of 2^shift pixels with a pixel centre in [low, high] px (1e-3 px of tolerance); last < first
    if none has."""
    first, last = int(math.ceil(low - 0.501)), int(math.floor(high - 0.499))
    return max(first, 0) >> shift, min(last >> shift, tiles - 1) if first <= last else -1


@_inline
def _row_span(records, at, row, columns, height_shift):
    """First and last tile column that the ellipse alpha >= 1/255 meets in a row of tiles."""
    x, y = records[at + X], records[at + Y]
    half_width, half_height, tilt = records[at + HALF_WIDTH], records[at + HALF_HEIGHT], records[at + TILT]
    top = np.float32(row << height_shift) + np.float32(0.5) - y
    bottom = np.float32((row + 1) << height_shift) - np.float32(0.5) - y
    top, bottom = max(top, -half_height), min(bottom, half_height)
    l21, l22, reach = records[at + L21], records[at + L22], records[at + REACH]
    zero, inverse = np.float32(0), np.float32(1) / records[at + L11]
    chord_top = math.sqrt(max(reach - (l22 * top) ** 2, zero))
    chord_bottom = math.sqrt(max(reach - (l22 * bottom) ** 2, zero))
    right = max(chord_top - l21 * top, chord_bottom - l21 * bottom) * inverse
    left = min(-chord_top - l21 * top, -chord_bottom - l21 * bottom) * inverse
    right = half_width if (top <= tilt) & (tilt <= bottom) else right
    left = -half_width if (top <= -tilt) & (-tilt <= bottom) else left
    return _pixel_tiles(x + left, x + right, _WIDTH_SHIFT, columns)


@njit(**_OPTIONS)
def _pack(
    part,
    parts,
    order,
    means2d,
    conics,
    colors,
    opacities,
    columns,
    rows,
    height_shift,
    records,
    record_size,
    starts,
    counts,
    spans,
    span_counts,
    slot_counts,
):
    """Records, and `spans` [parts, room, 3] (rank, first and last tile) of each part in order, `span_counts` many.

    Spans beyond the room are counted only. `starts` is the first slot of a rank within the part. The running sum of
    `counts` [parts, tiles + 1] is how often the part sees a tile.
    """
    M, room, span, slot = order.shape[0], spans.shape[1], 0, 0
    counts[part] = 0
    end = (part + 1) * M // parts
    for start in range(part * M // parts, end, _BLOCK):
        stop = min(start + _BLOCK, end)
        # a loop of its own: the branches below would wait for its roots and logarithms
        for r in range(start, stop):
            _write_record(records, r * record_size, order[r], means2d, conics, colors, opacities)
        for r in range(start, stop):
            at = r * record_size
            starts[r] = slot
            y, half_height = records[at + Y], records[at + HALF_HEIGHT]
            top, bottom = _pixel_tiles(y - half_height, y + half_height, height_shift, rows)
            for row in range(top, bottom + 1):
                left, right = _row_span(records, at, row, columns, height_shift)
                if left <= right:
                    first, last = row * columns + left, row * columns + right
                    counts[part, first] += 1
                    counts[part, last + 1] -= 1
                    if span < room:
                        spans[part, span, 0], spans[part, span, 1], spans[part, span, 2] = r, first, last
                    span += 1
                    slot += last - first + 1
    span_counts[part], slot_counts[part] = span, slot


@njit(**_OPTIONS)
def _to_offsets(counts):
    """Turn counts [parts, tiles + 1] into the place where each part starts to write in each tile; returns the tile offsets."""
    parts, tiles = counts.shape[0], counts.shape[1] - 1
    offsets, seen = np.empty(tiles + 1, np.int32), np.zeros(parts, np.int32)
    total = 0
    for tile in range(tiles):
        offsets[tile] = total
        for part in range(parts):
            seen[part] += counts[part, tile]
            counts[part, tile] = total
            total += seen[part]
    offsets[tiles] = total
    return offsets


@njit(**_OPTIONS)
def _fill_lists(part, parts, M, firsts, spans, span_counts, places, starts, ids, slots):
    """Sort the spans of a part into the lists, from `places` on; its slots begin at `firsts[part]`."""
    slot = firsts[part]
    for r in range(part * M // parts, (part + 1) * M // parts):
        starts[r] += slot
    for span in range(span_counts[part]):
        for tile in range(spans[part, span, 1], spans[part, span, 2] + 1):
            place = places[part, tile]
            places[part, tile] = place + 1
            ids[place], slots[place] = spans[part, span, 0], slot
            slot += 1
