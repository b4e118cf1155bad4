"""One UV atlas: the skin as a single symmetric chart cut down the back midline, everything else in a strip below it."""

import numpy as np
from head_eyeball import MERIDIANS, RING_ANGLES_DEG
from head_flatten import minimise_distortion, tutte_embedding
from head_sources import IctHead
from head_template import REGIONS, SKIN, Template
from scipy.spatial import cKDTree

_GUTTER = 0.004
_STRIP = 0.13


class _Atlas:
    """Texture vertices collected chart by chart."""

    def __init__(self, face_count: int):
        self.uvs, self.count = [], 0
        self.faces_uv = np.full((face_count, 3), -1)

    def add(self, face_ids, uv, local_faces):
        self.faces_uv[face_ids] = local_faces + self.count
        self.uvs.append(uv)
        self.count += len(uv)


def build_atlas(mesh: Template, ict: IctHead, nostrils: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """UVs [T, 2] in [0, 1] (v up) and faces into them [F, 3]; no triangle flipped."""
    atlas = _Atlas(len(mesh.faces))
    _add_skin(atlas, mesh, _wanted_scales(mesh, ict, nostrils))
    height, x = _STRIP - 2 * _GUTTER, _GUTTER
    for side in "LR":
        _add_eyeball(atlas, mesh, side, (x, _GUTTER, height, height))
        x += height + _GUTTER
    for region, width in (("mouth_socket", 0.09), ("gums", 0.085), ("tongue", 0.06)):
        boxes = [(x + k * (width + _GUTTER), _GUTTER, width, height) for k in range(2)]
        _add_pair(atlas, mesh, _left_faces(mesh, mesh.in_regions(region)), boxes[1], boxes[0])
        x += 2 * (width + _GUTTER)
    half = (height - _GUTTER) / 2
    left = np.flatnonzero(mesh.in_regions("eye_socket_L"))
    _add_pair(atlas, mesh, left, (x, 2 * _GUTTER + half, 0.055, half), (x, _GUTTER, 0.055, half))
    _add_teeth(atlas, mesh, x + 0.055 + _GUTTER, height)
    uvs = np.concatenate(atlas.uvs)
    used, faces_uv = np.unique(atlas.faces_uv, return_inverse=True)
    assert used[0] == 0 and (signed_areas(uvs[used], faces_uv.reshape(-1, 3)) > 0).all()
    return uvs[used], faces_uv.reshape(-1, 3)


def signed_areas(uvs: np.ndarray, faces_uv: np.ndarray) -> np.ndarray:
    """Area of each texture triangle [F], positive when it is not flipped."""
    a, b, c = (uvs[faces_uv[:, i]] for i in range(3))
    return 0.5 * ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0])


def _left_faces(mesh, mask) -> np.ndarray:
    ids = np.flatnonzero(mask)
    return ids[mesh.is_left(mesh.faces[ids])]


def _mirrored_faces(mesh, face_ids) -> np.ndarray:
    """The faces on the other side."""
    number = {tuple(sorted(face)): f for f, face in enumerate(mesh.faces.tolist())}
    return np.array([number[tuple(sorted(mesh.mirror[mesh.faces[f]].tolist()))] for f in face_ids])


def _wanted_scales(mesh, ict, nostrils) -> np.ndarray:
    """Texel density per vertex: most at the lids and lips, least where hair or clothes hide the skin."""
    points, marks = mesh.vertices, ict.neutral[ict.landmarks68]
    scales = np.full(len(points), 0.8)
    for region, scale in (("scalp_neck", 0.75), ("bust", 0.5), ("face", 1.15)):
        scales[mesh.vertex_regions == REGIONS.index(region)] = scale
    scales[(points[:, 1] < -95) & (mesh.vertex_regions == 0)] = 0.8
    for part, gain, reach in ((marks[36:48], 1.1, 16), (marks[48:68], 0.7, 18), (marks[27:36], 0.3, 18)):
        scales *= 1 + gain * np.exp(-((cKDTree(part).query(points)[0] / reach) ** 2))
    scales[np.unique(mesh.faces[nostrils])] = 0.6
    links = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    for _ in range(4):
        sums, counts = scales.copy(), np.ones(len(scales))
        np.add.at(sums, links[:, 0], scales[links[:, 1]])
        np.add.at(counts, links[:, 0], 1)
        scales = sums / counts
    return scales


def _add_skin(atlas, mesh, scales):
    ids = _left_faces(mesh, mesh.in_regions(*SKIN))
    vertices, faces = _localised(mesh.faces[ids])
    uv, front = _flatten_half(mesh.vertices[vertices], faces, scales[vertices])
    low, size = uv.min(0), np.ptp(uv, axis=0)
    scale = min((0.5 - _GUTTER) / size[0], (1 - _STRIP - 2 * _GUTTER) / size[1])
    uv = (uv - [0, low[1]]) * scale + [0.5, _STRIP + _GUTTER]
    shared = np.arange(len(vertices))
    shared = np.where(np.isin(shared, front), shared, shared + len(vertices))
    both = np.concatenate([uv, uv * [-1, 1] + [1, 0]])
    other = _mirrored_faces(mesh, ids)
    number = dict(zip(mesh.mirror[vertices].tolist(), shared.tolist(), strict=True))
    other_faces = np.array([[number[int(v)] for v in mesh.faces[f]] for f in other])
    atlas.add(np.concatenate([ids, other]), both, np.concatenate([faces, other_faces]))


def _localised(faces) -> tuple[np.ndarray, np.ndarray]:
    vertices, local = np.unique(faces, return_inverse=True)
    return vertices, local.reshape(-1, 3)


def _flatten_half(points, faces, scales) -> tuple[np.ndarray, np.ndarray]:
    """UV [V, 2] of the left half with its front midline straight at u = 0, and the vertices of that midline."""
    count = len(points)
    *holes, outer = sorted(_border_loops(faces), key=len)
    points, faces, outer = _bridge_mouth(points, faces, outer)
    points, faces = _close_holes(points, faces, holes)
    crown = int(np.argmax(points[outer, 1]))
    front, rest = outer[: crown + 1], outer[crown:] + outer[:1]
    upright = _arc_lengths(points[front])
    turns = np.pi * _arc_lengths(points[rest])
    line = np.stack([np.zeros(len(front)), 2 * upright - 1], 1)
    arc = np.stack([np.sin(turns), np.cos(turns)], 1)[1:-1]
    uv = tutte_embedding(faces, np.array(front + rest[1:-1]), np.concatenate([line, arc]), len(points))
    held = np.zeros((len(points), 2), bool)
    held[front, 0] = True
    wanted = np.concatenate([scales, np.ones(len(points) - count)])[faces].mean(1)
    return minimise_distortion(points, faces, uv, wanted, held)[:count], np.array(front)


def _arc_lengths(points) -> np.ndarray:
    lengths = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    return lengths / lengths[-1]


def _border_loops(faces) -> list[list[int]]:
    """Closed borders in the direction of their faces."""
    edges = {(a, b) for f in faces.tolist() for a, b in zip(f, f[1:] + f[:1], strict=True)}
    onward = {a: b for a, b in edges if (b, a) not in edges}
    loops = []
    while onward:
        loop = [min(onward)]
        while (step := onward.pop(loop[-1])) != loop[0]:
            loop.append(step)
        loops.append(loop)
    return loops


def _bridge_mouth(points, faces, border) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Close the half mouth with a fan about a new midline point. The border then runs up the front from the chest."""
    middle = points[:, 0] == 0
    chest, mouth = sorted(_side_chains(border, middle), key=lambda chain: points[chain, 1].mean())
    centre = len(points)
    points = np.concatenate([points, points[[mouth[0], mouth[-1]]].mean(0)[None]])
    faces = np.concatenate([faces, [(b, a, centre) for a, b in zip(mouth, mouth[1:], strict=False)]])
    kept = [v for v in border if v not in mouth[1:-1]]
    kept.insert(kept.index(mouth[0]) + 1, centre)
    upward = kept[::-1]
    start = upward.index(chest[0])
    return points, faces, upward[start:] + upward[:start]


def _side_chains(border, middle) -> list[list[int]]:
    """Runs of the border that leave the midline, with the midline vertices at their ends."""
    turned = border * 2
    chains = []
    for i, vertex in enumerate(border):
        if middle[vertex] and not middle[turned[i + 1]]:
            stop = next(j for j in range(i + 1, len(turned)) if middle[turned[j]])
            chains.append(turned[i : stop + 1])
    return chains


def _close_holes(points, faces, loops) -> tuple[np.ndarray, np.ndarray]:
    """Fans over holes, so that they keep their shape."""
    for loop in loops:
        centre = len(points)
        points = np.concatenate([points, points[loop].mean(0)[None]])
        faces = np.concatenate([faces, [(b, a, centre) for a, b in zip(loop, loop[1:] + loop[:1], strict=True)]])
    return points, faces


def _flatten_disc(points, faces) -> np.ndarray:
    """UV [V, 2] of a piece with one outer border, head up, in mm."""
    count = len(points)
    loops = sorted(_border_loops(faces), key=lambda loop: -np.linalg.norm(np.diff(points[loop], axis=0), axis=1).sum())
    outer = loops[0]
    closed, filled = _close_holes(points, faces, loops[1:])
    turns = 2 * np.pi * _arc_lengths(closed[outer + outer[:1]])[:-1]
    uv = tutte_embedding(filled, np.array(outer), np.stack([np.cos(turns), np.sin(turns)], 1), len(closed))
    ones, free = np.ones(len(filled)), np.zeros((len(closed), 2), bool)
    uv = minimise_distortion(closed, filled, uv, ones, free)[:count]
    upward = np.linalg.lstsq(uv - uv.mean(0), points[:, 1] - points[:, 1].mean(), rcond=None)[0]
    upward /= np.linalg.norm(upward)
    return np.stack([uv @ [upward[1], -upward[0]], uv @ upward], 1)


def _add_pair(atlas, mesh, left_ids, left_box, right_box):
    """A chart for a left piece and its mirror image for the right."""
    vertices, faces = _localised(mesh.faces[left_ids])
    uv = _flatten_disc(mesh.vertices[vertices], faces)
    atlas.add(left_ids, _place(uv, left_box), faces)
    right_ids = _mirrored_faces(mesh, left_ids)
    number = np.zeros(len(mesh.vertices), int)
    number[mesh.mirror[vertices]] = np.arange(len(vertices))
    atlas.add(right_ids, _place(uv * [-1, 1], right_box), number[mesh.faces[right_ids]])


def _place(uv, box) -> np.ndarray:
    """Fit into a box (x, y, width, height), centred, shape kept."""
    corner, room = np.array(box[:2]), np.array(box[2:])
    size = np.ptp(uv, axis=0)
    scale = (room / size).min()
    return (uv - uv.min(0)) * scale + corner + (room - size * scale) / 2


def _add_teeth(atlas, mesh, x, height):
    width, row = (1 - _GUTTER - x) / 7, height / 4
    for tooth in [*range(7), *range(14, 21)]:
        column, y = x + (tooth % 7) * width, _GUTTER + (2 * row if tooth < 14 else 0)
        boxes = [(column, y + k * row, width - _GUTTER / 2, row - _GUTTER / 2) for k in range(2)]
        _add_pair(atlas, mesh, np.flatnonzero(mesh.tooth_ids == tooth), *boxes)


def _add_eyeball(atlas, mesh, side, box):
    """Polar chart, the pupil in the middle; the back pole is cut into one point per meridian."""
    ids = np.flatnonzero(mesh.in_regions(f"eyeball_{side}"))
    faces = mesh.faces[ids] - mesh.faces[ids].min()
    rings = len(RING_ANGLES_DEG)
    # more room for iris and pupil than an even polar chart would give
    radii = (np.append(RING_ANGLES_DEG, 180) / 180) ** 0.6
    turns = 2 * np.pi * (np.arange(MERIDIANS) + np.r_[np.zeros(rings), 0.5][:, None]) / MERIDIANS
    flip = 1 if side == "L" else -1
    grid = 0.5 + 0.5 * radii[:, None, None] * np.stack([flip * np.sin(turns), np.cos(turns)], -1)
    uv = np.concatenate([[(0.5, 0.5)], grid.reshape(-1, 2)])
    back = 1 + rings * MERIDIANS
    for face in faces:
        if back in face:
            a, b = sorted((face[face != back] - 1) % MERIDIANS)
            face[face == back] = back + (a if b == a + 1 else b)
    atlas.add(ids, np.array(box[:2]) + uv * box[2:], faces)
