"""Teeth that touch: those of the head stand 0.4 to 1.6 mm apart, and a smile would show the dark mouth between them."""

from functools import cache

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from facecraft.head.model import HeadModel

TIP, TAPER_M = 0.3, 1e-4  # of a tooth's height, within which it is narrower, and by how much at its end on either side
CORE = 0.25  # of its width, from its middle on, beyond which all moves as the side does
MOST_M = 1.5e-3  # by which a side of a tooth moves
JAWS = (("teeth_upper", -1), ("teeth_lower", 1))  # and which way their tips point


@cache
def close_gaps(head: HeadModel) -> np.ndarray:
    """Offsets [V, 3], m, that make teeth as wide as half the way to their neighbours on either side, at all heights but their tips."""
    template = head.template.double().numpy()
    offsets = np.zeros(template.shape)
    for region, up in JAWS:
        edges, teeth = _teeth(head, region, template)
        if len(teeth) < 2:
            continue
        middles = np.array([(template[tooth].min(0) + template[tooth].max(0)) / 2 for tooth in teeth])
        along = np.gradient(middles * [1, 0, 1], axis=0)
        along /= np.linalg.norm(along, axis=1, keepdims=True)
        ways = [(template - middle) @ way for middle, way in zip(middles, along, strict=True)]
        first, last = (
            np.array([template[tooth[pick(way[tooth])]] for tooth, way in zip(teeth, ways, strict=True)])
            for pick in (np.argmin, np.argmax)
        )
        borders = np.concatenate([first[:1], (last[:-1] + first[1:]) / 2, last[-1:]])
        for number, (tooth, way) in enumerate(zip(teeth, ways, strict=True)):
            ends = (borders[number : number + 2] - middles[number]) @ along[number]
            here = edges[np.isin(edges[:, 0], tooth)]
            moves = _widen(up * template[tooth, 1], way[tooth], up * template[here, 1], way[here], ends)
            offsets[tooth] = moves[:, None] * along[number]
    return offsets


def _widen(heights: np.ndarray, ways: np.ndarray, edge_heights: np.ndarray, edge_ways: np.ndarray, ends: np.ndarray):
    """How far the vertices of a tooth move along the jaw [n], m, so that it reaches both `ends` [2]. `heights` and `ways` [n] are
    where they are, from the tooth's middle, those of the edges [E, 2]."""
    from_tip = (heights.max() - heights) / np.ptp(heights)
    ends = ends + TAPER_M * np.clip(1 - from_tip / TIP, 0, 1)[:, None] * [1, -1]
    low, high = _sections(edge_heights, edge_ways, heights)
    moves = np.clip(ends - np.stack([low, high], 1), -MOST_M, MOST_M)
    core = CORE * np.ptp(ways)
    low, high = np.minimum(low, -core), np.maximum(high, core)
    return moves[:, 0] + (ways - low) / (high - low) * (moves[:, 1] - moves[:, 0])


def _sections(heights: np.ndarray, ways: np.ndarray, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far a tooth with such edges [E, 2] reaches to either side [n] at some `levels` [n]."""
    rising = np.abs(np.diff(heights, axis=1)[:, 0]) > 1e-9
    heights, ways = heights[rising], ways[rising]
    share = (levels[:, None] - heights[:, 0]) / np.diff(heights, axis=1)[:, 0]
    crossed = (share >= 0) & (share <= 1)
    at = ways[:, 0] + share * np.diff(ways, axis=1)[:, 0]
    return np.where(crossed, at, np.inf).min(1), np.where(crossed, at, -np.inf).max(1)


def _teeth(head: HeadModel, region: str, template: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Edges [E, 2] and vertices of each tooth of a jaw, from the subject's right to the left around the arch."""
    faces = head.faces.numpy()[head.faces_of((region,)).numpy()]
    edges = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    graph = coo_matrix((np.ones(len(edges)), edges.T), shape=(len(template),) * 2)
    labels = 2 * connected_components(graph, directed=False)[1] + (template[:, 0] > 0)
    vertices = np.unique(faces)
    vertices = vertices[np.abs(template[vertices, 0]) > 1e-6]  # where two teeth share one
    teeth = [vertices[labels[vertices] == label] for label in np.unique(labels[vertices])]
    back = template[vertices, 2].min(initial=0)
    return edges, sorted(teeth, key=lambda tooth: np.arctan2(*(template[tooth].mean(0) - [0, 0, back])[[0, 2]]))
