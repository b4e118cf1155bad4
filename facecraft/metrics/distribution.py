"""FID (Heusel et al. 2017) the clean way (Parmar et al. 2022): distance of two sets of pictures as features of Inception."""

import numpy as np
import torch
from PIL import Image

from facecraft.errors import InputError
from facecraft.metrics.networks import INCEPTION

SMALLEST_CLAIM = 2048
"""Pictures of each set below which a FID is no claim: the covariance of 2048 features is not even of full rank."""
INCEPTION_PX = 299
FEATURE_NET = "Inception 2015-12-05, pool 3, bicubic and antialiased to 299 px as clean-fid does"


def frechet_distance(
    ours: np.ndarray,  # [N, D]
    theirs: np.ndarray,  # [M, D]
) -> float:
    """Fréchet distance of the Gaussians that fit two sets of features.

    |mean - mean'|^2 + tr(C + C' - 2 (C C')^1/2). With C = A^T A and C' = B^T B the last trace is the sum of the singular
    values of A B^T, which needs no root of a matrix and is exact for sets smaller than D.
    """
    for features, side in ((ours, "the first set"), (theirs, "the second set")):
        if len(features) < 2:
            raise InputError(f"FID needs two pictures of each set, {side} has {len(features)}; give more")
    first, second = _factor(ours), _factor(theirs)
    shift = ((ours.mean(0) - theirs.mean(0)) ** 2).sum()
    cross = np.linalg.svd(first @ second.T, compute_uv=False).sum()
    return float(shift + (first**2).sum() + (second**2).sum() - 2 * cross)


def _factor(features: np.ndarray) -> np.ndarray:
    """A [n, D] with A^T A the covariance, n at most D."""
    centred = (features - features.mean(0)).astype(np.float64) / np.sqrt(len(features) - 1)
    return np.linalg.qr(centred, "r") if len(centred) > centred.shape[1] else centred


def resize_cleanly(rgb: np.ndarray) -> np.ndarray:
    """A picture [H, W, 3] in [0, 1] as [299, 299, 3] in [0, 255], float32, without rounding in between."""
    values = np.round(rgb * 255).astype(np.float32)
    size = (INCEPTION_PX, INCEPTION_PX)
    planes = [Image.fromarray(values[..., c]).resize(size, Image.Resampling.BICUBIC) for c in range(3)]
    return np.stack([np.asarray(plane).clip(0, 255) for plane in planes], -1)


class Inception:
    """The feature network. DependencyError tells how to get it."""

    def __init__(self, device: torch.device):
        self.device = device
        self.layers = torch.jit.load(str(INCEPTION.require()), map_location=device).eval().layers

    @torch.inference_mode()
    def features(self, rgb: np.ndarray) -> np.ndarray:
        """Features [2048] of a picture [H, W, 3] in [0, 1]."""
        plane = torch.from_numpy(resize_cleanly(rgb)).permute(2, 0, 1)[None].to(self.device)
        return self.layers((plane - 128) / 128).flatten().cpu().numpy()
