"""A synthetic person as an avatar of ours: Gaussians on the skin and along strands, with what light needs to know."""

from dataclasses import dataclass, fields
from functools import cache

import numpy as np
import torch

from facecraft.avatar import Avatar
from facecraft.camera import Camera
from facecraft.head.model import load_head
from facecraft.mesh.geometry import graph_laplacian, vertex_normals
from facecraft.splats.gaussians import Gaussians, rgb_to_dc
from facecraft.splats.rig import local_to_world, quaternions_from_matrices, triangle_frames, world_to_local
from facecraft.synth.chart import band
from facecraft.synth.labels import LABELS
from facecraft.synth.patches import Patch
from facecraft.synth.sites import surface_sites, texel_axes
from facecraft.synth.strands import LONGEST_OVERLAP, Strands, strand_segments, turns_to

OVERLAP = 0.7  # standard deviation of a disc over the side of its texel
FLATNESS = 0.12
LEAST_OUTWARD = 0.75  # cosine between a lid's normal and the ray from the eye
SURFACE_OPACITY = 0.985
EYE_DEPTH_M = 8e-4  # how far the eyes lie behind their mesh: shut lids touch it
WIDENING_PX2 = 0.3  # eps2d of the splat engine


@dataclass(frozen=True)
class Figure:
    """An avatar whose colours are albedo, and the material of its N Gaussians. The first n lie at surface_sites(size)."""

    avatar: Avatar
    size: int  # of the atlas
    albedo: np.ndarray  # [N, 3] linear
    labels: np.ndarray  # [N] into LABELS
    gloss: np.ndarray  # [N] strength of highlights
    strands: np.ndarray  # [N] bool
    local_normals: (
        np.ndarray
    )  # [N, 3] in the frame of the triangle; on the surface what relief adds to the smooth normal

    def pose(self, expression, gaze, neck) -> tuple[Gaussians, np.ndarray, np.ndarray, np.ndarray]:
        """Gaussians, normals [N, 3], tangents [N, 3] (0 on surfaces) and vertices [V, 3] in a pose; arguments as Avatar.pose."""
        avatar = self.avatar
        posed = avatar.vertices(expression, gaze, neck)
        gaussians = local_to_world(avatar.gaussians, avatar.binding, posed, avatar.head.faces)
        rotations, _, _ = triangle_frames(posed, avatar.head.faces)
        turned = (rotations[avatar.binding] @ torch.as_tensor(self.local_normals)[:, :, None])[:, :, 0].numpy()
        vertices = posed.double().numpy()
        smooth = surface_sites(self.size).interpolate(smooth_normals(vertices))
        normals = turned
        normals[: len(smooth)] += smooth
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6)
        tangents = np.zeros_like(normals)
        tangents[self.strands] = x_axes(gaussians.quats.numpy()[self.strands])
        return gaussians, normals, tangents, vertices


def x_axes(quats: np.ndarray) -> np.ndarray:
    """Where unit quaternions [n, 4] turn the x axis to [n, 3]."""
    w, x, y, z = quats.T
    return np.stack([1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)], 1)


def smooth_normals(vertices: np.ndarray) -> np.ndarray:
    """Vertex normals [V, 3] of the open head, evened out a little so that triangles do not show.

    What lies behind lids and lips has no say on their rims. Lids point away from the eye: the edge of the open lid, folded
    in, shows its back in a blink.
    """
    outer, inner, laplacian, lids = _smoothing()
    normals = vertex_normals(vertices, outer)
    normals = normals - 0.5 * (laplacian @ normals)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    head = load_head()
    for eyeball, weight in zip((head.eyeball_left, head.eyeball_right), lids, strict=True):
        ray = vertices - vertices[eyeball].mean(0)
        ray /= np.linalg.norm(ray, axis=1, keepdims=True)
        lacking = np.clip(LEAST_OUTWARD - (normals * ray).sum(1, keepdims=True), 0, None)
        normals = normals + weight[:, None] * lacking * ray
    behind = np.linalg.norm(normals, axis=1) < 1e-6
    normals[behind] = vertex_normals(vertices, inner)[behind]
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)


@cache
def _smoothing() -> tuple[np.ndarray, np.ndarray, object, np.ndarray]:
    """Faces of what is seen and of the cavities behind, the Laplacian of the former, and the left and right lids [2, V]."""
    head = load_head()
    rest, faces = head.template.double().numpy(), head.faces.numpy()
    cavities = [head.region_names.index(name) for name in ("eye_socket_L", "eye_socket_R", "mouth_socket")]
    hidden = np.isin(head.face_regions.numpy(), cavities)
    skin = head.vertex_regions.numpy() == head.region_names.index("face")
    middles = [head.joints.double().numpy()[head.joint_names.index(f"eye_{side}")] for side in "LR"]
    lids = [skin * band(np.linalg.norm(rest - middle, axis=1), 0.021, 0.018) for middle in middles]
    return faces[~hidden], faces[hidden], graph_laplacian(faces[~hidden], len(rest)), np.array(lids)


def surface_gaussians(size: int, vertices: np.ndarray, albedo: np.ndarray) -> Gaussians:
    """One flat Gaussian for each of surface_sites(size) on the mesh [V, 3], in its shape on the surface."""
    sites = surface_sites(size)
    axes = OVERLAP * texel_axes(sites, vertices)
    points = sites.interpolate(vertices)
    eyes = sites.within("eyeball_L", "eyeball_R")
    inward = -np.cross(axes[eyes, :, 0], axes[eyes, :, 1])
    points[eyes] += EYE_DEPTH_M * inward / np.linalg.norm(inward, axis=1, keepdims=True)
    return flat_gaussians(points, axes, SURFACE_OPACITY, albedo)


def flat_gaussians(points: np.ndarray, axes: np.ndarray, opacity: float, albedo: np.ndarray) -> Gaussians:
    """Flat Gaussians at points [n, 3] that two deviations [n, 3, 2] (m, at any angle to each other) span."""
    a, b = axes[:, :, 0], axes[:, :, 1]
    # principal axes of the parallelogram: eigenvectors of a 2x2 matrix
    aa, bb, ab = (a * a).sum(1), (b * b).sum(1), (a * b).sum(1)
    turn = 0.5 * np.arctan2(2 * ab, aa - bb)
    first = np.cos(turn)[:, None] * a + np.sin(turn)[:, None] * b
    second = np.cos(turn)[:, None] * b - np.sin(turn)[:, None] * a
    long, short = (np.maximum(np.linalg.norm(v, axis=1), 1e-7) for v in (first, second))
    x, y = first / long[:, None], second / short[:, None]
    rotation = np.stack([x, y, np.cross(x, y)], 2)
    scales = np.stack([long, short, FLATNESS * np.minimum(long, short)], 1)
    quats = quaternions_from_matrices(torch.as_tensor(rotation))
    return _gaussians(points, quats.numpy(), scales, np.full(len(points), opacity), albedo)


def strand_gaussians(strands: Strands, pixel_m: float) -> tuple[Gaussians, np.ndarray]:
    """Elongated Gaussians along strands and the strand of each [n].

    The splat engine widens what is thinner than a pixel; its opacity is lowered by as much, so that lashes do not turn
    into bars in small pictures (as in Mip-Splatting, Yu et al. 2024, for pixels of `pixel_m` on the head).
    """
    middles, directions, lengths, widths, albedo, owner = strand_segments(strands)
    scales = np.stack([LONGEST_OVERLAP * lengths, widths, widths], 1)
    opacity = strands.opacity * widths / np.sqrt(widths**2 + WIDENING_PX2 * pixel_m**2)
    return _gaussians(middles, turns_to(directions), scales, opacity, albedo), owner


def _gaussians(means, quats, scales, opacities, rgb) -> Gaussians:
    tensors = [torch.as_tensor(np.ascontiguousarray(t, np.float32)) for t in (means, quats, scales, opacities, rgb)]
    return Gaussians(tensors[0], tensors[1], tensors[2].log(), tensors[3].logit(), rgb_to_dc(tensors[4])[:, None])


def assemble(
    shape: np.ndarray,  # [K]
    vertices: np.ndarray,  # [V, 3] neutral, m
    size: int,
    albedo: np.ndarray,  # [n, 3] of the surface
    labels: np.ndarray,  # [n]
    gloss: np.ndarray,  # [n]
    slopes: np.ndarray,  # [n, 3] of the relief on the mean head
    strands: list[Strands],
    patches: list[Patch],
    camera: Camera,
    pixel_m: float,  # side of a pixel on the head in the pictures that the figure is for
    outward,  # function of points [m, 3]: the direction away from the head
) -> Figure:
    """Put skin, strands and patches together and bind them to the triangles."""
    head, sites = load_head(), surface_sites(size)
    parts, binding = [surface_gaussians(size, vertices, albedo)], [sites.faces]
    material = [(albedo, labels, gloss, np.zeros(len(sites), bool))]
    for group in strands:
        gaussians, owner = strand_gaussians(group, pixel_m)
        colour = 0.5 + 0.28209479177387814 * gaussians.sh[:, 0].numpy()
        count = len(gaussians)
        label = np.full(count, LABELS.index(group.label))
        parts.append(gaussians)
        binding.append(group.faces[owner])
        material.append((colour, label, np.full(count, 1.0), np.ones(count, bool)))
    for patch in patches:
        count = len(patch.points)
        parts.append(flat_gaussians(patch.points, patch.axes, patch.opacity, patch.albedo))
        binding.append(np.full(count, patch.face))
        label = np.full(count, LABELS.index(patch.label))
        material.append((patch.albedo, label, np.full(count, patch.gloss), np.zeros(count, bool)))
    world = Gaussians(*(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(Gaussians)))
    at, faces = torch.as_tensor(np.concatenate(binding)), head.faces
    mesh = torch.as_tensor(vertices).float()
    local = world_to_local(world, at, mesh, faces)
    normals = np.zeros((len(world), 3))
    normals[: len(sites)] = -slopes
    rest = len(sites), len(world) - sum(len(patch.points) for patch in patches)
    normals[slice(*rest)] = outward(world.means[slice(*rest)].double().numpy())
    normals[rest[1] :] = np.concatenate([patch.normals for patch in patches] or [np.zeros((0, 3))])
    rotations, _, _ = triangle_frames(mesh, faces)
    normals = (rotations[at].mT @ torch.as_tensor(normals).float()[:, :, None])[:, :, 0].numpy()
    zero = torch.zeros
    expression = zero(len(head.expression_names))
    still = (expression, zero(2, 2), zero(3))
    shape = torch.as_tensor(shape).float()
    offsets = mesh - head.shaped(shape[None])[0][0]
    avatar = Avatar(head, shape, offsets, *still, at, local, camera, {"made by": "facecraft synth"})
    albedo, labels, gloss, is_strand = (np.concatenate(kind) for kind in zip(*material, strict=True))
    return Figure(avatar, size, albedo, labels, gloss, is_strand, normals)
