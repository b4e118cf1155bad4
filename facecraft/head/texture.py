"""The colour of a fitted head: the photo projected onto its atlas, light taken out gently, the unseen completed.

Seen texels are the photo's. Unseen ones take, in this order: the other side of the face, with its colours matched by a
membrane over the mesh; the colour of their surroundings, spread over the mesh harmonically, which carries hair over the
scalp and leaves no face on the back; hair detail repeated from the photo. The inside of the mouth and hidden parts of the
eyes start from the open head's own colours.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates
from scipy.sparse import coo_matrix, diags
from scipy.sparse.linalg import splu

from facecraft.camera import Camera
from facecraft.head.interior import paint_interior
from facecraft.head.model import HeadModel
from facecraft.head.silhouette import LATITUDE_M, NECK_BASE, SKULL, latitudes
from facecraft.mesh.atlas import Atlas, make_atlas, mirror_texels, sample_pixels, sample_texture
from facecraft.mesh.geometry import unique_edges, vertex_normals
from facecraft.mesh.light import fit_light, shade, shading_normals
from facecraft.mesh.paint import paint_mesh
from facecraft.mesh.raster import rasterize_mesh

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
DEPTH_TOLERANCE, INNER_DEPTH_TOLERANCE = 4e-3, 5e-4  # m, on skin and for eyes and mouth, which lie close behind it
LASHES_PX = (1.0, 3.5)  # skin this close to an eye or an open mouth is not trusted, then fully
PAINT_PX = (3.0, 7.0)  # the same for colours that spread to hidden skin: no lashes and no make-up on closed lids
LID_REACH = 0.024  # m around the middle of an eyeball
EAR_LOBE = -0.075  # m, height above which skin and hair do not mix
NAPE = -0.05  # m, height down to which hair grows at the back
SKIN_REGIONS = ("face", "scalp_neck", "bust")


@dataclass(frozen=True)
class Texture:
    """Colour without light [T, T, 3] on the atlas, how well each texel was seen [T, T], and the light [9]."""

    albedo: np.ndarray
    seen: np.ndarray
    light: np.ndarray


@dataclass(frozen=True)
class _Surface:
    """The head in the photo, texel by texel (n)."""

    atlas: Atlas
    positions: np.ndarray  # [n, 3] m
    normals: np.ndarray  # [n, 3]
    shading_normals: np.ndarray  # [n, 3]
    pixels: np.ndarray  # [n, 2] where the photo shows it
    facing: np.ndarray  # [n] cosine between normal and ray to the camera, 0 where hidden
    border_px: np.ndarray  # [n] how far the photo shows it from eyes and mouth interior, for skin; else large
    regions: np.ndarray  # [n]


def make_texture(
    head: HeadModel,
    vertices: np.ndarray,  # [V, 3] m, as in the picture
    camera: Camera,
    image: np.ndarray,  # [H, W, 3] in [0, 1]
    alpha: np.ndarray,  # [H, W]
    size: int = 1024,
) -> Texture:
    """The head's texture from one photo."""
    surface = _locate(head, vertices, camera, size)
    depth_in_matte = distance_transform_edt(np.pad(alpha > 0.9, 1, mode="edge"))[1:-1, 1:-1]
    h, w = alpha.shape
    x, y = surface.pixels.T
    inside = (x > 0) & (x < w) & (y > 0) & (y < h)
    clean = inside * np.clip((sample_pixels(depth_in_matte, surface.pixels) - 1) / 2, 0, 1)
    seen = clean * _ramp(surface.border_px, *LASHES_PX) * _ramp(surface.facing, 0.2, 0.5)
    face = surface.regions == head.region_names.index("face")
    glimpsed = (
        clean
        * _ramp(surface.border_px, *PAINT_PX)
        * np.where(face, _ramp(surface.facing, 0.2, 0.5), _ramp(surface.facing, 0.05, 0.2))
    )

    photo = sample_pixels(image, surface.pixels)
    light = _estimate_light(head, surface, photo, seen)
    albedo = photo / shade(surface.shading_normals, light)[:, None]

    base = _vertex_colours(head, vertices, surface, albedo, glimpsed)
    filled = _complete(head, surface, albedo, seen, base)
    filled += _hair_detail(head, surface, camera, image, seen)[:, None] * filled
    colours = seen[:, None] * albedo + (1 - seen[:, None]) * filled
    colours = paint_interior(head, surface.atlas, surface.regions, colours, seen)
    atlas = surface.atlas
    return Texture(atlas.spread(colours.clip(0, 1)), atlas.spread(seen[:, None])[..., 0], light)


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


def _ramp(x, low: float, high: float):
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _locate(head: HeadModel, vertices: np.ndarray, camera: Camera, size: int) -> _Surface:
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
    is_skin = np.isin(head.face_regions.numpy(), [i for i, n in enumerate(head.region_names) if n in SKIN_REGIONS])
    tolerance = np.where(is_skin[atlas.faces], DEPTH_TOLERANCE, INNER_DEPTH_TOLERANCE)
    facing = np.where(projected[:, 2] < nearest + tolerance, cosines, 0).clip(0)
    border = distance_transform_edt(~buffers.mask | is_skin[buffers.face_ids])
    border_px = np.where(is_skin[atlas.faces], sample_pixels(border, projected[:, :2] * s) / s, np.inf)
    regions = head.face_regions.numpy()[atlas.faces]
    return _Surface(atlas, positions, normals, smooth, projected[:, :2], facing, border_px, regions)


def _estimate_light(head: HeadModel, surface: _Surface, photo: np.ndarray, seen: np.ndarray) -> np.ndarray:
    skin = (surface.regions == head.region_names.index("face")) & (seen > 0.7)
    if skin.sum() < 500:
        return np.eye(9)[0]
    return fit_light(surface.shading_normals[skin], photo[skin] @ LUMINANCE)


def _vertex_colours(
    head: HeadModel, vertices: np.ndarray, surface: _Surface, albedo: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """A colour for every vertex [V, 3]: seen, or mirrored with matched tone, or spread from the neighbours."""
    count = len(head.template)
    corners = head.faces.numpy()[surface.atlas.faces]
    mass = np.zeros(count)
    colours = np.zeros((count, 3))
    for k in range(3):
        w = weight * surface.atlas.barycentrics[:, k] ** 2
        np.add.at(mass, corners[:, k], w)
        np.add.at(colours, corners[:, k], w[:, None] * albedo)
    known = mass > 0.3
    colours[known] /= mass[known, None]
    skin = np.isin(head.vertex_regions.numpy(), [i for i, n in enumerate(head.region_names) if n in SKIN_REGIONS])
    laplacian = _level_laplacian(head, vertices)
    mirror = head.mirror.numpy()
    both = known & known[mirror] & skin
    difference = spread_harmonically(laplacian, np.where(both[:, None], colours - colours[mirror], 0), both, skin, 1e-6)
    borrowed = ~known & known[mirror] & skin
    colours[borrowed] = (colours[mirror] + difference)[borrowed]
    known |= borrowed
    haired = head.vertex_regions.numpy() == head.region_names.index("scalp_neck")
    haired &= vertices[:, 1] > NAPE
    faces_skin = head.vertex_regions.numpy() == head.region_names.index("face")
    pull, towards = np.full(count, 1e-6), np.tile(colours[known].mean(0) if known.any() else 0.5, (count, 1))
    for part, strength, like in ((haired, 0.01, haired), (_lids(head), 0.6, faces_skin)):
        if (known & like).any():
            pull[part], towards[part] = strength, np.median(colours[known & like], 0)
    return spread_harmonically(laplacian, colours, known, skin, pull, towards).clip(0, 1)


def _lids(head: HeadModel) -> np.ndarray:
    """Skin around the eyes [V] bool."""
    template, regions = head.template.double().numpy(), head.vertex_regions.numpy()
    middles = [template[regions == head.region_names.index(f"eyeball_{side}")].mean(0) for side in "LR"]
    near = np.min([np.linalg.norm(template - middle, axis=1) for middle in middles], 0) < LID_REACH
    return near & (regions == head.region_names.index("face"))


def _level_laplacian(head: HeadModel, vertices: np.ndarray):
    """Laplacian [V, V] that carries colour around the head rather than up and down, and none from ears into hair."""
    edges = unique_edges(head.faces.numpy())
    length = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
    level = latitudes(vertices) * LATITUDE_M
    rise = np.minimum(np.abs(level[edges[:, 0]] - level[edges[:, 1]]) / np.maximum(length, 1e-6), 1)
    weight = 0.02 + (1 - rise**2) ** 2
    regions = head.vertex_regions.numpy()[edges]
    above_neck = vertices[edges, 1].min(1) > EAR_LOBE
    weight[(regions[:, 0] != regions[:, 1]) & above_neck] *= 1e-3
    weights = coo_matrix((weight, (edges[:, 0], edges[:, 1])), shape=(len(vertices),) * 2)
    weights = (weights + weights.T).tocsr()
    degree = np.asarray(weights.sum(1)).ravel()
    return (diags((degree > 0).astype(float)) - diags(1 / np.maximum(degree, 1e-9)) @ weights).tocsr()


def spread_harmonically(laplacian, values, known, where, pull=0.0, towards=0.0) -> np.ndarray:
    """`values` [V, D] with those unknown in `where` replaced by the harmonic interpolation of the known ones.

    `pull` (number or [V]) draws the unknown towards `towards` (number or [V, D]); a part of the mesh without any known
    value needs some.
    """
    unknown = np.flatnonzero(where & ~known)
    fixed = np.flatnonzero(~(where & ~known))
    if not known.any() or len(unknown) == 0:
        return values
    pull = np.broadcast_to(np.asarray(pull, float), len(values))[unknown, None]
    towards = np.broadcast_to(np.asarray(towards, float), values.shape)[unknown]
    rows = laplacian[unknown].tocsc()
    sources = np.where(known[fixed, None], values[fixed], values[known].mean(0))
    out = values.copy()
    matrix = (rows[:, unknown] + diags(pull[:, 0])).tocsc()
    out[unknown] = splu(matrix).solve(-rows[:, fixed] @ sources + pull * towards)
    return out


def _complete(head: HeadModel, surface: _Surface, albedo, seen, base: np.ndarray) -> np.ndarray:
    """Colours [n, 3] of unseen texels: the smooth base plus what the other side shows on top of its own base."""
    atlas, faces = surface.atlas, head.faces.numpy()
    smooth = atlas.interpolate(base, faces)
    other = mirror_texels(atlas, faces, head.faces_uv.numpy(), head.uvs.numpy(), head.mirror.numpy())
    detail = atlas.spread(np.concatenate([(albedo - smooth) * seen[:, None], seen[:, None]], 1))
    return smooth + sample_texture(detail, other)[:, :3]


def _hair_detail(head, surface: _Surface, camera: Camera, image, seen) -> np.ndarray:
    """Relative brightness [n] of strands on the unseen scalp, as strong as those that the photo shows."""
    out = np.zeros(len(seen))
    scalp = surface.regions == head.region_names.index("scalp_neck")
    scalp &= surface.positions[:, 1] > NECK_BASE + 0.08
    source = scalp & (seen > 0.6)
    if source.sum() < 2000:
        return out
    luminance = image @ LUMINANCE
    ratio = luminance / np.maximum(gaussian_filter(luminance, camera.height / 128), 0.04) - 1
    strength = np.clip(1.5 * np.median(np.abs(sample_pixels(ratio, surface.pixels[source]))), 0.01, 0.12)
    arms = surface.positions[scalp] - SKULL
    around = np.arctan2(arms[:, 0], -arms[:, 2]) * 0.09
    strands = _strand_noise(around, latitudes(surface.positions[scalp]) * LATITUDE_M)
    out[scalp] = strength * strands * _ramp(1 - seen[scalp], 0.2, 0.8)
    return out


def _strand_noise(around: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Noise [n] of deviation about 1 that runs along `down` (m): three octaves from strands of 3 mm to 0.8 mm."""
    grid = np.random.default_rng(0).standard_normal((256, 1024))
    noise = np.zeros(len(around))
    for octave, width in enumerate((3e-3, 1.5e-3, 0.8e-3)):
        bend = 1.5e-3 * np.sin(down * 50 + 40 * around)
        place = [down / (12 * width) + 37 * octave, (around + bend) / width + 511 * octave]
        noise += map_coordinates(grid, place, order=1, mode="grid-wrap")
    return noise / 1.2
