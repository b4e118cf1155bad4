"""How the head moves: the jaw's arc, skinning to the joints, lids on the eyeballs; joints that follow identity."""

from dataclasses import dataclass

import numpy as np
from head_expressions import flatten_tongue, part_lips
from head_eyeball import similarity_field
from head_sources import ARKIT_NAMES, IctHead
from head_template import REGIONS, Template
from scipy.sparse import coo_matrix, diags
from scipy.sparse.linalg import splu
from scipy.spatial.transform import Rotation

from facecraft.mesh.geometry import graph_laplacian, unique_edges

JOINTS = ("root", "neck", "jaw", "eye_L", "eye_R")
PARENTS = (-1, 0, 1, 1, 1)
_ROOT = np.array([0.0, -165.0, -38.5])
# between MakeHuman's neck and head joints of the average adult, registered to the template
_NECK = np.array([0.0, -64.0, -19.5])
# planes across the neck as (height mm, slope of height against z): all above the first is head, below the second shoulders
_HEAD_PLANE = (-80.56, -35 / 135)
_SHOULDER_PLANE = (-142.8, -38 / 150)
LID_REACH_MM = 26.0
# lids clear the eyeball by this much when shut: the chords of stretched lid triangles dip by half a millimetre
_SKIN_MARGIN_MM, _SOCKET_MARGIN_MM = 1.1, 0.7
# so that rounding pushes nothing at rest, and offsets move every vertex of the template one to one
_REST_SLACK_MM = 0.02


@dataclass(frozen=True)
class Rig:
    """Joints [5, 3] mm, skin weights [V, 5], the jaw's turn at jawOpen 1 (rotation vector [3]) and its weights [V]."""

    joints: np.ndarray
    skin_weights: np.ndarray
    jaw_axis: np.ndarray
    jaw_weights: np.ndarray


def build_rig(mesh: Template, ict: IctHead, expressions: np.ndarray) -> Rig:
    """Fit the jaw to jawOpen and lay out weights. `expressions`: see build_expressions; jawOpen is made a
    corrective in place, and mouthClose closes what that opens."""
    jaw_open = expressions[ARKIT_NAMES.index("jawOpen")]
    axis, pivot = _jaw_arc(mesh, jaw_open)
    turn = Rotation.from_rotvec(axis).as_matrix()
    arc = (mesh.vertices - pivot) @ turn.T + pivot - mesh.vertices
    jaw = _jaw_weights(mesh, jaw_open, arc)
    jaw_open -= jaw[:, None] * arc
    parting = part_lips(mesh, ict, jaw)
    jaw_open += flatten_tongue(mesh) @ turn.T + parting
    expressions[ARKIT_NAMES.index("mouthClose")] -= parting
    jaw_open[np.linalg.norm(jaw_open, axis=1) < 0.02] = 0
    head = _head_weights(mesh)
    weights = np.stack([1 - head, head * (1 - jaw), head * jaw, np.zeros_like(head), np.zeros_like(head)], 1)
    for k, side in ((3, "L"), (4, "R")):
        weights[mesh.region_vertices(f"eyeball_{side}")] = np.eye(5)[k]
    return Rig(np.stack([_ROOT, _NECK, pivot, *(eye.centre for eye in mesh.eyes)]), weights, axis, jaw)


def _jaw_arc(mesh, jaw_open) -> tuple[np.ndarray, np.ndarray]:
    """Rotation vector and pivot of the lower teeth: a rigid turn about x through a point of the mirror plane."""
    teeth = mesh.region_vertices("teeth_lower")
    before, after = mesh.vertices[teeth], mesh.vertices[teeth] + jaw_open[teeth]
    turn = Rotation.align_vectors(after - after.mean(0), before - before.mean(0))[0]
    angle = turn.as_rotvec()[0]
    turn = Rotation.from_rotvec([angle, 0, 0]).as_matrix()
    # pivot p with turn p + (mean_after - turn mean_before) = p, in the y-z plane
    offset = after.mean(0) - turn @ before.mean(0)
    pivot = np.r_[0, np.linalg.solve((np.eye(3) - turn)[1:, 1:], offset[1:])]
    return np.array([angle, 0, 0]), pivot


def _jaw_weights(mesh, jaw_open, arc) -> np.ndarray:
    """How much of the arc each vertex makes: jawOpen projected on the arc, smoothed; teeth are all or nothing."""
    weights = np.clip((jaw_open * arc).sum(1) / np.maximum((arc**2).sum(1), 1e-9), 0, 1)
    laplacian = graph_laplacian(mesh.faces, len(weights))
    for _ in range(3):
        weights = weights - 0.5 * (laplacian @ weights)
    weights[mesh.region_vertices("teeth_lower")] = 1
    weights[mesh.region_vertices("teeth_upper", "eyeball_L", "eyeball_R", "bust")] = 0
    weights[weights < 0.01] = 0
    return weights


def _head_weights(mesh) -> np.ndarray:
    """1 on the head, 0 on the shoulders, harmonic on the neck between; everything inside the head is head."""
    y, z = mesh.vertices[:, 1], mesh.vertices[:, 2]
    weights = np.ones(len(y))
    skin = mesh.region_vertices("face", "scalp_neck", "bust")
    weights[skin] = (y > _HEAD_PLANE[0] + _HEAD_PLANE[1] * z)[skin]
    neck = np.zeros(len(y), bool)
    neck[skin] = True
    neck &= (weights == 0) & (y > _SHOULDER_PLANE[0] + _SHOULDER_PLANE[1] * z)
    edges = unique_edges(mesh.faces)
    pulls = 1 / np.linalg.norm(mesh.vertices[edges[:, 0]] - mesh.vertices[edges[:, 1]], axis=1)
    links = coo_matrix((pulls, edges.T), shape=(len(y), len(y))).tocsr()
    links = links + links.T
    laplacian = (diags(np.asarray(links.sum(1)).ravel()) - links).tocsr()
    weights[neck] = splu(laplacian[neck][:, neck].tocsc()).solve(-(laplacian[neck][:, ~neck] @ weights[~neck]))
    # half-way to smoothstep: no crease where the neck meets head and shoulders
    return np.clip(0.4 * weights + 0.6 * weights**2 * (3 - 2 * weights), 0, 1)


def joint_modes(mesh: Template, rig: Rig, modes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How identity modes [K, V, 3] move the joints [K, 5, 3] mm and scale the eyeballs [K, 2]."""
    skin = np.zeros(len(mesh.vertices), bool)
    skin[mesh.region_vertices("face", "scalp_neck")] = True
    x, y, z = mesh.vertices.T
    root_ring = skin & (np.abs(y + 150) < 20)
    neck_ring = skin & (np.abs(y - _NECK[1]) < 18) & (z < 60)
    hinges = skin & (np.linalg.norm(np.stack([np.abs(x) - 68, y + 5.5, z - 18], 1), axis=1) < 28)
    moves = [modes[:, part].mean(1) for part in (root_ring, neck_ring, hinges)]
    scales = []
    for k, side in enumerate("LR"):
        ball = mesh.region_vertices(f"eyeball_{side}")
        centre = mesh.eyes[k].centre
        rim = np.stack([centre, centre + [1, 0, 0]])
        field = similarity_field(mesh.vertices[ball], modes[:, ball], rim)
        moves.append(field[:, 0])
        scales.append((field[:, 1] - field[:, 0])[:, 0])
    return np.stack(moves, 1), np.stack(scales, 1)


def lid_vertices(mesh: Template, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [L] around eye 0 left or 1 right, and least clearances [2, L] mm over the eyeball at rest and shut.

    At rest a vertex may stay as deep as the template has it (the corners are inside the eyeball).
    """
    eye, socket = mesh.eyes[side], f"eye_socket_{'LR'[side]}"
    arms = mesh.vertices - eye.centre
    reach = np.linalg.norm(arms, axis=1)
    cosines = arms @ eye.axis / reach
    outside = mesh.vertex_regions == REGIONS.index("face")
    around = outside | (mesh.vertex_regions == REGIONS.index(socket))
    lids = np.flatnonzero(around & (reach < LID_REACH_MM) & (cosines > 0.35))
    margins = np.where(outside[lids], _SKIN_MARGIN_MM, _SOCKET_MARGIN_MM)
    clearances = reach[lids] - eye.radius(np.degrees(np.arccos(cosines[lids])))
    return lids, np.stack([np.minimum(clearances - _REST_SLACK_MM, 0.2), margins])
