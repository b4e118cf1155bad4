"""The open head's own mesh: mirrored halves of what head_cut keeps, eyeballs and bust, in one numbering."""

from dataclasses import dataclass

import numpy as np
from head_bust import extend_shoulders
from head_cut import cut_gums, cut_skin, cut_teeth
from head_eyeball import Eyeball, eyeball_grid, measure_eyeball, similarity_field
from head_sources import IctHead

from facecraft.camera import Camera, orbit_camera
from facecraft.mesh.raster import rasterize_mesh

REGIONS = (
    "face scalp_neck mouth_socket eye_socket_L eye_socket_R eyeball_L eyeball_R gums tongue teeth_upper teeth_lower bust"
).split()
SKIN = ("face", "scalp_neck", "bust")


@dataclass
class Template:
    """The mesh. `sources` [V] is the ICT vertex that each vertex is (-1 in eyeballs); the bust has that of its border."""

    vertices: np.ndarray  # [V, 3] mm, exactly mirror-symmetric
    faces: np.ndarray  # [F, 3]
    face_regions: np.ndarray  # [F]
    vertex_regions: np.ndarray  # [V]
    mirror: np.ndarray  # [V]
    sources: np.ndarray  # [V]
    tooth_ids: np.ndarray  # [F], -1 outside teeth; upper left 0-6 front to back, upper right 7-13, lower 14-27
    eyes: tuple[Eyeball, Eyeball]

    def in_regions(self, *names: str) -> np.ndarray:
        """Faces of regions [F] bool."""
        return np.isin(self.face_regions, [REGIONS.index(name) for name in names])

    def region_vertices(self, *names: str) -> np.ndarray:
        """Numbers of the vertices that faces of the regions use, borders included."""
        return np.unique(self.faces[self.in_regions(*names)])

    def carry(self, ict: IctHead, displacements: np.ndarray) -> np.ndarray:
        """Displacements [..., V_ict, 3] of ICT's vertices on this mesh [..., V, 3]."""
        carried = displacements[..., np.maximum(self.sources, 0), :].astype(float)
        for side in "LR":
            ball, sclera = self.region_vertices(f"eyeball_{side}"), ict.region(f"sclera_{side}")
            carried[..., ball, :] = similarity_field(
                ict.neutral[sclera], displacements[..., sclera, :].astype(float), self.vertices[ball]
            )
        return carried

    def is_left(self, faces: np.ndarray) -> np.ndarray:
        """Faces [F, 3] that lie on the subject's left, x >= 0."""
        return (self.vertices[faces][..., 0] >= -1e-9).all(1)


def build_template(ict: IctHead) -> Template:
    """Decimate, mirror, add eyeballs and bust."""
    halves, tooth_ids = _left_parts(ict)
    left = measure_eyeball(ict)
    parts = [(region, part, tooth) for (region, part), tooth in zip(halves, tooth_ids, strict=True)]
    parts += [
        (_other_side(region), ict.mirror[part][:, ::-1], tooth + 7 * (tooth >= 0)) for region, part, tooth in parts
    ]
    sources, local = np.unique(np.concatenate([part for _, part, _ in parts]), return_inverse=True)
    faces = local.reshape(-1, 3)
    regions = np.concatenate([np.full(len(part), REGIONS.index(region)) for region, part, _ in parts])
    teeth = np.concatenate([np.full(len(part), tooth) for _, part, tooth in parts])
    number = np.full(len(ict.neutral), -1)
    number[sources] = np.arange(len(sources))
    mirror = number[ict.mirror[sources]]
    mesh = Template(
        _symmetric(ict.neutral[sources], mirror),
        faces,
        regions,
        np.array([]),
        mirror,
        sources,
        teeth,
        (left, left.mirrored()),
    )
    _add_bust(mesh)
    _add_eyeballs(mesh)
    return _ordered(mesh)


def _left_parts(ict) -> tuple[list, list]:
    skin, gums, teeth = cut_skin(ict), cut_gums(ict), cut_teeth(ict)
    parts = [("scalp_neck" if name == "head_neck" else name, faces) for name, faces in skin.items()]
    parts += list(gums.items())
    ids = [-1] * len(parts)
    for base, (name, row) in zip((0, 14), teeth.items(), strict=True):
        parts += [(name, faces) for faces in row]
        ids += [base + k for k in range(7)]
    return parts, ids


def _other_side(region: str) -> str:
    return region[:-1] + "R" if region.endswith("_L") else region


def _symmetric(vertices, mirror) -> np.ndarray:
    return 0.5 * (vertices + vertices[mirror] * [-1, 1, 1])


def _append(mesh, vertices, faces, region, sources):
    mesh.vertices = np.concatenate([mesh.vertices, vertices])
    mesh.faces = np.concatenate([mesh.faces, faces])
    mesh.face_regions = np.concatenate([mesh.face_regions, np.full(len(faces), REGIONS.index(region))])
    mesh.tooth_ids = np.concatenate([mesh.tooth_ids, np.full(len(faces), -1)])
    mesh.sources = np.concatenate([mesh.sources, sources])


def _add_bust(mesh):
    skin = mesh.faces[mesh.in_regions("face", "scalp_neck")]
    points, faces, parents = extend_shoulders(mesh.vertices, skin[mesh.is_left(skin)])
    first, count = len(mesh.vertices), len(points)
    middle = np.abs(points[:, 0]) < 1e-9
    right = np.where(middle, np.arange(count), count + np.cumsum(~middle) - 1) + first
    mirror = np.concatenate([right, np.flatnonzero(~middle) + first])
    mesh.mirror = np.concatenate([mesh.mirror, mirror])
    sources = np.concatenate([mesh.sources[parents], mesh.sources[mesh.mirror[parents[~middle]]]])
    both = np.concatenate([faces, mesh.mirror[faces][:, ::-1]])
    _append(mesh, np.concatenate([points, points[~middle] * [-1, 1, 1]]), both, "bust", sources)


def _add_eyeballs(mesh):
    points, faces = eyeball_grid(mesh.eyes[0])
    first, count = len(mesh.vertices), len(points)
    if np.einsum("ij,ij->", np.cross(*_sides(points, faces)), points[faces].mean(1) - mesh.eyes[0].centre) < 0:
        faces = faces[:, ::-1]
    nothing = np.full(count, -1)
    _append(mesh, points, faces + first, "eyeball_L", nothing)
    _append(mesh, points * [-1, 1, 1], faces[:, ::-1] + first + count, "eyeball_R", nothing)
    mesh.mirror = np.concatenate([mesh.mirror, np.arange(count) + first + count, np.arange(count) + first])


def _sides(vertices, faces) -> tuple[np.ndarray, np.ndarray]:
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    return b - a, c - a


def _ordered(mesh) -> Template:
    """Faces sorted by region; vertices numbered by the first region that uses them, so that regions are runs."""
    order = np.argsort(mesh.face_regions, kind="stable")
    faces, regions = mesh.faces[order], mesh.face_regions[order]
    vertex_regions = np.full(len(mesh.vertices), len(REGIONS))
    np.minimum.at(vertex_regions, faces, regions[:, None])
    old = np.argsort(vertex_regions, kind="stable")
    new = np.empty_like(old)
    new[old] = np.arange(len(old))
    return Template(
        mesh.vertices[old], new[faces], regions, vertex_regions[old], new[mesh.mirror[old]], mesh.sources[old],
        mesh.tooth_ids[order], mesh.eyes,
    )  # fmt: skip


def find_nostrils(mesh: Template, ict: IctHead) -> np.ndarray:
    """Faces [F] inside the nostrils: skin near the base of the nose that no view from in front and above sees."""
    base = ict.neutral[ict.landmarks68[31:36]].mean(0)
    seen = np.zeros(len(mesh.faces), bool)
    camera = Camera(600, 600, 4000, 4000, 300, 300)
    for azimuth in (-60, -30, 0, 30, 60):
        for elevation in (0, 20, 40):
            view = orbit_camera(camera, azimuth, elevation, base, 600.0)
            ids = rasterize_mesh(view.project(mesh.vertices), mesh.faces, 600, 600).face_ids
            seen[ids[ids >= 0]] = True
    close = np.linalg.norm(mesh.vertices[mesh.faces].mean(1) - base, axis=1) < 22
    return mesh.in_regions("face") & close & ~seen
