"""Colours of what a photo hardly shows: eyeballs, teeth, gums, tongue and the mouth cavity."""

import numpy as np

from facecraft.head.model import HeadModel
from facecraft.mesh.atlas import Atlas

SCLERA = np.array([0.80, 0.77, 0.74])
PUPIL = np.array([0.03, 0.03, 0.03])
IRIS = np.array([0.27, 0.18, 0.12])
TOOTH = np.array([0.80, 0.76, 0.69])
GUM = np.array([0.52, 0.26, 0.26])
TONGUE = np.array([0.52, 0.25, 0.25])
CAVITY = np.array([0.12, 0.04, 0.04])
SOCKET = np.array([0.45, 0.24, 0.22])
LIPS_M, THROAT_M, DARKEST = 0.024, -0.035, 0.08  # depth of the light's way into the mouth, and what is left of it there
IRIS_ANGLE, PUPIL_ANGLE = 0.405, 0.16  # rad, from the axis of the eye: 6.0 and 2.4 mm on a ball of 15.3 mm


def paint_interior(
    head: HeadModel, atlas: Atlas, regions: np.ndarray, colours: np.ndarray, seen: np.ndarray
) -> np.ndarray:
    """`colours` [n, 3] with the unseen share of the interior regions painted; `seen` [n] in [0, 1], `regions` [n]."""
    out = colours.copy()
    names = head.region_names
    trust = np.clip(seen, 0, 1)[:, None]

    depth = atlas.interpolate(head.template.double().numpy()[:, 2:], head.faces.numpy())
    dim = np.clip((depth - THROAT_M) / (LIPS_M - THROAT_M), 0, 1) ** 2 * (1 - DARKEST) + DARKEST
    vividness = _vividness(colours[(regions == names.index("face")) & (seen > 0.5)])

    def paint(name: str, colour: np.ndarray, light=dim) -> None:
        here = regions == names.index(name)
        out[here] = (trust * colours + (1 - trust) * light * _toned(colour, vividness))[here]

    teeth = np.isin(regions, [names.index("teeth_upper"), names.index("teeth_lower")])
    tooth = _own_tone(TOOTH, colours, seen * teeth)
    for name, colour in {"teeth_upper": tooth, "teeth_lower": tooth, "gums": GUM, "tongue": TONGUE}.items():
        paint(name, colour)
    paint("mouth_socket", CAVITY)
    for side in ("L", "R"):
        paint(f"eye_socket_{side}", SOCKET, 1.0)
        here = regions == names.index(f"eyeball_{side}")
        out[here] = _paint_eye(head, atlas, here, side, colours[here], trust[here], vividness)
    return out


def _vividness(skin: np.ndarray) -> float:
    """0 for a black-and-white photo, 1 for one in colour, from the seen skin [n, 3]."""
    if len(skin) == 0:
        return 1.0
    spread = np.ptp(skin, axis=1) / np.maximum(skin.max(1), 1e-3)
    return float(np.clip(np.median(spread) / 0.15, 0, 1))


def _toned(colour: np.ndarray, vividness: float) -> np.ndarray:
    return colour.mean() + vividness * (colour - colour.mean())


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
    sclera = _toned(SCLERA, vividness) * np.clip(_brightness(colours, trust, angle), 0.6, 1.1)
    soft = 0.02
    to_iris = 1 / (1 + np.exp((angle - IRIS_ANGLE) / soft))
    to_pupil = 1 / (1 + np.exp((angle - PUPIL_ANGLE) / soft))
    painted = sclera + to_iris[:, None] * (iris - sclera)
    painted = painted + to_pupil[:, None] * (PUPIL - painted)
    return trust * colours + (1 - trust) * painted


def _brightness(colours, trust, angle) -> float:
    """How bright the white of this eye is in the photo, relative to SCLERA."""
    white = (angle > IRIS_ANGLE * 1.1) & (trust[:, 0] > 0.5)
    return float(np.percentile(colours[white].mean(1), 70) / SCLERA.mean()) if white.sum() > 30 else 0.85
