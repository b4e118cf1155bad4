"""The mouth as the photo shows it: lips that are closed there touch, and teeth reach down as far as there."""

from dataclasses import replace

import numpy as np
import torch

from facecraft.camera import Camera
from facecraft.head.fit import LandmarkFit
from facecraft.head.model import HeadModel
from facecraft.head.scene import Photo
from facecraft.head.surface import MOUTH_REGIONS
from facecraft.mesh.light import LUMINANCE
from facecraft.mesh.raster import rasterize_mesh

UPPER_LIP, LOWER_LIP = (82, 13, 312), (87, 14, 317)  # landmarks on the rim of the lips, that face each other
LIPS = (*UPPER_LIP, *LOWER_LIP)
CLOSED_M = 6e-4  # distance of landmarks on lips that touch; those of a smile are 10 mm apart
AJAR = 0.06  # of mouthClose: more is no error of the fit
BRIGHT, LIT = 0.6, 0.5  # of the brightest in a mouth, a tooth is at least so bright; and that of the skin around it
MIDDLE = 0.6  # of the mouth's width, where front teeth are
LEAST_M, MOST_M = 1.5e-3, 5e-3  # a mouth less open tells nothing of its teeth; how far they may be drawn
FEWEST = 8  # columns of pixels
UPPER, SKIN = ("teeth_upper",), ("face",)


def shut_lips(head: HeadModel, fit: LandmarkFit, photo: Photo) -> LandmarkFit:
    """The fit with lips that touch, when they do in the photo: a slit between them would show bright teeth."""
    if photo.hides(LIPS):
        return fit
    upper, lower = np.split(photo.landmarks[list(LIPS), :2], 2)
    px_per_m = fit.camera.fx / fit.camera.T_camera_world[2, 3]
    if np.linalg.norm(upper - lower, axis=1).mean() > CLOSED_M * px_per_m:
        return fit
    channel = head.expression_names.index("mouthClose")
    shape, expression = (torch.as_tensor(part, dtype=torch.float32)[None] for part in (fit.shape, fit.expression))
    needed = float(head.lip_closure(shape, expression)[0])
    if not 0 < needed - fit.expression[channel] < AJAR:
        return fit
    expression = fit.expression.copy()
    expression[channel] = needed
    return replace(fit, expression=expression)


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
