"""Refine a landmark fit by the picture's colours: pose, shape, expression, gaze, light and skin together.

Analysis by synthesis in Gauss-Newton steps, coarse to fine (surface points and blur shrink together): the residuals are those
of `shading` (colours), `contour` (outline against the matte) and `fit` (landmarks and priors). Hair, glasses, hands,
highlights and cast shadows are not modelled: no mask of them is learned; points whose neighbourhood the model cannot explain
lose weight (Geman-McClure on pooled residuals), anew in every iteration.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter

from facecraft.camera import Camera
from facecraft.head.albedo import load_skin
from facecraft.head.contour import Matte, measure_matte, outline_residuals
from facecraft.head.fit import HeadState, LandmarkFit, LandmarkProblem, pose_vertices
from facecraft.head.model import HeadModel
from facecraft.head.shading import (
    Appearance,
    SurfacePoints,
    Tangents,
    appear,
    colour_jacobian,
    differentiate,
    surface_points,
)
from facecraft.mesh.light import harmonics

LEVELS = {
    "draft": ((64, 4e-3, 4), (96, 2.5e-3, 4)),
    "standard": ((64, 5e-3, 6), (96, 3e-3, 6), (128, 1.5e-3, 6)),
    "high": ((64, 5e-3, 8), (96, 3e-3, 8), (128, 1.5e-3, 8), (192, 1e-3, 8)),
}
"""Per quality, coarse to fine: side of the atlas whose texels are compared, blur (m on the face), most iterations."""

COLOUR_SIGMA = 0.05  # of a point that the model explains
POOL_TEXELS, OUTLIER = 1.0, 0.035  # neighbourhood whose mean squared residual decides, and the residual of half trust
EVIDENCE = 1000.0  # how many independent colours a whole face is worth: errors of neighbours are alike
LANDMARK_MISFIT_M = 2e-3  # what landmarks share in their errors, colours know better; lips and lids they know well
LIGHT_SIGMA, TINT_SIGMA = 0.5, 0.1


@dataclass(frozen=True)
class _Look:
    """The state of the fit: the head's, and `tone` [M] and `light` [9, 3]."""

    head: HeadState
    tone: np.ndarray
    light: np.ndarray


@dataclass(frozen=True)
class _Picture:
    """What is compared with: `colours` [H, W, 9] with derivatives by x and by y, `alpha` [H, W], the matte's distances."""

    colours: np.ndarray
    alpha: np.ndarray
    matte: Matte


def fit_photo(
    head: HeadModel,
    start: LandmarkFit,
    landmarks: np.ndarray,  # [478, 2+] px
    image: np.ndarray,  # [H, W, 3] in [0, 1]
    alpha: np.ndarray,  # [H, W]
    quality: str = "standard",
) -> LandmarkFit:
    """`start` refined. The camera keeps its intrinsics; `errors_px` are those of the refined head."""
    skin, matte = load_skin(head), measure_matte(alpha)
    problem = LandmarkProblem(head, landmarks, start.camera)
    T = start.camera.T_camera_world
    code = np.concatenate([start.shape, start.expression, start.gaze.ravel()])
    problem.weigh(T[:3, :3], start.camera.fx / T[2, 3], LANDMARK_MISFIT_M)
    light = np.zeros((9, 3))
    light[0] = 0.7
    look = _Look(HeadState(T[:3, :3], T[:3, 3], code), np.zeros(skin.count), light)
    used = 0
    for level, (size, blur_m, iterations) in enumerate(LEVELS[quality]):
        points = surface_points(head, skin, size)
        picture = _blur(image, alpha, matte, blur_m * start.camera.fx / T[2, 3])
        tangents = differentiate(head, points, look.head.code)
        if level == 0:
            look = _fit_colours(problem, points, tangents, picture, look)
        look, count = _minimize(problem, points, tangents, picture, look, iterations)
        used += count
    return _finish(problem, look.head, start, used)


def _finish(problem: LandmarkProblem, state: HeadState, start: LandmarkFit, used: int) -> LandmarkFit:
    found = problem.points(state)
    errors = np.linalg.norm(problem.residuals(found), axis=1)
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = state.rotation, state.translation
    shape, expression, gaze = np.split(state.code, [problem.K, problem.K + problem.E])
    camera = replace(start.camera, T_camera_world=T)
    return LandmarkFit(camera, shape, expression, gaze.reshape(2, 2), errors, start.iterations + used)


def _blur(image: np.ndarray, alpha: np.ndarray, matte: Matte, sigma_px: float) -> _Picture:
    soft = gaussian_filter(image, (max(sigma_px, 0.6),) * 2 + (0,)).astype(np.float32)
    dy, dx = np.gradient(soft, axis=(0, 1))
    return _Picture(np.concatenate([soft, dx, dy], 2), alpha, matte)


def _view(
    problem: LandmarkProblem, points: SurfacePoints, picture: _Picture, look: _Look
) -> tuple[np.ndarray, Camera, Appearance]:
    """Vertices, camera and appearance of a state."""
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = look.head.rotation, look.head.translation
    camera = replace(problem.camera, T_camera_world=T)
    shape, expression, gaze = np.split(look.head.code, [problem.K, problem.K + problem.E])
    vertices = pose_vertices(problem.head, shape, expression, gaze.reshape(2, 2))
    return (
        vertices,
        camera,
        appear(problem.head, points, vertices, camera, picture.colours, picture.alpha, look.light, look.tone),
    )


def _trust(look: Appearance, points: SurfacePoints) -> np.ndarray:
    """Weight [n] of each point: how visible it is and how well its neighbourhood is explained; divided by sigma squared and
    scaled so that a whole face counts EVIDENCE."""
    squares = ((look.expected - look.seen) ** 2).mean(1)
    skin = slice(0, len(points.rows))
    grids = np.zeros((2, points.size, points.size))
    grids[:, points.rows, points.columns] = look.visible[skin] * squares[skin], look.visible[skin]
    pooled = [gaussian_filter(grid, POOL_TEXELS)[points.rows, points.columns] for grid in grids]
    mean = np.concatenate([pooled[0] / np.maximum(pooled[1], 1e-6), squares[len(points.rows) :]])
    robust = 1 / (1 + mean / (OUTLIER * points.leeway) ** 2) ** 2
    return points.worth * look.visible * robust * EVIDENCE / (len(points.rows) * COLOUR_SIGMA**2)


def _light_prior(light: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hessian [27, 27] and gradient [27] of the belief that light is soft and nearly white."""
    bend, centre = np.ones(9), np.eye(3) - 1 / 3
    bend[0] = 0
    hessian = np.kron(np.diag(bend / LIGHT_SIGMA**2), np.eye(3)) + np.kron(np.eye(9), centre / TINT_SIGMA**2)
    return hessian, hessian @ light.ravel()


def _fit_colours(problem, points, tangents, picture, look: _Look, rounds: int = 8) -> _Look:
    """Light and skin with the head held."""
    M = len(points.modes)
    for _ in range(rounds):
        _, _, seen = _view(problem, points, picture, look)
        weight = _trust(seen, points)
        H = harmonics(seen.normals)
        J = np.zeros((len(weight), 3, M + 27))
        J[:, :, :M] = (points.modes * seen.shading).transpose(1, 2, 0)
        for c in range(3):
            J[:, c, M + c :: 3] = (0.5 * seen.reflectance / seen.shading)[:, c, None] * H
        J = J.reshape(-1, M + 27)
        weighted = J * np.repeat(weight, 3)[:, None]
        hessian, gradient = weighted.T @ J, weighted.T @ (seen.expected - seen.seen).ravel()
        curvature, slope = _light_prior(look.light)
        hessian[:M, :M] += np.eye(M)
        hessian[M:, M:] += curvature + 1e-3 * np.eye(27)
        gradient += np.concatenate([look.tone, slope])
        delta = -np.linalg.solve(hessian, gradient)
        look = _Look(look.head, look.tone + delta[:M], look.light + delta[M:].reshape(9, 3))
    return look


def _energy(problem, look: _Look, seen: Appearance, weight, outline) -> float:
    """What a step must lower: weights, visibility and outline are those of the state it starts from."""
    curvature, _ = _light_prior(look.light)
    colours = 0.5 * (weight * ((seen.expected - seen.seen) ** 2).sum(1)).sum()
    landmarks = problem.energy(problem.residuals(problem.points(look.head)), look.head.code)
    return (
        colours
        + landmarks
        + 0.5 * look.tone @ look.tone
        + 0.5 * look.light.ravel() @ curvature @ look.light.ravel()
        + outline
    )


def _minimize(problem, points, tangents, picture, look: _Look, iterations: int) -> tuple[_Look, int]:
    damping = 1e-3
    vertices, camera, seen = _view(problem, points, picture, look)
    for iteration in range(iterations):
        weight = _trust(seen, points)
        outline = outline_residuals(problem.head, vertices, camera, picture.matte)
        hessian, gradient, free = _normal_equations(problem, points, tangents, look, vertices, seen, weight, outline)
        energy = _energy(problem, look, seen, weight, 0.5 * (outline[1] ** 2).sum())
        where = np.flatnonzero(free)
        for _ in range(5):
            delta = np.zeros(len(gradient))
            damped = hessian[np.ix_(where, where)] + damping * np.diag(np.diag(hessian)[where])
            delta[where] = -np.linalg.solve(damped, gradient[where])
            trial = _step(problem, look, delta)
            moved, turned, trial_seen = _view(problem, points, picture, trial)
            gaps = outline[1] + (
                outline[2] * (turned.project(moved[outline[0]]) - camera.project(vertices[outline[0]]))[:, :2]
            ).sum(1)
            trial_energy = _energy(problem, trial, trial_seen, weight, 0.5 * (gaps**2).sum())
            if trial_energy < energy:
                break
            damping *= 8
        else:
            return look, iteration
        look, vertices, camera, seen = trial, moved, turned, trial_seen
        damping = max(damping / 5, 1e-6)
        if energy - trial_energy < 1e-4 * energy:
            return look, iteration + 1
    return look, iterations


def _step(problem: LandmarkProblem, look: _Look, delta: np.ndarray) -> _Look:
    P, M = 6 + len(problem.prior), len(look.tone)
    light = look.light + delta[P + M :].reshape(9, 3)
    return _Look(problem.step(look.head, delta[:P]), look.tone + delta[P : P + M], light)


def _normal_equations(problem, points, tangents: Tangents, look: _Look, vertices, seen: Appearance, weight, outline):
    """Hessian, gradient and free unknowns: turn, move, code, tone, light."""
    state, P, M = look.head, 6 + len(problem.prior), len(look.tone)
    faces = problem.head.faces.numpy()
    arms = points.interpolate(vertices, faces) @ state.rotation.T
    project = problem.projection(arms + state.translation)
    J = colour_jacobian(seen, points, tangents, state.rotation, arms, project, look.light)
    J[len(points.rows) :, :, : P - 4] = 0  # eyes tell the gaze; lids and lashes about them would bend the face
    J = J.reshape(-1, J.shape[2])
    root = np.repeat(np.sqrt(weight), 3).astype(np.float32)
    J *= root[:, None]
    hessian = (J.T @ J).astype(float)
    gradient = (J.T @ (root * (seen.expected - seen.seen).ravel().astype(np.float32))).astype(float)

    found = problem.points(state)
    H, g, free = problem.normal_equations(state, found, problem.residuals(found), False)
    hessian[:P, :P] += H
    gradient[:P] += g
    curvature, slope = _light_prior(look.light)
    hessian[P : P + M, P : P + M] += np.eye(M)
    gradient[P : P + M] += look.tone
    hessian[P + M :, P + M :] += curvature + 1e-3 * np.eye(27)
    gradient[P + M :] += slope

    ids, gaps, slopes = outline
    rim = problem.jacobian(vertices[ids] @ state.rotation.T + state.translation, state, tangents.vertices[ids])
    rim = np.einsum("nd,ndp->np", slopes, rim)
    hessian[:P, :P] += rim.T @ rim
    gradient[:P] += rim.T @ gaps
    return hessian, gradient, np.concatenate([free, np.ones(M + 27, bool)])
