"""The photometric loss of splatting, L1 + D-SSIM, with an analytic gradient.

SSIM (Wang et al. 2004) with an 11 x 11 Gaussian window, sigma 1.5, and zeros around the picture; blended with L1 as in 3D
Gaussian Splatting (Kerbl et al. 2023, eq. 7). The window is separable and symmetric, so its transpose is itself: the
gradient is three more blurs.
"""

import math

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.nn.functional import conv2d

from facecraft.splats.scratch import scratch
from facecraft.splats.simd import LANES, lane_numbers, load, select, store, total
from facecraft.splats.threads import run_parts

_RADIUS = 5
_C1, _C2 = 0.01**2, 0.03**2
_window = [math.exp(-(k**2) / (2 * 1.5**2)) for k in range(-_RADIUS, _RADIUS + 1)]
_WINDOW = [w / sum(_window) for w in _window]
_W5, _W4, _W3, _W2, _W1, _W0 = _WINDOW[: _RADIUS + 1]
_PARTS = 16
_FASTMATH = {"contract", "arcp", "nsz", "reassoc"}
_OPTIONS = dict(nogil=True, cache=True, error_model="numpy", fastmath=_FASTMATH)
_inline = njit(error_model="numpy", fastmath=_FASTMATH, forceinline=True)


class PhotometricTarget:
    """A picture [H, W, D] float32 to be matched, with the blurs that every step of a training needs again.

    `weights` [H, W] >= 0 weigh the L1 part of each pixel (D-SSIM is not weighted); default 1.
    """

    def __init__(self, picture: Tensor, weights: Tensor | None = None):
        assert picture.ndim == 3 and picture.dtype == torch.float32, (picture.shape, picture.dtype)
        self.picture = picture.detach().contiguous()
        self.weights = picture.new_ones(picture.shape[:2]) if weights is None else weights.detach().float().contiguous()
        assert self.weights.shape == picture.shape[:2], self.weights.shape
        if picture.device.type == "cpu":
            H, W, D = picture.shape
            own = _blurred_moments(self.picture.numpy(), self.picture.numpy())
            self.moments = np.empty((2, D, H + 2 * _RADIUS, _stride(W)), np.float32)
            run_parts(_blur_columns, _PARTS, own[0].ravel(), own[1].ravel(), W, self.moments[0], self.moments[1])


def photometric_loss(image: Tensor, target: PhotometricTarget, ssim_weight: float = 0.2) -> Tensor:
    """(1 - ssim_weight) mean(weights |image - picture|) + ssim_weight (1 - mean SSIM), means over pixels and channels.

    image: [H, W, D] float32. On the CPU value and gradient are computed in one go by numba, on CUDA by torch.
    """
    assert image.shape == target.picture.shape and image.dtype == torch.float32, (image.shape, image.dtype)
    if image.device.type == "cpu":
        return _FusedLoss.apply(image, target, ssim_weight)
    return convolution_loss(image, target.picture, target.weights, ssim_weight)


def convolution_loss(image: Tensor, picture: Tensor, weights: Tensor, ssim_weight: float) -> Tensor:
    """The same value by torch operations only, on any device and dtype."""
    D = image.shape[2]
    window = image.new_tensor(_WINDOW).expand(D, 1, 1, -1)

    def blur(planes):
        rows = conv2d(planes, window, padding=(0, _RADIUS), groups=D)
        return conv2d(rows, window.mT, padding=(_RADIUS, 0), groups=D)

    x, y = image.permute(2, 0, 1)[None], picture.permute(2, 0, 1)[None]
    mx, my = blur(x), blur(y)
    sxx, syy, sxy = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
    ssim = (2 * mx * my + _C1) * (2 * sxy + _C2) / ((mx * mx + my * my + _C1) * (sxx + syy + _C2))
    l1 = (weights[..., None] * (image - picture).abs()).mean()
    return (1 - ssim_weight) * l1 + ssim_weight * (1 - ssim.mean())


class _FusedLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, image, target, ssim_weight):
        x, y, weights = image.detach().contiguous().numpy(), target.picture.numpy(), target.weights.numpy()
        H, W, D = x.shape
        moments = _blurred_moments(x, y)
        slopes = _planes("slopes", *x.shape)
        scores, distances = np.empty((H, D)), np.empty((H, D))
        flat = [plane.ravel() for plane in (*moments, *target.moments)]
        run_parts(_score_rows, _PARTS, *flat, W, np.float32(-ssim_weight / x.size), slopes, scores)
        grad = np.empty_like(x)
        flat = [plane.ravel() for plane in slopes]
        run_parts(_finish_rows, _PARTS, x, y, weights, *flat, np.float32((1 - ssim_weight) / x.size), grad, distances)
        ctx.grad = torch.from_numpy(grad)
        loss = (1 - ssim_weight) * distances.sum() / x.size + ssim_weight * (1 - scores.sum() / x.size)
        return image.new_tensor(loss)

    @staticmethod
    def backward(ctx, v_loss):
        return v_loss * ctx.grad, None, None


def _stride(width: int) -> int:
    """Floats per row of a plane: an odd number of cache lines, so that eleven rows do not compete for one cache set."""
    lines = -(-width // 16)
    return 16 * (lines + 1 - lines % 2)


def _planes(name: str, H: int, W: int, D: int) -> np.ndarray:
    """Planes [3, D, H + 10, stride] to write to, with five rows of zeros above and below."""
    planes = scratch(name, (3, D, H + 2 * _RADIUS, _stride(W)))
    planes[:, :, :_RADIUS] = 0
    planes[:, :, -_RADIUS:] = 0
    return planes


def _blurred_moments(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Planes of x, x^2 and x y, blurred along the rows."""
    moments = _planes("moments", *x.shape)
    run_parts(_blur_rows, _PARTS, x, y, moments[0], moments[1], moments[2])
    return moments


@_inline
def _blur(array, at, step):
    """The window along one axis, around eight neighbours at a time."""
    result = load(array, at) * _W0
    result = result + (load(array, at - step) + load(array, at + step)) * _W1
    result = result + (load(array, at - 2 * step) + load(array, at + 2 * step)) * _W2
    result = result + (load(array, at - 3 * step) + load(array, at + 3 * step)) * _W3
    result = result + (load(array, at - 4 * step) + load(array, at + 4 * step)) * _W4
    return result + (load(array, at - 5 * step) + load(array, at + 5 * step)) * _W5


@njit(**_OPTIONS)
def _blur_rows(part, parts, x, y, first, second, mixed):
    H, W, D = x.shape
    stride = first.shape[2]
    rows = np.zeros((3, stride + 2 * LANES), np.float32)
    row_x, row_xx, row_xy = rows[0], rows[1], rows[2]
    to_first, to_second, to_mixed = first.ravel(), second.ravel(), mixed.ravel()
    for row in range(part * H // parts, (part + 1) * H // parts):
        for c in range(D):
            for column in range(W):
                value = x[row, column, c]
                row_x[LANES + column], row_xx[LANES + column] = value, value * value
                row_xy[LANES + column] = value * y[row, column, c]
            start = (c * (H + 2 * _RADIUS) + row + _RADIUS) * stride
            for column in range(0, W, LANES):
                store(to_first, start + column, _blur(row_x, LANES + column, 1))
                store(to_second, start + column, _blur(row_xx, LANES + column, 1))
                store(to_mixed, start + column, _blur(row_xy, LANES + column, 1))


@njit(**_OPTIONS)
def _blur_columns(part, parts, first, second, W, means, variances):
    """Finish the blur of the first two moments: local means and variances."""
    D, padded, stride = means.shape
    H = padded - 2 * _RADIUS
    to_means, to_variances = means.ravel(), variances.ravel()
    for row in range(part * H // parts, (part + 1) * H // parts):
        for c in range(D):
            start = (c * padded + row + _RADIUS) * stride
            for at in range(start, start + W, LANES):
                mean = _blur(first, at, stride)
                store(to_means, at, mean)
                store(to_variances, at, _blur(second, at, stride) - mean * mean)


@njit(**_OPTIONS)
def _score_rows(part, parts, first, second, mixed, means, variances, W, factor, slopes, scores):
    """SSIM summed per row into `scores` [H, D], and `factor` x its slopes by the three moments, blurred along the rows."""
    _, D, padded, stride = slopes.shape
    H, plane = padded - 2 * _RADIUS, D * padded * stride
    rows, flat = np.zeros(3 * (stride + 2 * LANES), np.float32), slopes.ravel()
    step = stride + 2 * LANES
    for row in range(part * H // parts, (part + 1) * H // parts):
        for c in range(D):
            start = (c * padded + row + _RADIUS) * stride
            score = 0.0
            for column in range(0, W, LANES):
                at = start + column
                mx, my, syy = _blur(first, at, stride), load(means, at), load(variances, at)
                sxx, sxy = _blur(second, at, stride) - mx * mx, _blur(mixed, at, stride) - mx * my
                a1, a2, b1, b2 = mx * my * 2 + _C1, sxy * 2 + _C2, mx * mx + my * my + _C1, sxx + syy + _C2
                # lanes right of the picture must not leak into it
                inside = select(
                    lane_numbers() < lane_numbers() * 0 + (W - column), lane_numbers() * 0 + 1, lane_numbers() * 0
                )
                inverse = inside / (b1 * b2)
                ssim = a1 * a2 * inverse
                score += total(ssim)
                by_mixed, by_second = a1 * inverse * 2, ssim * b1 * inverse * -1
                by_mean = (my * a2 - mx * ssim * b2) * inverse * 2 - mx * by_second * 2 - my * by_mixed
                store(rows, LANES + column, by_mean * factor)
                store(rows, step + LANES + column, by_second * factor)
                store(rows, 2 * step + LANES + column, by_mixed * factor)
            scores[row, c] = score
            for k in range(3):
                for column in range(0, W, LANES):
                    store(flat, k * plane + start + column, _blur(rows, k * step + LANES + column, 1))


@njit(**_OPTIONS)
def _finish_rows(part, parts, x, y, weights, by_mean, by_second, by_mixed, l1_factor, grad, distances):
    """Gradient by x [H, W, D] of both parts of the loss; weighted |x - y| summed per row into `distances` [H, D]."""
    H, W, D = x.shape
    stride = by_mean.shape[0] // (D * (H + 2 * _RADIUS))
    slopes = np.empty((3, stride), np.float32)
    of_mean, of_second, of_mixed = slopes[0], slopes[1], slopes[2]
    for row in range(part * H // parts, (part + 1) * H // parts):
        for c in range(D):
            start = (c * (H + 2 * _RADIUS) + row + _RADIUS) * stride
            for column in range(0, W, LANES):
                store(of_mean, column, _blur(by_mean, start + column, stride))
                store(of_second, column, _blur(by_second, start + column, stride))
                store(of_mixed, column, _blur(by_mixed, start + column, stride))
            distance = 0.0
            for column in range(W):
                value, aim, weight = x[row, column, c], y[row, column, c], weights[row, column]
                distance += weight * abs(value - aim)
                slope = weight * l1_factor * np.sign(value - aim)
                of_both = 2 * value * of_second[column] + aim * of_mixed[column]
                grad[row, column, c] = of_mean[column] + of_both + slope
            distances[row, c] = distance
