"""Synthetic people: reproducible, whole, posed by the rig, drawn with their ground truth."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from facecraft.head.model import load_head
from facecraft.mesh.light import harmonics
from facecraft.mesh.raster import rasterize_mesh
from facecraft.synth import chart
from facecraft.synth.figure import flat_gaussians, x_axes
from facecraft.synth.hair import FAMILIES, HairTraits, grow_hair, pigment_colour
from facecraft.synth.hull import make_hull
from facecraft.synth.labels import LABELS
from facecraft.synth.light import BIAS_M, Light, irradiance, shade_points, sphere_directions
from facecraft.synth.meshes import draw_mesh
from facecraft.synth.noise import cells, smooth_noise
from facecraft.synth.picture import encode, take_picture
from facecraft.synth.scene import Scene, make_pose
from facecraft.synth.skin import reflectance
from facecraft.synth.strands import Strands, strand_segments, turns_to
from facecraft.synth.subject import SPLITS, Subject
from facecraft.synth.traits import sample_traits
from facecraft.synth.viewpoint import any_camera, portrait_camera, ring_camera

SIZE = 128
EVEN = Light(np.eye(9)[[0]].T * np.ones(3), np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0))


def scene(index: int = 0) -> Scene:
    return Scene(Subject("test", 3, index), SIZE)


@cache
def lit(index: int = 0, jaw: float = 0.0):
    made = scene(index)
    return made.lit(make_pose({"jawOpen": jaw}), made.light()[1])


@cache
def front(index: int = 0, jaw: float = 0.0):
    return take_picture(lit(index, jaw), ring_camera(SIZE, 0, 0))


def share(picture, *names: str) -> float:
    return float(np.isin(picture.labels, [LABELS.index(name) for name in names]).mean())


def test_the_same_subject_is_the_same_to_the_last_bit():
    again = scene()
    picture = take_picture(again.lit(make_pose({}), again.light()[1]), ring_camera(SIZE, 0, 0))
    for name in ("rgb", "alpha", "depth", "normals", "labels", "landmarks"):
        assert np.array_equal(getattr(picture, name), getattr(front(), name)), name


def test_no_two_subjects_of_any_split_or_seed_share_random_numbers():
    draws = {
        Subject(split, seed, index).stream(noun, number).integers(1 << 62)
        for split in SPLITS
        for seed in range(4)
        for index in range(20)
        for noun in ("shape", "skin")
        for number in range(2)
    }
    assert len(draws) == 3 * 4 * 20 * 2 * 2


def test_one_trait_does_not_hang_on_the_random_numbers_of_another():
    subject = Subject("train", 0, 5)

    def stream(noun):
        return np.random.default_rng(99) if noun == "clothes" else subject.stream(noun)

    own, other = sample_traits(subject.stream), sample_traits(stream)
    assert own.clothes != other.clothes
    assert own.hair.length == other.hair.length and np.array_equal(own.shape, other.shape)


def test_the_population_is_varied():
    people = [sample_traits(Subject("train", 1, index).stream) for index in range(400)]
    families = [person.hair.family for person in people]
    assert set(families) == set(FAMILIES)
    assert max(map(families.count, FAMILIES)) < 100
    assert 0.4 < np.mean([person.sex > 0 for person in people]) < 0.6
    ages = np.array([person.age for person in people])
    assert (ages < 18).sum() > 10 and (ages > 60).sum() > 30
    tone = np.array([person.skin.melanin for person in people])
    assert (tone < 0.4).sum() > 80 and (tone > 1.2).sum() > 50
    assert {person.beard.family for person in people} >= {"none", "stubble", "short", "long", "goatee", "moustache"}
    for worn in ("glasses", "hat", "earrings"):
        assert 0.03 < np.mean([getattr(person.accessories, worn) is not None for person in people]) < 0.5


def test_a_portrait_has_all_parts_of_a_face():
    picture = front(0, 0.5)
    assert share(picture, "skin", "nose", "neck") > 0.08
    for name in ("nose", "iris", "brow", "upper_lip", "lower_lip", "mouth", "cloth"):
        assert share(picture, name) > 2e-4, name


def test_there_are_no_holes_in_the_head():
    """Whatever the mesh covers, the Gaussians cover, from every side."""
    faces, figure = load_head().faces.numpy(), lit()
    for azimuth in (0, 45, 90, 135, 180):
        camera = ring_camera(SIZE, azimuth, 10)
        mask = rasterize_mesh(camera.project(figure.vertices), faces, SIZE, SIZE).mask
        inner = mask & np.roll(mask, 2, 0) & np.roll(mask, -2, 0) & np.roll(mask, 2, 1) & np.roll(mask, -2, 1)
        assert take_picture(figure, camera).alpha[inner].min() > 0.95, azimuth


def test_depth_and_mesh_agree_on_bare_skin():
    camera = ring_camera(SIZE, 20, 0)
    picture = take_picture(lit(), camera)
    _, alpha, depth = draw_mesh(lit(), camera)
    skin = (
        np.isin(picture.labels, [LABELS.index("skin"), LABELS.index("nose")]) & (alpha > 0.99) & (picture.alpha > 0.99)
    )
    assert skin.sum() > 300
    assert np.median(np.abs(depth - picture.depth)[skin]) < 3e-3


def test_the_mesh_looks_like_the_gaussians_where_no_hair_is():
    camera = ring_camera(SIZE, 10, 0)
    picture = take_picture(lit(), camera)
    rgb, alpha, _ = draw_mesh(lit(), camera)
    skin = np.isin(picture.labels, [LABELS.index("skin"), LABELS.index("nose"), LABELS.index("neck")])
    skin &= (alpha > 0.99) & (picture.alpha > 0.99)
    error = np.abs(rgb - picture.rgb)[skin]
    assert np.median(error) < 0.025 and -10 * np.log10((error**2).mean()) > 22


def test_landmarks_are_where_the_labels_are():
    picture = front()
    at = picture.landmarks[:, :2].round().astype(int).clip(0, SIZE - 1)
    assert picture.labels[at[4, 1], at[4, 0]] == LABELS.index("nose")  # the tip of the nose
    irises = [picture.labels[y, x] for x, y in at[[468, 473]]]
    assert LABELS.index("iris") in irises or LABELS.index("glasses") in irises


def test_normals_are_unit_and_face_the_camera_on_skin():
    picture = front()
    skin = picture.labels == LABELS.index("skin")
    assert np.allclose(np.linalg.norm(picture.normals[skin], axis=1), 1, atol=1e-3)
    assert (picture.normals[skin][:, 2] > -0.2).mean() > 0.98


def test_an_open_mouth_moves_the_beard_and_the_chin_with_the_jaw():
    closed, opened = lit(0, 0.0), lit(0, 0.5)
    moved = (opened.gaussians.means - closed.gaussians.means).norm(dim=1).numpy()
    labels = closed.figure.labels
    assert moved[labels == LABELS.index("lower_lip")].mean() > 5e-3
    assert moved[labels == LABELS.index("iris")].max() < 1e-4
    hair_moved = moved[(labels == LABELS.index("hair")) & closed.figure.strands]
    assert np.percentile(hair_moved, 95) < 1e-3  # all but the hair in front of the ears


def test_hair_grows_from_the_scalp_and_stays_out_of_the_head():
    head = load_head()
    vertices = head.template.double().numpy()
    hull = make_hull(vertices)
    for family in FAMILIES:
        if family == "bald":
            continue
        groups = grow_hair(vertices, hull, hair(family), 400, 7)
        roots, points = groups[0].points[:, 0], groups[0].points.reshape(-1, 3)
        nearest = np.linalg.norm(roots[:, None] - vertices[None], axis=2).min(1)
        assert nearest.max() < 0.013, family
        height, _ = hull.clearance(points)
        beside = points[:, 1] > -0.1  # farther down it may vanish in the clothes
        assert np.isfinite(points).all() and np.mean(height[beside] < -0.008) < 0.02, family
        assert np.abs(points - hull.centre).max() < 0.6, family


def hair(family: str) -> HairTraits:
    lengths = {"buzz": 0.006, "crop": 0.03, "side_part": 0.08, "slick_back": 0.12, "bob": 0.13, "afro": 0.06}
    return HairTraits(
        family,
        length=lengths.get(family, 0.25),
        sides=0.6,
        volume=0.012,
        part=0.02,
        recession=0.004,
        thinning=0.0,
        curl_radius=0.004,
        curl_wavelength=0.04,
        clumping=0.5,
        fringe=False,
        eumelanin=3.0,
        pheomelanin=0.3,
        grey=0.2,
        dye=None,
        tip_fade=0.3,
    )


def test_segments_lie_end_to_end_along_their_strand():
    points = np.cumsum(np.random.default_rng(0).normal(0, 1e-2, (5, 7, 3)), 1)
    strands = Strands(points, np.zeros(5, int), np.full(5, 1e-3), np.full((5, 3), 0.2), "hair")
    middles, directions, lengths, _, _, owner = strand_segments(strands)
    ends = middles + 0.5 * lengths[:, None] * directions
    for strand in range(5):
        assert np.allclose(ends[owner == strand], points[strand, 1:], atol=1e-9)
    turned = x_axes(turns_to(np.array([*directions, [-1.0, 0, 0], [1, 0, 0]])))
    assert np.allclose(turned, [*directions, [-1, 0, 0], [1, 0, 0]], atol=1e-6)


def test_a_strand_that_stands_still_ends():
    points = np.zeros((1, 4, 3))
    points[0, 1:, 0] = 0.01
    assert len(strand_segments(Strands(points, np.zeros(1, int), np.ones(1), np.ones((1, 3)), "hair"))[0]) == 1


def test_a_flat_gaussian_has_the_covariance_of_its_axes():
    rng = np.random.default_rng(1)
    axes = rng.normal(0, 1e-3, (40, 3, 2))
    gaussians = flat_gaussians(np.zeros((40, 3)), axes, 0.9, np.full((40, 3), 0.5))
    from facecraft.splats.rig import matrices_from_quaternions

    turn = matrices_from_quaternions(gaussians.quats).double().numpy()
    wide = turn[:, :, :2] * gaussians.scales.double().numpy()[:, None, :2]
    assert np.allclose(wide @ wide.transpose(0, 2, 1), axes @ axes.transpose(0, 2, 1), atol=1e-10)


def test_light_from_everywhere_lights_an_open_sphere_evenly():
    normals = sphere_directions(2000)
    light = Light(EVEN.sky, np.array([[0.0, 0, 1]]), np.zeros((1, 3)), np.array([0.1]))
    arriving, _ = shade_points(0.1 * normals, normals, np.zeros((2000, 3)), np.full(2000, 5e-3), light)
    assert arriving.std() / arriving.mean() < 0.1


def test_a_lamp_throws_a_shadow_that_ends_where_geometry_says():
    """A disc of 4 cm over a plane, lit from straight above."""
    x, y = np.meshgrid(*[np.linspace(-0.1, 0.1, 120)] * 2)
    plane = np.stack([x.ravel(), y.ravel(), 0 * x.ravel()], 1)
    disc = plane[np.hypot(*plane[:, :2].T) < 0.04] + [0, 0, 0.05]
    points = np.concatenate([plane, disc])
    normals = np.tile([0.0, 0, 1], (len(points), 1))
    light = Light(0 * EVEN.sky, np.array([[0.0, 0, 1]]), np.ones((1, 3)), np.array([1e-3]))
    arriving, seen = shade_points(points, normals, 0 * normals, np.full(len(points), 2e-3), light)
    radius = np.hypot(x, y).ravel()
    below = seen[: len(plane), 0]
    assert below[radius < 0.028].max() < 0.05 and below[radius > 0.054].min() > 0.95
    assert np.allclose(arriving[: len(plane)][radius > 0.06], 1, atol=0.02)


def test_light_fades_by_e_for_each_softness_behind_a_surface():
    """Points under a wide plane, lit from straight above; the map's bias is free."""
    x, y = np.meshgrid(*[np.linspace(-0.2, 0.2, 200)] * 2)
    plane = np.stack([x.ravel(), y.ravel(), np.full(x.size, 0.05)], 1)
    depths, softness = np.array([0.005, 0.02, 0.03, 0.03, 0.2]), np.array([0.01, 0.01, 0.01, 0.02, 0.02])
    below = np.stack([np.linspace(-0.02, 0.02, 5), np.zeros(5), 0.05 - depths], 1)
    points, normals = np.concatenate([plane, below]), np.tile([0.0, 0, 1], (len(plane) + 5, 1))
    light = Light(0 * EVEN.sky, np.array([[0.0, 0, 1]]), np.ones((1, 3)), np.array([1e-3]))
    _, seen = shade_points(points, normals, 0 * normals, np.concatenate([np.full(len(plane), 0.01), softness]), light)
    wanted = np.exp(-np.maximum(depths - BIAS_M, 0) / softness)
    assert np.allclose(seen[-5:, 0], wanted, rtol=1e-3, atol=1e-6)
    assert np.allclose(seen[: len(plane)], 1, atol=1e-6)


@pytest.mark.parametrize("absorber", [0, 1])
def test_more_of_an_absorber_never_makes_skin_brighter(absorber):
    amounts = np.full((30, 2), 0.2)
    amounts[:, absorber] = np.linspace(0, 3, 30)
    assert (np.diff(reflectance(*amounts.T), axis=0) < 0).all()


def test_pigments_make_blond_brown_black_and_red():
    blond, brown, black, red = (pigment_colour(*p) for p in ((0.8, 0), (4, 0), (8, 0), (1.0, 1.6)))
    assert (blond > brown).all() and (brown > black).all()
    assert red[0] / red[2] > 2 * blond[0] / blond[2]


def test_noise_is_standard_smooth_and_seeded():
    points = np.random.default_rng(0).uniform(0, 50, (40_000, 3))
    values = smooth_noise(points, 1.0, 5)
    assert abs(values.mean()) < 0.02 and abs(values.std() - 1) < 0.05
    assert np.abs(smooth_noise(points + 1e-4, 1.0, 5) - values).max() < 2e-3
    assert np.array_equal(values, smooth_noise(points, 1.0, 5))
    assert abs(np.corrcoef(values, smooth_noise(points, 1.0, 6))[0, 1]) < 0.03


def test_cells_find_the_nearest_of_their_own_seed_points():
    points = np.random.default_rng(0).uniform(0, 3, (2000, 3))
    distance, number = cells(points, 1.0, 1)
    assert 0 <= distance.min() and distance.max() < np.sqrt(3)
    alike = np.abs(number[:, None] - number[None]) < 1e-12
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    assert apart[alike].max() < 2 * np.sqrt(3)
    assert np.all(np.abs(distance[:, None] - distance[None])[alike] <= apart[alike] + 1e-9)  # a distance is 1-Lipschitz


def test_srgb_is_monotone_and_within_range():
    ramp = encode(np.linspace(0, 20, 2000)[:, None])
    assert ramp[0] == 0 and ramp.max() <= 1 and (np.diff(ramp[:, 0]) >= 0).all()
    assert np.isclose(encode(np.array([0.214])), 0.5, atol=2e-3)


def test_cameras_see_the_whole_face():
    points = chart.landmarks()
    for number in range(60):
        rng = np.random.default_rng(number)
        for camera in (portrait_camera(rng, SIZE), any_camera(rng, SIZE)):
            x, y, z = camera.project(points).T
            assert (z > 0.1).all()
            assert 0.04 * SIZE < np.median(x) < 0.96 * SIZE and 0.04 * SIZE < np.median(y) < 0.96 * SIZE


def test_the_avatar_of_a_subject_is_one_of_ours():
    avatar = scene(1).figure.avatar
    assert avatar.gaussians.degree == 0 and len(avatar.binding) == len(avatar.gaussians) == len(scene(1).figure.albedo)
    assert torch.isfinite(avatar.pose().means).all()
    wanted = scene(1).figure
    assert np.allclose(wanted.albedo, scene(1).figure.albedo)


def test_irradiance_is_what_an_open_sphere_gets():
    light = Light(0.4 * EVEN.sky, np.array([[0.0, 0.6, 0.8]]), np.array([[1.0, 0.9, 0.7]]), np.array([0.5]))
    normals = sphere_directions(3000)
    exact = np.maximum(normals @ light.lamps[0], 0)[:, None] * light.colours[0]
    given = harmonics(normals) @ irradiance(light)
    sky = harmonics(normals) @ irradiance(replace(light, colours=0 * light.colours))
    assert sky.std() < 0.03 * sky.mean()
    # a wide lamp is close to a clamped cosine, which order 2 keeps to within 10 % of the peak
    assert np.abs(given - sky - exact).max() < 0.12
