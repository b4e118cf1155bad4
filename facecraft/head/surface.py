"""Where the photo shows the skin of a fitted head: every texel of the atlas with its place, its pixel and how well it is seen."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt

from facecraft.camera import Camera
from facecraft.head.model import HeadModel
from facecraft.mesh.atlas import Atlas, make_atlas, sample_pixels
from facecraft.mesh.geometry import vertex_normals
from facecraft.mesh.light import shading_normals
from facecraft.mesh.raster import rasterize_mesh

DEPTH_TOLERANCE, INNER_DEPTH_TOLERANCE = 4e-3, 5e-4  # m, on skin and for eyes and mouth, which lie close behind it
SKIN_REGIONS = ("face", "scalp_neck", "bust")
MOUTH_REGIONS = ("mouth_socket", "gums", "tongue", "teeth_upper", "teeth_lower")


@dataclass(frozen=True)
class Surface:
    """The head in the photo, texel by texel (n)."""

    atlas: Atlas
    positions: np.ndarray  # [n, 3] m
    normals: np.ndarray  # [n, 3]
    shading_normals: np.ndarray  # [n, 3]
    pixels: np.ndarray  # [n, 2] where the photo shows it
    facing: np.ndarray  # [n] cosine between normal and ray to the camera, 0 where hidden
    border_px: np.ndarray  # [n] how far the photo shows skin from eyes and mouth interior, this from skin; else large
    regions: np.ndarray  # [n]


def locate_surface(head: HeadModel, vertices: np.ndarray, camera: Camera, size: int) -> Surface:
    """The skin of `vertices` [V, 3], m, on an atlas of `size` texels a side, as `camera` shows it."""
    faces = head.faces.numpy()
    atlas = make_atlas(head.uvs.numpy(), head.faces_uv.numpy(), size)
    positions = atlas.interpolate(vertices, faces)
    normals = atlas.interpolate(vertex_normals(vertices, faces), faces)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    smooth = atlas.interpolate(shading_normals(vertices, faces), faces)
    smooth /= np.maximum(np.linalg.norm(smooth, axis=1, keepdims=True), 1e-9)
    projected = camera.project(positions)
    s = 2
    buffers = rasterize_mesh(
        camera.resized(camera.width * s, camera.height * s).project(vertices),
        faces,
        camera.height * s,
        camera.width * s,
    )
    nearest = sample_pixels(np.where(buffers.mask, buffers.depth, 10.0), projected[:, :2] * s)
    to_camera = camera.centre - positions
    cosines = (normals * to_camera).sum(1) / np.linalg.norm(to_camera, axis=1)
    is_skin = head.faces_of(SKIN_REGIONS).numpy()
    tolerance = np.where(is_skin[atlas.faces], DEPTH_TOLERANCE, INNER_DEPTH_TOLERANCE)
    facing = np.where(projected[:, 2] < nearest + tolerance, cosines, 0).clip(0)
    shows_skin = ~buffers.mask | is_skin[buffers.face_ids]
    borders = np.dstack([distance_transform_edt(shows_skin), distance_transform_edt(~shows_skin)])
    outer, inner = sample_pixels(borders, projected[:, :2] * s).T / s
    in_mouth = head.faces_of(MOUTH_REGIONS).numpy()
    border_px = np.where(is_skin[atlas.faces], outer, np.where(in_mouth[atlas.faces], inner, np.inf))
    regions = head.face_regions.numpy()[atlas.faces]
    return Surface(atlas, positions, normals, smooth, projected[:, :2], facing, border_px, regions)
