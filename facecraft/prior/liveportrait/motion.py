"""The motion extractor M: keypoints, pose and expression of a face by ConvNeXt V2 (Woo et al. 2023) with seven heads.

LivePortrait, section 3.2: keypoints x = s (x_c R + delta) + t, points as rows; x right, y down, z away. t moves in the
picture only.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facecraft.prior.liveportrait.weights import State

BINS, BIN_DEG, FIRST_DEG = 66, 3.0, -97.5
"""Angles are means over bins of 3 degrees."""
EPSILON = 1e-6
ANGLES = ("pitch", "yaw", "roll")


@dataclass(frozen=True)
class FaceMotion:
    """What M reads in B faces; K keypoints."""

    canonical: Tensor  # [B, K, 3] of the face at rest, seen from the front
    rotation: Tensor  # [B, 3, 3] R
    expression: Tensor  # [B, K, 3] delta
    scale: Tensor  # [B, 1] s
    translation: Tensor  # [B, 3] t

    def keypoints(self) -> Tensor:
        """x [B, K, 3]; the picture is [-1, 1] wide and high."""
        moved = self.translation * self.translation.new_tensor([1, 1, 0])
        return self.scale[:, None] * (self.canonical @ self.rotation + self.expression) + moved[:, None]


class MotionExtractor(nn.Module):
    """`widths` and `depths` of the four stages; `points` keypoints."""

    def __init__(self, widths: list[int], depths: list[int], points: int):
        super().__init__()
        self.detector = _ConvNeXt(widths, depths, points)

    def forward(
        self,
        rgb: Tensor,  # [B, 3, 256, 256] in [0, 1]
    ) -> dict[str, Tensor]:
        """kp and exp [B, 3 K], scale [B, 1], t [B, 3], pitch, yaw and roll [B, 66] in bins."""
        return self.detector(rgb)

    def read(self, rgb: Tensor) -> FaceMotion:
        """The motion of faces [B, 3, 256, 256]."""
        out = self(rgb)
        rotation = rotation_matrices(*(bin_angles(out[name]) for name in ANGLES))
        canonical, expression = (out[name].unflatten(1, (-1, 3)) for name in ("kp", "exp"))
        return FaceMotion(canonical, rotation, expression, out["scale"], out["t"])


def bin_angles(
    logits: Tensor,  # [B, 66]
) -> Tensor:
    """The mean angle [B], rad."""
    bins = torch.arange(BINS, device=logits.device, dtype=logits.dtype)
    return torch.deg2rad((logits.softmax(1) * bins).sum(1) * BIN_DEG + FIRST_DEG)


def rotation_matrices(pitch: Tensor, yaw: Tensor, roll: Tensor) -> Tensor:
    """R [B, 3, 3] of angles [B], rad, that turns points as rows: about x first, then y, then z."""
    zero, one = torch.zeros_like(pitch), torch.ones_like(pitch)
    (cx, sx), (cy, sy), (cz, sz) = ((angle.cos(), angle.sin()) for angle in (pitch, yaw, roll))
    about_x = [one, zero, zero, zero, cx, sx, zero, -sx, cx]
    about_y = [cy, zero, -sy, zero, one, zero, sy, zero, cy]
    about_z = [cz, sz, zero, -sz, cz, zero, zero, zero, one]
    x, y, z = (torch.stack(rows, 1).unflatten(1, (3, 3)) for rows in (about_x, about_y, about_z))
    return x @ y @ z


class _ConvNeXt(nn.Module):
    def __init__(self, widths: list[int], depths: list[int], points: int):
        super().__init__()
        stem = nn.Sequential(nn.Conv2d(3, widths[0], 4, stride=4), _ChannelNorm(widths[0]))
        self.downsample_layers = nn.ModuleList([stem])
        for inputs, outputs in zip(widths, widths[1:], strict=False):
            shrink = nn.Conv2d(inputs, outputs, 2, stride=2)
            self.downsample_layers.append(nn.Sequential(_ChannelNorm(inputs), shrink))
        pairs = zip(widths, depths, strict=True)
        self.stages = nn.ModuleList([nn.Sequential(*(_Block(width) for _ in range(depth))) for width, depth in pairs])
        self.norm = nn.LayerNorm(widths[-1], eps=EPSILON)
        for name, size in head_sizes(points).items():
            setattr(self, f"fc_{name}", nn.Linear(widths[-1], size))
        self.names = tuple(head_sizes(points))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        for shrink, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(shrink(x))
        x = self.norm(x.mean((2, 3)))
        return {name: getattr(self, f"fc_{name}")(x) for name in self.names}


def head_sizes(points: int) -> dict[str, int]:
    """Outputs of the heads by name."""
    return {"kp": 3 * points, "scale": 1, "pitch": BINS, "yaw": BINS, "roll": BINS, "t": 3, "exp": 3 * points}


class _Block(nn.Module):
    """Depthwise convolution of side 7, then two layers per pixel around the response norm, added to the input."""

    def __init__(self, width: int):
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.pwconv1, self.pwconv2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.grn = _ResponseNorm(4 * width)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        inner = self.pwconv2(self.grn(F.gelu(self.pwconv1(inner))))
        return x + inner.permute(0, 3, 1, 2)


class _ResponseNorm(nn.Module):
    """Global response normalisation (ConvNeXt V2, section 3.2) of [B, H, W, C]."""

    def __init__(self, channels: int):
        super().__init__()
        self.gamma, self.beta = (nn.Parameter(torch.zeros(1, 1, 1, channels)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        response = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)
        relative = response / (response.mean(-1, keepdim=True) + EPSILON)
        return x + self.gamma * (x * relative) + self.beta


class _ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of [B, C, H, W]."""

    def __init__(self, channels: int):
        super().__init__(channels, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def make_motion(state: State) -> MotionExtractor:
    """The extractor of the size of its weights."""
    stages = range(state.count("detector.stages.{}.0.dwconv.weight", 6))
    depths = [state.count(f"detector.stages.{i}.{{}}.dwconv.weight", 64) for i in stages]
    widths = [state.size(f"detector.stages.{i}.0.dwconv.weight") for i in stages]
    return MotionExtractor(widths, depths, state.divide("detector.fc_kp.weight", 0, 3))
