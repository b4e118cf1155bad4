"""The 52 ARKit expressions on the template: ICT's, cleaned and made mirror-symmetric, and a tongueOut of our own."""

import numpy as np
from head_sources import ARKIT_NAMES, IctHead
from head_template import Template
from scipy.spatial import cKDTree

_INNER = ("gums", "tongue", "teeth_upper", "teeth_lower")
_NOISE_MM = 0.02
# how far a full jawOpen draws each lip from the teeth in the middle, and how far from the lips' edge that reaches
_LIP_UP_MM, _LIP_DOWN_MM, _LIP_REACH_MM = 4.5, 5.0, 9.0


def build_expressions(mesh: Template, ict: IctHead) -> np.ndarray:
    """Displacements [52, V, 3] mm at full strength, in the order of ARKIT_NAMES."""
    fields = np.stack([mesh.carry(ict, ict.expression(name)) for name in ARKIT_NAMES])
    still = mesh.region_vertices("eyeball_L", "eyeball_R", "bust")
    fields[:, still] = 0
    # ICT's side shapes leak up to 0.1 mm into teeth and gums, which only the jaw moves
    inner = mesh.region_vertices(*_INNER)
    for i, name in enumerate(ARKIT_NAMES):
        if not name.startswith("jaw"):
            fields[i, inner] = 0
    fields[ARKIT_NAMES.index("mouthClose")] *= _closing_share(mesh, ict)[:, None]
    fields = 0.5 * (fields + fields[_mirrored_channels()][:, mesh.mirror] * [-1, 1, 1])
    fields[ARKIT_NAMES.index("tongueOut")] = _put_tongue_out(mesh)
    fields[np.linalg.norm(fields, axis=2) < _NOISE_MM] = 0
    return fields


def _closing_share(mesh, ict) -> np.ndarray:
    """Share [V] of ICT's mouthClose that just closes a full jawOpen: all of it makes the lips cross by up to 9 mm."""
    upper, lower = ict.landmarks68[[61, 62, 63]], ict.landmarks68[[67, 66, 65]]
    opened, closing = ict.neutral + ict.expression("jawOpen"), ict.expression("mouthClose")
    shares = (opened[upper, 1] - opened[lower, 1]) / (closing[lower, 1] - closing[upper, 1])
    side, middle = 0.5 * (shares[0] + shares[2]), shares[1]
    reach = np.clip(np.abs(mesh.vertices[:, 0] / ict.neutral[upper[0], 0]), 0, 1)
    return side + (middle - side) * 0.5 * (1 + np.cos(np.pi * reach))


def _mirrored_channels() -> list[int]:
    """For each channel the one that does the same on the other side."""
    swap = str.maketrans({"<": "Right", ">": "Left"})
    names = [name.replace("Left", "<").replace("Right", ">").translate(swap) for name in ARKIT_NAMES]
    return [ARKIT_NAMES.index(name) for name in names]


def _put_tongue_out(mesh) -> np.ndarray:
    """Forward more and more towards the tip, arched over the lower teeth, the tip dropping, thinner and narrower."""
    field = np.zeros_like(mesh.vertices)
    tongue = mesh.region_vertices("tongue")
    points = mesh.vertices[tongue]
    along, _, depth = _tongue_coordinates(points)
    share = along * along * (3 - 2 * along)
    field[tongue, 0] = -0.12 * share * points[:, 0]
    arch = 9 * np.sin(np.pi * along**1.5) - 7 * np.clip((along - 0.6) / 0.4, 0, 1) ** 2
    field[tongue, 1] = arch + 0.35 * np.clip(3 * along, 0, 1) * depth
    field[tongue, 2] = 38 * share
    # the underside is grown to the floor of the mouth and stays there
    floor = points[np.isin(tongue, mesh.region_vertices("gums"))]
    loose = np.clip(cKDTree(floor).query(points)[0] / 4, 0, 1)
    field[tongue] *= (loose * loose * (3 - 2 * loose))[:, None]
    return field


def flatten_tongue(mesh: Template) -> np.ndarray:
    """Displacements [V, 3] mm of the tongue settling on the floor of an open mouth, in the frame of the jaw.

    ICT's tongue fills the closed mouth and keeps that thickness when the jaw opens, which hides teeth and throat.
    """
    field = np.zeros_like(mesh.vertices)
    tongue = mesh.region_vertices("tongue")
    along, height, _ = _tongue_coordinates(mesh.vertices[tongue])
    field[tongue, 1] = -0.85 * height * np.clip(2 * along + 0.7, 0, 1)
    field[tongue, 2] = -10 * along
    return field


def part_lips(mesh: Template, ict: IctHead, jaw_weights: np.ndarray) -> np.ndarray:
    """Displacements [V, 3] mm of lips that draw back from the teeth as the jaw opens; ICT's lips cover the front teeth.

    `jaw_weights` [V] tell the lower lip (1) from the upper (0), which touch at rest.
    """
    line = ict.neutral[ict.landmarks68[[60, 61, 62, 63, 64]]]
    samples = np.concatenate(
        [a + (b - a) * np.linspace(0, 1, 20)[:, None] for a, b in zip(line, line[1:], strict=False)]
    )
    near = np.exp(-((cKDTree(samples).query(mesh.vertices)[0] / _LIP_REACH_MM) ** 2))
    middle = np.clip(1 - (mesh.vertices[:, 0] / line[0, 0]) ** 2, 0, 1)
    field = np.zeros_like(mesh.vertices)
    lips = mesh.region_vertices("face", "mouth_socket")
    field[lips, 1] = (near * middle * (_LIP_UP_MM * (1 - jaw_weights) - _LIP_DOWN_MM * jaw_weights))[lips]
    return field


def _tongue_coordinates(points) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How far along each point is, 0 at the root to 1 at the tip; its height over the underside and depth under the top, mm."""
    z = points[:, 2]
    along = np.clip((z - z.min() - 14) / (np.ptp(z) - 14), 0, 1)
    stations = np.linspace(z.min(), z.max(), 12)
    near = [points[np.abs(z - station) < 6, 1] for station in stations]
    floor = np.interp(z, stations, [part.min() for part in near])
    top = np.interp(z, stations, [part.max() for part in near])
    return along, points[:, 1] - floor, top - points[:, 1]
