"""A photo's landmarks as if nothing covered the face (a mask, a hand, a microphone).

When a quarter of a face is covered, the detector draws all of it wrong (benchmarks/fit.py --occlude), not only the part that
it guesses. So what covers the face (facecraft.head.cover) is painted over with the fitted head under the photo's light, in the
colours of its other side or in average skin, and landmarks are read once more, eight times over. Those that lie on the cover
are left out, and so are its colours.
"""

from dataclasses import replace

import cv2
import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion, binary_propagation, gaussian_filter

from facecraft.camera import Camera
from facecraft.face.landmarks import find_landmarks
from facecraft.head.albedo import eye_angles, load_skin
from facecraft.head.cover import find_covered
from facecraft.head.fit import LandmarkFit, fit_landmarks
from facecraft.head.model import HeadModel
from facecraft.head.scene import Photo
from facecraft.head.shading import DIMMEST
from facecraft.mesh.atlas import sample_pixels, sample_texture
from facecraft.mesh.geometry import vertex_normals
from facecraft.mesh.light import harmonics
from facecraft.mesh.raster import MeshBuffers, rasterize_mesh

LIKELY, SURE = 0.5, 0.7  # how likely a covered pixel is, and all of a cover on average: waves of hair are less
LEAST = (
    0.05  # of the landmarks, or of what lies within AROUND times the face's outline: less hardly misleads the detector
)
AROUND = 1.2  # landmarks may be crowded beside a cover that hides half of the face
MOST = 0.8  # of the landmarks: with more there is no face to be seen
SPREAD_HEIGHTS = 0.03  # of the cover, in heights of the face: a rim of it that is left draws the detector
EDGE_HEIGHTS = 0.02  # softness of the paint's edge, in heights of the face
ROUNDS, SETTLED = 8, 5  # of painting, and the last of them, whose readings waver around one place
AHEAD = 0.6  # how much further landmarks are moved before than they went: each round goes only a part of the way
BACKDROP = 1.0  # the colours that preprocess carries on around a person are a cover's as well
UNKNOWN, MOUTH = 0.5, 0.15  # paint where no face lies under a cover, and within lips
MOUTH_REGIONS = ("mouth_socket", "gums", "tongue")
DEPTH_TOLERANCE = 6e-3  # m
RELIT = (0.5, 2.0)  # how much darker or brighter than the other side
HAIRY = 0.3  # how far a colour is from paint where hair or an eye is in the way
LIGHT_ROUNDS, LIGHT_PIXELS = 4, 4000
OUTLIER, BEND = 0.1, 0.02  # of linear light: half trust; ridge on all but the mean light


def uncover(head: HeadModel, photo: Photo, camera: Camera) -> Photo:
    """The photo with what covers the face, and landmarks read as if it were not there; as it is when nothing does."""
    seen = _mark(photo, photo.landmarks)
    if seen is None:
        return photo
    readings = []
    for number in range(ROUNDS):
        fit = fit_landmarks(head, seen.landmarks, camera, hidden=seen.hidden)
        height = np.ptp(seen.landmarks[:, 1])
        painted = _paint_over(head, seen, fit, EDGE_HEIGHTS * height)
        box = np.concatenate([seen.landmarks[:, :2].min(0), seen.landmarks[:, :2].max(0)])
        face = find_landmarks(painted, box, 0.3)
        if face is None:
            break
        readings.append(face.landmarks)
        ahead = AHEAD if number < ROUNDS - SETTLED else 0
        seen = _move(photo, seen, face.landmarks + ahead * (face.landmarks - seen.landmarks))
    return _move(photo, seen, np.mean(readings[-SETTLED:], 0)) if readings else seen


def _move(photo: Photo, seen: Photo, landmarks: np.ndarray) -> Photo:
    """The photo as it is `seen` with other landmarks [478, 3] px."""
    return _mark(photo, landmarks) or replace(seen, landmarks=landmarks)


def _mark(photo: Photo, landmarks: np.ndarray) -> Photo | None:
    """The photo with other landmarks [478, 3] px, those that are covered, and the cover; None when they are few or most."""
    likely = find_covered(photo.image, photo.alpha, landmarks)
    covered, (h, w) = likely > LIKELY, likely.shape
    x, y = landmarks[:, :2].astype(int).T
    where = y.clip(0, h - 1), x.clip(0, w - 1)
    around = cv2.fillConvexPoly(np.zeros((h, w), np.uint8), _outline(landmarks), 1) & (photo.alpha > 0.5)
    share = covered[where].mean()
    if max(share, covered[around > 0].mean()) < LEAST or share > MOST:
        return None
    if likely[covered & (around > 0)].mean() < SURE:
        return None
    rounds = max(1, round(SPREAD_HEIGHTS * np.ptp(landmarks[:, 1])))
    # a tie that looks like one covers nothing
    covered = binary_propagation(covered & (around > 0), mask=covered)
    covered = binary_dilation(covered, iterations=rounds) & (photo.alpha > 0)
    hidden = np.flatnonzero(covered[where])
    return replace(photo, landmarks=landmarks, hidden=tuple(hidden.tolist()), covered=covered)


def _outline(landmarks: np.ndarray) -> np.ndarray:
    """Convex outline [n, 1, 2] px, AROUND times as large, of landmarks [478, 3] px."""
    points = landmarks[:, :2]
    return cv2.convexHull((points.mean(0) + AROUND * (points - points.mean(0))).round().astype(np.int32))


def _paint_over(head: HeadModel, photo: Photo, fit: LandmarkFit, edge_px: float) -> np.ndarray:
    """The person [H, W, 3] on plain ground, with the head in the photo's light where it is covered.

    The head is in average skin, and like the other side of the face where that is seen.
    """
    vertices, faces, camera = fit.vertices(head), head.faces.numpy(), fit.camera
    h, w = photo.alpha.shape
    buffers = rasterize_mesh(camera.project(vertices), faces, h, w)
    shown = buffers.mask & head.faces_of(("face", "eyeball_L", "eyeball_R")).numpy()[buffers.face_ids]
    ids, weights = buffers.face_ids[shown], buffers.barycentrics[shown]
    corners, corners_there = faces[ids], head.mirror.numpy()[faces[ids]]
    normals = vertex_normals(vertices, faces)
    basis, basis_there = (harmonics(_mix(normals, c, weights, unit=True)) for c in (corners, corners_there))
    skin = _average_skin(head, ids, weights)
    bare = np.flatnonzero(~photo.covered[shown] & (photo.alpha[shown] > 0.9))
    bare = bare[:: max(1, len(bare) // LIGHT_PIXELS)]
    light = _fit_light(basis[bare], skin[bare], photo.image[shown][bare])
    shades, shades_there = (np.sqrt(np.maximum(b @ light, DIMMEST)) for b in (basis, basis_there))
    paint = np.full((h, w, 3), UNKNOWN, np.float32)
    paint[buffers.mask & head.faces_of(MOUTH_REGIONS).numpy()[buffers.face_ids]] = MOUTH
    paint[shown] = (skin * shades).clip(0, 1)
    paint[shown] = _match_seam(photo, paint, shown, 4 * edge_px)[shown]

    places = camera.project(_mix(vertices, corners_there, weights))
    colours, is_seen = _look_there(photo, buffers, places)
    mirrored, share = paint.copy(), np.zeros((h, w), np.float32)
    mirrored[shown] = np.where(is_seen[:, None], colours * (shades / shades_there).clip(*RELIT), paint[shown]).clip(
        0, 1
    )
    share[shown] = is_seen
    share = gaussian_filter(binary_erosion(share > 0).astype(np.float32), edge_px / 2)[..., None] * shown[..., None]
    paint += share * (_match_seam(photo, mirrored, shown, 4 * edge_px) - paint)
    amount = np.where(shown, gaussian_filter((photo.covered & shown).astype(np.float32), edge_px / 2), photo.covered)
    person = BACKDROP + photo.alpha[..., None] * (photo.image - BACKDROP)
    return person + amount[..., None].astype(np.float32) * (paint - person)


def _mix(values: np.ndarray, corners: np.ndarray, weights: np.ndarray, unit: bool = False) -> np.ndarray:
    """`values` [V, 3] of the vertices at points in triangles `corners` [n, 3] with barycentrics [n, 3]; `unit` vectors."""
    mixed = np.einsum("nkd,nk->nd", values[corners], weights)
    return mixed / np.linalg.norm(mixed, axis=1, keepdims=True) if unit else mixed


def _look_there(photo: Photo, buffers: MeshBuffers, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colours [n, 3] of the photo at places [n, 3] px and depth, and where they are of the head and not covered [n]."""
    h, w = photo.alpha.shape
    x, y = places[:, 0].astype(int).clip(0, w - 1), places[:, 1].astype(int).clip(0, h - 1)
    is_seen = (places[:, 2] < buffers.depth[y, x] + DEPTH_TOLERANCE) & ~photo.covered[y, x] & (photo.alpha[y, x] > 0.9)
    return sample_pixels(photo.image, places[:, :2]), is_seen & buffers.mask[y, x]


def _match_seam(photo: Photo, paint: np.ndarray, shown: np.ndarray, reach_px: float) -> np.ndarray:
    """`paint` [H, W, 3] moved to the photo's colours around it: a seam in the light would be taken for the face's outline."""
    gaps = photo.image - paint
    bare = shown & ~photo.covered & (photo.alpha > 0.9) & (np.abs(gaps).max(2) < HAIRY)
    sums = cv2.GaussianBlur(
        np.dstack([gaps, np.ones_like(bare)]).astype(np.float32) * bare[..., None], (0, 0), reach_px
    )
    moves = sums[..., :3] / (sums[..., 3:] + 0.02)
    return (paint + moves).clip(0, 1)


def _average_skin(head: HeadModel, ids: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Reflectances [n, 3] of average skin and eyes at points of triangles `ids` [n] with barycentrics [n, 3]."""
    skin = load_skin(head)
    uvs = np.einsum("nkc,nk->nc", head.uvs.double().numpy()[head.faces_uv.numpy()[ids]], weights)
    rest = np.einsum("nkd,nk->nd", head.template.double().numpy()[head.faces.numpy()[ids]], weights)
    mean = sample_texture(skin.mean, uvs)
    for eye, name in enumerate(("eyeball_L", "eyeball_R")):
        here = head.faces_of((name,)).numpy()[ids]
        mean[here], _ = skin.of_eyes(eye_angles(head, rest[here], eye))
    return mean


def _fit_light(basis: np.ndarray, reflectances: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Light [9, 3] under which `reflectances` [n, 3] have these `colours` [n, 3], given harmonics [n, 9] of the normals; what
    it does not explain loses weight. Tints of the skin are taken for light."""
    light = np.zeros((9, 3))
    for channel in range(3):
        A = reflectances[:, channel, None] ** 2 * basis
        b, trust = colours[:, channel] ** 2, np.ones(len(A))
        for _ in range(LIGHT_ROUNDS):
            ridge = BEND * trust.sum() * np.diag([1e-3] + [1.0] * 8)
            light[:, channel] = np.linalg.solve((trust[:, None] * A).T @ A + ridge, A.T @ (trust * b))
            trust = 1 / (1 + ((A @ light[:, channel] - b) / OUTLIER) ** 2) ** 2
    return light
