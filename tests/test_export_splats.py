"""Gaussians as .splat, SPZ and glTF: layouts, round trips as exact as each format is, foreign and hostile files."""

import gzip
import json
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import torch
from hostile import angles_between, check_finite, mutants, read_all, refuses, some_gaussians

from facecraft.errors import DependencyError, InputError
from facecraft.export.gltf import read_glb
from facecraft.export.gltf_splats import EXTENSION, read_gltf_splats, write_gltf_splats
from facecraft.export.ply import read_ply, write_ply
from facecraft.export.splat import read_splat, write_splat
from facecraft.export.spz import MOST_POINTS, read_spz, write_spz
from facecraft.splats.gaussians import SH_DC, Gaussians

FORMATS = {
    "ply": (write_ply, read_ply),
    "splat": (write_splat, read_splat),
    "spz": (write_spz, read_spz),
    "glb": (write_gltf_splats, read_gltf_splats),
}


def one_gaussian() -> Gaussians:
    """At (1, -0.5, 0.25) m, a quarter turn about z, scales e^-1 e^-2 e^-3, opacity 0.8, red 0.75 green 0.5 blue 0.25."""
    half = 0.5**0.5
    rgb = torch.tensor([[[0.75, 0.5, 0.25]]])
    return Gaussians(
        torch.tensor([[1.0, -0.5, 0.25]]),
        torch.tensor([[half, 0, 0, half]]),
        torch.tensor([[-1.0, -2.0, -3.0]]),
        torch.tensor([0.8]).logit(),
        (rgb - 0.5) / SH_DC,
    )


def spz_bytes(version=3, count=1, degree=0, bits=12, flags=0, body=b"") -> bytes:
    return struct.pack("<IIIBBBB", 0x5053474E, version, count, degree, bits, flags, 0) + body


# ---- .splat


def test_splat_is_32_bytes_a_point(tmp_path):
    write_splat(tmp_path / "a.splat", one_gaussian())
    numbers = struct.unpack("<6f8B", (tmp_path / "a.splat").read_bytes())
    assert numbers[:3] == (1.0, -0.5, 0.25)
    assert np.allclose(numbers[3:6], np.exp([-1, -2, -3]), rtol=1e-6)
    assert numbers[6:10] == (191, 128, 64, 204)  # 0.75, 0.5, 0.25 and 0.8 in 255ths
    assert numbers[10:] == (219, 128, 128, 219)  # 128 + 128 / sqrt 2


def test_splat_has_large_opaque_points_first(tmp_path):
    gaussians = some_gaussians(50)
    write_splat(tmp_path / "a.splat", gaussians)
    back = read_splat(tmp_path / "a.splat")
    weights = back.scales.prod(1) * gaussians.opacities[nearest(back, gaussians)]
    assert (weights[:-1] >= weights[1:] * 0.9999).all()


def nearest(back: Gaussians, gaussians: Gaussians) -> torch.Tensor:
    return torch.cdist(back.means, gaussians.means).argmin(1)


def test_splat_round_trip_is_exact_to_a_byte(tmp_path):
    gaussians = some_gaussians(500)
    write_splat(tmp_path / "a.splat", gaussians)
    back = read_splat(tmp_path / "a.splat")
    wanted = gaussians.select(nearest(back, gaussians))
    assert torch.equal(back.means, wanted.means)
    assert torch.allclose(back.log_scales, wanted.log_scales, atol=1e-6)
    assert (back.opacities - wanted.opacities).abs().max() <= 0.5 / 255 + 1e-6
    shown = 0.5 + SH_DC * wanted.sh[:, 0]
    assert (0.5 + SH_DC * back.sh[:, 0] - shown.clamp(0, 1)).abs().max() <= 0.5 / 255 + 1e-6
    assert angles_between(back.quats, wanted.quats).max() < 2 * 0.5 / 128 * 2


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        (0, np.nan, "position that is not finite at point 1"),
        (4, np.inf, "scale that is not finite at point 1"),
        (5, -1.0, "scale that is not at least 0 at point 1"),
    ],
)
def test_splat_refuses_impossible_numbers(tmp_path, field, value, named):
    write_splat(tmp_path / "a.splat", some_gaussians(3))
    numbers = np.frombuffer((tmp_path / "a.splat").read_bytes(), "<f4").reshape(3, 8).copy()
    numbers[1, field] = value
    refuses(read_splat, tmp_path / "a.splat", numbers.tobytes(), named)


def test_splat_refuses_a_part_of_a_point_and_a_quaternion_without_length(tmp_path):
    write_splat(tmp_path / "a.splat", some_gaussians(3))
    data = (tmp_path / "a.splat").read_bytes()
    refuses(read_splat, tmp_path / "a.splat", data[:-1], "95 bytes")
    refuses(read_splat, tmp_path / "a.splat", data[:-4] + b"\x80" * 4, "quaternion .* at point 2")


# ---- SPZ


def test_spz_version_3_byte_by_byte(tmp_path):
    write_spz(tmp_path / "a.spz", one_gaussian())
    packed = (tmp_path / "a.spz").read_bytes()
    data = gzip.decompress(packed)
    assert struct.unpack_from("<IIIBBBB", data) == (0x5053474E, 3, 1, 0, 16, 0, 0)
    fixed = b"".join(round(x * 65536).to_bytes(3, "little", signed=True) for x in (1, -0.5, 0.25))
    assert data[16:25] == fixed
    colours = [round((rgb - 0.5) / SH_DC * 0.15 * 255 + 127.5) for rgb in (0.75, 0.5, 0.25)]
    assert list(data[25:29]) == [204, *colours]
    assert list(data[29:32]) == [144, 128, 112]  # 16 (10 + log scale)
    # largest is w or z, equal here; the other one is 511, of the xyzw that are stored in order
    assert struct.unpack("<I", data[32:]) in {(2 << 30 | 511,), (3 << 30 | 511,)}
    assert b"synthetic" in packed[:60]


@pytest.mark.parametrize("coefficients", [1, 4, 9, 16])
def test_spz_round_trip_is_exact_to_its_quantisation(tmp_path, coefficients):
    gaussians = some_gaussians(2000, coefficients)
    write_spz(tmp_path / "a.spz", gaussians)
    back = read_spz(tmp_path / "a.spz")
    assert (back.means - gaussians.means).abs().max() <= 0.5 / 2**16 + 1e-8
    assert (back.log_scales - gaussians.log_scales).abs().max() <= 0.5 / 16 + 1e-6
    assert (back.opacities - gaussians.opacities).abs().max() <= 0.5 / 255 + 1e-6
    assert (back.sh[:, 0] - gaussians.sh[:, 0]).abs().max() <= 0.5 / (0.15 * 255) + 1e-6
    steps = torch.cat([torch.full((3,), 8), torch.full((12,), 16)])[: coefficients - 1, None]
    rest = gaussians.sh[:, 1:].clamp(-1, 1 - 1 / 128)
    assert ((back.sh[:, 1:] - rest).abs() <= (steps / 2 + 0.5) / 128 + (steps - 1) / 128 * (rest.abs() > 0.9)).all()
    # three numbers in steps of 1 / (511 sqrt 2), and what they leave for the fourth
    assert angles_between(back.quats, gaussians.quats).max() < 4 * 3**0.5 / 2 / (511 * 2**0.5)


def test_spz_written_again_is_the_same_but_for_ties(tmp_path):
    write_spz(tmp_path / "a.spz", some_gaussians(1000, 16))
    once = read_spz(tmp_path / "a.spz")
    write_spz(tmp_path / "b.spz", once)
    twice = read_spz(tmp_path / "b.spz")
    for name in ("means", "log_scales", "logit_opacities", "sh"):
        assert torch.equal(getattr(once, name), getattr(twice, name)), name
    assert angles_between(once.quats, twice.quats).max() < 3e-3


def test_spz_has_the_bits_that_a_large_scene_leaves(tmp_path):
    gaussians = some_gaussians(10)
    far = Gaussians(
        gaussians.means * 1e4, *(getattr(gaussians, n) for n in ("quats", "log_scales", "logit_opacities", "sh"))
    )
    write_spz(tmp_path / "a.spz", far)
    bits = gzip.decompress((tmp_path / "a.spz").read_bytes())[13]
    reach = float(far.means.abs().max())
    assert reach * 2**bits < 2**23 <= reach * 2 ** (bits + 1)
    assert (read_spz(tmp_path / "a.spz").means - far.means).abs().max() <= 0.5 / 2**bits + 1e-4
    with pytest.raises(InputError, match="do not fit"):
        write_spz(
            tmp_path / "a.spz",
            Gaussians(far.means * 1e6, *(getattr(far, n) for n in ("quats", "log_scales", "logit_opacities", "sh"))),
        )


def test_spz_versions_1_and_2_have_three_bytes_of_rotation(tmp_path):
    positions = np.array([1.0, -0.5, 0.25], "<f2").tobytes()
    rest = bytes([204, 160, 128, 96, 144, 128, 112, 128, 128, 218])
    (tmp_path / "a.spz").write_bytes(gzip.compress(spz_bytes(1, body=positions + rest)))
    first = read_spz(tmp_path / "a.spz")
    fixed = b"".join(round(x * 4096).to_bytes(3, "little", signed=True) for x in (1, -0.5, 0.25))
    (tmp_path / "a.spz").write_bytes(gzip.compress(spz_bytes(2, body=fixed + rest)))
    second = read_spz(tmp_path / "a.spz")
    for back in (first, second):
        assert back.means.tolist() == [[1.0, -0.5, 0.25]]
        assert angles_between(back.quats, one_gaussian().quats) < 0.03
        assert back.log_scales.tolist() == [[-1.0, -2.0, -3.0]]
        assert torch.allclose(back.opacities, torch.tensor([204 / 255]))


def spz4_file(gaussians_file: bytes, pack) -> bytes:
    """The arrays of a version 3 file of degree 0 as version 4."""
    data = gzip.decompress(gaussians_file)
    _, _, count, degree, bits, _, _ = struct.unpack_from("<IIIBBBB", data)
    streams, start = [], 16
    for size in (9, 1, 3, 3, 4):
        streams.append(data[start : start + size * count])
        start += size * count
    packed = [pack(stream) for stream in streams]
    header = struct.pack("<IIIBBBBI12x", 0x5053474E, 4, count, degree, bits, 0, len(packed), 32)
    table = b"".join(struct.pack("<QQ", len(p), len(s)) for p, s in zip(packed, streams, strict=True))
    return header + table + b"".join(packed)


def test_spz_version_4_has_a_zstd_stream_for_each_array(tmp_path):
    zstandard = pytest.importorskip("zstandard", reason="version 4 of SPZ needs zstandard")
    write_spz(tmp_path / "a.spz", some_gaussians(300))
    wanted = read_spz(tmp_path / "a.spz")
    data = spz4_file((tmp_path / "a.spz").read_bytes(), zstandard.ZstdCompressor().compress)
    path = tmp_path / "b.spz"
    path.write_bytes(data)
    back = read_spz(path)
    assert torch.equal(back.means, wanted.means) and torch.equal(back.quats, wanted.quats)
    refuses(read_spz, path, data[:-1], "rotations")
    refuses(read_spz, path, data[:15] + b"\x07" + data[16:], "numStreams 7")
    refuses(read_spz, path, data[:16] + struct.pack("<I", 1 << 30) + data[20:], "tocByteOffset 1073741824")
    refuses(read_spz, path, data[:8] + struct.pack("<I", 301) + data[12:], "positions of .* not 2709")
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 26))
    lying = struct.pack("<IIIBBBBI12x", 0x5053474E, 4, 1, 0, 12, 0, 5, 32)
    sizes = [struct.pack("<QQ", len(bomb), size) for size in (9, 1, 3, 3, 4)]
    tracemalloc.start()
    refuses(read_spz, path, lying + b"".join(sizes) + bomb * 5, "positions of another size")
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()
    read_all(lambda: read_spz(path), path, mutants(data, 150), check_finite)


def test_spz_version_4_without_zstandard_names_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    (tmp_path / "a.spz").write_bytes(struct.pack("<IIIBBBBI12x", 0x5053474E, 4, 1, 0, 12, 0, 5, 32))
    with pytest.raises(DependencyError, match="spz4"):
        read_spz(tmp_path / "a.spz")


@pytest.mark.parametrize(
    ("header", "named"),
    [
        (spz_bytes(count=MOST_POINTS + 1), "numPoints 10000001"),
        (spz_bytes(count=MOST_POINTS), "numPoints 10000000, more than"),
        (spz_bytes(count=2, body=bytes(21)), "numPoints 2, but ends"),
        (spz_bytes(body=bytes(21)), "numPoints 1, but data for more"),
        (spz_bytes(version=0), "version 0"),
        (spz_bytes(version=4), "version 4"),
        (spz_bytes(degree=4), "shDegree 4"),
        (spz_bytes(bits=24), "fractionalBits 24"),
        (b"spam" + spz_bytes()[4:], "magic"),
        (spz_bytes()[:9], "ends within the header"),
        (spz_bytes(1, body=b"\0\x7c" * 3 + bytes(10)), "positions that are not finite"),
    ],
)
def test_spz_headers_that_lie_are_refused_by_name(tmp_path, header, named):
    refuses(read_spz, tmp_path / "a.spz", gzip.compress(header), named)


def test_spz_unpacks_no_bomb(tmp_path):
    bomb = gzip.compress(spz_bytes(body=bytes(1 << 26)))
    tracemalloc.start()
    refuses(read_spz, tmp_path / "a.spz", bomb, "data for more")
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_spz_skips_extensions(tmp_path, caplog):
    data = spz_bytes(flags=2, body=bytes(20) + struct.pack("<II", 0xADBE0002, 4) + b"orbi")
    (tmp_path / "a.spz").write_bytes(gzip.compress(data))
    assert len(read_spz(tmp_path / "a.spz")) == 1


@pytest.mark.parametrize("cut", [1, 5, 9, 300])
def test_spz_cut_anywhere_is_refused(tmp_path, cut):
    write_spz(tmp_path / "a.spz", some_gaussians(100))
    refuses(read_spz, tmp_path / "a.spz", (tmp_path / "a.spz").read_bytes()[:-cut], "cut off|damaged")


def test_spz_sums_are_checked(tmp_path):
    write_spz(tmp_path / "a.spz", some_gaussians(100))
    data = (tmp_path / "a.spz").read_bytes()
    refuses(read_spz, tmp_path / "a.spz", data[:-8] + struct.pack("<I", zlib.crc32(b"")) + data[-4:], "gzip")


# ---- KHR_gaussian_splatting


@pytest.mark.parametrize("coefficients", [1, 4, 9, 16])
def test_gltf_round_trip(tmp_path, coefficients):
    gaussians = some_gaussians(100, coefficients)
    write_gltf_splats(tmp_path / "a.glb", gaussians)
    back = read_gltf_splats(tmp_path / "a.glb")
    assert torch.equal(back.means, gaussians.means) and torch.equal(back.sh, gaussians.sh)
    assert torch.allclose(back.log_scales, gaussians.log_scales, atol=1e-6)
    assert torch.allclose(back.logit_opacities, gaussians.logit_opacities, atol=1e-5)
    assert angles_between(back.quats, gaussians.quats).max() < 1e-3


def test_gltf_attributes_are_those_of_the_extension(tmp_path):
    write_gltf_splats(tmp_path / "a.glb", some_gaussians(5, 4), {"head": "open"})
    scene, _ = read_glb(tmp_path / "a.glb")
    (primitive,) = scene["meshes"][0]["primitives"]
    own = {name.removeprefix(f"{EXTENSION}:") for name in primitive["attributes"]}
    degree_1 = {f"SH_DEGREE_1_COEF_{n}" for n in range(3)}
    assert own == {"POSITION", "COLOR_0", "ROTATION", "SCALE", "OPACITY", "SH_DEGREE_0_COEF_0"} | degree_1
    assert primitive["mode"] == 0
    assert primitive["extensions"][EXTENSION]["kernel"] == "ellipse"
    assert primitive["extensions"][EXTENSION]["colorSpace"] == "srgb_rec709_display"
    assert scene["extensionsUsed"] == [EXTENSION]
    assert scene["asset"]["extras"]["synthetic"] is True and scene["asset"]["extras"]["head"] == "open"


def test_gltf_values_are_linear_scales_plain_opacities_and_xyzw(tmp_path):
    write_gltf_splats(tmp_path / "a.glb", one_gaussian())
    scene, data = read_glb(tmp_path / "a.glb")
    attributes = scene["meshes"][0]["primitives"][0]["attributes"]

    def value(name):
        view = scene["bufferViews"][scene["accessors"][attributes[name]]["bufferView"]]
        return np.frombuffer(data, "<f4", view["byteLength"] // 4, view["byteOffset"])

    half = 0.5**0.5
    assert np.allclose(value(f"{EXTENSION}:ROTATION"), [0, 0, half, half])
    assert np.allclose(value(f"{EXTENSION}:SCALE"), np.exp([-1, -2, -3]))
    assert np.allclose(value(f"{EXTENSION}:OPACITY"), [0.8])
    assert np.allclose(value("COLOR_0"), [0.522522, 0.214041, 0.050876, 0.8], atol=1e-5)  # sRGB 0.75 0.5 0.25, linear


def rewrite_glb(path, change) -> bytes:
    """The file with its JSON changed."""
    scene, data = read_glb(path)
    change(scene)
    text = json.dumps(scene).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(data), 0x004E4942) + data
    return struct.pack("<III", 0x46546C67, 2, 12 + len(chunks)) + chunks


def set_in(scene, *keys_and_value):
    *keys, last, value = keys_and_value
    for key in keys:
        scene = scene[key]
    scene[last] = value


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("accessors", 0, "count", 10**9), "count 1000000000"),
        (("accessors", 0, "count", -1), "count -1"),
        (("accessors", 0, "count", "many"), "count many"),
        (("accessors", 2, "count", 3), f"{EXTENSION}:ROTATION of shape"),
        (("accessors", 0, "componentType", 7), "type 7 VEC3"),
        (("accessors", 0, "type", "VEC9"), "VEC9"),
        (("accessors", 0, "bufferView", 99), "no bufferViews 99"),
        (("bufferViews", 0, "byteOffset", 1 << 30), "bufferViews 0"),
        (("bufferViews", 0, "byteLength", 3), "bufferViews 0 of 3 bytes"),
        (("bufferViews", 0, "byteStride", 1), "bufferViews 0"),
        (("bufferViews", 0, "buffer", 1), "bufferViews 0 outside"),
        (("accessors", {}), "no accessors 0"),
        (("meshes", []), f"no primitive with {EXTENSION}"),
        (("meshes", 0, "primitives", 0, "attributes", "POSITION", True), "no accessors True"),
        (("meshes", 0, "primitives", 0, "attributes", {}), "no attribute POSITION"),
        (("accessors", 3, {"componentType": 5126, "type": "VEC3", "count": 10**8}), "accessor 3 of count 100000000"),
        (("accessors", 3, "sparse", {"count": 1}), "sparse"),
    ],
)
def test_gltf_that_lies_is_refused_by_name(tmp_path, change, named):
    write_gltf_splats(tmp_path / "a.glb", some_gaussians(5))
    data = rewrite_glb(tmp_path / "a.glb", lambda scene: set_in(scene, *change))
    refuses(read_gltf_splats, tmp_path / "a.glb", data, named)


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [("SCALE", -1.0, "SCALE"), ("OPACITY", 1.5, "OPACITY"), ("SCALE", np.nan, "accessor 3 .* not finite")],
)
def test_gltf_numbers_out_of_range_are_refused(tmp_path, name, value, named):
    write_gltf_splats(tmp_path / "a.glb", some_gaussians(5))
    scene, body = read_glb(tmp_path / "a.glb")
    accessor = scene["meshes"][0]["primitives"][0]["attributes"][f"{EXTENSION}:{name}"]
    start = scene["bufferViews"][scene["accessors"][accessor]["bufferView"]]["byteOffset"]
    data = (tmp_path / "a.glb").read_bytes()
    at = len(data) - len(body) + start
    refuses(read_gltf_splats, tmp_path / "a.glb", data[:at] + struct.pack("<f", value) + data[at + 4 :], named)


# ---- all of them


@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_files_are_refused_or_finite(tmp_path, kind):
    write, read = FORMATS[kind]
    path = tmp_path / f"a.{kind}"
    write(path, some_gaussians(20, 1 if kind == "splat" else 4))
    data, front = path.read_bytes(), 3000 if kind in ("ply", "glb") else 64
    if kind == "spz":  # damage what is inside of the gzip stream, else the sum refuses all of it
        inner = gzip.decompress(data)
        damaged = (gzip.compress(mutant, 1) for mutant in mutants(inner, 400, 20))
        assert read_all(lambda: read(path), path, damaged, check_finite) > 0
    read_all(lambda: read(path), path, mutants(data, 600, front), check_finite)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_missing_file_is_an_input_error(tmp_path, kind):
    with pytest.raises(InputError, match="cannot be read"):
        FORMATS[kind][1](tmp_path / "none")


@pytest.mark.parametrize("kind", ["ply", "splat", "spz"])
def test_no_gaussians_are_no_problem(tmp_path, kind):
    write, read = FORMATS[kind]
    write(tmp_path / "a", some_gaussians(3).select(torch.zeros(0, dtype=torch.long)))
    assert len(read(tmp_path / "a")) == 0
