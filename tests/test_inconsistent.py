import numpy as np
import torch

from facecraft.camera import Camera, look_at
from facecraft.splats.inconsistent import SHIFT_GRID, color_offsets, shift_means, start_inconsistency
from facecraft.splats.structure import gradient_pyramid, structural_loss

CAMERA = Camera(200, 100, 300, 320, 95, 52, look_at(np.array([0.3, 0.2, 0.9]), np.zeros(3)))


def start(count=50, views=3):
    places = 0.1 * torch.randn(count, 3, generator=torch.Generator().manual_seed(0))
    return places, start_inconsistency(places, views, 0)


def shifted_pixels(values, view, means):
    pose, K = (torch.as_tensor(a).float()[None] for a in (CAMERA.T_camera_world, CAMERA.K))
    moved = shift_means(values, view, means, pose, K, CAMERA.width, CAMERA.height)
    return CAMERA.project(moved.numpy()) - CAMERA.project(means.numpy())


def test_nothing_is_offset_at_the_start():
    places, values = start()
    for view in range(3):
        assert torch.equal(color_offsets(values, view, torch.rand(50, 3)), torch.zeros(50, 3))
        assert np.abs(shifted_pixels(values, view, places)).max() < 1e-4


def test_views_and_places_tell_offsets_apart():
    _, values = start()
    values["coin.out"] = torch.ones(3, values["coin.out"].shape[1])
    colors = torch.full((50, 3), 0.5)
    first, second = (color_offsets(values, view, colors) for view in (0, 1))
    assert (first - second).abs().max() > 0.01 and first.std(0).max() > 0.01


def test_a_shift_moves_what_a_view_shows_by_pixels_at_the_same_depth():
    means, values = start()
    values["coin.shift.2"] = torch.tensor([3.0, -2.0])[:, None, None].expand(2, SHIFT_GRID, SHIFT_GRID) / CAMERA.width
    moved = shifted_pixels(values, 2, means)
    assert np.allclose(moved[:, 0], 3, atol=1e-2)
    assert np.allclose(moved[:, 1], -2 * CAMERA.fy / CAMERA.fx, atol=1e-2)
    assert np.allclose(moved[:, 2], 0, atol=1e-6)


def test_the_reference_is_never_shifted():
    means, values = start()
    assert "coin.shift.0" not in values
    assert (shifted_pixels(values, 0, means) == 0).all()


def stripes(shift=0.0):
    x = torch.arange(96.0)
    return (0.5 + 0.3 * torch.sin((x - shift) / 5)).expand(96, 96)


def test_structure_forgives_brightness_but_neither_blur_nor_large_shifts():
    target = gradient_pyramid(stripes())
    assert structural_loss(stripes(), target) < 1e-6
    assert structural_loss(stripes() + 0.2, target) < 1e-5
    blurred = torch.full((96, 96), 0.5)
    small, large = (structural_loss(stripes(px), target) for px in (1, 12))
    assert 0 < small < 0.1 < structural_loss(blurred, target) < large


def test_structure_has_the_gradient_of_finite_differences():
    generator = torch.Generator().manual_seed(0)
    target = gradient_pyramid(torch.rand(80, 80, generator=generator, dtype=torch.float64))
    picture = torch.rand(80, 80, generator=generator, dtype=torch.float64, requires_grad=True)
    structural_loss(picture, target).backward()
    direction = torch.randn(80, 80, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        ends = [structural_loss(picture + step * direction, target) for step in (1e-5, -1e-5)]
    assert torch.allclose((ends[0] - ends[1]) / 2e-5, (picture.grad * direction).sum(), rtol=1e-5)
