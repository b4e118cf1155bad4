"""Gaussians bound to the triangles of a mesh: they move, turn and grow with them.

The binding of GaussianAvatars: Qian et al., "GaussianAvatars: Photorealistic Head Avatars with Rigged 3D Gaussians",
CVPR 2024, section 3.1. Every triangle carries a frame (rotation R, size s, centre T) and its Gaussians live in it:
mean = s R mean' + T, quaternion = quat(R) quat', scale = s scale'.

Colours do not turn with the triangles: spherical harmonics above degree 0 stay in the frame of the vertices, as they do in
GaussianAvatars (facecraft.splats.colors).
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from facecraft.splats.gaussians import Gaussians

_SHORTEST_M = 1e-8
"""Edges and heights below this count as nothing: float32 cannot tell their direction at the size of a head."""


def triangle_frames(
    vertices: Tensor,  # [..., V, 3] m
    faces: Tensor,  # [F, 3] long
) -> tuple[Tensor, Tensor, Tensor]:
    """Rotations [..., F, 3, 3], sizes [..., F] in m and centres [..., F, 3] of triangles.

    Columns of the rotation: the first edge, the outward normal, and their cross product, which lies in the triangle.
    The size is the mean of the first edge's length and the height over it. A triangle without area gets some rotation
    and one without extent a size of 1e-8 m; their derivatives are finite (0 in the directions that are not defined).
    """
    a, b, c = (vertices[..., faces[:, i], :] for i in range(3))
    edge, side = b - a, c - a
    along, length = _direction(edge, _some_axis(edge))
    across, height = _direction(torch.linalg.cross(along, side), _perpendicular(along))
    rotations = torch.stack([along, across, torch.linalg.cross(along, across)], -1)
    # |first edge x side| is the height over the edge, as the edge has length 1
    sizes = ((length + height) / 2).clamp_min(_SHORTEST_M)
    return rotations, sizes, (a + b + c) / 3


def _direction(vectors: Tensor, otherwise: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors [..., 3] and lengths [...]; `otherwise` and 0 where a vector has no length."""
    squared = (vectors**2).sum(-1, keepdim=True)
    some = squared > _SHORTEST_M**2
    lengths = torch.where(some, squared, 1).sqrt()
    return torch.where(some, vectors / lengths, otherwise), torch.where(some, lengths, 0)[..., 0]


def _some_axis(like: Tensor) -> Tensor:
    return torch.tensor([1.0, 0, 0], dtype=like.dtype, device=like.device)


def _perpendicular(units: Tensor) -> Tensor:
    """Some unit vector perpendicular to each of `units` [..., 3]: crossed with the axis it is least along."""
    least = torch.nn.functional.one_hot(units.detach().abs().argmin(-1), 3).to(units.dtype)
    return normalize(torch.linalg.cross(units.detach(), least), dim=-1)


def multiply_quaternions(
    p: Tensor,  # [..., 4] wxyz
    q: Tensor,  # [..., 4] wxyz
) -> Tensor:
    """Hamilton product [..., 4]: the rotation q followed by p."""
    pw, px, py, pz = p.unbind(-1)
    qw, qx, qy, qz = q.unbind(-1)
    return torch.stack(
        [
            pw * qw - px * qx - py * qy - pz * qz,
            pw * qx + px * qw + py * qz - pz * qy,
            pw * qy - px * qz + py * qw + pz * qx,
            pw * qz + px * qy - py * qx + pz * qw,
        ],
        -1,
    )


def conjugate_quaternions(
    q: Tensor,  # [..., 4] wxyz
) -> Tensor:
    """The inverse rotations [..., 4] of unit quaternions."""
    return q * torch.tensor([1.0, -1, -1, -1], dtype=q.dtype, device=q.device)


def quaternions_from_matrices(
    rotations: Tensor,  # [..., 3, 3]
) -> Tensor:
    """Unit quaternions [..., 4] wxyz of rotation matrices; their sign is free.

    The entries of R give 4 q q^T, whose rows are all parallel to q; the longest row (norm >= 2) is normalised, so that
    values and derivatives are well conditioned at every angle (Shepperd 1978, all four branches at once).
    """
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = (row.unbind(-1) for row in rotations.unbind(-2))
    w, x, y, z = 1 + xx + yy + zz, 1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz
    wx, wy, wz, xy, xz, yz = zy - yz, xz - zx, yx - xy, xy + yx, xz + zx, yz + zy
    outer = torch.stack([w, wx, wy, wz, wx, x, xy, xz, wy, xy, y, yz, wz, xz, yz, z], -1).unflatten(-1, (4, 4))
    best = torch.stack([w, x, y, z], -1).argmax(-1)[..., None, None].expand(*w.shape, 1, 4)
    return normalize(outer.gather(-2, best)[..., 0, :], dim=-1)


def matrices_from_quaternions(
    quats: Tensor,  # [..., 4] wxyz, any length but 0
) -> Tensor:
    """Rotation matrices [..., 3, 3]."""
    w, x, y, z = normalize(quats, dim=-1).unbind(-1)
    rows = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    ]
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def local_to_world(
    local: Gaussians,
    binding: Tensor,  # [N] long, the face of each Gaussian
    vertices: Tensor,  # [V, 3] m
    faces: Tensor,  # [F, 3] long
) -> Gaussians:
    """Gaussians of the frames of their triangles in the frame of `vertices`; differentiable in both.

    Lengths of `local` are in sizes of the triangle. Quaternions come out with unit length.
    """
    rotations, sizes, centres = triangle_frames(vertices, faces)
    turns = quaternions_from_matrices(rotations)
    scaled = (rotations * sizes[:, None, None])[binding]
    return Gaussians(
        (scaled @ local.means[:, :, None])[:, :, 0] + centres[binding],
        multiply_quaternions(turns[binding], normalize(local.quats, dim=-1)),
        local.log_scales + sizes.log()[binding][:, None],
        local.logit_opacities,
        local.sh,
    )


def world_to_local(
    world: Gaussians,
    binding: Tensor,  # [N] long
    vertices: Tensor,  # [V, 3] m
    faces: Tensor,  # [F, 3] long
) -> Gaussians:
    """The inverse of `local_to_world`: world Gaussians in the frames of the triangles they are bound to."""
    rotations, sizes, centres = triangle_frames(vertices, faces)
    turns = quaternions_from_matrices(rotations)
    scaled = (rotations / sizes[:, None, None])[binding]
    return Gaussians(
        (scaled.mT @ (world.means - centres[binding])[:, :, None])[:, :, 0],
        multiply_quaternions(conjugate_quaternions(turns)[binding], normalize(world.quats, dim=-1)),
        world.log_scales - sizes.log()[binding][:, None],
        world.logit_opacities,
        world.sh,
    )
