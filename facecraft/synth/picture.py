"""Pictures of a synthetic person: lit colours, and depth, normals, labels and landmarks of the same view."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from facecraft.camera import Camera
from facecraft.splats.gaussians import Gaussians
from facecraft.splats.raster import rasterize
from facecraft.synth.eyes import iris_sites
from facecraft.synth.figure import Figure
from facecraft.synth.labels import LABELS
from facecraft.synth.light import Light, add_highlights, shade_points
from facecraft.synth.sites import surface_sites

SOFT_SKIN_M, SOFT_HAIR_M, SOFT_INSIDE_M = 0.008, 0.018, 0.040
HAIR_SHEEN = 0.012
MIDDLE = 0.42  # linear brightness that a well exposed white surface of the face gets


@dataclass(frozen=True)
class Pose:
    """What the person does."""

    expression: Tensor  # [E]
    gaze: Tensor  # [2, 2] rad
    neck: Tensor  # [3] rad


@dataclass(frozen=True)
class LitFigure:
    """A figure in a pose under a light: all that does not depend on the camera."""

    figure: Figure
    gaussians: Gaussians
    normals: np.ndarray  # [N, 3]
    tangents: np.ndarray  # [N, 3]
    vertices: np.ndarray  # [V, 3] m
    light: Light
    diffuse: np.ndarray  # [N, 3] linear, albedo times light
    seen: np.ndarray  # [N, L] how much of each lamp is not in shadow
    exposure: float
    corneas: np.ndarray  # [n, 3] what to add to the normals of the first n Gaussians for highlights: corneas bulge

    def exposed(self, exposure: float) -> "LitFigure":
        """The same with another exposure."""
        return replace(self, exposure=exposure)


@dataclass(frozen=True)
class Picture:
    """One view and its ground truth."""

    camera: Camera
    rgb: np.ndarray  # [H, W, 3] sRGB, straight
    alpha: np.ndarray  # [H, W]
    depth: np.ndarray  # [H, W] z, m, 0 = nothing
    normals: np.ndarray  # [H, W, 3] unit, head frame; 0 = nothing
    labels: np.ndarray  # [H, W] uint8, into LABELS
    landmarks: np.ndarray  # [478, 3] x px, y px, z m


def light_figure(figure: Figure, pose: Pose, light: Light, brightness: float = 1.0) -> LitFigure:
    """Pose a figure and light it; exposed for the face, times `brightness`."""
    gaussians, normals, tangents, vertices = figure.pose(pose.expression, pose.gaze, pose.neck)
    points = gaussians.means.double().numpy()
    softness = np.where(figure.strands, SOFT_HAIR_M, SOFT_SKIN_M)
    # a shadow map is too coarse for lids and lips: what lies behind them is darkened where it is painted
    softness[np.isin(figure.labels, [LABELS.index(name) for name in ("eye", "iris", "teeth", "mouth")])] = SOFT_INSIDE_M
    arriving, seen = shade_points(points, normals, tangents, softness, light)
    face = np.isin(figure.labels, [LABELS.index("skin"), LABELS.index("nose")]) & ~figure.strands
    face &= normals[:, 2] > 0.3
    level = float(np.percentile(arriving[face].mean(1), 80))
    exposure = brightness * MIDDLE * 2.2 / max(level, 1e-3)
    # hair also mirrors the sky, whatever its colour
    diffuse = (figure.albedo + HAIR_SHEEN * figure.strands[:, None]) * arriving
    corneas = _corneas(figure, normals)
    return LitFigure(figure, gaussians, normals, tangents, vertices, light, diffuse, seen, exposure, corneas)


def _corneas(figure: Figure, normals: np.ndarray) -> np.ndarray:
    """How much steeper the front of the eyes is than the ball [n, 3]: it shows lamps from far aside."""
    bend = np.zeros((len(surface_sites(figure.size)), 3))
    for eye in iris_sites(figure.size):
        ahead = normals[eye].mean(0)
        bend[eye] = 1.3 * (normals[eye] - ahead / np.linalg.norm(ahead))
    return bend


def view_colours(lit: LitFigure, camera: Camera) -> np.ndarray:
    """Colours [N, 3] sRGB of the Gaussians as this camera sees them: diffuse light and highlights."""
    figure = lit.figure
    to_camera = camera.centre - lit.gaussians.means.numpy()
    to_camera = to_camera / np.linalg.norm(to_camera, axis=1, keepdims=True)
    shining = lit.normals.copy()
    shining[: len(lit.corneas)] += lit.corneas
    shining /= np.maximum(np.linalg.norm(shining, axis=1, keepdims=True), 1e-6)
    wet = np.isin(figure.labels, [LABELS.index("eye"), LABELS.index("iris"), LABELS.index("teeth")])
    colours = lit.diffuse.astype(np.float32)
    material = (figure.albedo, figure.gloss, wet)
    add_highlights(colours, to_camera, shining, lit.tangents, *material, lit.light, lit.seen)
    return encode(lit.exposure * colours)


def encode(linear: np.ndarray) -> np.ndarray:
    """Linear light to sRGB in [0, 1], highlights rolled off above 0.7."""
    over = np.maximum(linear - 0.7, 0)
    linear = np.minimum(linear, 0.7) + 0.3 * (1 - np.exp(-over / 0.3))
    low = 12.92 * linear
    return np.where(linear <= 0.0031308, low, 1.055 * np.maximum(linear, 1e-6) ** (1 / 2.4) - 0.055)


def take_picture(lit: LitFigure, camera: Camera) -> Picture:
    """Render colours and ground truth in one pass of the splat engine."""
    figure, g = lit.figure, lit.gaussians
    one_hot = np.eye(len(LABELS), dtype=np.float32)[figure.labels][:, 1:]
    layers = np.concatenate([view_colours(lit, camera), lit.normals, one_hot], 1).astype(np.float32)
    device = g.means.device
    with torch.no_grad():
        image, alpha, _ = rasterize(
            g.means,
            g.quats,
            g.scales,
            g.opacities,
            torch.as_tensor(layers, device=device),
            torch.as_tensor(camera.T_camera_world, dtype=torch.float32, device=device)[None],
            torch.as_tensor(camera.K, dtype=torch.float32, device=device)[None],
            camera.width,
            camera.height,
            render_mode="RGB+ED",
        )
    image, alpha = image[0].cpu().numpy(), alpha[0, ..., 0].cpu().numpy()
    seen = alpha > 1e-3
    straight = image[..., :-1] / np.maximum(alpha, 1e-3)[..., None]
    normals = straight[..., 3:6] / np.maximum(np.linalg.norm(straight[..., 3:6], axis=2, keepdims=True), 1e-3)
    labels = np.where(alpha > 0.5, straight[..., 6:].argmax(2) + 1, 0).astype(np.uint8)
    solid = alpha > 0.5
    points = figure.avatar.head.landmarks(torch.as_tensor(lit.vertices).float()[None])[0].double().numpy()
    return Picture(
        camera,
        np.where(seen[..., None], straight[..., :3].clip(0, 1), 0),
        alpha.clip(0, 1),
        np.where(solid, image[..., -1], 0),
        np.where(solid[..., None], normals, 0),
        labels,
        camera.project(points),
    )
