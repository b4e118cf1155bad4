"""Pictures: read any photo into upright float32 sRGB, resample a square of it, write PNGs that say what they are."""

import io
import math
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, PngImagePlugin, UnidentifiedImageError

from facecraft.errors import InputError
from facecraft.progress import log

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")  # not all of Pillow's: EPS would start Ghostscript
LARGEST_PX = 100_000_000
FULL_FRAME_DIAGONAL_MM = math.hypot(36, 24)
UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0}
"""EXIF FocalPlaneResolutionUnit -> millimetres."""

DEEP_MODES = {"I;16": 65535, "I;16L": 65535, "I;16B": 65535, "I;16N": 65535, "I": 65535}
"""Pillow modes with more than 8 bits -> the value of white; conversion by Pillow would clip them."""

_BROKEN = (OSError, SyntaxError, ValueError, struct.error, EOFError, IndexError, KeyError, TypeError, OverflowError)
"""What Pillow's parsers raise on damaged files (a truncated PNG chunk is a SyntaxError, a bad TIFF tag a KeyError...)."""


@dataclass(frozen=True)
class Picture:
    """An upright picture: sRGB `rgb` [H, W, 3] and straight `alpha` [H, W] in [0, 1]; focal length in pixels from EXIF."""

    rgb: np.ndarray
    alpha: np.ndarray
    focal_px: float | None = None
    focal_note: str = "no focal length in the EXIF data"

    @property
    def is_cut_out(self) -> bool:
        """Whether somebody has already removed the backdrop: a good part is transparent."""
        return bool((self.alpha < 0.5).mean() > 0.05)

    @property
    def flat(self) -> np.ndarray:
        """The picture [H, W, 3] on white where it is transparent."""
        return self.rgb if self.alpha.min() == 1 else self.rgb * self.alpha[..., None] + 1 - self.alpha[..., None]


def read_picture(path: Path) -> Picture:
    """Read JPEG, PNG, WebP, TIFF, BMP or GIF (first frame), 8 or 16 bit, any colour mode, EXIF-upright, ICC to sRGB.

    InputError: missing or empty file, not a picture, damaged, more than 100 megapixels, 32-bit float.
    """
    image = _open(Path(path))
    try:
        exif = dict(image.getexif().get_ifd(ExifTags.IFD.Exif))
        focal_px, note = focal_from_exif(exif, *image.size)
        image = ImageOps.exif_transpose(image)
    except _BROKEN as error:
        log.warning(f"the EXIF data of {path} is damaged ({error}); the picture is taken as it lies")
        focal_px, note = None, "the EXIF data is damaged"
    rgb, alpha = _to_srgb(image)
    return Picture(rgb, alpha, focal_px, note)


def _open(path: Path) -> Image.Image:
    if not path.is_file():
        raise InputError(f"{path} does not exist or is not a file; check the path")
    if path.stat().st_size == 0:
        raise InputError(f"{path} has 0 bytes; copy or download it again")
    try:
        with warnings.catch_warnings(), open(path, "rb") as file:
            warnings.simplefilter("ignore")  # size and tags are judged below, by our own limits
            image = Image.open(file, formats=FORMATS)
            _check_size(path, *image.size)
            image.load()
    except Image.DecompressionBombError as error:
        raise InputError(f"{path} has more than 100 megapixels; resize it first") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{path} is not a picture that can be read; give a JPEG, PNG, WebP or TIFF") from error
    except _BROKEN as error:
        raise InputError(f"{path} is damaged or cut short ({error}); copy or download it again") from error
    if image.mode == "F":
        raise InputError(f"{path} is a 32-bit float picture, whose white is unknown; save it with 8 or 16 bits")
    return image


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > LARGEST_PX:
        megapixels = width * height / 1e6
        raise InputError(f"{path} is {width}x{height} ({megapixels:.0f} megapixels, limit 100); resize it first")


def _to_srgb(image: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    if image.mode in DEEP_MODES:
        grey = np.divide(image, DEEP_MODES[image.mode], dtype=np.float32)
        rgb = _grey_to_srgb(np.clip(grey, 0, 1), image.info.get("icc_profile"))
        return rgb, np.ones(grey.shape, np.float32)
    if image.mode in ("P", "PA", "LA", "La", "RGBa", "1") or "transparency" in image.info:
        image = _keep_profile(image, "RGBA" if image.has_transparency_data else "RGB")
    alpha = np.ones((image.height, image.width), np.float32)
    if image.mode == "RGBA":
        alpha = np.divide(image.getchannel("A"), 255, dtype=np.float32)
        image = _keep_profile(image, "RGB")
    rgb = np.divide(_apply_profile(image), 255, dtype=np.float32)
    return rgb, alpha


def _keep_profile(image: Image.Image, mode: str) -> Image.Image:
    converted = image.convert(mode)
    converted.info["icc_profile"] = image.info.get("icc_profile")
    return converted


def _apply_profile(image: Image.Image) -> Image.Image:
    """8-bit picture to sRGB through its ICC profile; a profile that does not fit the picture is ignored."""
    profile = image.info.get("icc_profile")
    if not profile:
        return image.convert("RGB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        log.warning(f"the ICC profile of the picture cannot be used ({error}); colours are read as sRGB")
        return image.convert("RGB")


def _grey_to_srgb(grey: np.ndarray, profile: bytes | None) -> np.ndarray:
    """Deep grey [H, W] to sRGB [H, W, 3]; littlecms in Pillow is 8 bit, so its curve is sampled and interpolated."""
    if not profile:
        return np.repeat(grey[..., None], 3, -1)
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    ramp.info["icc_profile"] = profile
    curve = np.asarray(_apply_profile(ramp))[0] / 255.0
    return np.stack([np.interp(grey * 255, np.arange(256), curve[:, c]) for c in range(3)], -1).astype(np.float32)


def focal_from_exif(exif: dict, width: int, height: int) -> tuple[float | None, str]:
    """Focal length in pixels from EXIF tags, or None, and one clause that says where it comes from.

    FocalLengthIn35mmFilm is read as CIPA DC-008 states it: equal field of view over the diagonal (43.27 mm). Otherwise
    FocalLength times FocalPlaneXResolution. A picture whose aspect differs from PixelXDimension x PixelYDimension was
    cropped by an editor, and its field of view is unknown.
    """
    tag = ExifTags.Base
    taken = [_number(exif.get(key)) for key in (tag.ExifImageWidth, tag.ExifImageHeight)]
    if all(taken) and abs(max(taken) / min(taken) * min(width, height) / max(width, height) - 1) > 0.02:
        return None, "the EXIF focal length was ignored: the picture was cropped after it was taken"
    diagonal = math.hypot(width, height)
    equivalent, focal_mm = _number(exif.get(tag.FocalLengthIn35mmFilm)), _number(exif.get(tag.FocalLength))
    density = _number(exif.get(tag.FocalPlaneXResolution))
    if equivalent:
        focal, note = equivalent / FULL_FRAME_DIAGONAL_MM * diagonal, f"EXIF: {equivalent:g} mm on 35 mm film"
    elif focal_mm and density:
        unit_mm = UNIT_MM.get(exif.get(tag.FocalPlaneResolutionUnit, 2), 25.4)
        resized = diagonal / math.hypot(*taken) if all(taken) else 1.0
        focal = focal_mm * density / unit_mm * resized
        note = f"EXIF: {focal_mm:g} mm on a sensor with {density / unit_mm:.0f} pixels per mm"
    else:
        return None, "no focal length in the EXIF data"
    if not 0.4 < focal / diagonal < 30:
        return None, f"the EXIF focal length was ignored: {focal:.0f} px is not plausible"
    return focal, note


def _number(value) -> float:
    """An EXIF number, 0 when it is absent, broken or 0/0."""
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return 0.0
    return number if math.isfinite(number) and number > 0 else 0.0


def crop_square(pixels: np.ndarray, left: float, top: float, side: float, size: int) -> np.ndarray:
    """Resample the square [left, left + side] x [top, top + side] (px) of [H, W] or [H, W, C] to `size` px.

    Lanczos, widened when shrinking so that it does not alias. Outside of the picture its edge goes on.
    """
    planes = pixels.reshape(*pixels.shape[:2], -1)
    crops = [_crop_plane(planes[..., c], left, top, side, size) for c in range(planes.shape[-1])]
    return np.clip(np.stack(crops, -1), 0, 1).reshape(size, size, *pixels.shape[2:])


def _crop_plane(plane: np.ndarray, left: float, top: float, side: float, size: int) -> np.ndarray:
    """One channel at a time, which keeps the memory for a large photo low."""
    height, width = plane.shape
    margin = 4 + math.ceil(side / 64)
    x0, y0 = math.floor(left) - margin, math.floor(top) - margin
    columns, pad_columns = _clip_range(x0, math.ceil(left + side) + margin, width)
    rows, pad_rows = _clip_range(y0, math.ceil(top + side) + margin, height)
    patch = np.ascontiguousarray(plane[rows, columns], np.float32)
    if any((*pad_rows, *pad_columns)):
        patch = np.pad(patch, (pad_rows, pad_columns), mode="edge")
    box = (left - x0, top - y0, left - x0 + side, top - y0 + side)
    image = Image.fromarray(patch).resize((size, size), Image.Resampling.LANCZOS, box, reducing_gap=3.0)
    return np.asarray(image)


def _clip_range(start: int, stop: int, length: int) -> tuple[slice, tuple[int, int]]:
    """The part of start..stop inside 0..length (at least its nearest pixel), and how many are missing before and after."""
    first, last = (min(max(i, 0), length - 1) for i in (start, stop - 1))
    before = min(max(-start, 0), stop - start - 1)
    return slice(first, last + 1), (before, stop - start - (last + 1 - first) - before)


def to_bytes(values: np.ndarray) -> np.ndarray:
    """[0, 1] to uint8, rounded."""
    return np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)


def write_png(path: Path, pixels: np.ndarray, text: dict[str, str] | None = None) -> None:
    """Write grey [H, W], RGB [H, W, 3] or RGBA [H, W, 4] in [0, 1] as an 8-bit PNG with `text` chunks."""
    info = PngImagePlugin.PngInfo()
    for key, value in (text or {}).items():
        info.add_itxt(key, value)
    Image.fromarray(to_bytes(pixels)).save(path, "PNG", pnginfo=info)


def write_sample(path: Path) -> None:
    """Write scikit-image's astronaut portrait as a PNG that names its source and licence."""
    from skimage.data import astronaut  # heavy, and needed here only

    text = {
        "Title": "Astronaut Eileen Collins",
        "Source": "NASA Great Images database, https://flic.kr/p/r9qvLn, through skimage.data.astronaut()",
        "Copyright": "public domain: work of the United States federal government (17 U.S.C. 105)",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, astronaut() / 255, text)
