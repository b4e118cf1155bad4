"""The measures by name: how they are read, and what --metrics asks for."""

from dataclasses import dataclass

from facecraft.errors import InputError


@dataclass(frozen=True)
class Measure:
    """How a measure is called and read. `better` is +1 when more is better, -1 when less is."""

    label: str
    unit: str
    better: int
    decimals: int


MEASURES = {
    "l1": Measure("L1", "", -1, 4),
    "mse": Measure("MSE", "", -1, 5),
    "psnr": Measure("PSNR", "dB", 1, 2),
    "ssim": Measure("SSIM", "", 1, 4),
    "ms_ssim": Measure("MS-SSIM", "", 1, 4),
    "lpips": Measure("LPIPS", "", -1, 4),
    "clip_i": Measure("CLIP-I", "", 1, 4),
    "id": Measure("ID cosine", "", 1, 3),
    "id_distance": Measure("ID distance", "", -1, 3),
    "akd_px": Measure("AKD", "px", -1, 2),
    "akd": Measure("AKD", "% of face", -1, 2),
    "aed": Measure("AED", "", -1, 3),
    "apd": Measure("APD", "°", -1, 2),
    "iou": Measure("outline IoU", "", 1, 4),
    "vertex_mm": Measure("face vertices", "mm", -1, 2),
    "motion_mm": Measure("face motion", "mm", -1, 2),
    "fid": Measure("FID", "", -1, 2),
    "jod": Measure("JOD", "", 1, 2),
    "jitter": Measure("jitter", "% of face", -1, 3),
    "consistency": Measure("reprojection L1", "", -1, 4),
}
"""By the name that files give them; the last four are of a set of pictures."""

ASKED = {
    **{"l1": ("l1",), "mse": ("mse",), "psnr": ("psnr",), "ssim": ("ssim",), "ms-ssim": ("ms_ssim",)},
    **{"lpips": ("lpips",), "clip-i": ("clip_i",), "id": ("id", "id_distance"), "akd": ("akd_px", "akd")},
    **{"aed": ("aed", "apd"), "fid": ("fid",), "jod": ("jod",), "jitter": ("jitter",)},
    **{"consistency": ("consistency",), "isd": ("id", "id_distance")},
}
"""What --metrics asks for -> the measures that it gives."""

PICTURE = ("l1", "mse", "psnr", "ssim", "ms-ssim", "lpips", "clip-i", "id", "akd")
"""The default for pictures; AED and APD take seconds each, the others need a set or a video."""


def parse_metrics(text: str, default: tuple[str, ...]) -> tuple[str, ...]:
    """The names in a list such as "psnr,id"; `default` when it is empty. InputError for an unknown name."""
    names = tuple(dict.fromkeys(filter(None, (part.strip().lower() for part in text.split(",")))))
    for name in names:
        if name not in ASKED:
            raise InputError(f"metric {name!r} is not known; use {', '.join(ASKED)}")
    return names or default
