"""A photo at one level of detail, as the fit to colours sees it: what is compared with what, and the head's state in it."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter

from facecraft.camera import Camera
from facecraft.head.contour import Matte
from facecraft.head.fit import HeadState, LandmarkProblem, pose_vertices
from facecraft.head.shading import Appearance, SurfacePoints, Tangents, appear

BLED = 0.05  # how much of a blurred colour may be a cover's


@dataclass(frozen=True)
class Photo:
    """What a head is fitted to: `image` [H, W, 3] in [0, 1], `alpha` [H, W], `landmarks` [478, 2+] px, of which those with
    the numbers `hidden` are not to be believed; `covered` [H, W] bool, where something lies before the face."""

    image: np.ndarray
    alpha: np.ndarray
    landmarks: np.ndarray
    hidden: tuple[int, ...] = ()
    covered: np.ndarray | None = None

    def hides(self, landmarks) -> bool:
        """Whether one of these numbers of landmarks is not to be believed."""
        return not set(landmarks).isdisjoint(self.hidden)


@dataclass(frozen=True)
class Look:
    """The state of the fit to one photo: the head's, and `tone` [M] and `light` [9, 3]."""

    head: HeadState
    tone: np.ndarray
    light: np.ndarray


@dataclass(frozen=True)
class Picture:
    """What is compared with: `colours` [H, W, 9] with derivatives by x and by y, `alpha` [H, W], the matte's distances."""

    colours: np.ndarray
    alpha: np.ndarray
    matte: Matte


@dataclass(frozen=True)
class Scene:
    """One of several `pictures` at one level: the unknowns' meaning, the surface and its tangents, what is compared with."""

    problem: LandmarkProblem
    points: SurfacePoints
    tangents: Tangents
    picture: Picture
    pictures: int


def blur(photo: Photo, matte: Matte, sigma_px: float) -> Picture:
    """The photo blurred by a Gaussian, with its derivatives; transparent where a cover's colour reaches."""
    soft = gaussian_filter(photo.image, (max(sigma_px, 0.6),) * 2 + (0,)).astype(np.float32)
    dy, dx = np.gradient(soft, axis=(0, 1))
    alpha = photo.alpha
    if photo.covered is not None:
        alpha = np.where(gaussian_filter(photo.covered.astype(np.float32), max(sigma_px, 0.6)) < BLED, alpha, 0)
    return Picture(np.concatenate([soft, dx, dy], 2), alpha, matte)


def place_head(problem: LandmarkProblem, state: HeadState) -> tuple[np.ndarray, Camera]:
    """Vertices [V, 3] of a state in the head's axes, m, and the camera in them."""
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = state.rotation, state.translation
    shape, expression, gaze = np.split(state.code, [problem.K, problem.K + problem.E])
    vertices = pose_vertices(problem.head, shape, expression, gaze.reshape(2, 2))
    return vertices, replace(problem.camera, T_camera_world=T)


def view_scene(scene: Scene, look: Look) -> tuple[np.ndarray, Camera, Appearance]:
    """Vertices, camera and appearance of a state."""
    problem, picture = scene.problem, scene.picture
    vertices, camera = place_head(problem, look.head)
    colours = (picture.colours, picture.alpha, look.light, look.tone)
    return vertices, camera, appear(problem.head, scene.points, vertices, camera, *colours)
