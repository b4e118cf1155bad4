"""The networks of LivePortrait together: a face of a picture read, and drawn again with its keypoints elsewhere."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from facecraft.errors import InputError
from facecraft.prior.liveportrait.appearance import AppearanceExtractor, make_appearance
from facecraft.prior.liveportrait.generator import SpadeGenerator, make_generator
from facecraft.prior.liveportrait.motion import FaceMotion, MotionExtractor, make_motion
from facecraft.prior.liveportrait.stitching import PointNetwork, make_point_network, retarget, stitch
from facecraft.prior.liveportrait.warping import WarpingModule, make_warping
from facecraft.prior.liveportrait.weights import (
    NETWORKS,
    PARTS,
    POINT_NETWORKS,
    State,
    fill_network,
    find_weights,
    read_states,
)

POINTS = 21
EYES, LIPS = (11, 13, 15, 16, 18), (6, 12, 14, 17, 19, 20)
"""Keypoints that open and shut eyes and lips, as LivePortrait's code has them for animating only these."""
INPUT_PX = 256


@dataclass(frozen=True)
class SourceFace:
    """A face that is to be animated: features [1, C, D, H, W], motion, and how open right eye, left eye and lips are [3]."""

    features: Tensor
    motion: FaceMotion
    openness: np.ndarray


@dataclass(frozen=True)
class LivePortrait:
    """The networks, on one device."""

    appearance: AppearanceExtractor
    motion: MotionExtractor
    warping: WarpingModule
    generator: SpadeGenerator
    stitching: PointNetwork
    eyes: PointNetwork
    lips: PointNetwork
    device: torch.device

    @torch.inference_mode()
    def read_motion(self, crop: np.ndarray) -> FaceMotion:
        """The motion of the face in a square picture [S, S, 3]; B is 1."""
        return self.motion.read(self._planes(crop))

    @torch.inference_mode()
    def read_source(self, crop: np.ndarray, openness: np.ndarray) -> SourceFace:
        """The face in a square picture [S, S, 3] for `draw`; `openness` [3] is LivePortrait's, from landmarks."""
        planes = self._planes(crop)
        return SourceFace(self.appearance(planes), self.motion.read(planes), openness)

    @torch.inference_mode()
    def place_points(
        self,
        source: SourceFace,
        change: Tensor,  # [K, 3] of the driver's expression since it was at rest
        openness: np.ndarray,  # [3] of the driver's right eye, left eye and lips
        retargeted: tuple[str, ...],  # of "eyes" and "lips": open them as far as the driver's
    ) -> Tensor:
        """Keypoints [1, K, 3] of the face with its own pose and its expression changed: LivePortrait, section 3.4,
        for a driver whose R, s and t stay. Eyes and lips that are retargeted are moved by their network alone."""
        at_rest, change = source.motion.keypoints(), change.to(self.device).clone()
        for name, points in (("eyes", EYES), ("lips", LIPS)):
            if name in retargeted:
                change[list(points)] = 0
        driven = at_rest + source.motion.scale[:, None] * change
        wanted = {
            "eyes": (self.eyes, [*source.openness[:2], openness[:2].mean()]),
            "lips": (self.lips, [source.openness[2], openness[2]]),
        }
        for name in retargeted:
            network, ratios = wanted[name]
            driven = driven + retarget(network, at_rest, at_rest.new_tensor(np.array(ratios))[None])
        return stitch(self.stitching, at_rest, driven)

    @torch.inference_mode()
    def draw(self, source: SourceFace, driven: Tensor) -> np.ndarray:
        """The picture [512, 512, 3] of a face whose keypoints have moved to `driven` [1, K, 3]."""
        warped, _, _ = self.warping(source.features, source.motion.keypoints(), driven)
        return self.generator(warped)[0].permute(1, 2, 0).cpu().numpy()

    def _planes(self, crop: np.ndarray) -> Tensor:
        small = cv2.resize(np.float32(crop), (INPUT_PX, INPUT_PX), interpolation=cv2.INTER_AREA)
        return torch.from_numpy(small).permute(2, 0, 1)[None].to(self.device)


def load_liveportrait(folder: Path, device: torch.device) -> LivePortrait:
    """The networks from a folder as LivePortrait's publishers or converters lay it out.

    DependencyError when files are missing; InputError names a file or tensor that is wrong, or files that do not belong
    together.
    """
    files = find_weights(folder)
    makers = (make_appearance, make_motion, make_warping, make_generator)
    states = [_only(files[name]) for name in NETWORKS]
    parts = read_states(files[POINT_NETWORKS])
    for part in PARTS:
        if part not in parts:
            raise InputError(f"{files[POINT_NETWORKS]} has no {part}; give weights of LivePortrait")
    networks = [fill_network(make, state) for make, state in zip(makers, states, strict=True)]
    networks += [fill_network(make_point_network, parts[part]) for part in PARTS]
    portrait = LivePortrait(*(network.to(device) for network in networks), device)
    _check_sizes(folder, portrait)
    return portrait


def _only(path: Path) -> State:
    """The state of a file that has one network."""
    states = read_states(path)
    if set(states) != {""}:
        raise InputError(f"{path} holds {', '.join(filter(None, states)) or 'nothing'}; give weights of LivePortrait")
    return states[""]


def _check_sizes(folder: Path, portrait: LivePortrait) -> None:
    """InputError when what one network gives is not what another takes."""
    dense, hidden = portrait.warping.dense_motion_network, portrait.warping.fourth.out_channels
    volume = (portrait.appearance.channels, portrait.appearance.depth)
    flat = 3 * POINTS
    pairs = {
        "keypoints": (portrait.motion.detector.fc_kp.out_features, flat),
        "ways of the keypoints": (3 * (dense.mask.out_channels - 1), flat),
        "features": ((dense.compress.in_channels, dense.occlusion.in_channels // dense.mask.in_channels), volume),
        "warped features": (portrait.generator.fc.in_channels, hidden),
        "inputs of stitching": (portrait.stitching.inputs, 2 * flat),
        "outputs of stitching": (portrait.stitching.outputs, flat + 2),
        "inputs of retargeting": ((portrait.eyes.inputs, portrait.lips.inputs), (flat + 3, flat + 2)),
        "outputs of retargeting": ((portrait.eyes.outputs, portrait.lips.outputs), (flat, flat)),
    }
    for name, (found, wanted) in pairs.items():
        if found != wanted:
            raise InputError(f"{folder} has {found} {name}, not {wanted}; its files do not belong together")
