"""Where the irises are in a picture: a small network looks at each eye, because landmarks of a face mistake them by a millimetre.

The detector's irises follow its lids. A gaze is an iris against its eyeball of 12 mm, where a millimetre is 5 degrees. The
network (facecraft.face.heat) is trained on synthetic eyes alone by `training/iris_net.py`, and sees each eye level, the left
one mirrored.
"""

from functools import cache
from pathlib import Path

import numpy as np

from facecraft.face.heat import find_in_picture, level_frames, load_network

SHIPPED = Path(__file__).with_name("irises.safetensors")
FORMAT = "facecraft-irises/1"
PATCH = (48, 64)  # rows and columns
PATCH_SHARE = 0.5  # of the distance between the eyes' outer corners is the patch wide
EYES = ((33, 133, 159, 145), (263, 362, 386, 374))
"""Outer and inner corner, middle of the upper and of the lower lid: the subject's right and left."""
IRISES = (slice(468, 473), slice(473, 478))


def settle_irises(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """`landmarks` [478, 3] px with the irises moved to where the network sees them in `image` [H, W, 3] in [0, 1], or
    in 0 to 255 when it is uint8."""
    frames = eye_frames(landmarks)
    centres, _ = find_in_picture(image, frames, PATCH, load_weights())
    settled = landmarks.copy()
    for part, frame, centre in zip(IRISES, frames, centres, strict=True):
        settled[part, :2] += frame @ [*centre[0], 1] - settled[part.start, :2]
    return settled


def eye_frames(landmarks: np.ndarray) -> np.ndarray:
    """Affine maps [2, 2, 3] from pixels of the patch of each eye to those of the picture; `landmarks` [478, 3] px."""
    return level_frames(landmarks, EYES, PATCH_SHARE, PATCH, PATCH[0] / 2)


@cache
def load_weights() -> dict[str, np.ndarray]:
    """Those of the shipped network by layer. InputError when the file is damaged or not ours."""
    return load_network(SHIPPED, FORMAT, "an iris model")
