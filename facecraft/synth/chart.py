"""Where things are on the mean head, as smooth fields of the rest position: lips, lids, brows, beard, hairline, creases.

Every field takes points [n, 3] of the mean head (m) and is meant for its outer skin. Lengths are in metres.
"""

from functools import cache

import numpy as np

from facecraft.head.model import load_head

OUTER_LIP = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
INNER_LIP = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
"""Loops of MediaPipe landmarks. LEFT_EYE runs from the outer corner along the lower lid and back along the upper."""

SKULL = np.array([0.0, 0.03, -0.085])  # m, middle of the brain case
EAR = np.array([-0.017, -0.082])  # height and depth of the middle of an ear, m
EAR_REACH = np.array([0.038, 0.021])
EAR_LEAN = 0.25  # how far the top lies back
LEFT_BROW = np.array(
    [[0.0115, 0.0125], [0.020, 0.0150], [0.030, 0.0180], [0.042, 0.0190], [0.052, 0.0155], [0.0605, 0.0085]]
)
"""Middle line of the subject's left brow, x and y, from the nose outwards."""

CREASES = {
    "nasolabial": [[0.0215, -0.0390], [0.0270, -0.0480], [0.0320, -0.0590], [0.0345, -0.0700], [0.0350, -0.0790]],
    "marionette": [[0.0275, -0.0770], [0.0300, -0.0860], [0.0310, -0.0960]],
    "eye_bag": [[0.0165, -0.0120], [0.0230, -0.0185], [0.0320, -0.0215], [0.0400, -0.0195], [0.0460, -0.0140]],
    "crow_1": [[0.0500, 0.0000], [0.0570, 0.0040], [0.0640, 0.0090]],
    "crow_2": [[0.0505, -0.0030], [0.0580, -0.0040], [0.0655, -0.0030]],
    "crow_3": [[0.0495, -0.0060], [0.0560, -0.0110], [0.0630, -0.0160]],
    "glabella": [[0.0060, 0.0060], [0.0050, 0.0140], [0.0060, 0.0240]],
    "lid_fold": [[0.0190, 0.0000], [0.0250, 0.0062], [0.0330, 0.0080], [0.0410, 0.0062], [0.0470, 0.0010]],
}
"""Folds of the left half of the face, x and y; the right half mirrors them."""

HAIRLINE = np.array(
    [
        *([0, 0.062], [20, 0.064], [38, 0.060], [52, 0.042], [62, 0.022], [70, -0.012], [78, -0.034], [90, -0.036]),
        *([100, -0.040], [112, -0.048], [125, -0.056], [140, -0.068], [160, -0.076], [180, -0.078]),
    ]
)
"""Height (m) down to which hair grows, by angle from the front in degrees; around the ears `ear_gap` counts too."""


@cache
def landmarks() -> np.ndarray:
    """MediaPipe's points on the mean head [478, 3]."""
    head = load_head()
    return head.landmarks(head.template[None])[0].double().numpy()


def band(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between; `low` may be the larger."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def bump(points: np.ndarray, centre, radius: float) -> np.ndarray:
    """A Gaussian around `centre` and its mirror image, deviation `radius`."""
    mirrored = np.stack([np.abs(points[:, 0]), points[:, 1], points[:, 2]], 1)
    return np.exp(-0.5 * ((mirrored - np.asarray(centre)) ** 2).sum(1) / radius**2)


def distance_to_line(points: np.ndarray, line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance [n] of points [n, 2] to a polyline [k, 2] and where along it the nearest point lies [n], 0 to 1."""
    best, along = np.full(len(points), np.inf), np.zeros(len(points))
    lengths = np.linalg.norm(np.diff(line, axis=0), axis=1)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    for i in range(len(line) - 1):
        edge = line[i + 1] - line[i]
        t = np.clip((points - line[i]) @ edge / (edge @ edge), 0, 1)
        gap = np.linalg.norm(points - line[i] - t[:, None] * edge, axis=1)
        nearer = gap < best
        best = np.where(nearer, gap, best)
        along = np.where(nearer, (starts[i] + t * lengths[i]) / starts[-1], along)
    return best, along


def depth_in_loop(points: np.ndarray, loop: np.ndarray) -> np.ndarray:
    """Signed distance [n] of points [n, 2] to a closed loop [k, 2], positive inside."""
    distance, _ = distance_to_line(points, np.concatenate([loop, loop[:1]]))
    inside = np.zeros(len(points), bool)
    x, y = points.T
    for a, b in zip(loop, np.roll(loop, -1, axis=0), strict=True):
        crosses = (a[1] > y) != (b[1] > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside ^= crosses & (x < (b[0] - a[0]) * (y - a[1]) / (b[1] - a[1]) + a[0])
    return np.where(inside, distance, -distance)


def mirrored_xy(points: np.ndarray) -> np.ndarray:
    """x and y [n, 2] with the right half laid on the left."""
    return np.stack([np.abs(points[:, 0]), points[:, 1]], 1)


def in_front(points: np.ndarray) -> np.ndarray:
    """1 on the face as seen from the front, 0 from the ears backwards [n]."""
    return band(points[:, 2], -0.045, -0.025)


def lip_depth(points: np.ndarray) -> np.ndarray:
    """How deep in the red of the lips [n], negative outside."""
    depth = depth_in_loop(points[:, :2], landmarks()[list(OUTER_LIP), :2])
    return np.where(points[:, 2] > -0.01, depth, -0.05)


def lid_gap(points: np.ndarray) -> np.ndarray:
    """Distance [n] to the edge of the nearer eye's lids in the plane of the face."""
    loop = landmarks()[list(LEFT_EYE), :2]
    return distance_to_line(mirrored_xy(points), np.concatenate([loop, loop[:1]]))[0]


def brow_place(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Along the brow from the nose [n], 0 to 1, and height over its middle line [n]."""
    xy = mirrored_xy(points)
    distance, along = distance_to_line(xy, LEFT_BROW)
    middle = np.interp(xy[:, 0], LEFT_BROW[:, 0], LEFT_BROW[:, 1])
    return along, np.where(points[:, 2] > -0.03, np.copysign(distance, xy[:, 1] - middle), 0.05)


def crease_gap(points: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Distance [n] to a fold of CREASES, and how far along it [n], 0 to 1."""
    distance, along = distance_to_line(mirrored_xy(points), np.array(CREASES[name]))
    return np.where(points[:, 2] > -0.045, distance, 0.05), along


def azimuth(points: np.ndarray) -> np.ndarray:
    """Angle [n] around the head from the front, 0 to pi on either side."""
    return np.arctan2(np.abs(points[:, 0]), points[:, 2] - SKULL[2])


def ear_gap(points: np.ndarray) -> np.ndarray:
    """Distance [n] from the outline of the ears as seen from the side, m, negative on them; large off the sides."""
    lean = EAR_LEAN * (points[:, 1] - EAR[0])
    place = np.stack([points[:, 1] - EAR[0], points[:, 2] - EAR[1] + lean], 1) / EAR_REACH
    return np.where(np.abs(points[:, 0]) > 0.055, (np.linalg.norm(place, axis=1) - 1) * EAR_REACH[1], 0.1)


def on_ear(points: np.ndarray) -> np.ndarray:
    """Whether a point lies on an ear [n] bool."""
    return (ear_gap(points) < 0.001) & (np.abs(points[:, 0]) > 0.066)


def over_hairline(points: np.ndarray, recession: float = 0.0) -> np.ndarray:
    """Height over the hairline [n]; `recession` (m) moves it up, most at the temples."""
    angle = np.degrees(azimuth(points))
    line = np.interp(angle, *HAIRLINE.T)
    temples = 0.5 + np.exp(-0.5 * ((angle - 42) / 14) ** 2)
    line = line + recession * temples * (angle < 75)
    return np.minimum(points[:, 1] - line, ear_gap(points) - 0.002)


def beard_place(points: np.ndarray) -> dict[str, np.ndarray]:
    """How much each part of a beard may grow at a point [n] in [0, 1]: moustache, chin, jaw, cheek, neck."""
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    out_of_lips = band(-lip_depth(points), 0.0, 0.0025)
    front = band(z, -0.075, -0.06) * out_of_lips * ~on_ear(points)
    line = np.interp(x, [0, 0.026, 0.040, 0.058, 0.068, 0.075], [-0.078, -0.072, -0.062, -0.045, -0.030, 0.0])
    below = band(line - y, -0.002, 0.006)
    upper_neck = band(y, -0.150, -0.128)
    jaw = below * upper_neck * band(x, 0.030, 0.040)
    chin = band(-0.079 - y, -0.002, 0.004) * band(x, 0.036, 0.026) * upper_neck
    moustache = band(y, -0.079, -0.074) * band(-0.0535 - y, 0, 0.003) * band(x, 0.034, 0.027) * band(z, 0.0, 0.008)
    cheek_line = line + 0.014
    cheek = band(cheek_line - y, -0.003, 0.006) * band(x, 0.034, 0.044) * upper_neck
    neck = band(-0.11 - y, 0, 0.01) * band(y, -0.165, -0.14)
    parts = {"moustache": moustache, "chin": chin, "jaw": jaw, "cheek": cheek, "neck": neck}
    return {name: front * amount for name, amount in parts.items()}
