"""Measures against their reference implementations and closed forms."""

import math

import numpy as np
import pytest

from facecraft.errors import InputError
from facecraft.metrics import pixels
from facecraft.metrics.faces import keypoint_distance, landmark_jitter


def pictures(seed: int = 0, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.random((size, size, 3)).astype(np.float32)
    return np.clip(truth + 0.1 * rng.standard_normal(truth.shape), 0, 1).astype(np.float32), truth


def test_pixel_errors_agree_with_scikit_image():
    from skimage.metrics import mean_squared_error, peak_signal_noise_ratio

    a, b = pictures()
    wide = a.astype(float), b.astype(float)
    assert pixels.mse(a, b) == pytest.approx(mean_squared_error(*wide), rel=1e-6)
    assert pixels.psnr(a, b) == pytest.approx(peak_signal_noise_ratio(*wide, data_range=1), abs=1e-4)
    assert pixels.l1(a, a + 0.25) == pytest.approx(0.25, abs=1e-6)


def test_ssim_agrees_with_torchmetrics():
    torch, torchmetrics = pytest.importorskip("torch"), pytest.importorskip("torchmetrics.functional.image")
    a, b = pictures(1)
    planes = [torch.from_numpy(p).double().permute(2, 0, 1)[None] for p in (a, b)]
    measure = torchmetrics.structural_similarity_index_measure
    _, per_pixel = measure(*planes, data_range=1.0, sigma=1.5, return_full_image=True)
    assert pixels.ssim(a, b) == pytest.approx(float(per_pixel[..., 5:-5, 5:-5].mean()), abs=1e-4)
    mask = np.zeros(a.shape[:2], bool)
    mask[20:40, 10:50] = True
    assert pixels.ssim(a, b, mask) == pytest.approx(float(per_pixel[0, :, mask].mean()), abs=1e-4)


def test_ssim_is_its_definition_in_the_middle_of_a_window():
    """One 11 px picture: the mean of the map is the value at its only whole window."""
    a, b = pictures(2, 11)
    axis = np.exp(-0.5 * ((np.arange(11) - 5) / 1.5) ** 2)
    weights = np.outer(axis, axis)[..., None] / axis.sum() ** 2
    mean_a, mean_b = (weights * a).sum((0, 1)), (weights * b).sum((0, 1))
    var_a, var_b = (weights * a**2).sum((0, 1)) - mean_a**2, (weights * b**2).sum((0, 1)) - mean_b**2
    covariance = (weights * a * b).sum((0, 1)) - mean_a * mean_b
    wanted = (2 * mean_a * mean_b + 1e-4) * (2 * covariance + 9e-4)
    wanted = wanted / ((mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4))
    assert pixels.ssim(a, b) == pytest.approx(wanted.mean(), abs=1e-6)


def test_equal_pictures():
    a, _ = pictures()
    assert (pixels.l1(a, a), pixels.mse(a, a), pixels.psnr(a, a)) == (0, 0, math.inf)
    assert pixels.ssim(a, a) == pytest.approx(1)


def test_a_mask_counts_only_its_pixels():
    a, b = pictures()
    mask = np.zeros(a.shape[:2], bool)
    mask[10:30, 20:40] = True
    inside = (slice(10, 30), slice(20, 40))
    assert pixels.mse(a, b, mask) == pytest.approx(pixels.mse(a[inside], b[inside]))
    same = np.where(mask[..., None], b, a)
    assert pixels.psnr(same, b, mask) == math.inf and pixels.ssim(same, b, mask) < 1 < pixels.psnr(same, b)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, b, m: (a[:-1], b, m), "64x63 and 64x64"),
        (lambda a, b, m: (a * np.nan, b, m), "not finite"),
        (lambda a, b, m: (a, b + np.inf, m), "the second picture has values that are not finite"),
        (lambda a, b, m: (a, b, m[1:]), "the mask is 64x63"),
        (lambda a, b, m: (a, b, np.zeros_like(m)), "the mask is empty"),
    ],
)
def test_pictures_that_do_not_compare_are_one_line(change, message):
    a, b, mask = change(*pictures(), np.ones((64, 64), bool))
    with pytest.raises(InputError) as error:
        pixels.check_pair(a, b, mask, "ann")
    assert message in str(error.value) and str(error.value).startswith("ann: ") and "\n" not in str(error.value)


def test_a_picture_smaller_than_the_window_is_refused():
    with pytest.raises(InputError, match="SSIM needs pictures of 11 px, not 8x8"):
        pixels.ssim(*pictures(size=8))


def test_keypoints_that_moved_by_three_and_four():
    truth = np.random.default_rng(0).random((478, 3)) * 100
    truth[[234, 454]] = [[0, 50, 0], [100, 50, 0]]
    assert keypoint_distance(truth + [3, 4, 9], truth) == pytest.approx((5, 5))


def test_steady_motion_does_not_jitter_and_a_tremble_does():
    points = np.random.default_rng(0).random((478, 2)) * 100
    points[[234, 454]] = [[0, 50], [100, 50]]
    steady = points + np.arange(6)[:, None, None] * [1.0, 2.0]
    assert landmark_jitter(steady) == pytest.approx(0, abs=1e-9)
    tremble = points + np.array([0, 1, 0, 1, 0, 1])[:, None, None] * [1.0, 0]
    assert landmark_jitter(tremble) == pytest.approx(2)
    assert math.isnan(landmark_jitter(steady[:2]))
