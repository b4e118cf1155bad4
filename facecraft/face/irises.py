"""Where the irises are in a picture: a small network looks at each eye, because landmarks of a face mistake them by a millimetre.

The detector's irises follow its lids. A gaze is an iris against its eyeball of 12 mm, where a millimetre is 5 degrees. The
network is convolutional and ends in a heat map whose mean is the answer (integral regression, Sun et al. 2018, eq. 3), is
trained on synthetic eyes alone by `training/iris_net.py`, and sees each eye level, the left one mirrored. It is small enough
for numpy: preprocess does without torch.
"""

from functools import cache
from pathlib import Path

import cv2
import numpy as np

from facecraft.errors import InputError
from facecraft.shipped import read_shipped

SHIPPED = Path(__file__).with_name("irises.safetensors")
FORMAT = "facecraft-irises/1"
PATCH = (48, 64)  # rows and columns
PATCH_SHARE = 0.5  # of the distance between the eyes' outer corners is the patch wide
EYES = ((33, 133, 159, 145), (263, 362, 386, 374))
"""Outer and inner corner, middle of the upper and of the lower lid: the subject's right and left."""
IRISES = (slice(468, 473), slice(473, 478))
LEAK = 0.1  # slope of the rectifier below 0


def settle_irises(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """`landmarks` [478, 3] px with the irises moved to where the network sees them in `image` [H, W, 3] in [0, 1], or
    in 0 to 255 when it is uint8."""
    frames = eye_frames(landmarks)
    whole = 255 if image.dtype == np.uint8 else 1
    centres = find_irises(cut_patches(image, frames) / whole, load_weights())
    settled = landmarks.copy()
    for part, frame, centre in zip(IRISES, frames, centres, strict=True):
        settled[part, :2] += frame @ [*centre, 1] - settled[part.start, :2]
    return settled


def find_irises(patches: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    """Centres [N, 2], px of the patch, of the irises in patches [N, *PATCH, 3] in [0, 1]."""

    def layer(x, name, stride=1):
        out = _convolve(x, weights[f"{name}.weight"], weights[f"{name}.bias"], stride)
        return np.maximum(out, LEAK * out)

    mean, spread = patches.mean((1, 2, 3), keepdims=True), patches.std((1, 2, 3), keepdims=True, ddof=1)
    fine = layer(layer((patches - mean) / (spread + 0.02), "fine.0", 2), "fine.1")
    middle = layer(layer(fine, "middle.0", 2), "middle.1")
    coarse = layer(layer(layer(middle, "coarse.0", 2), "coarse.1"), "coarse.2")
    joined = _enlarge(layer(middle + _enlarge(coarse), "joined.0"))
    heat = _convolve(layer(joined + fine, "heat.0"), weights["heat.1.weight"], weights["heat.1.bias"], 1)[..., 0]
    share = np.exp(heat - heat.max((1, 2), keepdims=True))
    share /= share.sum((1, 2), keepdims=True)
    rows, columns = (2 * np.arange(n) + 1 for n in heat.shape[1:])  # the middles of cells of 2 px
    return np.stack([share.sum(1) @ columns, share.sum(2) @ rows], 1)


def _convolve(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int) -> np.ndarray:
    """`x` [N, H, W, C] with `weight` [D, C, k, k] and `bias` [D], zeros around: [N, H / stride, W / stride, D]."""
    rim = weight.shape[2] // 2
    padded = np.pad(x, ((0, 0), (rim, rim), (rim, rim), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2:], (1, 2))[:, ::stride, ::stride]
    return np.tensordot(windows, weight, ((3, 4, 5), (1, 2, 3))) + bias


def _enlarge(x: np.ndarray) -> np.ndarray:
    """Twice as many rows and columns of [N, H, W, C], bilinear."""
    for axis in (1, 2):
        n = x.shape[axis]
        places = np.arange(n)
        before, after = (np.take(x, (places + step).clip(0, n - 1), axis) for step in (-1, 1))
        pair = np.stack([0.25 * before + 0.75 * x, 0.75 * x + 0.25 * after], axis + 1)
        x = pair.reshape(*x.shape[:axis], 2 * n, *x.shape[axis + 1 :])
    return x


def eye_frames(landmarks: np.ndarray) -> np.ndarray:
    """Affine maps [2, 2, 3] from pixels of the patch of each eye to those of the picture; `landmarks` [478, 3] px."""
    across = landmarks[EYES[1][0]] - landmarks[EYES[0][0]]
    step = PATCH_SHARE * np.linalg.norm(across) / PATCH[1]  # in 3D, so that turning the head does not magnify
    along = across[:2] / max(np.linalg.norm(across[:2]), 1e-9)
    down = np.array([-along[1], along[0]])
    frames = []
    for side, ids in zip((1, -1), EYES, strict=True):
        axes = step * np.stack([side * along, down], 1)
        middle = np.array(PATCH[::-1]) / 2
        frames.append(np.column_stack([axes, landmarks[list(ids), :2].mean(0) - axes @ middle]))
    return np.stack(frames)


def cut_patches(image: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Patches [n, *PATCH, 3] of a picture [H, W, 3] at `frames` [n, 2, 3]; blurred before it shrinks."""
    patches = []
    for frame in frames:
        step = float(np.linalg.norm(frame[:, 0]))
        corners = frame @ np.array([[0, PATCH[1], 0, PATCH[1]], [0, 0, PATCH[0], PATCH[0]], [1, 1, 1, 1]])
        margin = int(2 + 2 * step)
        low = np.maximum(np.floor(corners.min(1)).astype(int) - margin, 0)
        high = np.ceil(corners.max(1)).astype(int) + margin
        part = np.ascontiguousarray(
            image[low[1] : max(high[1], low[1] + 1), low[0] : max(high[0], low[0] + 1)], np.float32
        )
        if min(part.shape) == 0:
            patches.append(np.zeros((*PATCH, 3), np.float32))
            continue
        if step > 1:
            part = cv2.GaussianBlur(part, (0, 0), 0.5 * np.sqrt(step**2 - 1) + 1e-3)
        # OpenCV counts from the middle of the first pixel, we from its corner
        local = np.column_stack([frame[:, :2], frame @ [0.5, 0.5, 1] - low - 0.5])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        patches.append(cv2.warpAffine(part, local, PATCH[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE))
    return np.stack(patches)


@cache
def load_weights() -> dict[str, np.ndarray]:
    """Those of the shipped network by layer. InputError when the file is damaged or not ours."""
    header, weights = read_shipped(SHIPPED, "an iris model")
    if header.get("format") != FORMAT:
        raise InputError(f"{SHIPPED} has format {header.get('format')}, not {FORMAT}; install facecraft again")
    return {name: weight.astype(np.float32) for name, weight in weights.items()}
