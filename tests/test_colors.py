import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from dense_splats import harmonics
from hostile import some_gaussians
from region_avatar import region_avatar

from facecraft.avatar import Avatar, render
from facecraft.camera import orbit_camera
from facecraft.errors import DependencyError
from facecraft.export.formats import turn_for_viewers
from facecraft.metrics.pixels import psnr
from facecraft.splats.colors import bake_colors, seen_colors
from facecraft.splats.gaussians import dc_to_rgb
from facecraft.splats.inconsistent import color_offsets
from facecraft.splats.rig import local_to_world
from facecraft.splats.schedule import Schedule
from facecraft.splats.train import REST, Trainer
from facecraft.views import View

DEGREES = pytest.mark.parametrize("degree", [0, 1, 2, 3])


def camera_at(azimuth_deg, size=80):
    like = replace(region_avatar().camera, width=size, height=size, fx=2.6 * size, fy=2.6 * size)
    return orbit_camera(like, azimuth_deg, 10, np.array([0, -0.03, -0.05]), 1.0)


def pose_of(camera):
    return torch.as_tensor(camera.T_camera_world).float()


def coloured_avatar(degree):
    """Shiny from one side: every Gaussian has random harmonics of `degree`."""
    avatar = region_avatar()
    gaussians = avatar.gaussians.with_degree(degree)
    draw = torch.Generator().manual_seed(1)
    rest = 0.1 * torch.randn(gaussians.sh[:, 1:].shape, generator=draw) + 0.1
    return replace(avatar, gaussians=replace(gaussians, sh=torch.cat([gaussians.sh[:, :1], rest], 1)))


@DEGREES
def test_colours_are_the_harmonics_in_the_direction_from_the_camera(degree):
    gaussians, camera = some_gaussians(50, (degree + 1) ** 2), camera_at(40)
    directions = torch.nn.functional.normalize(gaussians.means - torch.as_tensor(camera.centre).float(), dim=1)
    wanted = 0.5 + harmonics(directions, gaussians.sh, degree)
    colors = seen_colors(gaussians, pose_of(camera))
    assert torch.allclose(colors, wanted.clamp_min(0) if degree else wanted, atol=1e-5)
    baked = bake_colors(gaussians, pose_of(camera))
    assert baked.degree == 0 and torch.allclose(dc_to_rgb(baked.sh[:, 0]), colors, atol=1e-6)


def test_cuda_without_gsplat_is_an_error_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "gsplat", None)
    gaussians = some_gaussians(3, 4).to("meta")
    with pytest.raises(DependencyError, match="facecraft\\[cuda\\]"):
        seen_colors(gaussians, torch.eye(4, device="meta"))


@DEGREES
def test_half_a_turn_of_head_and_camera_changes_no_colour(degree):
    """The signs of turned harmonics are right for every basis function."""
    gaussians, viewmat = some_gaussians(50, (degree + 1) ** 2), pose_of(camera_at(40))
    turned = turn_for_viewers(gaussians)
    half_turn = torch.diag(torch.tensor([1.0, -1, -1, 1]))
    assert torch.allclose(seen_colors(turned, viewmat @ half_turn), seen_colors(gaussians, viewmat), atol=1e-5)
    assert torch.equal(turn_for_viewers(turned).sh, gaussians.sh)


def test_another_degree_keeps_the_lower_coefficients():
    gaussians = some_gaussians(5, 4)
    more = gaussians.with_degree(3)
    assert more.degree == 3 and torch.equal(more.sh[:, :4], gaussians.sh) and not more.sh[:, 4:].any()
    assert torch.equal(more.with_degree(1).sh, gaussians.sh)


def test_harmonics_stay_in_the_frame_of_the_head_when_triangles_turn():
    avatar = coloured_avatar(2)
    posed = avatar.pose(avatar.head.expression_vector({"jawOpen": 1.0})[0], neck=torch.tensor([0.0, 0.5, 0]))
    assert torch.equal(posed.sh, avatar.gaussians.sh)


@DEGREES
def test_an_avatar_of_any_degree_keeps_its_look_in_its_file(degree, tmp_path):
    avatar = coloured_avatar(degree)
    avatar.save(tmp_path / "a.safetensors")
    back = Avatar.load(tmp_path / "a.safetensors")
    assert back.gaussians.degree == degree
    assert torch.equal(*(render(a.pose(), camera_at(30))[0] for a in (avatar, back)))


def trainer(true, degree, iterations, **options):
    """Training that starts from the true avatar in degree 0, on its pictures from eight sides."""
    views = []
    for number, azimuth in enumerate(range(0, 360, 45)):
        camera = camera_at(azimuth)
        rgb, alpha = (part.numpy() for part in render(true.pose(), camera))
        straight = (rgb / np.maximum(alpha, 1e-6)[..., None]).clip(0, 1)
        views.append(View(camera, straight, alpha, alpha, "texture" if number else "photo"))
    neutral = dict(expression=0 * true.expression, gaze=0 * true.gaze, neck=0 * true.neck)
    start = replace(true, gaussians=true.gaussians.with_degree(0).with_degree(degree), **neutral)
    count = len(start.binding)
    schedule = Schedule(iterations, count, count + 100)
    return Trainer(start, views, torch.zeros(count), schedule, 0, torch.device("cpu"), **options)


def test_degree_1_recovers_colours_that_depend_on_the_side():
    true, found = coloured_avatar(1), []
    for degree in (0, 1):
        run = trainer(true, degree, 60, coin=False)
        if degree:
            run.adam.set_rate(REST, 1e-2)  # the scene is small and the training short
        run.run(60)
        pairs = []
        for azimuth in (25, 110, 200, 290):  # no training saw these
            wanted, alpha = render(true.pose(), camera_at(azimuth))
            shown = render(run.result().pose(), camera_at(azimuth))[0]
            pairs.append(psnr(shown.numpy(), wanted.numpy(), alpha.numpy() > 0.5))
        found.append(np.mean(pairs))
    assert found[1] > found[0] + 3


def test_harmonics_grow_with_their_gaussians_and_come_back_from_a_checkpoint():
    true = coloured_avatar(1)
    run = trainer(true, 2, 40)
    run.run(20)
    state = run.state()
    run.run(30)
    again = trainer(true, 2, 40)
    again.load_state(state)
    again.run(30)
    assert len(run.binding) > len(true.binding) and run.gaussians.sh.shape == (len(run.binding), 9, 3)
    assert run.adam.values[REST].any() and torch.equal(run.gaussians.sh, again.gaussians.sh)


def test_coin_bakes_the_reference_view_into_the_constant_of_all_degrees():
    run = trainer(coloured_avatar(1), 1, 12)
    run.run(12)
    result, values = run.result(), run.adam.values
    viewmat = pose_of(run.shots[0].camera)
    world = local_to_world(run.gaussians, run.binding, run._vertices(None), run.avatar.head.faces)
    base = seen_colors(world, viewmat)
    wanted = base + color_offsets(values, 0, base)
    inside = (base > 0.05).all(1) & (wanted > 0).all(1)
    assert inside.float().mean() > 0.5 and result.gaussians.degree == 1
    assert torch.allclose(seen_colors(result.pose(), viewmat)[inside], wanted[inside], atol=1e-5)
    assert torch.allclose(result.coin["coin.colors"], base, atol=1e-5)
