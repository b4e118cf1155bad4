"""Rows of arrays [N, K] or [N] as tuples of K `float64x8`, eight rows at once, for numba functions.

Lane j is row `row + j`, and lanes beyond the row `last` repeat it: whatever is computed by lane and written back to the same
rows needs no care at the end of an array. `like` is any tuple of length K. Arrays are contiguous float32 or int32.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from facecraft.splats.simd import LANES, constant, float64x8, mask8


def _lane_places(builder, row, last, columns):
    """Where the rows of the lanes begin in the array."""
    places = []
    for lane in range(LANES):
        index = builder.add(row, ir.Constant(row.type, lane))
        index = builder.select(builder.icmp_signed("<", index, last), index, last)
        places.append(builder.mul(index, ir.Constant(row.type, columns)))
    return places


def _element(builder, data, place, column):
    return builder.gep(data, [builder.add(place, ir.Constant(place.type, column))])


def _lane(lane):
    return ir.Constant(ir.IntType(32), lane)


@intrinsic
def load_rows(typing, array, row, last, like):
    """The numbers of eight rows, one vector per column."""

    def codegen(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        places = _lane_places(builder, args[1], args[2], like.count)
        widen = builder.fpext if isinstance(array.dtype, types.Float) else builder.sitofp
        columns = []
        for column in range(like.count):
            vector = ir.Constant(ir.VectorType(data.type.pointee, LANES), ir.Undefined)
            for lane, place in enumerate(places):
                number = builder.load(_element(builder, data, place, column))
                vector = builder.insert_element(vector, number, _lane(lane))
            columns.append(widen(vector, float64x8.llvm))
        return context.make_tuple(builder, signature.return_type, columns)

    return types.UniTuple(float64x8, like.count)(array, types.intp, types.intp, like), codegen


@intrinsic
def store_rows(typing, array, row, last, values):
    """Write a vector per column to eight rows, as the array's numbers."""

    def codegen(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        places = _lane_places(builder, args[1], args[2], values.count)
        narrow = builder.fptrunc if isinstance(array.dtype, types.Float) else builder.fptosi
        for column in range(values.count):
            vector = narrow(builder.extract_value(args[3], column), ir.VectorType(data.type.pointee, LANES))
            for lane, place in enumerate(places):
                number = builder.extract_element(vector, _lane(lane))
                builder.store(number, _element(builder, data, place, column))
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, values), codegen


@intrinsic
def add_columns(typing, a, b):
    """The sums of two tuples of vectors, column by column."""

    def codegen(context, builder, signature, args):
        pairs = ([builder.extract_value(arg, column) for arg in args] for column in range(a.count))
        return context.make_tuple(builder, signature.return_type, [builder.fadd(*pair) for pair in pairs])

    return a(a, b), codegen


@intrinsic
def keep_columns(typing, mask, values):
    """A tuple of vectors where the mask holds, else 0."""

    def codegen(context, builder, signature, args):
        columns = (builder.extract_value(args[1], column) for column in range(values.count))
        kept = [builder.select(args[0], column, constant(0.0, float64x8.llvm)) for column in columns]
        return context.make_tuple(builder, signature.return_type, kept)

    return values(mask8, values), codegen
