"""The shipped file: facecraft's frame and units, small types, names and licences in the header."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from head_directions import EDIT_NAMES
from head_rig import JOINTS, PARENTS, Rig, joint_modes, lid_vertices
from head_sources import ARKIT_NAMES, IctHead
from head_template import REGIONS, Template
from safetensors.numpy import save_file
from scipy.spatial.transform import Rotation

FORMAT = "facecraft-open-head/1"
# ICT's neutral looks up: faces fitted to photos came out pitched by 8 degrees; this makes neutral look along +z
_PITCH_DEG = 7.0
_PROFILE_STEPS = 256

# K modes, D edits, V vertices, F faces, T texture vertices, J joints, R noise factors, L lid vertices
_CONTENTS = {
    "template": "vertices [V, 3] of the mean head, m",
    "faces": "corners [F, 3], counter-clockwise seen from outside",
    "uvs": "texture coordinates [T, 2] in [0, 1], v up",
    "faces_uv": "corners [F, 3] into uvs",
    "face_regions": "[F] into region_names",
    "vertex_regions": "[V] into region_names",
    "mirror": "vertex on the other side [V]",
    "tooth_ids": "[F], -1 outside teeth; upper left 0-6 front to back, upper right 7-13, lower 14-27",
    "nostril_faces": "numbers of the faces inside the nostrils",
    "shape_basis": "identity modes [K, V, 3] of one standard deviation, m",
    "edit_shapes": "identity coefficients [D, K] of 1 of each of edit_names, standard deviations",
    "edit_offsets": "what those leave of the edits on the skin [D, V, 3], m",
    "joints": "joints [J, 3] of the mean head, m",
    "joint_basis": "how identity modes move the joints [K, J, 3], m",
    "eye_scale_basis": "how identity modes scale the eyeballs [K, 2], left first",
    "expression_starts": "rows of each channel in expression_vertices: [53]",
    "expression_vertices": "vertices that channels move",
    "expression_deltas": "and by how much at 1, m; jawOpen is what is left beside the turn of the jaw",
    "skin_weights": "[V, J], rows sum to 1",
    "jaw_open_axis": "axis times angle of the jaw at jawOpen 1 [3], rad",
    "jaw_vertices": "vertices that the jaw turns",
    "jaw_weights": "and their share in the turn",
    "eye_axes": "where the pupils point at gaze 0 [2, 3], left first",
    "eye_radii": "radius of the eyeball at cosines 0 to 1 from eye_axes, m",
    "eyeball_left": "vertices of the eyeball",
    "eyeball_right": "vertices of the eyeball",
    "lid_left": "vertices [L] that may not sink into the eyeball",
    "lid_right": "vertices [L] that may not sink into the eyeball",
    "lid_left_clearances": "least height over the eyeball at rest and shut [2, L], m",
    "lid_right_clearances": "least height over the eyeball at rest and shut [2, L], m",
    "landmark_faces": "face of each of MediaPipe's landmarks [478]",
    "landmark_barycentrics": "and the place in it [478, 3]",
    "landmark_sigmas": "median distance of the detector's landmarks on frontal held-out renders [478], m",
    "landmark_noise_factors": "f [R, 478, 2]: errors x right, y down have covariance sum of f f^T + diag(s^2), m",
    "landmark_noise_sigmas": "s [478, 2], m",
    "landmark68_vertices": "vertices of the 68 iBUG points",
}


@dataclass(frozen=True)
class HeadParts:
    """All that the recipe made, mm in ICT's frame."""

    mesh: Template
    rig: Rig
    expressions: np.ndarray  # [52, V, 3], jawOpen as the corrective to the arc
    modes: np.ndarray  # [K, V, 3]
    mode_rms: np.ndarray  # [K]
    edit_shapes: np.ndarray  # [D, K]
    edit_offsets: np.ndarray  # [D, V, 3]
    uvs: np.ndarray
    faces_uv: np.ndarray
    nostrils: np.ndarray  # [F] bool
    landmark_faces: np.ndarray  # [478]
    landmark_barycentrics: np.ndarray  # [478, 3]
    landmark_sigmas: np.ndarray  # [478] mm
    noise_factors: np.ndarray  # [R, 478, 2] mm
    noise_sigmas: np.ndarray  # [478, 2] mm
    landmark68: np.ndarray  # [68]


def head_rotation() -> np.ndarray:
    """Rotation [3, 3] from ICT's frame to facecraft's."""
    return Rotation.from_euler("x", _PITCH_DEG, degrees=True).as_matrix()


def write_head(path: Path, parts: HeadParts, ict: IctHead, header: dict):
    """Write the model file; the same parts give the same bytes."""
    arrays = {**_mesh_arrays(parts), **_shape_arrays(parts), **_motion_arrays(parts), **_landmark_arrays(parts)}
    # safetensors writes the memory of an array as it lies, transposed ones too
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    header = {
        "format": FORMAT,
        "units": "m, rad; identity in standard deviations; edits in full strengths of MakeHuman's sliders",
        "arrays": {name: f"{list(array.shape)} {array.dtype}: {_CONTENTS[name]}" for name, array in arrays.items()},
        "frame": "right-handed, +y up, +z out of the face, +x subject's left, origin midway between the eyeballs",
        "region_names": REGIONS,
        "expression_names": ARKIT_NAMES,
        "edit_names": EDIT_NAMES,
        "joint_names": JOINTS,
        "joint_parents": PARENTS,
        "mode_rms_mm": [round(float(rms), 4) for rms in parts.mode_rms],
        **header,
    }
    # one key: safetensors writes several in random order
    save_file(arrays, path, metadata={"facecraft": json.dumps(header, sort_keys=True)})
    os.chmod(path, 0o644)


def _metres(points, origin) -> np.ndarray:
    return ((points - origin) @ head_rotation().T * 1e-3).astype(np.float32)


def _origin(parts) -> np.ndarray:
    return np.mean([eye.centre for eye in parts.mesh.eyes], 0)


def _mesh_arrays(parts) -> dict:
    mesh = parts.mesh
    return {
        "template": _metres(mesh.vertices, _origin(parts)),
        "faces": mesh.faces.astype(np.uint16),
        "uvs": parts.uvs.astype(np.float32),
        "faces_uv": parts.faces_uv.astype(np.uint16),
        "face_regions": mesh.face_regions.astype(np.uint8),
        "vertex_regions": mesh.vertex_regions.astype(np.uint8),
        "mirror": mesh.mirror.astype(np.uint16),
        "tooth_ids": mesh.tooth_ids.astype(np.int8),
        "nostril_faces": np.flatnonzero(parts.nostrils).astype(np.uint16),
    }


def _shape_arrays(parts) -> dict:
    moves, scales = joint_modes(parts.mesh, parts.rig, parts.modes)
    return {
        "shape_basis": _metres(parts.modes, 0).astype(np.float16),
        "edit_shapes": parts.edit_shapes.astype(np.float32),
        "edit_offsets": _metres(parts.edit_offsets, 0).astype(np.float16),
        "joints": _metres(parts.rig.joints, _origin(parts)),
        "joint_basis": _metres(moves, 0),
        "eye_scale_basis": scales.astype(np.float32),
    }


def _motion_arrays(parts) -> dict:
    mesh, rig = parts.mesh, parts.rig
    moved = [np.flatnonzero(field.any(1)) for field in parts.expressions]
    deltas = [field[ids] for field, ids in zip(parts.expressions, moved, strict=True)]
    jaw = np.flatnonzero(rig.jaw_weights)
    cosines = np.linspace(0, 1, _PROFILE_STEPS + 1)
    arrays = {
        "expression_starts": np.cumsum([0, *map(len, moved)]).astype(np.int32),
        "expression_vertices": np.concatenate(moved).astype(np.uint16),
        "expression_deltas": _metres(np.concatenate(deltas), 0).astype(np.float16),
        "skin_weights": rig.skin_weights.astype(np.float32),
        "jaw_open_axis": rig.jaw_axis.astype(np.float32),
        "jaw_vertices": jaw.astype(np.uint16),
        "jaw_weights": rig.jaw_weights[jaw].astype(np.float32),
        "eye_axes": np.stack([eye.axis for eye in mesh.eyes]) @ head_rotation().T,
        "eye_radii": mesh.eyes[0].radius(np.degrees(np.arccos(cosines))) * 1e-3,
    }
    for side, letter, name in ((0, "L", "left"), (1, "R", "right")):
        lids, clearances = lid_vertices(mesh, side)
        arrays[f"eyeball_{name}"] = mesh.region_vertices(f"eyeball_{letter}").astype(np.uint16)
        arrays[f"lid_{name}"] = lids.astype(np.uint16)
        arrays[f"lid_{name}_clearances"] = clearances * 1e-3
    return {key: array.astype(np.float32) if array.dtype == np.float64 else array for key, array in arrays.items()}


def _landmark_arrays(parts) -> dict:
    return {
        "landmark_faces": parts.landmark_faces.astype(np.uint16),
        "landmark_barycentrics": parts.landmark_barycentrics.astype(np.float32),
        "landmark_sigmas": (parts.landmark_sigmas * 1e-3).astype(np.float32),
        "landmark_noise_factors": (parts.noise_factors * 1e-3).astype(np.float16),
        "landmark_noise_sigmas": (parts.noise_sigmas * 1e-3).astype(np.float32),
        "landmark68_vertices": parts.landmark68.astype(np.uint16),
    }
