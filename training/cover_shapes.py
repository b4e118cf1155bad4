"""Random covers to paint before a face: their shapes and what they are made of.

Shapes: all of one side of a line, blobs, strips and rods, discs on a stick, masks around the landmarks' mouth, hands with
fingers. Stuff: one colour, mottled or patterned, shaded; colours at random, of the face's own skin, or pieces of other pictures.
"""

import cv2
import numpy as np

JAW = (
    234,
    93,
    132,
    58,
    172,
    136,
    150,
    149,
    176,
    148,
    152,
    377,
    400,
    378,
    379,
    365,
    397,
    288,
    361,
    323,
    454,
)  # landmarks
NOSE = 6, 197, 195, 5, 4


def random_shape(rng: np.random.Generator, landmarks: np.ndarray, side: int) -> np.ndarray:
    """Share [side, side] of each pixel that a cover takes, before a face with `landmarks` [478, 2] px."""
    kinds = (_half, _half, _blob, _strip, _disc, _mask, _hand)
    shape = kinds[rng.integers(len(kinds))](rng, landmarks, side)
    return cv2.GaussianBlur(shape.astype(np.float32), (0, 0), rng.uniform(0.3, 1.0))


def random_stuff(rng: np.random.Generator, picture: np.ndarray, skin: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Colours [side, side, 3] of a cover before a `picture` [side, side, 3] of a face of the colour `skin` [3]; `other`
    [side, side, 3] is a picture of another face."""
    side, kind = len(picture), rng.random()
    if kind < 0.12:
        return _magnify(rng, other)
    if kind < 0.2:
        return _magnify(rng, picture[:, ::-1])
    if kind < 0.4:  # cloth, leather and metal are often grey and dark
        colour = rng.uniform(0.02, 1) ** 2 + rng.normal(0, 0.02, 3)
    elif kind < 0.7:
        colour = rng.uniform(0.02, 0.98, 3) * rng.uniform(0.4, 1)
    else:
        colour = skin * rng.uniform(0.7, 1.3) + rng.normal(0, 0.03, 3)
    stuff = np.broadcast_to(colour, picture.shape)
    if rng.random() < 0.6:
        stuff = stuff * (1 + rng.uniform(0, 0.25) * smooth_noise(rng, side, rng.uniform(0.8, 9)))[..., None]
    if rng.random() < 0.25:
        other_colour, amount = rng.uniform(0, 1, 3), _pattern(rng, side)[..., None]
        stuff = stuff + amount * (other_colour - stuff)
    if rng.random() < 0.6:
        y, x = np.mgrid[:side, :side] / side - 0.5
        angle = rng.uniform(0, 2 * np.pi)
        stuff = stuff * (1 + rng.uniform(0, 1) * (x * np.cos(angle) + y * np.sin(angle)))[..., None]
    return stuff.clip(0, 1)


def smooth_noise(rng: np.random.Generator, side: int, scale: float) -> np.ndarray:
    """Noise [side, side] of variance 1, smooth over `scale` px."""
    noise = cv2.GaussianBlur(rng.standard_normal((side, side), np.float32), (0, 0), scale)
    return noise / noise.std()


def _pattern(rng: np.random.Generator, side: int) -> np.ndarray:
    """Stripes, checks or dots, 0..1."""
    y, x = np.mgrid[:side, :side].astype(float)
    angle, period, kind = rng.uniform(0, np.pi), rng.uniform(4, 18), rng.integers(3)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    waves = np.sin(2 * np.pi * u / period), np.sin(2 * np.pi * v / period)
    value = (waves[0], waves[0] * waves[1], waves[0] + waves[1] - 1)[kind]
    return rng.uniform(0.2, 1) * (0.5 + 0.5 * np.tanh(3 * value))


def _magnify(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """A piece of a picture, turned and 1 to 3 times as large."""
    side = len(picture)
    T = cv2.getRotationMatrix2D((side / 2, side / 2), rng.uniform(-180, 180), rng.uniform(1, 3))
    T[:, 2] += rng.normal(0, 0.15 * side, 2)
    return cv2.warpAffine(picture, T, (side, side), borderMode=cv2.BORDER_REFLECT) * rng.uniform(0.7, 1.3)


def _wave(rng: np.random.Generator, along: np.ndarray) -> np.ndarray:
    """A gentle curve, px, by the way along it."""
    phases, lengths = rng.uniform(0, 2 * np.pi, 2), rng.uniform(9, 45, 2)
    return sum(
        rng.uniform(0, 3) * np.sin(along / length + phase) for length, phase in zip(lengths, phases, strict=True)
    )


def _half(rng: np.random.Generator, landmarks: np.ndarray, side: int) -> np.ndarray:
    """What lies beyond a wavy line that leaves 5 to 55 % of the landmarks there: below, beside, seldom above."""
    angle = rng.uniform(-0.2, np.pi + 0.2) if rng.random() < 0.85 else rng.uniform(0, 2 * np.pi)
    across = np.array([np.cos(angle), np.sin(angle)])
    y, x = np.mgrid[:side, :side]
    far = x * across[0] + y * across[1] + _wave(rng, x * across[1] - y * across[0])
    return far > np.quantile(landmarks @ across, 1 - rng.uniform(0.05, 0.55))


def _somewhere(rng: np.random.Generator, landmarks: np.ndarray) -> np.ndarray:
    return landmarks[rng.integers(len(landmarks))] + rng.normal(0, 4.5, 2)


def _blob(rng: np.random.Generator, landmarks: np.ndarray, side: int) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    centre, radius = _somewhere(rng, landmarks), rng.uniform(7, 23)
    distance = np.hypot((x - centre[0]) * np.exp(rng.normal(0, 0.3)), y - centre[1])
    return distance < radius * (1 + 0.25 * smooth_noise(rng, side, rng.uniform(4, 9)))


def _rod(ends: np.ndarray, radius: float, side: int) -> np.ndarray:
    """Pixels within `radius` of the way between two `ends` [2, 2]."""
    y, x = np.mgrid[:side, :side]
    arm, way = np.stack([x, y], -1) - ends[0], ends[1] - ends[0]
    share = np.clip(arm @ way / max(way @ way, 1e-6), 0, 1)
    return np.linalg.norm(arm - share[..., None] * way, axis=-1) < radius


def _strip(rng: np.random.Generator, landmarks: np.ndarray, side: int) -> np.ndarray:
    """A rod across the face, an arm or a scarf."""
    middle, angle = _somewhere(rng, landmarks), rng.uniform(0, np.pi)
    way = side * np.array([np.cos(angle), np.sin(angle)])
    start = middle - way * rng.choice([0.0, 1.0], p=[0.4, 0.6])
    return _rod(np.stack([start, middle + way]), rng.uniform(3, 12), side)


def _disc(rng: np.random.Generator, landmarks: np.ndarray, side: int) -> np.ndarray:
    """A microphone: a ball on a stick from below, near the mouth."""
    ball = landmarks[13] + rng.normal(0, [10, 8])
    down = ball + side * np.array([rng.normal(0, 0.5), 1.0])
    radius = rng.uniform(6, 13)
    return _rod(np.stack([ball, ball + 1e-3]), radius, side) | _rod(
        np.stack([ball, down]), radius * rng.uniform(0.3, 0.7), side
    )


def _mask(rng: np.random.Generator, landmarks: np.ndarray, side: int) -> np.ndarray:
    """From a height on the nose down to beyond the jaw."""
    jaw = landmarks[list(JAW)][int(rng.integers(0, 3)) :][: -int(rng.integers(1, 4))]
    middle = landmarks[NOSE[0]]
    top = landmarks[[NOSE[rng.integers(len(NOSE))]]] + rng.normal(0, 2, (1, 2))
    outline = middle + (np.concatenate([jaw, top]) - middle) * rng.uniform(1.0, 1.15)
    outline[-1] = top
    filled = np.zeros((side, side), np.uint8)
    return cv2.fillPoly(filled, [outline.round().astype(np.int32)], 1)


def _hand(rng: np.random.Generator, landmarks: np.ndarray, side: int) -> np.ndarray:
    """A palm with two to five fingers, and the arm behind it."""
    tip, angle = _somewhere(rng, landmarks), rng.uniform(-0.4, np.pi + 0.4)
    back = np.array([np.cos(angle), np.sin(angle)])
    beside = np.array([-back[1], back[0]])
    width, length = rng.uniform(2.2, 4.2), rng.uniform(13, 26)
    count, spread = rng.integers(2, 6), rng.uniform(0, 0.12)
    palm = tip + length * back
    shape = _rod(np.stack([palm + 2.2 * width * back, palm + 5 * width * back]), 2.4 * width, side)
    shape |= _rod(np.stack([palm, palm + side * back]), 1.9 * width, side)
    for finger in np.arange(count) - (count - 1) / 2:
        root = palm + 2 * width * finger * beside + 2 * width * back
        direction = -back + spread * finger * beside
        shape |= _rod(np.stack([root, root + direction * length * rng.uniform(0.7, 1.2)]), width, side)
    return shape
