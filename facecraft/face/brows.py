"""Where the brows are in a picture: a small network looks at each, because landmarks of a face follow them half the way.

The detector draws brows to where they mostly are, and leaves those there that hair covers (benchmarks/track.py). The
network (facecraft.face.heat) finds both ends of a brow; it is trained on synthetic faces alone by `training/brow_net.py`. It
sees each brow level, the left one mirrored, and what it knows of a covered one it reads from what is around. It and the
detector are two measurements of one thing, and their mean is better than either.
"""

from functools import cache
from pathlib import Path

import numpy as np

from facecraft.face.heat import cut_patches, find_points, level_frames, load_network

SHIPPED = Path(__file__).with_name("brows.safetensors")
FORMAT = "facecraft-brows/1"
PATCH = (64, 64)  # rows and columns
PATCH_SHARE = 0.6  # of the distance between the eyes' outer corners is the patch wide
EYE_ROW = 52  # of the patch, in which the corners of the eye are
CORNERS = ((33, 133), (263, 362))  # of the eyes, outer and inner: the subject's right and left
BROWS = (((107, 66, 55, 65), (63, 70, 53, 46)), ((336, 296, 285, 295), (293, 300, 283, 276)))
"""Inner and outer end of the right and of the left brow."""
MIDDLES = ((105, 52), (334, 282))
TRUST = 0.5  # in the network; on 8 people of `train` from 10 on neither 0 nor 1 is better


def settle_brows(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """`landmarks` [478, 3] px with brows raised or lowered halfway to where the network sees them in `image` [H, W, 3] in
    [0, 1], or in 0 to 255 when it is uint8."""
    frames = brow_frames(landmarks)
    whole = 255 if image.dtype == np.uint8 else 1
    found = find_points(cut_patches(image, frames, PATCH) / whole, load_weights())
    settled = landmarks.copy()
    for brow, middle, frame, ends in zip(BROWS, MIDDLES, frames, found, strict=True):
        down = frame[:, 1] / max(np.linalg.norm(frame[:, 1]), 1e-9)
        ways = []
        for part, end in zip(brow, ends, strict=True):
            ways.append(TRUST * ((frame @ [*end, 1] - landmarks[list(part), :2].mean(0)) @ down) * down)
            settled[list(part), :2] += ways[-1]
        settled[list(middle), :2] += np.mean(ways, 0)
    return settled


def brow_frames(landmarks: np.ndarray) -> np.ndarray:
    """Affine maps [2, 2, 3] from pixels of the patch of each brow to those of the picture; `landmarks` [478, 3] px."""
    return level_frames(landmarks, CORNERS, PATCH_SHARE, PATCH, EYE_ROW)


@cache
def load_weights() -> dict[str, np.ndarray]:
    """Those of the shipped network by layer. InputError when the file is damaged or not ours."""
    return load_network(SHIPPED, FORMAT, "a brow model")
