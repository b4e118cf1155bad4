"""Move scalp, neck and shoulders so that the head fills the matte: a hair shell on the head's own vertices.

Every vertex may slide along its own ray, away from the axis of head and neck. Vertices on the rim of the picture are
pulled to the border of the matte; the rest follow by smoothness. What no picture shows (the back, the hair over the
forehead) takes the thickness that hair with such a rim is likely to have there, see facecraft.head.hair, and on neck and
shoulders the one that the rim has at the same latitude. The face stays where the landmarks put it.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_fill_holes, binary_opening, distance_transform_edt, map_coordinates
from scipy.sparse import diags
from scipy.sparse.linalg import splu
from skimage.measure import points_in_poly
from skimage.morphology import disk

from facecraft.camera import Camera
from facecraft.head.ears import Ear, find_ears
from facecraft.head.fit import OVAL
from facecraft.head.hair import HairModel
from facecraft.head.model import HeadModel, landmark_points
from facecraft.head.rays import FOOT, NECK_BASE, azimuths, latitudes, leave_axis
from facecraft.head.surface import SKIN_REGIONS
from facecraft.mesh.geometry import graph_laplacian
from facecraft.mesh.raster import rasterize_mesh

DOWN = np.array([0.0, -1.0, 0.0])
REACH_OUT, REACH_IN = 0.24, 0.06  # m, how far a vertex may move
RIM_PX = 2.5  # a vertex this close to the outline defines it
STIFF, SUPPLE = 8.0, 2.5  # weight of bending
OUTLIER = 0.012  # m from the stiff solution
HIDDEN = 0.3  # pull of unseen hair towards what is likely
UNSEEN = 0.02  # pull of the unseen body towards the thickness of the rim
BODY, SHOULDERS = (2.2, 3.0), 3.3  # latitudes between which hair gives way to the body, and from which no rim is hair


@dataclass(frozen=True)
class _Shell:
    """What does not change while the shell is fitted. Skin vertices are those that may move."""

    rays: np.ndarray  # [V, 3] direction in which each vertex moves
    latitude: np.ndarray  # [V] 0 at the crown, pi/2 at ear height, growing down the neck
    ears: tuple[Ear, Ear]
    held: np.ndarray  # [V] in [0, 1], 1 = the face, which does not move
    front: np.ndarray  # [V] how far the ray points forward, -1 back .. 1 front
    hidden: np.ndarray  # [V] how far the ray points along the line of sight, 0 where the outline shows it .. 1
    laplacian: object  # [V, V]
    hair: HairModel


def fit_silhouette(
    head: HeadModel,
    vertices: np.ndarray,  # [V, 3] m, the head as it is in the picture
    camera: Camera,
    alpha: np.ndarray,  # [H, W] matte in [0, 1]
    hair: HairModel,
    cover: np.ndarray | None = None,  # [H, W] bool, where something before the head hides its outline
    iterations: int = 4,
) -> np.ndarray:
    """Offsets [V, 3], m, that make the outline of the head follow the matte."""
    shell = _make_shell(head, vertices, camera, hair)
    # strands and specks are no outline
    solid = binary_opening(binary_fill_holes(alpha > 0.5), disk(max(alpha.shape[0] // 100, 1)))
    inside = _signed_distance(solid)
    thickness, fall = np.zeros(len(vertices)), np.zeros(len(vertices))
    faces = head.faces.numpy()
    for _ in range(iterations):
        moved = _move(shell, vertices + fall[:, None] * DOWN, thickness)
        fall = fall + _lower_end(moved, faces, camera, solid)
        lowered = vertices + fall[:, None] * DOWN
        current = _move(shell, lowered, thickness)
        rim, gap = _rim_gaps(current, shell, faces, camera, inside, cover)
        outwards = ((current - _bury_ears(shell, lowered, thickness)) * shell.rays).sum(1)
        target = np.clip(outwards[rim] + gap, -REACH_IN, REACH_OUT)
        thickness = _solve(shell, rim, target)
    return _move(shell, vertices + fall[:, None] * DOWN, thickness) - vertices


def _move(shell: _Shell, vertices: np.ndarray, thickness: np.ndarray) -> np.ndarray:
    """The vertices [V, 3] moved along their rays."""
    return _bury_ears(shell, vertices + thickness[:, None] * shell.rays, thickness)


def _bury_ears(shell: _Shell, vertices: np.ndarray, thickness: np.ndarray) -> np.ndarray:
    """The vertices [V, 3] without the ears that lie under hair thicker than they stand out."""
    vertices = vertices.copy()
    for ear in shell.ears:
        vertices[ear.vertices] += ear.sink(thickness) * (ear.membrane(vertices) - vertices[ear.vertices])
    return vertices


def coverage(mask: np.ndarray, alpha: np.ndarray) -> float:
    """Intersection over union of a silhouette [H, W] bool and a matte."""
    matte = alpha > 0.5
    return float((mask & matte).sum() / max((mask | matte).sum(), 1))


def _make_shell(head: HeadModel, vertices: np.ndarray, camera: Camera, hair: HairModel) -> _Shell:
    _, rays, _ = leave_axis(vertices)
    laplacian = graph_laplacian(head.faces.numpy(), len(vertices))
    held = hold_face(head, vertices)
    hidden = (rays @ camera.T_camera_world[2, :3]) ** 4
    ears = find_ears(head, laplacian, held)
    return _Shell(rays, latitudes(vertices), ears, held, rays[:, 2], hidden, laplacian, hair)


def hold_face(head: HeadModel, vertices: np.ndarray) -> np.ndarray:
    """How far each vertex [V] belongs to what does not move: 1 inside the face's outline and on everything that is not outer
    skin, falling to 0 within 25 mm outside."""
    outline = landmark_points(head, vertices)[list(OVAL)]
    in_face = points_in_poly(vertices[:, :2], outline[:, :2]) & (vertices[:, 2] > outline[:, 2].min() - 0.02)
    distance = np.linalg.norm(vertices[:, None] - outline[None], axis=2).min(1)
    held = np.where(in_face, 1.0, np.clip(1 - distance / 0.025, 0, 1))
    held[~head.vertices_of(SKIN_REGIONS).numpy()] = 1
    return held


def _signed_distance(mask: np.ndarray) -> np.ndarray:
    """Pixels to the border [H, W], positive inside; the picture's edge is not a border."""
    padded = np.pad(mask, 1, mode="edge")
    return (distance_transform_edt(padded) - distance_transform_edt(~padded))[1:-1, 1:-1]


def _lower_end(vertices: np.ndarray, faces: np.ndarray, camera: Camera, solid: np.ndarray) -> np.ndarray:
    """How far (m) to stretch the bust downwards [V], so that its border, front and back, lies on the matte's lower end."""
    high = NECK_BASE + 0.06
    border = _border(faces)
    border = border[vertices[border, 1] < high]
    columns = np.flatnonzero(solid.any(0))
    if len(border) == 0 or len(columns) == 0:
        return np.zeros(len(vertices))
    bottom = solid.shape[0] - 1 - np.argmax(solid[::-1, columns], 0)
    depth = camera.transform(FOOT)[2]
    ends = camera.unproject(np.stack([columns + 0.5, bottom + 1.0], 1), np.full(len(columns), depth))
    ends = ends[ends[:, 1] < high]  # elsewhere the lower end is hair's, not the bust's
    if len(ends) < 3:
        return np.zeros(len(vertices))
    order = np.argsort(ends[:, 0])
    width = np.ptp(ends[:, 0]) / 30
    lateral = np.linspace(*ends[order[[0, -1]], 0], 40)
    near = np.exp(-0.5 * ((lateral[:, None] - ends[None, :, 0]) / width) ** 2)
    wanted = np.interp(vertices[border, 0], lateral, near @ ends[:, 1] / near.sum(1))
    lacking = np.clip(vertices[border, 1] - wanted, -0.05, 0.12)
    around = azimuths(vertices)
    angle = around[border]
    order = np.argsort(angle)
    level = np.interp(around, angle[order], vertices[border, 1][order], period=2 * np.pi)
    ramp = np.clip((high - vertices[:, 1]) / np.maximum(high - level, 1e-3), 0, 1)
    return ramp * np.interp(around, angle[order], lacking[order], period=2 * np.pi)


def _border(faces: np.ndarray) -> np.ndarray:
    """Vertices on edges that belong to one face only."""
    edges, counts = np.unique(np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), 1), axis=0, return_counts=True)
    return np.unique(edges[counts == 1])


def _rim_gaps(
    vertices, shell: _Shell, faces, camera: Camera, inside: np.ndarray, cover: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices on the outline and how far (m) each must move along its ray to reach the border of the matte, where no `cover` is."""
    h, w = inside.shape
    pixels = camera.project(vertices)
    ahead = camera.project(vertices + 1e-3 * shell.rays)
    ray_px = (ahead - pixels)[:, :2] * 1e3  # px per m
    scale = camera.fx / pixels[:, 2]
    outline = _signed_distance(rasterize_mesh(pixels, faces, h, w).mask)
    at = lambda grid, p: map_coordinates(grid, [p[..., 1] - 0.5, p[..., 0] - 0.5], order=1, mode="nearest")  # noqa: E731
    in_picture = (pixels[:, 0] > 1) & (pixels[:, 0] < w - 1) & (pixels[:, 1] > 1) & (pixels[:, 1] < h - 1)
    across = np.linalg.norm(ray_px, axis=1) > 0.75 * scale
    rim = np.flatnonzero(in_picture & across & (at(outline, pixels) < RIM_PX) & (shell.held < 1))
    steps = np.arange(-REACH_IN, REACH_OUT, 0.5 / scale.mean())
    path = pixels[rim, None, :2] + steps[None, :, None] * ray_px[rim, None]
    filled = at(inside, path) > 0
    here = np.searchsorted(steps, 0)
    outwards = np.where(filled[:, here:].all(1), np.nan, steps[here + np.argmin(filled[:, here:], 1)])
    back = filled[:, : here + 1][:, ::-1]
    inwards = np.where(back.any(1), steps[here - np.argmax(back, 1)], -REACH_IN)
    gap = np.where(filled[:, here], outwards, inwards)
    known = np.isfinite(gap)
    end = pixels[rim, :2] + np.nan_to_num(gap)[:, None] * ray_px[rim]
    known &= (end > 1).all(1) & (end[:, 0] < w - 1) & (end[:, 1] < h - 1)
    if cover is not None:
        known &= at(cover.astype(float), end) == 0
    return rim[known], gap[known]


def _solve(shell: _Shell, rim: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Thickness [V] that is smooth, meets `target` on the rim and is likely where the picture does not tell.

    A stiff solution first tells which targets are flaps and specks of the matte; those count less in the supple one.
    """
    stiff = _bend(shell, rim, target, np.ones(len(rim)), STIFF)
    trust = 1 / (1 + ((target - stiff[rim]) / OUTLIER) ** 2)
    return _bend(shell, rim, target, trust, SUPPLE)


def _bend(shell: _Shell, rim, target, trust, stiffness: float) -> np.ndarray:
    bending = stiffness * shell.laplacian
    weight, wanted = _likely(shell, rim, target, trust)
    weight, wanted = weight + 1e3 * shell.held**4, weight * wanted
    weight[rim] += trust
    wanted[rim] += trust * target
    return splu((bending.T @ bending + diags(weight)).tocsc()).solve(wanted)


def _likely(shell: _Shell, rim, target, trust) -> tuple[np.ndarray, np.ndarray]:
    """How strongly every vertex [V] is drawn to a thickness that is likely with this rim, and that thickness [V].

    Of hair that is thicker or thinner at the rim than hair with such a rim is likely to be, half as much more or less is
    likely at the same latitude; of the body all of it behind.
    """
    haired = (shell.held[rim] < 0.5) & (shell.latitude[rim] < SHOULDERS)
    hair = shell.hair.expect(rim[haired], target[haired], trust[haired])
    body, free = np.interp(shell.latitude, BODY, (0, 1)), 1 - shell.held
    excess = _profile(shell, rim, target - ((1 - body) * hair)[rim], trust)
    behind = np.clip(0.5 - shell.front, 0, 1)
    hair_pull, body_pull = HIDDEN * (1 - body) * free * shell.hidden, UNSEEN * body * free * (0.15 + behind)
    pull = hair_pull + body_pull
    wanted = hair_pull * (hair + 0.5 * excess) + body_pull * np.where(shell.held > 0, 0, excess * behind)
    return pull, wanted / np.maximum(pull, 1e-12)


def _profile(shell: _Shell, rim, target, trust) -> np.ndarray:
    """Thickness of the rim, without ears, as a function of latitude, at every vertex [V]."""
    hair = ~np.isin(rim, np.concatenate([ear.vertices for ear in shell.ears]))
    rim, target, trust = rim[hair], target[hair], trust[hair]
    if len(rim) < 8:
        return np.zeros(len(shell.latitude))
    knots = np.linspace(0, shell.latitude.max(), 24)
    near = np.exp(-0.5 * ((knots[:, None] - shell.latitude[rim]) / 0.4) ** 2)
    means = (near @ (trust * target) + 1e-3 * target.mean()) / (near @ trust + 1e-3)
    shoulders = np.clip((knots - 2.6) / 1.0, 0, 0.7)  # shoulders are wide, not deep
    return np.interp(shell.latitude, knots, means * (1 - shoulders))
