"""Painted renders of random heads on which the landmark detector is measured. In facecraft's frame, metres."""

from dataclasses import dataclass

import numpy as np
import torch
from outlines import inside_polygon, line_distance
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from facecraft.camera import Camera, orbit_camera
from facecraft.head.open_head import OpenHead
from facecraft.mesh.geometry import vertex_normals
from facecraft.mesh.raster import rasterize_mesh

_TEXTURE_SIZE = 1024
_PICTURE_SIZE = 640
# hair painted on a bald scalp: the face detector expects a hairline. Height over the eyes by depth, m
_HAIRLINE = ((-0.18, -0.10, -0.08, -0.06, -0.04, -0.01, 0.02), (-0.11, -0.10, -0.03, 0.0, 0.05, 0.075, 0.085))
# ICT's brow landmarks lie 6 mm above where people's brows are
_BROW_DROP = 0.006
# so many faces move their sides apart from each other
_LOPSIDED_SHARE = 0.2


@dataclass(frozen=True)
class Portrait:
    """A picture [H, W, 3] uint8 and what is in it: `pixels` [V, 3] (x, y, depth), cosines to the viewer [V], `azimuth_deg`."""

    picture: np.ndarray
    pixels: np.ndarray
    facing: np.ndarray
    azimuth_deg: float
    pixels_per_metre: float


def paint_textures(head: OpenHead, count: int, seed: int) -> list[np.ndarray]:
    """Random skins [T, T, 3]: tone, brows, lips, lashes, irises, painted hair."""
    rng = np.random.default_rng(seed)
    points, regions, covered = _texel_surface(head)
    nearest = distance_transform_edt(~covered, return_distances=False, return_indices=True)
    textures = []
    for _ in range(count):
        image = np.zeros((_TEXTURE_SIZE, _TEXTURE_SIZE, 3))
        image[covered] = _paint(head, points, regions, rng)
        textures.append(image[tuple(nearest)])
    return textures


def _texel_surface(head) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    uvs = head.uvs.numpy() * [1, -1] + [0, 1]
    flat = np.c_[uvs * _TEXTURE_SIZE, np.ones(len(uvs))]
    buffers = rasterize_mesh(flat, head.faces_uv.numpy(), _TEXTURE_SIZE, _TEXTURE_SIZE)
    points = buffers.interpolate(head.template.numpy(), head.faces.numpy())
    return points[buffers.mask], head.face_regions.numpy()[buffers.face_ids[buffers.mask]], buffers.mask


def _paint(head, points, regions, rng) -> np.ndarray:
    marks = head.template.numpy()[head.landmark68_vertices.numpy()]
    skin = np.array([0.80, 0.60, 0.50]) * rng.uniform(0.5, 1.1) * rng.uniform(0.95, 1.05, 3)
    hair = np.array([0.20, 0.13, 0.09]) * rng.uniform(0.4, 2.2)
    colours = np.tile(skin, (len(points), 1))
    face = regions == head.region_names.index("face")
    scalp = face | (regions == head.region_names.index("scalp_neck"))

    def mix(weights, colour):
        colours[:] = colours * (1 - weights[:, None]) + weights[:, None] * np.asarray(colour)

    mix(_hair(points) * scalp, hair)
    brows = [marks[k : k + 5] - [0, _BROW_DROP, 0] for k in (17, 22)]
    brow = np.minimum(*(line_distance(points[:, :2], line[:, :2]) for line in brows))
    mix(0.9 * _soft(0.0029 - brow, 0.0007) * face * (points[:, 1] > 0), 0.8 * hair)
    mix(_lips(points, marks) * face, skin * [0.8, 0.5, 0.55])
    for k, socket in ((42, "eye_socket_L"), (36, "eye_socket_R")):
        margin = _region_border(head, socket)
        gap, nearest = cKDTree(margin).query(points)
        dark = np.where(margin[nearest, 1] > marks[k : k + 6, 1].mean(), 0.75, 0.35)
        mix(dark * np.exp(-((gap / 0.001) ** 2)) * face, 0.5 * hair)
    inner = {"mouth_socket": (0.45, 0.18, 0.17), "eye_socket_L": (0.5, 0.28, 0.26), "eye_socket_R": (0.5, 0.28, 0.26)}
    inner |= {"gums": (0.72, 0.38, 0.40), "tongue": (0.70, 0.36, 0.36), "bust": rng.uniform(0.1, 0.9, 3)}
    inner |= {"teeth_upper": (0.9, 0.88, 0.82), "teeth_lower": (0.9, 0.88, 0.82)}
    for name, colour in inner.items():
        colours[regions == head.region_names.index(name)] = colour
    iris = rng.uniform(0.15, 0.5) * np.array([1, 0.75, 0.55])
    for eye, name in enumerate(("eyeball_L", "eyeball_R")):
        inside = regions == head.region_names.index(name)
        colours[inside] = _paint_eye(points[inside] - head.joints[3 + eye].numpy(), head.eye_axes[eye].numpy(), iris)
    return np.clip(colours, 0, 1)


def _soft(distance, width) -> np.ndarray:
    return 1 / (1 + np.exp(np.clip(-distance / width, -40, 40)))


def _hair(points) -> np.ndarray:
    over = points[:, 1] - np.interp(points[:, 2], *_HAIRLINE)
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    ear = (x > 0.069) & (y < 0.02) & (y > -0.07) & (z > -0.105) & (z < -0.045)
    return _soft(over, 0.002) * ~ear


def _lips(points, marks) -> np.ndarray:
    outline = marks[48:60, :2]
    distance = line_distance(points[:, :2], np.concatenate([outline, outline[:1]]))
    inside = inside_polygon(points[:, :2], outline)
    return _soft(np.where(inside, distance, -distance), 0.0006) * (points[:, 2] > marks[48, 2] - 0.012)


def _region_border(head, socket) -> np.ndarray:
    faces, regions = head.faces.numpy(), head.face_regions.numpy()
    own = np.unique(faces[regions == head.region_names.index(socket)])
    skin = np.unique(faces[regions == head.region_names.index("face")])
    return head.template.numpy()[np.intersect1d(own, skin)]


def _paint_eye(arms, axis, iris) -> np.ndarray:
    ahead = arms @ axis
    off = np.where(ahead > 0, np.linalg.norm(arms - ahead[:, None] * axis, axis=1), 1)
    colours = np.tile([0.93, 0.91, 0.89], (len(arms), 1))
    colours[off < 0.006] = 0.6 * iris
    colours[off < 0.0053] = iris
    colours[off < 0.0024] = 0.03
    return colours


def random_portraits(head: OpenHead, count: int, seed: int):
    """Portraits of random identities, expressions, gazes, poses, lenses, lights and skins."""
    rng = np.random.default_rng(seed)
    textures = paint_textures(head, 6, seed)
    for _ in range(count):
        vertices = _random_head(head, rng)
        camera = _random_camera(rng)
        yield _render(head, vertices, camera, textures[rng.integers(len(textures))], rng)


def _random_head(head, rng) -> np.ndarray:
    shape = torch.tensor(rng.normal(0, 0.8, (1, head.shape_count)), dtype=torch.float32)
    expression = torch.tensor(_random_expression(head, rng)[None], dtype=torch.float32)
    return head.vertices(shape, expression)[0].numpy()


def _random_expression(head, rng) -> np.ndarray:
    """Channels [52]: a few strong ones and many faint ones, as faces have; eyes that look the same way, lids with them."""
    names = head.expression_names
    channels = np.clip(rng.normal(0, 0.25, 52), 0, 1) * (rng.random(52) < 0.4)
    if rng.random() > _LOPSIDED_SHARE:
        for k, name in enumerate(names):
            other = name.replace("Left", "Right")
            if name.endswith("Left") and name not in ("jawLeft", "mouthLeft"):
                channels[names.index(other)] = channels[k] + rng.normal(0, 0.05)
    channels[names.index("jawOpen")] = max(0, rng.normal(0, 0.3))
    channels[names.index("tongueOut")] = 0
    angles = head.look_angles.numpy()
    wanted = np.tile(rng.normal(0, 0.15, 2), 2)
    turns = np.abs(angles).max(1) > 0
    channels[turns] = (angles[turns] @ wanted) / (angles[turns] ** 2).sum(1)
    return np.clip(channels, 0, 1)


def _random_camera(rng) -> tuple[Camera, float]:
    size, fov = _PICTURE_SIZE, np.radians(rng.uniform(14, 45))
    focal = size / 2 / np.tan(fov / 2)
    azimuth = np.clip(rng.normal(0, 20), -42, 42)
    elevation = np.clip(rng.normal(0, 10), -22, 22)
    target = np.array([0, -0.01, -0.05]) + rng.normal(0, 0.01, 3)
    camera = Camera(size, size, focal, focal, size / 2, size / 2)
    return orbit_camera(camera, azimuth, elevation, target, 0.19 / np.tan(fov / 2) + 0.05), azimuth


def _render(head, vertices, view, texture, rng) -> Portrait:
    camera, azimuth = view
    faces, size = head.faces.numpy(), _PICTURE_SIZE
    pixels = camera.project(vertices)
    normals = vertex_normals(vertices, faces)
    buffers = rasterize_mesh(pixels, faces, size, size)
    seen = buffers.mask
    uv = np.einsum(
        "nkc,nk->nc", head.uvs.numpy()[head.faces_uv.numpy()[buffers.face_ids[seen]]], buffers.barycentrics[seen]
    )
    texels = np.clip((uv * [1, -1] + [0, 1]) * _TEXTURE_SIZE, 0, _TEXTURE_SIZE - 1).astype(int)
    light = rng.normal(0, 1, 3) * [1, 0.6, 0.4] + [0, 0.6, 1.6]
    ambient = rng.uniform(0.35, 0.7)
    shade = buffers.interpolate(normals, faces)[seen] @ (light / np.linalg.norm(light))
    image = np.full((size, size, 3), rng.uniform(0.1, 0.9, 3))
    image[seen] = texture[texels[:, 1], texels[:, 0]] * (ambient + (1 - ambient) * np.clip(shade, 0, 1))[:, None] * 1.1
    towards = camera.centre - vertices
    facing = (normals * towards).sum(1) / np.linalg.norm(towards, axis=1)
    scale = camera.fx / np.linalg.norm(camera.centre)
    return Portrait((np.clip(image, 0, 1) * 255).astype(np.uint8), pixels, facing, float(azimuth), float(scale))
