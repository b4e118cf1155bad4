"""Follow a head through a video by its landmarks: one identity, and pose and expression of every frame, all frames at once.

Gauss-Newton on the reprojection errors of all frames. The identity comes first, from a few frames that share it. Then the
frames are coupled only by a random walk, so that the normal equations are block tridiagonal: exact smoothing (as Rauch,
Tung and Striebel's) in one sweep there and one back, without lag. Gaps of lids and lips are measured on their own: two
points close to each other err together, so their distance is known better than their places.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from facecraft.camera import Camera
from facecraft.head.belief import expression_belief
from facecraft.head.fit import FROZEN, OVAL, LandmarkProblem, turn_slopes
from facecraft.head.model import HeadModel
from facecraft.head.noise import landmark_noise

MISFIT_M = 2e-3  # of a tracked face; the same face in many poses tells more of its shape than one photo does
KEYFRAMES = 8
IDENTITY_ROUNDS, RIGID_ROUNDS, ROUNDS = 6, 3, 4
LIDS = ((159, 145), (158, 153), (160, 144), (386, 374), (385, 380), (387, 373))
LIPS = ((13, 14), (82, 87), (312, 317), (81, 178), (311, 402))
"""Landmarks of upper and lower rim that touch when closed."""
GAP_SIGMA_M = 0.7e-3
CHIN = (148, 152, 377)  # the only points of the outline that move with the face and not with the view
_UPPER, _LOWER = np.array(LIDS + LIPS).T
WALK = np.concatenate([np.full(3, 0.25), np.full(3, 0.05), np.full(52, 2.0)])
"""Standard deviation of what changes in the root of a second: turn rad, move m, channels."""
DAMPING = 1e-3
BATCH = 32


@dataclass(frozen=True)
class HeadTrack:
    """A head in T frames of one camera: `shape` [K], `expression` [T, 52], rotation [T, 3, 3] and translation [T, 3], m,
    from head axes to the camera's; `landmarks` [T, 478, 2] px as the head has them."""

    camera: Camera
    shape: np.ndarray
    expression: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    landmarks: np.ndarray


def track_head(
    head: HeadModel,
    landmarks: np.ndarray,  # [T, 478, 2+] px
    camera: Camera,  # intrinsics; its pose is not used
    times: np.ndarray,  # [T] s
    shape: np.ndarray | None = None,  # [K] when the head is known already
) -> HeadTrack:
    """The most probable motion of one head."""
    problem = _Sequence(head, landmarks[..., :2].astype(float), camera, times)
    state = problem.start()
    for _ in range(RIGID_ROUNDS):
        state = problem.improve(state, rigid=True)
    if shape is None:
        keys = np.unique(np.linspace(0, len(times) - 1, KEYFRAMES).round().astype(int))
        shape = _find_identity(problem.part(keys), state.part(keys))
    problem.shape = shape
    problem.expression_basis = _expression_basis(head, problem.shape)
    for _ in range(ROUNDS):
        state = problem.improve(state, rigid=False)
    return HeadTrack(
        camera,
        problem.shape,
        state.expression,
        state.rotation,
        state.translation,
        problem.pixels(problem.points(state)),
    )


@dataclass(frozen=True)
class _States:
    rotation: np.ndarray  # [T, 3, 3] camera from head
    translation: np.ndarray  # [T, 3] m
    expression: np.ndarray  # [T, 52]

    def part(self, frames: np.ndarray) -> "_States":
        return _States(self.rotation[frames], self.translation[frames], self.expression[frames])

    def moved(self, delta: np.ndarray) -> "_States":
        """By [T, 58]: turn, move, channels; those stay in [0, 1]."""
        turned = Rotation.from_rotvec(delta[:, :3]).as_matrix() @ self.rotation
        return _States(turned, self.translation + delta[:, 3:6], (self.expression + delta[:, 6:]).clip(0, 1))


def _expression_basis(head: HeadModel, shape: np.ndarray) -> np.ndarray:
    """Derivatives of the landmarks [478, 3, 52] by the channels, halfway to 1: jaw and lids are not quite linear."""
    one = torch.as_tensor(shape, dtype=torch.float32)[None]
    count = len(head.expression_names)
    moved = head.landmarks(head.vertices(one, 0.5 * torch.eye(count))) - head.landmarks(head.vertices(one))
    return (moved / 0.5).permute(1, 2, 0).double().numpy()


class _Sequence:
    """Landmarks of T frames, and how a head explains them."""

    def __init__(self, head: HeadModel, landmarks: np.ndarray, camera: Camera, times: np.ndarray):
        self.head, self.landmarks, self.camera, self.times = head, landmarks, camera, times
        self.shape = np.zeros(head.shape_count)
        self.expression_basis = _expression_basis(head, self.shape)
        outline = np.array([i for i in OVAL if i not in CHIN])
        noise = landmark_noise(head, 1.0, 0.0, MISFIT_M, outline)  # in m, in an upright picture
        roots = np.sqrt(noise.precisions)
        inner = np.linalg.cholesky(np.eye(len(noise.factors)) + (noise.factors * noise.precisions) @ noise.factors.T)
        self.roots = roots  # [956]
        self.shared = torch.from_numpy(np.linalg.solve(inner, noise.factors * roots))  # [R, 956]
        self.free = np.array([name not in FROZEN for name in head.expression_names])
        self.belief = expression_belief(head.expression_names)

    def part(self, frames: np.ndarray) -> "_Sequence":
        """Only some frames."""
        return _Sequence(self.head, self.landmarks[frames], self.camera, self.times[frames])

    def start(self) -> _States:
        """Weak-perspective poses of the mean head."""
        states = [LandmarkProblem(self.head, points, self.camera).start() for points in self.landmarks]
        T = len(states)
        rotation, translation = np.stack([s.rotation for s in states]), np.stack([s.translation for s in states])
        return _States(rotation, translation, np.zeros((T, len(self.head.expression_names))))

    def points(self, state: _States) -> np.ndarray:
        """Landmarks in the camera's axes [T, 478, 3]."""
        shape = torch.as_tensor(self.shape, dtype=torch.float32)[None]
        posed = []
        for expression in torch.as_tensor(state.expression, dtype=torch.float32).split(BATCH):
            posed.append(self.head.landmarks(self.head.vertices(shape, expression)))
        points = torch.cat(posed).double().numpy()
        return points @ state.rotation.transpose(0, 2, 1) + state.translation[:, None]

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Camera points [..., 3] in the picture [..., 2], px."""
        c = self.camera
        return points[..., :2] / points[..., 2:] * [c.fx, c.fy] + [c.cx, c.cy]

    def improve(self, state: _States, rigid: bool) -> _States:
        """One Gauss-Newton step for all frames."""
        T = len(self.times)
        points, size = self.points(state), 6 if rigid else 58
        hessian, gradient = np.empty((T, size, size)), np.empty((T, size))
        basis = self.expression_basis[..., : size - 6]
        for t in range(T):
            hessian[t], gradient[t] = self.equations(state, points[t], t, basis)
        delta = np.zeros((T, 58))
        if rigid:
            delta[:, :6] = -np.linalg.solve(hessian + 1e-9 * np.eye(6), gradient[..., None])[..., 0]
            return state.moved(delta)
        return state.moved(self._smooth_step(state, hessian, gradient))

    def equations(self, state: _States, points: np.ndarray, t: int, basis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Hessian [6 + P, 6 + P] and gradient of the landmarks of frame `t`; `basis` [478, 3, P] in head axes."""
        rotation, translation = state.rotation[t], state.translation[t]
        c, z = self.camera, points[:, 2]
        project = np.zeros((len(points), 2, 3))
        project[:, 0, 0], project[:, 0, 2] = c.fx / z, -c.fx * points[:, 0] / z**2
        project[:, 1, 1], project[:, 1, 2] = c.fy / z, -c.fy * points[:, 1] / z**2
        roll = np.arctan2(rotation[1, 0], rotation[0, 0])
        upright = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]]) * (translation[2] / c.fx)
        project = upright @ project
        J = np.concatenate([project @ turn_slopes(points - translation), project, (project @ rotation) @ basis], 2)
        r = (self.pixels(points) - self.landmarks[t]) @ upright.T
        gaps, gap_r = (values[_UPPER, 1] - values[_LOWER, 1] for values in (J, r))
        rows = np.concatenate([J.reshape(-1, J.shape[2]), r.reshape(-1, 1)], 1) * self.roots[:, None]
        # by Woodbury's identity, what the factors explain is not held against the head; torch, as numpy's BLAS takes all
        # cores for products this small and is 10 times slower when others use them
        rows = torch.from_numpy(rows)
        common = self.shared @ rows
        found = (rows.mT @ rows - common.mT @ common).numpy()
        hessian = found[:-1, :-1] + gaps.T @ gaps / GAP_SIGMA_M**2
        return hessian, found[:-1, -1] + gaps.T @ gap_r / GAP_SIGMA_M**2

    def _smooth_step(self, state: _States, hessian: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Steps [T, 58] of all frames with the random walk and the prior of the channels; bounded channels rest."""
        walk = 1 / (WALK**2 * np.maximum(np.diff(self.times), 1e-3)[:, None])  # [T - 1, 58]
        turns = (Rotation.from_matrix(state.rotation[1:]) * Rotation.from_matrix(state.rotation[:-1]).inv()).as_rotvec()
        jumps = np.concatenate([turns, np.diff(state.translation, axis=0), np.diff(state.expression, axis=0)], 1)
        gradient[1:] += walk * jumps
        gradient[:-1] -= walk * jumps
        gradient[:, 6:] += state.expression @ self.belief
        where = np.arange(58)
        hessian[:, where, where] *= 1 + DAMPING
        hessian[1:, where, where] += walk
        hessian[:-1, where, where] += walk
        hessian[:, 6:, 6:] += self.belief
        free = np.ones((len(hessian), 58), bool)
        down, up = gradient[:, 6:] > 0, gradient[:, 6:] < 0
        free[:, 6:] = self.free & ~((state.expression <= 0) & down) & ~((state.expression >= 1) & up)
        hessian *= free[:, :, None] & free[:, None, :]
        hessian[:, where, where] += ~free
        return _solve_chain(hessian, -walk * (free[1:] & free[:-1]), -gradient * free)


def _find_identity(problem: _Sequence, state: _States) -> np.ndarray:
    """The shape [K] that frames share: Gauss-Newton in it and in all their poses and channels."""
    head, T, K = problem.head, len(problem.times), problem.head.shape_count
    rest = head.landmarks(head.vertices())
    modes = (head.landmarks(head.vertices(torch.eye(K))) - rest).permute(1, 2, 0).double().numpy()
    basis = np.concatenate([problem.expression_basis, modes], 2)
    for _ in range(IDENTITY_ROUNDS):
        points = problem.points(state)
        hessian, gradient = np.zeros((58 * T + K,) * 2), np.zeros(58 * T + K)
        for t in range(T):
            where = np.r_[58 * t : 58 * t + 58, 58 * T : 58 * T + K]
            found, slope = problem.equations(state, points[t], t, basis)
            hessian[np.ix_(where, where)] += found
            gradient[where] += slope
            channels = where[6:58]
            hessian[np.ix_(channels, channels)] += problem.belief
            gradient[channels] += problem.belief @ state.expression[t]
        gradient[58 * T :] += problem.shape
        free = np.ones(len(gradient), bool)
        channels = free[: 58 * T].reshape(T, 58)[:, 6:]
        down, up = (sign * gradient[: 58 * T].reshape(T, 58)[:, 6:] > 0 for sign in (1, -1))
        channels &= problem.free & ~((state.expression <= 0) & down) & ~((state.expression >= 1) & up)
        where = np.flatnonzero(free)
        hessian[58 * T :, 58 * T :] += np.eye(K)
        hessian[np.diag_indices_from(hessian)] += DAMPING
        delta = np.zeros(len(gradient))
        delta[where] = -np.linalg.solve(hessian[np.ix_(where, where)], gradient[where])
        state = state.moved(delta[: 58 * T].reshape(T, 58))
        problem.shape = problem.shape + delta[58 * T :]
    return problem.shape


def _solve_chain(blocks: np.ndarray, links: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solution [T, n] of a symmetric block tridiagonal system: blocks [T, n, n], links [T - 1, n] (diagonals), right [T, n]."""
    blocks, links, right = (torch.from_numpy(part).clone() for part in (blocks, links, right))
    for t in range(1, len(blocks)):
        gain = torch.linalg.solve(blocks[t - 1], torch.diag(links[t - 1])).T
        blocks[t] -= gain * links[t - 1]
        right[t] -= gain @ right[t - 1]
    out = torch.empty_like(right)
    out[-1] = torch.linalg.solve(blocks[-1], right[-1])
    for t in range(len(blocks) - 2, -1, -1):
        out[t] = torch.linalg.solve(blocks[t], right[t] - links[t] * out[t + 1])
    return out.numpy()
