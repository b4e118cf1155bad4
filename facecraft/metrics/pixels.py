"""Measures of two pictures pixel by pixel: L1, MSE, PSNR, SSIM, MS-SSIM. Pictures are [H, W, 3] in [0, 1]."""

import numpy as np

from facecraft.errors import InputError

SSIM_WINDOW, SSIM_SIGMA = 11, 1.5
"""Gaussian window of Wang et al. 2004; scikit-image cuts a sigma of 1.5 off at 11 px."""
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the scales, from the finest (Wang et al. 2003, section 3.2)."""
SMALLEST_MS_SSIM_PX = 176
"""Four halvings must leave a window of 11 px."""
_C1, _C2 = 0.01**2, 0.03**2


def check_pair(
    predicted: np.ndarray,  # [H, W, 3]
    truth: np.ndarray,  # [H, W, 3]
    mask: np.ndarray | None,  # [H, W] bool
    name: str,
) -> None:
    """InputError with one line when two pictures cannot be compared: sizes, a value that is not finite, an empty mask."""
    if predicted.shape != truth.shape or predicted.ndim != 3 or predicted.shape[2] != 3:
        sizes = " and ".join("x".join(map(str, picture.shape[1::-1])) for picture in (predicted, truth))
        raise InputError(f"{name}: the pictures are {sizes}; give pictures of one size")
    for picture, side in ((predicted, "the first"), (truth, "the second")):
        if not np.isfinite(picture).all():
            raise InputError(f"{name}: {side} picture has values that are not finite; render or save it again")
    if mask is not None and mask.shape != truth.shape[:2]:
        raise InputError(f"{name}: the mask is {mask.shape[1]}x{mask.shape[0]}, the pictures are not; give one size")
    if mask is not None and not mask.any():
        raise InputError(f"{name}: the mask is empty; give a mask with pixels in it, or --region all")


def l1(predicted: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Mean absolute difference, over the pixels where `mask` [H, W] is set."""
    return float(np.abs(_chosen(predicted, mask) - _chosen(truth, mask)).mean())


def mse(predicted: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Mean squared difference, over the pixels where `mask` [H, W] is set."""
    return float(((_chosen(predicted, mask) - _chosen(truth, mask)) ** 2).mean())


def psnr(predicted: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio, dB, for a peak of 1; inf for equal pictures."""
    error = mse(predicted, truth, mask)
    return float("inf") if error == 0 else float(-10 * np.log10(error))


def _chosen(picture: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    return picture.astype(np.float64) if mask is None else picture[mask].astype(np.float64)


def ssim(predicted: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Structural similarity (Wang et al. 2004), mean of the channels; with a mask, the mean of its map there.

    Without one, windows that reach over the edge do not count, as in the paper. InputError below 11 px.
    """
    from skimage.metrics import structural_similarity

    if min(truth.shape[:2]) < SSIM_WINDOW:
        raise InputError(
            f"SSIM needs pictures of {SSIM_WINDOW} px, not {truth.shape[1]}x{truth.shape[0]}; enlarge them"
        )
    options = {"gaussian_weights": True, "sigma": SSIM_SIGMA, "use_sample_covariance": False}
    pictures = (predicted.astype(np.float64), truth.astype(np.float64))
    mean, per_pixel = structural_similarity(*pictures, data_range=1.0, channel_axis=2, full=True, **options)
    return float(mean if mask is None else per_pixel[mask].mean())


def ms_ssim(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Multi-scale SSIM (Wang et al. 2003): contrast and structure at five scales, luminance at the coarsest; mean of the channels.

    Halving means 2x2 px; an odd last row or column is left out. InputError below 176 px. Not torchmetrics', which lets
    the reflected border count and takes 26 times as long (384 px, processor time).
    """
    if min(truth.shape[:2]) < SMALLEST_MS_SSIM_PX:
        size = f"{truth.shape[1]}x{truth.shape[0]}"
        raise InputError(
            f"MS-SSIM needs pictures of {SMALLEST_MS_SSIM_PX} px, not {size}; enlarge them or leave it out"
        )
    a, b = predicted.astype(np.float64), truth.astype(np.float64)
    product = 1.0
    for scale, weight in enumerate(MS_SSIM_WEIGHTS):
        if scale:
            a, b = _halve(a), _halve(b)
        luminance, structure = _compare_windows(a, b)
        factor = luminance * structure if scale == len(MS_SSIM_WEIGHTS) - 1 else structure
        product = product * factor.mean((0, 1)).clip(0) ** weight
    return float(product.mean())


def _compare_windows(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """SSIM's luminance, and its contrast times structure, of all windows [H - 10, W - 10, 3] that lie inside."""
    from scipy.ndimage import gaussian_filter

    edge = SSIM_WINDOW // 2

    def blur(picture: np.ndarray) -> np.ndarray:
        return gaussian_filter(picture, SSIM_SIGMA, radius=edge, axes=(0, 1))[edge:-edge, edge:-edge]

    mean_a, mean_b = blur(a), blur(b)
    variances = blur(a * a) + blur(b * b) - mean_a**2 - mean_b**2
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    return luminance, (2 * (blur(a * b) - mean_a * mean_b) + _C2) / (variances + _C2)


def _halve(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[0] // 2 * 2, picture.shape[1] // 2 * 2
    return picture[:height, :width].reshape(height // 2, 2, width // 2, 2, -1).mean((1, 3))


def blank_outside(picture: np.ndarray, mask: np.ndarray | None, grey: float = 1.0) -> np.ndarray:
    """The picture with one grey, by default white, where `mask` [H, W] is not set: for measures that want whole pictures."""
    return picture if mask is None else np.where(mask[..., None], picture, np.float32(grey))
