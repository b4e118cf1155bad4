"""2^x and log2(x) of eight floats at once, as polynomials without branches."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from facecraft.splats.simd import LANES, constant, float32x8

_INT_VECTOR = ir.VectorType(ir.IntType(32), LANES)
# 2^f on [-1/2, 1/2]: minimax in relative error by Lawson's iteration, 2.3e-7 after rounding to float32
_EXP2 = (
    1.0000001192092896,
    0.6931469440460205,
    0.24022120237350464,
    0.05550713092088699,
    0.009675540961,
    0.001327647245,
)
# log2(m) / s in powers of s^2 with s = (m - 1) / (m + 1), m on [sqrt(1/2), sqrt(2)]: the same way, 6.9e-10
_LOG2 = (2.885390079789552, 0.9617988471391559, 0.5767144400496329, 0.4317343730821624)
_ROOT_HALF_BITS = {types.float32: 0x3F3504F3, types.float64: 0x3FE6A09E667F3BCD}
_MANTISSA_BITS = {types.float32: 23, types.float64: 52}


@intrinsic
def exp2(typing, a):
    """2^a for -126 < a <= 1/2, relative error 2.3e-7; monotone enough above to stay over 1; undefined below."""

    def codegen(context, builder, signature, args):
        # truncation of a - 1/2 rounds a negative a to the nearest integer on every instruction set, unlike llvm.rint
        whole = builder.fptosi(builder.fsub(args[0], constant(0.5)), _INT_VECTOR)
        f = builder.fsub(args[0], builder.sitofp(whole, float32x8.llvm))
        c = [constant(x, float32x8.llvm) for x in _EXP2]
        pairs = [builder.fadd(builder.fmul(c[k + 1], f), c[k]) for k in (0, 2, 4)]
        f2 = builder.fmul(f, f)
        high = builder.fadd(builder.fmul(pairs[2], f2), pairs[1])
        mantissa = builder.fadd(builder.fmul(high, f2), pairs[0])
        exponent = builder.shl(whole, constant(23, _INT_VECTOR))
        return builder.bitcast(builder.add(builder.bitcast(mantissa, _INT_VECTOR), exponent), float32x8.llvm)

    return float32x8(float32x8), codegen


@intrinsic
def log2(typing, a):
    """Logarithm to base 2 of normal positive numbers, relative error 1e-9 for doubles; undefined for others."""

    def codegen(context, builder, signature, args):
        vector, scalar = a.llvm, a.scalar
        integers = ir.VectorType(ir.IntType(scalar.bitwidth), LANES)
        shift = constant(_MANTISSA_BITS[scalar], integers)
        bits = builder.bitcast(args[0], integers)
        whole = builder.ashr(builder.sub(bits, constant(_ROOT_HALF_BITS[scalar], integers)), shift)
        mantissa = builder.bitcast(builder.sub(bits, builder.shl(whole, shift)), vector)
        one = constant(1.0, vector)
        s = builder.fdiv(builder.fsub(mantissa, one), builder.fadd(mantissa, one))
        square, sum = builder.fmul(s, s), constant(_LOG2[-1], vector)
        for coefficient in _LOG2[-2::-1]:
            sum = builder.fadd(builder.fmul(sum, square), constant(coefficient, vector))
        return builder.fadd(builder.fmul(sum, s), builder.sitofp(whole, vector))

    return a(a), codegen
