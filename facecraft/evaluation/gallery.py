"""Small pictures for the report: ours, the truth, and where they differ."""

import base64
import io
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from facecraft.evaluation.pairs import Pair
from facecraft.image import to_bytes

MOST = 60
"""Pictures in one report; of more, evenly chosen ones."""
SIDE_PX = 256
ERROR_WHITE = 0.25
"""Mean absolute difference of the channels at which the error map is brightest."""
_JPEG_QUALITY = 88


@dataclass(frozen=True)
class Exhibit:
    """One pair as JPEG data URIs; `error` is None where no pixel compares."""

    name: str
    group: str
    predicted: str
    truth: str
    error: str | None


def make_exhibit(pair: Pair) -> Exhibit:
    """The pair at SIDE_PX with its error map, which is black outside of the mask."""
    error = None
    if pair.compares == "pixels":
        difference = np.abs(pair.predicted.rgb - pair.truth.rgb).mean(2) / ERROR_WHITE
        if pair.mask is not None:
            difference = difference * pair.mask
        error = data_uri(cv2.applyColorMap(to_bytes(difference), cv2.COLORMAP_INFERNO)[..., ::-1] / 255)
    return Exhibit(pair.name, pair.group, data_uri(pair.predicted.rgb), data_uri(pair.truth.rgb), error)


def data_uri(rgb: np.ndarray) -> str:
    """A picture [H, W, 3] in [0, 1] as the JPEG data URI of its longer side at most SIDE_PX."""
    image = Image.fromarray(to_bytes(rgb))
    image.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=_JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
