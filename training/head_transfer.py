"""MakeHuman's targets on the template, through the registration."""

import numpy as np
from head_eyeball import similarity_field
from head_makehuman import MakeHuman
from head_register import Registration
from head_surface import Surface
from head_template import Template
from scipy.sparse.linalg import splu

from facecraft.mesh.geometry import graph_laplacian, vertex_normals

_MAX_GAP_MM = 3.0
_BETWEEN_JAWS_MM = -31.0


def transfer_targets(mesh: Template, nostrils: np.ndarray, human: MakeHuman, fit: Registration) -> np.ndarray:
    """Displacements [T, V, 3] mm of every MakeHuman target on the template.

    Skin that lies on MakeHuman's takes what is there; sockets, nostrils and the border follow harmonically; eyeballs,
    teeth, gums and tongue move as similarities with MakeHuman's own; the bust moves with the shoulders' border.
    """
    fields = human.targets @ fit.linear.T.astype(np.float32)
    known, values = _skin_values(mesh, nostrils, human, fit, fields)
    carried = np.zeros((len(fields), len(mesh.vertices), 3), np.float32)
    carried[:, known] = values
    _extend(mesh, carried, known)
    _carry_inner(mesh, human, fit, fields, carried)
    border = _shoulder_parents(mesh)
    bust = np.flatnonzero(border >= 0)
    carried[:, bust] = carried[:, border[bust]]
    return carried


def _skin_values(mesh, nostrils, human, fit, fields) -> tuple[np.ndarray, np.ndarray]:
    surface = Surface(fit.adult, human.group_faces("body"))
    bent = mesh.vertices.copy()
    bent[fit.outer] = fit.places
    normals = vertex_normals(bent, mesh.faces[mesh.in_regions("face", "scalp_neck")])[fit.outer]
    found, weights, gaps = surface.nearest(fit.places, normals, 0.3)
    loose = gaps > 2.5
    found[loose], weights[loose], gaps[loose] = surface.nearest(fit.places[loose])
    inside = np.isin(fit.outer, np.unique(mesh.faces[nostrils]))
    sure = (gaps < _MAX_GAP_MM) & ~inside & ~surface.border_faces()[found]
    corners = surface.faces[found[sure]]
    values = np.zeros((len(fields), int(sure.sum()), 3), np.float32)
    for k in range(3):
        values += fields[:, corners[:, k]] * weights[sure, k, None].astype(np.float32)
    return fit.outer[sure], values


def _extend(mesh, carried, known):
    """Fill the skin that has no value with the mean of its neighbours, everywhere at once."""
    skin = mesh.region_vertices("face", "scalp_neck", "mouth_socket", "eye_socket_L", "eye_socket_R")
    unknown = np.setdiff1d(skin, known)
    faces = mesh.faces[np.isin(mesh.faces, skin).all(1)]
    laplacian = graph_laplacian(faces, len(mesh.vertices))
    solve = splu(laplacian[unknown][:, unknown].tocsc()).solve
    flat = np.moveaxis(carried[:, known], 1, 0).reshape(len(known), -1).astype(float)
    filled = solve(-(laplacian[unknown][:, known] @ flat))
    carried[:, unknown] = np.moveaxis(filled.reshape(len(unknown), len(carried), 3), 0, 1)


def _carry_inner(mesh, human, fit, fields, carried):
    def follow(group, targets):
        members = human.group_vertices(group)
        return similarity_field(fit.adult[members], fields[:, members], targets)

    for ours, theirs in (("eyeball_L", "helper-l-eye"), ("eyeball_R", "helper-r-eye")):
        ball = mesh.region_vertices(ours)
        carried[:, ball] = follow(theirs, mesh.vertices[ball])
    inner = mesh.region_vertices("gums", "tongue", "teeth_upper", "teeth_lower")
    upper = 1 / (1 + np.exp(-(mesh.vertices[inner, 1] - _BETWEEN_JAWS_MM) / 3))
    upper[np.isin(inner, mesh.region_vertices("teeth_upper"))] = 1
    upper[np.isin(inner, mesh.region_vertices("teeth_lower"))] = 0
    above = follow("helper-upper-teeth", mesh.vertices[inner])
    below = follow("helper-lower-teeth", mesh.vertices[inner])
    carried[:, inner] = upper[:, None] * above + (1 - upper[:, None]) * below


def _shoulder_parents(mesh) -> np.ndarray:
    """For each bust vertex the border vertex it hangs from [V]; -1 elsewhere."""
    parents = np.full(len(mesh.vertices), -1)
    bust = mesh.region_vertices("bust")
    skin = mesh.region_vertices("face", "scalp_neck")
    by_source = {int(mesh.sources[v]): int(v) for v in skin}
    for v in np.setdiff1d(bust, skin):
        parents[v] = by_source[int(mesh.sources[v])]
    return parents
