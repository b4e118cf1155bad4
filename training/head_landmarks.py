"""Where MediaPipe's 478 landmarks lie on the head, measured on renders of it: no landmark list or mesh is copied.

For each landmark, the surface point whose projection is robustly nearest to the detections over all views. Not ray
casting: rays through the gaps of lids and lips hit eyeballs and teeth.
"""

import sys
import warnings
from dataclasses import dataclass

import mediapipe
import numba
import numpy as np
from head_noise import measure_noise
from head_portraits import random_portraits
from scipy.optimize import linear_sum_assignment

from facecraft.head.open_head import OpenHead

_COUNT = 478
_FIRST_IRIS = 468
_MIN_FACING = 0.2
_GRID = 6
# beyond this the far outline is a guess of the detector, and fits leave it out
_NOISE_AZIMUTH_DEG = 25


@dataclass(frozen=True)
class Embedding:
    """`faces` [478], `barycentrics` [478, 3], held-out median distance mm over all and over frontal views [478]; how
    landmarks err together: `noise_factors` [R, 478, 2] mm and, beside them, `noise_sigmas` [478, 2] mm (head_noise.py)."""

    faces: np.ndarray
    barycentrics: np.ndarray
    sigmas: np.ndarray
    frontal_sigmas: np.ndarray
    noise_factors: np.ndarray
    noise_sigmas: np.ndarray


@dataclass(frozen=True)
class _Views:
    """N views: `pixels` [N, V, 2] mm on the head's scale, `facing` [N, V], `landmarks` [N, 478, 2] mm, `azimuths` [N] deg."""

    pixels: np.ndarray
    facing: np.ndarray
    landmarks: np.ndarray
    azimuths: np.ndarray

    def part(self, ids) -> "_Views":
        return _Views(self.pixels[ids], self.facing[ids], self.landmarks[ids], self.azimuths[ids])


def embed_landmarks(head: OpenHead, nostrils: np.ndarray, views: int, seed: int) -> Embedding:
    """Measure on `views` random portraits, three quarters to place and one to judge; mirrored views count too."""
    seen = _detect(head, views, seed)
    middle = (head.template.numpy()[:, 0] == 0).nonzero()[0]
    pairs = _mirror_pairs(seen, middle)
    order = np.random.default_rng(seed).permutation(len(seen.azimuths))
    train, test = np.split(order, [3 * len(order) // 4])
    mirrored = _mirrored(seen, head.mirror.numpy(), pairs)
    placing = _joined(seen.part(train), mirrored.part(train))
    judging = _joined(seen.part(test), mirrored.part(test))
    faces, barycentrics = np.zeros(_COUNT, int), np.zeros((_COUNT, 3))
    for landmark in range(_COUNT):
        if pairs[landmark] < landmark:
            found = _mirror_point(head, faces[pairs[landmark]], barycentrics[pairs[landmark]])
        else:
            found = _place(head, placing, landmark, _candidates(head, landmark, nostrils), pairs[landmark] == landmark)
        faces[landmark], barycentrics[landmark] = found
    everything, frontal = _judge(head, judging, faces, barycentrics)
    near = _joined(seen, mirrored)
    near = near.part(np.flatnonzero(np.abs(near.azimuths) <= _NOISE_AZIMUTH_DEG))
    noise = measure_noise(_errors(head, near, faces, barycentrics))
    return Embedding(faces, barycentrics, everything, frontal, *noise)


def _detect(head, views, seed) -> _Views:
    rows = []
    with mediapipe.solutions.face_mesh.FaceMesh(
        static_image_mode=True, max_num_faces=1, refine_landmarks=True, min_detection_confidence=0.3
    ) as detector:
        for portrait in random_portraits(head, views, seed):
            result = detector.process(portrait.picture)
            if result.multi_face_landmarks:
                points = np.array([(p.x, p.y) for p in result.multi_face_landmarks[0].landmark])
                # to mm at the head, from the middle of the picture: mirroring is then a change of sign
                scale = 1e3 / portrait.pixels_per_metre
                size = portrait.picture.shape[0]
                pixels = ((portrait.pixels[:, :2] - size / 2) * scale).astype(np.float32)
                rows.append(
                    (pixels, portrait.facing.astype(np.float32), (points - 0.5) * size * scale, portrait.azimuth_deg)
                )
    print(f"landmarks found in {len(rows)} of {views} renders", file=sys.stderr)
    return _Views(*(np.stack(column) for column in zip(*rows, strict=True)))


def _mirror_pairs(seen, middle) -> np.ndarray:
    """The landmark on the other side of each: the matching under which the mean frontal face is its own mirror image."""
    frontal = np.abs(seen.azimuths) < 12
    axis = seen.pixels[frontal][:, middle, 0].mean(1)
    cloud = (seen.landmarks[frontal] - np.stack([axis, 0 * axis], 1)[:, None]).mean(0)
    cloud[:, 0] -= 0.5 * (cloud[33, 0] + cloud[263, 0])
    pairs = np.arange(_COUNT)
    for block in (np.arange(_FIRST_IRIS), np.arange(_FIRST_IRIS, _COUNT)):
        gaps = np.linalg.norm(cloud[block][:, None] * [-1, 1] - cloud[block][None], axis=2)
        rows, columns = linear_sum_assignment((gaps + gaps.T) ** 2)
        pairs[block[rows]] = block[columns]
    assert (pairs[pairs] == np.arange(_COUNT)).all(), np.flatnonzero(pairs[pairs] != np.arange(_COUNT))
    return pairs


def _mirrored(seen, mirror, pairs) -> _Views:
    flip = np.array([-1, 1], np.float32)
    return _Views(
        seen.pixels[:, mirror] * flip, seen.facing[:, mirror], seen.landmarks[:, pairs] * flip, -seen.azimuths
    )


def _joined(a, b) -> _Views:
    return _Views(*(np.concatenate([getattr(a, key), getattr(b, key)]) for key in vars(a)))


def _candidates(head, landmark, nostrils) -> np.ndarray:
    """Faces a landmark may lie on: the front of the face, or the eyeball of its iris."""
    regions = head.face_regions.numpy()
    if landmark >= _FIRST_IRIS:
        return np.flatnonzero(regions == head.region_names.index("eyeball_R" if landmark < 473 else "eyeball_L"))
    centres = head.template.numpy()[head.faces.numpy()].mean(1)
    front = (centres[:, 2] > -0.09) & (centres[:, 1] > -0.15)
    return np.flatnonzero((regions == head.region_names.index("face")) & front & ~nostrils)


def _place(head, views, landmark, candidates, on_midline) -> tuple[int, np.ndarray]:
    faces = head.faces.numpy()
    vertices = np.unique(faces[candidates])
    coarse = _vertex_costs(views.pixels, views.facing, views.landmarks[:, landmark], vertices, 4.0)
    best = vertices[np.argsort(coarse, kind="stable")[:5]]
    around = candidates[np.isin(faces[candidates], best).any(1)]
    grid = np.array([(i, j, _GRID - i - j) for i in range(_GRID + 1) for j in range(_GRID + 1 - i)]) / _GRID
    costs = _grid_costs(views.pixels, views.facing, views.landmarks[:, landmark], faces[around], grid, 3.0)
    if on_midline:
        x = np.einsum("gk,fk->fg", grid, head.template.numpy()[faces[around], 0])
        costs = np.where(np.abs(x) < 1e-6, costs, np.inf)
        if not np.isfinite(costs).any():
            middle = candidates[(head.template.numpy()[faces[candidates], 0] == 0).sum(1) == 2]
            return _place(head, views, landmark, middle, True)
    face, point = np.unravel_index(costs.argmin(), costs.shape)
    return around[face], grid[point]


@numba.njit(cache=True, parallel=True)
def _vertex_costs(pixels, facing, landmarks, vertices, width):
    costs = np.full(len(vertices), np.inf)
    for i in numba.prange(len(vertices)):
        v, total, count = vertices[i], 0.0, 0
        for n in range(len(pixels)):
            if facing[n, v] > _MIN_FACING:
                x, y = pixels[n, v, 0] - landmarks[n, 0], pixels[n, v, 1] - landmarks[n, 1]
                total += (x * x + y * y) / (x * x + y * y + width * width)
                count += 1
        if count > 0.2 * len(pixels):
            costs[i] = total / count
    return costs


@numba.njit(cache=True, parallel=True)
def _grid_costs(pixels, facing, landmarks, faces, grid, width):
    costs = np.full((len(faces), len(grid)), np.inf)
    for i in numba.prange(len(faces)):
        a, b, c = faces[i]
        sums, count = np.zeros(len(grid)), 0
        for n in range(len(pixels)):
            if facing[n, a] + facing[n, b] + facing[n, c] <= 3 * _MIN_FACING:
                continue
            count += 1
            for g in range(len(grid)):
                x = grid[g, 0] * pixels[n, a, 0] + grid[g, 1] * pixels[n, b, 0] + grid[g, 2] * pixels[n, c, 0]
                y = grid[g, 0] * pixels[n, a, 1] + grid[g, 1] * pixels[n, b, 1] + grid[g, 2] * pixels[n, c, 1]
                square = (x - landmarks[n, 0]) ** 2 + (y - landmarks[n, 1]) ** 2
                sums[g] += square / (square + width * width)
        if count > 0.15 * len(pixels):
            costs[i] = sums / count
    return costs


def _mirror_point(head, face, barycentric) -> tuple[int, np.ndarray]:
    faces = head.faces.numpy()
    corners = head.mirror.numpy()[faces[face]]
    other = int(np.flatnonzero((np.sort(faces, 1) == np.sort(corners)).all(1))[0])
    return other, barycentric[[int(np.flatnonzero(corners == v)[0]) for v in faces[other]]]


def _errors(head, views, faces, barycentrics) -> np.ndarray:
    """Detections minus projections [N, 478, 2] mm, hidden landmarks too."""
    points = np.einsum("nlkc,lk->nlc", views.pixels[:, head.faces.numpy()[faces]], barycentrics)
    return views.landmarks - points


def _judge(head, views, faces, barycentrics) -> tuple[np.ndarray, np.ndarray]:
    corners = head.faces.numpy()[faces]
    gaps = np.linalg.norm(_errors(head, views, faces, barycentrics), axis=2)
    gaps[views.facing[:, corners].mean(2) <= _MIN_FACING] = np.nan
    frontal = np.abs(views.azimuths) < 15
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # nan for a landmark that no view shows
        return np.nanmedian(gaps, 0), np.nanmedian(gaps[frontal], 0)


def judge_embedding(head: OpenHead, views: int, seed: int) -> dict[str, tuple[float, float]]:
    """How far detections lie from the embedding of `head` on `views` new portraits, see summarise."""
    return summarise(*_judge(head, _detect(head, views, seed), head.landmark_faces.numpy(), head.landmark_barycentrics))


def summarise(everywhere: np.ndarray, frontal: np.ndarray) -> dict[str, tuple[float, float]]:
    """Median over the landmarks of each part of the face, of their medians [478] on all and on frontal views, mm."""
    parts = mediapipe.solutions.face_mesh
    groups = {
        "all": range(_COUNT),
        "lips": _members(parts.FACEMESH_LIPS),
        "eyes": _members(parts.FACEMESH_LEFT_EYE | parts.FACEMESH_RIGHT_EYE),
        "brows": _members(parts.FACEMESH_LEFT_EYEBROW | parts.FACEMESH_RIGHT_EYEBROW),
        "oval": _members(parts.FACEMESH_FACE_OVAL),
        "iris": range(_FIRST_IRIS, _COUNT),
    }
    return {
        name: (
            float(np.nanmedian(everywhere[list(ids)])),
            float(np.nanmedian(frontal[list(ids)])),
        )
        for name, ids in groups.items()
    }


def _members(connections) -> list[int]:
    return sorted({index for pair in connections for index in pair})
