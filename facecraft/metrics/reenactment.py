"""AED and APD: how far expression and pose of two pictures are apart, by fitting a morphable head to each.

The papers fit Deep3DFaceRecon's or DECA's heads, in units of their own; ours is the open head on MediaPipe's landmarks.
Figures of different heads do not compare.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from facecraft.camera import Camera
from facecraft.head.fit import fit_landmarks
from facecraft.head.model import HeadModel, load_head

FIT_NET = "open head fitted to MediaPipe's landmarks: AED in ARKit weights, APD in degrees"
_FOCAL = 2.2
"""Focal length in sides of the picture, as preprocess takes it for photos without EXIF."""


@dataclass(frozen=True)
class FacePose:
    """Expression [52] by the head's channels, and the head's rotation [3, 3] in the camera."""

    expression: np.ndarray
    rotation: np.ndarray


def fit_pose(
    landmarks: np.ndarray,  # [478, 3] px
    width: int,
    height: int,
    head: HeadModel | None = None,
) -> FacePose:
    """Expression and pose of a face in a picture of this size, px."""
    focal = _FOCAL * max(width, height)
    fit = fit_landmarks(head or load_head(), landmarks, Camera(width, height, focal, focal, width / 2, height / 2))
    return FacePose(fit.expression, fit.camera.T_camera_world[:3, :3])


def expression_distance(a: FacePose, b: FacePose) -> float:
    """AED: mean absolute difference of the channels."""
    return float(np.abs(a.expression - b.expression).mean())


def pose_distance(a: FacePose, b: FacePose) -> float:
    """APD: angle between the rotations, degrees."""
    return float(np.degrees(Rotation.from_matrix(a.rotation @ b.rotation.T).magnitude()))
