"""What lies before a face in a picture (a hand, a mask, a microphone), pixel by pixel, whatever its colour.

A small U-Net looks at the face on a grey ground, SIDE px wide, and says of each cell of 2 x 2 px how likely it is covered. Trained by
training/cover_model.py on synthetic faces with painted covers; hair, beards, glasses and shadows on them are no cover.
"""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from facecraft.errors import InputError
from facecraft.shipped import read_shipped

COVER_FILE = Path(__file__).with_name("cover.safetensors")
COVER_FORMAT = "facecraft-cover/1"
SIDE, CELL = 96, 2  # px that the network sees, and of its answer
REACH = 1.7  # of the picture that it sees, in sides of the landmarks' box
GROUND = 0.5
WIDTHS = (16, 32, 48, 64)  # channels at 1/2, 1/4, 1/8 and 1/16 of the picture


class CoverNetwork(nn.Module):
    """Pictures [B, 3, SIDE, SIDE] to the log odds of covers [B, SIDE / CELL, SIDE / CELL]."""

    def __init__(self):
        super().__init__()
        self.enter = _convolve(3, WIDTHS[0], 2)
        self.first = _convolve(WIDTHS[0], WIDTHS[0])
        self.down = nn.ModuleList(
            nn.Sequential(_convolve(a, b, 2), _convolve(b, b)) for a, b in zip(WIDTHS, WIDTHS[1:], strict=False)
        )
        self.up = nn.ModuleList(_convolve(a + b, b) for a, b in zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True))
        self.leave = nn.Conv2d(WIDTHS[0], 1, 1)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        levels = [self.first(self.enter(2 * pictures - 1))]
        for down in self.down:
            levels.append(down(levels[-1]))
        x = levels.pop()
        for up in self.up:
            x = up(torch.cat([nn.functional.interpolate(x, scale_factor=2.0, mode="nearest"), levels.pop()], 1))
        return self.leave(x)[:, 0]


def _convolve(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU())


@cache
def load_network(path: Path = COVER_FILE) -> CoverNetwork:
    """The trained network. InputError when the file is damaged."""
    network = CoverNetwork()
    header, weights = read_shipped(path, "a cover model", "pt")
    if header.get("format") != COVER_FORMAT:
        raise InputError(f"{path} is no {COVER_FORMAT}; install facecraft again")
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(f"{path} cannot be read as a cover model ({error}); install facecraft again") from error
    return network.eval().requires_grad_(False)


def frame_face(landmarks: np.ndarray) -> np.ndarray:
    """Affine map [2, 3] from pixels of a picture with `landmarks` [n, 2+] px to those that the network sees."""
    low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
    scale = SIDE / (REACH * (high - low).max())
    return np.column_stack([scale * np.eye(2), SIDE / 2 - scale * (low + high) / 2])


def find_covered(image: np.ndarray, alpha: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """How likely each pixel [H, W] of a picture [H, W, 3] is something before the face; 0 where `alpha` [H, W] is 0 or the
    network does not look."""
    T = frame_face(landmarks)
    ground = (alpha[..., None] * image + (1 - alpha[..., None]) * GROUND).astype(np.float32)
    if T[0, 0] < 1:
        ground = cv2.GaussianBlur(ground, (0, 0), 0.4 / T[0, 0])
    shift = (T[0, 0] - 1) / 2  # cv2 counts from the middle of the first pixel
    T = T + [[0, 0, shift], [0, 0, shift]]
    seen = cv2.warpAffine(ground, T, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderValue=(GROUND,) * 3)
    with torch.no_grad():
        odds = load_network()(torch.from_numpy(seen).permute(2, 0, 1)[None])[0].numpy()
    likely = cv2.resize(1 / (1 + np.exp(-odds)), (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    h, w = alpha.shape
    return alpha * cv2.warpAffine(likely, T, (w, h), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
