"""Lids of a head in a photo: which of their skin it shows unfolded, what skin is around them, and the lashes on their rims.

Lids of an open eye are a strip as thin as the lashes before it. Spread over a shut lid, it would be a smear of lashes.
"""

import cv2
import numpy as np

from facecraft.camera import Camera
from facecraft.head.model import HeadModel, landmark_points
from facecraft.mesh.light import LUMINANCE

LID_RIMS = (
    ((33, 246, 161, 160, 159, 158, 157, 173, 133), (33, 7, 163, 144, 145, 153, 154, 155, 133)),
    ((362, 398, 384, 385, 386, 387, 388, 466, 263), (362, 382, 381, 380, 374, 373, 390, 249, 263)),
)
"""Landmarks of the upper and the lower rim of each eye, the right one first, from corner to corner."""
SHUT = {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}
MOVED_M = 1e-3  # what a blink moves further is lid
UNFOLDED = (0.35, 0.7)  # area of a lid in the photo over that of the shut one at which it shows too little, enough
LID_REACH_M = (0.017, 0.023)  # skin this close to the middle of an eyeball is lid, skin further away is not
RIM_POINTS = 48
LASH_TONES = (0.15, 0.35)  # darkest and lightest lashes of a shut eye, against the lid
LASH_REACH_M = 1.5e-3  # where the photo shows them, from the rim


def unfolded_share(head: HeadModel, vertices: np.ndarray, camera: Camera) -> np.ndarray:
    """How well [V] the photo shows lids of `vertices` [V, 3] m that a blink spreads, by their area; 1 for all that are no lids."""
    faces, pixels = head.faces.numpy(), camera.project(vertices)
    shut = head.vertices(None, head.expression_vector(SHUT))[0].double().numpy()
    lid = head.vertices_of(("face",)).numpy()
    lid &= np.linalg.norm(shut - head.vertices()[0].double().numpy(), axis=1) > MOVED_M
    flat = np.column_stack([pixels[:, :2] * pixels[lid, 2].mean() / camera.fx, np.zeros(len(pixels))])
    facing = np.cross(*(flat[faces[:, i]] - flat[faces[:, 0]] for i in (2, 1)))[:, 2].clip(0)
    whole = np.linalg.norm(np.cross(*(shut[faces[:, i]] - shut[faces[:, 0]] for i in (1, 2))), axis=1)
    sums = [sum(np.bincount(faces[:, i], area, len(vertices)) for i in range(3)) for area in (facing, whole)]
    share = (sums[0] / np.maximum(sums[1], 1e-12) - UNFOLDED[0]) / (UNFOLDED[1] - UNFOLDED[0])
    return np.where(lid, share.clip(0, 1), 1.0)


def eyeball_middles(head: HeadModel) -> list[np.ndarray]:
    """Middles [3] of the right and the left eyeball of the mean head, m."""
    template = head.template.double().numpy()
    return [template[head.vertices_of((f"eyeball_{side}",)).numpy()].mean(0) for side in "RL"]


def lid_shares(head: HeadModel) -> np.ndarray:
    """How far [V, 2] the skin is lid of the right and of the left eye."""
    template = head.template.double().numpy()
    distances = np.stack([np.linalg.norm(template - middle, axis=1) for middle in eyeball_middles(head)], 1)
    near, far = LID_REACH_M
    return ((far - distances) / (far - near)).clip(0, 1) * head.vertices_of(("face",)).numpy()[:, None]


def lash_tones(
    picture: np.ndarray,  # [H, W, 3] with open eyes
    pixels: np.ndarray,  # [478, 2] landmarks in it
    px_per_m: float,
) -> np.ndarray:
    """How dark [2] the lashes of the upper lids are in a picture, right eye first, against the skin over them."""
    tones = []
    luminance = np.float32(picture @ LUMINANCE)
    for upper, _ in np.array(LID_RIMS):
        rim, reach = smooth_line(pixels[upper])[RIM_POINTS // 6 : -RIM_POINTS // 6], LASH_REACH_M * px_per_m
        up = np.linspace(-1, 6, 15)[:, None] * reach
        x, y = (np.float32(part - 0.5) for part in np.broadcast_arrays(rim[:, 0], rim[:, 1] - up))
        tone = cv2.remap(luminance, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        tones.append(np.median(tone[:5].min(0) / np.maximum(tone[5:].max(0), 0.02)))
    return np.clip(tones, *LASH_TONES)


def rim_lines(head: HeadModel, vertices: np.ndarray) -> np.ndarray:
    """Upper and lower rims [2, 2, RIM_POINTS, 3], m, of both eyes of `vertices` [V, 3], the right one first."""
    points = landmark_points(head, vertices)
    return np.array([[smooth_line(points[rim]) for rim in rims] for rims in np.swapaxes(LID_RIMS, 0, 1)])


def smooth_line(points: np.ndarray) -> np.ndarray:
    """RIM_POINTS points [n, D] of the smooth line along a rim [9, D]."""
    at = np.linspace(0, 1, len(points))
    return np.stack([np.polyval(np.polyfit(at, c, 4), np.linspace(0, 1, RIM_POINTS)) for c in points.T], 1)
