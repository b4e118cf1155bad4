"""Highlights of skin in a photo, taken out of its colours: light that the surface mirrors is no colour of the skin.

A highlight adds about the same to all channels (dichromatic reflection, Shafer 1985), over a patch: what the least raised
channel has above the skin around it. Only forehead, nose and cheeks are searched; hair, beards, eyes and lips shine as well,
but there light patches are mostly colour.
"""

import numpy as np
from scipy.ndimage import gaussian_filter

from facecraft.head.model import HeadModel
from facecraft.head.surface import Surface
from facecraft.mesh.atlas import sample_pixels

BEARD = (-0.055, -0.035)  # m, heights between which a face begins to be searched
CELLS = 256  # of the atlas in a row, on which the skin around is found
AROUND, PATCH = 9.0, 1.5  # cells: reach of the skin around, and the least extent of a highlight
UNLIKE = (
    0.12,
    0.06,
    0.06,
)  # what differs more from the skin around (hats, brows, glasses, the highlight itself) is no skin
SUPPORT = (0.25, 0.5)  # share of skin in the surroundings of a highlight; an emblem on a cap has less
CLEAR = (0.03, 0.09)  # above the skin around: where a highlight begins, and where it is one for sure
SHARE = 0.8  # of a highlight that is taken out: without any, skin looks like chalk


def find_highlights(head: HeadModel, surface: Surface, albedo: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """What highlights add to every channel of `albedo` [n, 3] at texels `seen` [n] in [0, 1]: [n], 0 elsewhere."""
    height = surface.atlas.interpolate(head.template.double().numpy(), head.faces.numpy())[:, 1]
    face = surface.regions == head.region_names.index("face")
    weight = seen * face * np.clip((height - BEARD[0]) / np.ptp(BEARD), 0, 1)
    if weight.sum() < 100:
        return np.zeros(len(albedo))
    around, support = np.median(albedo[weight > 0.5 * weight.max()], 0), weight
    for unlike in UNLIKE:
        away = np.abs(albedo - around).max(1) / unlike
        around, support = _mean_around(surface, albedo, weight / (1 + away**4), AROUND)
    _, everything = _mean_around(surface, albedo, face.astype(float), AROUND)
    among_skin = np.clip((support / everything.clip(1e-4) - SUPPORT[0]) / np.ptp(SUPPORT), 0, 1)
    excess = (albedo - around).min(1)
    patch = _mean_around(surface, excess[:, None], weight, PATCH)[0][:, 0]
    sure = np.clip((patch - CLEAR[0]) / np.ptp(CLEAR), 0, 1)
    return SHARE * weight * among_skin * sure * np.clip(excess - CLEAR[0], 0, 2 * patch.clip(0))


def _mean_around(surface: Surface, values: np.ndarray, weight: np.ndarray, reach: float):
    """Weighted Gaussian mean [n, D] of values [n, D] over `reach` cells, and the weight [n] that it rests on."""
    scale = CELLS / surface.atlas.size
    rows, columns = (surface.atlas.rows + 0.5) * scale, (surface.atlas.columns + 0.5) * scale
    cell = rows.astype(int) * CELLS + columns.astype(int)
    layers = [values[:, d] * weight for d in range(values.shape[1])] + [weight]
    sums = (np.bincount(cell, layer, CELLS * CELLS).reshape(CELLS, CELLS) for layer in layers)
    near = sample_pixels(np.dstack([gaussian_filter(s, reach) for s in sums]), np.stack([columns, rows], 1))
    return near[:, :-1] / np.maximum(near[:, -1:], 1e-4), near[:, -1]
