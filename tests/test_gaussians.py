"""Gaussians: activations, colours, selecting and joining."""

import pytest
import torch

from facecraft.splats.gaussians import SH_DC, Gaussians, concatenate, dc_to_rgb, rgb_to_dc


def some_gaussians(count: int, coefficients: int = 1, seed: int = 0) -> Gaussians:
    draw = torch.Generator().manual_seed(seed)
    shapes = (count, 3), (count, 4), (count, 3), (count,), (count, coefficients, 3)
    return Gaussians(*(torch.randn(shape, generator=draw) for shape in shapes))


def test_activations_are_exponential_and_logistic():
    gaussians = some_gaussians(5)
    assert torch.allclose(gaussians.scales.log(), gaussians.log_scales, atol=1e-6)
    assert torch.allclose(torch.logit(gaussians.opacities), gaussians.logit_opacities, atol=1e-5)


def test_colour_round_trip_and_grey():
    rgb = torch.rand(7, 3)
    assert torch.allclose(dc_to_rgb(rgb_to_dc(rgb)), rgb, atol=1e-6)
    assert rgb_to_dc(torch.full((3,), 0.5)).abs().max() == 0


def test_constant_harmonic_has_unit_norm_on_the_sphere():
    assert SH_DC**2 * 4 * torch.pi == pytest.approx(1)


def test_select_by_index_and_mask_agree():
    gaussians = some_gaussians(9, 4)
    mask = torch.arange(9) % 2 == 0
    by_mask, by_index = gaussians.select(mask), gaussians.select(torch.where(mask)[0])
    assert len(by_mask) == 5
    assert torch.equal(by_mask.sh, by_index.sh) and torch.equal(by_mask.quats, by_index.quats)


def test_parts_join_to_the_whole():
    gaussians = some_gaussians(9)
    joined = concatenate([gaussians.select(torch.arange(4)), gaussians.select(torch.arange(4, 9))])
    for name in ("means", "quats", "log_scales", "logit_opacities", "sh"):
        assert torch.equal(getattr(joined, name), getattr(gaussians, name))


@pytest.mark.parametrize(("coefficients", "degree"), [(1, 0), (4, 1), (9, 2), (16, 3)])
def test_degree_follows_from_the_coefficients(coefficients, degree):
    assert some_gaussians(2, coefficients).degree == degree


def test_wrong_shapes_are_refused():
    with pytest.raises(AssertionError, match="4, 5, 3"):
        some_gaussians(4, 5)


def test_detached_gaussians_have_no_graph():
    leaf = torch.zeros(3, 3, requires_grad=True)
    gaussians = Gaussians(leaf * 2, torch.ones(3, 4), torch.zeros(3, 3), torch.zeros(3), torch.zeros(3, 1, 3))
    assert gaussians.means.requires_grad and not gaussians.detach().means.requires_grad
