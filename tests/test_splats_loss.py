"""The fused loss against a float64 convolution with the whole 11 x 11 window, and closed forms."""

import numba
import pytest
import torch
from torch.nn.functional import conv2d

from facecraft.splats.loss import PhotometricTarget, convolution_loss, photometric_loss


def pictures(H=37, W=29, D=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    y = torch.rand(H, W, D, generator=g)
    return (y + 0.2 * torch.randn(H, W, D, generator=g)).clamp(0, 1), y


def reference(image, picture, weights, ssim_weight):
    D = image.shape[2]
    k = torch.arange(11, dtype=torch.float64) - 5
    window = torch.exp(-(k[:, None] ** 2 + k**2) / (2 * 1.5**2))
    window = (window / window.sum()).expand(D, 1, 11, 11)
    x, y = image.permute(2, 0, 1)[None], picture.permute(2, 0, 1)[None]
    mx, my, exx, eyy, exy = (conv2d(t, window, padding=5, groups=D) for t in (x, y, x * x, y * y, x * y))
    numerator = (2 * mx * my + 1e-4) * (2 * (exy - mx * my) + 9e-4)
    ssim = numerator / ((mx**2 + my**2 + 1e-4) * (exx - mx**2 + eyy - my**2 + 9e-4))
    l1 = (weights[..., None] * (image - picture).abs()).mean()
    return (1 - ssim_weight) * l1 + ssim_weight * (1 - ssim.mean())


@pytest.mark.parametrize("shape", [(37, 29, 3), (16, 64, 3), (5, 3, 3), (1, 1, 1), (20, 17, 4)])
@pytest.mark.parametrize("ssim_weight", [0.2, 1.0, 0.0])
def test_value_and_gradient_equal_float64_convolution(shape, ssim_weight):
    image, picture = pictures(*shape)
    weights = torch.rand(shape[:2], generator=torch.Generator().manual_seed(5))
    ours, theirs = image.requires_grad_(), image.detach().double().requires_grad_()
    loss = photometric_loss(ours, PhotometricTarget(picture, weights), ssim_weight)
    expected = reference(theirs, picture.double(), weights.double(), ssim_weight)
    (3 * loss).backward()
    (3 * expected).backward()
    assert abs(loss.item() - expected.item()) <= 2e-6
    assert (ours.grad - theirs.grad).norm() <= 2e-5 * theirs.grad.norm()


def test_torch_path_equals_float64_convolution():
    image, picture = (t.double() for t in pictures())
    weights = torch.rand(37, 29, dtype=torch.float64)
    ours, theirs = image.clone().requires_grad_(), image.clone().requires_grad_()
    loss, expected = (f(x, picture, weights, 0.3) for f, x in ((convolution_loss, ours), (reference, theirs)))
    loss.backward()
    expected.backward()
    assert torch.allclose(loss, expected, atol=1e-12) and torch.allclose(ours.grad, theirs.grad, atol=1e-12)


def test_the_picture_itself_has_loss_zero():
    _, picture = pictures()
    assert photometric_loss(picture.clone(), PhotometricTarget(picture)).item() == pytest.approx(0, abs=1e-6)


def test_l1_of_a_constant_difference():
    _, picture = pictures()
    target = PhotometricTarget(picture)
    assert photometric_loss(picture + 0.25, target, ssim_weight=0).item() == pytest.approx(0.25, rel=1e-6)


def test_pixels_of_weight_zero_do_not_pull_l1():
    image, picture = pictures()
    weights = torch.ones(37, 29)
    weights[10:20] = 0
    image.requires_grad_()
    photometric_loss(image, PhotometricTarget(picture, weights), ssim_weight=0).backward()
    assert (image.grad[10:20] == 0).all() and (image.grad[:10] != 0).all()


def test_descent_reaches_the_picture():
    image, picture = pictures()
    target, x = PhotometricTarget(picture), torch.full_like(image, 0.5).requires_grad_()
    optimizer = torch.optim.Adam([x], lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        loss = photometric_loss(x, target)
        loss.backward()
        optimizer.step()
    assert (x - picture).abs().mean() < 0.02 and loss < 0.02


def test_a_strided_picture_counts_like_its_copy():
    image, picture = pictures()
    mirrored = photometric_loss(image.flip(1), PhotometricTarget(picture.flip(1)))
    transposed = photometric_loss(image.mT.mT, PhotometricTarget(picture.transpose(0, 1).transpose(0, 1)))
    expected = photometric_loss(image, PhotometricTarget(picture))
    assert mirrored.item() == pytest.approx(expected.item(), abs=1e-6) and torch.equal(transposed, expected)


def test_bit_identical_over_threads():
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one thread only")
    image, picture = pictures(128, 96)
    results, before = [], numba.get_num_threads()
    for threads in (1, 2):
        numba.set_num_threads(threads)
        x = image.clone().requires_grad_()
        loss = photometric_loss(x, PhotometricTarget(picture))
        loss.backward()
        results.append((loss, x.grad))
    numba.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_wrong_shapes_are_refused():
    image, picture = pictures()
    with pytest.raises(AssertionError):
        photometric_loss(image[1:], PhotometricTarget(picture))
    with pytest.raises(AssertionError):
        PhotometricTarget(picture, torch.ones(3, 3))
