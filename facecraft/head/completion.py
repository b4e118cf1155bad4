"""Colour for what the photo does not show of a head.

Every vertex gets a colour: as seen; or that of the other side of the face, with its tone matched by a membrane over the
mesh; or that of its surroundings, spread harmonically along the latitudes, which carries hair and caps around the scalp
and leaves no face on the back. Below the hair line the back of the neck is skin unless long hair covers it. Skin and cloth are
spread apart from each other and meet at the collar.
"""

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.sparse import coo_matrix, diags
from scipy.sparse.linalg import splu
from scipy.spatial import KDTree

from facecraft.head.collar import Collar
from facecraft.head.ears import ear_vertices
from facecraft.head.model import HeadModel
from facecraft.head.rays import LATITUDE_M, NECK_BASE, SKULL, latitudes
from facecraft.head.surface import SKIN_REGIONS, Surface
from facecraft.mesh.atlas import sample_pixels
from facecraft.mesh.geometry import unique_edges
from facecraft.mesh.light import LUMINANCE

EAR_REACH = 0.015  # m around an ear
EAR_LOBE = -0.075  # m, height above which skin and hair do not mix
NAPE, LONG_NAPE = -0.05, NECK_BASE + 0.08  # m, heights down to which hair covers the back
OVERLAP = 0.025  # m, how far hair and skin go on beneath each other there
TUFT_M, NAPE_SOFT_M = 3e-3, 6e-3  # of the edge between them
AROUND_M = 0.02  # around a place on the face, where skin is as there
CHEEK = 0.0  # m, height below which a face is skin
EQUATOR = np.pi / 2  # latitude of the ears
LATITUDE_SPAN, FEW = 0.12, 12  # rad over which a colour is a level's, further where fewer vertices are
BARE = -0.10  # m, height down to which a neck without a collar is skin at the back
GRAIN = 0.6  # of the median contrast of seen skin, which has wrinkles and brows as well
UNLIKE = 0.15  # decay of what one side of the face has and the other not, where one is hidden


def complete_colours(
    head: HeadModel,
    vertices: np.ndarray,  # [V, 3] m
    surface: Surface,
    albedo: np.ndarray,  # [n, 3]
    weight: np.ndarray,  # [n] how well each texel was seen
    collar: Collar | None,
    long_hair: bool,  # covers the neck
) -> np.ndarray:
    """A smooth colour [n, 3] for every texel: seen, or mirrored with matched tone, or spread from the neighbours."""
    bottom = np.inf if long_hair else BARE if collar is None else -np.inf
    nape = LONG_NAPE if long_hair else NAPE
    if collar is None:
        return _skin_and_hair(head, vertices, surface, albedo, weight, nape, bottom)
    covered = collar.covers(surface.positions) * head.faces_of(SKIN_REGIONS).numpy()[surface.atlas.faces]
    body = _skin_and_hair(head, vertices, surface, albedo, weight * (covered == 0), nape, bottom)
    cloth = _cloth_colours(head, vertices, surface, albedo, weight * (covered == 1))
    return body + covered[:, None] * (surface.atlas.interpolate(cloth, head.faces.numpy()) - body)


def _skin_and_hair(
    head: HeadModel, vertices, surface: Surface, albedo, weight, nape: float, bottom: float
) -> np.ndarray:
    """Colours [n, 3] of skin and hair, which ends at the height `nape` in tufts; the neck from there down to
    `bottom` is skin."""
    colours, known = gather_colours(head, surface, albedo, weight)
    # an ear that stands out more than the head's is seen there
    known &= ~(head.vertices_of(("scalp_neck",)).numpy() & _is_near_ears(head))
    above, below = (
        surface.atlas.interpolate(_body_colours(head, vertices, colours, known, level, bottom), head.faces.numpy())
        for level in (nape - OVERLAP, nape + OVERLAP)
    )
    tufts = TUFT_M * strand_noise(arc_around(surface.positions), np.zeros(len(above)))
    hairy = np.clip(0.5 + (surface.positions[:, 1] - nape - tufts) / NAPE_SOFT_M, 0, 1)
    return below + hairy[:, None] * (above - below)


def gather_colours(
    head: HeadModel, surface: Surface, albedo: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Colours [V, 3] of the vertices that were seen, and which were [V] bool."""
    corners = head.faces.numpy()[surface.atlas.faces]
    shares, count = weight[:, None] * surface.atlas.barycentrics**2, len(head.template)
    mass, *colours = (
        sum(np.bincount(corners[:, k], shares[:, k] * layer, count) for k in range(3)) for layer in (1, *albedo.T)
    )
    colours = np.stack(colours, 1)
    known = mass > 0.3
    colours[known] /= mass[known, None]
    return colours, known


def _cloth_colours(head: HeadModel, vertices, surface: Surface, albedo, weight) -> np.ndarray:
    """Colours [V, 3] of what is worn below the collar, on all of the skin."""
    colours, known = gather_colours(head, surface, albedo, weight)
    if not known.any():
        return colours
    skin = head.vertices_of(SKIN_REGIONS).numpy()
    below = skin & (vertices[:, 1] < NAPE)
    towards = np.tile(colours[known].mean(0), (len(colours), 1))
    towards[below] = _colour_by_latitude(vertices, colours, known, below)
    laplacian = level_laplacian(head, vertices, np.zeros(len(vertices), bool))
    return spread_harmonically(laplacian, colours, known, skin, 0.01, towards).clip(0, 1)


def _body_colours(head: HeadModel, vertices, colours, known, nape: float, bottom: float) -> np.ndarray:
    """Colours [V, 3] of skin and hair, which ends at the height `nape`, by those that are `known` [V] bool; the unseen neck
    from there to `bottom` is skin."""
    count, colours = len(colours), colours.copy()
    skin = np.zeros(count, bool)
    skin[head.faces.numpy()[head.faces_of(SKIN_REGIONS).numpy()]] = True  # rims of lids and lips end at other parts
    scalp = head.vertices_of(("scalp_neck",)).numpy()
    haired = scalp & (vertices[:, 1] > nape)
    bare = scalp & ~haired & (vertices[:, 1] > bottom)
    laplacian = level_laplacian(head, vertices, bare)
    mirror = head.mirror.numpy()
    both = known & known[mirror] & skin
    difference = np.where(both[:, None], colours - colours[mirror], 0)
    difference = spread_harmonically(laplacian, difference, both, skin, UNLIKE)
    borrowed = ~known & known[mirror] & skin
    colours[borrowed] = (colours[mirror] + difference)[borrowed]
    known = known | borrowed
    faces_skin = head.vertex_regions.numpy() == head.region_names.index("face")
    pull, towards = np.full(count, 1e-6), np.tile(colours[known].mean(0) if known.any() else 0.5, (count, 1))
    beside = faces_skin & (vertices[:, 1] < CHEEK)
    if (known & faces_skin).any():
        pull[beside], towards[beside] = 0.02, _colours_near(head, colours, known & faces_skin, beside)
        pull[bare], towards[bare] = 0.05, np.median(colours[known & faces_skin], 0)
    body = skin & ~faces_skin & ~bare & (vertices[:, 1] < nape)
    for part in (haired, body):
        if (known & part).any():
            pull[part], towards[part] = 0.01, _colour_by_latitude(vertices, colours, known & part, part, nape)
    return spread_harmonically(laplacian, colours, known, skin, pull, towards).clip(0, 1)


def _colours_near(head: HeadModel, colours: np.ndarray, known: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Mean [w, 3] of the `known` colours [V, 3] around each vertex in `where`: on a cheek that of cheeks, not of a fringe."""
    places = head.template.numpy() / AROUND_M
    here, there = places[where], places[known]
    squares = (here**2).sum(1)[:, None] + (there**2).sum(1) - 2 * here @ there.T
    near = np.exp(-0.5 * (squares - squares.min(1, keepdims=True)))
    return near @ colours[known] / near.sum(1, keepdims=True)


def _is_near_ears(head: HeadModel) -> np.ndarray:
    """Vertices [V] bool within EAR_REACH of an ear."""
    template = head.template.double().numpy()
    ears = KDTree(template[ear_vertices(head, 1) | ear_vertices(head, -1)])
    return ears.query(template)[0] < EAR_REACH


def _colour_by_latitude(vertices: np.ndarray, colours: np.ndarray, known: np.ndarray, where: np.ndarray, nape=NAPE):
    """Median [w, 3] of the `known` colours [V, 3] around the latitude of each vertex in `where`: a cap ends where it ends in front.

    Between the equator and the height `nape`, where faces show cheeks and necks, the hair's colour at the equator goes on.
    """
    level = latitudes(vertices)
    low = (level > EQUATOR) & (vertices[:, 1] > nape)
    level, known = np.where(low, EQUATOR, level), known & ~low if (known & ~low).any() else known
    knots = np.linspace(level[where].min(), level[where].max(), 24)
    distances = np.abs(knots[:, None] - level[known])
    span = np.maximum(np.sort(distances, 1)[:, min(FEW, distances.shape[1]) - 1], LATITUDE_SPAN)
    near = np.exp(-0.5 * (distances / span[:, None]) ** 2)
    medians = [[_weighted_median(channel, weights) for channel in colours[known].T] for weights in near]
    return np.stack([np.interp(level[where], knots, channel) for channel in np.transpose(medians)], 1)


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    mass = np.cumsum(weights[order])
    return values[order][np.searchsorted(mass, 0.5 * mass[-1])]


def level_laplacian(head: HeadModel, vertices: np.ndarray, bare: np.ndarray):
    """Laplacian [V, V] that carries colour around the head rather than up and down, none from ears into hair.

    Nor does it let the `bare` neck [V] run into hair or clothes.
    """
    edges = unique_edges(head.faces.numpy())
    length = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
    level = latitudes(vertices) * LATITUDE_M
    rise = np.minimum(np.abs(level[edges[:, 0]] - level[edges[:, 1]]) / np.maximum(length, 1e-6), 1)
    weight = 0.02 + (1 - rise**2) ** 2
    regions = head.vertex_regions.numpy()[edges]
    above_neck = vertices[edges, 1].min(1) > EAR_LOBE
    is_ear_line = (regions[:, 0] != regions[:, 1]) & above_neck
    weight[is_ear_line | (bare[edges[:, 0]] != bare[edges[:, 1]])] *= 1e-3
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


def grown_over(head: HeadModel, surface: Surface, long_hair: bool) -> np.ndarray:
    """Texels [n] bool of the scalp, down to where hair ends at the nape."""
    scalp = surface.regions == head.region_names.index("scalp_neck")
    return scalp & (surface.positions[:, 1] > (LONG_NAPE if long_hair else NAPE))


def hair_detail(
    head: HeadModel, surface: Surface, image: np.ndarray, seen: np.ndarray, haired: np.ndarray
) -> np.ndarray:
    """Relative brightness [n] of strands where hair is unseen, as strong as those that the photo shows; `haired` [n] bool."""
    out = np.zeros(len(seen))
    source = (surface.regions == head.region_names.index("scalp_neck")) & haired & (seen > 0.6)
    if source.sum() < 2000:
        return out
    strength = np.clip(1.5 * _contrast(image, surface.pixels[source], image.shape[0] / 128), 0.01, 0.12)
    strands = strand_noise(arc_around(surface.positions[haired]), latitudes(surface.positions[haired]) * LATITUDE_M)
    out[haired] = strength * strands * np.clip((0.8 - seen[haired]) / 0.6, 0, 1)
    return out


def skin_grain(head: HeadModel, surface: Surface, image: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Relative brightness [n] of grain on a face, as strong as on what the photo shows of it."""
    out = np.zeros(len(seen))
    skin = surface.regions == head.region_names.index("face")
    source = skin & (seen > 0.9)
    if source.sum() < 2000:
        return out
    contrast = _contrast(image, surface.pixels[source], image.shape[0] / 256)
    out[skin] = GRAIN * contrast * _grain(surface.positions[skin])
    return out


def _contrast(image: np.ndarray, pixels: np.ndarray, sigma: float) -> float:
    """Median share by which pixels [n, 2] of a picture are brighter or darker than what is `sigma` px around them."""
    luminance = image @ LUMINANCE
    ratio = luminance / np.maximum(gaussian_filter(luminance, sigma), 0.04) - 1
    return np.median(np.abs(sample_pixels(ratio, pixels)))


def _grain(points: np.ndarray) -> np.ndarray:
    """Noise [n] of deviation about 1 at points [n, 3] m, alike in all directions: two octaves of 2.4 and 1.2 mm."""
    grid = np.random.default_rng(0).standard_normal((64, 64, 64))
    return sum(map_coordinates(grid, points.T / width + 17, order=1, mode="grid-wrap") for width in (2.4e-3, 1.2e-3))


def arc_around(points: np.ndarray) -> np.ndarray:
    """Way [n] m around the skull from the middle of the back to points [n, 3]."""
    arms = points - SKULL
    return np.arctan2(arms[:, 0], -arms[:, 2]) * 0.09


def strand_noise(around: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Noise [n] of deviation about 1 that runs along `down` (m): three octaves from strands of 3 mm to 0.8 mm."""
    grid = np.random.default_rng(0).standard_normal((256, 1024))
    noise = np.zeros(len(around))
    for octave, width in enumerate((3e-3, 1.5e-3, 0.8e-3)):
        bend = 1.5e-3 * np.sin(down * 50 + 40 * around)
        place = [down / (12 * width) + 37 * octave, (around + bend) / width + 511 * octave]
        noise += map_coordinates(grid, place, order=1, mode="grid-wrap")
    return noise / 1.2
