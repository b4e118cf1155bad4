"""The colour of a fitted head: the photo projected onto its atlas, light taken out gently, the unseen completed.

Seen texels are the photo's, lids of open eyes with the lashes before them; for shut eyes these are painted (lidtexels.py).
Unseen ones take, in this order: the other side of the face, with its colours matched by a membrane over the mesh; the colour
of their surroundings, spread over the mesh harmonically, which carries hair over the scalp and leaves no face on the back;
hair detail repeated from the photo. The inside of the mouth and hidden parts of the eyes start from the open head's own colours.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

from facecraft.camera import Camera
from facecraft.head.albedo import plain_skin
from facecraft.head.collar import GRAZING, find_collar
from facecraft.head.completion import complete_colours, grown_over, hair_detail, skin_grain
from facecraft.head.highlights import find_highlights
from facecraft.head.interior import paint_interior
from facecraft.head.lids import lash_tones, unfolded_share
from facecraft.head.lidtexels import lid_texels, paint_lids
from facecraft.head.model import HeadModel, landmark_points
from facecraft.head.strays import find_strays, hollow_ears
from facecraft.head.surface import Surface, locate_surface
from facecraft.head.tips import cover_back, find_tips, hang_hair
from facecraft.mesh.atlas import Atlas, mirror_texels, sample_pixels, sample_texture
from facecraft.mesh.light import LUMINANCE, fit_light, shade, shading_normals
from facecraft.mesh.paint import paint_mesh
from facecraft.mesh.raster import rasterize_mesh

LASHES_PX = (1.0, 3.5)  # skin this close to eyes or an open mouth, and teeth to lips, are not trusted, then fully
RIM = (0.005, 0.02)  # of the picture's height: colours spread from inside of the rim, which the backdrop tints
HAIR_RIM = (0.003, 0.012)  # the same of hair and clothes, of which often little more than the rim is seen
OPEN_LID_PX, OPEN_LID_FACING = (0.0, 1.0), (0.1, 0.3)  # lids of open eyes are trusted up to the eye: with their lashes
RIDGE, HALF_SEEN_RIDGE = (
    0.05,
    0.5,
)  # how evenly light comes from where no skin tells of it, of a whole face and of a part
SPECK = 3e-3  # of the texture's side: what is believed in specks of this size is not believed
PAINT_PX = (3.0, 7.0)  # the same for colours that spread to hidden skin: no lashes and no make-up on closed lids


@dataclass(frozen=True)
class Texture:
    """Colour without light [T, T, 3] on the atlas, how well each texel was seen [T, T], and the light [9].

    `shut_eyes` is the colour [T, T, 3] of lids that do not wear what a photo shows before open ones; None = the same.
    """

    albedo: np.ndarray
    seen: np.ndarray
    light: np.ndarray
    shut_eyes: np.ndarray | None = None

    def for_shut_eyes(self) -> "Texture":
        """The texture whose lids may shut."""
        return self if self.shut_eyes is None else replace(self, albedo=self.shut_eyes)


def make_texture(
    head: HeadModel,
    vertices: np.ndarray,  # [V, 3] m, as in the picture
    camera: Camera,
    image: np.ndarray,  # [H, W, 3] in [0, 1]
    alpha: np.ndarray,  # [H, W]
    size: int = 1024,
    long_hair: bool = False,  # covers the neck at the back
    cover: np.ndarray | None = None,  # [H, W] bool, where something lies before the face
) -> Texture:
    """The head's texture from one photo; what is covered there is not seen."""
    surface = locate_surface(head, vertices, camera, size)
    solid = alpha > 0.9 if cover is None else (alpha > 0.9) & ~cover
    depth_in_matte = distance_transform_edt(np.pad(solid, 1, mode="edge"))[1:-1, 1:-1]
    h, w = alpha.shape
    x, y = surface.pixels.T
    inside = (x > 0) & (x < w) & (y > 0) & (y < h)
    clean = inside * np.clip((sample_pixels(depth_in_matte, surface.pixels) - 1) / 2, 0, 1)
    seen = clean * _ramp(surface.border_px, *LASHES_PX) * _ramp(surface.facing, 0.2, 0.5)
    unfolded = surface.atlas.interpolate(unfolded_share(head, vertices, camera)[:, None], head.faces.numpy())[:, 0]
    seen = seen * unfolded
    face = surface.regions == head.region_names.index("face")
    depth = sample_pixels(depth_in_matte, surface.pixels) / len(alpha)
    deep = inside * np.where(face, _ramp(depth, *RIM), _ramp(depth, *HAIR_RIM))
    facing = np.where(face, _ramp(surface.facing, 0.3, 0.6), _ramp(surface.facing, 0.05, 0.2))
    glimpsed = unfolded * _ramp(surface.border_px, *PAINT_PX) * deep * facing

    photo = sample_pixels(image, surface.pixels)
    light = _estimate_light(head, surface, photo, seen, RIDGE if cover is None else HALF_SEEN_RIDGE)
    albedo = photo / shade(surface.shading_normals, light)[:, None]
    albedo -= find_highlights(head, surface, albedo, seen)[:, None]

    strays, bare_ears = find_strays(head, vertices, surface, albedo, glimpsed)
    seen, glimpsed = seen * (1 - strays), glimpsed * (1 - strays)
    collar = find_collar(head, surface, albedo, seen)
    covered = collar.covers(surface.positions) if collar else np.zeros(len(seen))
    shown = seen
    if collar and not long_hair:
        clear = 1 - _soften(surface.atlas, collar.astray(surface, albedo))
        glimpsed, shown = glimpsed * clear, seen * clear
        # the outline of the shoulders stays as the photo shows it
        seen = seen * np.where(face & (surface.facing < GRAZING), clear, 1)
    # under a cover there may be lips
    plain = np.ones_like(albedo) if cover is None else plain_skin(head, surface)
    smooth = plain * complete_colours(head, vertices, surface, albedo / plain, glimpsed, collar, long_hair)
    over_back = np.zeros(len(seen))
    if long_hair:
        over_back = cover_back(head, surface, find_tips(head, surface, albedo, glimpsed))
        smooth = hang_hair(head, surface, smooth, over_back)
        covered = covered * (1 - over_back)
    grain = skin_grain(head, surface, image, seen)
    filled = _add_detail(head, surface, albedo, shown, smooth, covered, grain)
    tones = _lash_tones(head, vertices, camera, image)
    lids = lid_texels(head, surface)
    filled, trusted = paint_lids(head, surface, albedo, glimpsed, seen, filled, tones, lids)
    filled *= hollow_ears(head, vertices, surface, bare_ears)[:, None]
    haired = grown_over(head, surface, long_hair) | (over_back > 0.5)
    filled += hair_detail(head, surface, image, seen, haired)[:, None] * filled
    open_lids = lids * _ramp(surface.border_px, *OPEN_LID_PX) * _ramp(surface.facing, *OPEN_LID_FACING)
    shown = np.maximum(seen, clean * open_lids)
    colours = shown[:, None] * albedo + (1 - shown[:, None]) * filled
    atlas = surface.atlas
    colours = paint_interior(head, atlas, surface.regions, colours, seen)
    shut = colours + (trusted - shown)[:, None] * (albedo - filled)
    open_eyes, shut_eyes = (atlas.spread(part.clip(0, 1)) for part in (colours, shut))
    return Texture(open_eyes, atlas.spread(seen[:, None])[..., 0], light, shut_eyes)


def render_textured(
    head: HeadModel,
    vertices: np.ndarray,  # [V, 3] m
    texture: Texture,
    camera: Camera,
    supersample: int = 2,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The lit head: rgb [H, W, 3], alpha [H, W], depth [H, W] m (0 = nothing) and `seen` [H, W]; rgb is not multiplied by alpha."""
    s, faces = supersample, head.faces.numpy()
    h, w = camera.height * s, camera.width * s
    buffers = rasterize_mesh(camera.resized(w, h).project(vertices), faces, h, w)
    layers = np.concatenate([texture.albedo, texture.seen[..., None]], 2)
    normals = shading_normals(vertices, faces)
    painted = paint_mesh(
        buffers, faces, normals, head.faces_uv.numpy(), head.uvs.numpy(), layers, texture.light, supersample
    )
    return painted[..., :3], painted[..., 5], painted[..., 4], painted[..., 3]


def _soften(atlas: Atlas, texels: np.ndarray) -> np.ndarray:
    """How far [n] texels belong to those marked [n] bool: 1 there, specks joined, falling to 0 beside them."""
    marked = np.zeros((atlas.size, atlas.size), np.float32)
    marked[atlas.rows, atlas.columns] = texels
    wide = cv2.GaussianBlur(marked, (0, 0), SPECK * atlas.size)[atlas.rows, atlas.columns]
    return np.maximum(texels, _ramp(wide, 0.1, 0.5))


def _ramp(x, low: float, high: float):
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _estimate_light(head: HeadModel, surface: Surface, photo: np.ndarray, seen: np.ndarray, ridge: float) -> np.ndarray:
    skin = (surface.regions == head.region_names.index("face")) & (seen > 0.7)
    if skin.sum() < 500:
        return np.eye(9)[0]
    return fit_light(surface.shading_normals[skin], photo[skin] @ LUMINANCE, ridge=ridge)


def _lash_tones(head: HeadModel, vertices: np.ndarray, camera: Camera, image: np.ndarray) -> np.ndarray:
    """How dark [2] the lashes in the photo are, right eye first."""
    pixels = camera.project(landmark_points(head, vertices))
    return lash_tones(image, pixels[:, :2], camera.fx / pixels[:, 2].mean())


def _add_detail(head: HeadModel, surface: Surface, albedo, shown, smooth, covered, grain) -> np.ndarray:
    """Colours [n, 3] of unseen texels: the `smooth` ones [n, 3] plus what the other side has on top of its own where it is
    `shown` [n], skin's on skin and cloth's on what is `covered` [n] by it; elsewhere skin has `grain` [n]."""
    atlas, faces = surface.atlas, head.faces.numpy()
    other = mirror_texels(atlas, faces, head.faces_uv.numpy(), head.uvs.numpy(), head.mirror.numpy())
    layers = np.concatenate([(albedo - smooth) * shown[:, None], covered[:, None], shown[:, None]], 1)
    mirrored = sample_texture(atlas.spread(layers), other)
    alike = 1 - np.abs(covered - mirrored[:, 3])
    grain = grain * (1 - covered) * (1 - alike * mirrored[:, 4])
    return smooth * (1 + grain[:, None]) + alike[:, None] * mirrored[:, :3]
