"""Refine a landmark fit by the colours of a picture, or several: pose, shape, expression, gaze, light and skin together.

Analysis by synthesis in Gauss-Newton steps, coarse to fine (surface points and blur shrink together): the residuals are those
of `shading` (colours), `contour` (outline against the matte) and `fit` (landmarks and priors). Hair, glasses, hands,
highlights and cast shadows are not modelled: no mask of them is learned; points whose neighbourhood the model cannot explain
lose weight (Geman-McClure on pooled residuals), anew in every iteration. Several pictures of one person share shape and skin.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from facecraft.camera import Camera
from facecraft.head.albedo import load_skin
from facecraft.head.contour import measure_matte, outline_residuals
from facecraft.head.fit import HeadState, LandmarkFit, LandmarkProblem, conclude, weigh_landmarks
from facecraft.head.joint import damped_step, join_equations, place_unknowns
from facecraft.head.model import HeadModel
from facecraft.head.scene import Look, Photo, Scene, blur, view_scene
from facecraft.head.shading import Appearance, SurfacePoints, colour_jacobian, differentiate, surface_points
from facecraft.mesh.light import harmonics

LEVELS = {
    "draft": ((64, 4e-3, 4), (96, 2.5e-3, 4)),
    "standard": ((64, 5e-3, 6), (96, 3e-3, 6), (128, 1.5e-3, 6), (192, 0.7e-3, 6)),
    "high": ((64, 5e-3, 8), (96, 3e-3, 8), (128, 1.5e-3, 8), (192, 0.7e-3, 8), (256, 0.5e-3, 8)),
}
"""Per quality, coarse to fine: side of the atlas whose texels are compared, blur (m on the face), most iterations."""

COLOUR_SIGMA = 0.05  # of a point that the model explains
POOL_TEXELS, OUTLIER = 1.0, 0.035  # neighbourhood whose mean squared residual decides, and the residual of half trust
EVIDENCE = 2000.0  # how many independent colours a whole face is worth: errors of neighbours are alike
COMMON_SHARE = 0.6  # of the variance of colours is the same in all photos of a person: what the skin model lacks; tuned
LANDMARK_MISFIT_M = 2e-3  # what landmarks share in their errors, colours know better; lips and lids they know well
LIGHT_SIGMA, TINT_SIGMA = 0.5, 0.1


def fit_photo(
    head: HeadModel,
    start: LandmarkFit,
    landmarks: np.ndarray,  # [478, 2+] px
    image: np.ndarray,  # [H, W, 3] in [0, 1]
    alpha: np.ndarray,  # [H, W]
    quality: str = "standard",
) -> LandmarkFit:
    """`start` refined by one photo; see fit_photos."""
    (fit,) = fit_photos(head, [start], [Photo(image, alpha, landmarks)], quality)
    return fit


def fit_photos(
    head: HeadModel,
    starts: list[LandmarkFit],  # of one shape, from fit_together
    photos: list[Photo],
    quality: str = "standard",
) -> list[LandmarkFit]:
    """`starts` refined, one shape for all. The cameras keep their intrinsics; `errors_px` are those of the refined head."""
    problems, looks, used = refine_looks(head, starts, photos, quality)
    return [conclude(problem, look.head, used) for problem, look in zip(problems, looks, strict=True)]


def refine_looks(
    head: HeadModel, starts: list[LandmarkFit], photos: list[Photo], quality: str
) -> tuple[list[LandmarkProblem], list[Look], int]:
    """The states of fit_photos with skin and light, what they were measured by, and the number of steps."""
    skin, mattes = load_skin(head), [measure_matte(photo.alpha) for photo in photos]
    problems, looks = [], []
    for start, photo in zip(starts, photos, strict=True):
        problem = LandmarkProblem(head, photo.landmarks, start.camera, len(photos), photo.hidden)
        T = start.camera.T_camera_world
        problem.weigh(T[:3, :3], start.camera.fx / T[2, 3], LANDMARK_MISFIT_M)
        code = np.concatenate([start.shape, start.expression, start.gaze.ravel()])
        light = np.zeros((9, 3))
        light[0] = 0.7
        problems.append(problem)
        looks.append(Look(HeadState(T[:3, :3], T[:3, 3], code), np.zeros(skin.count), light))
    used = starts[0].iterations
    for level, (size, blur_m, iterations) in enumerate(LEVELS[quality]):
        points, scenes = surface_points(head, skin, size), []
        for start, photo, matte, problem, look in zip(starts, photos, mattes, problems, looks, strict=True):
            sigma_px = blur_m * start.camera.fx / start.camera.T_camera_world[2, 3]
            picture, tangents = blur(photo, matte, sigma_px), differentiate(head, points, look.head.code)
            scenes.append(Scene(problem, points, tangents, picture, len(photos)))
        if level == 0:
            looks = _fit_colours(scenes, looks)
        looks, count = _minimize(scenes, looks, iterations)
        used += count
    return problems, looks, used


def _trust(look: Appearance, points: SurfacePoints, pictures: int) -> np.ndarray:
    """Weight [n] of each point: how visible it is and how well its neighbourhood is explained; divided by sigma squared and
    scaled so that a whole face counts EVIDENCE in one picture, and less in one of several, which err in part alike."""
    squares = ((look.expected - look.seen) ** 2).mean(1)
    skin = slice(0, len(points.rows))
    grids = np.zeros((2, points.size, points.size))
    grids[:, points.rows, points.columns] = look.visible[skin] * squares[skin], look.visible[skin]
    pooled = [gaussian_filter(grid, POOL_TEXELS)[points.rows, points.columns] for grid in grids]
    mean = np.concatenate([pooled[0] / np.maximum(pooled[1], 1e-6), squares[len(points.rows) :]])
    robust = 1 / (1 + mean / (OUTLIER * points.leeway) ** 2) ** 2
    evidence = EVIDENCE / (1 + (pictures - 1) * COMMON_SHARE)
    return points.worth * look.visible * robust * evidence / (len(points.rows) * COLOUR_SIGMA**2)


def _light_prior(light: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hessian [27, 27] and gradient [27] of the belief that light is soft and nearly white."""
    bend, centre = np.ones(9), np.eye(3) - 1 / 3
    bend[0] = 0
    hessian = np.kron(np.diag(bend / LIGHT_SIGMA**2), np.eye(3)) + np.kron(np.eye(9), centre / TINT_SIGMA**2)
    return hessian, hessian @ light.ravel()


def _fit_colours(scenes: list[Scene], looks: list[Look], rounds: int = 8) -> list[Look]:
    """Lights and skin with the heads held."""
    M = len(looks[0].tone)
    places = place_unknowns(np.arange(M + 27) < M, len(scenes))
    for _ in range(rounds):
        each = zip(scenes, looks, strict=True)
        equations = [_colour_equations(*pair) for pair in each]
        delta = damped_step(*join_equations(equations, places, places.max() + 1), 0)
        moves = delta[places]
        looks = [
            Look(look.head, look.tone + move[:M], look.light + move[M:].reshape(9, 3))
            for look, move in zip(looks, moves, strict=True)
        ]
    return looks


def _colour_equations(scene: Scene, look: Look) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hessian, gradient and free unknowns: tone, light."""
    points, M = scene.points, len(look.tone)
    _, _, seen = view_scene(scene, look)
    weight = _trust(seen, points, scene.pictures)
    H = harmonics(seen.normals)
    J = np.zeros((len(weight), 3, M + 27))
    J[:, :, :M] = (points.modes * seen.shading).transpose(1, 2, 0)
    for c in range(3):
        J[:, c, M + c :: 3] = (0.5 * seen.reflectance / seen.shading)[:, c, None] * H
    J = J.reshape(-1, M + 27)
    weighted = J * np.repeat(weight, 3)[:, None]
    hessian, gradient = weighted.T @ J, weighted.T @ (seen.expected - seen.seen).ravel()
    _add_priors(hessian, gradient, look, scene.pictures)
    return hessian, gradient, np.ones(M + 27, bool)


def _add_priors(hessian: np.ndarray, gradient: np.ndarray, look: Look, pictures: int) -> None:
    """Those of tone and light, the last unknowns, in place; of the tone, which is shared, a picture's part."""
    M = len(look.tone)
    tone, light = slice(-27 - M, -27), slice(-27, None)
    curvature, slope = _light_prior(look.light)
    hessian[tone, tone] += np.eye(M) / pictures
    hessian[light, light] += curvature + 1e-3 * np.eye(27)
    gradient[tone] += look.tone / pictures
    gradient[light] += slope


def _energy(scene: Scene, look: Look, seen: Appearance, weight, outline) -> float:
    """What a step must lower beside the landmarks: weights, visibility and outline are those of the state it starts from."""
    curvature, _ = _light_prior(look.light)
    colours = 0.5 * (weight * ((seen.expected - seen.seen) ** 2).sum(1)).sum()
    return (
        colours
        + 0.5 * look.tone @ look.tone / scene.pictures
        + 0.5 * look.light.ravel() @ curvature @ look.light.ravel()
        + outline
    )


@dataclass(frozen=True)
class _Held:
    """What is held while a step from `look` is tried: `vertices` [V, 3] and camera, the points' `weight` [n], the outline."""

    look: Look
    vertices: np.ndarray
    camera: Camera
    seen: Appearance
    weight: np.ndarray
    outline: tuple[np.ndarray, np.ndarray, np.ndarray]

    @classmethod
    def at(cls, scene: Scene, look: Look, view: tuple) -> "_Held":
        vertices, camera, seen = view
        outline = outline_residuals(scene.problem.head, vertices, camera, scene.picture.matte)
        return cls(look, vertices, camera, seen, _trust(seen, scene.points, scene.pictures), outline)

    def energy(self, scene: Scene, look: Look, view: tuple) -> float:
        """Of another `look` and its view."""
        vertices, camera, seen = view
        ids, gaps, slopes = self.outline
        moves = (camera.project(vertices[ids]) - self.camera.project(self.vertices[ids]))[:, :2]
        gaps = gaps + (slopes * moves).sum(1)
        return _energy(scene, look, seen, self.weight, 0.5 * (gaps**2).sum())


def _minimize(scenes: list[Scene], looks: list[Look], iterations: int) -> tuple[list[Look], int]:
    P, M = 6 + scenes[0].problem.count, len(looks[0].tone)
    shared = np.zeros(P + M + 27, bool)
    shared[6 : 6 + scenes[0].problem.K] = shared[P : P + M] = True
    places = place_unknowns(shared, len(scenes))
    count = places.max() + 1

    def weigh(looks):
        return weigh_landmarks([scene.problem for scene in scenes], [look.head for look in looks], places[:, :P], count)

    damping, marks = 1e-3, weigh(looks)  # the landmarks' hessian, gradient, free unknowns and energy
    views = [view_scene(*pair) for pair in zip(scenes, looks, strict=True)]
    for iteration in range(iterations):
        held = [_Held.at(*each) for each in zip(scenes, looks, views, strict=True)]
        equations = [_normal_equations(*pair) for pair in zip(scenes, held, strict=True)]
        hessian, gradient, free = join_equations(equations, places, count)
        equations = hessian + marks[0], gradient + marks[1], free & marks[2]
        energy = marks[3] + sum(here.energy(*each) for here, *each in zip(held, scenes, looks, views, strict=True))
        for _ in range(5):
            moves = damped_step(*equations, damping)[places]
            trials = [_step(*each) for each in zip(scenes, looks, moves, strict=True)]
            trial_views = [view_scene(*pair) for pair in zip(scenes, trials, strict=True)]
            trial_marks = weigh(trials)
            trial_energy = trial_marks[3] + sum(
                here.energy(*each) for here, *each in zip(held, scenes, trials, trial_views, strict=True)
            )
            if trial_energy < energy:
                break
            damping *= 8
        else:
            return looks, iteration
        looks, views, marks = trials, trial_views, trial_marks
        damping = max(damping / 5, 1e-6)
        if energy - trial_energy < 1e-4 * energy:
            return looks, iteration + 1
    return looks, iterations


def _step(scene: Scene, look: Look, delta: np.ndarray) -> Look:
    P, M = 6 + scene.problem.count, len(look.tone)
    light = look.light + delta[P + M :].reshape(9, 3)
    return Look(scene.problem.step(look.head, delta[:P]), look.tone + delta[P : P + M], light)


def _normal_equations(scene: Scene, held: _Held) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hessian, gradient and free unknowns, but for the landmarks: turn, move, code, tone, light."""
    problem, points, look, seen = scene.problem, scene.points, held.look, held.seen
    state, P = look.head, 6 + problem.count
    arms = points.interpolate(held.vertices, problem.head.faces.numpy()) @ state.rotation.T
    project = problem.projection(arms + state.translation)
    J = colour_jacobian(seen, points, scene.tangents, state.rotation, arms, project, look.light)
    J[len(points.rows) :, :, :P] = 0  # eyes tell their own colour and light alone; the gaze is the irises'
    J = J.reshape(-1, J.shape[2])
    root = np.repeat(np.sqrt(held.weight), 3).astype(np.float32)
    J *= root[:, None]
    hessian = (J.T @ J).astype(float)
    gradient = (J.T @ (root * (seen.expected - seen.seen).ravel().astype(np.float32))).astype(float)
    _add_priors(hessian, gradient, look, scene.pictures)

    ids, gaps, slopes = held.outline
    rim = problem.jacobian(
        held.vertices[ids] @ state.rotation.T + state.translation, state, scene.tangents.vertices[ids]
    )
    rim = np.einsum("nd,ndp->np", slopes, rim)
    hessian[:P, :P] += rim.T @ rim
    gradient[:P] += rim.T @ gaps
    return hessian, gradient, np.ones(len(gradient), bool)
