"""The measures by name, and the meter that takes them; what cannot be taken here is told, never replaced."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from facecraft.errors import DependencyError, InputError
from facecraft.evaluation.pairs import Pair, Shown
from facecraft.face.identity import Embedder, cosine, load_embedder
from facecraft.metrics import pixels
from facecraft.metrics.faces import LANDMARK_NET, keypoint_distance


@dataclass(frozen=True)
class Measure:
    """How a measure is called and read. `better` is +1 when more is better, -1 when less is, 0 when neither."""

    label: str
    unit: str
    better: int
    decimals: int


MEASURES = {
    "l1": Measure("L1", "", -1, 4),
    "mse": Measure("MSE", "", -1, 5),
    "psnr": Measure("PSNR", "dB", 1, 2),
    "ssim": Measure("SSIM", "", 1, 4),
    "ms_ssim": Measure("MS-SSIM", "", 1, 4),
    "id": Measure("ID cosine", "", 1, 3),
    "id_distance": Measure("ID distance", "", -1, 3),
    "akd_px": Measure("AKD", "px", -1, 2),
    "akd": Measure("AKD", "% of face", -1, 2),
    "iou": Measure("outline IoU", "", 1, 4),
    "vertex_mm": Measure("face vertices", "mm", -1, 2),
    "motion_mm": Measure("face motion", "mm", -1, 2),
}
"""Measures of one pair, by the name that files give them."""

ASKED = {
    **{"l1": ("l1",), "mse": ("mse",), "psnr": ("psnr",), "ssim": ("ssim",), "ms-ssim": ("ms_ssim",)},
    **{"id": ("id", "id_distance"), "akd": ("akd_px", "akd")},
}
"""What --metrics asks for -> the measures that it gives."""

UNPAIRED = ("id", "id_distance")
"""Measures that compare persons, not pixels."""


def parse_metrics(text: str, default: tuple[str, ...]) -> tuple[str, ...]:
    """The names in a list such as "psnr,id"; `default` when it is empty. InputError for an unknown name."""
    names = tuple(dict.fromkeys(filter(None, (part.strip().lower() for part in text.split(",")))))
    for name in names:
        if name not in ASKED:
            raise InputError(f"metric {name!r} is not known; use {', '.join(ASKED)}")
    return names or default


class Meter:
    """Takes the measures of pairs. `missing` tells what cannot be had here and how to get it, `nets` what was used."""

    def __init__(self, names: tuple[str, ...], embedder: str = "dlib"):
        self.names, self.missing, self.nets = names, {}, {}
        self.embedder: Embedder | None = self._open("id", lambda: load_embedder(embedder))
        if "ms-ssim" in names:
            self._open("ms-ssim", pixels.check_ms_ssim)
        if self.embedder:
            self.nets["id"] = self.embedder.name
        if "akd" in names:
            self.nets["akd"] = LANDMARK_NET
        self._seen: dict[int, tuple[Shown, np.ndarray | None]] = {}

    def _open(self, name: str, load: Callable):
        if name not in self.names:
            return None
        try:
            return load()
        except DependencyError as error:
            self.missing[name] = str(error)
            return None

    def takes(self, name: str) -> bool:
        """Whether a measure was asked for and can be taken."""
        return name in self.names and name not in self.missing

    def measure(self, pair: Pair) -> dict[str, float]:
        """The measures of one pair by name; nan where a face is needed and none is found."""
        figures = dict(pair.figures)
        if pair.paired:
            figures |= self._compare_pixels(pair)
            if self.takes("akd"):
                figures["akd_px"], figures["akd"] = self._compare_landmarks(pair)
        if self.takes("id"):
            figures["id"], figures["id_distance"] = self._compare_persons(pair)
        return figures

    def _compare_pixels(self, pair: Pair) -> dict[str, float]:
        rgb, truth, mask = pair.predicted.rgb, pair.truth.rgb, pair.mask
        simple = {"l1": pixels.l1, "mse": pixels.mse, "psnr": pixels.psnr, "ssim": pixels.ssim}
        figures = {name: measure(rgb, truth, mask) for name, measure in simple.items() if self.takes(name)}
        if self.takes("ms-ssim"):
            small = min(truth.shape[:2]) < pixels.SMALLEST_MS_SSIM_PX
            figures["ms_ssim"] = math.nan if small else pixels.ms_ssim(*pair.blanked)
        if pair.predicted.inside is not None and pair.truth.inside is not None:
            figures["iou"] = _outline_iou(pair)
        return figures

    def _compare_landmarks(self, pair: Pair) -> tuple[float, float]:
        faces = pair.predicted.face, pair.truth.face
        return (math.nan, math.nan) if None in faces else keypoint_distance(*(face.landmarks for face in faces))

    def _compare_persons(self, pair: Pair) -> tuple[float, float]:
        ours, theirs = self.embed(pair.predicted), self.embed(pair.truth)
        if ours is None or theirs is None:
            return math.nan, math.nan
        return cosine(ours, theirs), float(np.linalg.norm(ours - theirs))

    def embed(self, shown: Shown) -> np.ndarray | None:
        """The embedding [D] of the largest face, or None; that of the last few pictures is kept, for references."""
        if id(shown) not in self._seen:
            if len(self._seen) > 8:
                self._seen.pop(next(iter(self._seen)))
            vector = None if shown.face is None else self.embedder.embed(shown.rgb, shown.face.landmarks)
            self._seen[id(shown)] = (shown, vector)  # the picture is kept too: an id is only its own while it lives
        return self._seen[id(shown)][1]


def _outline_iou(pair: Pair) -> float:
    """Intersection over union of what is not transparent."""
    counted = True if pair.ignored is None else ~pair.ignored
    ours, truth = pair.predicted.inside & counted, pair.truth.inside & counted
    return float((ours & truth).sum() / max((ours | truth).sum(), 1))
