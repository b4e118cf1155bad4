"""The identity basis: principal components of two families of heads, free of rigid motion, in units of one sigma."""

import numpy as np
from head_template import REGIONS, Template

from facecraft.mesh.geometry import face_normals

# MakeHuman's heads count for this share of ICT's variance: its extremes are caricatures
_MAKEHUMAN_SHARE = 0.25


def region_weights(mesh: Template) -> tuple[np.ndarray, np.ndarray]:
    """Weights [V] that say where shape matters (face most, shoulders least) and what holds the head still; each sums to 1."""
    faces = mesh.faces[mesh.in_regions("face", "scalp_neck")]
    areas = np.zeros(len(mesh.vertices))
    np.add.at(areas, faces, np.linalg.norm(face_normals(mesh.vertices, faces), axis=1)[:, None] / 6)
    x, y, z = mesh.vertices.T
    ears = (np.abs(x) > 66) & (y > -25) & (y < 60) & (z > -35) & (z < 40)
    neck = 1 / (1 + np.exp((y + 88 + 0.25 * (z - 60)) / 8))
    shoulders = 1 / (1 + np.exp((y + 135) / 8))
    matter = np.where(mesh.vertex_regions == REGIONS.index("face"), 1.0, 0.6)
    matter = np.where(ears, 0.5, matter) * (1 - 0.75 * neck) * (1 - 0.7 * shoulders) * areas
    hold = areas * (1 - neck) * ~ears
    return matter / matter.sum(), hold / hold.sum()


def remove_rigid(mesh: Template, fields: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Fields [N, V, 3] without their best infinitesimal translation and rotation (weights [V])."""
    arms = mesh.vertices - weights @ mesh.vertices
    turns = np.stack([np.cross(axis, arms) / 100 for axis in np.eye(3)])
    moves = np.concatenate([np.broadcast_to(np.eye(3)[:, None], turns.shape), turns])
    weighted = (moves * weights[:, None]).reshape(6, -1)
    amounts = fields.reshape(len(fields), -1) @ weighted.T @ np.linalg.inv(moves.reshape(6, -1) @ weighted.T)
    return fields - np.tensordot(amounts, moves, 1)


def identity_basis(
    mesh: Template,
    ict_modes: np.ndarray,  # [100, V, 3] mm, 1 sigma each
    makehuman_heads: np.ndarray,  # [N, V, 3] mm, displacements of random heads
    count: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Modes [K, V, 3] mm of one sigma, largest first, and their weighted rms [K] mm."""
    matter, hold = region_weights(mesh)
    root = np.sqrt(matter)[:, None]
    samples = remove_rigid(mesh, ict_modes, hold)
    heads = remove_rigid(mesh, makehuman_heads, hold)
    heads = (heads - heads.mean(0)) / np.sqrt(len(heads))
    share = _MAKEHUMAN_SHARE * ((samples * root) ** 2).sum() / ((heads * root) ** 2).sum()
    samples = np.concatenate([samples, np.sqrt(share) * heads])
    # scatter matrix = sum of outer products of samples, so its eigenvectors come from the small Gram matrix
    weighted = (samples * root).reshape(len(samples), -1)
    _, vectors = np.linalg.eigh(weighted @ weighted.T)
    mix = vectors[:, ::-1][:, :count]
    modes = np.tensordot(mix.T, samples, 1)
    largest = np.abs(modes).reshape(count, -1).argmax(1)
    signs = np.sign(modes.reshape(count, -1)[np.arange(count), largest])
    modes *= signs[:, None, None]
    return modes, np.sqrt((modes**2 * matter[:, None]).sum((1, 2)))
