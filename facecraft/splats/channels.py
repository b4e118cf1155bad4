"""Tuples of `float32x8`, one vector per colour channel, for numba functions.

The number of channels is the length of a tuple type, so one source gives one kernel per number, with the loops unrolled.
`like` is any tuple of that length. Planar arrays hold one plane of `stride` floats per channel.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from facecraft.splats.simd import address_of, constant, float32x8, load_vector, splat, store_vector, sum_lanes


def _vectors(like):
    return types.UniTuple(float32x8, like.count)


def _plane(builder, index, stride, channel):
    return builder.add(index, builder.mul(stride, ir.Constant(index.type, channel)))


def _unpack(builder, value, count):
    return [builder.extract_value(value, c) for c in range(count)]


@intrinsic
def zeros_like(typing, like):
    """A zero vector per channel."""

    def codegen(context, builder, signature, args):
        return context.make_tuple(builder, signature.return_type, [constant(0.0)] * like.count)

    return _vectors(like)(like), codegen


@intrinsic
def broadcast_channels(typing, array, index, like):
    """`array[index + c]` in all lanes of channel c."""

    def codegen(context, builder, signature, args):
        data, start, _ = args
        values = []
        for c in range(like.count):
            at = builder.add(start, ir.Constant(start.type, c))
            values.append(splat(builder, builder.load(address_of(context, builder, array, data, at))))
        return context.make_tuple(builder, signature.return_type, values)

    return _vectors(like)(array, types.intp, like), codegen


@intrinsic
def load_channels(typing, array, index, stride, like):
    """Eight values of each plane, from `array[index + c * stride]`."""

    def codegen(context, builder, signature, args):
        data, start, step, _ = args
        planes = (_plane(builder, start, step, c) for c in range(like.count))
        values = [load_vector(context, builder, array, data, at) for at in planes]
        return context.make_tuple(builder, signature.return_type, values)

    return _vectors(like)(array, types.intp, types.intp, like), codegen


@intrinsic
def store_channels(typing, array, index, stride, channels):
    """Write eight values to each plane."""

    def codegen(context, builder, signature, args):
        data, start, step, values = args
        for c, value in enumerate(_unpack(builder, values, channels.count)):
            store_vector(context, builder, array, data, _plane(builder, start, step, c), value)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, channels), codegen


@intrinsic
def add_scaled(typing, weight, channels, base):
    """`base + weight * channels`, channel by channel."""

    def codegen(context, builder, signature, args):
        weight, scaled, base = (
            args[0],
            _unpack(builder, args[1], channels.count),
            _unpack(builder, args[2], channels.count),
        )
        values = [builder.fadd(builder.fmul(weight, s), b) for s, b in zip(scaled, base, strict=True)]
        return context.make_tuple(builder, signature.return_type, values)

    return channels(float32x8, channels, channels), codegen


@intrinsic
def add_dot(typing, a, b, base):
    """`base` plus the sum over channels of `a * b`."""

    def codegen(context, builder, signature, args):
        result = args[2]
        for x, y in zip(_unpack(builder, args[0], a.count), _unpack(builder, args[1], a.count), strict=True):
            result = builder.fadd(builder.fmul(x, y), result)
        return result

    return float32x8(a, a, float32x8), codegen


# Pairs of lanes taken from two vectors a (0-7) and b (8-15), for the three steps that sum eight vectors at once. Each step adds
# what the first list picks to what the second picks; the halves of a register are crossed in the last step only.
_FOLDS = (
    ([0, 8, 1, 9, 4, 12, 5, 13], [2, 10, 3, 11, 6, 14, 7, 15]),
    ([0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15]),
    ([0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]),
)


def _eight_totals(builder, vectors):
    """One vector with the sums of the lanes of eight vectors, in their order."""
    for first, second in _FOLDS:
        masks = [ir.Constant(ir.VectorType(ir.IntType(32), 8), lanes) for lanes in (first, second)]
        pairs = zip(vectors[::2], vectors[1::2], strict=True)
        vectors = [builder.fadd(*(builder.shuffle_vector(a, b, mask) for mask in masks)) for a, b in pairs]
    return vectors[0]


@intrinsic
def store_totals(typing, array, index, channels):
    """`array[index + c]` = sum of the lanes of channel c."""

    def codegen(context, builder, signature, args):
        data, start, values = args
        vectors = _unpack(builder, values, channels.count)
        whole = len(vectors) - len(vectors) % 8
        for c in range(0, whole, 8):
            at = builder.add(start, ir.Constant(start.type, c))
            store_vector(context, builder, array, data, at, _eight_totals(builder, vectors[c : c + 8]))
        for c in range(whole, len(vectors)):
            at = builder.add(start, ir.Constant(start.type, c))
            builder.store(sum_lanes(builder, vectors[c]), address_of(context, builder, array, data, at))
        return context.get_dummy_value()

    return types.void(array, types.intp, channels), codegen
