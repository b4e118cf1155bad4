"""Whose head it is and what it does: shape, expression, gaze and the turn of the neck."""

import numpy as np

from facecraft.drive import POSES, parse_expression
from facecraft.head.model import load_head

SPREAD = 0.85  # of the shape, in standard deviations: the outermost draws of the full distribution are caricatures


def sample_shape(rng: np.random.Generator) -> np.ndarray:
    """Identity [K] in standard deviations."""
    return SPREAD * rng.standard_normal(load_head().shape_count)


def sample_expression(rng: np.random.Generator) -> dict[str, float]:
    """ARKit channels by name: neutral, one of the known poses, or a random mixture of a few channels."""
    kind = rng.random()
    if kind < 0.3:
        return _some(rng, 2, 0.15)
    if kind < 0.65:
        name = list(POSES)[rng.integers(len(POSES))]
        strength = rng.uniform(0.4, 1.0)
        named = parse_expression(POSES[name])
        return {channel: strength * value for channel, value in named.items()} | _some(rng, 2, 0.2)
    return _some(rng, 5, 0.8)


def _some(rng: np.random.Generator, count: int, strength: float) -> dict[str, float]:
    """A few channels, both sides of the face mostly alike."""
    names = [n for n in load_head().expression_names if n != "tongueOut" and not n.startswith("eyeLook")]
    values = {}
    for name in rng.choice(names, count, replace=False):
        value = float(strength * rng.beta(1.2, 2.5))
        values[str(name)] = value
        other = name.replace("Left", "Right") if "Left" in name else name.replace("Right", "Left")
        if other != name and not name.startswith("mouthL") and not name.startswith("jaw"):
            values[str(other)] = float(np.clip(value * rng.normal(1, 0.15), 0, 1))
    return values


def sample_gaze(rng: np.random.Generator) -> np.ndarray:
    """Yaw and pitch [2, 2] of both eyes, rad: mostly ahead, sometimes far aside, a little cross-eyed up close."""
    wide = 0.28 if rng.random() < 0.25 else 0.08
    yaw, pitch = rng.normal(0, wide), rng.normal(0, 0.6 * wide)
    vergence = rng.uniform(0, 0.03)
    return np.clip(np.array([[yaw - vergence, pitch], [yaw + vergence, pitch]]), -0.5, 0.5)


def sample_neck(rng: np.random.Generator) -> np.ndarray:
    """Axis times angle [3] of the head against the shoulders, rad."""
    return np.clip(rng.normal(0, [0.10, 0.18, 0.07]), -0.5, 0.5)
