from dataclasses import replace

import numpy as np
import pytest
import torch
from photographed_head import photograph
from test_prior import fitted_head

from facecraft.avatar import Avatar
from facecraft.metrics.pixels import psnr
from facecraft.prior.texture import surround
from facecraft.splats.coin import as_avatar, log_quality
from facecraft.splats.density import DensityPlan, DensityStatistics, plan_change, split_in_two
from facecraft.splats.gaussians import dc_to_rgb
from facecraft.splats.inconsistent import color_offsets
from facecraft.splats.rig import local_to_world
from facecraft.splats.schedule import Schedule
from facecraft.splats.seed import fringe_gaussians, seed_gaussians, smooth_depths
from facecraft.splats.train import Trainer

COUNT = 14_000


def seeded(count: int):
    """A fitted head, views of it, its untrained avatar of `count` Gaussians and how little the photo shows of each."""
    true = photograph(0, size=160)
    fitted = fitted_head(true)
    gaussians, binding, seen = seed_gaussians(fitted, count, 0)
    return fitted, surround(fitted, true.image, true.alpha, 6, 96), as_avatar(fitted, gaussians, binding), 1 - seen


@pytest.fixture(scope="module")
def scene():
    return seeded(COUNT)


def trainer(scene, iterations=40, seed=0, **options) -> Trainer:
    _, views, avatar, unseen = scene
    return Trainer(
        avatar, views, unseen, Schedule(iterations, COUNT, COUNT + 500), seed, torch.device("cpu"), **options
    )


def test_seeds_cover_every_triangle_and_lie_on_it(scene):
    fitted, _, avatar, _ = scene
    faces = fitted.head.faces
    assert torch.equal(avatar.binding.unique(), torch.arange(len(faces)))
    assert abs(len(avatar.binding) - COUNT) < 2
    vertices = torch.as_tensor(fitted.vertices()).float()
    world = local_to_world(avatar.gaussians, avatar.binding, vertices, faces)
    corners = vertices[faces[avatar.binding]]
    arms = world.means - corners[:, 0]
    normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    heights = (arms * torch.nn.functional.normalize(normals, dim=1)).sum(1)
    assert heights.abs().max() < 1e-4


def test_the_untrained_avatar_already_looks_like_its_photo(scene):
    _, views, avatar, _ = scene
    assert log_quality(avatar, views) > 15


def test_training_comes_closer_to_the_photo(scene):
    run = trainer(scene, 60)
    before = log_quality(scene[2], scene[1])
    run.run(60)
    assert log_quality(run.result(), scene[1]) > before + 3


def test_a_resumed_training_ends_where_an_unbroken_one_does(scene):
    whole = trainer(scene)
    whole.run(20)
    state = {name: tensor.clone() for name, tensor in whole.state().items()}
    whole.run(40)
    again = trainer(scene)
    again.load_state(state)
    again.run(40)
    assert again.iteration == 40
    for name, tensor in whole.state().items():
        assert torch.equal(tensor, again.state()[name]), name


def test_frozen_faces_keep_their_gaussians(scene):
    head = scene[0].head
    frozen = head.face_regions == head.region_names.index("face")
    run = trainer(scene, frozen=frozen)
    before = run.binding[frozen[run.binding]]
    run.run(40)
    assert torch.equal(run.binding[frozen[run.binding]].sort()[0], before.sort()[0])
    assert len(run.binding) != len(scene[2].binding)  # the others changed


def test_gaussians_that_double_hand_on_their_place(scene):
    run = trainer(scene)
    run.run(40)
    assert len(run.adam.values["coin.place"]) == len(run.binding) == len(run.gaussians)


def test_the_avatar_shows_the_colours_of_the_photo_and_keeps_what_told_views_apart(scene):
    run = trainer(scene)
    run.run(5)
    result = run.result()
    shared = result.coin["coin.colors"]
    offsets = color_offsets(result.coin, 0, shared)
    assert offsets.abs().max() > 0
    assert torch.allclose(dc_to_rgb(result.gaussians.sh[:, 0]), shared + offsets, atol=1e-6)


def test_training_without_coin_has_nothing_of_it(scene):
    run = trainer(scene, coin=False)
    run.run(3)
    assert run.result().coin == {} and not [name for name in run.state() if "coin" in name]


def test_density_changed_within_its_limits(scene):
    run = trainer(scene)
    run.run(40)
    result = run.result()
    assert isinstance(result, Avatar) and len(result.binding) <= COUNT + 500
    assert torch.equal(result.binding.unique(), torch.arange(len(result.head.faces)))


def test_fringe_covers_what_the_mesh_leaves_free(scene):
    fitted, views, *_ = scene
    photo = views[0]
    wide = photo.alpha.copy()
    wide[30:50, 10:20] = 1
    more = type(photo)(photo.camera, photo.rgb, wide, photo.depth, "photo")
    gaussians, binding, _ = fringe_gaussians(fitted, more)
    world = local_to_world(gaussians, binding, torch.as_tensor(fitted.vertices()).float(), fitted.head.faces)
    pixels = photo.camera.project(world.means.numpy())
    in_patch = (pixels[:, 0] > 10) & (pixels[:, 0] < 20) & (pixels[:, 1] > 30) & (pixels[:, 1] < 50)
    assert in_patch.sum() >= 200


def test_what_is_beside_the_mesh_does_not_jump_where_its_outline_does():
    depths = np.ones((60, 60))
    depths[30:] = 1.1  # an ear above the jaw
    beside = np.zeros((60, 60), bool)
    beside[:, 20:26] = True
    smooth = smooth_depths(depths, beside, 4.0)[beside].reshape(60, 6)
    assert np.abs(np.diff(smooth, axis=0)).max() < 0.02
    assert smooth[0] == pytest.approx(1) and smooth[-1] == pytest.approx(1.1)
    assert smooth.mean() == pytest.approx(1.05, abs=1e-3)


def test_colours_that_the_photo_does_not_show_stay(scene):
    fitted, views, avatar, _ = scene
    bright = [replace(view, rgb=np.ones_like(view.rgb)) for view in views]
    drift = []
    for unseen in (0.0, 1.0):
        weights = torch.full((len(avatar.binding),), unseen)
        run = Trainer(avatar, bright, weights, Schedule(100, COUNT, COUNT), 0, torch.device("cpu"))
        run.run(12)  # before the first change of density
        drift.append(float((run.gaussians.sh.detach() - avatar.gaussians.sh).abs().mean()))
    assert drift[1] < 0.75 * drift[0]


def test_the_ways_of_the_photo_do_not_colour_what_it_does_not_show(scene):
    fitted, views, avatar, _ = scene
    unseen = (torch.arange(len(avatar.binding)) % 2).float()
    run = trainer((fitted, views, avatar, unseen))
    run.adam.values["coin.out"].detach().normal_(generator=torch.Generator().manual_seed(0))
    result = run.result()
    added = (dc_to_rgb(result.gaussians.sh[:, 0]) - result.coin["coin.colors"]).abs().mean(1)
    assert added[unseen == 1].max() < 1e-5
    assert added[unseen == 0].mean() > 0.1


def make_statistics(pulls) -> DensityStatistics:
    statistics = DensityStatistics(len(pulls))
    statistics.total, statistics.seen = torch.tensor(pulls), torch.ones(len(pulls))
    return statistics


def test_pulled_gaussians_double_or_split_and_faint_ones_go():
    plan = DensityPlan(limit=100, grow_grad2d=1.0, grow_scale_m=1.0, prune_opacity=0.1)
    binding, none = torch.tensor([0, 0, 0, 1]), torch.zeros(4, dtype=torch.bool)
    keep, double, split = plan_change(
        plan,
        make_statistics([2.0, 2.0, 0.0, 0.0]),
        torch.tensor([0.5, 2.0, 0.5, 0.5]),
        torch.tensor([0.9, 0.9, 0.01, 0.01]),
        binding,
        none,
        none,
    )
    assert double.tolist() == [0] and split.tolist() == [1]
    assert keep.tolist() == [0, 3]  # 2 is faint; 3 as well, but the last of its triangle


def test_growth_stops_at_the_limit():
    plan, none = DensityPlan(limit=5, grow_grad2d=1.0), torch.zeros(4, dtype=torch.bool)
    pulls = [2.0, 5.0, 3.0, 4.0]
    state = (torch.zeros(4), torch.ones(4), torch.arange(4), none, none)
    _, double, split = plan_change(plan, make_statistics(pulls), *state)
    assert double.tolist() == [1] and len(split) == 0


def test_fixed_gaussians_stay_and_strayed_ones_go_unless_they_are_the_last():
    plan = DensityPlan(limit=100, grow_grad2d=1.0, grow_scale_m=1.0)
    fixed, strayed = torch.tensor([True, True, False, False, False]), torch.tensor([False, False, True, True, False])
    binding = torch.tensor([0, 0, 1, 2, 2])
    state = (torch.ones(5), torch.tensor([0.9, 0.001, 0.9, 0.5, 0.9]), binding, strayed, fixed)
    keep, double, split = plan_change(plan, make_statistics([9.0, 0, 9.0, 9.0, 0]), *state)
    assert keep.tolist() == [0, 1, 2, 4] and len(double) == len(split) == 0


def test_children_fill_their_parent():
    parent = {
        "means": torch.tensor([[1.0, 2.0, 3.0]]).repeat(4000, 1),
        "quats": torch.tensor([[1.0, 0, 0, 0]]).repeat(4000, 1),
        "log_scales": torch.tensor([[0.5, 0.1, 0.2]]).log().repeat(4000, 1),
    }
    children = split_in_two(parent, torch.Generator().manual_seed(0))
    assert len(children["means"]) == 8000
    assert torch.allclose(children["means"].mean(0), torch.tensor([1.0, 2.0, 3.0]), atol=0.02)
    assert torch.allclose(children["means"].std(0), torch.tensor([0.5, 0.1, 0.2]), rtol=0.05)
    assert torch.allclose(children["log_scales"].exp(), torch.tensor([0.5, 0.1, 0.2]) / 1.6)


def test_psnr_of_known_errors():
    a, mask = np.zeros((4, 4, 3)), np.ones((4, 4), bool)
    assert psnr(a, a, mask) == float("inf")
    assert psnr(a, a + 0.1, mask) == pytest.approx(20)
