"""What covers the heads of synthetic people, as points: strands of hair, without buns and ponytails, and hats."""

from dataclasses import replace

import numpy as np

from facecraft.synth.accessories import make_accessories, press_under_hat
from facecraft.synth.hair import grow_hair, hair_bulk
from facecraft.synth.hull import make_hull
from facecraft.synth.identity import shaped_vertices
from facecraft.synth.patches import Patch
from facecraft.synth.strands import Strands, strand_segments
from facecraft.synth.subject import Subject
from facecraft.synth.traits import sample_traits

SEED = 31
STRANDS = 3000
STEP_M = 6e-3  # between points along a strand
STRAND_SIGMAS = 2.5  # width of a strand over its deviation
PATCH_SIGMAS2 = 6.0  # the same of the area of a hat's pieces


def grow_cover(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The bare neutral head [V, 3] of person `number` of the train split, points [n, 3] of what covers it and the area that
    each hides [n], m^2."""
    subject = Subject("train", SEED, number)
    traits = sample_traits(subject.stream)
    vertices = shaped_vertices(traits.shape, traits.edits)
    hull = make_hull(vertices)
    bulk, hat = hair_bulk(traits.hair), traits.accessories.hat
    parts = [
        patch_areas(patch)
        for patch in make_accessories(vertices, hull, traits.accessories, bulk, subject.number("cloth noise"))
        if patch.label == "hat"
    ]
    # the first group is what grows on the head, others are what it is gathered to
    for group in grow_hair(vertices, hull, traits.hair, STRANDS, subject.number("hair noise"))[:1]:
        if hat is not None:
            group = replace(group, points=press_under_hat(group.points, hull, hat, bulk))
        parts.append(strand_areas(group))
    points, areas = zip(*parts, strict=True) if parts else ((np.zeros((0, 3)),), (np.zeros(0),))
    return vertices, np.concatenate(points), np.concatenate(areas)


def patch_areas(patch: Patch) -> tuple[np.ndarray, np.ndarray]:
    """Points [n, 3] of a patch and the area of each [n]."""
    a, b = patch.axes[:, :, 0], patch.axes[:, :, 1]
    return patch.points, PATCH_SIGMAS2 * np.linalg.norm(np.cross(a, b), axis=1)


def strand_areas(strands: Strands) -> tuple[np.ndarray, np.ndarray]:
    """Points [n, 3] along strands, at most STEP_M apart, and the area of each [n]."""
    middles, directions, lengths, widths, _, _ = strand_segments(strands)
    counts = np.ceil(lengths / STEP_M).astype(int)
    segment = np.repeat(np.arange(len(counts)), counts)
    place = (np.arange(len(segment)) - np.repeat(np.cumsum(counts) - counts, counts) + 0.5) / counts[segment] - 0.5
    points = middles[segment] + (place * lengths[segment])[:, None] * directions[segment]
    return points, (STRAND_SIGMAS * widths * lengths / counts)[segment]
