"""Fit a morphable head to the 478 landmarks of a picture, or of several of one person: pose, shape, expression and gaze.

Levenberg-Marquardt on the reprojection error with Gaussian priors. Landmarks say little about identity beyond pose and
expression (they regress to the detector's mean face), so shape stays close to the mean unless the points insist.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from scipy.linalg import block_diag
from scipy.spatial.transform import Rotation

from facecraft.camera import Camera
from facecraft.head.belief import expression_belief
from facecraft.head.joint import damped_step, forgive_shape, join_equations, place_unknowns
from facecraft.head.model import HeadModel, landmark_points
from facecraft.head.noise import landmark_noise

OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377)
OVAL += (152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)
"""MediaPipe's outline of the face, clockwise from the top of the forehead; it slides along the surface when the head turns."""

GAZE_SIGMA = 0.15  # rad
SQUINT_SIGMA = np.array([0.05, 0.02])  # rad, between the eyes: yaw, pitch
MISFIT_M = 4e-3  # of landmarks without other evidence: stiffer ones bend the head to the detector's errors
FROZEN = ("tongueOut",)  # the detector does not see it
_TURN_AXES = np.diag([1.0, -1.0, -1.0])  # a camera that looks at the face has its y and z against the head's


@dataclass(frozen=True)
class LandmarkFit:
    """A head that explains the landmarks of one picture: camera in the head's frame, `shape` [K], `expression` [52], `gaze` [2, 2]."""

    camera: Camera
    shape: np.ndarray
    expression: np.ndarray
    gaze: np.ndarray
    errors_px: np.ndarray  # [478] distance of each landmark
    iterations: int

    def vertices(self, head: HeadModel, offsets: np.ndarray | None = None) -> np.ndarray:
        """The head as it is in the picture [V, 3], m."""
        return pose_vertices(head, self.shape, self.expression, self.gaze, offsets)


def pose_vertices(head: HeadModel, shape, expression, gaze, offsets=None) -> np.ndarray:
    """`HeadModel.vertices` of one head in numpy [V, 3]; `shape` [K], `expression` [52], `gaze` [2, 2], `offsets` [V, 3]."""

    def batched(a):
        return None if a is None else torch.as_tensor(np.asarray(a, np.float32))[None]

    return (
        head.vertices(batched(shape), batched(expression), batched(gaze), offsets=batched(offsets))[0].double().numpy()
    )


@cache
def _landmark_basis(head: HeadModel) -> np.ndarray:
    """Derivatives of the landmarks [478, 3, K + 52 + 4] by shape, expression and gaze at rest.

    The jaw and the lids are not quite linear: steps use this basis, residuals the model itself.
    """
    K, E = head.shape_count, len(head.expression_names)
    rest = head.landmarks(head.vertices())
    shape = head.landmarks(head.vertices(torch.eye(K))) - rest
    expression = (head.landmarks(head.vertices(expression=0.5 * torch.eye(E))) - rest) / 0.5
    gaze = (head.landmarks(head.vertices(gaze=0.1 * torch.eye(4).reshape(4, 2, 2))) - rest) / 0.1
    return torch.cat([shape, expression, gaze]).permute(1, 2, 0).double().numpy()


def _eyes_together(head: HeadModel) -> np.ndarray:
    """Curvature [P, P] of the belief that both eyes look at one far point."""
    look = head.look_angles.double().numpy().reshape(-1, 2, 2)
    spans = np.concatenate([np.zeros((head.shape_count, 2)), look[:, 0] - look[:, 1], np.eye(2), -np.eye(2)])
    return (spans / SQUINT_SIGMA**2) @ spans.T


@dataclass(frozen=True)
class HeadState:
    """Where the head is in the camera's axes, and its numbers."""

    rotation: np.ndarray  # [3, 3] camera from head, OpenCV axes
    translation: np.ndarray  # [3] m
    code: np.ndarray  # [K + 52 + 4] shape, expression, gaze


def turn_slopes(arms: np.ndarray) -> np.ndarray:
    """Derivatives [n, 3, 3] of turned arms [n, 3] by the turn (axis times angle, rad), at no turn."""
    return -np.cross(arms[:, None], np.eye(3)[None], axis=2).transpose(0, 2, 1)


class LandmarkProblem:
    """Residuals, their Jacobian and the bounds of one of several `pictures` that share the shape, and the prior on it."""

    def __init__(self, head: HeadModel, landmarks: np.ndarray, camera: Camera, pictures: int = 1, hidden=()):
        self.hidden = tuple(hidden)  # numbers of landmarks that are not to be believed
        self.head, self.landmarks, self.camera = head, landmarks[:, :2].astype(float), camera
        self.K, self.E = head.shape_count, len(head.expression_names)
        self.basis = _landmark_basis(head)
        self.count = self.K + self.E + 4  # of the code's numbers
        blocks = (np.eye(self.K) / pictures, expression_belief(head.expression_names), np.eye(4) / GAZE_SIGMA**2)
        self.curvature = block_diag(*blocks) + _eyes_together(head)
        self.free = np.ones(6 + self.count, bool)
        self.free[[6 + self.K + head.expression_names.index(name) for name in FROZEN]] = False
        self.channels = slice(6 + self.K, 6 + self.K + self.E)

    def points(self, state: HeadState) -> np.ndarray:
        """Landmarks in camera coordinates [478, 3]."""
        shape, expression, gaze = np.split(state.code, [self.K, self.K + self.E])
        vertices = pose_vertices(self.head, shape, expression, gaze.reshape(2, 2))
        return landmark_points(self.head, vertices) @ state.rotation.T + state.translation

    def residuals(self, points: np.ndarray) -> np.ndarray:
        """Reprojection errors [478, 2] px."""
        return self.pixels(points) - self.landmarks

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Camera points [n, 3] in the picture [n, 2], px."""
        c = self.camera
        return np.stack([c.fx * points[:, 0] / points[:, 2] + c.cx, c.fy * points[:, 1] / points[:, 2] + c.cy], 1)

    def projection(self, points: np.ndarray) -> np.ndarray:
        """Derivatives [n, 2, 3] of pixels by camera points [n, 3]."""
        z = points[:, 2]
        out = np.zeros((len(points), 2, 3))
        out[:, 0, 0], out[:, 0, 2] = self.camera.fx / z, -self.camera.fx * points[:, 0] / z**2
        out[:, 1, 1], out[:, 1, 2] = self.camera.fy / z, -self.camera.fy * points[:, 1] / z**2
        return out

    def jacobian(self, points: np.ndarray, state: HeadState, basis: np.ndarray) -> np.ndarray:
        """Derivatives [n, 2, 6 + P] of pixels by turn, move and code; `basis` [n, 3, P] of the points [n, 3] in head axes."""
        project = self.projection(points)
        moves = state.rotation.astype(basis.dtype) @ basis
        return np.concatenate([project @ turn_slopes(points - state.translation), project, project @ moves], 2)

    def start(self) -> HeadState:
        """Weak-perspective pose of the mean head from points that expressions hardly move."""
        steady = [33, 263, 133, 362, 1, 4, 6, 168, 61, 291, 152, 10, 197, 5]
        mean = self.head.landmarks(self.head.template[None])[0].double().numpy()[steady]
        pixels = (self.landmarks[steady] - [self.camera.cx, self.camera.cy]) * [1, -1]
        affine = np.linalg.lstsq(mean - mean.mean(0), pixels - pixels.mean(0), rcond=None)[0].T  # [2, 3] px/m
        scale = np.sqrt(np.linalg.norm(affine[0]) * np.linalg.norm(affine[1]))
        x = affine[0] / np.linalg.norm(affine[0])
        y = affine[1] - x * (x @ affine[1])
        y /= np.linalg.norm(y)
        rotation = _TURN_AXES @ np.stack([x, y, np.cross(x, y)])
        centre = np.array([*(pixels.mean(0) * [1, -1] / scale), self.camera.fx / scale])
        state = HeadState(rotation, centre - rotation @ mean.mean(0), np.zeros(self.count))
        self.weigh(rotation, scale)
        return state

    def weigh(self, rotation: np.ndarray, px_per_m: float, misfit_m: float = MISFIT_M) -> None:
        """Set the landmarks' noise for a head turned by `rotation` [3, 3] at a scale of `px_per_m`; see landmark_noise."""
        yaw = np.arctan2(rotation[0, 2], -rotation[2, 2])  # of the face's axis in the camera
        ignored = list(self.hidden)
        if abs(yaw) > np.radians(25):  # the far outline is the detector's guess
            mean_x = self.head.landmarks(self.head.template[None])[0, :, 0].numpy()
            ignored += [i for i in OVAL if mean_x[i] * np.sign(yaw) > 0.02]
        roll = np.arctan2(rotation[1, 0], rotation[0, 0])
        self.noise = landmark_noise(self.head, px_per_m, roll, misfit_m, np.array(ignored, int))

    def normal_equations(self, state: HeadState) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """Hessian approximation, gradient, free unknowns and energy of the landmarks without the priors."""
        points = self.points(state)
        residuals, J = self.residuals(points), self.jacobian(points, state, self.basis)
        hessian, gradient = self.noise.normal_equations(J.reshape(-1, J.shape[2]), residuals)
        return hessian, gradient, self.free, self.noise.energy(residuals)

    def movable(self, state: HeadState, gradient: np.ndarray) -> np.ndarray:
        """Which unknowns [6 + P] may move: not a channel at a bound where the `gradient` [6 + P] pushes it out."""
        movable, psi = np.ones(len(gradient), bool), state.code[self.K : self.K + self.E]
        outwards = gradient[self.channels]
        movable[self.channels] = ~((psi <= 0) & (outwards > 0) | (psi >= 1) & (outwards < 0))
        return movable

    def step(self, state: HeadState, delta: np.ndarray) -> HeadState:
        """`state` moved by `delta`, channels kept in [0, 1]."""
        code = state.code + delta[6:]
        code[self.K : self.K + self.E] = np.clip(code[self.K : self.K + self.E], 0, 1)
        turned = Rotation.from_rotvec(delta[:3]).as_matrix() @ state.rotation
        return HeadState(turned, state.translation + delta[3:6], code)


def fit_landmarks(
    head: HeadModel,
    landmarks: np.ndarray,  # [478, 2+] px
    camera: Camera,  # intrinsics; its pose is not used
    iterations: int = 25,
    hidden: Sequence[int] = (),  # numbers of landmarks that are not to be believed
) -> LandmarkFit:
    """The most probable head for the landmarks of one picture."""
    (fit,) = fit_together(head, [landmarks], [camera], iterations, [hidden])
    return fit


def fit_together(
    head: HeadModel,
    landmarks: list[np.ndarray],  # of each picture [478, 2+] px
    cameras: list[Camera],
    iterations: int = 25,
    hidden: Sequence[Sequence[int]] | None = None,  # of each picture, see fit_landmarks
) -> list[LandmarkFit]:
    """The most probable head for the landmarks of several pictures of one person: one shape, the rest for each picture."""
    each = zip(landmarks, cameras, hidden or [()] * len(cameras), strict=True)
    problems = [LandmarkProblem(head, points, camera, len(cameras), absent) for points, camera, absent in each]
    states = [problem.start() for problem in problems]
    count = 0
    for rigid, limit in ((True, 6), (False, iterations)):
        states, used = _minimize(problems, states, rigid, limit)
        count += used
    return [conclude(problem, state, count) for problem, state in zip(problems, states, strict=True)]


def conclude(problem: LandmarkProblem, state: HeadState, iterations: int) -> LandmarkFit:
    """A state as a fit."""
    errors = np.linalg.norm(problem.residuals(problem.points(state)), axis=1)
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = state.rotation, state.translation
    shape, expression, gaze = np.split(state.code, [problem.K, problem.K + problem.E])
    camera = replace(problem.camera, T_camera_world=T)
    return LandmarkFit(camera, shape, expression, gaze.reshape(2, 2), errors, iterations)


def weigh_landmarks(
    problems: list[LandmarkProblem],
    states: list[HeadState],
    places: np.ndarray,  # [pictures, 6 + P] of their unknowns
    count: int,  # of unknowns in all
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Joint hessian, gradient and free unknowns of the landmarks and priors of all pictures, and the energy of these."""
    parts = [problem.normal_equations(state) for problem, state in zip(problems, states, strict=True)]
    hessian, gradient, free = join_equations([part[:3] for part in parts], places, count)
    shape = places[0, 6 : 6 + problems[0].K]
    hessian, gradient, forgiven = forgive_shape(hessian, gradient, shape, len(problems))
    energy = sum(part[3] for part in parts) - forgiven
    for problem, state, place in zip(problems, states, places, strict=True):
        slope = problem.curvature @ state.code
        hessian[np.ix_(place[6:], place[6:])] += problem.curvature
        gradient[place[6:]] += slope
        energy += 0.5 * state.code @ slope
        free[place] &= problem.movable(state, gradient[place])
    return hessian, gradient, free, energy


def _minimize(problems: list[LandmarkProblem], states: list[HeadState], rigid: bool, limit: int):
    """The states after at most `limit` steps, and how many there were."""
    shared = np.zeros(len(problems[0].free), bool)
    shared[6 : 6 + problems[0].K] = True
    places = place_unknowns(shared, len(problems))
    count = places.max() + 1
    movable = np.ones(count, bool)
    if rigid:
        movable[places[:, 6:]] = False
    damping = 1e-3
    hessian, gradient, free, energy = weigh_landmarks(problems, states, places, count)
    for iteration in range(limit):
        for _ in range(8):
            delta = damped_step(hessian, gradient, free & movable, damping)
            trials = [p.step(state, delta[place]) for p, state, place in zip(problems, states, places, strict=True)]
            *equations, trial_energy = weigh_landmarks(problems, trials, places, count)
            if trial_energy < energy:
                break
            damping *= 6
        else:
            return states, iteration
        gain = energy - trial_energy
        states, (hessian, gradient, free), energy = trials, equations, trial_energy
        damping = max(damping / 5, 1e-7)
        if gain < 1e-5 * energy:
            return states, iteration + 1
    return states, limit
