"""Rotations by quaternions wxyz and their derivative, for numba functions; each part is a `float64x8`."""

from numba import njit

from facecraft.splats.simd import root

inline = njit(error_model="numpy", fastmath={"contract", "arcp"}, forceinline=True)


@inline
def unit_quat(q):
    """Normalised quaternion wxyz and 1 / its former length."""
    w, x, y, z = q
    inverse = 1.0 / root(w * w + x * x + y * y + z * z)
    return (w * inverse, x * inverse, y * inverse, z * inverse), inverse


@inline
def rotation(q):
    """Rows of the matrix of a unit quaternion."""
    w, x, y, z = q
    return (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )


@inline
def unit_quat_grad(q, T, d0, d1):
    """Gradient by the unit quaternion from the gradient d0, d1 by the rows of T R, T [2, 3]."""
    w, x, y, z = q
    g0 = (T[0][0] * d0[0] + T[1][0] * d1[0], T[0][0] * d0[1] + T[1][0] * d1[1], T[0][0] * d0[2] + T[1][0] * d1[2])
    g1 = (T[0][1] * d0[0] + T[1][1] * d1[0], T[0][1] * d0[1] + T[1][1] * d1[1], T[0][1] * d0[2] + T[1][1] * d1[2])
    g2 = (T[0][2] * d0[0] + T[1][2] * d1[0], T[0][2] * d0[1] + T[1][2] * d1[1], T[0][2] * d0[2] + T[1][2] * d1[2])
    turn_x, turn_y, turn_z = g2[1] - g1[2], g0[2] - g2[0], g1[0] - g0[1]
    xy, xz, yz = g0[1] + g1[0], g0[2] + g2[0], g1[2] + g2[1]
    return (
        2 * (x * turn_x + y * turn_y + z * turn_z),
        2 * (w * turn_x + y * xy + z * xz - 2 * x * (g1[1] + g2[2])),
        2 * (w * turn_y + x * xy + z * yz - 2 * y * (g0[0] + g2[2])),
        2 * (w * turn_z + x * xz + y * yz - 2 * z * (g0[0] + g1[1])),
    )


@inline
def quat_grad(g, q, inverse):
    """Gradient by a quaternion before it was normalised: the part of g across the unit quaternion q, over its former length."""
    along = g[0] * q[0] + g[1] * q[1] + g[2] * q[2] + g[3] * q[3]
    return (
        (g[0] - along * q[0]) * inverse,
        (g[1] - along * q[1]) * inverse,
        (g[2] - along * q[2]) * inverse,
        (g[3] - along * q[3]) * inverse,
    )
