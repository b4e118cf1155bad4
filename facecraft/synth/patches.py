"""Things that are neither skin nor hair: sheets, tubes and balls of flat Gaussians that move with one triangle."""

from dataclasses import dataclass

import numpy as np

OVERLAP = 0.62
THIN = 0.15


@dataclass(frozen=True)
class Patch:
    """n flat Gaussians: middle, the two half axes that span each, outward normal, colour."""

    points: np.ndarray  # [n, 3] m
    axes: np.ndarray  # [n, 3, 2] m, standard deviations in two directions
    normals: np.ndarray  # [n, 3] unit
    albedo: np.ndarray  # [n, 3] linear
    face: int  # triangle that carries all of it
    label: str
    gloss: float = 0.1
    opacity: float = 0.97


def sheet(grid: np.ndarray, albedo: np.ndarray, face: int, label: str, closed: bool = True, **material) -> Patch:
    """A grid of points [R, C, 3] as a sheet, its columns `closed` to a ring or not; `albedo` [R, C, 3] or [3]."""
    down = np.gradient(grid, axis=0)
    around = (np.roll(grid, -1, 1) - np.roll(grid, 1, 1)) / 2 if closed else np.gradient(grid, axis=1)
    normals = np.cross(down, around)
    normals /= np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-12)
    axes = OVERLAP * np.stack([down, around], 3)
    colours = np.broadcast_to(albedo, grid.shape)
    return Patch(
        grid.reshape(-1, 3),
        axes.reshape(-1, 3, 2),
        normals.reshape(-1, 3),
        colours.reshape(-1, 3),
        face,
        label,
        **material,
    )


def tube(
    line: np.ndarray, radius, albedo: np.ndarray, face: int, label: str, sides: int = 8, flat: float = 1.0, **material
):
    """A tube around a polyline [K, 3] of radius [K] or one number, m; `flat` scales it across the line's own plane."""
    along = np.gradient(line, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    side = np.cross(along, [0.03, 0.06, 1.0])
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-9)
    other = np.cross(along, side)
    turn = 2 * np.pi * np.arange(sides) / sides
    ring = np.cos(turn)[None, :, None] * side[:, None] + flat * np.sin(turn)[None, :, None] * other[:, None]
    grid = line[:, None] + np.broadcast_to(radius, len(line))[:, None, None] * ring
    patch = sheet(grid, albedo, face, label, **material)
    outward = (grid - line[:, None]).reshape(-1, 3)
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-9)
    flip = np.where((patch.normals * outward).sum(1) < 0, -1.0, 1.0)
    return Patch(**{**patch.__dict__, "normals": patch.normals * flip[:, None]})


def ball(centre: np.ndarray, radius: float, albedo: np.ndarray, face: int, label: str, **material) -> Patch:
    """A small ball."""
    polar, turn = np.linspace(0.15, np.pi - 0.15, 7), 2 * np.pi * np.arange(10) / 10
    p, t = np.meshgrid(polar, turn, indexing="ij")
    normals = np.stack([np.sin(p) * np.cos(t), np.cos(p), np.sin(p) * np.sin(t)], 2)
    patch = sheet(centre + radius * normals, albedo, face, label, **material)
    return Patch(**{**patch.__dict__, "normals": normals.reshape(-1, 3)})
