from dataclasses import replace

import numpy as np
import torch
from scipy.spatial import KDTree
from test_lid_texels import made_up, pose_shut  # noqa: F401 (a fixture)
from test_prior import fitted_head

from facecraft.head.lids import rim_lines
from facecraft.head.texture import render_textured
from facecraft.splats.gaussians import dc_to_rgb
from facecraft.splats.lashes import lash_gaussians
from facecraft.splats.rig import local_to_world
from facecraft.views import View


def place(fitted, gaussians, binding, vertices):
    """World positions [N, 3] with the mesh at `vertices`."""
    return local_to_world(gaussians, binding, torch.as_tensor(vertices).float(), fitted.head.faces).means.numpy()


def test_lashes_lie_where_the_photo_is_dark_and_go_with_the_rim_when_the_eyes_shut(made_up):  # noqa: F811
    true, texture, _ = made_up
    fitted = replace(fitted_head(true), texture=texture)
    photo = View(true.camera, true.image, true.alpha, None, "photo")
    gaussians, binding, seen = lash_gaussians(fitted, photo)
    assert len(binding) > 60 and (seen == 1).all()
    assert dc_to_rgb(gaussians.sh[:, 0]).max() < 0.25
    x, y = true.camera.project(place(fitted, gaussians, binding, fitted.vertices()))[:, :2].astype(int).T
    assert np.median(true.image[y, x].mean(1)) < 0.6 * np.median(true.image[true.alpha > 0.9].mean(1))
    shut = pose_shut(true)
    line = rim_lines(true.head, shut).mean(0).reshape(-1, 3)[:, :2]
    away = KDTree(line).query(place(fitted, gaussians, binding, shut)[:, :2])[0]
    assert away.mean() < 2.5e-3  # lids are 9 mm high


def test_skin_without_lashes_gets_none(made_up):  # noqa: F811
    true, texture, _ = made_up
    fitted = replace(fitted_head(true), texture=texture)
    rgb, alpha, _, _ = render_textured(true.head, true.vertices, texture.for_shut_eyes(), true.camera, 1)
    gaussians, binding, _ = lash_gaussians(fitted, View(true.camera, rgb, alpha, None, "photo"))
    assert len(binding) == len(gaussians) == 0
