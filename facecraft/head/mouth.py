"""The mouth as the photo shows it: teeth reach down as far as there."""

import numpy as np

from facecraft.camera import Camera
from facecraft.head.model import HeadModel
from facecraft.head.surface import MOUTH_REGIONS
from facecraft.mesh.light import LUMINANCE
from facecraft.mesh.raster import rasterize_mesh

BRIGHT, LIT = 0.6, 0.5  # of the brightest in a mouth, a tooth is at least so bright; and that of the skin around it
MIDDLE = 0.6  # of the mouth's width, where front teeth are
LEAST_M, MOST_M = 1.5e-3, 5e-3  # a mouth less open tells nothing of its teeth; how far they may be drawn
FEWEST = 8  # columns of pixels
UPPER, SKIN = ("teeth_upper",), ("face",)


def fit_teeth(head: HeadModel, vertices: np.ndarray, camera: Camera, image: np.ndarray) -> np.ndarray:
    """Offsets [V, 3], m, that draw the upper teeth down to where those of the photo [H, W, 3] end.

    `vertices` [V, 3] are the head in the photo. Teeth are not part of an identity: without this a smile has a dark gap below
    them. Of teeth that touch, or of a mouth that hardly opens, the upper ones stay.
    """
    offsets = np.zeros(vertices.shape)
    faces = head.faces.numpy()
    buffers = rasterize_mesh(camera.project(vertices), faces, *image.shape[:2])
    of = {
        names: head.faces_of(names).numpy()[buffers.face_ids] & buffers.mask for names in (MOUTH_REGIONS, UPPER, SKIN)
    }
    px_per_m = camera.fx / camera.T_camera_world[2, 3]
    ends = _tooth_ends(of[MOUTH_REGIONS], of[UPPER], of[SKIN], image @ LUMINANCE, LEAST_M * px_per_m)
    if len(ends) < FEWEST:
        return offsets
    lacking = np.median(ends) / px_per_m
    upper = np.flatnonzero(head.vertices_of(UPPER).numpy())
    height = head.template.double().numpy()[upper, 1]
    offsets[upper, 1] = -np.clip(lacking, 0, MOST_M) * (height.max() - height) / np.ptp(height)
    return offsets


def _tooth_ends(mouth, upper, skin, luminance: np.ndarray, least_px: float) -> np.ndarray:
    """How much further down teeth end in the photo than on the head, px, in the middle columns where both show some.

    `mouth`, `upper` teeth and `skin` [H, W] bool are what the head shows.
    """
    columns = np.flatnonzero(mouth.sum(0) > least_px)
    if len(columns) == 0 or not upper.any():
        return np.zeros(0)
    brightest = np.percentile(luminance[mouth], 90)
    if brightest < LIT * np.median(luminance[skin]):
        return np.zeros(0)
    tooth = mouth & (luminance > BRIGHT * brightest)
    middle, half = columns.mean(), MIDDLE / 2 * np.ptp(columns)
    ends = []
    for x in columns[np.abs(columns - middle) <= half]:
        if tooth[:, x].any() and upper[:, x].any():
            first = np.argmax(tooth[:, x])
            run = np.argmin(tooth[first:, x])
            ends.append(first + run - 1 - np.flatnonzero(upper[:, x])[-1])
    return np.array(ends)
