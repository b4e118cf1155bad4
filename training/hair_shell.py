"""Learn how thick hair lies on heads, along the rays of the hair shell, from the strands of synthetic people.

Usage: OMP_NUM_THREADS=1 python training/hair_shell.py --out facecraft/head/hair.safetensors [--people 1000] [--modes 30]
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np
from hair_strands import SEED, grow_cover
from safetensors.numpy import save_file
from scipy.spatial import KDTree

import facecraft
from facecraft.head.ears import find_ears
from facecraft.head.hair import HAIR_FORMAT, mesh_digest
from facecraft.head.model import HeadModel, load_head
from facecraft.head.rays import leave_axis
from facecraft.head.silhouette import hold_face
from facecraft.mesh.geometry import graph_laplacian

ARM = 0.1  # m, radius around the axis on which directions are compared
NEAR, MOST_NEAR = 0.012, 8  # m there, how far a strand covers, and how many vertices
COVERED = 0.35  # share of the surroundings of a vertex that is covered where its hair begins
THICKEST = 0.10  # m
EAR_COVERED, EAR_SLACK = 0.5, 2e-3  # share of an ear under hair, and how far (m) it may stand out of it
BESIDE_NECK = (-0.12, -0.05, 0.045, -0.06)  # m: least and most y, least |x|, most z of what long hair covers
LONG = 6e-3  # m, mean thickness there


def main() -> None:
    """Grow, measure, decompose, write. The same numbers of people and modes give the same bytes on one machine."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--people", type=int, default=1000)
    options.add_argument("--modes", type=int, default=30)
    given = options.parse_args()
    head = load_head()
    thickness = np.stack([measure_person(head, number) for number in range(given.people)])
    arrays = learn(head, thickness, given.modes)
    header = {"format": HAIR_FORMAT, "facecraft": facecraft.__version__, "mesh": mesh_digest(head)}
    header |= {"people": given.people, "seed": SEED, "units": "m, modes of one sigma", "licence": "Apache-2.0"}
    header["source"] = "strands of facecraft.synth, split train"
    save_file(arrays, given.out, metadata={"facecraft": json.dumps(header, sort_keys=True)})
    os.chmod(given.out, 0o644)


def learn(head: HeadModel, thickness: np.ndarray, count: int) -> dict[str, np.ndarray]:
    """Mean and `count` modes of short and of long hair, by the `thickness` [N, V] of people and of their mirror images."""
    mirrored = thickness[:, head.mirror.numpy()]
    both = np.concatenate([thickness, mirrored]).astype(float)
    low, high, beside, before = BESIDE_NECK
    x, y, z = head.template.double().numpy().T
    neck = head.vertices_of(("scalp_neck",)).numpy() & (y > low) & (y < high) & (abs(x) > beside) & (z < before)
    is_long = both[:, neck].mean(1) > LONG
    rows = np.flatnonzero(both.any(0))
    arrays = {"vertices": rows.astype(np.int16)}
    for kind, chosen in (("short", ~is_long), ("long", is_long)):
        mean, modes = decompose(both[chosen][:, rows], count)
        arrays |= {f"{kind}_mean": mean.astype(np.float16), f"{kind}_modes": modes.astype(np.float16)}
        print(f"{kind}: {chosen.sum() // 2} people")
    return arrays


def decompose(samples: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean [n] and principal components [count, n], one standard deviation each, of samples [N, n]."""
    mean = samples.mean(0)
    _, singular, directions = np.linalg.svd(samples - mean, full_matrices=False)
    directions *= np.sign(directions.sum(1, keepdims=True))
    rest = np.sqrt((singular[count:] ** 2).sum() / samples.size)
    print(f"{count} modes leave {1000 * rest:.2f} of {1000 * (samples - mean).std():.2f} mm rms")
    return mean, (directions * singular[:, None] / np.sqrt(len(samples)))[:count]


def measure_person(head: HeadModel, number: int) -> np.ndarray:
    """Thickness [V] of the hair of one person, m, along the rays of the shell; on covered ears, from where those were."""
    vertices, points, areas = grow_cover(number)
    held = hold_face(head, vertices)
    ears = find_ears(head, graph_laplacian(head.faces.numpy(), len(vertices)), held)
    bare = vertices.copy()
    for ear in ears:
        bare[ear.vertices] = ear.membrane(vertices)
    top = cover_radius(bare, points, areas)
    _, _, radius = leave_axis(vertices)
    _, _, bare_radius = leave_axis(bare)
    thickness = np.clip(top - bare_radius, 0, THICKEST)
    for ear in ears:
        under = top[ear.vertices] > radius[ear.vertices] - EAR_SLACK
        thickness[ear.vertices] *= under.mean() > EAR_COVERED
    thickness[held >= 1] = 0
    return thickness


def cover_radius(vertices: np.ndarray, points: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """How far from the axis [V], m, hair covers the rays of `vertices` [V, 3], 0 where it does not; hair is at `points`
    [n, 3] and hides `areas` [n], m^2."""
    top = np.zeros(len(vertices))
    starts, rays, _ = leave_axis(vertices)
    from_starts, from_rays, reach = leave_axis(points)
    tree = KDTree(starts + ARM * rays)
    distance, vertex = tree.query(from_starts + ARM * from_rays, k=MOST_NEAR, distance_upper_bound=NEAR)
    sample, _ = np.nonzero(np.isfinite(distance))
    vertex = vertex[np.isfinite(distance)]
    order = np.lexsort((-reach[sample], vertex))
    sample, vertex = sample[order], vertex[order]
    shares = areas[sample] * (ARM / np.maximum(reach[sample], 0.03)) ** 2 / (np.pi * NEAR**2)
    # from the outside inwards, vertex by vertex
    covered = np.cumsum(shares)
    first = np.searchsorted(vertex, np.arange(len(vertices)))
    covered -= np.concatenate([[0.0], covered])[first][vertex]
    enough = np.flatnonzero(covered >= COVERED)
    at, where = np.unique(vertex[enough], return_index=True)
    top[at] = reach[sample[enough[where]]]
    return top


if __name__ == "__main__":
    main()
