"""Places on the head's surface, one for each texel of its atlas: what is painted there becomes a Gaussian."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from facecraft.head.model import load_head
from facecraft.mesh.atlas import make_atlas

FINE = ("eyeball_L", "eyeball_R", "teeth_upper", "teeth_lower", "gums")
"""Regions whose texels are half as large: small parts that everybody looks at."""
HIDDEN = ("eye_socket_L", "eye_socket_R")


@dataclass(frozen=True)
class Sites:
    """n places on the open head. Rest = the mean head, neutral."""

    faces: np.ndarray  # [n] triangle
    barycentrics: np.ndarray  # [n, 3]
    uvs: np.ndarray  # [n, 2], v up
    sides: np.ndarray  # [n] length of the texel in uv
    regions: np.ndarray  # [n] into head.region_names
    rest: np.ndarray  # [n, 3] m

    def __len__(self) -> int:
        return len(self.faces)

    def interpolate(self, values: np.ndarray) -> np.ndarray:
        """Per-vertex values [V, D] at every site [n, D]."""
        corners = load_head().faces.numpy()[self.faces]
        return np.einsum("nkd,nk->nd", values[corners], self.barycentrics)

    def within(self, *regions: str) -> np.ndarray:
        """Sites of these regions [n] bool."""
        names = load_head().region_names
        return np.isin(self.regions, [names.index(name) for name in regions])

    def select(self, index: np.ndarray) -> "Sites":
        """The sites that `index` [m] or [n] bool names."""
        return Sites(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


@cache
def texel_sites(size: int) -> Sites:
    """Every texel centre of the atlas of `size` x `size` that lies on the head."""
    head = load_head()
    atlas = make_atlas(head.uvs.numpy(), head.faces_uv.numpy(), size)
    uvs = np.stack([(atlas.columns + 0.5) / size, 1 - (atlas.rows + 0.5) / size], 1)
    rest = atlas.interpolate(head.template.double().numpy(), head.faces.numpy())
    regions = head.face_regions.numpy()[atlas.faces]
    return Sites(atlas.faces, atlas.barycentrics, uvs, np.full(len(uvs), 1 / size), regions, rest)


@cache
def surface_sites(size: int) -> Sites:
    """Texels of `size`, and those of FINE regions of twice that."""
    middle, fine = texel_sites(size), texel_sites(2 * size)
    parts = [middle.select(~middle.within(*FINE, *HIDDEN)), fine.select(fine.within(*FINE))]
    return Sites(*(np.concatenate([getattr(p, name) for p in parts]) for name in Sites.__dataclass_fields__))


def texel_axes(sites: Sites, vertices: np.ndarray) -> np.ndarray:
    """The two sides of each texel as it lies on the mesh `vertices` [V, 3]: [n, 3, 2], m."""
    a, b, c = (vertices[corner] for corner in load_head().faces.numpy().T)
    inverse = _edges_from_uv()[..., None]
    along_u, along_v = ((b - a) * inverse[:, 0, k] + (c - a) * inverse[:, 1, k] for k in (0, 1))
    return np.stack([along_u, along_v], 2)[sites.faces] * sites.sides[:, None, None]


@cache
def _edges_from_uv() -> np.ndarray:
    """How much of the two edges from its first corner leads along u and v in each triangle: [F, 2 edges, 2]."""
    head = load_head()
    uvs = head.uvs.double().numpy()[head.faces_uv.numpy()]
    flat = np.stack([uvs[:, 1] - uvs[:, 0], uvs[:, 2] - uvs[:, 0]], 2)
    area = np.linalg.det(flat)
    return np.linalg.inv(np.where(np.abs(area)[:, None, None] > 1e-12, flat, np.eye(2)))
