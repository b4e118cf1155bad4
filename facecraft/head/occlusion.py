"""What covers a face (a mask, a microphone, a cap), and its landmarks as if it were not there.

When a quarter of a face is covered, the detector draws all of it wrong (benchmarks/fit.py --occlude), not only the part that
it guesses. So what covers the face is painted over with the fitted head in its own skin and light, landmarks are read once
more, and the head is fitted to those outside of the paint; again, until they stay. Covered is what no brightness of the
colour around the bridge of the nose explains: skin on skin, such as a hand, is not noticed.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import binary_dilation, gaussian_filter, label
from scipy.spatial import KDTree

from facecraft.camera import Camera
from facecraft.face.landmarks import find_landmarks
from facecraft.head.albedo import eye_angles, load_skin
from facecraft.head.collar import resembles
from facecraft.head.fit import LandmarkFit, LandmarkProblem, fit_landmarks
from facecraft.head.model import HeadModel
from facecraft.head.photometric import refine_looks
from facecraft.head.scene import Look, Photo, place_head
from facecraft.head.shading import DIMMEST, SurfacePoints, surface_points
from facecraft.mesh.atlas import sample_pixels
from facecraft.mesh.geometry import vertex_normals
from facecraft.mesh.light import harmonics
from facecraft.mesh.raster import rasterize_mesh

SIZE, POOL_TEXELS = 64, 3.0  # of the atlas on which the face is looked at, and neighbourhood that decides
SHADES = (0.35, 1.6)  # brightness of skin against its median, light included
UNLIKE = 0.13  # how far from skin other colours are
BRIDGE, MIDDLE_M = 6, 0.035  # landmark, and how far around it the colour of skin is looked up
MOST = 0.6  # of a neighbourhood that is unlike skin: it is covered; and of a face: more is no face with something before it
LEAST = 0.05  # of the landmarks; fewer do not mislead the detector
FACING = 0.3  # cosine from which on a texel is looked at
EDGE_M = 4e-3  # softness of the paint's edge
ROUNDS, STILL = 6, 0.004  # of painting, and when landmarks stay: mean way in heights of the face
BACKDROP = 0.5


@dataclass(frozen=True)
class _Cover:
    """What covers a face: `landmarks`, numbers of those below, and `mask` [H, W] bool."""

    landmarks: tuple[int, ...]
    mask: np.ndarray


def uncover(head: HeadModel, photo: Photo, camera: Camera) -> Photo:
    """The photo with landmarks read as if nothing covered the face; as it is when nothing does. The image stays."""
    points = surface_points(head, load_skin(head), SIZE)
    fit = fit_landmarks(head, photo.landmarks, camera)
    cover = _find_cover(head, points, fit, photo)
    if cover is None:
        return photo
    seen = replace(photo, hidden=cover.landmarks)
    for _ in range(ROUNDS):
        fit = fit_landmarks(head, seen.landmarks, camera, hidden=seen.hidden)
        problems, (look,), _ = refine_looks(head, [fit], [seen], "draft")
        painted = _paint_over(head, photo, problems[0], look, cover)
        box = np.concatenate([seen.landmarks[:, :2].min(0), seen.landmarks[:, :2].max(0)])
        face = find_landmarks(painted, box, 0.3)
        if face is None:
            break
        way = np.linalg.norm(face.landmarks[:, :2] - seen.landmarks[:, :2], axis=1).mean()
        seen = replace(seen, landmarks=face.landmarks)
        fit = fit_landmarks(head, seen.landmarks, camera, hidden=seen.hidden)
        cover = _find_cover(head, points, fit, photo) or cover
        seen = replace(seen, hidden=cover.landmarks)
        if way < STILL * face.height:
            break
    return seen


def _find_cover(head: HeadModel, points: SurfacePoints, fit: LandmarkFit, photo: Photo) -> _Cover | None:
    """What covers the fitted face, None when that is little."""
    faces, count, vertices = head.faces.numpy(), len(points.rows), fit.vertices(head)
    places = points.interpolate(vertices, faces)[:count]
    normals = points.interpolate(vertex_normals(vertices, faces), faces)[:count]
    sight = fit.camera.centre - places
    facing = (normals * sight).sum(1) / np.linalg.norm(normals, axis=1) / np.linalg.norm(sight, axis=1)
    pixels = fit.camera.project(places)[:, :2]
    visible = (facing > FACING) & (sample_pixels(photo.alpha, pixels) > 0.9)
    if not visible.any():
        return None
    colours = sample_pixels(photo.image, pixels)
    rest = points.interpolate(head.template.double().numpy(), faces)[:count]
    landmarks = head.landmarks(head.template[None])[0].double().numpy()
    middle = visible & (np.linalg.norm(rest - landmarks[BRIDGE], axis=1) < MIDDLE_M)
    if not middle.any():
        return None
    skin = np.median(colours[middle], 0)
    grids = np.zeros((2, SIZE, SIZE))
    grids[:, points.rows, points.columns] = visible & ~resembles(colours, skin, SHADES, UNLIKE), visible
    odd, all_ = (gaussian_filter(grid, POOL_TEXELS)[points.rows, points.columns] for grid in grids)
    covered = odd > MOST * np.maximum(all_, 1e-6)
    nearest = KDTree(rest).query(landmarks)[1]
    if covered[nearest].mean() < LEAST or covered[visible].mean() > MOST:
        return None
    edge_px = EDGE_M * fit.camera.fx / fit.camera.T_camera_world[2, 3]
    odd = ~resembles(photo.image.reshape(-1, 3), skin, SHADES, UNLIKE).reshape(photo.alpha.shape)
    patches, _ = label(gaussian_filter(odd.astype(np.float32), edge_px) > MOST)
    h, w = photo.alpha.shape
    x, y = pixels[covered].astype(int).T
    touched = patches[y.clip(0, h - 1), x.clip(0, w - 1)]
    mask = binary_dilation(np.isin(patches, touched[touched > 0]), iterations=max(1, round(edge_px)))
    return _Cover(tuple(np.flatnonzero(covered[nearest]).tolist()), mask)


def _paint_over(head: HeadModel, photo: Photo, problem: LandmarkProblem, look: Look, cover: _Cover) -> np.ndarray:
    """The picture [H, W, 3] with the head in its own skin and light, and grey around it, where it is covered."""
    vertices, camera = place_head(problem, look.head)
    faces = head.faces.numpy()
    h, w = photo.alpha.shape
    buffers = rasterize_mesh(camera.project(vertices), faces, h, w)
    shown = buffers.mask & head.faces_of(("face", "eyeball_L", "eyeball_R")).numpy()[buffers.face_ids]
    ids, weights = buffers.face_ids[shown], buffers.barycentrics[shown]
    skin = load_skin(head)
    mean, modes = skin.of_skin(np.einsum("nkc,nk->nc", head.uvs.double().numpy()[head.faces_uv.numpy()[ids]], weights))
    rest = np.einsum("nkd,nk->nd", head.template.double().numpy()[faces[ids]], weights)
    for eye, name in enumerate(("eyeball_L", "eyeball_R")):
        here = head.faces_of((name,)).numpy()[ids]
        mean[here], modes[:, here] = skin.of_eyes(eye_angles(head, rest[here], eye))
    normals = np.einsum("nkd,nk->nd", vertex_normals(vertices, faces)[faces[ids]], weights)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    colours = (mean + np.tensordot(look.tone, modes, 1)) * np.sqrt(np.maximum(harmonics(normals) @ look.light, DIMMEST))
    paint = np.full((h, w, 3), BACKDROP, np.float32)
    paint[shown] = colours.clip(0, 1)
    edge_px = EDGE_M * camera.fx / camera.T_camera_world[2, 3]
    amount = np.where(shown, gaussian_filter((cover.mask & shown).astype(np.float32), edge_px / 2), cover.mask)
    return photo.image + amount[..., None].astype(np.float32) * (paint - photo.image)
