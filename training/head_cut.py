"""What of ICT-FaceKit the open head keeps: the left half of the skin, gums and tongue decimated, and 14 teeth cut short."""

from collections import defaultdict

import numpy as np
from head_decimate import decimate_mesh
from head_sources import IctHead
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

_SKIN = ("face", "head_neck", "mouth_socket", "eye_socket_L")
_SKIN_TARGET, _GUMS_TARGET, _TOOTH_TARGET = 2400, 300, 25
# expressions that bend the skin most: the decimated mesh must follow these as well as the neutral head
_BENDING = (
    "jawOpen eyeBlink_L mouthFunnel mouthPucker mouthSmile_L mouthLeft mouthRollLower mouthRollUpper mouthShrugLower "
    "noseSneer_L cheekPuff_L browInnerUp_L browOuterUp_L browDown_L mouthStretch_L mouthUpperUp_L eyeWide_L eyeLookDown_L "
    "eyeSquint_L mouthFrown_L mouthLowerDown_L"
).split()


def cut_skin(ict: IctHead) -> dict[str, np.ndarray]:
    """Faces of the left half of each skin region, decimated, over ICT's vertices."""
    parts = {name: _left_half(ict, ict.region_faces(name)) for name in _SKIN}
    faces = np.concatenate(list(parts.values()))
    labels = np.repeat(np.arange(len(parts)), [len(part) for part in parts.values()])
    # face and scalp are one surface: the line between them need not stay
    chart = np.where(labels == 1, 0, labels)
    importance, spacing = _skin_density(ict)
    fixed = {int(v) for v in np.concatenate([ict.landmarks68, ict.mirror[ict.landmarks68]])}
    kept, ids = decimate_mesh(
        _bent_shapes(ict), faces, _SKIN_TARGET, _border_edges(faces, chart), importance, spacing, fixed
    )
    return {name: kept[labels[ids] == k] for k, name in enumerate(parts)}


def cut_gums(ict: IctHead) -> dict[str, np.ndarray]:
    """Faces of the left half of `gums` and `tongue`, decimated."""
    faces = _left_half(ict, ict.region_faces("gums_tongue"))
    tongue = _tongue_vertices(ict)
    importance = np.full(len(ict.neutral), 0.15)
    spacing = np.full(len(ict.neutral), 8.0)
    importance[tongue], spacing[tongue] = 0.4, 7.0
    importance[ict.neutral[:, 2] > 75] *= 1.5
    shapes = ict.neutral + np.concatenate([np.zeros_like(ict.identity[:1]), 2 * ict.identity[:3]])
    kept, _ = decimate_mesh(
        shapes, faces, _GUMS_TARGET, _border_edges(faces, np.zeros(len(faces))), importance, spacing, set()
    )
    inside = np.isin(kept, tongue).all(1)
    return {"gums": kept[~inside], "tongue": kept[inside]}


def cut_teeth(ict: IctHead) -> dict[str, list[np.ndarray]]:
    """Faces of the seven left teeth of each jaw, front to back: wisdom teeth dropped, roots cut inside the gums."""
    faces = ict.region_faces("teeth")
    labels = _components(faces, len(ict.neutral))
    teeth = [faces[labels[faces[:, 0]] == k] for k in np.unique(labels[faces[:, 0]])]
    teeth = [tooth for tooth in teeth if ict.neutral[tooth][..., 0].mean() > 0]
    heights = [ict.neutral[tooth][..., 1].mean() for tooth in teeth]
    between_jaws = np.mean(heights)
    rows = {"teeth_upper": [], "teeth_lower": []}
    for tooth, height in zip(teeth, heights, strict=True):
        rows["teeth_upper" if height > between_jaws else "teeth_lower"].append(tooth)
    for name, row in rows.items():
        row.sort(key=lambda tooth: -ict.neutral[tooth][..., 2].mean())
        rows[name] = [_cut_tooth(ict, tooth, name == "teeth_upper") for tooth in row[:7]]
    return rows


def _cut_tooth(ict, faces, upper) -> np.ndarray:
    vertices = np.unique(faces)
    heights = ict.neutral[vertices, 1]
    depths = heights - heights.min() if upper else heights.max() - heights
    front = ict.neutral[vertices, 2].mean() > 90
    crown = vertices[depths < min(13.0 if front else 10.0, 0.8 * depths.max())]
    faces = _without_bow_ties(faces[np.isin(faces, crown).all(1)], len(ict.neutral))
    ones = np.ones(len(ict.neutral))
    borders = _border_edges(faces, np.zeros(len(faces)))
    return decimate_mesh(ict.neutral[None], faces, _TOOTH_TARGET, borders, ones, 6 * ones, set(), max_edge=4.0)[0]


def _without_bow_ties(faces, count) -> np.ndarray:
    """The largest piece, without vertices where its border touches itself: a chart must have one simple border."""
    while True:
        labels = _components(faces, count)[faces[:, 0]]
        faces = faces[labels == np.bincount(labels).argmax()]
        ends = [v for edge in _border_edges(faces, np.zeros(len(faces))) for v in edge]
        touching = np.flatnonzero(np.bincount(ends, minlength=count) > 2)
        if not len(touching):
            return faces
        faces = faces[~np.isin(faces, touching).any(1)]


def _left_half(ict, faces) -> np.ndarray:
    return faces[(ict.neutral[faces][..., 0] >= -0.03).all(1)]


def _border_edges(faces, labels) -> list:
    """Edges with one face, or with faces of different labels."""
    seen = defaultdict(list)
    for (a, b, c), label in zip(faces.tolist(), np.asarray(labels).tolist(), strict=True):
        for edge in ((a, b), (b, c), (c, a)):
            seen[tuple(sorted(edge))].append(label)
    return [edge for edge, around in seen.items() if len(around) == 1 or len(set(around)) > 1]


def _components(faces, count) -> np.ndarray:
    links = coo_matrix((np.ones(3 * len(faces)), (faces.ravel(), np.roll(faces, 1, 1).ravel())), shape=(count, count))
    return connected_components(links, directed=False)[1]


def _tongue_vertices(ict) -> np.ndarray:
    """The tongue is the islands in ICT's UVs that lie between the tooth rows, in front of the throat."""
    span = slice(*ict.face_ranges["gums_tongue"])
    faces, uv_faces = ict.faces[span], ict.uv_faces[span]
    islands = _components(uv_faces, int(uv_faces.max()) + 1)[uv_faces[:, 0]]
    found = []
    for island in np.unique(islands):
        vertices = np.unique(faces[islands == island])
        low, high = ict.neutral[vertices].min(0), ict.neutral[vertices].max(0)
        if abs(low[0] + high[0]) < 1 and low[0] > -20.5 and low[1] > -54 and low[2] > 30:
            found.append(vertices)
    return np.unique(np.concatenate(found))


def _bent_shapes(ict) -> np.ndarray:
    deltas = [np.zeros_like(ict.neutral), *(2 * ict.identity[:8]), *(ict.expressions[name] for name in _BENDING)]
    deltas.append(ict.expressions["jawOpen"] + 0.9 * ict.expressions["mouthClose"])
    return ict.neutral + np.stack(deltas)


def _skin_density(ict) -> tuple[np.ndarray, np.ndarray]:
    """Importance [V] and wanted edge length [V] mm: fine at lids and lips, coarse on the scalp and inside."""
    points, marks = ict.neutral, ict.neutral[ict.landmarks68]
    eye, lips = _line_distance(points, marks[42:48], True), _line_distance(points, marks[48:60], True)
    nose, brow = cKDTree(marks[27:36]).query(points)[0], _line_distance(points, marks[22:27], False)

    def near(distance, reach):
        return np.exp(-((distance / reach) ** 2))

    importance = 1 + 7 * near(eye, 10) + 5 * near(lips, 9) + 1.5 * near(nose, 14) + near(brow, 10)
    fine = np.maximum.reduce([near(eye, 12), 0.9 * near(lips, 12), 0.5 * near(nose, 16), 0.4 * near(brow, 12)])
    spacing = 6.5 - 3.7 * fine
    _set_outer_density(ict, importance, spacing)
    for name, distance, floor in (("mouth_socket", lips, 0.02), ("eye_socket_L", eye, 0.01)):
        inside = ict.region(name)
        importance[inside] = floor + near(distance[inside], 5)
        spacing[inside] = 8 - 4 * near(distance[inside], 7)
    return importance, spacing


def _set_outer_density(ict, importance, spacing):
    x, y, z = ict.neutral.T
    scalp = ict.region("head_neck")
    # ICT numbers the narrow face first: what follows in the region is cheeks' rim, ears and front neck
    rim = ict.region("face")[6706:]
    importance[scalp], spacing[scalp] = 0.12, 13.0
    importance[rim] *= 0.25
    spacing[rim] = 8.0
    face = np.zeros(len(x), bool)
    face[ict.region("face")] = True
    ears = face & (np.abs(x) > 66) & (y > -25) & (y < 60) & (z > -35) & (z < 40)
    importance[ears], spacing[ears] = 0.5, 6.0
    spacing[face & (y < -70) & (z < 75)] = 11.0


def _line_distance(points, corners, closed) -> np.ndarray:
    ends = np.roll(corners, -1, 0) if closed else corners[1:]
    starts = corners if closed else corners[:-1]
    steps = np.linspace(0, 1, 12)[:, None, None]
    return cKDTree((starts + steps * (ends - starts)).reshape(-1, 3)).query(points)[0]
