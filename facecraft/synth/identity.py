"""Whose head it is and what it does: shape, expression, gaze and the turn of the neck."""

import numpy as np
import torch

from facecraft.drive import POSES, parse_expression
from facecraft.head.model import load_head

SPREAD = 0.7  # of the modes, in standard deviations; the named directions come on top
EDIT_SPREAD = 0.27  # of the named directions of single features


def sample_identity(rng: np.random.Generator, age: float, sex: float) -> tuple[np.ndarray, dict[str, float]]:
    """Shape [K] in standard deviations and named edits of a person of `age` years; `sex` -1 female to 1 male.

    The shape has what the edits change within the basis; `shaped_vertices` adds the rest.
    """
    head = load_head()
    edits = {
        "age": float(np.clip((age - 28) / 52, -0.15, 1.0)),
        "child": float(np.clip((17 - age) / 13, 0, 0.9)),
        "sex": 0.75 * sex * float(np.clip((age - 5) / 12, 0.2, 1)),
        "weight": float(np.clip(rng.normal(0.05 + 0.002 * min(age, 60), 0.32), -0.7, 0.9)),
        "muscle": float(np.clip(rng.normal(0.15 * sex, 0.3), -0.7, 0.9)),
    }
    spare = [name for name in head.edit_names if name not in edits]
    edits |= {name: float(np.clip(rng.normal(0, EDIT_SPREAD), -0.9, 0.9)) for name in spare}
    edits["eyeOpening"] = 0.25 + 0.6 * edits["eyeOpening"]
    modes, _ = head.edit(edits)
    return SPREAD * rng.standard_normal(head.shape_count) + modes[0].double().numpy(), edits


def shaped_vertices(shape: np.ndarray, edits: dict[str, float]) -> np.ndarray:
    """The neutral head [V, 3] of an identity, m."""
    head = load_head()
    vertices = head.shaped(torch.as_tensor(shape).float()[None])[0][0] + head.edit(edits)[1][0]
    return vertices.double().numpy()


def sample_expression(rng: np.random.Generator) -> dict[str, float]:
    """ARKit channels by name: neutral, one of the known poses, or a random mixture of a few channels."""
    kind = rng.random()
    if kind < 0.25:
        return _some(rng, 2, 0.15)
    if kind < 0.5:  # people smile for photos
        smile, teeth = rng.uniform(0.25, 0.95), rng.uniform(0, 0.6) * (rng.random() < 0.6)
        both = {
            "mouthSmile": smile,
            "cheekSquint": 0.6 * smile,
            "mouthUpperUp": 0.5 * teeth,
            "mouthLowerDown": 0.3 * teeth,
        }
        values = {f"{name}{side}": value for name, value in both.items() for side in ("Left", "Right")}
        return values | {"jawOpen": float(0.25 * teeth)} | _some(rng, 1, 0.15)
    if kind < 0.75:
        name = list(POSES)[rng.integers(len(POSES))]
        strength = rng.uniform(0.4, 1.0)
        named = parse_expression(POSES[name]) if name not in ("blink", "wink") or rng.random() < 0.5 else {}
        return {channel: strength * value for channel, value in named.items()} | _some(rng, 2, 0.2)
    return _some(rng, 5, 0.8)


def _some(rng: np.random.Generator, count: int, strength: float) -> dict[str, float]:
    """A few channels, both sides of the face mostly alike."""
    names = [n for n in load_head().expression_names if n != "tongueOut" and not n.startswith("eyeLook")]
    values = {}
    for name in rng.choice(names, count, replace=False):
        value = float(strength * rng.beta(1.2, 2.5)) * (0.4 if "Blink" in name or "Squint" in name else 1)
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
