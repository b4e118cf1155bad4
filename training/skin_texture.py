"""Random skins painted on the head's atlas: tone, blush, beard, brows, lips, lashes, eyes, spots and hair; nothing is measured on people.

Colours are sRGB reflectances [n, 3] of texels at rest positions [n, 3] m. The skin colour model is learned from them
(`skin_model.py`) and benchmarks/fit.py dresses its heads in others of other seeds.
"""

from dataclasses import dataclass

import numpy as np
from outlines import inside_polygon, line_distance
from scipy.spatial import cKDTree

from facecraft.head.albedo import eye_angles
from facecraft.head.interior import IRIS_ANGLE
from facecraft.head.model import HeadModel
from facecraft.mesh.atlas import Atlas, make_atlas

PALE, DARK = np.array([0.95, 0.80, 0.72]), np.array([0.36, 0.23, 0.17])
# height of the hairline over the eyes by depth, m
HAIRLINE = ((-0.18, -0.10, -0.08, -0.06, -0.04, -0.01, 0.02), (-0.11, -0.10, -0.03, 0.0, 0.05, 0.075, 0.085))
BROW_DROP_M = 0.006  # ICT's brow landmarks lie this far above where people's brows are


@dataclass(frozen=True)
class SkinSurface:
    """What every skin is painted on: the atlas, `points` [n, 3] of the mean head at rest, `regions` [n]."""

    head: HeadModel
    atlas: Atlas
    points: np.ndarray
    regions: np.ndarray

    def region(self, name: str) -> np.ndarray:
        """Texels [n] bool of a region."""
        return self.regions == self.head.region_names.index(name)


def skin_surface(head: HeadModel, size: int) -> SkinSurface:
    """Texels of an atlas of `size`."""
    atlas = make_atlas(head.uvs.numpy(), head.faces_uv.numpy(), size)
    points = atlas.interpolate(head.template.double().numpy(), head.faces.numpy())
    return SkinSurface(head, atlas, points, head.face_regions.numpy()[atlas.faces])


def random_skin(surface: SkinSurface, rng: np.random.Generator, haired: bool = True) -> np.ndarray:
    """One skin [n, 3] in [0, 1]; `haired` paints hair on the scalp as well."""
    head, points = surface.head, surface.points
    marks = head.template.double().numpy()[head.landmark68_vertices.numpy()]
    face = surface.region("face")
    tone = rng.beta(1.2, 1.5)
    skin = PALE ** (1 - tone) * DARK**tone * rng.uniform(0.92, 1.08) * rng.uniform(0.96, 1.04, 3)
    hair = np.array([0.62, 0.48, 0.33]) ** (1 + 3 * rng.uniform(0, 1) ** 0.5) * rng.uniform(0.8, 1.2, 3)
    hair = np.full(3, rng.uniform(0.45, 0.85)) if rng.random() < 0.15 else hair
    colours = np.tile(skin, (len(points), 1))

    def mix(weights, colour):
        colours[:] += weights[:, None] * (np.asarray(colour) - colours)

    _mottle(colours, points, rng)
    _blush(mix, points, marks, skin, rng)
    _beard(mix, points, marks, hair, face, rng)
    lip = skin * [rng.uniform(0.75, 1.0), rng.uniform(0.45, 0.8), rng.uniform(0.5, 0.85)]
    mix(rng.uniform(0.5, 1) * lips(points, marks) * face, lip)
    mix(rng.uniform(0.3, 0.8) * np.exp(-((_lip_line(points, marks) / 0.0008) ** 2)) * face, 0.5 * lip)
    mix(_brows(points, marks, rng) * face, (0.5 * hair + 0.1 * skin) if rng.random() < 0.7 else hair)
    _spots(mix, points, skin, face, rng)
    nostrils = np.isin(surface.atlas.faces, getattr(head, "nostril_faces", np.zeros(0)))
    mix(0.85 * nostrils, 0.25 * skin)
    for side, first in (("L", 42), ("R", 36)):
        _rim_of_eye(mix, surface, side, marks[first : first + 6], hair, face, rng)
    if haired:
        amount = hairy(points, rng.normal(0, 0.008)) * (face | surface.region("scalp_neck"))
        mix(amount, hair)
        colours *= 1 + 0.25 * (amount * smooth_noise(points * [1, 0.2, 1], 0.004, rng))[:, None]
    _interior(colours, surface, skin, rng)
    return colours.clip(0.01, 1)


def smooth_noise(points: np.ndarray, length: float, rng: np.random.Generator, waves: int = 32) -> np.ndarray:
    """Gaussian noise [n] of deviation about 1 whose correlation falls within `length` (m): random Fourier features."""
    frequencies = rng.normal(0, 1 / length, (waves, 3))
    return np.sqrt(2 / waves) * np.cos(points @ frequencies.T + rng.uniform(0, 2 * np.pi, waves)).sum(1)


def soft(distance: np.ndarray, width: float) -> np.ndarray:
    """0 far below zero, 1 far above."""
    return 1 / (1 + np.exp(np.clip(-distance / width, -40, 40)))


def hairy(points: np.ndarray, rise: float = 0.0) -> np.ndarray:
    """Hair on the scalp [n] in [0, 1]; the hairline lies `rise` (m) above the usual one."""
    over = points[:, 1] - np.interp(points[:, 2], *HAIRLINE) - rise
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    ear = (x > 0.069) & (y < 0.02) & (y > -0.07) & (z > -0.105) & (z < -0.045)
    return soft(over, 0.002) * ~ear


def lips(points: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """The red of the lips [n]; `marks` [68, 3] are the iBUG points."""
    outline = marks[48:60, :2]
    distance = line_distance(points[:, :2], np.concatenate([outline, outline[:1]]))
    inside = inside_polygon(points[:, :2], outline)
    return soft(np.where(inside, distance, -distance), 0.0006) * (points[:, 2] > marks[48, 2] - 0.012)


def _mottle(colours, points, rng):
    for length, strength in ((0.04, 0.035), (0.015, 0.025), (0.004, 0.02), (0.0012, 0.02)):
        strength = strength * rng.uniform(0.3, 1.5)
        colours *= 1 + strength * smooth_noise(points, length, rng)[:, None]
        colours *= 1 + 0.4 * strength * smooth_noise(points, length, rng)[:, None] * [0.3, -1, -0.8]


def _blush(mix, points, marks, skin, rng):
    red = skin * [1.03, 0.78, 0.78]
    nose, cheeks, eyes = marks[30], marks[[2, 14]], (marks[36:42].mean(0), marks[42:48].mean(0))
    chin, ears = marks[8], np.array([[0.075, -0.02, -0.075], [-0.075, -0.02, -0.075]])
    places = [(nose, 0.014), (chin, 0.018), *((e, 0.022) for e in ears)]
    places += [(0.55 * c + 0.45 * nose + [0, 0.01, 0], 0.022) for c in cheeks]
    amount = rng.uniform(0, 0.7)
    for centre, radius in places:
        mix(amount * rng.uniform(0.4, 1) * _blob(points, centre, radius * rng.uniform(0.8, 1.3)), red)
    dark = rng.uniform(0, 0.6)
    for eye in eyes:
        below, above = eye - [0, 0.014, 0], eye + [0, 0.011, 0]
        mix(dark * _blob(points, below, 0.012), skin * [0.8, 0.74, 0.76])
        mix(dark * rng.uniform(0, 1.2) * _blob(points, above, 0.011), skin * rng.uniform(0.6, 0.95, 3))


def _beard(mix, points, marks, hair, face, rng):
    mouth = marks[48:60].mean(0)
    lower = soft(mouth[1] + 0.006 + 0.25 * np.maximum(np.abs(points[:, 0]) - 0.03, 0) * 2 - points[:, 1], 0.004)
    lower *= soft(points[:, 1] + 0.125, 0.006) * soft(points[:, 2] + 0.07, 0.008)
    lip = _blob(points, 0.5 * (marks[33] + marks[51]), 0.011) + _blob(points, marks[51] - [0.012, 0, 0], 0.009)
    lip = np.clip(1.3 * (lip + _blob(points, marks[51] + [0.012, 0, 0], 0.009)), 0, 1)
    where = np.clip(np.maximum(lower, lip), 0, 1) * (1 - lips(points, marks)) * face
    kind = rng.random()
    strength = rng.uniform(0, 0.15) if kind < 0.6 else rng.uniform(0.1, 0.45) if kind < 0.85 else rng.uniform(0.5, 0.9)
    if kind > 0.85 and rng.random() < 0.4:
        where = where * lip if rng.random() < 0.5 else where * _blob(points, marks[8], 0.03)
    mix((strength * where * (1 + 0.2 * smooth_noise(points, 0.002, rng))).clip(0, 0.95), 0.6 * hair + 0.05)


def _brows(points, marks, rng) -> np.ndarray:
    shift = np.array([rng.normal(0, 0.0015), rng.normal(0, 0.0025) - BROW_DROP_M, 0])
    arch, thick, density = rng.normal(0, 0.0015), rng.uniform(0.0018, 0.0042), rng.uniform(0.25, 0.95)
    nearest = np.full(len(points), 1.0)
    for first, sign in ((17, 1.0), (22, -1.0)):
        line = marks[first : first + 5] + shift * [sign, 1, 1]
        line = line + np.outer(np.sin(np.linspace(0, np.pi, 5)), [0, arch, 0])
        nearest = np.minimum(nearest, line_distance(points[:, :2], line[:, :2]))
    strands = 1 + 0.3 * smooth_noise(points * [1, 0.5, 1], 0.0012, rng)
    return (density * soft(thick - nearest, 0.0008) * (points[:, 1] > 0) * strands).clip(0, 1)


def _spots(mix, points, skin, face, rng):
    count = rng.integers(0, 8) if rng.random() < 0.75 else rng.integers(40, 160)
    radius = (0.0008, 0.002) if count < 10 else (0.0005, 0.001)
    for centre in points[rng.choice(np.flatnonzero(face), count)]:
        mix(rng.uniform(0.2, 0.7) * _blob(points, centre, rng.uniform(*radius)), skin * rng.uniform(0.35, 0.75))


def _rim_of_eye(mix, surface, side, marks, hair, face, rng):
    own = np.unique(
        surface.head.faces.numpy()[
            surface.head.face_regions.numpy() == surface.head.region_names.index(f"eye_socket_{side}")
        ]
    )
    margin = surface.head.template.double().numpy()[own]
    margin = margin[surface.head.vertex_regions.numpy()[own] == surface.head.region_names.index("face")]
    gap, nearest = cKDTree(margin).query(surface.points)
    upper = margin[nearest, 1] > marks[:, 1].mean()
    dark = np.where(upper, rng.uniform(0.3, 0.9), rng.uniform(0.1, 0.6))
    mix(dark * np.exp(-((gap / rng.uniform(0.0008, 0.0018)) ** 2)) * face, 0.4 * hair)


def _interior(colours, surface, skin, rng):
    teeth = np.array([0.9, 0.87, 0.79]) * rng.uniform(0.75, 1.02)
    inner = {"mouth_socket": (0.30, 0.11, 0.10), "gums": (0.68, 0.36, 0.37), "tongue": (0.66, 0.34, 0.34)}
    inner |= {"teeth_upper": teeth, "teeth_lower": teeth, "bust": rng.uniform(0.05, 0.9, 3)}
    inner |= {f"eye_socket_{side}": 0.6 * skin for side in "LR"}
    for name, colour in inner.items():
        colours[surface.region(name)] = colour
    colour_of = random_eye(rng)
    for eye, side in enumerate("LR"):
        inside = surface.region(f"eyeball_{side}")
        colours[inside] = colour_of(eye_angles(surface.head, surface.points[inside], eye))


def random_eye(rng: np.random.Generator):
    """A function from the angle to the eye's axis [n], rad, to colours [n, 3]: white, iris with a dark rim, pupil."""
    iris = np.array([0.55, 0.42, 0.32]) ** rng.uniform(0.7, 2.5) if rng.random() < 0.7 else rng.uniform(0.3, 0.65, 3)
    white, pupil = np.array([0.88, 0.84, 0.81]) * rng.uniform(0.75, 1.05), rng.uniform(0.12, 0.22)

    def colour_of(angles: np.ndarray) -> np.ndarray:
        ball = np.tile(white, (len(angles), 1))
        for limit, colour in ((IRIS_ANGLE, 0.6 * iris), (0.88 * IRIS_ANGLE, iris), (pupil, np.full(3, 0.03))):
            ball += soft(limit - angles, 0.014)[:, None] * (colour - ball)
        return ball

    return colour_of


def _lip_line(points, marks) -> np.ndarray:
    """Distance [n] from where the lips meet."""
    return line_distance(points[:, :2], np.concatenate([marks[60:65], marks[60:61]])[:5, :2])


def _blob(points, centre, radius) -> np.ndarray:
    return np.exp(-((points - centre) ** 2).sum(1) / (2 * radius**2))
