"""Takes the measures of pairs; what cannot be taken here is told, never replaced."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from facecraft.errors import DependencyError
from facecraft.evaluation.pairs import Pair, Shown
from facecraft.face.identity import cosine, load_embedder
from facecraft.metrics import pixels
from facecraft.metrics.faces import LANDMARK_NET, keypoint_distance


@dataclass(frozen=True)
class Tools:
    """What to measure with."""

    embedder: str = "dlib"  # or an .onnx file
    lpips: Literal["alex", "vgg"] = "alex"
    device: str = "auto"


class Meter:
    """Takes the measures called `names`, JOD by `video_metric` where it is installed.

    `missing` tells what cannot be had here and how to get it, `nets` what is used.
    """

    def __init__(self, names: tuple[str, ...], tools: Tools, video_metric: str = "cvvdp"):
        from facecraft.device import torch_device

        self.names, self.missing, self.nets = names, {}, {}
        device = torch_device(tools.device)
        self.embedder = self._open(
            "isd" if "isd" in names and "id" not in names else "id", lambda: load_embedder(tools.embedder)
        )
        self.lpips = self._open("lpips", lambda: _load_lpips(tools.lpips, device))
        self.clip = self._open("clip-i", lambda: _load_clip(device))
        self.inception = self._open("fid", lambda: _load_inception(device))
        self.video = self._open("jod", lambda: _load_video_metric(video_metric))
        self._name_nets(tools)
        self._seen: dict[tuple[str, int], tuple[Shown, object]] = {}

    def _open(self, name: str, load: Callable):
        if name not in self.names:
            return None
        try:
            return load()
        except DependencyError as error:
            self.missing[name] = str(error)
            return None

    def _name_nets(self, tools: Tools) -> None:
        from facecraft.metrics.reenactment import FIT_NET

        if self.embedder:
            self.nets["id"] = self.embedder.name
        if self.lpips:
            self.nets["lpips"] = f"version 0.1, {tools.lpips}"
        if self.clip:
            self.nets["clip-i"] = self.clip.name
        if self.video:
            self.nets["jod"] = self.video.name
        for name, net in {"akd": LANDMARK_NET, "jitter": LANDMARK_NET, "aed": FIT_NET}.items():
            if name in self.names:
                self.nets[name] = net

    def takes(self, name: str) -> bool:
        """Whether a measure was asked for and can be taken."""
        return name in self.names and name not in self.missing

    def measure(self, pair: Pair) -> dict[str, float]:
        """The measures of one pair by name; nan where a face is needed and none is found."""
        figures = dict(pair.figures)
        if pair.compares == "pixels":
            figures |= self._compare_pixels(pair)
            if self.takes("akd"):
                figures["akd_px"], figures["akd"] = self._compare_landmarks(pair)
        if pair.compares != "poses":
            if self.embedder:
                figures["id"], figures["id_distance"] = self._compare_persons(pair)
            if self.clip:
                vectors = (self._once("clip", shown, lambda s: self.clip.embed(s.rgb)) for shown in _sides(pair))
                figures["clip_i"] = cosine(*vectors)
        if pair.compares in ("pixels", "poses") and self.takes("aed"):
            figures["aed"], figures["apd"] = self._compare_poses(pair)
        return figures

    def _compare_pixels(self, pair: Pair) -> dict[str, float]:
        rgb, truth, mask = pair.predicted.rgb, pair.truth.rgb, pair.mask
        simple = {"l1": pixels.l1, "mse": pixels.mse, "psnr": pixels.psnr, "ssim": pixels.ssim}
        figures = {name: measure(rgb, truth, mask) for name, measure in simple.items() if self.takes(name)}
        if self.takes("ms-ssim"):
            small = min(truth.shape[:2]) < pixels.SMALLEST_MS_SSIM_PX
            figures["ms_ssim"] = math.nan if small else pixels.ms_ssim(*pair.blanked)
        if self.lpips:
            figures["lpips"] = self.lpips.distance(*pair.blanked)
        if pair.predicted.inside is not None and pair.truth.inside is not None:
            figures["iou"] = _outline_iou(pair)
        return figures

    def _compare_landmarks(self, pair: Pair) -> tuple[float, float]:
        faces = [shown.face for shown in _sides(pair)]
        return (math.nan, math.nan) if None in faces else keypoint_distance(*(face.landmarks for face in faces))

    def _compare_persons(self, pair: Pair) -> tuple[float, float]:
        ours, theirs = (self.embed(shown) for shown in _sides(pair))
        if ours is None or theirs is None:
            return math.nan, math.nan
        return cosine(ours, theirs), float(np.linalg.norm(ours - theirs))

    def _compare_poses(self, pair: Pair) -> tuple[float, float]:
        from facecraft.metrics.reenactment import expression_distance, fit_pose, pose_distance

        def fit(shown: Shown):
            return None if shown.face is None else fit_pose(shown.face.landmarks, *shown.rgb.shape[1::-1])

        ours, theirs = (self._once("pose", shown, fit) for shown in _sides(pair))
        if ours is None or theirs is None:
            return math.nan, math.nan
        return expression_distance(ours, theirs), pose_distance(ours, theirs)

    def embed(self, shown: Shown) -> np.ndarray | None:
        """The embedding [D] of the largest face, or None."""

        def embed(shown: Shown):
            return None if shown.face is None else self.embedder.embed(shown.rgb, shown.face.landmarks)

        return self._once("id", shown, embed)

    def _once(self, kind: str, shown: Shown, make: Callable[[Shown], object]):
        """What is made of a picture, kept for the last pictures: one reference is compared with many."""
        key = (kind, id(shown))
        if key not in self._seen:
            while len(self._seen) > 200:
                self._seen.pop(next(iter(self._seen)))
            self._seen[key] = (shown, make(shown))  # the picture is kept too: an id is only its own while it lives
        return self._seen[key][1]


def _sides(pair: Pair) -> tuple[Shown, Shown]:
    return pair.predicted, pair.truth


def _outline_iou(pair: Pair) -> float:
    """Intersection over union of what is not transparent."""
    counted = True if pair.ignored is None else ~pair.ignored
    ours, truth = pair.predicted.inside & counted, pair.truth.inside & counted
    return float((ours & truth).sum() / max((ours | truth).sum(), 1))


def _load_lpips(net, device):
    from facecraft.metrics.perceptual import load_lpips

    return load_lpips(net, device)


def _load_clip(device):
    from facecraft.metrics.clip import ClipVision

    return ClipVision(device)


def _load_inception(device):
    from facecraft.metrics.distribution import Inception

    return Inception(device)


def _load_video_metric(first):
    from facecraft.metrics.video import load_video_metric

    return load_video_metric(first)
