"""Eight floats at once inside numba functions, as LLVM vector code.

numba leaves vectorisation to LLVM, which fails on loops with masks and an exponential (2 to 12 times slower, measured).
Here a vector is a numba type of its own, `float32x8` or `float64x8`, with + - * /, comparisons (which give a mask, combined by
&) and the functions below. A scalar operand is broadcast. LLVM lowers the vectors to whatever the processor has: one AVX
register, two SSE or NEON ones, twice as many for doubles. `channels` are tuples of vectors, one per colour channel, `rows`
those of arrays [N, K]; their number is known at compile time.

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


class VectorType(types.Type):
    """Eight numbers of the numba type `scalar`."""

    def __init__(self, scalar):
        self.scalar = scalar
        self.llvm = ir.VectorType(ir.DoubleType() if scalar == types.float64 else ir.FloatType(), LANES)
        super().__init__(name=f"{scalar}x{LANES}")


class _MaskType(types.Type):
    def __init__(self):
        super().__init__(name="mask8")


float32x8, float64x8 = VectorType(types.float32), VectorType(types.float64)
mask8 = _MaskType()


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, numba_type):
        super().__init__(manager, numba_type, numba_type.llvm)


@register_model(_MaskType)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager, numba_type):
        super().__init__(manager, numba_type, _MASK)


def constant(value, vector=_VECTOR):
    return ir.Constant(vector, [value] * LANES)


def splat(builder, scalar):
    undefined = ir.Constant(ir.VectorType(scalar.type, LANES), ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(_INT, 0))
    return builder.shuffle_vector(first, undefined, constant(0, _INT_VECTOR))


def _vector_among(*operands):
    """The type that vectors and numbers have in common; None when there is none."""
    vectors = {t for t in operands if isinstance(t, VectorType)}
    numbers = all(isinstance(t, (VectorType, types.Number)) for t in operands)
    return vectors.pop() if len(vectors) == 1 and numbers else None


def _as_vectors(context, builder, args, operands):
    vector = _vector_among(*operands)
    return [
        x if t == vector else splat(builder, context.cast(builder, x, t, vector.scalar))
        for x, t in zip(args, operands, strict=True)
    ]


def _register_operator(function, instruction, result=None):
    """Make `function` (of the operator module) work on a vector and a vector or number, by the LLVM `instruction`."""

    @type_callable(function)
    def _(context):
        def typer(a, b):
            vector = _vector_among(a, b)
            return vector and (result or vector)

        return typer

    def lower(context, builder, signature, args):
        return instruction(builder, *_as_vectors(context, builder, args, signature.args))

    for pair in ((VectorType, VectorType), (VectorType, types.Number), (types.Number, VectorType)):
        lower_builtin(function, *pair)(lower)


for _names, _instruction in (
    (("add", "iadd"), ir.IRBuilder.fadd),
    (("sub", "isub"), ir.IRBuilder.fsub),
    (("mul", "imul"), ir.IRBuilder.fmul),
    (("truediv", "itruediv"), ir.IRBuilder.fdiv),
):
    for _name in _names:
        _register_operator(getattr(operator, _name), _instruction)

for _name, _symbol in (("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">=")):
    _register_operator(
        getattr(operator, _name), lambda builder, a, b, symbol=_symbol: builder.fcmp_ordered(symbol, a, b), mask8
    )


@type_callable(operator.neg)
def _type_neg(context):
    return lambda a: a if isinstance(a, VectorType) else None


@lower_builtin(operator.neg, VectorType)
def _lower_neg(context, builder, signature, args):
    return builder.fneg(args[0])


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
    """`yes` where the mask holds, else `no`; one of them may be a number."""

    def codegen(context, builder, signature, args):
        return builder.select(args[0], *_as_vectors(context, builder, args[1:], signature.args[1:]))

    return _vector_among(yes, no)(mask8, yes, no), codegen


def _chosen_by(symbol):
    def codegen(context, builder, signature, args):
        a, b = _as_vectors(context, builder, args, signature.args)
        return builder.select(builder.fcmp_ordered(symbol, a, b), a, b)

    return codegen


@intrinsic
def minimum(typing, a, b):
    """The smaller of each pair, one of which may be a number; `b` where `a` is not a number."""
    return _vector_among(a, b)(a, b), _chosen_by("<")


@intrinsic
def maximum(typing, a, b):
    """The larger of each pair, one of which may be a number; `b` where `a` is not a number."""
    return _vector_among(a, b)(a, b), _chosen_by(">")


def _by_llvm(name):
    def codegen(context, builder, signature, args):
        (vector,) = (argument.type for argument in args)
        full_name = f"{name}.v{LANES}{vector.element.intrinsic_name}"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector]), full_name)
        return builder.call(function, args)

    return codegen


@intrinsic
def root(typing, a):
    """Square root."""
    return a(a), _by_llvm("llvm.sqrt")


@intrinsic
def round_up(typing, a):
    """The next whole number."""
    return a(a), _by_llvm("llvm.ceil")


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


def sum_lanes(builder, vector):
    """Sum of the lanes as a tree with a fixed order."""
    undefined = ir.Constant(vector.type, ir.Undefined)
    for step in (4, 2, 1):
        order = ir.Constant(_INT_VECTOR, [(k + step) % LANES for k in range(LANES)])
        vector = builder.fadd(vector, builder.shuffle_vector(vector, undefined, order))
    return builder.extract_element(vector, ir.Constant(_INT, 0))


@intrinsic
def total(typing, a):
    """Sum of the eight lanes."""
    return a.scalar(a), lambda context, builder, signature, args: sum_lanes(builder, args[0])


@intrinsic
def any_lane(typing, mask):
    """True when the mask holds somewhere."""

    def codegen(context, builder, signature, args):
        bits = builder.bitcast(args[0], ir.IntType(LANES))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    return types.boolean(mask8), codegen
