"""What a pixel shows: the classes of the label pictures, near those of CelebAMask-HQ (Lee et al. 2020)."""

from functools import cache

import numpy as np

from facecraft.synth import chart
from facecraft.synth.sites import surface_sites

LABELS = (
    *("background", "skin", "nose", "ear", "neck", "brow", "eye", "iris", "upper_lip", "lower_lip", "mouth", "teeth"),
    *("hair", "beard", "glasses", "hat", "earring", "cloth"),
)
"""Names by number. `skin` is the face, `eye` the white of the eye, `mouth` gums, tongue and the cavity."""


@cache
def surface_labels(size: int) -> np.ndarray:
    """Class [n] of each of surface_sites(size); irises and clothes depend on the person and are added later."""
    sites = surface_sites(size)
    x, y, z = sites.rest.T
    labels = np.full(len(sites), LABELS.index("skin"))
    jaw = np.interp(np.abs(x), [0, 0.03, 0.055, 0.07], [-0.116, -0.110, -0.090, -0.055])
    neck = (y < jaw) | (z < -0.07) & (y < -0.05)
    lips = chart.lip_depth(sites.rest) > 0
    side = 0.0095 + 0.011 * np.clip((-y - 0.005) / 0.04, 0, 1)
    nose = (np.abs(x) < side) & (y < -0.002) & (y > -0.0525) & (z > 0.012)
    for name, here in (
        ("nose", nose),
        ("neck", neck),
        ("ear", chart.on_ear(sites.rest) & (np.abs(x) > 0.0715)),
        ("upper_lip", lips & (y > -0.0725)),
        ("lower_lip", lips & (y <= -0.0725)),
        ("cloth", sites.within("bust")),
        ("eye", sites.within("eyeball_L", "eyeball_R")),
        ("mouth", sites.within("mouth_socket", "gums", "tongue")),
        ("teeth", sites.within("teeth_upper", "teeth_lower")),
    ):
        labels[here] = LABELS.index(name)
    return labels
