"""Measures against their reference implementations and closed forms."""

import math

import numpy as np
import pytest

from facecraft.errors import DependencyError, InputError
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


def test_ssim_agrees_with_pytorch_msssim():
    torch, reference = pytest.importorskip("torch"), pytest.importorskip("pytorch_msssim")
    a, b = pictures(1)
    planes = [torch.from_numpy(p).double().permute(2, 0, 1)[None] for p in (a, b)]
    assert pixels.ssim(a, b) == pytest.approx(float(reference.ssim(*planes, data_range=1.0)), abs=1e-4)


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


@pytest.mark.parametrize("size", [176, 208])
def test_ms_ssim_agrees_with_pytorch_msssim(size):
    torch, reference = pytest.importorskip("torch"), pytest.importorskip("pytorch_msssim")
    a, b = pictures(3, size)
    planes = [torch.from_numpy(p).double().permute(2, 0, 1)[None] for p in (a, b)]
    assert pixels.ms_ssim(a, b) == pytest.approx(float(reference.ms_ssim(*planes, data_range=1.0)), abs=1e-4)


def test_ms_ssim_of_equal_unlike_and_small_pictures():
    a, b = pictures(3, 180)
    assert pixels.ms_ssim(a, a) == pytest.approx(1) and 0.5 < pixels.ms_ssim(a, b) < 0.999
    assert pixels.ms_ssim(a, 1 - a) < 0.1
    with pytest.raises(InputError, match="MS-SSIM needs pictures of 176 px, not 64x64"):
        pixels.ms_ssim(*pictures())


def lpips_reference(net: str, stages):
    """The package lpips with the same random network; torchvision's two networks in their published shape."""
    import sys
    import types

    from torch import nn

    def features():
        layers = []
        for stage in stages:
            layers += list(stage)
        return types.SimpleNamespace(features=nn.Sequential(*layers))

    models = types.SimpleNamespace(alexnet=lambda pretrained: features(), vgg16=lambda pretrained: features())
    stand_in = types.ModuleType("torchvision")
    stand_in.models = models
    before = sys.modules.get("torchvision")
    sys.modules["torchvision"] = stand_in
    try:
        lpips = pytest.importorskip("lpips")
        lpips.pretrained_networks.tv = models  # it was perhaps imported before, by the test of the other network
        return lpips.LPIPS(net=net, pnet_rand=True, verbose=False).eval()
    finally:
        sys.modules.pop("torchvision")
        if before:
            sys.modules["torchvision"] = before


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_lpips_agrees_with_its_package(net):
    """Random features, the package's own weights of them."""
    torch = pytest.importorskip("torch")
    from importlib.util import find_spec
    from pathlib import Path

    if find_spec("lpips") is None:
        pytest.skip("the package lpips is not installed")
    from facecraft.metrics.perceptual import Lpips, alexnet_stages, load_heads, vgg_stages

    torch.manual_seed(0)
    stages = alexnet_stages() if net == "alex" else vgg_stages()
    reference = lpips_reference(net, stages)
    package = Path(find_spec("lpips").submodule_search_locations[0])
    own = Lpips(stages, load_heads(package / f"weights/v0.1/{net}.pth"))
    a, b = pictures(4, 80)
    planes = [2 * torch.from_numpy(p).permute(2, 0, 1)[None] - 1 for p in (a, b)]
    with torch.no_grad():
        wanted = float(reference(*planes))
    assert wanted > 0 and own.distance(a, b) == pytest.approx(wanted, rel=1e-4) and own.distance(a, a) == 0


def test_lpips_takes_torchvisions_weights_in_their_order():
    torch = pytest.importorskip("torch")
    from facecraft.metrics.perceptual import alexnet_stages, fill_stages

    stages = alexnet_stages()
    state = {}
    for number, parameter in zip((0, 3, 6, 8, 10), list(stages.parameters())[::2], strict=True):
        state |= {f"features.{number}.weight": torch.randn_like(parameter)}
        state |= {f"features.{number}.bias": torch.randn(len(parameter))}
    fill_stages(stages, state | {"classifier.1.weight": torch.zeros(1)})
    assert all(torch.equal(own, given) for own, given in zip(stages.parameters(), state.values(), strict=True))


def test_absent_weights_are_named_with_the_command_that_gets_them(tmp_path, monkeypatch):
    from facecraft.metrics.networks import ALEXNET, INCEPTION

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(DependencyError, match=r"run `curl -fL --create-dirs -o \S+inception-2015-12-05.pt https://"):
        INCEPTION.require()
    ALEXNET.path.parent.mkdir(parents=True)
    ALEXNET.path.write_bytes(b"something else")
    with pytest.raises(InputError, match="not the file that its name says"):
        ALEXNET.require()


@pytest.mark.parametrize("count", [12, 200])
def test_frechet_distance_agrees_with_its_definition(count):
    """clean-fid's own formula: means, covariances and the root of their product; also with fewer pictures than features."""
    from scipy.linalg import sqrtm

    from facecraft.metrics.distribution import frechet_distance

    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((count, 30)), rng.standard_normal((count + 5, 30)) * rng.uniform(0.5, 2, 30) + 0.3
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    jitter = 1e-10 * np.eye(30)
    root = sqrtm((first + jitter) @ (second + jitter)).real
    wanted = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(first + second - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(wanted, rel=1e-4)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-8)
    with pytest.raises(InputError, match="the first set has 1"):
        frechet_distance(a[:1], b)


def test_frechet_distance_of_shifted_features_is_the_shift():
    from facecraft.metrics.distribution import frechet_distance

    features = np.random.default_rng(1).standard_normal((50, 8))
    assert frechet_distance(features, features + 2) == pytest.approx(8 * 4)


def test_a_plane_seen_from_two_sides_is_consistent_and_a_changed_one_is_not():
    """A textured plane at 1 m whose colours depend only on the world: the error is that of sampling."""
    from facecraft.camera import Camera, look_at
    from facecraft.metrics.consistency import reprojection_error

    def view(x: float):
        camera = Camera(96, 96, 120.0, 120.0, 48.0, 48.0, look_at(np.array([x, 0, 1.0]), np.array([0.0, 0, 0])))
        pixels = np.stack(np.meshgrid(np.arange(96) + 0.5, np.arange(96) + 0.5), -1)
        ray = camera.unproject(pixels, np.ones((96, 96))) - camera.centre
        depth = -camera.centre[2] / ray[..., 2]
        points = camera.centre + ray * depth[..., None]
        rgb = 0.5 + 0.4 * np.sin(points[..., :1] * [20, 25, 30] + points[..., 1:2] * [11, 7, 5])
        return rgb, np.ones((96, 96)), depth, camera

    one, two = view(0.0), view(0.2)
    error, share = reprojection_error(*one, *two)
    assert error < 2e-3 and share > 0.7
    assert reprojection_error(*one, two[0] + 0.1, *two[1:])[0] == pytest.approx(0.1, abs=2e-3)
    hidden = reprojection_error(*one, two[0], two[1], two[2] - 0.1, two[3])
    assert math.isnan(hidden[0]) and hidden[1] == 0


def test_turned_and_grimacing_heads_by_a_known_amount():
    """Landmarks of the head itself, so that the fit can find them again."""
    from facecraft.camera import Camera
    from facecraft.head.model import load_head
    from facecraft.metrics.reenactment import expression_distance, fit_pose, pose_distance

    head, size = load_head(), 256

    def project(jaw: float, yaw_deg: float) -> np.ndarray:
        points = head.landmarks(head.vertices(expression=head.expression_vector({"jawOpen": jaw})))[0].double().numpy()
        angle = math.radians(yaw_deg)
        turn = np.array([[math.cos(angle), 0, math.sin(angle)], [0, 1, 0], [-math.sin(angle), 0, math.cos(angle)]])
        T = np.eye(4)
        T[:3, :3], T[:3, 3] = np.diag([1.0, -1, -1]) @ turn, [0, 0, 0.8]
        return Camera(size, size, 2.2 * size, 2.2 * size, size / 2, size / 2, T).project(points)

    rest, turned, open_jaw = (fit_pose(project(*how), size, size) for how in ((0, 0), (0, 12), (0.5, 0)))
    assert pose_distance(rest, turned) == pytest.approx(12, abs=1.5) and pose_distance(rest, rest) < 1e-3
    assert expression_distance(rest, open_jaw) > 3 * expression_distance(rest, turned)


def test_cosine_and_the_chip_of_arcface():
    from facecraft.face.identity import ARCFACE_POINTS, ARCFACE_TEMPLATE, arcface_chip, cosine

    assert cosine(np.array([1.0, 0]), np.array([3.0, 3])) == pytest.approx(math.sqrt(0.5))
    rng = np.random.default_rng(0)
    picture = rng.random((112, 112, 3)).astype(np.float32)
    landmarks = np.zeros((478, 3))
    landmarks[list(ARCFACE_POINTS), :2] = ARCFACE_TEMPLATE
    assert np.array_equal(arcface_chip(picture, landmarks), np.round(picture * 255).astype(np.uint8))
    landmarks[:, :2] = 2 * landmarks[:, :2]
    large = picture.repeat(2, 0).repeat(2, 1)
    difference = arcface_chip(large, landmarks) / 255 - picture
    assert np.abs(difference[2:-2, 2:-2]).max() < 0.01


def test_an_embedder_that_is_not_there_is_told():
    from facecraft.face.identity import load_embedder

    with pytest.raises(InputError, match="embedder 'arcface' is not known; use dlib"):
        load_embedder("arcface")
    with pytest.raises(InputError, match="none.onnx does not exist"):
        load_embedder("none.onnx")


def test_a_similarity_is_found_again_and_is_no_reflection():
    from scipy.spatial.transform import Rotation

    from facecraft.alignment import fit_similarity

    rng = np.random.default_rng(0)
    points, turn = rng.standard_normal((20, 3)), Rotation.from_rotvec([0.4, -1.0, 0.3]).as_matrix()
    scale, rotation, shift = fit_similarity(points, 1.7 * points @ turn.T + [1, 2, 3])
    assert scale == pytest.approx(1.7) and np.allclose(rotation, turn) and np.allclose(shift, [1, 2, 3])
    assert np.linalg.det(fit_similarity(points, points * [1, 1, -1])[1]) == pytest.approx(1)


def encode(number: int, payload: bytes | str | int) -> bytes:
    """A field of a protocol buffer."""

    def varint(value: int) -> bytes:
        head, rest = value & 127, value >> 7
        return bytes([head | 128]) + varint(rest) if rest else bytes([head])

    if isinstance(payload, int):
        return varint(number << 3) + varint(payload)
    data = payload.encode() if isinstance(payload, str) else payload
    return varint(number << 3 | 2) + varint(len(data)) + data


def flatten_network() -> bytes:
    """An ONNX network that flattens [1, 3, 112, 112] and does nothing else."""

    def value(name: str, *shape: int) -> bytes:
        dimensions = b"".join(encode(1, encode(1, size)) for size in shape)
        return encode(1, name) + encode(2, encode(1, encode(1, 1) + encode(2, dimensions)))

    node = encode(1, "face") + encode(2, "vector") + encode(3, "flat") + encode(4, "Flatten")
    graph = encode(1, node) + encode(2, "g") + encode(11, value("face", 1, 3, 112, 112))
    graph += encode(12, value("vector", 1, 3 * 112 * 112))
    return encode(1, 7) + encode(7, graph) + encode(8, encode(1, "") + encode(2, 13))


def test_an_onnx_embedder_sees_the_face_as_arcface_does(tmp_path):
    """RGB planes in [-1, 1]: the network that only flattens gives back the chip."""
    from facecraft.face.identity import ARCFACE_POINTS, ARCFACE_TEMPLATE, arcface_chip, load_embedder

    (tmp_path / "flat.onnx").write_bytes(flatten_network())
    embedder = load_embedder(str(tmp_path / "flat.onnx"))
    picture = np.random.default_rng(0).random((120, 130, 3)).astype(np.float32)
    landmarks = np.zeros((478, 3))
    landmarks[list(ARCFACE_POINTS), :2] = ARCFACE_TEMPLATE + [5, 3]
    wanted = (arcface_chip(picture, landmarks).astype(float) - 127.5) / 127.5
    assert np.allclose(embedder.embed(picture, landmarks), wanted.transpose(2, 0, 1).ravel(), atol=1e-6)
    assert embedder.name.startswith("flat.onnx (")
    (tmp_path / "bad.onnx").write_bytes(b"no network")
    with pytest.raises(InputError, match="bad.onnx is not an ONNX network"):
        load_embedder(str(tmp_path / "bad.onnx"))


def test_dlib_knows_the_same_person_mirrored_and_smaller_and_names_itself():
    pytest.importorskip("dlib")
    from importlib.util import find_spec

    if find_spec("face_recognition_models") is None:
        pytest.skip("face_recognition_models is not installed")
    from skimage.data import astronaut

    from facecraft.face.identity import load_embedder
    from facecraft.face.landmarks import find_faces

    embedder, picture = load_embedder("dlib"), astronaut().astype(np.float32) / 255
    seen = [picture, picture[:, ::-1], picture[::2, ::2]]
    vectors = [embedder.embed(rgb, find_faces(rgb)[0].landmarks) for rgb in seen]
    assert all(np.linalg.norm(vectors[0] - other) < 0.35 for other in vectors[1:])  # dlib's own criterion is 0.6
    assert vectors[0].shape == (128,) and "dlib" in embedder.name
