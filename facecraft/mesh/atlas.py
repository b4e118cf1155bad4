"""A texture atlas: which point of the surface each texel shows, and sampling of pictures and textures."""

from dataclasses import dataclass

import numba
import numpy as np
from scipy.ndimage import distance_transform_edt

from facecraft.mesh.raster import rasterize_mesh


@dataclass(frozen=True)
class Atlas:
    """Texels of a square texture that lie on the mesh. n is their number, row 0 of the texture is v = 1."""

    size: int
    rows: np.ndarray  # [n]
    columns: np.ndarray  # [n]
    faces: np.ndarray  # [n] face of the mesh
    barycentrics: np.ndarray  # [n, 3]

    def interpolate(
        self,
        values: np.ndarray,  # [V, D] per vertex, or [T, D] per texture vertex
        faces: np.ndarray,  # [F, 3] into values
    ) -> np.ndarray:
        """Values at every texel [n, D]."""
        out = np.empty((len(self.faces), values.shape[1]))
        _mix(np.ascontiguousarray(values, float), np.ascontiguousarray(faces), self.faces, self.barycentrics, out)
        return out

    def spread(self, colours: np.ndarray) -> np.ndarray:
        """Colours [n, D] as a texture [size, size, D]; texels off the mesh take the nearest one, so that no seam shows."""
        texture = np.zeros((self.size, self.size, colours.shape[1]), np.float32)
        texture[self.rows, self.columns] = colours
        covered = np.zeros((self.size, self.size), bool)
        covered[self.rows, self.columns] = True
        nearest = distance_transform_edt(~covered, return_distances=False, return_indices=True)
        return texture[tuple(nearest)]


def make_atlas(uvs: np.ndarray, faces_uv: np.ndarray, size: int) -> Atlas:
    """The texels whose centre lies on a triangle of the layout; uvs [T, 2] in [0, 1], v up."""
    pixels = np.stack([uvs[:, 0] * size, (1 - uvs[:, 1]) * size, np.ones(len(uvs))], 1)
    buffers = rasterize_mesh(pixels, faces_uv, size, size)
    rows, columns = np.nonzero(buffers.mask)
    return Atlas(
        size, rows, columns, buffers.face_ids[rows, columns], buffers.barycentrics[rows, columns].astype(float)
    )


def mirror_texels(
    atlas: Atlas, faces: np.ndarray, faces_uv: np.ndarray, uvs: np.ndarray, mirror: np.ndarray
) -> np.ndarray:
    """Texture coordinates [n, 2] of the point on the other side of the head for every texel; `mirror` [V] pairs vertices."""
    keys = {tuple(sorted(face)): f for f, face in enumerate(faces.tolist())}
    partner = np.array([keys.get(tuple(sorted(face)), -1) for face in mirror[faces].tolist()])
    partner = np.where(partner < 0, np.arange(len(faces)), partner)
    # corner k of a face lies at corner order[f, k] of its partner
    order = (mirror[faces][:, :, None] == faces[partner][:, None, :]).argmax(2)
    corners = np.take_along_axis(faces_uv[partner], order, 1)
    return np.einsum("nkd,nk->nd", uvs[corners[atlas.faces]], atlas.barycentrics)


def sample_pixels(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Bilinear samples of a picture [H, W, D] or [H, W] at pixels [..., 2] (x, y; centres at .5); edges extend."""
    kind = picture.dtype if picture.dtype in (np.float32, np.float64) else np.float64
    layers = np.ascontiguousarray(picture, kind).reshape(*picture.shape[:2], -1)
    places = np.ascontiguousarray(points, float).reshape(-1, 2)
    out = np.empty((len(places), layers.shape[2]), kind)
    _sample(layers, places, out)
    return out.reshape(*points.shape[:-1], *picture.shape[2:])


def sample_texture(texture: np.ndarray, uvs: np.ndarray) -> np.ndarray:
    """Bilinear samples of a texture [T, T, D] at uvs [..., 2] (v up)."""
    size = texture.shape[0]
    return sample_pixels(texture, np.stack([uvs[..., 0] * size, (1 - uvs[..., 1]) * size], -1))


@numba.njit(cache=True, parallel=True)
def _mix(values, faces, face_ids, barycentrics, out):
    for i in numba.prange(len(face_ids)):
        corners, shares = faces[face_ids[i]], barycentrics[i]
        for d in range(values.shape[1]):
            mixed = 0.0
            for k in range(3):
                mixed += values[corners[k], d] * shares[k]
            out[i, d] = mixed


@numba.njit(cache=True, parallel=True)
def _sample(picture, points, out):
    height, width, depth = picture.shape
    for i in numba.prange(len(points)):
        x, y = points[i, 0] - 0.5, points[i, 1] - 0.5
        # what is no number becomes the first pixel
        x = min(x, width - 1.0) if x > 0 else 0.0
        y = min(y, height - 1.0) if y > 0 else 0.0
        left, top = int(x), int(y)
        right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
        u, v = x - left, y - top
        for d in range(depth):
            above = (1 - u) * picture[top, left, d] + u * picture[top, right, d]
            below = (1 - u) * picture[bottom, left, d] + u * picture[bottom, right, d]
            out[i, d] = (1 - v) * above + v * below
