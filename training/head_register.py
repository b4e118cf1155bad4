"""Non-rigid registration of the template to MakeHuman's average adult.

Landmarks found on renders of both give a similarity; then ICT's own identity modes; then a free displacement held
smooth by a bi-Laplacian that is relaxed in stages (after Amberg et al. 2007, Optimal Step Nonrigid ICP).
"""

from dataclasses import dataclass

import mediapipe
import numpy as np
from head_makehuman import MakeHuman, average_adult
from head_sources import IctHead
from head_surface import Surface
from head_template import Template
from scipy.sparse import coo_matrix, csc_matrix, diags
from scipy.sparse.linalg import splu

from facecraft.camera import Camera, orbit_camera
from facecraft.mesh.geometry import face_normals, graph_laplacian, vertex_normals
from facecraft.mesh.raster import rasterize_mesh

_VIEWS = ((0, 0), (18, 0), (-18, 0), (0, 10), (0, -10))
_MODES = 60
# (stiffness, pull of landmarks) from stiff to soft
_STAGES = ((30, 3.0), (12, 2.0), (5, 1.5), (2, 1.0), (0.8, 0.6), (0.3, 0.4), (0.12, 0.3), (0.05, 0.2))


@dataclass(frozen=True)
class Registration:
    """The average adult in the template's frame, `adult` [Vm, 3] mm; the similarity's linear part [3, 3]; the template
    bent onto it, `outer` vertices [O] and their places [O, 3]."""

    adult: np.ndarray
    linear: np.ndarray
    outer: np.ndarray
    places: np.ndarray


def register(mesh: Template, ict: IctHead, nostrils: np.ndarray, human: MakeHuman) -> Registration:
    """Fit the template's skin to MakeHuman's average adult."""
    adult = human.vertices + np.tensordot(average_adult(human), human.targets, 1)
    ours, theirs = _matched_landmarks(mesh, human, adult)
    linear, shift = _robust_similarity(theirs, ours)
    ours, theirs = ours, theirs @ linear.T + shift
    adult = adult @ linear.T + shift
    close = np.linalg.norm(ours - theirs, axis=1) < 9
    outer_faces = mesh.faces[mesh.in_regions("face", "scalp_neck")]
    anchors = _Anchors(mesh, outer_faces, ours[close], theirs[close])
    target = Surface(adult, human.group_faces("body"))
    free = _free_vertices(mesh, nostrils)
    start = _fit_modes(mesh, ict, outer_faces, anchors, target, free)
    outer = np.unique(outer_faces)
    places = _bend(start, outer, outer_faces, anchors, target, free[outer], target.border_faces())
    return Registration(adult, linear, outer, places)


def count_flips(mesh: Template, fit: Registration) -> int:
    """Triangles of the outer skin that the registration turns by more than 90 degrees."""
    faces, bent = mesh.faces[mesh.in_regions("face", "scalp_neck")], mesh.vertices.copy()
    bent[fit.outer] = fit.places
    return int(((face_normals(mesh.vertices, faces) * face_normals(bent, faces)).sum(1) < 0).sum())


class _Anchors:
    """Landmarks as barycentrics on the outer skin."""

    def __init__(self, mesh, faces, ours, theirs):
        found, weights, _ = Surface(mesh.vertices, faces).nearest(ours)
        self.corners, self.weights, self.goals = faces[found], weights, theirs

    def of(self, values) -> np.ndarray:
        """Interpolate per-vertex values [V, ...]."""
        weights = self.weights.reshape(*self.weights.shape, *[1] * (values.ndim - 1))
        return (values[self.corners] * weights).sum(1)


def _matched_landmarks(mesh, human, adult) -> tuple[np.ndarray, np.ndarray]:
    visible = mesh.in_regions(
        "face", "scalp_neck", "mouth_socket", "eye_socket_L", "eye_socket_R", "eyeball_L", "eyeball_R", "bust"
    )
    balls = [mesh.region_vertices(f"eyeball_{side}") for side in "LR"]
    ours, our_spread = _surface_landmarks(mesh.vertices, mesh.faces[visible], balls, np.array([0, 10, 50.0]))
    balls = [human.group_vertices(f"helper-{side}-eye") for side in "lr"]
    middle = adult[np.concatenate(balls)].mean(0) - [0, 25, 30]
    faces = human.group_faces("body", "helper-l-eye", "helper-r-eye")
    theirs, their_spread = _surface_landmarks(adult, faces, balls, middle)
    oval = {index for pair in mediapipe.solutions.face_mesh.FACEMESH_FACE_OVAL for index in pair}
    # landmarks of the oval slide along the silhouette and irises are loose: neither marks a point of the skin
    firm = np.array([i not in oval and i < 468 for i in range(478)])
    firm &= (our_spread < 3) & (their_spread < 3)
    return ours[firm], theirs[firm]


def _surface_landmarks(vertices, faces, balls, middle) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks [478, 3] on a mesh as the median over views, and their spread [478] mm; inf when seen only once."""
    colours = np.tile([0.8, 0.6, 0.5], (len(vertices), 1))
    for ball in balls:
        colours[ball] = _eye_colours(vertices[ball])
    normals = vertex_normals(vertices, faces)
    views = []
    with mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True, refine_landmarks=True) as detector:
        for azimuth, elevation in _VIEWS:
            views.append(_landmarks_from(vertices, faces, colours, normals, middle, (azimuth, elevation), detector))
    seen = np.isfinite(views).all(2).sum(0)
    with np.errstate(invalid="ignore"):
        points = np.ma.median(np.ma.masked_invalid(views), 0).filled(0)
        spread = np.ma.masked_invalid(views).std(0).filled(0)
    return points, np.where(seen >= 2, np.linalg.norm(spread, axis=1), np.inf)


def _landmarks_from(vertices, faces, colours, normals, middle, angles, detector) -> np.ndarray:
    size, focal = 640, 1500.0
    camera = orbit_camera(Camera(size, size, focal, focal, size / 2, size / 2), *angles, middle, 800.0)
    buffers = rasterize_mesh(camera.project(vertices), faces, size, size)
    light = camera.centre - middle + [300, 300, 0]
    shade = 0.45 + 0.55 * np.clip(buffers.interpolate(normals, faces) @ (light / np.linalg.norm(light)), 0, 1)
    image = np.where(buffers.mask[..., None], buffers.interpolate(colours, faces) * shade[..., None], 0.55)
    result = detector.process((np.clip(image, 0, 1) * 255).astype(np.uint8))
    points = np.full((478, 3), np.nan)
    if not result.multi_face_landmarks:
        return points
    pixels = np.array([(p.x, p.y) for p in result.multi_face_landmarks[0].landmark]) * size
    x, y = np.clip(pixels, 0, size - 1).astype(int).T
    towards = camera.centre - middle
    facing = buffers.interpolate(normals, faces)[y, x] @ (towards / np.linalg.norm(towards))
    sure = buffers.mask[y, x] & (facing > 0.25)
    points[sure] = camera.unproject(pixels[sure], buffers.depth[y, x][sure])
    return points


def _eye_colours(points) -> np.ndarray:
    system = np.c_[2 * points, np.ones(len(points))]
    centre = np.linalg.lstsq(system, (points**2).sum(1), rcond=None)[0][:3]
    arms = points - centre
    iris = (np.linalg.norm(arms[:, :2], axis=1) < 6) & (arms[:, 2] > 0)
    return np.where(iris[:, None], [0.2, 0.15, 0.1], [0.93, 0.91, 0.89])


def _robust_similarity(source, target) -> tuple[np.ndarray, np.ndarray]:
    """Linear part [3, 3] (rotation times scale) and shift that take source to target (Umeyama 1991, reweighted)."""
    weights = np.ones(len(source))
    for _ in range(20):
        share = weights / weights.sum()
        a, b = source - share @ source, target - share @ target
        left, stretch, right = np.linalg.svd((b * share[:, None]).T @ a)
        signs = np.array([1, 1, np.sign(np.linalg.det(left @ right))])
        linear = (left * signs) @ right * (stretch @ signs) / (share @ (a**2).sum(1))
        shift = share @ target - linear @ (share @ source)
        weights = 1 / (1 + (np.linalg.norm(source @ linear.T + shift - target, axis=1) / 4) ** 2) ** 2
    return linear, shift


def _free_vertices(mesh, nostrils) -> np.ndarray:
    """Vertices [V] bool that have no counterpart on MakeHuman: nostrils, which are deeper here, and the rims of mouth and
    sockets."""
    free = np.zeros(len(mesh.vertices), bool)
    free[np.unique(mesh.faces[nostrils])] = True
    # what is nearest to the ring around them is the other side of the rim, which turned 34 triangles over
    free[mesh.faces[free[mesh.faces].any(1)]] = True
    free[mesh.region_vertices("mouth_socket", "eye_socket_L", "eye_socket_R")] = True
    return free


def _fit_modes(mesh, ict, faces, anchors, target, free) -> np.ndarray:
    """The template [V, 3] bent by ICT's identity modes towards landmarks and nearest points."""
    modes = np.moveaxis(mesh.carry(ict, ict.identity[:_MODES]), 0, 2)
    outer = np.setdiff1d(np.unique(faces), np.flatnonzero(free))
    anchor_modes, anchor_gap = anchors.of(modes), anchors.goals - anchors.of(mesh.vertices)
    amounts, damping = _least_squares([(anchor_modes, anchor_gap, 1.0)], 30.0), 60.0
    for _ in range(12):
        bent = mesh.vertices + modes @ amounts
        found, weights, gaps = target.nearest(bent[outer], vertex_normals(bent, mesh.faces)[outer], 0.5)
        near = gaps < 15
        wanted = target.points(found, weights)[near] - mesh.vertices[outer[near]]
        amounts = _least_squares([(modes[outer[near]], wanted, 0.5), (anchor_modes, anchor_gap, 1.0)], damping)
    return mesh.vertices + modes @ amounts


def _least_squares(terms, damping) -> np.ndarray:
    """Mode amounts [K] of least sum of weighted |modes . amounts - gap|^2, plus damping."""
    count = terms[0][0].shape[2]
    normal, right = damping * np.eye(count), np.zeros(count)
    for modes, gaps, weight in terms:
        system = modes.reshape(-1, count)
        normal += weight**2 * system.T @ system
        right += weight**2 * system.T @ gaps.ravel()
    return np.linalg.solve(normal, right)


def _bend(start, outer, faces, anchors, target, free, open_faces) -> np.ndarray:
    """Places [O, 3] of the outer vertices: nearest points, landmarks and smooth displacements in balance."""
    number = np.full(len(start), -1)
    number[outer] = np.arange(len(outer))
    laplacian = graph_laplacian(number[faces], len(outer))
    smooth = (laplacian.T @ laplacian).tocsr()
    rows = np.repeat(np.arange(len(anchors.goals)), 3)
    picks = coo_matrix(
        (anchors.weights.ravel(), (rows, number[anchors.corners].ravel())), shape=(len(anchors.goals), len(outer))
    ).tocsr()
    rest, places = start[outer], start[outer]
    for stiffness, pull in _STAGES:
        for _ in range(4):
            normals = vertex_normals(places, number[faces])
            found, weights, gaps = target.nearest(places, normals, 0.6)
            sure = (gaps < 12) & ~free & ~open_faces[found]
            trust = np.where(sure, 1 / (1 + (np.where(sure, gaps, 0) / 4) ** 2), 0)
            slack = np.linalg.norm(picks @ places - anchors.goals, axis=1)
            anchor_trust = pull / (1 + (slack / 3) ** 2) ** 2
            pulled = picks.T @ diags(anchor_trust)
            system = diags(trust + 1e-9) + 8 * stiffness * smooth + pulled @ picks
            right = trust[:, None] * (target.points(found, weights) - rest) + pulled @ (anchors.goals - picks @ rest)
            places = rest + splu(csc_matrix(system)).solve(right)
    return places
