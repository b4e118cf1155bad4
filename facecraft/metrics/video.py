"""JOD: how different two videos look, in just-objectionable differences below 10, by ColorVideoVDP or FovVideoVDP."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module, metadata
from importlib.util import find_spec

import numpy as np

from facecraft.errors import DependencyError

DISPLAY = "standard_4k"
"""30 inches of 3840x2160 at 0.75 m, 200 cd/m^2: both packages call it so."""
_COMMANDS = "`pip install cvvdp`, and torchvision from the same index as torch"


@dataclass(frozen=True)
class VideoMetric:
    """`measure` takes two videos [T, H, W, 3] uint8 and frames per second; `name` goes with every result."""

    name: str
    measure: Callable[[np.ndarray, np.ndarray, float], float]


def load_video_metric(first: str = "cvvdp") -> VideoMetric:
    """ColorVideoVDP (MIT) or FovVideoVDP (CC BY-NC, as in DiffusionAvatars), the one of the package `first` if it is there.

    DependencyError when neither works here.
    """
    packages = (("cvvdp", "pycvvdp", "cvvdp"), ("pyfvvdp", "pyfvvdp", "fvvdp"))
    for package, module, factory in sorted(packages, key=lambda names: names[0] != first):
        if find_spec(module) is None:
            continue
        try:
            network = getattr(import_module(module), factory)(display_name=DISPLAY, heatmap=None)
        except (ImportError, RuntimeError) as error:  # a torchvision that does not fit torch is a RuntimeError
            reason = str(error).splitlines()[0]
            raise DependencyError(f"{package} cannot be loaded ({reason}); run {_COMMANDS}") from error

        def measure(predicted: np.ndarray, truth: np.ndarray, fps: float, network=network) -> float:
            rate = fps if len(truth) > 1 else 0
            jod, _ = network.predict(predicted, truth, dim_order="FHWC", frames_per_second=rate)
            return float(jod)

        return VideoMetric(f"{package} {metadata.version(package)}, display {DISPLAY}", measure)
    raise DependencyError(f"neither cvvdp nor pyfvvdp is installed, JOD needs one; run {_COMMANDS}")
