"""Eight floats at once inside numba functions, as LLVM vector code.

numba leaves vectorisation to LLVM, which fails on loops with masks and an exponential (2 to 12 times slower, measured).
Here a vector is a numba type of its own, `float32x8`, with + - * /, comparisons (which give a mask, combined by &) and the
functions below. A scalar operand is broadcast. LLVM lowers the vectors to whatever the processor has: one AVX register, two
SSE or NEON ones. `channels` are tuples of vectors, one per colour channel; their number is known at compile time.

Floating-point rules are those of the `fastmath` of the function that uses the vectors. numba's disk cache does not see a
change of this file: touch the file of the kernels as well.
"""

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

LANES = 8
_INT = ir.IntType(32)
_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_INT_VECTOR = ir.VectorType(_INT, LANES)
_MASK = ir.VectorType(ir.IntType(1), LANES)

# 2^f on [-1/2, 1/2]: minimax in relative error by Lawson's iteration, 2.3e-7 after rounding to float32
_EXP2 = (
    1.0000001192092896,
    0.6931469440460205,
    0.24022120237350464,
    0.05550713092088699,
    0.009675540961,
    0.001327647245,
)


class _VectorType(types.Type):
    def __init__(self):
        super().__init__(name="float32x8")


class _MaskType(types.Type):
    def __init__(self):
        super().__init__(name="mask8")


float32x8 = _VectorType()
mask8 = _MaskType()


@register_model(_VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, numba_type):
        super().__init__(manager, numba_type, _VECTOR)


@register_model(_MaskType)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager, numba_type):
        super().__init__(manager, numba_type, _MASK)


def constant(value, vector=_VECTOR):
    return ir.Constant(vector, [value] * LANES)


def splat(builder, scalar):
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(_INT, 0))
    return builder.shuffle_vector(first, undefined, constant(0, _INT_VECTOR))


def _as_vector(context, builder, value, numba_type):
    if numba_type == float32x8:
        return value
    return splat(builder, context.cast(builder, value, numba_type, types.float32))


def _register_operator(function, instruction, result):
    """Make `function` (of the operator module) work on a vector and a vector or number, by the LLVM `instruction`."""

    @type_callable(function)
    def _(context):
        def typer(a, b):
            pair = (a, b)
            if float32x8 in pair and all(t == float32x8 or isinstance(t, types.Number) for t in pair):
                return result

        return typer

    def lower(context, builder, signature, args):
        a, b = (_as_vector(context, builder, x, t) for x, t in zip(args, signature.args, strict=True))
        return instruction(builder, a, b)

    for pair in ((float32x8, float32x8), (float32x8, types.Number), (types.Number, float32x8)):
        lower_builtin(function, *pair)(lower)


for _names, _instruction in (
    (("add", "iadd"), ir.IRBuilder.fadd),
    (("sub", "isub"), ir.IRBuilder.fsub),
    (("mul", "imul"), ir.IRBuilder.fmul),
    (("truediv", "itruediv"), ir.IRBuilder.fdiv),
):
    for _name in _names:
        _register_operator(getattr(operator, _name), _instruction, float32x8)

for _name, _symbol in (("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">=")):
    _register_operator(
        getattr(operator, _name), lambda builder, a, b, symbol=_symbol: builder.fcmp_ordered(symbol, a, b), mask8
    )


@type_callable(operator.and_)
def _type_and(context):
    return lambda a, b: mask8 if a == mask8 and b == mask8 else None


@lower_builtin(operator.and_, mask8, mask8)
def _lower_and(context, builder, signature, args):
    return builder.and_(*args)


def address_of(context, builder, array_type, array, index):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [index])


def load_vector(context, builder, array_type, array, index):
    address = address_of(context, builder, array_type, array, index)
    return builder.load(builder.bitcast(address, _VECTOR.as_pointer()), align=4)


def store_vector(context, builder, array_type, array, index, value):
    address = address_of(context, builder, array_type, array, index)
    builder.store(value, builder.bitcast(address, _VECTOR.as_pointer()), align=4)


@intrinsic
def load(typing, array, index):
    """`array[index:index + 8]` of a contiguous float32 array, unchecked."""

    def codegen(context, builder, signature, args):
        return load_vector(context, builder, signature.args[0], *args)

    return float32x8(array, types.intp), codegen


@intrinsic
def store(typing, array, index, value):
    """`array[index:index + 8] = value`, unchecked."""

    def codegen(context, builder, signature, args):
        store_vector(context, builder, signature.args[0], *args)
        return context.get_dummy_value()

    return types.void(array, types.intp, float32x8), codegen


@intrinsic
def prefetch(typing, array, index):
    """Ask for the cache line of `array[index]`."""

    def codegen(context, builder, signature, args):
        address = builder.bitcast(address_of(context, builder, signature.args[0], *args), cgutils.voidptr_t)
        function = ir.FunctionType(ir.VoidType(), [address.type, _INT, _INT, _INT])
        flags = [ir.Constant(_INT, 0), ir.Constant(_INT, 3), ir.Constant(_INT, 1)]
        builder.call(builder.module.declare_intrinsic("llvm.prefetch", [address.type], function), [address, *flags])
        return context.get_dummy_value()

    return types.void(array, types.intp), codegen


@intrinsic
def broadcast(typing, value):
    """A vector of eight times `value`."""
    return float32x8(types.float32), lambda context, builder, signature, args: splat(builder, args[0])


@intrinsic
def lane_numbers(typing):
    """0, 1, ... 7."""
    return float32x8(), lambda *_: ir.Constant(_VECTOR, [float(k) for k in range(LANES)])


@intrinsic
def select(typing, mask, yes, no):
    """`yes` where the mask holds, else `no`."""
    return float32x8(mask8, float32x8, float32x8), lambda context, builder, signature, args: builder.select(*args)


@intrinsic
def minimum(typing, a, b):
    """The smaller of each pair; `b` where `a` is not a number."""

    def codegen(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered("<", *args), *args)

    return float32x8(float32x8, float32x8), codegen


def _with_sign(operation, bits):
    def codegen(context, builder, signature, args):
        integers = operation(builder, builder.bitcast(args[0], _INT_VECTOR), constant(bits, _INT_VECTOR))
        return builder.bitcast(integers, _VECTOR)

    return codegen


@intrinsic
def absolute(typing, a):
    """|a|."""
    return float32x8(float32x8), _with_sign(ir.IRBuilder.and_, 0x7FFFFFFF)


@intrinsic
def negative_absolute(typing, a):
    """-|a|."""
    return float32x8(float32x8), _with_sign(ir.IRBuilder.or_, -0x80000000)


@intrinsic
def exp2(typing, a):
    """2^a for -126 < a <= 1/2, relative error 2.3e-7; monotone enough above to stay over 1; undefined below."""

    def codegen(context, builder, signature, args):
        # truncation of a - 1/2 rounds a negative a to the nearest integer on every instruction set, unlike llvm.rint
        whole = builder.fptosi(builder.fsub(args[0], constant(0.5)), _INT_VECTOR)
        f = builder.fsub(args[0], builder.sitofp(whole, _VECTOR))
        c = [constant(x) for x in _EXP2]
        pairs = [builder.fadd(builder.fmul(c[k + 1], f), c[k]) for k in (0, 2, 4)]
        f2 = builder.fmul(f, f)
        high = builder.fadd(builder.fmul(pairs[2], f2), pairs[1])
        mantissa = builder.fadd(builder.fmul(high, f2), pairs[0])
        exponent = builder.shl(whole, constant(23, _INT_VECTOR))
        return builder.bitcast(builder.add(builder.bitcast(mantissa, _INT_VECTOR), exponent), _VECTOR)

    return float32x8(float32x8), codegen


def sum_lanes(builder, vector):
    """Sum of the lanes as a tree with a fixed order."""
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    for step in (4, 2, 1):
        order = ir.Constant(_INT_VECTOR, [(k + step) % LANES for k in range(LANES)])
        vector = builder.fadd(vector, builder.shuffle_vector(vector, undefined, order))
    return builder.extract_element(vector, ir.Constant(_INT, 0))


@intrinsic
def total(typing, a):
    """Sum of the eight lanes."""
    return types.float32(float32x8), lambda context, builder, signature, args: sum_lanes(builder, args[0])


@intrinsic
def any_lane(typing, mask):
    """True when the mask holds somewhere."""

    def codegen(context, builder, signature, args):
        bits = builder.bitcast(args[0], ir.IntType(LANES))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    return types.boolean(mask8), codegen
