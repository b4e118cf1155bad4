"""Pictures: every kind reads as the same upright sRGB, every bad one is refused in one line."""

import base64
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image

from facecraft.errors import InputError
from facecraft.image import crop_square, focal_from_exif, read_picture, write_png

TAG = ExifTags.Base


@pytest.fixture
def colours():
    """Smooth 8-bit colours [40, 64, 3] that differ in every corner."""
    y, x = np.mgrid[0:1:40j, 0:1:64j]
    return (np.stack([x, y, 1 - 0.5 * x - 0.4 * y], -1) * 200 + 20).astype(np.uint8)


def luma(colours):
    return np.asarray(Image.fromarray(colours).convert("L"))[..., None] / 255 * np.ones(3)


KINDS = {
    "rgb.jpg": ("RGB", {"quality": 95, "subsampling": 0}, 0.02),
    "grey.jpg": ("L", {"quality": 95}, 0.02),
    "cmyk.jpg": ("CMYK", {"quality": 98, "subsampling": 0}, 0.03),
    "rgb.png": ("RGB", {}, 0),
    "rgba.png": ("RGBA", {}, 0),
    "grey.png": ("L", {}, 0),
    "grey_alpha.png": ("LA", {}, 0),
    "palette.png": ("P", {}, 0.15),
    "rgb.webp": ("RGB", {"lossless": True}, 0),
    "rgba.webp": ("RGBA", {"lossless": True}, 0),
    "rgb.tiff": ("RGB", {"compression": "tiff_lzw"}, 0),
    "cmyk.tiff": ("CMYK", {}, 0.01),
    "grey.tiff": ("L", {}, 0),
    "rgb.bmp": ("RGB", {}, 0),
    "rgb.avif": ("RGB", {"quality": 95, "subsampling": "4:4:4"}, 0.02),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_reads_as_the_same_picture(tmp_path, colours, name):
    mode, options, tolerance = KINDS[name]
    image = Image.fromarray(colours)
    image = image.quantize(256) if mode == "P" else image.convert(mode)
    image.save(tmp_path / name, **options)
    picture = read_picture(tmp_path / name)
    expected = luma(colours) if mode in ("L", "LA") else colours / 255
    assert picture.rgb.dtype == np.float32
    assert np.abs(picture.rgb - expected).max() <= tolerance + 1e-6
    assert (picture.alpha == 1).all()
    assert not picture.is_cut_out


HEIC = """
AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAchtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAADRpbG9jAAAAAERAAA
IAAQAAAAAB7AABAAAAAAAAAfsAAgAAAAAD5wABAAAAAAAAAEIAAAA4aWluZgAAAAAAAgAAABVpbmZlAgAAAAABAABodmMxAAAAABVpbmZlAgAAAQACAABF
eGlmAAAAAA5waXRtAAAAAAABAAABB2lwcnAAAADmaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAA
MAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQANAAaAAAAAFGlz
cGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAACgAAAABAAAAQAAAAAH////oAAAAAgAAAAAAAAACAAAAEHBpeGkAAAAAAwgICAAAAAlpcm90AwAAABlpcG1hAA
AAAAAAAAEAAQaBAgMFhIYAAAAaaXJlZgAAAAAAAAAOY2RzYwACAAEAAQAAAkVtZGF0AAAB9ygBrwY4iRmnCE7NB7HsAZqWFGA4N5gmjoOqgVq9Ji21kthV
5kDdrYbNLCmjEOWpFDbIGs3d/CFNFPYP+CfPBupu6/EquN3cMFb/zQGrdt7QXIbPlJUxdVUAnThVG9L3VyKDDoqMdERuNt+s1BfI307YOzG99ZPM0zzf1/
m/4Y/tX+BKrA50LKXrc3h5Hur/k4eOfe+6mejqnDbkJOMF85/9Vm/D4WuFpKldf0aOOtgnW0epL9jGfkWoyJ9q6ZquX/ncFOnsdm2mpo2jXg75yt2bv5Tv
mkV3zLN+iOmOJmO+lQOG6r6Z3hOJoTYtif/nfd4hkh4g6zr0KLRwjPa9HKQef8M8ydg0sZghTS2tVKW7QP8wgwMt0gdiWqZ/KZGXwpfI9yuW9zg7d56FWH
N3rpQ1Zb1t7DEHq2KOFOi21TnqKxPNB8tq9egXH9yeCiYJXxVm1yBvR2hko01bB/GhwwK1QG7C+EH3/VfqJCqPCwA+e0Zgtx/o4bHqu9iOfQO0gdR6Yiw0
/kHT2WcgGM4+ptVkBcNpwHcV4Lk7AtArQSrPtsyYU+BPsk/64QIfpQNquqfoZa4vV00iwZeY6BJfn+SuLt++/lvlv0b6udnGIpV2ZDsV6dJaxlLr7j6iq2
aqpMxBfd/Dn6JRwoM1dX7GYPrX+4R/adfgAAAABkV4aWYAAE1NACoAAAAIAAIBEgADAAAAAQAGAACHaQAEAAAAAQAAACYAAAAAAAGkBQADAAAAAQAaAAAA
AAAA
"""
"""The same colours on their side, as a phone writes them (libheif by pillow-heif 1.8.1, quality 90): EXIF turns them upright and
has a focal length of 26 mm on 35 mm film."""


def test_photos_of_phones_are_read(tmp_path, colours):
    path = tmp_path / "phone.heic"
    path.write_bytes(base64.b64decode(HEIC))
    picture = read_picture(path)
    assert picture.rgb.shape == colours.shape
    assert np.abs(picture.rgb - colours / 255).max() < 0.03
    assert picture.focal_px == pytest.approx(26 / np.hypot(36, 24) * np.hypot(64, 40))


def test_damaged_photos_of_phones_are_refused(tmp_path):
    whole, path = base64.b64decode(HEIC), tmp_path / "phone.heic"
    for size in (40, 300, 600, 900):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"phone\.heic is (damaged|not a picture)"):
            read_picture(path)


@pytest.mark.parametrize("name", ["deep.png", "deep.tiff"])
def test_sixteen_bit_grey_keeps_its_range_and_steps(tmp_path, name):
    values = np.linspace(0, 65535, 5000).astype(np.uint16).reshape(50, 100)
    Image.fromarray(values).save(tmp_path / name)
    rgb = read_picture(tmp_path / name).rgb
    assert np.abs(rgb - values[..., None] / 65535).max() < 1e-6
    assert len(np.unique(rgb[..., 0])) == 5000


def test_sixteen_bit_rgb_tiff_does_not_clip(tmp_path, colours):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "deep.tiff", colours.astype(np.uint16) * 257, photometric="rgb")
    assert np.abs(read_picture(tmp_path / "deep.tiff").rgb - colours / 255).max() < 0.005


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(tmp_path, colours, orientation, suffix):
    stored = {
        1: colours,
        2: colours[:, ::-1],
        3: colours[::-1, ::-1],
        4: colours[::-1],
        5: colours.transpose(1, 0, 2),
        6: np.rot90(colours, 1),
        7: colours[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(colours, -1),
    }[orientation]
    exif = Image.Exif()
    exif[TAG.Orientation] = orientation
    options = {"quality": 95, "subsampling": 0} if suffix == "jpg" else {"lossless": True} if suffix == "webp" else {}
    path = tmp_path / f"turned.{suffix}"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif, **options)
    rgb = read_picture(path).rgb
    assert rgb.shape == colours.shape
    assert np.abs(rgb - colours / 255).max() < 0.03


def test_transparency_is_kept_apart_from_colour(tmp_path, colours):
    alpha = np.zeros(colours.shape[:2], np.uint8)
    alpha[10:30] = 255
    Image.fromarray(np.dstack([colours, alpha])).save(tmp_path / "cut.png")
    picture = read_picture(tmp_path / "cut.png")
    assert (picture.alpha == alpha / 255).all()
    assert np.abs(picture.rgb - colours / 255).max() < 1e-6
    assert picture.is_cut_out
    assert (picture.flat[0] == 1).all()
    assert np.abs(picture.flat[15] - colours[15] / 255).max() < 1e-6


def make_profile(space: bytes, gamma: float) -> bytes:
    """An ICC profile with sRGB's primaries (adapted to D50) and a pure power curve."""
    curve = b"curv" + struct.pack(">IIH2x", 0, 1, round(gamma * 256))

    def xyz(*values):
        return b"XYZ " + struct.pack(">I3i", 0, *(round(v * 65536) for v in values))

    tags = {b"wtpt": xyz(0.9642, 1, 0.8249)}
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        tags |= {b"rXYZ": xyz(0.4361, 0.2225, 0.0139), b"gXYZ": xyz(0.3851, 0.7169, 0.0971)}
        tags |= {b"bXYZ": xyz(0.1431, 0.0606, 0.7141), b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    table, body, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data
    size = start + len(body)
    header = struct.pack(">I4x", size) + b"\x02\x10\0\0" + b"mntr" + space + b"XYZ " + bytes(12) + b"acsp"
    header = header.ljust(68, b"\0") + struct.pack(">3i", *(round(v * 65536) for v in (0.9642, 1, 0.8249)))
    return header.ljust(128, b"\0") + table + body


def srgb_encode(linear):
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize(("mode", "space"), [("RGB", b"RGB "), ("L", b"GRAY"), ("RGBA", b"RGB "), ("I;16", b"GRAY")])
def test_icc_profile_is_applied(tmp_path, mode, space):
    """A picture stored in linear light reads as sRGB: the curve of IEC 61966-2-1 (littlecms is coarse in deep shadow)."""
    ramp = np.linspace(16, 255, 64).astype(np.uint8)[None].repeat(4, 0)
    if mode == "I;16":
        image = Image.fromarray(ramp.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(ramp).convert(mode)
    image.save(tmp_path / "linear.png", icc_profile=make_profile(space, 1.0))
    assert np.abs(read_picture(tmp_path / "linear.png").rgb - srgb_encode(ramp / 255)[..., None]).max() < 0.012


def test_icc_profile_that_does_not_fit_is_ignored_aloud(tmp_path, colours, caplog):
    Image.fromarray(colours).save(tmp_path / "odd.png", icc_profile=make_profile(b"GRAY", 1.0))
    assert np.abs(read_picture(tmp_path / "odd.png").rgb - colours / 255).max() < 1e-6
    assert "ICC profile" in caplog.text


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises a size and holds nothing."""
    chunks = b""
    for kind, data in ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", b"")):
        chunks += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return b"\x89PNG\r\n\x1a\n" + chunks


def encoded(colours, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(colours).resize((640, 400)).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda c: b"", "0 bytes"),
        (lambda c: b"this is a text, not a picture", "not a picture"),
        (lambda c: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
        (lambda c: png_header(11000, 10000), "11000x10000 (110 megapixels"),
        (lambda c: png_header(60000, 60000), "100 megapixels"),
        (lambda c: encoded(c, "PNG")[:-2000], "damaged"),
        (lambda c: encoded(c, "PNG")[:60], "damaged"),
        (lambda c: encoded(c, "JPEG")[: len(encoded(c, "JPEG")) // 2], "damaged"),
        (lambda c: encoded(c, "WEBP")[:-200], "damaged"),
        (lambda c: encoded(c, "TIFF")[:5000], "damaged"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, colours, make, words):
    path = tmp_path / "bad.png"
    path.write_bytes(make(colours))
    with pytest.raises(InputError) as refusal:
        read_picture(path)
    message = str(refusal.value)
    assert words in message
    assert str(path) in message
    assert "\n" not in message


def test_float_picture_and_missing_file_are_refused(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "float.tiff")
    with pytest.raises(InputError, match="32-bit float"):
        read_picture(tmp_path / "float.tiff")
    with pytest.raises(InputError, match="does not exist"):
        read_picture(tmp_path / "none.png")


def test_focal_of_a_full_frame_camera():
    """50 mm on 36x24 mm film: the diagonal field of view is 2 atan(43.27 / 100)."""
    focal, note = focal_from_exif({TAG.FocalLengthIn35mmFilm: 50}, 3600, 2400)
    assert focal == pytest.approx(5000)
    assert "50 mm" in note


@pytest.mark.parametrize(("unit", "density"), [(2, 254.0), (3, 100.0), (4, 10.0)])
def test_focal_from_the_sensor(unit, density):
    """80 mm at 10 pixels per mm is 800 px; half of that when the picture was shrunk to half."""
    exif = {TAG.FocalLength: 80.0, TAG.FocalPlaneXResolution: density, TAG.FocalPlaneResolutionUnit: unit}
    exif |= {TAG.ExifImageWidth: 400, TAG.ExifImageHeight: 300}
    assert focal_from_exif(exif, 400, 300)[0] == pytest.approx(800)
    assert focal_from_exif(exif, 150, 200)[0] == pytest.approx(400)


def test_focal_is_not_trusted_when_cropped_absurd_or_broken():
    exif = {TAG.FocalLengthIn35mmFilm: 50, TAG.ExifImageWidth: 4000, TAG.ExifImageHeight: 3000}
    assert focal_from_exif(exif, 2000, 1500)[0] is not None
    focal, note = focal_from_exif(exif, 2000, 2000)
    assert focal is None
    assert "cropped" in note
    assert focal_from_exif({TAG.FocalLengthIn35mmFilm: 60000}, 400, 300)[0] is None
    assert focal_from_exif({TAG.FocalLength: "?", TAG.FocalPlaneXResolution: 0}, 400, 300)[0] is None


def test_focal_survives_the_file(tmp_path, colours):
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[TAG.FocalLengthIn35mmFilm] = 85
    Image.fromarray(colours).save(tmp_path / "a.jpg", exif=exif)
    assert read_picture(tmp_path / "a.jpg").focal_px == pytest.approx(
        85 / np.hypot(36, 24) * np.hypot(64, 40), rel=1e-6
    )


def test_crop_keeps_a_ramp_and_repeats_the_edge():
    """Lanczos reproduces a linear ramp at pixel centres; outside of the picture the last colour goes on."""
    ramp = (np.arange(200, dtype=np.float32)[None].repeat(200, 0) + 0.5) / 200
    crop = crop_square(ramp, 50, 40, 100, 37)
    expected = (50 + (np.arange(37) + 0.5) * 100 / 37) / 200
    assert np.abs(crop - expected).max() < 2e-3
    outside = crop_square(ramp, -100, 0, 50, 10)
    assert np.abs(outside - 0.5 / 200).max() < 1e-6


def test_crop_of_the_whole_is_the_picture(colours):
    square = colours[:, :40].astype(np.float32) / 255
    assert np.abs(crop_square(square, 0, 0, 40, 40) - square).max() < 1e-6


def test_shrinking_does_not_alias():
    checkers = (np.indices((400, 400)).sum(0) % 2).astype(np.float32)
    assert np.abs(crop_square(checkers, 0, 0, 400, 40) - 0.5).max() < 0.01


def test_png_keeps_pixels_and_text(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 4)) / 255
    write_png(tmp_path / "a.png", pixels, {"Source": "made here", "Größe": "klein"})
    with Image.open(tmp_path / "a.png") as image:
        assert (np.asarray(image) / 255 == pixels).all()
        assert image.text == {"Source": "made here", "Größe": "klein"}
