"""Colour for what the photo does not show of a head.

Every vertex gets a colour: as seen; or that of the other side of the face, with its tone matched by a membrane over the
mesh; or that of its surroundings, spread harmonically along the latitudes, which carries hair and caps around the scalp
and leaves no face on the back. Below the hair line the back of the neck is skin unless long hair covers it.
"""

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.sparse import coo_matrix, diags
from scipy.sparse.linalg import splu

from facecraft.head.model import HeadModel
from facecraft.head.silhouette import FOOT, LATITUDE_M, NECK_BASE, SKULL, latitudes
from facecraft.head.surface import SKIN_REGIONS, Surface
from facecraft.mesh.atlas import sample_pixels
from facecraft.mesh.geometry import unique_edges
from facecraft.mesh.light import LUMINANCE

LID_REACH = 0.024  # m around the middle of an eyeball
EAR_LOBE = -0.075  # m, height above which skin and hair do not mix
NAPE = -0.05  # m, height down to which hair grows at the back
EQUATOR = np.pi / 2  # latitude of the ears
LATITUDE_SPAN = 0.12  # rad over which a colour is a level's
COLLAR = -0.10  # m, height down to which a neck is bare at the back
LONG_HAIR = 1.2  # a neck this much wider than a neck is covered by hair
UNLIKE = 0.15  # decay of what one side of the face has and the other not, where one is hidden


def vertex_colours(
    head: HeadModel, vertices: np.ndarray, surface: Surface, albedo: np.ndarray, weight: np.ndarray
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
    skin = head.vertices_of(SKIN_REGIONS).numpy()
    scalp = head.vertex_regions.numpy() == head.region_names.index("scalp_neck")
    bare = scalp & _is_bare_neck(head.template.double().numpy(), vertices)
    haired = scalp & (vertices[:, 1] > NAPE)
    laplacian = _level_laplacian(head, vertices, bare)
    mirror = head.mirror.numpy()
    both = known & known[mirror] & skin
    difference = np.where(both[:, None], colours - colours[mirror], 0)
    difference = spread_harmonically(laplacian, difference, both, skin, UNLIKE)
    borrowed = ~known & known[mirror] & skin
    colours[borrowed] = (colours[mirror] + difference)[borrowed]
    known |= borrowed
    faces_skin = head.vertex_regions.numpy() == head.region_names.index("face")
    pull, towards = np.full(count, 1e-6), np.tile(colours[known].mean(0) if known.any() else 0.5, (count, 1))
    for part, strength, like in ((bare, 0.05, faces_skin), (_lids(head), 0.6, faces_skin)):
        if (known & like).any():
            pull[part], towards[part] = strength, np.median(colours[known & like], 0)
    body = skin & ~faces_skin & ~bare & (vertices[:, 1] < NAPE)
    for part in (haired, body):
        if (known & part).any():
            pull[part], towards[part] = 0.01, _colour_by_latitude(vertices, colours, known & part, part)
    return spread_harmonically(laplacian, colours, known, skin, pull, towards).clip(0, 1)


def _lids(head: HeadModel) -> np.ndarray:
    """Skin around the eyes [V] bool."""
    template, regions = head.template.double().numpy(), head.vertex_regions.numpy()
    middles = [template[regions == head.region_names.index(f"eyeball_{side}")].mean(0) for side in "LR"]
    near = np.min([np.linalg.norm(template - middle, axis=1) for middle in middles], 0) < LID_REACH
    return near & (regions == head.region_names.index("face"))


def _is_bare_neck(template: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Which `points` [n, 3] of scalp and neck show skin: below the hair line, above a collar, not under long hair.

    `template` [n, 3] are the same points of the mean head.
    """
    return (points[:, 1] < NAPE) & (points[:, 1] > COLLAR) & ~_is_under_hair(template, points)


def _is_under_hair(template: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Which `points` [n, 3] of the neck the matte has pushed out, away from the same points of the mean head."""
    arms, usual = (np.linalg.norm((p - FOOT)[:, ::2], axis=1) for p in (points, template))
    return arms > LONG_HAIR * usual


def _colour_by_latitude(vertices: np.ndarray, colours: np.ndarray, known: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Median of the `known` colours [V, 3] around the latitude of each vertex in `where`: a cap ends where it ends in front.

    Between skull and shoulders, where faces show cheeks and necks, the hair's colour at the equator goes on.
    """
    level = latitudes(vertices)
    low = (level > EQUATOR) & (vertices[:, 1] > NAPE)
    level, known = np.where(low, EQUATOR, level), known & ~low if (known & ~low).any() else known
    knots = np.linspace(level[where].min(), level[where].max(), 24)
    near = np.exp(-0.5 * ((knots[:, None] - level[known]) / LATITUDE_SPAN) ** 2) + 1e-4
    medians = [[_weighted_median(channel, weights) for channel in colours[known].T] for weights in near]
    return np.stack([np.interp(level[where], knots, channel) for channel in np.transpose(medians)], 1)


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    mass = np.cumsum(weights[order])
    return values[order][np.searchsorted(mass, 0.5 * mass[-1])]


def _level_laplacian(head: HeadModel, vertices: np.ndarray, bare: np.ndarray):
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


def hair_detail(head: HeadModel, surface: Surface, image: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Relative brightness [n] of strands on the unseen scalp, as strong as those that the photo shows."""
    out = np.zeros(len(seen))
    template = surface.atlas.interpolate(head.template.double().numpy(), head.faces.numpy())
    scalp = surface.regions == head.region_names.index("scalp_neck")
    scalp &= (surface.positions[:, 1] > NAPE) | _is_under_hair(template, surface.positions)
    scalp &= surface.positions[:, 1] > NECK_BASE + 0.08
    source = scalp & (seen > 0.6)
    if source.sum() < 2000:
        return out
    luminance = image @ LUMINANCE
    ratio = luminance / np.maximum(gaussian_filter(luminance, image.shape[0] / 128), 0.04) - 1
    strength = np.clip(1.5 * np.median(np.abs(sample_pixels(ratio, surface.pixels[source]))), 0.01, 0.12)
    arms = surface.positions[scalp] - SKULL
    around = np.arctan2(arms[:, 0], -arms[:, 2]) * 0.09
    strands = _strand_noise(around, latitudes(surface.positions[scalp]) * LATITUDE_M)
    out[scalp] = strength * strands * np.clip((0.8 - seen[scalp]) / 0.6, 0, 1)
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
