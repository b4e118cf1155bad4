"""The first Gaussians of an avatar: flat discs spread over the triangles, coloured by the texture.

Strands and other parts of the matte that the mesh does not cover get discs of their own, bound to the nearest triangle.
"""

from dataclasses import fields

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from facecraft.blur import blur_known
from facecraft.head.fitted import FittedHead
from facecraft.mesh.atlas import sample_texture
from facecraft.mesh.geometry import face_normals
from facecraft.mesh.light import shade, shading_normals
from facecraft.mesh.raster import rasterize_mesh
from facecraft.splats.gaussians import Gaussians, rgb_to_dc
from facecraft.splats.rig import triangle_frames, world_to_local
from facecraft.views import View

DENSITY = {"face": 4.0, "eyeball_L": 3.0, "eyeball_R": 3.0, "teeth_upper": 2.0, "teeth_lower": 2.0}
"""Gaussians per area relative to the scalp."""
FLATNESS = 0.15  # thickness of a disc over its radius
OVERLAP = 0.75  # standard deviation over the spacing of the discs: below 0.5 gaps show, above 1 detail blurs
FIRST_OPACITY = 0.9
BESIDE_SHARE = 0.025  # of the picture's height, over which what is beside the mesh has one depth


def seed_gaussians(fitted: FittedHead, count: int, seed: int) -> tuple[Gaussians, Tensor, Tensor]:
    """About `count` local Gaussians, one or more for each triangle, their binding [N] and how well the photo shows them [N]."""
    rng = np.random.default_rng(seed)
    head, vertices = fitted.head, fitted.vertices()
    faces = head.faces.numpy()
    areas = np.linalg.norm(face_normals(vertices, faces), axis=1) / 2
    binding = _share_out(areas * _densities(head), count)
    weights = _spread_in_triangles(binding, rng)
    where = np.einsum("nkd,nk->nd", head.uvs.numpy()[head.faces_uv.numpy()[binding]], weights)
    normals = np.einsum("nkd,nk->nd", shading_normals(vertices, faces)[faces[binding]], weights)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    rgb = sample_texture(fitted.texture.for_shut_eyes().albedo, where) * shade(normals, fitted.texture.light)[:, None]
    points = np.einsum("nkd,nk->nd", vertices[faces[binding]], weights)
    spacing = np.sqrt(areas / np.bincount(binding, minlength=len(faces)))[binding]
    seen = torch.as_tensor(sample_texture(fitted.texture.seen, where)).float()
    return *_as_local(vertices, faces, binding, points, spacing, rgb), seen


def fringe_gaussians(fitted: FittedHead, photo: View) -> tuple[Gaussians, Tensor, Tensor]:
    """The same for what the photo's matte shows outside the mesh, about as deep as the mesh beside it."""
    vertices, faces = fitted.vertices(), fitted.head.faces.numpy()
    camera = photo.camera
    buffers = rasterize_mesh(camera.project(vertices), faces, *photo.alpha.shape)
    spacing_px = max(photo.alpha.shape[0] // 200, 1)
    lattice = np.zeros(photo.alpha.shape, bool)
    lattice[::spacing_px, ::spacing_px] = True
    beside = (photo.alpha > 0.5) & ~buffers.mask
    rows, columns = np.nonzero(lattice & beside)
    nearest = distance_transform_edt(~buffers.mask, return_distances=False, return_indices=True)
    depth = smooth_depths(buffers.depth[tuple(nearest)], beside, BESIDE_SHARE * len(photo.alpha))[rows, columns]
    points = camera.unproject(np.stack([columns + 0.5, rows + 0.5], 1), depth)
    binding = torch.as_tensor(buffers.face_ids[tuple(nearest[:, rows, columns])]).long()
    radii, opacities = OVERLAP * spacing_px * depth / camera.fx, photo.alpha[rows, columns].clip(0.05, FIRST_OPACITY)
    balls = bind_balls(vertices, faces, binding, points, radii, opacities, photo.rgb[rows, columns])
    return balls, binding, torch.ones(len(binding))


def bind_balls(
    vertices: np.ndarray,  # [V, 3] m
    faces: np.ndarray,  # [F, 3]
    binding: Tensor,  # [N] long
    points: np.ndarray,  # [N, 3] m
    radii: np.ndarray,  # [N] standard deviations, m
    opacities: np.ndarray,  # [N]
    rgb: np.ndarray,  # [N, 3]
) -> Gaussians:
    """Round local Gaussians."""
    world = Gaussians(
        torch.as_tensor(points),
        torch.tensor([[1.0, 0, 0, 0]], dtype=torch.float64).repeat(len(points), 1),
        torch.as_tensor(np.tile(radii[:, None], (1, 3))).double().log(),
        torch.as_tensor(opacities).double().logit(),
        rgb_to_dc(torch.as_tensor(rgb)).double()[:, None],
    )
    local = world_to_local(world, binding, torch.as_tensor(vertices), torch.as_tensor(faces))
    return Gaussians(*(getattr(local, f.name).float() for f in fields(local)))


def smooth_depths(depths: np.ndarray, beside: np.ndarray, reach_px: float) -> np.ndarray:
    """Depths [H, W] m of what is `beside` a mesh [H, W] bool, the means over `reach_px`: the mesh's outline jumps from fold to fold
    and from ear to jaw, a strand of hair does not."""
    return blur_known(depths[..., None], beside, reach_px)[0][..., 0]


def _densities(head) -> np.ndarray:
    per_region = np.array([DENSITY.get(name, 1.0) for name in head.region_names])
    return per_region[head.face_regions.numpy()]


def _share_out(mass: np.ndarray, count: int) -> np.ndarray:
    """Face of each Gaussian [N]: one for every face, the rest in proportion to `mass` [F]."""
    extra = max(count - len(mass), 0)
    borders = np.floor(np.cumsum(mass) / mass.sum() * extra).astype(int)
    return np.repeat(np.arange(len(mass)), 1 + np.diff(borders, prepend=0))


def _spread_in_triangles(binding: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Barycentrics [N, 3], evenly spread within each triangle: the R2 sequence, started anew at random for each face."""
    starts = np.flatnonzero(np.diff(binding, prepend=-1))
    rank = np.arange(len(binding)) - np.repeat(starts, np.diff(np.append(starts, len(binding))))
    offset = rng.random((len(starts), 2))[binding]
    u, v = ((offset + (rank[:, None] + 1) * [0.7548776662466927, 0.5698402909980532]) % 1).T
    fold = u + v > 1
    u, v = np.where(fold, 1 - u, u), np.where(fold, 1 - v, v)
    alone = (np.bincount(binding)[binding] == 1)[:, None]
    return np.where(alone, 1 / 3, np.stack([u, v, 1 - u - v], 1))


def _as_local(vertices, faces, binding, points, spacing, rgb) -> tuple[Gaussians, Tensor]:
    rotations, sizes, centres = triangle_frames(torch.as_tensor(vertices), torch.as_tensor(faces))
    at = torch.as_tensor(binding)
    arms = torch.as_tensor(points) - centres[at]
    means = (rotations[at].mT @ arms[..., None])[..., 0] / sizes[at, None]
    radius = torch.as_tensor(OVERLAP * spacing) / sizes[at]
    scales = radius[:, None] * torch.tensor([1.0, FLATNESS, 1.0])  # the second axis of a triangle's frame is its normal
    count = len(binding)
    gaussians = Gaussians(
        means.float(),
        torch.tensor([1.0, 0, 0, 0]).repeat(count, 1),
        scales.float().log(),
        torch.full((count,), FIRST_OPACITY).logit(),
        rgb_to_dc(torch.as_tensor(rgb)).float()[:, None],
    )
    return gaussians, at
