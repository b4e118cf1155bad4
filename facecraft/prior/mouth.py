"""The inside of a mouth that opens in a picture: colours that the picture does not tell, gaps of teeth, the shade of lips."""

from dataclasses import replace

import cv2
import numpy as np

from facecraft.blur import blur_known
from facecraft.head.fitted import FittedHead
from facecraft.head.interior import paint_interior
from facecraft.mesh.atlas import make_atlas

HIDDEN = ("mouth_socket", "gums", "tongue", "teeth_lower")
SHADE_M, SHADE_TONE = 3e-3, 0.5  # how far lips shade teeth that are painted, and their tone beside the lips
SLIT_M, DEEP_M, NEARBY_M = 1.3e-3, 5e-3, 5e-3  # half the distance of lips that shows teeth, the tongue; where it counts
LINE_TONE = 0.4  # of the dark line between lips that hardly part, against them
GAP_M, GAP_TONE = 1.6e-3, 0.6  # width of gaps between teeth that are closed, and their tone against the teeth


def clean_mouth(fitted: FittedHead) -> FittedHead:
    """The head, its texture for shut eyes, with the model's colours inside of the mouth, but for the upper teeth: a smile that
    the mesh does not meet exactly leaves teeth on the tongue, which show when the mouth opens."""
    head, texture = fitted.head, fitted.texture.for_shut_eyes()
    atlas = make_atlas(head.uvs.numpy(), head.faces_uv.numpy(), len(texture.albedo))
    regions = head.face_regions.numpy()[atlas.faces]
    hidden = head.faces_of(HIDDEN).numpy()[atlas.faces]
    seen = texture.seen[atlas.rows, atlas.columns] * ~hidden
    colours = paint_interior(head, atlas, regions, texture.albedo[atlas.rows, atlas.columns], seen)
    albedo = texture.albedo.copy()
    albedo[atlas.rows[hidden], atlas.columns[hidden]] = colours[hidden].clip(0, 1)
    return replace(fitted, texture=replace(texture, albedo=albedo, shut_eyes=None))


def shade_mouth(
    painted: np.ndarray,  # [H, W, 3]
    teeth: np.ndarray,  # [H, W] bool: the upper ones
    lips: np.ndarray,  # [H, W] bool: skin
    px_per_m: float,
) -> np.ndarray:
    """`painted` with gaps of teeth filled, and teeth that are darker the nearer the lips are, which keep the light from them."""
    if not teeth.any():
        return painted
    closed = cv2.morphologyEx(teeth.astype(np.uint8), cv2.MORPH_CLOSE, _disc(GAP_M * px_per_m / 2)) > 0
    gaps = closed & ~teeth & ~lips
    out = np.where(gaps[..., None], GAP_TONE * blur_known(painted, teeth, GAP_M * px_per_m)[0], painted)
    return shade_beside(out, teeth | gaps, lips, SHADE_TONE, SHADE_M * px_per_m)


def shade_beside(painted: np.ndarray, inner: np.ndarray, skin: np.ndarray, tone: float, reach_px: float) -> np.ndarray:
    """`painted` [H, W, 3], darker where it is `inner` [H, W] the nearer `skin` [H, W] is; `tone` is that beside it."""
    light = tone + (1 - tone) * (_depth(skin) / reach_px).clip(0, 1)
    return np.where(inner[..., None], painted * light[..., None], painted)


def close_slit(
    picture: np.ndarray,  # [H, W, 3]
    inside: np.ndarray,  # [H, W] bool: teeth and all that lies behind
    teeth: np.ndarray,  # [H, W] bool: the upper ones
    lips: np.ndarray,  # [H, W] bool: skin
    px_per_m: float,
) -> np.ndarray:
    """`picture`, darker and of the lips' own hue where they hardly part: little light falls between them."""
    if not inside.any():
        return picture
    half = cv2.dilate(np.where(inside, _depth(lips), 0).astype(np.float32), _disc(NEARBY_M * px_per_m))
    parted = (half / (np.where(teeth, SLIT_M, DEEP_M) * px_per_m)).clip(0, 1) ** 2
    lip = blur_known(picture, lips, NEARBY_M * px_per_m / 2)[0]
    line = LINE_TONE * lip**2 / np.maximum(lip.max(2, keepdims=True), 1e-4)  # light that came off lips twice
    return np.where(inside[..., None], line + parted[..., None] * (picture - line), picture)


def _depth(lips: np.ndarray) -> np.ndarray:
    """How far [H, W] each pixel is from the lips, px."""
    return cv2.distanceTransform((~lips).astype(np.uint8), cv2.DIST_L2, 3)


def _disc(radius_px: float) -> np.ndarray:
    size = 1 + 2 * max(1, round(radius_px))
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
