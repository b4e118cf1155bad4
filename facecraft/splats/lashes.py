"""Upper lashes as Gaussians of their own: lids behind them are clean, and show when the eyes shut.

A photo of open eyes shows lashes before the lids and shade in the fold above them. Painted on the lids, both would be smears
on shut ones. So what is darker there than the painted skin lies before it, on triangles at the rim that turn as lashes do: they come
down with the lid and point out of the face where it ends.
"""

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from facecraft.head.fitted import FittedHead
from facecraft.head.lids import RIM_POINTS, SHUT, lid_shares, rim_lines
from facecraft.head.texture import render_textured
from facecraft.mesh.light import LUMINANCE
from facecraft.mesh.raster import rasterize_mesh
from facecraft.splats.gaussians import Gaussians
from facecraft.splats.rig import triangle_frames
from facecraft.splats.seed import FIRST_OPACITY, OVERLAP, bind_balls
from facecraft.views import View

LID, UNSEEN = 0.3, 0.6  # what is lid at least so far and seen at most so well is behind lashes
TONE, COVER = 0.2, 0.08  # of lashes against the skin, and how far they must hide it to be some
BEFORE_M, LONGEST_M = 5e-4, 5e-3  # lashes lie so far before the lid, and this far from the rim at most
RIM_M = 4e-3  # triangles this close to the rim may carry lashes
STRAND = 4  # points of the rim whose lashes have one triangle
IMPORTANCE = np.array([1, 1, 0.1])  # of their way sidewards, up and out of the face
RAISED_M = 1e-3  # by what lashes of shut eyes are asked for higher: triangles of the rim let them hang
TURNS_DEG = {0.5: 40.0, 1.0: 80.0}  # blink -> how far lashes have turned down


def lash_gaussians(fitted: FittedHead, photo: View) -> tuple[Gaussians, Tensor, Tensor]:
    """Local Gaussians, their binding [N] and how well the photo shows them [N]."""
    head, vertices, faces = fitted.head, fitted.vertices(), fitted.head.faces.numpy()
    camera = photo.camera
    buffers = rasterize_mesh(camera.project(vertices), faces, *photo.alpha.shape)
    skin, _, _, seen = render_textured(head, vertices, fitted.texture.for_shut_eyes(), camera, 1)
    lids = buffers.interpolate(lid_shares(head).max(1, keepdims=True), faces)[..., 0]
    missing, most = ((skin - picture) @ LUMINANCE for picture in (photo.rgb, TONE * skin))
    cover = (missing / np.maximum(most, 1e-3)).clip(0, FIRST_OPACITY)
    rows, columns = np.nonzero((lids > LID) & (seen < UNSEEN) & (cover > COVER) & (photo.alpha > 0.5))
    rest = buffers.interpolate(head.template.double().numpy(), faces)[rows, columns]
    rims = rim_lines(head, head.vertices()[0].double().numpy())
    (to_upper, along), (to_lower, _) = (KDTree(rim.reshape(-1, 3)).query(rest) for rim in rims)
    depth = buffers.depth[rows, columns] - BEFORE_M
    points = camera.unproject(np.stack([columns + 0.5, rows + 0.5], 1), depth)
    length = np.linalg.norm(points - rim_lines(head, vertices)[0].reshape(-1, 3)[along], axis=1)
    upper = (to_upper < to_lower) & head.faces_of(("face",)).numpy()[buffers.face_ids[rows, columns]]
    upper &= length < LONGEST_M
    rows, columns, depth, points = (part[upper] for part in (rows, columns, depth, points))
    binding = torch.as_tensor(find_carriers(fitted, points, along[upper]))
    look = (OVERLAP * depth / camera.fx, cover[rows, columns], TONE * skin[rows, columns])
    return bind_balls(vertices, faces, binding, points, *look), binding, torch.ones(len(binding))


def find_carriers(
    fitted: FittedHead,
    points: np.ndarray,  # [n, 3] m, as in the photo
    along: np.ndarray,  # [n] the nearest points of the upper rims, counted through
) -> np.ndarray:
    """Faces [n], one for each strand, that move points most nearly as lashes move when the eyes shut."""
    head, faces, vertices = fitted.head, fitted.head.faces.numpy(), fitted.vertices()
    centres = head.template.double().numpy()[faces].mean(1)
    rim = rim_lines(head, head.vertices()[0].double().numpy())[0].reshape(-1, 3)
    near = np.flatnonzero(head.faces_of(("face",)).numpy() & (KDTree(rim).query(centres)[0] < RIM_M))
    rotations, sizes, centres = _frames(vertices, faces[near])
    local = np.einsum("kij,nki->nkj", rotations, points[:, None] - centres) / sizes[:, None]
    arms = points - rim_lines(head, vertices)[0].reshape(-1, 3)[along]
    strands = np.zeros((2 * RIM_POINTS // STRAND, len(near)))
    for blink, degrees in TURNS_DEG.items():
        channels = head.expression_vector({name: blink for name in SHUT})[0].numpy()
        posed = fitted.vertices(np.maximum(fitted.expression, channels))
        upper, lower = rim_lines(head, posed).reshape(2, -1, 3)
        cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        turned = arms @ np.array([[1, 0, 0], [0, cosine, sine], [0, -sine, cosine]])
        wanted = (upper + blink**4 * (lower - upper) / 2)[along] + turned + [0, RAISED_M * blink, 0]
        rotations, sizes, centres = _frames(posed, faces[near])
        moved = np.einsum("kij,nkj->nki", rotations, local) * sizes[:, None] + centres
        np.add.at(strands, along // STRAND, ((moved - wanted[:, None]) ** 2 @ IMPORTANCE))
    return near[strands.argmin(1)[along // STRAND]]


def _frames(vertices: np.ndarray, faces: np.ndarray) -> list[np.ndarray]:
    return [part.numpy() for part in triangle_frames(torch.as_tensor(vertices), torch.as_tensor(faces))]
