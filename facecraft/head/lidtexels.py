"""Lids of a texture: a photo of open eyes hides them, so they are painted in a picture of the mean head with its eyes shut."""

import cv2
import numpy as np
from scipy.spatial import KDTree

from facecraft.head.lidpaint import draw_lashes, unfold_lids
from facecraft.head.lids import SHUT, eyeball_middles, lid_shares, rim_lines
from facecraft.head.model import HeadModel, landmark_points
from facecraft.head.surface import SKIN_REGIONS, Surface
from facecraft.mesh.atlas import sample_pixels, sample_texture
from facecraft.mesh.raster import rasterize_mesh

PIXEL_M, AROUND_M = 5e-4, 0.045  # of the picture, and how far it shows what is around the middles of the eyeballs
SEAM_M = 1.2e-3  # softness of the seam between what is seen and what is painted
LOWER_LASHES = 0.35  # how much of the line of lashes lower lids have


def lid_texels(head: HeadModel, surface: Surface) -> np.ndarray:
    """How far [n] texels are lid of either eye."""
    return surface.atlas.interpolate(lid_shares(head).max(1, keepdims=True), head.faces.numpy())[:, 0]


def paint_lids(
    head: HeadModel,
    surface: Surface,
    albedo: np.ndarray,  # [n, 3]
    glimpsed: np.ndarray,  # [n] how far each texel shows skin that more may have the colour of
    seen: np.ndarray,  # [n] how well each texel was seen
    filled: np.ndarray,  # [n, 3] colours of the unseen, which lids keep where nothing around them is glimpsed
    tones: np.ndarray,  # [2] from lash_tones
    lids: np.ndarray,  # [n] from lid_texels
) -> tuple[np.ndarray, np.ndarray]:
    """`filled` with unfolded lids and lashes on them [n, 3], and `seen` [n] with a soft seam to them."""
    shut = head.vertices(None, head.expression_vector(SHUT))[0].double().numpy()
    corner, size = _frame(head)
    places = surface.atlas.interpolate(_project(shut, corner), head.faces.numpy())[:, :2]
    layers = np.concatenate([albedo, filled, glimpsed[:, None], seen[:, None]], 1)
    layers = _show(head, surface, layers, _project(shut, corner), size)
    whole = np.ones(size, np.float32)
    smooth = unfold_lids(layers[..., 3:6], layers[..., :3], layers[..., 6], whole > 0, whole, 1 / PIXEL_M)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (1 + 2 * round(SEAM_M / PIXEL_M),) * 2)
    inner = cv2.GaussianBlur(cv2.erode(layers[..., 7], disc), (0, 0), SEAM_M / PIXEL_M)
    landmarks = _project(landmark_points(head, shut), corner)[:, :2]
    lashes = sample_pixels(draw_lashes(landmarks, np.ones(2), tones, size, 1 / PIXEL_M), places)
    lashes = 1 - (1 - lashes) * _lash_shares(head, surface) * (lids > 0)
    filled = (filled + lids[:, None] * (sample_pixels(smooth, places) - filled)) * lashes[:, None]
    return filled, seen + lids * (np.minimum(sample_pixels(inner, places), seen) - seen)


def _frame(head: HeadModel) -> tuple[np.ndarray, tuple[int, int]]:
    """Left upper corner [2], m, and size H, W of the picture."""
    middles = np.stack(eyeball_middles(head))[:, :2]
    low, high = middles.min(0) - AROUND_M, middles.max(0) + AROUND_M
    width, height = np.round((high - low) / PIXEL_M).astype(int)
    return np.array([low[0], high[1]]), (int(height), int(width))


def _project(points: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """Pixels from the front, and depth, of points [n, 3] m: [n, 3]."""
    return np.stack([points[:, 0] - corner[0], corner[1] - points[:, 1], PIXEL_M * (1 - points[:, 2])], 1) / PIXEL_M


def _show(head: HeadModel, surface: Surface, layers: np.ndarray, pixels: np.ndarray, size: tuple[int, int]):
    """Texels' values [n, D] as the picture [H, W, D] shows them; nothing but skin, else 0."""
    buffers = rasterize_mesh(pixels, head.faces.numpy(), *size)
    uvs = buffers.interpolate(head.uvs.numpy(), head.faces_uv.numpy()).astype(float)
    skin = buffers.mask & head.faces_of(SKIN_REGIONS).numpy()[buffers.face_ids]
    return sample_texture(surface.atlas.spread(layers), uvs) * skin[..., None]


def _lash_shares(head: HeadModel, surface: Surface) -> np.ndarray:
    """How much [n] of the line of lashes texels have: all on upper lids, less on lower ones."""
    places = surface.atlas.interpolate(head.template.double().numpy(), head.faces.numpy())
    rims = rim_lines(head, head.vertices()[0].double().numpy())
    upper, lower = (KDTree(rim.reshape(-1, 3)).query(places)[0] for rim in rims)
    return np.where(lower < upper, LOWER_LASHES, 1) * (surface.regions == head.region_names.index("face"))
