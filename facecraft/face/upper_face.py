"""Where brows and lids are in a picture: a small network looks at each side, because landmarks of a face follow them half the way.

The detector draws brows to where they mostly are, and leaves those there that hair covers; lids it tells by their lashes,
and where those hardly show it does not shut them (benchmarks/track.py). The network (facecraft.face.heat) finds the ends and
the middle of a brow and the middles of both lids; it is trained on synthetic faces alone by `training/upper_face_net.py`.
It sees each side level, the left one mirrored, and what it knows of a covered brow it reads from what is around.
"""

from functools import cache
from pathlib import Path

import numpy as np

from facecraft.face.heat import find_in_picture, level_frames, load_network

SHIPPED = Path(__file__).with_name("upper_face.safetensors")
FORMAT = "facecraft-upper-face/1"
PATCH = (64, 80)  # rows and columns
PATCH_SHARE = 0.75  # of the distance between the eyes' outer corners is the patch wide
EYE_ROW = 48  # of the patch, in which the corners of the eye are
CORNERS = ((33, 133), (263, 362))  # of the eyes, outer and inner: the subject's right and left
PARTS = (
    ((107, 66, 55, 65), (105, 52), (63, 70, 53, 46), (158, 159, 160), (144, 145, 153)),
    ((336, 296, 285, 295), (334, 282), (293, 300, 283, 276), (385, 386, 387), (373, 374, 380)),
)
"""Inner end, middle and outer end of the right and of the left brow, upper and lower lid."""
BROW, LIDS = slice(0, 3), slice(3, 5)
TRUST = np.array([0.75, 0.75, 0.75, 1, 1])  # in the network, of each part; the rest in the detector
CLEAR_PX = np.array([3.5, 4.5, 4.5])  # of the patch, up and down: spread of the heat of parts of a brow that show
SHARP_PX = 4.0  # of the patch: where the heat of a lid spreads farther, the detector is believed as well
MARGIN = 1.3  # a part whose heat spreads this much farther than that of the clearest one still shows
HINT = 0.3  # how much what shows of the brows tells of what does not


def settle_upper_face(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """`landmarks` [478, 3] px with brows and lids raised or lowered to where the network sees them in `image` [H, W, 3] in
    [0, 1], or in 0 to 255 when it is uint8, as far as it is trusted."""
    frames = upper_face_frames(landmarks)
    points, spreads = find_in_picture(image, frames, PATCH, load_weights())
    downs = frames[:, :, 1] / np.maximum(np.linalg.norm(frames[:, :, 1], axis=1, keepdims=True), 1e-9)
    ways = np.empty(spreads.shape[:2])  # px down
    for side, parts in enumerate(PARTS):
        found = points[side] @ frames[side, :, :2].T + frames[side, :, 2]
        ways[side] = (found - [landmarks[list(part), :2].mean(0) for part in parts]) @ downs[side]
    ways[:, BROW] = _fill_hidden(ways[:, BROW], spreads[:, BROW, 1])
    ways[:, LIDS] *= np.minimum(1, SHARP_PX / np.maximum(spreads[:, LIDS, 1], 1e-9))
    settled = landmarks.copy()
    for parts, down, lengths in zip(PARTS, downs, TRUST * ways, strict=True):
        for part, length in zip(parts, lengths, strict=True):
            settled[list(part), :2] += length * down
    return settled


def _fill_hidden(ways: np.ndarray, spreads: np.ndarray) -> np.ndarray:
    """Ways [2, 3] of the parts of both brows, px, with those that hardly show drawn to the others'; `spreads` [2, 3] px.

    The heat of a part behind hair is wide, and errors of the network grow with it; how wide it is where brows show differs
    from film to film.
    """
    blur = np.maximum(spreads / CLEAR_PX, 1e-9)
    seen = np.minimum(1, MARGIN * blur.min() / blur) ** 6
    hint = HINT * (1 - seen)
    return (seen * ways + hint * (seen * ways).sum() / seen.sum()) / (seen + hint)


def upper_face_frames(landmarks: np.ndarray) -> np.ndarray:
    """Affine maps [2, 2, 3] from pixels of the patch of each side to those of the picture; `landmarks` [478, 3] px."""
    return level_frames(landmarks, CORNERS, PATCH_SHARE, PATCH, EYE_ROW)


@cache
def load_weights() -> dict[str, np.ndarray]:
    """Those of the shipped network by layer. InputError when the file is damaged or not ours."""
    return load_network(SHIPPED, FORMAT, "a model of the upper face")
