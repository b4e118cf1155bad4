"""Move scalp, neck and shoulders so that the head fills the matte: a hair shell on the head's own vertices.

Every vertex may slide along its own ray, away from the axis of head and neck. Vertices on the rim of the picture are
pulled to the border of the matte; the rest follow by smoothness. What no picture shows (the back) takes the thickness
that the rim has at the same latitude. The face stays where the landmarks put it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_fill_holes, binary_opening, distance_transform_edt, map_coordinates
from scipy.sparse import csc_matrix, diags
from scipy.sparse.linalg import splu
from skimage.measure import points_in_poly
from skimage.morphology import disk

from facecraft.camera import Camera
from facecraft.head.fit import OVAL
from facecraft.head.model import HeadModel, landmark_points
from facecraft.head.surface import SKIN_REGIONS
from facecraft.mesh.geometry import graph_laplacian
from facecraft.mesh.raster import rasterize_mesh

SKULL = np.array([0.0, 0.035, -0.085])  # m, middle of the brain case behind the eyes
FOOT = np.array([0.0, -0.34, -0.10])  # m, lower end of the axis of head, neck and bust
NECK_BASE = -0.20  # m, height where the neck meets the shoulders
LATITUDE_M = 0.1  # m of height below the equator that count as one radian
DOWN = np.array([0.0, -1.0, 0.0])
REACH_OUT, REACH_IN = 0.24, 0.06  # m, how far a vertex may move
RIM_PX = 2.5  # a vertex this close to the outline defines it
STIFF, SUPPLE = 8.0, 2.5  # weight of bending
OUTLIER = 0.012  # m from the stiff solution
MOUTH, NOSE, BESIDE = (-0.065, -0.045), (-0.03, -0.01), 4e-3  # m: heights, and from the head on
LONG_HAIR, HANGING, TURNED = 8e-3, 4e-3, np.radians(15)  # m, mean width of long hair there
UNSEEN = 0.02  # pull of unseen hair towards the thickness of the rim


@dataclass(frozen=True)
class _Ear:
    """One ear, and the membrane that its surroundings span in its place."""

    vertices: np.ndarray  # [E]
    solve: Callable[[np.ndarray], np.ndarray]  # of the membrane's equations
    pull: csc_matrix  # [E, V] of the surroundings

    def membrane(self, points: np.ndarray) -> np.ndarray:
        """Points [E, 3] of the harmonic patch between all other `points` [V, 3]."""
        return self.solve(-self.pull @ points)

    def sink(self, thickness: np.ndarray) -> float:
        """How far the ear lies under hair of `thickness` [V], 0..1."""
        return float(np.clip((np.percentile(thickness[self.vertices], 75) - 0.012) / 0.012, 0, 1))


@dataclass(frozen=True)
class _Shell:
    """What does not change while the shell is fitted. Skin vertices are those that may move."""

    rays: np.ndarray  # [V, 3] direction in which each vertex moves
    latitude: np.ndarray  # [V] 0 at the crown, pi/2 at ear height, growing down the neck
    ears: tuple["_Ear", "_Ear"]
    held: np.ndarray  # [V] in [0, 1], 1 = the face, which does not move
    front: np.ndarray  # [V] how far the ray points forward, -1 back .. 1 front
    laplacian: object  # [V, V]


def fit_silhouette(
    head: HeadModel,
    vertices: np.ndarray,  # [V, 3] m, the head as it is in the picture
    camera: Camera,
    alpha: np.ndarray,  # [H, W] matte in [0, 1]
    iterations: int = 4,
) -> np.ndarray:
    """Offsets [V, 3], m, that make the outline of the head follow the matte."""
    shell = _make_shell(head, vertices)
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
        rim, gap = _rim_gaps(current, shell, faces, camera, inside)
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


def has_long_hair(head: HeadModel, vertices: np.ndarray, camera: Camera, alpha: np.ndarray) -> bool:
    """Whether hair hangs beside the bare head `vertices` [V, 3]: the matte [H, W] is wider at the heights of mouth and nose.

    Shoulders are not, at the nose. Of a head that is turned the side that is seen decides, of others both.
    """
    h, w = alpha.shape
    y, x = np.mgrid[:h, :w] + 0.5
    depth = camera.T_camera_world[2, 3]
    # of what each pixel shows, as far away as the head
    height = camera.unproject(np.stack([x, y], -1), np.full((h, w), depth))[..., 1]
    face = head.faces.numpy()[head.faces_of(("face", "eyeball_L", "eyeball_R")).numpy()]
    mask = rasterize_mesh(camera.project(vertices), face, h, w).mask
    if not mask.any():
        return False
    px_per_m, middle = camera.fx / depth, x[mask].mean()
    beside = (alpha > 0.5) & (distance_transform_edt(~mask) > BESIDE * px_per_m)

    def width(side: np.ndarray, low: float, high: float) -> float:
        return (beside & side & (height > low) & (height < high)).sum() / px_per_m**2 / (high - low)

    hangs = [width(side, *MOUTH) > LONG_HAIR and width(side, *NOSE) > HANGING for side in (x < middle, x > middle)]
    forward = camera.T_camera_world[:3, 2]
    yaw = np.arctan2(forward[0], -forward[2])
    return all(hangs) or (abs(yaw) > TURNED and hangs[int(yaw < 0)])


def latitudes(vertices: np.ndarray) -> np.ndarray:
    """Angle [V] from the crown, pi/2 at the skull's equator, going on down the neck by LATITUDE_M per radian."""
    axis = FOOT - SKULL
    along = (vertices - SKULL) @ axis / (axis @ axis)
    arms = vertices - SKULL
    above = np.arccos(np.clip(-(arms @ axis) / (np.linalg.norm(arms, axis=1) * np.linalg.norm(axis)), -1, 1))
    return np.where(along > 0, np.pi / 2 + along * np.linalg.norm(axis) / LATITUDE_M, above)


def azimuths(points: np.ndarray) -> np.ndarray:
    """Angle [n] of points [n, 3] around the axis of the neck: 0 in front, positive to the subject's left, rad."""
    return np.arctan2(points[:, 0] - FOOT[0], points[:, 2] - FOOT[2])


def _make_shell(head: HeadModel, vertices: np.ndarray) -> _Shell:
    axis = FOOT - SKULL
    along = np.clip((vertices - SKULL) @ axis / (axis @ axis), 0, 1)
    arms = vertices - (SKULL + along[:, None] * axis)
    radius = np.linalg.norm(arms, axis=1)
    rays = arms / np.maximum(radius, 1e-6)[:, None]
    laplacian = graph_laplacian(head.faces.numpy(), len(vertices))
    held = _held(head, vertices)
    ears = (_find_ear(head, laplacian, held, 1), _find_ear(head, laplacian, held, -1))
    return _Shell(rays, latitudes(vertices), ears, held, rays[:, 2], laplacian)


def ear_vertices(head: HeadModel, side: int) -> np.ndarray:
    """Skin [V] bool of the ear at the subject's left (1) or right (-1) and of what is behind it."""
    x, y, z = head.template.double().numpy().T
    skin = head.vertices_of(("face", "scalp_neck")).numpy()
    return skin & (side * x > 0.06) & (y > -0.075) & (y < 0.035) & (z > -0.125) & (z < -0.055)


def _find_ear(head: HeadModel, laplacian, held: np.ndarray, side: int) -> _Ear:
    """The ear at the subject's left (1) or right (-1), as far as it is not held with the face."""
    ear = np.flatnonzero(ear_vertices(head, side) & (held < 0.5))
    rows = laplacian[ear].tocsc()
    outside = np.ones(laplacian.shape[0])
    outside[ear] = 0
    return _Ear(ear, splu(rows[:, ear]).solve, rows @ diags(outside))


def _held(head: HeadModel, vertices: np.ndarray) -> np.ndarray:
    """1 inside the face's outline and on everything that is not outer skin, falling to 0 within 25 mm outside."""
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


def _rim_gaps(vertices, shell: _Shell, faces, camera: Camera, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices on the outline and how far (m) each must move along its ray to reach the border of the matte."""
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
    return rim[known], gap[known]


def _solve(shell: _Shell, rim: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Thickness [V] that is smooth, meets `target` on the rim and the rim's profile where nothing is seen.

    A stiff solution first tells which targets are flaps and specks of the matte; those count less in the supple one.
    """
    profile = _profile(shell, rim, target)
    stiff = _bend(shell, rim, target, np.ones(len(rim)), profile, STIFF)
    trust = 1 / (1 + ((target - stiff[rim]) / OUTLIER) ** 2)
    return _bend(shell, rim, target, trust, profile, SUPPLE)


def _bend(shell: _Shell, rim, target, trust, profile, stiffness: float) -> np.ndarray:
    count = len(shell.held)
    bending = stiffness * shell.laplacian
    rim_weight, wanted = np.zeros(count), np.zeros(count)
    rim_weight[rim], wanted[rim] = trust, target
    behind = np.clip(0.5 - shell.front, 0, 1)
    weight = 1e3 * shell.held**4 + UNSEEN * (1 - shell.held) * (0.15 + behind)
    prior = np.where(shell.held > 0, 0, profile * behind)
    matrix = bending.T @ bending + diags(rim_weight + weight)
    return splu(matrix.tocsc()).solve(rim_weight * wanted + weight * prior)


def _profile(shell: _Shell, rim, target) -> np.ndarray:
    """Thickness of the rim, without ears, as a function of latitude, at every vertex [V]."""
    hair = ~np.isin(rim, np.concatenate([ear.vertices for ear in shell.ears]))
    rim, target = rim[hair], target[hair]
    if len(rim) < 8:
        return np.zeros(len(shell.latitude))
    knots = np.linspace(0, shell.latitude.max(), 24)
    near = np.exp(-0.5 * ((knots[:, None] - shell.latitude[rim]) / 0.4) ** 2)
    means = (near @ target + 1e-3 * target.mean()) / (near.sum(1) + 1e-3)
    shoulders = np.clip((knots - 2.6) / 1.0, 0, 0.7)  # shoulders are wide, not deep
    return np.interp(shell.latitude, knots, means * (1 - shoulders))
