"""What a camera does to a picture: white balance, exposure, blur, noise, vignetting and JPEG."""

import io

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, uniform_filter1d

from facecraft.image import to_bytes


def photograph(
    rgb: np.ndarray, alpha: np.ndarray, backdrop: np.ndarray, rng: np.random.Generator
) -> tuple[bytes, dict]:
    """The picture [H, W, 3] with `alpha` [H, W] before `backdrop` [H, W, 3] as the bytes of a JPEG; and its settings."""
    picture = rgb * alpha[..., None] + backdrop * (1 - alpha[..., None])
    settings = {
        "white_balance": np.exp(rng.normal(0, 0.05, 3)).round(3).tolist(),
        "gain": round(float(np.exp(rng.normal(0, 0.10))), 3),
        "blur_px": round(float(rng.choice([0.0, rng.uniform(0.3, 0.9)], p=[0.55, 0.45])) * rgb.shape[0] / 512, 3),
        "motion_px": int(rng.choice([1, 3], p=[0.93, 0.07])),
        "noise": round(float(rng.gamma(1.2, 0.006)), 4),
        "vignette": round(float(rng.beta(1, 4) * 0.4), 3),
        "jpeg_quality": int(rng.integers(70, 97)),
    }
    linear = np.clip(picture, 0, 1) ** 2.2
    y, x = (np.indices(alpha.shape) + 0.5) / alpha.shape[0] - 0.5
    linear *= (
        settings["gain"] * np.array(settings["white_balance"]) * (1 - settings["vignette"] * (x**2 + y**2))[..., None]
    )
    linear = gaussian_filter(linear, (settings["blur_px"], settings["blur_px"], 0))
    if settings["motion_px"] > 1:
        linear = uniform_filter1d(linear, settings["motion_px"], axis=int(rng.integers(2)))
    # shot noise grows with the root of the light, read noise does not
    sigma = settings["noise"] * np.sqrt(np.maximum(linear, 0) + 0.02)
    linear = linear + sigma * rng.standard_normal(linear.shape)
    encoded = io.BytesIO()
    Image.fromarray(to_bytes(np.clip(linear, 0, 1) ** (1 / 2.2))).save(
        encoded, "JPEG", quality=settings["jpeg_quality"]
    )
    return encoded.getvalue(), settings
