"""Cameras, and the conventions of the whole code base.

World = head: right-handed, metres, +Y up, +Z out of the face, +X to the subject's left, origin between the eyeballs.
Camera: OpenCV axes (x right, y down, z forward). `T_camera_world` maps world points into the camera (read right to left).
On disk: nerfstudio `transforms.json`, OpenGL camera-to-world (x right, y up, z backward); converted here and nowhere else.
Pixels: centres at .5, so a picture covers [0, width] x [0, height]. Pictures: float32 RGB in [0, 1], sRGB, [H, W, 3];
alpha is straight. Quaternions: wxyz. Angles in the code: radians; names that end in `_deg` are degrees.
"""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from facecraft.errors import InputError

GL_FROM_CV = np.diag([1.0, -1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: intrinsics in pixels, `T_camera_world` [4, 4]."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    T_camera_world: np.ndarray = field(default_factory=lambda: np.eye(4))

    @property
    def K(self) -> np.ndarray:
        """Intrinsic matrix [3, 3]."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1.0]])

    @property
    def centre(self) -> np.ndarray:
        """Position of the camera in the world [3]."""
        R, t = self.T_camera_world[:3, :3], self.T_camera_world[:3, 3]
        return -R.T @ t

    def transform(self, points: np.ndarray) -> np.ndarray:
        """World points [..., 3] to camera points [..., 3]."""
        return points @ self.T_camera_world[:3, :3].T + self.T_camera_world[:3, 3]

    def project(self, points: np.ndarray) -> np.ndarray:
        """World points [..., 3] to (x px, y px, depth m) [..., 3]. Points at depth 0 give infinities."""
        p = self.transform(points)
        z = p[..., 2]
        return np.stack([self.fx * p[..., 0] / z + self.cx, self.fy * p[..., 1] / z + self.cy, z], -1)

    def unproject(self, pixels: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Pixels [..., 2] at depth [...] (z, m) to world points [..., 3]."""
        x = (pixels[..., 0] - self.cx) / self.fx * depth
        y = (pixels[..., 1] - self.cy) / self.fy * depth
        p = np.stack([x, y, depth], -1)
        return (p - self.T_camera_world[:3, 3]) @ self.T_camera_world[:3, :3]

    def resized(self, width: int, height: int) -> "Camera":
        """The same view at another picture size."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self, width=width, height=height, fx=self.fx * sx, fy=self.fy * sy, cx=self.cx * sx, cy=self.cy * sy
        )


def look_at(eye: np.ndarray, target: np.ndarray, up=(0.0, 1.0, 0.0)) -> np.ndarray:
    """`T_camera_world` [4, 4] of a camera at `eye` that looks at `target`; `up` must not be parallel to the view."""
    forward = np.asarray(target, float) - eye
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    R = np.stack([right, np.cross(forward, right), forward])
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = R, -R @ eye
    return T


def orbit_camera(like: Camera, azimuth_deg: float, elevation_deg: float, target: np.ndarray, radius: float) -> Camera:
    """Camera with the intrinsics of `like` on a sphere around `target` [3].

    Azimuth 0 looks at the face; positive azimuth moves the camera to the subject's left (+X); positive elevation moves
    it up. The principal point is put in the middle of the picture.
    """
    a, e = np.radians(azimuth_deg), np.radians(elevation_deg)
    direction = np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])
    T = look_at(np.asarray(target, float) + radius * direction, target)
    return replace(like, cx=like.width / 2, cy=like.height / 2, T_camera_world=T)


def frame_record(camera: Camera, **extra) -> dict:
    """One entry of `frames` in transforms.json: intrinsics per frame, OpenGL camera-to-world, and `extra` keys."""
    T_world_camera = np.linalg.inv(camera.T_camera_world) @ GL_FROM_CV
    return {
        **extra,
        "fl_x": camera.fx,
        "fl_y": camera.fy,
        "cx": camera.cx,
        "cy": camera.cy,
        "w": camera.width,
        "h": camera.height,
        "transform_matrix": T_world_camera.tolist(),
    }


def transforms_text(frames: list[dict], **top) -> str:
    """Text of a transforms.json with `frames` from `frame_record` and extra top-level keys."""
    return json.dumps({"camera_model": "OPENCV", **top, "frames": frames}, indent=1)


def read_frames(path: Path) -> list[tuple[dict, Camera]]:
    """The frames of a transforms.json with their cameras, sorted by file path. InputError when it is not one."""
    try:
        data = json.loads(Path(path).read_text())
        frames = sorted(data["frames"], key=lambda f: f.get("file_path", ""))
        return [(f, _camera_of({**data, **f})) for f in frames]
    except (KeyError, TypeError, ValueError, AttributeError, np.linalg.LinAlgError) as error:
        raise InputError(f"{path} is not a transforms.json ({error}); see nerfstudio's data conventions") from error


def _camera_of(frame: dict) -> Camera:
    T_world_camera = np.array(frame["transform_matrix"], float)
    if T_world_camera.shape != (4, 4) or not np.isfinite(T_world_camera).all():
        raise ValueError("transform_matrix must be 4x4 and finite")
    T = np.linalg.inv(T_world_camera @ GL_FROM_CV)
    return Camera(
        int(frame["w"]),
        int(frame["h"]),
        float(frame["fl_x"]),
        float(frame["fl_y"]),
        float(frame["cx"]),
        float(frame["cy"]),
        T,
    )
