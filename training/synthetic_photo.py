"""Photos of random heads with everything known: for measuring fits. No figure of a fit may be tuned on its held-out seeds.

Heads are not only draws from the basis: smooth bumps and asymmetry that no mode has are added. Each has its own skin, hair
shell, lens, light (diffuse, cast shadows, highlights, all in linear light), blur and noise.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter
from skin_texture import hairy, random_skin, skin_surface, smooth_noise, soft

from facecraft.camera import Camera, look_at, orbit_camera
from facecraft.head.fit import pose_vertices
from facecraft.head.model import HeadModel
from facecraft.mesh.atlas import sample_pixels, sample_texture
from facecraft.mesh.geometry import graph_laplacian, vertex_normals
from facecraft.mesh.raster import rasterize_mesh

SHAPE_SIGMA, BUMP_M = 0.85, 0.5e-3  # bumps of 0.8 mm on average: what the basis leaves of MakeHuman heads

SKULL = np.array([0.0, 0.035, -0.085])


@dataclass(frozen=True)
class Person:
    """What several photos of one person share: `shape` [K], `bumps` [V, 3] m, `hair` [V, 3] m, `albedo` [T, T, 3]."""

    shape: np.ndarray
    bumps: np.ndarray
    hair: np.ndarray
    albedo: np.ndarray


@dataclass(frozen=True)
class SyntheticPhoto:
    """A picture [H, W, 3] and alpha [H, W], and the truth: camera, `vertices` [V, 3] of the bare head as in the picture,
    `neutral` [V, 3] without expression and hair, `expression` [52], `gaze` [2, 2]."""

    image: np.ndarray
    alpha: np.ndarray
    camera: Camera
    vertices: np.ndarray
    neutral: np.ndarray
    expression: np.ndarray
    gaze: np.ndarray


def random_person(head: HeadModel, rng: np.random.Generator, texture_size: int = 512) -> Person:
    """Identity, hair and skin."""
    template = head.template.double().numpy()
    shape = rng.normal(0, SHAPE_SIGMA, head.shape_count)
    outer = np.isin(head.vertex_regions.numpy(), [head.region_names.index(n) for n in ("face", "scalp_neck")])
    inner = ~np.isin(head.vertex_regions.numpy(), [head.region_names.index(n) for n in ("face", "scalp_neck", "bust")])
    bumps = BUMP_M * np.stack([smooth_noise(template, 0.025, rng) for _ in range(3)], 1)
    # eyes and teeth stay put, and the skin around them follows smoothly
    still = _smoothed(head, (~inner).astype(float), 12)[:, None]
    surface = skin_surface(head, texture_size)
    skin = surface.atlas.spread(random_skin(surface, rng, haired=True))
    return Person(shape, bumps * still, _hair_shell(head, template, outer, rng), skin)


def photograph(
    head: HeadModel, person: Person, rng: np.random.Generator, size: int = 640, yaw_sigma_deg=14.0
) -> SyntheticPhoto:
    """A photo of `person` with a random expression, gaze, pose, lens and light."""
    expression, gaze = random_expression(head, rng), np.repeat(rng.normal(0, 0.12, (1, 2)), 2, 0)
    camera = random_camera(rng, size, yaw_sigma_deg)
    vertices = pose_vertices(head, person.shape, expression, gaze, person.bumps)
    haired = pose_vertices(head, person.shape, expression, gaze, person.bumps + person.hair)
    neutral = pose_vertices(head, person.shape, np.zeros(len(expression)), np.zeros((2, 2)), person.bumps)
    image, alpha = render(head, haired, person.albedo, camera, rng)
    return SyntheticPhoto(image, alpha, camera, vertices, neutral, expression, gaze)


def occlude(photo: SyntheticPhoto, head: HeadModel, rng: np.random.Generator, share: float = 0.25) -> np.ndarray:
    """The picture [H, W, 3] with a patch of one mottled colour over `share` of the face's area, from below or from a side."""
    skin = np.flatnonzero(head.vertex_regions.numpy() == head.region_names.index("face"))
    pixels = photo.camera.project(photo.vertices[skin])[:, :2]
    h, w = photo.alpha.shape
    buffers = rasterize_mesh(photo.camera.project(photo.vertices), head.faces.numpy(), h, w)
    front = head.face_regions.numpy()[buffers.face_ids] == head.region_names.index("face")
    y, x = np.nonzero(front & buffers.mask & (np.arange(h)[:, None] < np.percentile(pixels[:, 1], 90)))
    angle = rng.uniform(0, np.pi)  # through below, from one side to the other
    depth = x * np.cos(angle) + y * np.sin(angle)
    edge = np.quantile(depth, 1 - share)
    grid_y, grid_x = np.mgrid[:h, :w]
    wave = 6 * np.sin((grid_x * np.sin(angle) - grid_y * np.cos(angle)) / 23.0 + rng.uniform(0, 6))
    covered = (grid_x * np.cos(angle) + grid_y * np.sin(angle) + wave > edge) & (photo.alpha > 0.5)
    colour = rng.uniform(0.1, 0.9, 3) * (1 + 0.1 * gaussian_filter(rng.normal(0, 8, (h, w)), 8))[..., None]
    return np.where(covered[..., None], colour, photo.image).clip(0, 1).astype(np.float32)


def random_expression(head: HeadModel, rng: np.random.Generator) -> np.ndarray:
    """A few strong channels and many faint ones, as faces have; eyes are left to the gaze."""
    names = head.expression_names
    channels = np.clip(rng.normal(0, 0.25, len(names)), 0, 1) * (rng.random(len(names)) < 0.4)
    for left in (n for n in names if n.endswith("Left") and rng.random() < 0.8):
        channels[names.index(left)] = channels[names.index(left.replace("Left", "Right"))]
    channels[names.index("jawOpen")] = max(0, rng.normal(0, 0.2))
    if rng.random() < 0.5:
        channels[[names.index("mouthSmileLeft"), names.index("mouthSmileRight")]] = rng.uniform(0.1, 0.8)
    channels[[i for i, n in enumerate(names) if n.startswith(("eyeLook", "tongue"))]] = 0
    return channels


def random_camera(rng: np.random.Generator, size: int, yaw_sigma_deg: float) -> Camera:
    """Focal length 1.5 to 5 times the picture, the head in the middle and 0.5 of it high; rolled a little."""
    focal = size * np.exp(rng.uniform(np.log(1.5), np.log(5)))
    azimuth = np.clip(rng.normal(0, yaw_sigma_deg), -40, 40)
    elevation = np.clip(rng.normal(0, 7), -18, 18)
    target = np.array([0, -0.01, -0.05]) + rng.normal(0, 0.004, 3)
    camera = orbit_camera(
        Camera(size, size, focal, focal, size / 2, size / 2), azimuth, elevation, target, 0.48 * focal / size
    )
    roll = np.radians(rng.normal(0, 4))
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]]
    return Camera(size, size, focal, focal, size / 2, size / 2, turn @ camera.T_camera_world)


def render(head: HeadModel, vertices, albedo, camera: Camera, rng: np.random.Generator, supersample: int = 2):
    """Picture [H, W, 3] sRGB and alpha [H, W] under a random light."""
    s, faces = supersample, head.faces.numpy()
    h, w = camera.height * s, camera.width * s
    large = camera.resized(w, h)
    buffers = rasterize_mesh(large.project(vertices), faces, h, w)
    seen = buffers.mask
    ids, weights = buffers.face_ids[seen], buffers.barycentrics[seen]
    uvs = np.einsum("nkc,nk->nc", head.uvs.numpy()[head.faces_uv.numpy()[ids]], weights)
    points = np.einsum("nkd,nk->nd", vertices[faces[ids]], weights)
    normals = np.einsum("nkd,nk->nd", vertex_normals(vertices, faces)[faces[ids]], weights)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    reflectance = to_linear(sample_texture(albedo, uvs))
    lit = _illuminate(head, vertices, points, normals, reflectance, camera, ids, rng)
    image = np.zeros((h, w, 3))
    image[seen] = lit
    parts = [
        image.reshape(camera.height, s, camera.width, s, 3).mean((1, 3)),
        seen.reshape(camera.height, s, camera.width, s).mean((1, 3)),
    ]
    linear, alpha = parts[0] / np.maximum(parts[1], 1e-6)[..., None], parts[1]
    exposure = rng.uniform(0.45, 0.85) / np.percentile(linear[alpha > 0.9], 90)
    picture = to_srgb((linear * exposure).clip(0, 1))
    blur = rng.uniform(0.3, 0.9)
    picture = np.stack(
        [gaussian_filter(picture[..., c], blur) / np.maximum(gaussian_filter(alpha, blur), 1e-6) for c in range(3)], -1
    )
    picture = picture + rng.normal(0, rng.uniform(0.003, 0.02), picture.shape)
    return picture.clip(0, 1).astype(np.float32), alpha.astype(np.float32)


def to_linear(srgb: np.ndarray) -> np.ndarray:
    """sRGB values in [0, 1] to linear light."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((np.maximum(srgb, 0.04045) + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light in [0, 1] to sRGB."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055)


def _illuminate(head, vertices, points, normals, reflectance, camera, ids, rng) -> np.ndarray:
    """Linear radiance [n, 3]: a sky that is brighter above, one to three lamps of which the first casts shadows, highlights."""
    up = 0.5 + 0.5 * normals[:, 1]
    sky, ground = rng.uniform(0.6, 1.1, 3) ** 0.5, rng.uniform(0.2, 0.8) * rng.uniform(0.8, 1.1, 3)
    diffuse = rng.uniform(0.25, 0.8) * (ground + up[:, None] * (sky - ground))
    to_eye = camera.centre - points
    to_eye /= np.linalg.norm(to_eye, axis=1, keepdims=True)
    gloss, sharpness = rng.uniform(0, 0.1), rng.uniform(8, 40)
    highlights = np.zeros(len(points))
    for lamp in range(rng.integers(1, 4)):
        direction = rng.normal(0, 1, 3) * [1.0, 0.5, 0.4] + [0, 0.5, 1.2]
        direction /= np.linalg.norm(direction)
        strength = rng.uniform(0.3, 1.0) / (1 + lamp)
        falls = (normals @ direction).clip(0)
        if lamp == 0:
            falls = falls * (1 - rng.uniform(0, 0.8) * _shadow(head, vertices, points, direction))
        diffuse += strength * falls[:, None] * rng.uniform(0.85, 1.1, 3)
        half = to_eye + direction
        half /= np.linalg.norm(half, axis=1, keepdims=True)
        highlights += strength * gloss * (normals * half).sum(1).clip(0) ** sharpness * (falls > 0)
    wet = np.isin(
        head.face_regions.numpy()[ids], [i for i, n in enumerate(head.region_names) if n.startswith("eyeball")]
    )
    return reflectance * diffuse + np.where(wet, 2.0, 1.0)[:, None] * highlights[:, None]


def _shadow(head, vertices, points, direction) -> np.ndarray:
    """How far each point [n] is in the head's own shadow, soft over 3 mm."""
    size = 384
    eye = SKULL + 4.0 * direction
    lamp = Camera(size, size, 4500.0, 4500.0, size / 2, size / 2, look_at(eye, SKULL, (0.0, 1.0, 0.01)))
    depth = rasterize_mesh(lamp.project(vertices), head.faces.numpy(), size, size).depth
    seen = lamp.project(points)
    blocked = [
        sample_pixels(np.where(np.isfinite(depth), depth, 10.0), seen[:, :2] + shift) < seen[:, 2] - 0.004
        for shift in ((0, 0), (2.5, 0), (-2.5, 0), (0, 2.5), (0, -2.5))
    ]
    return np.mean(blocked, 0)


def _hair_shell(head, template, outer, rng) -> np.ndarray:
    """Offsets [V, 3] m of hair from none to 5 cm, some of it down to the shoulders."""
    rise = rng.normal(0, 0.008)
    amount = hairy(template, rise + 0.004)
    if rng.random() < 0.4:  # long: besides the neck and behind the ears
        behind = soft(-0.06 - template[:, 2], 0.01) * soft(template[:, 1] + rng.uniform(0.06, 0.16), 0.01)
        amount = np.maximum(amount, behind)
    thickness = (
        rng.choice([0.002, 0.012, 0.03])
        * rng.uniform(0.5, 1.6)
        * (1 + 0.3 * smooth_noise(template, 0.04, rng)).clip(0.2)
    )
    rays = template - np.stack(
        [np.zeros(len(template)), np.minimum(SKULL[1], template[:, 1]), np.full(len(template), SKULL[2])], 1
    )
    rays /= np.maximum(np.linalg.norm(rays, axis=1, keepdims=True), 1e-6)
    return _smoothed(head, amount * thickness * outer, 3)[:, None] * rays


def _smoothed(head, values, rounds) -> np.ndarray:
    laplacian = graph_laplacian(head.faces.numpy(), len(values))
    for _ in range(rounds):
        values = values - 0.5 * (laplacian @ values)
    return values
