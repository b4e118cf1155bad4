"""Hair that hangs over the forehead stays when the brows below it rise: its Gaussians ride on the scalp.

Each is bound to the triangle under it, as all are, until training is over. Then those that show hair in the photo are bound to
the nearest triangle of the scalp, a little nearer to the camera: the photo hardly changes, and no format has to know.
"""

from dataclasses import replace

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, maximum_filter
from scipy.spatial import KDTree
from torch import Tensor

from facecraft.avatar import Avatar
from facecraft.head.fringe import find_fringe
from facecraft.head.model import landmark_points
from facecraft.mesh.atlas import sample_pixels
from facecraft.mesh.light import shade, shading_normals
from facecraft.mesh.raster import rasterize_mesh
from facecraft.splats.gaussians import Gaussians
from facecraft.splats.rig import local_to_world, world_to_local
from facecraft.views import View

BROWS_UP = {"browInnerUp": 1.0, "browOuterUpLeft": 1.0, "browOuterUpRight": 1.0}
RISEN_M = 0.3e-3  # what moves by less does not rise with the brows
STILL_M = 1e-5  # triangles that carry hair from afar must not even turn
LOWEST_M, MIDDLE_M = 0.012, 0.045  # height on the mean head; how far sidewards before the tails of brows begin
HAIRY = 0.2  # share of the fringe from which on a Gaussian is hair
CLEAR_M, FARTHEST_M = 1.5e-3, 5e-3  # before the skin that rises below it; how much nearer that comes at most
SPREAD_M = 3e-3
PLACED = ("means", "quats", "log_scales")


def hang_fringe(avatar: Avatar, photo: View, light: np.ndarray) -> Avatar:
    """The avatar with the Gaussians of the fringe on the scalp; `light` is that of the photo, see facecraft.mesh.light."""
    head, faces = avatar.head, avatar.head.faces
    vertices, raised = (
        avatar.vertices(avatar.expression + channels, avatar.gaze, avatar.neck).detach()
        for channels in (torch.zeros(len(head.expression_names)), head.expression_vector(BROWS_UP)[0])
    )
    rise = (raised - vertices).norm(dim=1)[faces]
    sidewards, height, _ = head.template[faces].mean(1).T
    over_brows = (rise.mean(1) > RISEN_M) & (height > LOWEST_M + (sidewards.abs() - MIDDLE_M).clamp_min(0))
    world = local_to_world(avatar.gaussians, avatar.binding, vertices, faces)
    share = _shares(avatar, photo, light, vertices, world.means)
    hair = (torch.as_tensor(share > HAIRY) & over_brows[avatar.binding]).nonzero()[:, 0]
    scalp = (head.faces_of(("scalp_neck",)) & (rise.amax(1) < STILL_M)).nonzero()[:, 0]
    world = _before(world.select(hair), photo, vertices, raised, faces)
    nearest = KDTree(vertices[faces[scalp]].mean(1).numpy()).query(world.means.numpy())[1]
    binding = avatar.binding.index_copy(0, hair, scalp[torch.as_tensor(nearest)])
    hung = world_to_local(world, binding[hair], vertices, faces)
    moved = {name: getattr(avatar.gaussians, name).index_copy(0, hair, getattr(hung, name)) for name in PLACED}
    return replace(avatar, binding=binding, gaussians=replace(avatar.gaussians, **moved))


def _shares(avatar: Avatar, photo: View, light: np.ndarray, vertices: Tensor, means: Tensor) -> np.ndarray:
    """How far [N] the photo shows hair of the scalp where Gaussians are."""
    head, camera, points = avatar.head, photo.camera, vertices.double().numpy()
    faces = head.faces.numpy()
    buffers = rasterize_mesh(camera.project(points), faces, *photo.alpha.shape)
    brightness = buffers.interpolate(shade(shading_normals(points, faces), light)[:, None], faces)
    colours = photo.rgb / np.where(buffers.mask[..., None], brightness, 1)
    px_per_m = camera.fx / camera.project(landmark_points(head, points))[:, 2].mean()
    fringe = find_fringe(head, buffers, colours, photo.alpha, px_per_m)
    return sample_pixels(fringe, camera.project(means.double().numpy())[:, :2])


def _before(world: Gaussians, photo: View, vertices: Tensor, raised: Tensor, faces: Tensor) -> Gaussians:
    """The Gaussians drawn towards the photo's camera by as much as the face comes nearer when brows rise, and by CLEAR_M.

    Those that lie before each other are drawn alike, so that they still do.
    """
    camera = photo.camera
    places = camera.project(world.means.double().numpy())
    depths = []
    for points in (vertices, raised):
        buffers = rasterize_mesh(camera.project(points.double().numpy()), faces.numpy(), *photo.alpha.shape)
        depths.append(np.where(buffers.mask, buffers.depth, np.nan))
    nearer = np.nan_to_num(depths[0] - depths[1]).clip(0, FARTHEST_M)
    spread_px = SPREAD_M * camera.fx / places[:, 2].mean() if len(places) else 1.0
    nearer = gaussian_filter(maximum_filter(nearer, 1 + 2 * round(spread_px)), spread_px)
    part = torch.as_tensor((sample_pixels(nearer, places[:, :2]) + CLEAR_M) / places[:, 2]).float()[:, None]
    centre = torch.as_tensor(camera.centre).float()
    return replace(
        world, means=world.means + part * (centre - world.means), log_scales=world.log_scales + (1 - part).log()
    )
