"""A head whose photo is rendered: known shape, expression, hair, colours and light; for tests."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from facecraft.camera import Camera, look_at
from facecraft.head.fit import pose_vertices
from facecraft.head.model import HeadModel, load_head
from facecraft.head.texture import Texture, render_textured
from facecraft.mesh.atlas import make_atlas

SKIN, HAIR, MARK = np.array([0.75, 0.55, 0.45]), np.array([0.25, 0.15, 0.08]), np.array([0.1, 0.2, 0.6])
CLOTH = np.array([0.15, 0.25, 0.3])
HAIR_M = 0.02


@dataclass(frozen=True)
class PhotographedHead:
    head: HeadModel
    shape: np.ndarray
    expression: np.ndarray
    offsets: np.ndarray
    texture: Texture
    camera: Camera
    image: np.ndarray
    alpha: np.ndarray

    @property
    def vertices(self) -> np.ndarray:
        return pose_vertices(self.head, self.shape, self.expression, np.zeros((2, 2)), self.offsets)

    @property
    def landmarks(self) -> np.ndarray:
        """[478, 3] where the true head has them in the picture, px."""
        corners = self.vertices[self.head.faces[self.head.landmark_faces].numpy()]
        points = np.einsum("lkd,lk->ld", corners, self.head.landmark_barycentrics.double().numpy())
        return self.camera.project(points)


@cache
def photograph(
    yaw_deg: float = 0.0, hair: bool = True, size: int = 320, collar: float | None = None
) -> PhotographedHead:
    """Skin, a blue mark on the left cheek, and 2 cm of hair above the ears and behind; light from the upper left; cloth below
    the height `collar`, m."""
    head = load_head()
    rng = np.random.default_rng(3)
    shape = 0.5 * rng.standard_normal(head.shape_count)
    expression = head.expression_vector({"jawOpen": 0.25, "mouthSmileLeft": 0.6, "mouthSmileRight": 0.6})[0].numpy()
    template = head.template.double().numpy()
    centre = np.array([0.0, 0.03, -0.085])
    rays = (template - centre) / np.linalg.norm(template - centre, axis=1, keepdims=True)
    haired = np.clip((np.minimum(template[:, 1] + 0.02, -template[:, 2] - 0.02) + 0.01) / 0.03, 0, 1)
    haired *= np.clip((template[:, 1] + 0.06) / 0.02, 0, 1) * (head.vertex_regions.numpy() <= 1)
    offsets = HAIR_M * hair * haired[:, None] * rays
    light = np.array([0.95, 0.15, 0.15, 0.05, 0, 0, 0, 0, 0])
    atlas = make_atlas(head.uvs.numpy(), head.faces_uv.numpy(), 256)
    points = atlas.interpolate(template, head.faces.numpy())
    amount = atlas.interpolate(haired[:, None], head.faces.numpy()) * hair
    colours = SKIN + amount * (HAIR - SKIN)
    colours[np.linalg.norm(points - [0.035, -0.045, 0.02], axis=1) < 0.012] = MARK
    if collar is not None:
        colours[points[:, 1] < collar] = CLOTH
    texture = Texture(atlas.spread(colours), np.ones((256, 256), np.float32), light)
    yaw = np.radians(yaw_deg)
    eye = 1.2 * np.array([np.sin(yaw), 0.05, np.cos(yaw)])
    focal = 1.2 * size * 2.9
    camera = Camera(size, size, focal, focal, size / 2, size / 2, look_at(eye, np.array([0, -0.03, -0.04])))
    vertices = pose_vertices(head, shape, expression, np.zeros((2, 2)), offsets)
    rgb, alpha, _, _ = render_textured(head, vertices, texture, camera)
    return PhotographedHead(head, shape, expression, offsets, texture, camera, rgb, alpha)
