"""The square of a face that LivePortrait sees, cut out of a picture and put back; and how open eyes and lips are.

Sizes are those of LivePortrait's code, which measures them on a detector of its own that is not free; here on MediaPipe's
landmarks from the brows down, where that detector has points.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from facecraft.face.landmarks import LEFT_EYE, LOWER_LIP, RIGHT_EYE, UPPER_LIP

JAW = (127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454, 356)
BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
MOUTH_CORNERS = (61, 291)
LIDS = ((159, 145), (386, 374))
"""Middle of the upper and the lower lid, right and left."""
SOURCE, DRIVER = (2.3, 0.125), (2.2, 0.1)
"""Side of the square in sides of the face, and how far it is above its middle in sides of the square."""
PICTURE_PX = 512
SOFT = 0.15
"""Over this part of its side a picture that is put back fades in."""


@dataclass(frozen=True)
class Square:
    """A square in a picture: middle [2] px, side px, and the direction [2] of its rows."""

    middle: np.ndarray
    side: float
    right: np.ndarray

    def to_crop(self, size: int) -> np.ndarray:
        """Affine map [2, 3] from pixels of the picture to those of its crop of `size` px, centres at .5."""
        axes = np.stack([self.right, [-self.right[1], self.right[0]]]) * (size / self.side)
        return np.concatenate([axes, (size / 2 - axes @ self.middle)[:, None]], 1)

    def cut(self, rgb: np.ndarray) -> np.ndarray:
        """The square of a picture [H, W, 3] as [512, 512, 3]; beyond its edge the picture goes on."""
        return _warp(np.float32(rgb), self.to_crop(PICTURE_PX), (PICTURE_PX, PICTURE_PX), cv2.BORDER_REPLICATE)

    def put_back(self, crop: np.ndarray, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A picture [S, S, 3] of the square where it is in [H, W, 3], and how much of it is to be seen there [H, W]."""
        size = int(np.clip(np.ceil(self.side), 1, len(crop)))  # smaller first, so that it does not alias
        crop = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)
        back, shape = cv2.invertAffineTransform(self.to_crop(size)), rgb.shape[1::-1]
        placed = _warp(np.float32(crop), back, shape, cv2.BORDER_REPLICATE)
        return placed, _warp(soft_mask(size), back, shape, cv2.BORDER_CONSTANT)


def _warp(pixels: np.ndarray, affine: np.ndarray, size: tuple[int, int], border: int) -> np.ndarray:
    """OpenCV has the centres of pixels at whole numbers."""
    shifted = affine.copy()
    shifted[:, 2] += affine[:, :2] @ [0.5, 0.5] - 0.5
    return cv2.warpAffine(pixels, shifted, size, flags=cv2.INTER_LINEAR, borderMode=border)


def soft_mask(size: int) -> np.ndarray:
    """1 in the middle, 0 at the edge [S, S]."""
    place = (np.arange(size) + 0.5) / size
    ramp = np.clip(np.minimum(place, 1 - place) / SOFT - 1 / (SOFT * size), 0, 1)
    ramp = ramp * ramp * (3 - 2 * ramp)
    return np.outer(ramp, ramp).astype(np.float32)


def face_square(
    landmarks: np.ndarray,  # [478, 2+] px
    scale: float,
    rise: float,
    upright: bool = False,
) -> Square:
    """The square around a face, turned with it unless `upright`."""
    points = landmarks[:, :2]
    down = points[list(MOUTH_CORNERS)].mean(0) - points[[*RIGHT_EYE, *LEFT_EYE]].mean(0)
    length = np.linalg.norm(down)
    down = np.array([0.0, 1.0]) if upright or length < 1e-3 else down / length
    right = np.array([down[1], -down[0]])
    axes = np.stack([right, down])
    along = points[[*JAW, *BROWS]] @ axes.T
    low, high = along.min(0), along.max(0)
    side = scale * max(float((high - low).max()), 1.0)
    return Square((low + high) / 2 @ axes - rise * side * down, side, right)


def measure_openness(
    landmarks: np.ndarray,  # [..., 478, 2+], of a face that looks straight ahead
) -> np.ndarray:
    """Height over width of the right eye, the left eye and the gap between the lips [..., 3]."""

    def distance(pair: tuple[int, int]) -> np.ndarray:
        return np.linalg.norm(landmarks[..., pair[0], :2] - landmarks[..., pair[1], :2], axis=-1)

    heights = (*LIDS, (UPPER_LIP, LOWER_LIP))
    widths = (RIGHT_EYE, LEFT_EYE, MOUTH_CORNERS)
    ratios = [distance(h) / np.maximum(distance(w), 1e-6) for h, w in zip(heights, widths, strict=True)]
    return np.stack(ratios, -1)
