"""Named directions of identity from MakeHuman's modifiers: what to add to the coefficients of a head to make it older,
heavier, longer-nosed. 1 is the full strength of MakeHuman's slider, from its average to its end."""

import numpy as np
from head_identity import region_weights, remove_rigid
from head_makehuman import MakeHuman, macro_weights, target_vector
from head_template import Template

# sliders of the whole body: (sex, age, muscle, weight) at both ends, and how many times the direction goes between them
_BODY = {
    "age": ((0.5, 0.5, 0.5, 0.5), (0.5, 1.0, 0.5, 0.5), 1),
    "child": ((0.5, 0.5, 0.5, 0.5), (0.5, 0.0, 0.5, 0.5), 1),
    "sex": ((0.0, 0.5, 0.5, 0.5), (1.0, 0.5, 0.5, 0.5), 2),
    "weight": ((0.5, 0.5, 0.5, 0.0), (0.5, 0.5, 0.5, 1.0), 2),
    "muscle": ((0.5, 0.5, 0.0, 0.5), (0.5, 0.5, 1.0, 0.5), 2),
}
# sliders of one part: targets of the positive end, of the negative end. "*" stands for both sides
_DETAILS = {
    "headWidth": ("head/head-scale-horiz-incr", "head/head-scale-horiz-decr"),
    "headHeight": ("head/head-scale-vert-incr", "head/head-scale-vert-decr"),
    "headDepth": ("head/head-scale-depth-incr", "head/head-scale-depth-decr"),
    "foreheadHeight": ("forehead/forehead-scale-vert-incr", "forehead/forehead-scale-vert-decr"),
    "browHeight": ("eyebrows/eyebrows-trans-up", "eyebrows/eyebrows-trans-down"),
    "browRidge": ("eyebrows/eyebrows-trans-forward", "eyebrows/eyebrows-trans-backward"),
    "eyeSize": ("eyes/*-eye-scale-incr", "eyes/*-eye-scale-decr"),
    "eyeSpacing": ("eyes/*-eye-trans-out", "eyes/*-eye-trans-in"),
    "eyeOpening": ("eyes/*-eye-height2-incr", "eyes/*-eye-height2-decr"),
    "noseWidth": ("nose/nose-scale-horiz-incr", "nose/nose-scale-horiz-decr"),
    "noseLength": ("nose/nose-scale-vert-incr", "nose/nose-scale-vert-decr"),
    "noseDepth": ("nose/nose-scale-depth-incr", "nose/nose-scale-depth-decr"),
    "noseHump": ("nose/nose-hump-incr", "nose/nose-hump-decr"),
    "noseTip": ("nose/nose-point-up", "nose/nose-point-down"),
    "mouthWidth": ("mouth/mouth-scale-horiz-incr", "mouth/mouth-scale-horiz-decr"),
    "upperLip": ("mouth/mouth-upperlip-height-incr", "mouth/mouth-upperlip-height-decr"),
    "lowerLip": ("mouth/mouth-lowerlip-height-incr", "mouth/mouth-lowerlip-height-decr"),
    "chinWidth": ("chin/chin-width-incr", "chin/chin-width-decr"),
    "chinHeight": ("chin/chin-height-incr", "chin/chin-height-decr"),
    "chinDepth": ("chin/chin-prominent-incr", "chin/chin-prominent-decr"),
    "jawWidth": ("head/head-triangular", "head/head-invertedtriangular"),
    "jawAngle": ("chin/chin-bones-incr", "chin/chin-bones-decr"),
    "cheekbones": ("cheek/*-cheek-bones-incr", "cheek/*-cheek-bones-decr"),
    "cheekFullness": ("cheek/*-cheek-volume-incr", "cheek/*-cheek-volume-decr"),
    "earSize": ("ears/*-ear-scale-incr", "ears/*-ear-scale-decr"),
    "earStandOut": ("ears/*-ear-wing-incr", "ears/*-ear-wing-decr"),
    "neckWidth": ("neck/neck-scale-horiz-incr", "neck/neck-scale-horiz-decr"),
}
# MakeHuman's weight is felt below the neck: these carry it to the face
_WEIGHT_TOO = (("head/head-fat-incr", "head/head-fat-decr"), ("neck/neck-double-incr", "neck/neck-double-decr"))
EDIT_NAMES = (*_BODY, *_DETAILS)
_RIDGE_MM = 0.02
# the joints of the eyes follow coefficients only, so these must carry the eyeballs; each counts as much as 4 % of the skin
_EYEBALL_SHARE = 0.04


def edit_amounts(human: MakeHuman) -> np.ndarray:
    """Amounts [D, T] of MakeHuman's targets that 1 of each of EDIT_NAMES is, beyond the average adult."""
    rows = {name: (_body(human, end) - _body(human, start)) / steps for name, (start, end, steps) in _BODY.items()}
    rows |= {name: _detail(human, *ends) for name, ends in _DETAILS.items()}
    rows["weight"] = rows["weight"] + sum(_detail(human, *ends) for ends in _WEIGHT_TOO)
    return np.stack([rows[name] for name in EDIT_NAMES])


def _body(human, sliders) -> np.ndarray:
    sex, age, muscle, weight = sliders
    return target_vector(human, macro_weights(sex, age, np.full(3, 1 / 3), muscle, weight))


def _detail(human, more, less) -> np.ndarray:
    ends = [{name.replace("*", side): 1.0 for side in "lr"} for name in (more, less)]
    missing = {name for end in ends for name in end} - set(human.target_names)
    assert not missing, missing
    return 0.5 * (target_vector(human, ends[0]) - target_vector(human, ends[1]))


def find_directions(mesh: Template, modes: np.ndarray, fields: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`fields` [D, V, 3] mm as identity coefficients [D, K] of `modes` [K, V, 3] mm, and what those leave of them on the
    skin and its sockets [D, V, 3] mm. Without rigid motion, and mirrored, so that no direction has a side."""
    matter, hold = region_weights(mesh)
    fields = 0.5 * (fields + fields[:, mesh.mirror] * [-1, 1, 1])
    fields = remove_rigid(mesh, fields, hold)
    for side in "LR":
        ball = mesh.region_vertices(f"eyeball_{side}")
        matter[ball] = _EYEBALL_SHARE / len(ball)
    root = np.sqrt(matter)[:, None]
    basis, goals = (modes * root).reshape(len(modes), -1), (fields * root).reshape(len(fields), -1)
    normal = basis @ basis.T + _RIDGE_MM**2 * np.eye(len(modes))
    directions = np.linalg.solve(normal, basis @ goals.T).T
    left = fields - np.tensordot(directions, modes, 1)
    inner = mesh.region_vertices("eyeball_L", "eyeball_R", "gums", "tongue", "teeth_upper", "teeth_lower")
    left[:, np.setdiff1d(inner, mesh.region_vertices("mouth_socket"))] = 0
    return directions, left
