"""What colour the surface of a face should have in a picture, and how that changes with shape, light and skin.

Points of the surface, not pixels, are compared: each has a reflectance from the skin colour model and a normal, is lit by
spherical harmonics of order 2 in linear light, and is looked up in the picture where it projects. Colours are compared as
square roots of linear light, which is close to sRGB: sqrt(light * reflectance) = sqrt(light) * sRGB reflectance.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import coo_matrix

from facecraft.camera import Camera
from facecraft.head.albedo import SkinModel, eye_angles
from facecraft.head.fit import turn_slopes
from facecraft.head.model import HeadModel
from facecraft.mesh.atlas import make_atlas, sample_pixels
from facecraft.mesh.geometry import face_normals
from facecraft.mesh.light import harmonics
from facecraft.mesh.raster import rasterize_mesh

FACE_TOLERANCE_M, EYE_TOLERANCE_M = 4e-3, 1e-3  # what may lie in front of a point and it still counts as seen
JAW_LINE = (-0.118, -0.25)  # height at depth 0, m, and its slope: below is the neck, in shadows and collars
FRINGE_M = (0.04, 0.06)  # heights between which skin loses its worth: hair above pulls the forehead down by 3 mm
EYE_FINENESS, EYE_REACH = 3, 1.2  # times the atlas of the face; rad from the eye's axis
EYE_WORTH, EYE_LEEWAY = 0.3, 4.0  # against skin: a pupil beside its place is far off
DIMMEST = 0.02  # least light, so that square roots stay smooth


@dataclass(frozen=True)
class SurfacePoints:
    """n points of the face and then the eyes: `faces` [n], `barycentrics` [n, 3], `mean` [n, 3] and `modes` [M, n, 3] of
    the skin model; `tolerance` [n] m; `worth` [n] how much each counts, `leeway` [n] how many times the error of skin it
    may have. The first len(rows) are skin, at `rows` and `columns` of an atlas of `size`."""

    faces: np.ndarray
    barycentrics: np.ndarray
    mean: np.ndarray
    modes: np.ndarray
    tolerance: np.ndarray
    worth: np.ndarray
    leeway: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    size: int

    def interpolate(self, values: np.ndarray, faces: np.ndarray) -> np.ndarray:
        """Per-vertex `values` [V, ...] at the points [n, ...]."""
        out = 0
        for k in range(3):
            weights = self.barycentrics[:, k].reshape(-1, *(1,) * (values.ndim - 1)).astype(values.dtype)
            out = out + weights * values[faces[self.faces, k]]
        return out


def surface_points(head: HeadModel, skin: SkinModel, size: int) -> SurfacePoints:
    """Texels of the face without the neck on an atlas of `size`, and of the fronts of the eyeballs on one EYE_FINENESS times as fine."""
    atlas, fine = (make_atlas(head.uvs.numpy(), head.faces_uv.numpy(), s) for s in (size, EYE_FINENESS * size))
    face = head.face_regions.numpy()[atlas.faces] == head.region_names.index("face")
    places = atlas.interpolate(head.template.double().numpy(), head.faces.numpy())
    bare = np.clip((FRINGE_M[1] - places[:, 1]) / (FRINGE_M[1] - FRINGE_M[0]), 0, 1)
    face &= places[:, 1] > JAW_LINE[0] + JAW_LINE[1] * places[:, 2]
    uvs = atlas.interpolate(head.uvs.double().numpy(), head.faces_uv.numpy())[face]
    parts = [(atlas.faces[face], atlas.barycentrics[face], *skin.of_skin(uvs))]
    rest = fine.interpolate(head.template.double().numpy(), head.faces.numpy())
    for eye, name in enumerate(("eyeball_L", "eyeball_R")):
        here = np.flatnonzero(head.face_regions.numpy()[fine.faces] == head.region_names.index(name))
        angles = eye_angles(head, rest[here], eye)
        here, angles = here[angles < EYE_REACH], angles[angles < EYE_REACH]
        parts.append((fine.faces[here], fine.barycentrics[here], *skin.of_eyes(angles)))
    counts = (len(parts[0][0]), sum(len(part[0]) for part in parts[1:]))
    numbers = [
        np.repeat(pair, counts) for pair in ((FACE_TOLERANCE_M, EYE_TOLERANCE_M), (1.0, EYE_WORTH), (1.0, EYE_LEEWAY))
    ]
    numbers[1][: counts[0]] = bare[face]
    joined = [np.concatenate(column, 1 if i == 3 else 0) for i, column in enumerate(zip(*parts, strict=True))]
    return SurfacePoints(*joined, *numbers, atlas.rows[face], atlas.columns[face], size)


@dataclass(frozen=True)
class Tangents:
    """Derivatives by the code (shape, expression, gaze; P numbers) at one code: of the `vertices` [V, 3, P], of the
    points' `positions` [n, 3, P] and `normals` [n, 3, P]."""

    vertices: np.ndarray
    positions: np.ndarray
    normals: np.ndarray


def differentiate(head: HeadModel, points: SurfacePoints, code: np.ndarray) -> Tangents:
    """Tangents by finite differences of the head model itself, jaw arc and lids included; normals by the chain rule."""
    K, E = head.shape_count, len(head.expression_names)
    steps = np.concatenate([np.full(K, 0.5), np.where(code[K : K + E] > 0.5, -0.1, 0.1), np.full(4, 0.05)])
    moved = torch.as_tensor((code + np.concatenate([np.zeros((1, len(code))), np.diag(steps)])).astype(np.float32))
    with torch.no_grad():
        shape, expression, gaze = moved.split([K, E, 4], 1)
        vertices = head.vertices(shape, expression, gaze.reshape(-1, 2, 2)).numpy()
    change = (vertices[1:] - vertices[0]) / steps.astype(np.float32)[:, None, None]
    change = np.ascontiguousarray(change.transpose(1, 2, 0))  # [V, 3, P]
    faces = head.faces.numpy()
    positions = points.interpolate(change, faces)
    return Tangents(change, positions, _normal_tangents(vertices[0], change, faces, points))


def _normal_tangents(vertices, change, faces, points: SurfacePoints) -> np.ndarray:
    used = np.unique(faces[points.faces])
    near = np.flatnonzero(np.isin(faces, used).any(1))
    a, b, c = (vertices[faces[near, k]] for k in range(3))
    da, db, dc = (change[faces[near, k]] for k in range(3))
    turned = _cross(db - da, (c - a)[..., None]) + _cross((b - a)[..., None], dc - da)
    count = len(vertices)
    gather = coo_matrix((np.ones(3 * len(near), np.float32), (faces[near].T.ravel(), np.tile(np.arange(len(near)), 3))))
    gather = gather.tocsr()
    gather.resize(count, len(near))
    summed = (gather @ turned.reshape(len(near), -1)).reshape(count, 3, -1)
    normals = gather @ np.cross(b - a, c - a)
    length = np.maximum(np.linalg.norm(normals, axis=1), 1e-12)
    normals /= length[:, None]
    summed /= length[:, None, None]
    summed -= normals[..., None] * np.einsum("vd,vdp->vp", normals, summed)[:, None]
    return points.interpolate(summed.astype(np.float32), faces)


def _cross(a, b):
    """Cross product along axis 1."""
    x, y, z = ((a[:, i] * b[:, j] - a[:, j] * b[:, i]) for i, j in ((1, 2), (2, 0), (0, 1)))
    return np.stack([x, y, z], 1)


@dataclass(frozen=True)
class Appearance:
    """Colours at the points: `seen` [n, 3] in the picture and `expected` [n, 3], both square roots of linear light; with
    `slopes` [n, 3, 2] of the picture, `shading` [n, 3] (square root of the light), `reflectance` [n, 3], `normals` [n, 3],
    `pixels` [n, 2] and `visible` [n] in [0, 1]."""

    seen: np.ndarray
    expected: np.ndarray
    slopes: np.ndarray
    shading: np.ndarray
    reflectance: np.ndarray
    normals: np.ndarray
    pixels: np.ndarray
    visible: np.ndarray


def appear(
    head: HeadModel,
    points: SurfacePoints,
    vertices: np.ndarray,  # [V, 3] m
    camera: Camera,
    picture: np.ndarray,  # [H, W, 9] sRGB, its derivatives by x, and by y
    alpha: np.ndarray,  # [H, W]
    light: np.ndarray,  # [9, 3] linear
    tone: np.ndarray,  # [M] in standard deviations
) -> Appearance:
    """How the points look in the picture and how they should."""
    faces = head.faces.numpy()
    places = points.interpolate(vertices, faces)
    normals = points.interpolate(_unit_normals(vertices, faces), faces)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    projected = camera.project(places)
    pixels = projected[:, :2]
    looked_up = sample_pixels(picture, pixels)
    shading = np.sqrt(np.maximum(harmonics(normals) @ light, DIMMEST))
    reflectance = points.mean + np.tensordot(tone, points.modes, 1)
    buffers = rasterize_mesh(camera.project(vertices), faces, *alpha.shape)
    nearest = sample_pixels(np.where(buffers.mask, buffers.depth, 10.0), pixels)
    sight = camera.centre - places
    facing = (normals * sight).sum(1) / np.linalg.norm(sight, axis=1)
    h, w = alpha.shape
    inside = (pixels > 1).all(1) & (pixels < [w - 1, h - 1]).all(1)
    visible = np.clip((facing - 0.15) / 0.35, 0, 1) * (projected[:, 2] < nearest + points.tolerance) * inside
    visible *= sample_pixels(alpha, pixels) > 0.9
    slopes = np.stack([looked_up[:, 3:6], looked_up[:, 6:]], 2)
    return Appearance(looked_up[:, :3], shading * reflectance, slopes, shading, reflectance, normals, pixels, visible)


def _unit_normals(vertices, faces) -> np.ndarray:
    per_face = face_normals(vertices, faces)
    normals = np.stack(
        [sum(np.bincount(faces[:, k], per_face[:, d], len(vertices)) for k in range(3)) for d in range(3)], 1
    )
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def colour_jacobian(
    look: Appearance,
    points: SurfacePoints,
    tangents: Tangents,
    rotation: np.ndarray,  # [3, 3] camera from head
    arms: np.ndarray,  # [n, 3] points in camera axes, from the head's origin
    project: np.ndarray,  # [n, 2, 3] derivatives of pixels by camera coordinates
    light: np.ndarray,  # [9, 3]
) -> np.ndarray:
    """Derivatives of `expected - seen` [n, 3, 6 + P + M + 27] by turn, move, code, tone and light (harmonic by channel)."""
    n, M, P = len(arms), len(points.modes), tangents.positions.shape[2]
    J = np.zeros((n, 3, 6 + P + M + 27), np.float32)
    flow = look.slopes @ project  # [n, 3, 3] colour by camera coordinates
    J[:, :, :3], J[:, :, 3:6] = -flow @ turn_slopes(arms), -flow
    H = harmonics(look.normals)
    slope = 0.5 * look.reflectance / look.shading  # by light
    lit = np.einsum("nc,kc,nkd->ncd", slope, light, harmonic_slopes(look.normals))
    J[:, :, 6 : 6 + P] = (-flow @ rotation).astype(np.float32) @ tangents.positions
    J[:, :, 6 : 6 + P] += lit.astype(np.float32) @ tangents.normals
    J[:, :, 6 + P : 6 + P + M] = (points.modes * look.shading).transpose(1, 2, 0)
    for c in range(3):
        J[:, c, 6 + P + M + c :: 3] = slope[:, c, None] * H
    return J


def harmonic_slopes(normals: np.ndarray) -> np.ndarray:
    """Derivatives [n, 9, 3] of mesh.light.harmonics by the normal [n, 3]."""
    x, y, z = normals.T
    o, i = np.zeros_like(x), np.ones_like(x)
    rows = [
        (o, o, o),
        (i, o, o),
        (o, i, o),
        (o, o, i),
        (y, x, o),
        (z, o, x),
        (o, z, y),
        (2 * x, -2 * y, o),
        (o, o, 6 * z),
    ]
    return np.stack([np.stack(row, 1) for row in rows], 1)
