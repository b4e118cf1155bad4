"""The bust: rings that carry the shoulders on below ICT's cut, so that a portrait's neckline has a surface behind it."""

import numpy as np

RING_STEP_MM = 19.0
# how far each ring has turned from the way the shoulders were going to straight down
_DOWNWARD = (0.2, 0.4, 0.6, 0.8)


def extend_shoulders(
    vertices: np.ndarray,  # [V, 3] mm
    faces: np.ndarray,  # [F, 3] left half of the skin, over vertices
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """New vertices [N, 3], faces over vertices followed by the new ones, and the border vertex [N] each hangs from."""
    chain, outward = _shoulder_border(vertices, faces)
    # the back goes on down sooner than the shoulders do, or the bust grows a hump
    outward[:, 2] = np.where(outward[:, 2] < 0, 0.4 * outward[:, 2], outward[:, 2])
    ring, below = vertices[chain], np.arange(len(chain)) + len(vertices)
    above = chain
    points, new_faces = [], []
    for share in _DOWNWARD:
        step = (1 - share) * outward + share * np.array([0, -1.0, 0])
        ring = ring + RING_STEP_MM * step / np.linalg.norm(step, axis=1, keepdims=True)
        ring = _smooth_chain(ring)
        points.append(ring)
        for i in range(len(chain) - 1):
            new_faces += [(above[i], below[i], above[i + 1]), (above[i + 1], below[i], below[i + 1])]
        above, below = below, below + len(chain)
    return np.concatenate(points), np.array(new_faces), np.tile(chain, len(_DOWNWARD))


def _shoulder_border(vertices, faces) -> tuple[np.ndarray, np.ndarray]:
    """The lower open border from the front midline to the back, and the direction in which the surface leaves it."""
    edges = {(int(f[i]), int(f[(i + 1) % 3])): int(f[(i + 2) % 3]) for f in faces for i in range(3)}
    border = {a: b for a, b in edges if (b, a) not in edges and not (vertices[[a, b], 0] < 0.03).all()}
    border = {a: b for a, b in border.items() if max(vertices[a, 1], vertices[b, 1]) < -100}
    following = {b: a for a, b in border.items()}
    ends = [v for v in set(border) | set(following) if vertices[v, 0] < 0.03]
    start = max(ends, key=lambda v: vertices[v, 2])
    onward = border if start in border else following
    chain = [start]
    while chain[-1] in onward:
        chain.append(onward[chain[-1]])
    outward = np.zeros((len(chain), 3))
    for i, (a, b) in enumerate(zip(chain, chain[1:], strict=False)):
        apex = edges.get((a, b), edges.get((b, a)))
        along = vertices[b] - vertices[a]
        away = vertices[a] - vertices[apex]
        away -= along * (away @ along) / (along @ along)
        outward[[i, i + 1]] += away / np.linalg.norm(away)
    for _ in range(3):
        outward = _smooth_chain(outward)
    return np.array(chain), outward / np.linalg.norm(outward, axis=1, keepdims=True)


def _smooth_chain(points) -> np.ndarray:
    """One Laplacian step along a chain whose ends lie on the mirror plane."""
    flip = np.array([-1, 1, 1])
    padded = np.concatenate([points[1:2] * flip, points, points[-2:-1] * flip])
    smooth = 0.5 * padded[1:-1] + 0.25 * (padded[2:] + padded[:-2])
    smooth[[0, -1], 0] = 0
    return smooth
