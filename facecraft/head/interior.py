"""Colours of what a photo hardly shows: eyeballs, teeth, gums, tongue and the mouth cavity."""

import numpy as np

from facecraft.head.model import HeadModel
from facecraft.mesh.atlas import Atlas
from facecraft.mesh.light import LUMINANCE

SCLERA = np.array([0.80, 0.77, 0.74])
PUPIL = np.array([0.03, 0.03, 0.03])
IRIS = np.array([0.27, 0.18, 0.12])
TOOTH = np.array([0.80, 0.76, 0.69])
GUM = np.array([0.52, 0.26, 0.26])
TONGUE = np.array([0.55, 0.29, 0.29])
CAVITY = np.array([0.12, 0.04, 0.04])
SOCKET = np.array([0.45, 0.24, 0.22])
LIPS_M, THROAT_M, DARKEST = 0.024, -0.035, 0.08  # depth of the light's way into the mouth, and what is left of it there
TIP_M, ROOT_M = 0.012, -0.052  # likewise along the tongue, which fills an open mouth and faces its light
GROOVE_M, GROOVE = 1.5e-3, 0.2  # half the width of the line along the middle of the tongue, and how dark it is
REDDER = 0.3  # power by which green and blue fall faster: what light reaches the depth comes off red walls
IRIS_ANGLE, PUPIL_ANGLE = 0.405, 0.16  # rad, from the axis of the eye: 6.0 and 2.4 mm on a ball of 15.3 mm


def paint_interior(
    head: HeadModel, atlas: Atlas, regions: np.ndarray, colours: np.ndarray, seen: np.ndarray
) -> np.ndarray:
    """`colours` [n, 3] with the unseen share of the interior regions painted; `seen` [n] in [0, 1], `regions` [n]."""
    out = colours.copy()
    names = head.region_names
    trust = np.clip(seen, 0, 1)[:, None]

    places = atlas.interpolate(head.template.double().numpy(), head.faces.numpy())
    skin = colours[(regions == names.index("face")) & (seen > 0.5)]
    vividness = _vividness(skin)
    powers = 1 + REDDER * vividness * np.array([0, 1, 1])
    dim = _fade(places[:, 2:], LIPS_M, THROAT_M) ** 2 * (1 - DARKEST) + DARKEST
    along = _fade(places[:, 2:], TIP_M, ROOT_M) * (1 - DARKEST) + DARKEST
    along = along * (1 - GROOVE * np.exp(-((places[:, :1] / GROOVE_M) ** 2)))

    def paint(name: str, colour: np.ndarray, light: np.ndarray) -> None:
        here = regions == names.index(name)
        out[here] = (trust * colours + (1 - trust) * light**powers * _toned(colour, vividness))[here]

    teeth = np.isin(regions, [names.index("teeth_upper"), names.index("teeth_lower")])
    tooth = _own_tone(TOOTH, colours, seen * teeth)
    for name, colour in {"teeth_upper": tooth, "teeth_lower": tooth, "gums": GUM, "mouth_socket": CAVITY}.items():
        paint(name, colour, dim)
    paint("tongue", _no_brighter(TONGUE, skin), along)
    for side in ("L", "R"):
        paint(f"eye_socket_{side}", SOCKET, np.ones_like(dim))
        here = regions == names.index(f"eyeball_{side}")
        out[here] = _paint_eye(head, atlas, here, side, colours[here], trust[here], vividness)
    return out


def _fade(depth: np.ndarray, near: float, far: float) -> np.ndarray:
    """From 1 at `near` to 0 at `far`, m."""
    return np.clip((depth - far) / (near - far), 0, 1)


def _vividness(skin: np.ndarray) -> float:
    """0 for a black-and-white photo, 1 for one in colour, from the seen skin [n, 3]."""
    if len(skin) == 0:
        return 1.0
    spread = np.ptp(skin, axis=1) / np.maximum(skin.max(1), 1e-3)
    return float(np.clip(np.median(spread) / 0.15, 0, 1))


def _no_brighter(colour: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """A colour at most as bright as the seen skin [n, 3]: in a dark photo a tongue would glow."""
    if len(skin) == 0:
        return colour
    return colour * min(1, np.median(skin @ LUMINANCE) / (colour @ LUMINANCE))


def _toned(colour: np.ndarray, vividness: float) -> np.ndarray:
    """A colour as grey as the photo: old film hardly saw red."""
    return colour.min() + vividness * (colour - colour.min())


def _own_tone(default: np.ndarray, colours: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The bright half of what is seen of this kind, or the default when too little is."""
    chosen = colours[weight > 0.5]
    if len(chosen) < 50:
        return default
    bright = chosen[chosen.sum(1) >= np.median(chosen.sum(1))]
    return 0.5 * default + 0.5 * bright.mean(0)


def _paint_eye(head: HeadModel, atlas: Atlas, here: np.ndarray, side: str, colours, trust, vividness) -> np.ndarray:
    centre = head.joints.numpy()[head.joint_names.index(f"eye_{side}")]
    axis = head.eye_axes.numpy()["LR".index(side)]
    rest = head.template.double().numpy()
    arms = atlas.interpolate(rest, head.faces.numpy())[here] - centre
    angle = np.arccos(np.clip(arms @ axis / np.linalg.norm(arms, axis=1), -1, 1))
    iris_seen = (angle < IRIS_ANGLE * 0.9) & (angle > PUPIL_ANGLE * 1.2) & (trust[:, 0] > 0.5)
    iris = np.median(colours[iris_seen], 0) if iris_seen.sum() > 30 else _toned(IRIS, vividness)
    sclera = _own_white(_toned(SCLERA, vividness), colours[(angle > IRIS_ANGLE * 1.1) & (trust[:, 0] > 0.5)])
    soft = 0.02
    to_iris = 1 / (1 + np.exp((angle - IRIS_ANGLE) / soft))
    to_pupil = 1 / (1 + np.exp((angle - PUPIL_ANGLE) / soft))
    painted = sclera + to_iris[:, None] * (iris - sclera)
    painted = painted + to_pupil[:, None] * (PUPIL - painted)
    return trust * colours + (1 - trust) * painted


def _own_white(default: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The white of an eye [3]: as bright as most of what is seen of it [n, 3], and half of that hue; darker without any."""
    if len(seen) <= 30:
        return 0.85 * default
    own = np.percentile(seen, 60, axis=0).clip(1e-3)
    brightness = np.clip(own.mean() / default.mean(), 0.4, 1.1)
    return brightness * default.mean() * (default / default.mean() + own / own.mean()) / 2
