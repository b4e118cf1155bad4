"""Facts about the open head: its file, its mesh, and how it moves."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from facecraft.camera import Camera, orbit_camera
from facecraft.errors import InputError
from facecraft.head.model import load_head, rotations_from_axis_angles
from facecraft.head.open_head import OPEN_HEAD_FILE, OpenHead
from facecraft.mesh.raster import rasterize_mesh

SYMMETRIC = (
    "jawOpen",
    "mouthPucker",
    "mouthFunnel",
    "browInnerUp",
    "cheekPuff",
    "tongueOut",
    "jawForward",
    "mouthClose",
)


@pytest.fixture(scope="module")
def head() -> OpenHead:
    return load_head()


def region(head, *names) -> torch.Tensor:
    wanted = torch.tensor([head.region_names.index(name) for name in names])
    return torch.unique(head.faces[torch.isin(head.face_regions, wanted)])


def mirrored(head, vertices):
    return vertices[:, head.mirror] * torch.tensor([-1.0, 1.0, 1.0])


def posed(head, **channels) -> torch.Tensor:
    return head.vertices(expression=head.expression_vector(channels))


def random_arguments(head, batch, seed, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    expression = torch.rand(batch, 52, generator=generator, dtype=dtype) * 0.5
    return {
        "shape": 0.7 * normal(batch, head.shape_count),
        "expression": expression,
        "gaze": 0.2 * normal(batch, 2, 2),
        "neck": 0.2 * normal(batch, 3),
        "offsets": 1e-3 * normal(batch, len(head.template), 3),
    }


# the file


def test_the_file_is_small_and_says_whose_data_it_is(head):
    assert OPEN_HEAD_FILE.stat().st_size <= 12e6
    assert head.digest == hashlib.sha256(OPEN_HEAD_FILE.read_bytes()).hexdigest()
    licences = {part["licence"]: part["text"] for part in head.metadata["licences"]}
    assert "Copyright (c) 2020 USC Institute for Creative Technologies" in licences["MIT"]
    assert "MakeHuman" in licences["CC0-1.0"]
    assert "MIT" in head.licence and "CC0" in head.licence
    shipped = Path(OPEN_HEAD_FILE).with_name("LICENSE-ICT-FaceKit.txt").read_text()
    assert shipped.split() == licences["MIT"].split()


@pytest.mark.parametrize("content", [None, b"", b"not a model", OPEN_HEAD_FILE.read_bytes()[:5000]])
def test_a_broken_file_is_an_input_error(tmp_path, content):
    path = tmp_path / "head.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="head.safetensors .*install facecraft again"):
        OpenHead.load(path)


def test_another_safetensors_file_is_an_input_error(tmp_path):
    from safetensors.numpy import save_file

    save_file({"x": np.zeros(3, np.float32)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="format None"):
        OpenHead.load(tmp_path / "other.safetensors")


# the mesh


def test_the_origin_is_between_the_eyeballs(head):
    np.testing.assert_allclose(head.joints[3:].mean(0).numpy(), 0, atol=1e-7)
    assert head.template[region(head, "face"), 2].max() > 0.02
    assert 0.26 < np.ptp(head.template[region(head, "face", "scalp_neck"), 1].numpy()) < 0.36


def test_the_template_is_mirror_symmetric(head):
    assert (head.mirror[head.mirror] == torch.arange(len(head.mirror))).all()
    np.testing.assert_allclose(mirrored(head, head.template[None])[0], head.template, atol=1e-7)


def test_surfaces_are_consistently_oriented_and_face_outward(head):
    faces = head.faces.numpy()
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    assert len(np.unique(edges, axis=0)) == len(edges)
    for name in ("eyeball_L", "eyeball_R"):
        ball = faces[head.face_regions.numpy() == head.region_names.index(name)]
        a, b, c = (head.template.numpy()[ball[:, i]] for i in range(3))
        volume = np.einsum("ij,ij->", a, np.cross(b, c)) / 6
        assert volume == pytest.approx(4 / 3 * np.pi * 0.0154**3, rel=0.1)


def test_texture_triangles_are_not_flipped_and_do_not_overlap(head):
    uvs, faces = head.uvs.numpy().astype(float), head.faces_uv.numpy()
    a, b, c = (uvs[faces[:, i]] for i in range(3))
    areas = 0.5 * ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0])
    assert (areas > 0).all() and uvs.min() >= 0 and uvs.max() <= 1
    size = 1024
    flat = np.c_[uvs * [size, -size] + [0, size], np.ones(len(uvs))]
    covered = rasterize_mesh(flat, faces, size, size).mask.mean()
    assert covered == pytest.approx(areas.sum(), rel=2e-3)
    assert covered > 0.6


def test_the_only_cut_of_the_skin_is_the_back_midline(head):
    skin = torch.isin(
        head.face_regions, torch.tensor([head.region_names.index(n) for n in ("face", "scalp_neck", "bust")])
    )
    pairs = torch.unique(torch.stack([head.faces[skin].flatten(), head.faces_uv[skin].flatten()], 1), dim=0)
    vertices, counts = torch.unique(pairs[:, 0], return_counts=True)
    cut = head.template[vertices[counts > 1]]
    assert counts.max() == 2
    np.testing.assert_array_equal(cut[:, 0], 0)
    assert cut[:, 2].max() < -0.04


# how it moves


def test_nothing_given_is_the_template(head):
    np.testing.assert_array_equal(head.vertices()[0], head.template)


def test_offsets_move_the_template_one_to_one(head):
    offsets = torch.zeros(1, len(head.template), 3, requires_grad=True)
    head.vertices(offsets=offsets).sum().backward()
    np.testing.assert_array_equal(offsets.grad, torch.ones_like(offsets))


def test_a_batch_is_its_singles(head):
    arguments = random_arguments(head, 3, 0)
    together = head.vertices(**arguments)
    for i in range(3):
        alone = head.vertices(**{name: value[i : i + 1] for name, value in arguments.items()})
        np.testing.assert_allclose(together[i], alone[0], atol=2e-6)


@pytest.mark.parametrize("name", ["shape", "expression", "gaze", "neck", "offsets"])
def test_a_batch_of_one_broadcasts(head, name):
    arguments = random_arguments(head, 2, 1)
    arguments[name] = arguments[name][:1]
    second = {key: value[-1:] for key, value in arguments.items()}
    np.testing.assert_allclose(head.vertices(**arguments)[1], head.vertices(**second)[0], atol=2e-6)


@pytest.mark.parametrize("name", ["shape", "expression", "gaze", "neck", "offsets"])
def test_gradients_are_finite_differences(head, name):
    double = head.to(dtype=torch.float64)
    arguments = random_arguments(head, 2, 2, torch.float64)
    generator = torch.Generator().manual_seed(3)
    probe = torch.randn(2, len(head.template), 3, generator=generator, dtype=torch.float64)
    direction = torch.randn(arguments[name].shape, generator=generator, dtype=torch.float64)

    def measure(step):
        return (double.vertices(**{**arguments, name: arguments[name] + step * direction}) * probe).sum()

    variable = arguments[name].clone().requires_grad_()
    gradient = torch.autograd.grad((double.vertices(**{**arguments, name: variable}) * probe).sum(), variable)[0]
    numeric = (measure(1e-7) - measure(-1e-7)) / 2e-7
    assert float((gradient * direction).sum()) == pytest.approx(float(numeric), rel=1e-4, abs=1e-6)


def test_shaped_is_the_neutral_head(head):
    shape = random_arguments(head, 2, 4)["shape"]
    vertices, joints = head.shaped(shape)
    face = region(head, "scalp_neck", "teeth_upper", "eyeball_L", "bust")
    np.testing.assert_allclose(vertices[:, face], head.vertices(shape)[:, face], atol=2e-6)
    # the eye joint follows its eyeball, whose vertices crowd at the cornea: their mean leans forward as it grows
    ball = region(head, "eyeball_L")
    shift = vertices[:, ball].mean(1) - head.template[ball].mean(0)
    np.testing.assert_allclose(joints[:, 3] - head.joints[3], shift, atol=5e-4)


@pytest.mark.parametrize("channel", SYMMETRIC)
def test_symmetric_channels_move_symmetrically(head, channel):
    vertices = posed(head, **{channel: 1.0, "jawOpen": 0.7 if channel != "jawOpen" else 1.0})
    np.testing.assert_allclose(mirrored(head, vertices), vertices, atol=3e-5)
    assert (vertices - head.template).norm(dim=2).max() > 2e-3


def test_left_channels_mirror_right_ones(head):
    for channel in [name for name in head.expression_names if name.endswith("Left")]:
        left, right = posed(head, **{channel: 1.0}), posed(head, **{channel.replace("Left", "Right"): 1.0})
        np.testing.assert_allclose(mirrored(head, left), right, atol=3e-5, err_msg=channel)


def test_the_jaw_swings_the_lower_teeth_on_an_arc(head):
    teeth = region(head, "teeth_lower")
    rest = head.template[teeth].double().numpy()
    angles = []
    for amount in (0.5, 1.0):
        moved = posed(head, jawOpen=amount)[0, teeth].double().numpy()
        left, _, right = np.linalg.svd((moved - moved.mean(0)).T @ (rest - rest.mean(0)))
        turn = left @ right
        rigid = (rest - rest.mean(0)) @ turn.T + moved.mean(0)
        assert np.linalg.norm(rigid - moved, axis=1).max() < 0.5e-3
        angles.append(np.arccos((np.trace(turn) - 1) / 2))
    assert angles[1] == pytest.approx(2 * angles[0], rel=0.02)
    assert np.degrees(angles[1]) == pytest.approx(25.3, abs=0.5)
    upper = region(head, "teeth_upper")
    np.testing.assert_allclose(posed(head, jawOpen=1.0)[0, upper], head.template[upper], atol=0.3e-3)


def test_the_neck_turns_the_head_and_keeps_the_shoulders(head):
    turned = head.vertices(neck=torch.tensor([[0.0, 0.6, 0.0]]))[0]
    bust = region(head, "bust")
    np.testing.assert_allclose(turned[bust], head.template[bust], atol=2e-6)
    top = head.template[:, 1] > 0
    turn = rotations_from_axis_angles(torch.tensor([0.0, 0.6, 0.0]))
    neck = head.joints[1]
    np.testing.assert_allclose(turned[top], (head.template[top] - neck) @ turn.T + neck, atol=1e-5)
    # positive yaw looks to the subject's left, +x
    assert turned[head.landmark68_vertices[30], 0] > 0.04


@pytest.mark.parametrize(
    "channel, axis, degrees",
    [("eyeLookOutLeft", 0, 25), ("eyeLookInLeft", 0, -25), ("eyeLookUpLeft", 1, 20), ("eyeLookDownLeft", 1, -23)],
)
def test_look_channels_turn_the_eyeball(head, channel, axis, degrees):
    ball = region(head, "eyeball_L")
    front = ball[(head.template[ball] - head.joints[3]) @ head.eye_axes[0] > 0.017]
    rest = (head.template[front] - head.joints[3]).mean(0)
    moved = (posed(head, **{channel: 1.0})[0, front] - head.joints[3]).mean(0)

    def angle(arm):
        return np.degrees(np.arctan2(float(arm[axis]), float(arm[2])))

    assert angle(moved) - angle(rest) == pytest.approx(degrees, abs=1)
    other = region(head, "eyeball_R")
    np.testing.assert_allclose(posed(head, **{channel: 1.0})[0, other], head.template[other], atol=2e-6)


def test_gaze_adds_to_the_look_channels(head):
    gaze = torch.zeros(1, 2, 2)
    gaze[0, 0, 0] = np.radians(25.0)
    ball = region(head, "eyeball_L")
    by_channel = posed(head, eyeLookOutLeft=1.0)[0, ball]
    np.testing.assert_allclose(head.vertices(gaze=gaze)[0, ball], by_channel, atol=2e-6)


def visible_eye_pixels(head, vertices) -> int:
    camera = orbit_camera(Camera(600, 300, 1500, 1500, 300, 150), 0, 0, np.array([0, 0, 0.0]), 0.5)
    pixels = camera.project(vertices.double().numpy())
    ids = rasterize_mesh(pixels, head.faces.numpy(), 300, 600).face_ids
    eyes = [head.region_names.index(name) for name in ("eyeball_L", "eyeball_R")]
    return int(np.isin(head.face_regions.numpy()[ids[ids >= 0]], eyes).sum())


@pytest.mark.parametrize(
    "others", [{}, {"eyeWideLeft": 1.0, "eyeWideRight": 1.0}, {"eyeSquintLeft": 0.6, "eyeSquintRight": 0.6}]
)
def test_a_full_blink_covers_the_eyes(head, others):
    shapes = torch.cat([torch.zeros(1, head.shape_count), random_arguments(head, 5, 5)["shape"]])
    shut = head.expression_vector({"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0, **others})
    left_open = [visible_eye_pixels(head, v) for v in head.vertices(shapes)]
    left_shut = [visible_eye_pixels(head, v) for v in head.vertices(shapes, shut)]
    assert min(left_open) > 500
    assert left_shut[0] <= 0.01 * left_open[0]
    assert sum(left_shut) <= 0.05 * sum(left_open)


def lip_gaps(head, vertices) -> torch.Tensor:
    upper, lower = head.landmark68_vertices[[61, 62, 63]], head.landmark68_vertices[[67, 66, 65]]
    return vertices[:, upper, 1] - vertices[:, lower, 1]


def test_lips_of_the_template_touch(head):
    assert lip_gaps(head, head.template[None]).abs().max() < 0.2e-3


def test_mouth_close_closes_and_never_crosses_the_lips(head):
    shape = random_arguments(head, 6, 8)["shape"]
    for jaw in (0.0, 0.3, 0.6, 1.0):
        gaps = lip_gaps(head, head.vertices(shape, head.expression_vector({"jawOpen": jaw, "mouthClose": 1.0})))
        rest = lip_gaps(head, head.vertices(shape)).amin(1)
        assert (gaps.amin(1) > torch.minimum(rest, torch.zeros(6)) - 1e-4).all(), (jaw, gaps)
        assert gaps.max() < 3e-3, (jaw, gaps)


def test_the_mouth_is_dark_and_toothed_when_open(head):
    camera = orbit_camera(Camera(400, 400, 1600, 1600, 200, 200), 20, 0, np.array([0, -0.075, 0.02]), 0.5)
    seen = {}
    for amount in (0.0, 0.6):
        pixels = camera.project(posed(head, jawOpen=amount)[0].double().numpy())
        ids = rasterize_mesh(pixels, head.faces.numpy(), 400, 400).face_ids
        regions = head.face_regions.numpy()[ids[ids >= 0]]
        seen[amount] = {name: int((regions == k).sum()) for k, name in enumerate(head.region_names)}
    assert seen[0.0]["teeth_upper"] + seen[0.0]["teeth_lower"] + seen[0.0]["tongue"] < 60
    assert seen[0.6]["teeth_lower"] > 100 and seen[0.6]["tongue"] > 500 and seen[0.6]["mouth_socket"] > 100


def test_hair_sized_offsets_leave_everything_else_alone(head):
    arguments = random_arguments(head, 1, 6)
    offsets = torch.zeros(1, len(head.template), 3)
    scalp = region(head, "scalp_neck")
    top = scalp[head.template[scalp, 1] > 0.02]
    offsets[0, top] = 0.1 * torch.nn.functional.normalize(head.template[top], dim=1)
    plain = head.vertices(**{**arguments, "offsets": None, "neck": None})
    hairy = head.vertices(**{**arguments, "offsets": offsets, "neck": None})
    moved = (hairy - plain)[0].norm(dim=1)
    still = torch.ones(len(moved), dtype=torch.bool)
    still[top] = False
    assert moved[still].max() < 2e-6
    np.testing.assert_allclose(moved[top], 0.1, atol=5e-3)


def test_random_heads_have_no_spikes(head):
    rest = head.template[head.faces]
    moved = head.vertices(random_arguments(head, 8, 7)["shape"])[:, head.faces]

    def sides(corners):
        return (corners - corners.roll(1, -2)).norm(dim=-1)

    stretch = sides(moved) / sides(rest)
    outer = torch.isin(
        head.face_regions, torch.tensor([head.region_names.index(n) for n in ("face", "scalp_neck", "bust")])
    )
    assert stretch[:, outer].max() < 6 and stretch[:, outer].mean() == pytest.approx(1, abs=0.2)
