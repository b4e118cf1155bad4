"""An avatar's hair over the forehead: it stays when brows rise, and the photo stays as it was."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from facecraft.avatar import render
from facecraft.camera import Camera, orbit_camera
from facecraft.head.fitted import FittedHead
from facecraft.head.model import load_head
from facecraft.head.texture import Texture, render_textured
from facecraft.mesh.raster import rasterize_mesh
from facecraft.metrics.pixels import psnr
from facecraft.splats.coin import as_avatar
from facecraft.splats.fringe import BROWS_UP, CLEAR_M, FARTHEST_M, hang_fringe
from facecraft.splats.seed import seed_gaussians
from facecraft.views import View

HAIR, SKIN = (0.2, 0.15, 0.1), (0.8, 0.6, 0.5)
HAIRLINE_M = 0.03  # height on the mean head


@pytest.fixture(scope="module")
def scene():
    """An untrained avatar of the mean head under white light, and the photo of its skin without and with a fringe."""
    head = load_head()
    texture = Texture(np.full((64, 64, 3), SKIN, np.float32), np.ones((64, 64), np.float32), np.eye(9)[0])
    camera = orbit_camera(Camera(160, 160, 500.0, 500.0, 80.0, 80.0), 0, 0, np.array([0, -0.02, 0.0]), 0.9)
    zeros = (np.zeros(head.shape_count), np.zeros(52), np.zeros((2, 2)), np.zeros(head.template.shape))
    fitted = FittedHead(head, camera, *zeros, texture, np.zeros(478))
    rgb, alpha, depth, _ = render_textured(head, fitted.vertices(), texture, camera)
    buffers = rasterize_mesh(camera.project(fitted.vertices()), head.faces.numpy(), *alpha.shape)
    height = buffers.interpolate(head.template.double().numpy(), head.faces.numpy())[..., 1]
    hairy = np.where((height > HAIRLINE_M)[..., None], np.float32(HAIR), np.float32(SKIN))
    avatar = as_avatar(fitted, *seed_gaussians(fitted, 14_000, 0)[:2])
    return avatar, [View(camera, picture, alpha, depth, "photo") for picture in (rgb, hairy)], texture.light


def test_hair_stays_and_skin_rises(scene):
    avatar, (bare, haired), light = scene
    hung = hang_fringe(avatar, haired, light)
    raised = avatar.head.expression_vector(BROWS_UP)[0]
    before, ours = (avatar.pose(channels).means for channels in (None, raised))
    after, risen = (hung.pose(channels).means for channels in (None, raised))
    height = avatar.head.template[avatar.head.faces][:, :, 1].mean(1)[avatar.binding]
    moves = (ours - before).norm(dim=1) > 2e-3
    middle = before[:, 0].abs() < 0.04
    hair, skin = moves & middle & (height > HAIRLINE_M + 4e-3), moves & (height < HAIRLINE_M - 4e-3)
    assert hair.sum() > 100 and skin.sum() > 100
    assert (risen - after)[hair].norm(dim=1).max() < 0.3e-3
    assert torch.equal(hung.binding[skin], avatar.binding[skin])
    assert (after - before).norm(dim=1).max() < 1.05 * (FARTHEST_M + CLEAR_M)
    assert torch.equal(hang_fringe(avatar, bare, light).binding, avatar.binding)


def test_the_photo_stays_as_it_was(scene):
    avatar, (_, haired), light = scene
    colours = torch.rand(avatar.gaussians.sh.shape, generator=torch.Generator().manual_seed(0))
    avatar = replace(avatar, gaussians=replace(avatar.gaussians, sh=colours))
    hung = hang_fringe(avatar, haired, light)
    assert (hung.binding != avatar.binding).sum() > 100
    with torch.no_grad():
        pictures = [render(owner.pose(), haired.camera, torch.ones(3))[0].numpy() for owner in (avatar, hung)]
    assert psnr(*pictures, haired.alpha > 0.5) > 40
