"""Glasses, hats and earrings, fitted to the person's head."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from facecraft.head.model import landmark_points, load_head
from facecraft.synth import chart
from facecraft.synth.hull import Hull
from facecraft.synth.noise import smooth_noise
from facecraft.synth.patches import Patch, ball, sheet, tube

EAR_TOP = np.array([0.0770, 0.010, -0.080])  # where the temple of glasses rests, m, mean head
HAT_LINES = {
    "cap": ([0, 40, 90, 135, 180], [0.062, 0.056, 0.030, 0.004, -0.006]),
    "beanie": ([0, 40, 90, 135, 180], [0.050, 0.042, 0.014, -0.022, -0.040]),
}
"""Height of the lower edge of a hat by angle from the front in degrees, m."""


@dataclass(frozen=True)
class AccessoryTraits:
    """What is worn on the head; None = not."""

    glasses: str | None  # round, square, aviator
    tinted: bool
    frame: np.ndarray  # [3] linear
    frame_width: float  # m
    lens: float  # size over the usual
    hat: str | None  # of HAT_LINES
    hat_colour: np.ndarray  # [3]
    second: np.ndarray  # [3]
    earrings: str | None  # stud, hoop
    metal: np.ndarray  # [3]
    hoop: float  # m, radius


@cache
def _nearest_face(x: float, y: float, z: float) -> int:
    """A triangle of the outer skin near a point of the mean head."""
    head = load_head()
    centres = head.template[head.faces].mean(1).double().numpy()
    distance = np.linalg.norm(centres - [x, y, z], axis=1)
    skin = np.isin(head.face_regions.numpy(), [head.region_names.index(n) for n in ("face", "scalp_neck")])
    return int(np.argmin(np.where(skin, distance, np.inf)))


def anchor_face() -> int:
    """A triangle on the crown: it turns with the head and no expression moves it."""
    return _nearest_face(0.0, 0.11, -0.10)


def _at(vertices: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Where a point of the mean head lies on this one: moved as the nearest vertex is."""
    rest = load_head().template.double().numpy()
    near = np.argmin(np.linalg.norm(rest - point, axis=1))
    return point + vertices[near] - rest[near]


def make_accessories(vertices: np.ndarray, hull: Hull, traits: AccessoryTraits, bulk: float, seed: int) -> list[Patch]:
    """All that is worn on a neutral head [V, 3]; `bulk` (m) is the thickness of the hair under a hat."""
    parts = []
    if traits.glasses is not None:
        parts += _glasses(vertices, hull, traits)
    if traits.hat is not None:
        parts += _hat(hull, traits, bulk, seed)
    if traits.earrings is not None:
        parts += _earrings(vertices, traits)
    return parts


def _glasses(vertices: np.ndarray, hull: Hull, traits: AccessoryTraits) -> list[Patch]:
    head, face = load_head(), anchor_face()
    points = landmark_points(head, vertices)
    bridge = points[168] + [0, -0.002, 0.0035]
    material = {"gloss": 1.2, "opacity": 0.98}
    half, high, power = {
        "round": (0.0235, 0.0225, 2.0),
        "square": (0.0265, 0.0185, 4.5),
        "aviator": (0.0275, 0.0225, 2.8),
    }[traits.glasses]
    eyes = abs(points[[362, 263], 0].mean())
    half, high = min(half * traits.lens, eyes - 0.0065), high * traits.lens
    turn = np.linspace(0, 2 * np.pi, 56)
    c, s = np.cos(turn), np.sin(turn)
    parts, hinges = [], []
    for side, loop in ((1.0, (263, 362)), (-1.0, (33, 133))):
        eye = points[list(loop)].mean(0)
        x = np.sign(c) * np.abs(c) ** (2 / power) * half
        y = (
            np.sign(s)
            * np.abs(s) ** (2 / power)
            * high
            * (np.where(s < 0, 1.12, 0.9) if traits.glasses == "aviator" else 1)
        )
        rim = np.stack([eye[0] + x, eye[1] - 0.004 + y, 0 * x], 1)
        rim[:, 2] = bridge[2] + 0.004 - 1.9 * (np.abs(rim[:, 0]) - 0.010).clip(0) ** 2
        parts.append(tube(rim, traits.frame_width, traits.frame, face, "glasses", **material))
        hinges.append(rim[np.argmax(side * rim[:, 0] + 0.35 * rim[:, 1])])
        if traits.tinted:
            shares = np.linspace(0.0, 0.97, 12)[:, None, None]
            middle = rim.mean(0)
            parts.append(
                sheet(middle + shares * (rim[:-1] - middle), np.full(3, 0.012), face, "glasses", gloss=3.0, opacity=0.9)
            )
    inner = eyes - half
    x = np.linspace(-inner, inner, 12)
    arch = np.stack([x, bridge[1] + 0.004 * (1 - (x / max(inner, 1e-3)) ** 2), np.full(12, bridge[2] + 0.004)], 1)
    parts.append(tube(arch, traits.frame_width, traits.frame, face, "glasses", **material))
    for side, hinge in zip((1.0, -1.0), hinges, strict=True):
        ear = _at(vertices, EAR_TOP * [side, 1, 1])
        t = np.linspace(0, 1, 40)[:, None]
        arm = hinge + t * (ear - hinge)
        for _ in range(2):
            clearance, outward = hull.clearance(arm)
            arm = arm + np.clip(0.003 - clearance, 0, 0.02)[:, None] * outward * [1, 0, 0]
        hook = arm[-1] + np.linspace(0.1, 1, 8)[:, None] * [0, -0.022, -0.014]
        parts.append(
            tube(np.concatenate([arm, hook]), traits.frame_width, traits.frame, face, "glasses", flat=0.7, **material)
        )
    return parts


def hat_line(points: np.ndarray, hat: str) -> np.ndarray:
    """Height [n] of points [n, 3] over the lower edge of a hat, m."""
    angle, height = HAT_LINES[hat]
    return points[:, 1] - np.interp(np.degrees(chart.azimuth(points)), angle, height)


def press_under_hat(points: np.ndarray, hull: Hull, hat: str, bulk: float) -> np.ndarray:
    """Hair [S, K + 1, 3] held down under a hat."""
    flat = points.reshape(-1, 3)
    height, outward = hull.clearance(flat)
    under = chart.band(hat_line(flat, hat), -0.004, 0.008)
    excess = np.maximum(height - 0.6 * bulk, 0) * under
    return (flat - excess[:, None] * outward).reshape(points.shape)


def _hat(hull: Hull, traits: AccessoryTraits, bulk: float, seed: int) -> list[Patch]:
    face = anchor_face()
    angle = np.linspace(-np.pi, np.pi, 150, endpoint=False)
    edge = np.interp(np.degrees(np.abs(angle)), *HAT_LINES[traits.hat]) + hull.centre[1] - chart.SKULL[1]
    top = 0.13
    t = np.linspace(0, 1, 54)[:, None]
    # from the crown outwards: height falls as on a sphere, the direction turns with the column
    rise = (edge - hull.centre[1])[None] / 0.13
    polar = t * np.arccos(np.clip(rise, -0.9, 0.9))
    ray = np.stack([np.sin(polar) * np.sin(angle), np.cos(polar), np.sin(polar) * np.cos(angle)], 2)
    points = hull.centre + top * ray
    wanted = bulk + (0.006 if traits.hat == "cap" else 0.005)
    wanted = wanted + (0.006 * chart.band(t, 0.45, 0.1) if traits.hat == "cap" else 0.012 * chart.band(t, 0.5, 0.0))
    if traits.hat == "beanie":
        wanted = wanted + 0.004 * chart.band(t, 0.70, 0.72)
    for _ in range(4):
        height, outward = hull.clearance(points.reshape(-1, 3))
        points += ((wanted - height.reshape(points.shape[:2]))[..., None]) * outward.reshape(points.shape)
    seam = chart.band(np.abs(np.sin(3 * angle)), 0.05, 0.02) if traits.hat == "cap" else 0.5 + 0.5 * np.sin(75 * angle)
    shade = 1 - (0.3 if traits.hat == "cap" else 0.45) * seam[None, :, None] * np.ones((len(t), 1, 1))
    noise = smooth_noise(points.reshape(-1, 3), 0.003, seed, 2).reshape(*points.shape[:2], 1)
    band = chart.band(t, 0.70, 0.72)[..., None] if traits.hat == "beanie" else 0 * t[..., None]
    colour = (traits.hat_colour + band * (traits.second - traits.hat_colour)) * shade * (1 + 0.08 * noise)
    parts = [sheet(points, np.clip(colour, 0.003, 0.9), face, "hat")]
    if traits.hat == "cap":
        front = np.flatnonzero(np.abs(angle) < 1.0)
        rim = points[-2, front]
        reach = 0.070 * np.sqrt(np.clip(1 - (angle[front] / 1.05) ** 2, 0, 1))
        out = np.linspace(0, 1, 30)[:, None, None]
        lean = np.stack(
            [0.25 * np.sin(angle[front]), -0.22 - 0.25 * np.abs(angle[front]), np.cos(angle[front]) ** 0.3], 1
        )
        visor = rim + out * reach[None, :, None] * lean
        visor[..., 1] -= 0.012 * out[..., 0] ** 2
        parts.append(sheet(visor, traits.second, face, "hat", closed=False))
    return parts


@cache
def _lobe() -> tuple[int, int]:
    """The lowest vertex of the left ear's lobe and a triangle that has it."""
    head = load_head()
    rest = head.template.double().numpy()
    ear = chart.on_ear(rest) & (rest[:, 0] > 0.0715) & (rest[:, 2] > -0.085)
    vertex = int(np.argmin(np.where(ear, rest[:, 1], np.inf)))
    return vertex, int(np.flatnonzero((head.faces.numpy() == vertex).any(1))[0])


def _earrings(vertices: np.ndarray, traits: AccessoryTraits) -> list[Patch]:
    head, parts = load_head(), []
    vertex = _lobe()[0]
    for ear, side in ((vertex, 1.0), (int(head.mirror[vertex]), -1.0)):
        face = int(np.flatnonzero((head.faces.numpy() == ear).any(1))[0])
        hole = vertices[ear] + [0.0015 * side, 0.002, 0]
        if traits.earrings == "stud":
            parts.append(ball(hole + [0.001 * side, 0, 0], 0.0028, traits.metal, face, "earring", gloss=5.0))
            continue
        radius, turn = traits.hoop, np.linspace(0, 2 * np.pi, 40)
        ring = hole + radius * np.stack([0 * turn, np.cos(turn) - 1, np.sin(turn)], 1)
        parts.append(tube(ring, 0.0009, traits.metal, face, "earring", gloss=5.0))
    return parts
