"""The open image prior: the textured, hair-shelled head itself, seen from all around; the photo stays as it is, but for what
covers the face: there it shows the head."""

from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter

from facecraft.camera import Camera, orbit_camera
from facecraft.head.fitted import FittedHead
from facecraft.head.texture import render_textured
from facecraft.progress import track
from facecraft.views import View

PHOTO_WEIGHT = 20.0
SEAM = 2e-3  # of the picture's height: softness of the edge between the photo and what is painted over a cover
FACE_M = 0.24  # what a view of the face shows
EXPRESSIONS = (
    {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
    {"eyeBlinkLeft": 0.5, "eyeBlinkRight": 0.5},
    {"jawOpen": 0.6},
    {"jawOpen": 0.25, "mouthSmileLeft": 0.7, "mouthSmileRight": 0.7},
    {"eyeWideLeft": 1.0, "eyeWideRight": 1.0, "browInnerUp": 0.8, "mouthPucker": 0.8},
)
"""Faces that show what the photo hides: lids, teeth, tongue, and closed lips."""
EXPRESSION_AZIMUTHS = (-30, 0, 30)
EXPRESSION_WEIGHT = 0.6
RAISED = ((30, 6, 0), (-20, 4, 45), (65, 3, 60))
"""Further orbits: elevation (deg), number of views, first azimuth (deg)."""


def surround(fitted: FittedHead, image: np.ndarray, alpha: np.ndarray, count: int, size: int) -> list[View]:
    """The photo, `count` views of an orbit at eye height and 13 from above and below, `size` px square.

    `image` [H, W, 3] and `alpha` [H, W] are the photo's. The first orbit view looks at the face.
    """
    vertices = fitted.vertices()
    _, _, depth, _ = render_textured(fitted.head, vertices, fitted.texture, fitted.camera, supersample=1)
    if fitted.covered is not None:
        rgb, covered, _, _ = render_textured(fitted.head, vertices, fitted.texture, fitted.camera)
        amount = gaussian_filter(fitted.covered.astype(np.float32), SEAM * len(alpha))
        image = image + amount[..., None] * (rgb - image)
        alpha = np.where(fitted.covered, covered, alpha)
    views = [View(fitted.camera, image, alpha, depth, "photo", PHOTO_WEIGHT)]
    for camera in track(orbit_cameras(fitted, vertices, count, size), "rendering views"):
        rgb, covered, depth, seen = render_textured(fitted.head, vertices, fitted.texture, camera)
        trust = float((seen * covered).sum() / max(covered.sum(), 1e-6))
        views.append(View(camera, rgb, covered, depth, "texture", 0.5 + 0.5 * trust))
    return views


def express(fitted: FittedHead, size: int) -> list[View]:
    """Close views of the face in each of EXPRESSIONS from EXPRESSION_AZIMUTHS, `size` px square."""
    head = fitted.head
    centre = fitted.vertices()[head.faces[head.landmark_faces].numpy()].mean((0, 1))
    distance = np.linalg.norm(fitted.camera.centre - centre)
    focal = size * distance / FACE_M
    like = replace(fitted.camera, width=size, height=size, fx=focal, fy=focal)
    views = []
    for expression in EXPRESSIONS:
        texture = fitted.texture.for_shut_eyes() if "eyeBlinkLeft" in expression else fitted.texture
        vertices = fitted.vertices(head.expression_vector(expression)[0].numpy())
        for azimuth in EXPRESSION_AZIMUTHS:
            camera = orbit_camera(like, azimuth, 0, centre, distance)
            rgb, alpha, depth, _ = render_textured(head, vertices, texture, camera)
            views.append(View(camera, rgb, alpha, depth, "texture", EXPRESSION_WEIGHT, expression))
    return views


def orbit_cameras(fitted: FittedHead, vertices: np.ndarray, count: int, size: int) -> list[Camera]:
    """Cameras around the head, as far away as the photo's, with a focal length that shows all of it."""
    target = (vertices.min(0) + vertices.max(0)) / 2
    reach = np.linalg.norm(vertices - target, axis=1).max()
    distance = max(np.linalg.norm(fitted.camera.centre - target), 2.5 * reach)
    focal = 0.48 * size * np.sqrt(distance**2 - reach**2) / reach
    like = replace(fitted.camera, width=size, height=size, fx=focal, fy=focal)
    level = [(0, 360 * i / count) for i in range(count)]
    raised = [(elevation, first + 360 * i / n) for elevation, n, first in RAISED for i in range(n)]
    return [orbit_camera(like, azimuth, elevation, target, distance) for elevation, azimuth in level + raised]
