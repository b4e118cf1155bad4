"""LivePortrait's networks against the published ones' outputs and closed forms; weights of all kinds; crops."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hostile import mutants, read_all, refuses
from safetensors.torch import load_file, save_file
from scipy.spatial.transform import Rotation
from tiny_liveportrait import states, write_official

from facecraft.errors import DependencyError, InputError
from facecraft.head.model import load_head
from facecraft.prior.liveportrait.appearance import AppearanceExtractor, make_appearance
from facecraft.prior.liveportrait.crop import (
    SOURCE,
    Square,
    face_square,
    measure_openness,
    soft_mask,
)
from facecraft.prior.liveportrait.generator import SpadeGenerator, make_generator
from facecraft.prior.liveportrait.motion import (
    FaceMotion,
    MotionExtractor,
    bin_angles,
    head_sizes,
    make_motion,
    rotation_matrices,
)
from facecraft.prior.liveportrait.networks import EYES, LIPS, SourceFace, load_liveportrait
from facecraft.prior.liveportrait.stitching import make_point_network
from facecraft.prior.liveportrait.warping import DenseMotion, WarpingModule, make_warping, unit_grid
from facecraft.prior.liveportrait.weights import NETWORKS, State, fill_network, find_weights, read_states

PARITY = Path(__file__).parents[2] / "shared" / "data" / "parity" / "liveportrait"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_official(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def portrait(folder):
    return load_liveportrait(folder, CPU)


@pytest.mark.skipif(not PARITY.is_dir(), reason="the tiny networks of ../shared/data/parity are not there")
@pytest.mark.parametrize(
    ("name", "make", "inputs", "outputs"),
    [
        ("appearance_feature_extractor", make_appearance, ["x"], ["f"]),
        ("motion_extractor", make_motion, ["x"], [f"motion.{name}" for name in head_sizes(21)]),
        ("warping_module", make_warping, ["f", "k0", "k1"], ["warped", "occlusion", "deformation"]),
        ("spade_generator", make_generator, ["warped"], ["generated"]),
        ("stitching", make_point_network, ["stitch_in"], ["stitch_out"]),
    ],
)
def test_outputs_are_those_of_the_published_networks(name, make, inputs, outputs):
    """At tiny sizes with random weights."""
    tensors = load_file(PARITY / "io.safetensors")
    found = fill_network(make, read_states(PARITY / f"{name}.safetensors")[""])(*(tensors[key] for key in inputs))
    found = list(found.values()) if isinstance(found, dict) else found if isinstance(found, tuple) else [found]
    for tensor, key in zip(found, outputs, strict=True):
        assert tensor.shape == tensors[key].shape and (tensor - tensors[key]).abs().max() < 1e-4, key


@pytest.mark.parametrize(
    ("make", "sizes", "megabytes"),
    [
        (AppearanceExtractor, ([64, 128, 256], 32, 16, 6), 3.4),
        (MotionExtractor, ([96, 192, 384, 768], [3, 3, 9, 3], 21), 112.5),
        (
            lambda *dense: WarpingModule(DenseMotion(*dense), 512, 256),
            (21, 32, 16, 4, [32 << i for i in range(6)]),
            182,
        ),
        (SpadeGenerator, (256, (512, 256, 64), 2), 222),
    ],
)
def test_networks_of_the_published_widths_weigh_what_the_published_files_do(make, sizes, megabytes):
    with torch.device("meta"):
        tensors = make(*sizes).state_dict().values()
    found = sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 1e6
    assert found == pytest.approx(megabytes, rel=2e-3, abs=0.05)  # as far as they are told


def test_rotations_turn_rows_about_x_then_y_then_z():
    angles = torch.tensor([[0.3, -0.5, 0.2], [0.0, 1.0, 0.0]])
    wanted = Rotation.from_euler("xyz", angles.numpy()).as_matrix()
    assert np.allclose(rotation_matrices(*angles.T).mT.numpy(), wanted, atol=1e-6)


def test_angles_are_means_over_bins():
    sure = torch.full((2, 66), -100.0)
    sure[0, 0], sure[1, 40] = 0, 0
    assert np.allclose(np.degrees(bin_angles(sure).numpy()), [-97.5, 40 * 3 - 97.5])
    assert np.allclose(np.degrees(bin_angles(torch.zeros(1, 66)).numpy()), 0, atol=1e-4)


def test_keypoints_are_turned_moved_scaled_and_put_in_the_picture():
    draw = torch.Generator().manual_seed(0)
    points, ways = (torch.randn(1, 21, 3, generator=draw) for _ in range(2))
    rotation = rotation_matrices(*torch.tensor([[0.1], [0.2], [0.3]]))
    motion = FaceMotion(points, rotation, ways, torch.tensor([[1.5]]), torch.tensor([[0.1, -0.2, 9.0]]))
    wanted = 1.5 * (points[0] @ rotation[0] + ways[0]) + torch.tensor([0.1, -0.2, 0])
    assert torch.allclose(motion.keypoints()[0], wanted, atol=1e-6)


def test_equal_keypoints_leave_every_place_where_it_is(portrait):
    points = torch.randn(1, 21, 3, generator=torch.Generator().manual_seed(1)) / 3
    features = torch.randn(1, 2, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    _, occlusion, deformation = portrait.warping(features, points, points)
    grid = unit_grid((3, 16, 16), points)
    assert torch.allclose(deformation[0], grid, atol=1e-5)
    assert grid[0, 0, 0].tolist() == [-1, -1, -1] and grid[-1, 0, -1].tolist() == [1, -1, 1]  # x, y, z
    assert occlusion.min() >= 0 and occlusion.max() <= 1
    # one step of all points to the right: what is drawn at a place comes from further left
    _, _, moved = portrait.warping(features, points, points + torch.tensor([0.2, 0, 0]))
    off = (moved - deformation)[0]
    assert off[..., 0].min() >= -0.2 - 1e-5 and off[..., 0].max() <= 1e-5 and off[..., 0].mean() < -0.1
    assert off[..., 1:].abs().max() < 1e-5


def test_convolutions_are_divided_by_their_largest_singular_value(portrait):
    block = portrait.generator.up_0
    weight = block.conv_s.weight_orig[:, :, 0, 0]
    x = torch.randn(1, weight.shape[1], 1, 1)
    wanted = weight / torch.linalg.svdvals(weight)[0] @ x[0, :, 0, 0]
    assert torch.allclose(block.conv_s(x)[0, :, 0, 0], wanted, atol=1e-5)


@pytest.fixture
def source() -> SourceFace:
    draw = torch.Generator().manual_seed(3)
    points, ways = (torch.randn(1, 21, 3, generator=draw) for _ in range(2))
    motion = FaceMotion(points, torch.eye(3)[None], ways, torch.tensor([[2.0]]), torch.zeros(1, 3))
    return SourceFace(torch.zeros(1), motion, np.array([0.3, 0.2, 0.1]))


def stitched(portrait, source, driven):
    """Stitching as its definition: one way for each keypoint, one for all in the picture."""
    at_rest = source.motion.keypoints()
    out = portrait.stitching.mlp(torch.cat([at_rest.flatten(), driven.flatten()]))
    return driven + out[:63].reshape(1, 21, 3) + torch.cat([out[63:], torch.zeros(1)])


def test_the_change_of_the_driver_is_added_in_the_scale_of_the_face(portrait, source):
    change = torch.randn(21, 3, generator=torch.Generator().manual_seed(4))
    found = portrait.place_points(source, change, np.zeros(3), ())
    assert torch.allclose(found, stitched(portrait, source, source.motion.keypoints() + 2 * change), atol=1e-5)


def test_retargeted_eyes_and_lips_are_moved_by_their_networks(portrait, source):
    change = torch.randn(21, 3, generator=torch.Generator().manual_seed(4))
    found = portrait.place_points(source, change, np.array([0.5, 0.1, 0.7]), ("eyes", "lips"))
    at_rest = source.motion.keypoints()
    eyes = portrait.eyes.mlp(torch.cat([at_rest.flatten(), torch.tensor([0.3, 0.2, 0.3])]))
    lips = portrait.lips.mlp(torch.cat([at_rest.flatten(), torch.tensor([0.1, 0.7])]))
    kept = change.clone()
    kept[[*EYES, *LIPS]] = 0
    driven = at_rest + 2 * kept + (eyes + lips).reshape(1, 21, 3)
    assert torch.allclose(found, stitched(portrait, source, driven), atol=1e-5)


def test_converted_weights_are_those_of_the_publisher(folder, portrait, tmp_path):
    parts = {}
    for name, path in find_weights(folder).items():
        for part, state in read_states(path).items():
            stem = f"{part}_module." if part else ""
            tensors = {f"{stem}{key}": tensor.contiguous() for key, tensor in state.tensors.items()}
            if part:
                parts |= tensors
            else:
                save_file(tensors, tmp_path / f"{name}.safetensors")
    save_file(parts, tmp_path / "stitching_retargeting_module.safetensors")
    again = load_liveportrait(tmp_path, CPU)
    for name in ("appearance", "motion", "warping", "generator", "stitching", "eyes", "lips"):
        ours, theirs = (getattr(p, name).state_dict() for p in (portrait, again))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours), name


def test_missing_files_are_named_with_the_command_that_gets_them(folder, tmp_path):
    with pytest.raises(DependencyError, match=r"needs its weights.*MIT.*hf download KwaiVGI/LivePortrait.*--weights"):
        find_weights(None)
    with pytest.raises(DependencyError, match="nowhere is not a folder"):
        find_weights(tmp_path / "nowhere")
    for name in NETWORKS[1:]:
        (tmp_path / f"{name}.pth").touch()
    missing = "appearance_feature_extractor, stitching_retargeting_module as .safetensors or .pth"
    with pytest.raises(DependencyError, match=missing) as caught:
        find_weights(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("fc.bias", None, r"nothing for fc.bias, not \[8\]"),
        ("fc.weight", None, "no fc.weight"),
        ("extra.weight", torch.zeros(2), r"\[2\] for extra.weight, not nothing"),
        ("fc.bias", torch.zeros(7), r"\[7\] for fc.bias, not \[8\]"),
        ("fc.bias", torch.full((8,), torch.nan), "fc.bias that is not finite"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(name, value, told):
    tensors = states()["spade_generator"] | {name: value}
    tensors = {key: tensor for key, tensor in tensors.items() if tensor is not None}
    with pytest.raises(InputError, match=f"some.pth has .*{told}"):
        fill_network(make_generator, State("some.pth", tensors))


def test_half_precision_is_read(tmp_path):
    tensors = states()["retarget_eye"]
    torch.save({name: tensor.half() for name, tensor in tensors.items()}, tmp_path / "a.pth")
    found = read_states(tmp_path / "a.pth")[""].tensors
    assert all(found[name].dtype == torch.float32 for name in tensors)
    assert all(torch.allclose(found[name], tensors[name], atol=1e-3) for name in tensors)


class Evil:
    def __reduce__(self):
        return Path.mkdir, (Path("/tmp/facecraft-was-here"),)


def test_files_that_are_no_weights_are_refused(tmp_path):
    wide = torch.zeros(1).expand(1 << 40)
    for content, told in (
        ({"a": Evil()}, "cannot be read"),
        ([1, 2], "holds list"),
        ({"a": 3}, "a that is not a plain tensor"),
        ({"a": {"b": "text"}}, "a.b that is not a plain tensor"),
        ({"a": wide}, "a that is not a plain tensor"),
        ({"a": torch.zeros(2, dtype=torch.complex64)}, "plain tensor"),
    ):
        torch.save(content, tmp_path / "a.pth")
        refuses(read_states, tmp_path / "a.pth", (tmp_path / "a.pth").read_bytes(), told)
    refuses(read_states, tmp_path / "b.safetensors", b"\x08\0\0\0\0\0\0\0nonsense", "cannot be read")
    assert not Path("/tmp/facecraft-was-here").exists()


def test_damaged_weights_are_refused_or_finite(tmp_path):
    path = tmp_path / "a.pth"
    torch.save(states()["retarget_mouth"], path)
    data = path.read_bytes()

    def read():
        return fill_network(make_point_network, read_states(path)[""])

    def check(network):
        assert all(torch.isfinite(tensor).all() for tensor in network.parameters())

    read_all(read, path, mutants(data, 60, len(data)), check)


def test_files_of_different_models_are_told_apart(folder, tmp_path):
    write_official(tmp_path / "a")
    path = tmp_path / "a/liveportrait/base_models/spade_generator.pth"
    torch.save(states()["warping_module"], path)
    with pytest.raises(InputError, match="has no fc.weight"):
        load_liveportrait(tmp_path / "a", CPU)
    parts = torch.load(tmp_path / "a/liveportrait/retargeting_models/stitching_retargeting_module.pth")
    torch.save(states()["spade_generator"], path)
    parts["retarget_eye"] = parts["retarget_mouth"]
    torch.save(parts, tmp_path / "a/liveportrait/retargeting_models/stitching_retargeting_module.pth")
    with pytest.raises(InputError, match="retargeting.*do not belong together"):
        load_liveportrait(tmp_path / "a", CPU)


def points_of(**channels: float) -> np.ndarray:
    """Landmarks [478, 3] of the open head, m, y down."""
    head = load_head()
    return head.landmarks(head.vertices(None, head.expression_vector(channels)))[0].numpy() * [1, -1, 1]


def test_the_square_turns_and_grows_with_the_face():
    points = 1000 * points_of()[:, :2]
    square = face_square(points, *SOURCE)
    turn, place = Rotation.from_euler("z", 0.4).as_matrix()[:2, :2], np.array([300.0, 200.0])
    moved = face_square(2 * points @ turn.T + place, *SOURCE)
    assert np.allclose(moved.middle, 2 * turn @ square.middle + place, atol=1e-3)
    assert np.allclose(moved.right, turn @ square.right, atol=1e-6) and moved.side == pytest.approx(2 * square.side)
    # as LivePortrait says: 2.3 sides of the face, whose middle is an eighth of the square below that of the square
    face = np.concatenate([points[[70, 336, 152, 234, 454, 127, 356]]])
    middle = (face.min(0) + face.max(0)) / 2
    assert square.side / np.ptp(face, axis=0).max() == pytest.approx(2.3, rel=0.03)
    assert (middle[1] - square.middle[1]) / square.side == pytest.approx(0.125, abs=0.01)


def test_a_crop_comes_back_where_it_was_and_touches_nothing_else():
    rows, columns = np.mgrid[:200, :240]
    picture = np.dstack([columns / 240, rows / 200, 0.5 + 0.3 * np.sin(columns / 30)]).astype(np.float32)
    for side in (90.0, 180.0, 700.0):
        square = Square(np.array([100.0, 90.0]), side, np.array([np.cos(0.3), np.sin(0.3)]))
        placed, share = square.put_back(square.cut(picture), picture)
        assert np.abs(placed - picture)[share > 0.02].max() < 0.02
        inside = square.to_crop(1) @ np.stack([columns + 0.5, rows + 0.5, np.ones_like(rows)]).reshape(3, -1)
        outside = ((inside < 0) | (inside > 1)).any(0).reshape(rows.shape)
        assert not share[outside].any() and share.max() == pytest.approx(1, abs=1e-5)
    mask = soft_mask(64)
    assert not mask[0].any() and not mask[:, -1].any() and mask[32, 32] == 1


def test_openness_tells_eyes_from_each_other_and_lips():
    rest, wink, jaw = (measure_openness(points_of(**c)) for c in ({}, {"eyeBlinkRight": 1}, {"jawOpen": 0.6}))
    assert wink[0] < 0.45 * rest[0] and wink[1] == pytest.approx(rest[1], rel=0.05)
    assert rest[2] < 0.1 and jaw[2] > 0.3
