"""Binding of Gaussians to triangles: frames, quaternions, and what a rigid motion or a scaling must do."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import normalize

from facecraft.splats.gaussians import Gaussians
from facecraft.splats.rig import (
    conjugate_quaternions,
    local_to_world,
    matrices_from_quaternions,
    multiply_quaternions,
    quaternions_from_matrices,
    triangle_frames,
    world_to_local,
)


@pytest.fixture
def draw():
    return torch.Generator().manual_seed(3)


def random_mesh(draw, dtype=torch.float64):
    vertices = torch.randn(30, 3, generator=draw, dtype=dtype)
    faces = torch.stack([torch.randperm(30, generator=draw)[:3] for _ in range(20)])
    return vertices, faces


def random_gaussians(draw, count=50, dtype=torch.float64):
    shapes = (count, 3), (count, 4), (count, 3), (count,), (count, 1, 3)
    return Gaussians(*(torch.randn(shape, generator=draw, dtype=dtype) for shape in shapes))


def covariances(gaussians):
    root = matrices_from_quaternions(gaussians.quats) * gaussians.scales[:, None]
    return root @ root.mT


def test_frame_of_a_right_triangle_by_hand():
    vertices = torch.tensor([[0.0, 0, 0], [2, 0, 0], [0, 4, 0]])
    R, size, centre = triangle_frames(vertices, torch.tensor([[0, 1, 2]]))
    # first edge +x, normal +z, their product -y; (|edge| 2 + height 4) / 2
    assert torch.allclose(R[0], torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]))
    assert size[0] == 3
    assert torch.allclose(centre[0], torch.tensor([2 / 3, 4 / 3, 0]))


def test_frames_are_rotations_with_the_outward_normal_second(draw):
    vertices, faces = random_mesh(draw)
    R, _, _ = triangle_frames(vertices, faces)
    a, b, c = vertices[faces].unbind(1)
    assert torch.allclose(R.mT @ R, torch.eye(3, dtype=R.dtype).expand_as(R), atol=1e-12)
    assert torch.allclose(torch.linalg.det(R), torch.ones(len(R), dtype=R.dtype))
    assert torch.allclose(R[..., 1], normalize(torch.linalg.cross(b - a, c - a), dim=-1))


def test_frames_of_a_batch_equal_those_of_its_members(draw):
    vertices, faces = random_mesh(draw)
    batch = torch.stack([vertices, vertices * 2 + 1])
    for many, one in zip(triangle_frames(batch, faces), triangle_frames(vertices * 2 + 1, faces), strict=True):
        assert torch.allclose(many[1], one)


@pytest.mark.parametrize(
    "corners",
    [
        [[0.1, 0, 0], [0.1, 0, 0], [0.1, 0, 0]],
        [[0.0, 0, 0], [0, 0, 0], [0, 1, 0]],
        [[0.0, 0, 0], [1, 0, 0], [2, 0, 0]],
        [[0.0, 0, 0], [0, 0, 1], [0, 0, 0]],
    ],
)
def test_degenerate_triangles_have_a_rotation_and_finite_derivatives(corners):
    vertices = torch.tensor(corners, requires_grad=True)
    R, size, centre = triangle_frames(vertices, torch.tensor([[0, 1, 2]]))
    assert torch.allclose(R[0].mT @ R[0], torch.eye(3), atol=1e-6) and torch.linalg.det(R[0]) > 0.99
    assert size.item() > 0
    (R.sum() + size.log().sum() + centre.sum() + quaternions_from_matrices(R).sum()).backward()
    assert torch.isfinite(vertices.grad).all()


def test_frames_derivatives_match_finite_differences(draw):
    vertices, faces = random_mesh(draw)
    assert torch.autograd.gradcheck(lambda v: triangle_frames(v, faces[:4]), vertices.requires_grad_())


def test_quaternions_and_matrices_are_inverse(draw):
    quats = normalize(torch.randn(1000, 4, generator=draw, dtype=torch.float64), dim=-1)
    back = quaternions_from_matrices(matrices_from_quaternions(quats))
    assert torch.allclose((back * quats).sum(-1).abs(), torch.ones(1000, dtype=quats.dtype), atol=1e-12)


@pytest.mark.parametrize("axis", range(4))
def test_each_branch_of_the_conversion_is_exact_and_differentiable(axis):
    quat = torch.zeros(4, dtype=torch.float64)
    quat[axis] = 1  # no turn, and half turns about x, y, z: where one-branch formulas divide by 0
    R = matrices_from_quaternions(quat).requires_grad_()
    assert torch.allclose(quaternions_from_matrices(R).abs(), quat)
    assert torch.autograd.gradcheck(quaternions_from_matrices, R)


def test_quaternion_product_composes_rotations(draw):
    p, q = (normalize(torch.randn(50, 4, generator=draw, dtype=torch.float64), dim=-1) for _ in range(2))
    product = matrices_from_quaternions(multiply_quaternions(p, q))
    assert torch.allclose(product, matrices_from_quaternions(p) @ matrices_from_quaternions(q))
    none = multiply_quaternions(q, conjugate_quaternions(q))
    assert torch.allclose(none, torch.tensor([1.0, 0, 0, 0], dtype=q.dtype).expand_as(none))


def test_local_to_world_to_local_is_the_identity(draw):
    vertices, faces = random_mesh(draw)
    local = random_gaussians(draw)
    binding = torch.randint(0, len(faces), (len(local),), generator=draw)
    back = world_to_local(local_to_world(local, binding, vertices, faces), binding, vertices, faces)
    assert torch.allclose(back.means, local.means)
    assert torch.allclose(back.log_scales, local.log_scales)
    assert torch.allclose(covariances(back), covariances(local))


def test_turning_the_mesh_turns_the_gaussians(draw):
    vertices, faces = random_mesh(draw)
    local = random_gaussians(draw)
    binding = torch.randint(0, len(faces), (len(local),), generator=draw)
    R = matrices_from_quaternions(torch.randn(4, generator=draw, dtype=torch.float64))
    shift = torch.tensor([1.0, -2, 3], dtype=R.dtype)
    still = local_to_world(local, binding, vertices, faces)
    moved = local_to_world(local, binding, vertices @ R.mT + shift, faces)
    assert torch.allclose(moved.means, still.means @ R.mT + shift)
    assert torch.allclose(covariances(moved), R @ covariances(still) @ R.mT)


def test_scaling_the_mesh_scales_the_gaussians(draw):
    vertices, faces = random_mesh(draw)
    local = random_gaussians(draw)
    binding = torch.randint(0, len(faces), (len(local),), generator=draw)
    small, large = (local_to_world(local, binding, vertices * k, faces) for k in (1, 3))
    assert torch.allclose(large.means, 3 * small.means)
    assert torch.allclose(covariances(large), 9 * covariances(small))


def test_harmonics_do_not_turn_with_the_triangles(draw):
    vertices, faces = random_mesh(draw)
    plain = random_gaussians(draw, 2)
    coloured = replace(plain, sh=torch.randn(2, 4, 3, generator=draw).to(plain.sh))
    binding = torch.zeros(2, dtype=torch.long)
    world = local_to_world(coloured, binding, vertices, faces)
    assert torch.equal(world.sh, coloured.sh)
    assert torch.equal(world_to_local(world, binding, vertices, faces).sh, coloured.sh)
