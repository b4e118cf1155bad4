"""What a photo shows at the side of a face that is not the face: hair, the backdrop or a shadow beside a jaw or an ear.

Cheeks of a fitted head may be wider than those in the photo, and its ears elsewhere. Where the surface turns away from the camera, its
colours are believed only when they are like those that spread from the part that faces it.
"""

import numpy as np

from facecraft.head.collar import resembles
from facecraft.head.completion import gather_colours, level_laplacian, spread_harmonically
from facecraft.head.ears import ear_vertices
from facecraft.head.model import HeadModel
from facecraft.head.surface import Surface
from facecraft.mesh.geometry import graph_laplacian, vertex_normals

CHEEK = (-0.09, -0.005)  # m, heights of a cheek on the mean head
ASIDE = 0.03  # m from the middle of the face, where it begins
FACING = (0.8, 0.9)  # cosine from which on colours are sure
SHADES = (0.75, 1.28)  # brightness of skin at the side against that beside it
EAR_SHADES = (0.45, 1.4)  # an ear has shadows of its own
UNLIKE = 0.13  # distance of other colours in its length
BARE_EAR = 0.5  # share of an ear that is skin when no hair covers it
HOLLOW_M, SHADOW, RIDGE = 3e-3, 0.25, -0.5  # m, depth of the hollows of an ear; how much darker they are; of its ridges
SMOOTHING = 12  # rounds
SOFTENING = 2  # rounds, of the edge between what is believed and what is not


def find_strays(
    head: HeadModel,
    vertices: np.ndarray,  # [V, 3] m
    surface: Surface,
    albedo: np.ndarray,  # [n, 3]
    weight: np.ndarray,  # [n] how well each texel was seen
) -> tuple[np.ndarray, np.ndarray]:
    """How surely texels [n] of cheeks and bare ears show something else, 0..1; and vertices [V] bool of the ears that are bare."""
    template = head.template.double().numpy()
    face = head.vertices_of(("face",)).numpy()
    ears = [ear_vertices(head, side) for side in (1, -1)]
    bare = np.zeros(len(face), bool)
    deep = np.clip((surface.facing - FACING[0]) / np.ptp(FACING), 0, 1)
    sure, is_sure = gather_colours(head, surface, albedo, weight * deep)
    is_sure &= face & ~(ears[0] | ears[1])
    if not is_sure.any():
        return np.zeros(len(albedo)), bare
    laplacian = level_laplacian(head, vertices, bare)
    sure = spread_harmonically(laplacian, sure, is_sure, face, 1e-4, sure[is_sure].mean(0))
    colours, known = gather_colours(head, surface, albedo, weight)
    on_ear, beside = ears[0] | ears[1], np.maximum(sure, 0.02)
    alike = resembles(colours, beside, SHADES, UNLIKE) | (on_ear & resembles(colours, beside, EAR_SHADES, UNLIKE))
    shares = [alike[known & ear].mean() if (known & ear).any() else np.nan for ear in ears]
    for ear, share, other in zip(ears, shares, shares[::-1], strict=True):
        bare |= ear & ((other if np.isnan(share) else share) > BARE_EAR)
    cheek = face & (np.abs(template[:, 0]) > ASIDE) & (template[:, 1] > CHEEK[0]) & (template[:, 1] < CHEEK[1])
    part = np.where(on_ear, bare, cheek)
    strays = part & known & ~is_sure & ~alike
    # what is beside them is of their colour in part
    plain = graph_laplacian(head.faces.numpy(), len(face))
    beside = strays - plain @ strays.astype(float) > 0
    soft = (strays | (part & beside)).astype(float)
    for _ in range(SOFTENING):
        soft = soft - 0.5 * (plain @ soft)
    return surface.atlas.interpolate(soft[:, None], head.faces.numpy())[:, 0], bare


def hollow_ears(head: HeadModel, vertices: np.ndarray, surface: Surface, bare: np.ndarray) -> np.ndarray:
    """Brightness [n] of the hollows of `bare` ears [V] bool by their depth below the smoothed `vertices` [V, 3]; 1 elsewhere."""
    laplacian, smooth = graph_laplacian(head.faces.numpy(), len(vertices)), vertices
    for _ in range(SMOOTHING):
        smooth = smooth - 0.5 * (laplacian @ smooth)
    depth = ((smooth - vertices) * vertex_normals(smooth, head.faces.numpy())).sum(1)
    bare = bare & head.vertices_of(("face",)).numpy()  # not the skull behind
    dark = bare * SHADOW * np.clip(depth / HOLLOW_M, RIDGE, 1)
    return 1 - surface.atlas.interpolate(dark[:, None], head.faces.numpy())[:, 0]
