"""A subject in front of a camera: figure, poses and light, all drawn from the subject's own random numbers."""

from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
import torch

from facecraft.head.model import load_head
from facecraft.synth import identity
from facecraft.synth.figure import Figure
from facecraft.synth.lamps import sample_light
from facecraft.synth.light import Light
from facecraft.synth.picture import LitFigure, Pose, light_figure
from facecraft.synth.subject import Subject, make_figure
from facecraft.synth.traits import Traits, sample_traits
from facecraft.synth.viewpoint import HEAD_M, ring_camera

TYPICAL_SHARE = 0.65  # of the height of a picture that is head
DETAIL = ((256, 224, 5000), (512, 320, 9000), (1024, 384, 13000))
"""Pictures up to this many px: side of the atlas, strands of hair."""


@dataclass(frozen=True)
class Scene:
    """One subject, ready to be posed and lit; `size` is the side of the largest picture in px."""

    subject: Subject
    size: int

    @cached_property
    def traits(self) -> Traits:
        return sample_traits(self.subject.stream)

    @cached_property
    def figure(self) -> Figure:
        atlas, strands = next((detail[1:] for detail in DETAIL if self.size <= detail[0]), DETAIL[-1][1:])
        pixel_m = HEAD_M / (TYPICAL_SHARE * self.size)
        return make_figure(self.subject, self.traits, atlas, strands, ring_camera(self.size, 0, 0), pixel_m)

    def light(self, number: int = 0) -> tuple[str, Light]:
        """The `number`-th light of this subject and its kind."""
        return sample_light(self.subject.stream("light", number))

    def pose(self, number: int = 0) -> tuple[Pose, dict[str, float]]:
        """The `number`-th pose of this subject and its channels by name."""
        rng = self.subject.stream("pose", number)
        channels = identity.sample_expression(rng)
        return make_pose(channels, identity.sample_gaze(rng), identity.sample_neck(rng)), channels

    def lit(self, pose: Pose, light: Light, number: int = 0) -> LitFigure:
        """The figure in a pose under a light, exposed as the `number`-th picture is."""
        brightness = float(np.exp(self.subject.stream("exposure", number).normal(-0.05, 0.18)))
        return light_figure(self.figure, pose, light, brightness)

    def describe(self) -> dict:
        """The traits as plain numbers and words."""
        return plain(
            {"seed": self.subject.seed, "split": self.subject.split, "index": self.subject.index} | asdict(self.traits)
        )


def make_pose(channels: dict[str, float], gaze=None, neck=None) -> Pose:
    """A pose from channels by name, gaze [2, 2] and neck [3] in rad."""
    head = load_head()
    gaze = np.zeros((2, 2)) if gaze is None else gaze
    neck = np.zeros(3) if neck is None else neck
    return Pose(head.expression_vector(channels)[0], torch.as_tensor(gaze).float(), torch.as_tensor(neck).float())


def plain(value):
    """Nested dictionaries with arrays as what JSON can hold."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, (np.ndarray, torch.Tensor)):
        return [plain(part) for part in value.tolist()] if value.ndim else plain(value.item())
    return round(value, 6) if isinstance(value, float) else value
