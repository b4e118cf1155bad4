"""A small convolutional network that finds points in patches of a picture: for each a heat map whose mean is the answer.

Integral regression (Sun et al., "Integral Human Pose Regression", ECCV 2018, eq. 3). Trained by `training/heat_net.py`, and
small enough for numpy: preprocess does without torch.
"""

from pathlib import Path

import cv2
import numpy as np

from facecraft.errors import InputError
from facecraft.shipped import read_shipped

LEAK = 0.1  # slope of the rectifier below 0


def find_in_picture(
    image: np.ndarray,  # [H, W, 3] in [0, 1], or in 0 to 255 when it is uint8
    frames: np.ndarray,  # [N, 2, 3] from pixels of patches to those of the picture
    size: tuple[int, int],  # rows and columns of a patch
    weights: dict[str, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """What find_points finds in the patches of a picture."""
    whole = 255 if image.dtype == np.uint8 else 1
    return find_points(cut_patches(image, frames, size) / whole, weights)


def find_points(patches: np.ndarray, weights: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The P points [N, P, 2], px of the patch, in patches [N, H, W, 3] in [0, 1], and how far [N, P, 2] the heat of each
    spreads, px; sides are multiples of 8."""

    def layer(x, name, stride=1):
        out = _convolve(x, weights[f"{name}.weight"], weights[f"{name}.bias"], stride)
        return np.maximum(out, LEAK * out)

    mean, spread = patches.mean((1, 2, 3), keepdims=True), patches.std((1, 2, 3), keepdims=True, ddof=1)
    fine = layer(layer((patches - mean) / (spread + 0.02), "fine.0", 2), "fine.1")
    middle = layer(layer(fine, "middle.0", 2), "middle.1")
    coarse = layer(layer(layer(middle, "coarse.0", 2), "coarse.1"), "coarse.2")
    joined = _enlarge(layer(middle + _enlarge(coarse), "joined.0"))
    heat = _convolve(layer(joined + fine, "heat.0"), weights["heat.1.weight"], weights["heat.1.bias"], 1)
    heat = np.moveaxis(heat, 3, 1)
    share = np.exp(heat - heat.max((2, 3), keepdims=True))
    share /= share.sum((2, 3), keepdims=True)
    rows, columns = (2 * np.arange(n) + 1 for n in heat.shape[2:])  # the middles of cells of 2 px
    along, down = share.sum(2), share.sum(3)
    points = np.stack([along @ columns, down @ rows], 2)
    squares = np.stack([along @ columns**2, down @ rows**2], 2) - points**2
    return points, np.sqrt(squares.clip(0))


def _convolve(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int) -> np.ndarray:
    """`x` [N, H, W, C] with `weight` [D, C, k, k] and `bias` [D], zeros around: [N, H / stride, W / stride, D]."""
    (count, height, width, _), side = x.shape, weight.shape[2]
    padded = np.pad(x, ((0, 0), (side // 2,) * 2, (side // 2,) * 2, (0, 0)))
    windows = [padded[:, i : i + height : stride, j : j + width : stride] for i in range(side) for j in range(side)]
    columns = np.concatenate(windows, 3).reshape(-1, weight[0].size)  # copied in runs, as no tensordot over windows is
    out = columns @ weight.transpose(2, 3, 1, 0).reshape(-1, len(weight)) + bias
    return out.reshape(count, height // stride, width // stride, -1)


def _enlarge(x: np.ndarray) -> np.ndarray:
    """Twice as many rows and columns of [N, H, W, C], bilinear."""
    for axis in (1, 2):
        n = x.shape[axis]
        places = np.arange(n)
        before, after = (np.take(x, (places + step).clip(0, n - 1), axis) for step in (-1, 1))
        pair = np.stack([0.25 * before + 0.75 * x, 0.75 * x + 0.25 * after], axis + 1)
        x = pair.reshape(*x.shape[:axis], 2 * n, *x.shape[axis + 1 :])
    return x


def cut_patches(image: np.ndarray, frames: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Patches [n, *size, 3] of a picture [H, W, 3] at `frames` [n, 2, 3]; blurred before it shrinks."""
    rows, columns = size
    patches = []
    for frame in frames:
        step = float(np.linalg.norm(frame[:, 0]))
        corners = frame @ np.array([[0, columns, 0, columns], [0, 0, rows, rows], [1, 1, 1, 1]])
        margin = int(2 + 2 * step)
        low = np.maximum(np.floor(corners.min(1)).astype(int) - margin, 0)
        high = np.ceil(corners.max(1)).astype(int) + margin
        part = np.ascontiguousarray(
            image[low[1] : max(high[1], low[1] + 1), low[0] : max(high[0], low[0] + 1)], np.float32
        )
        if min(part.shape) == 0:
            patches.append(np.zeros((*size, 3), np.float32))
            continue
        if step > 1:
            part = cv2.GaussianBlur(part, (0, 0), 0.5 * np.sqrt(step**2 - 1) + 1e-3)
        # OpenCV counts from the middle of the first pixel, we from its corner
        local = np.column_stack([frame[:, :2], frame @ [0.5, 0.5, 1] - low - 0.5])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        patches.append(cv2.warpAffine(part, local, size[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE))
    return np.stack(patches)


def level_frames(
    landmarks: np.ndarray,  # [478, 3] px
    eyes: tuple[tuple[int, ...], tuple[int, ...]],  # landmarks of the right and the left eye, the outer corner first
    share: float,  # of the distance between those corners is the patch wide
    size: tuple[int, int],  # rows and columns
    row: float,  # of the patch, where the mean of those landmarks is, halfway between its sides
) -> np.ndarray:
    """Affine maps [2, 2, 3] from pixels of a patch at each eye to those of the picture: level with both, the left one mirrored."""
    across = landmarks[eyes[1][0]] - landmarks[eyes[0][0]]
    step = share * np.linalg.norm(across) / size[1]  # in 3D, so that turning the head does not magnify
    along = across[:2] / max(np.linalg.norm(across[:2]), 1e-9)
    down = np.array([-along[1], along[0]])
    frames = []
    for side, ids in zip((1, -1), eyes, strict=True):
        axes = step * np.stack([side * along, down], 1)
        frames.append(np.column_stack([axes, landmarks[list(ids), :2].mean(0) - axes @ [size[1] / 2, row]]))
    return np.stack(frames)


def load_network(path: Path, form: str, kind: str) -> dict[str, np.ndarray]:
    """Weights by layer of a shipped network, a `kind`. InputError when the file is damaged or not of the format `form`."""
    header, weights = read_shipped(path, kind)
    if header.get("format") != form:
        raise InputError(f"{path} has format {header.get('format')}, not {form}; install facecraft again")
    return {name: weight.astype(np.float32) for name, weight in weights.items()}
