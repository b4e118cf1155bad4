"""The same person drawn as a mesh: skin, eyes and clothes with their colours and light in a texture, without hair."""

import numpy as np

from facecraft.camera import Camera
from facecraft.head.model import load_head
from facecraft.mesh.atlas import Atlas, make_atlas
from facecraft.mesh.paint import paint_mesh
from facecraft.mesh.raster import rasterize_mesh
from facecraft.synth.figure import smooth_normals
from facecraft.synth.picture import LitFigure, view_colours
from facecraft.synth.sites import FINE, surface_sites

SUPERSAMPLE = 2
EVEN_LIGHT = np.eye(9)[0]  # the texture is lit already


def draw_mesh(lit: LitFigure, camera: Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """RGB [H, W, 3], alpha [H, W] and depth [H, W] (m, 0 = nothing) of the skin alone, by the mesh rasteriser.

    For comparison with the Gaussians: the colours are theirs, the geometry is the mesh they ride on.
    """
    head, s = load_head(), SUPERSAMPLE
    faces = head.faces.numpy()
    h, w = camera.height * s, camera.width * s
    buffers = rasterize_mesh(camera.resized(w, h).project(lit.vertices), faces, h, w)
    texture = surface_texture(lit.figure.size, view_colours(lit, camera))
    layers = np.concatenate([texture, np.ones((*texture.shape[:2], 1))], 2)
    normals = smooth_normals(lit.vertices)
    painted = paint_mesh(buffers, faces, normals, head.faces_uv.numpy(), head.uvs.numpy(), layers, EVEN_LIGHT, s)
    return painted[..., :3], painted[..., 5], painted[..., 4]


def surface_texture(size: int, colours: np.ndarray) -> np.ndarray:
    """Colours of surface_sites(size), the first of [N, 3], as a texture [2 size, 2 size, 3] of the head's atlas."""
    sites = surface_sites(size)
    colours = colours[: len(sites)]
    rows, columns = ((1 - sites.uvs[:, 1]) * 2 * size, sites.uvs[:, 0] * 2 * size)
    small = sites.within(*FINE)
    # a coarse texel covers four fine ones
    rows, columns = np.floor(rows - 0.5 * ~small).astype(int), np.floor(columns - 0.5 * ~small).astype(int)
    texture = np.full((2 * size, 2 * size, 3), np.nan, np.float32)
    for down in (0, 1):
        for right in (0, 1):
            texture[(rows + down)[~small], (columns + right)[~small]] = colours[~small]
    texture[rows[small], columns[small]] = colours[small]
    atlas = _fine_atlas(size)
    known = np.isfinite(texture[atlas.rows, atlas.columns, 0])
    partial = Atlas(2 * size, atlas.rows[known], atlas.columns[known], atlas.faces[known], atlas.barycentrics[known])
    return partial.spread(texture[partial.rows, partial.columns])


def _fine_atlas(size: int) -> Atlas:
    head = load_head()
    return make_atlas(head.uvs.numpy(), head.faces_uv.numpy(), 2 * size)
