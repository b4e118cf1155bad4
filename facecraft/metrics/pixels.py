"""Measures of two pictures pixel by pixel: L1, MSE, PSNR, SSIM, MS-SSIM. Pictures are [H, W, 3] in [0, 1]."""

import numpy as np

from facecraft.errors import DependencyError, InputError

SSIM_WINDOW, SSIM_SIGMA = 11, 1.5
"""Gaussian window of Wang et al. 2004; scikit-image cuts a sigma of 1.5 off at 11 px."""
SMALLEST_MS_SSIM_PX = 161
"""Four halvings must leave a window: torchmetrics wants more than (11 - 1) 2^4 px."""


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
    """Multi-scale SSIM (Wang et al. 2003, five scales) by torchmetrics.

    InputError below 161 px, DependencyError without torchmetrics.
    """
    check_ms_ssim()
    import torch
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    if min(truth.shape[:2]) < SMALLEST_MS_SSIM_PX:
        size = f"{truth.shape[1]}x{truth.shape[0]}"
        raise InputError(
            f"MS-SSIM needs pictures of {SMALLEST_MS_SSIM_PX} px, not {size}; enlarge them or leave it out"
        )
    planes = [torch.from_numpy(np.ascontiguousarray(p, np.float64)).permute(2, 0, 1)[None] for p in (predicted, truth)]
    return float(multiscale_structural_similarity_index_measure(*planes, data_range=1.0))


def check_ms_ssim() -> None:
    """DependencyError when torchmetrics is not installed."""
    from importlib.util import find_spec

    if find_spec("torchmetrics") is None:
        raise DependencyError("torchmetrics is not installed, MS-SSIM needs it; run `pip install 'facecraft[eval]'`")


def blank_outside(picture: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """The picture with white where `mask` [H, W] is not set: for measures that want whole pictures."""
    return picture if mask is None else np.where(mask[..., None], picture, np.float32(1))
