"""One synthetic person, named by (split, seed, index), and the figure that their traits make."""

import zlib
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from facecraft.camera import Camera
from facecraft.head.model import load_head
from facecraft.mesh.geometry import vertex_normals
from facecraft.synth.accessories import make_accessories, press_under_hat
from facecraft.synth.beard import beard_shadow, grow_beard
from facecraft.synth.brows import grow_brows, grow_lashes
from facecraft.synth.clothes import cloth_offsets, paint_clothes, torso
from facecraft.synth.eyes import iris_share, paint_inside
from facecraft.synth.figure import Figure, assemble
from facecraft.synth.hair import grow_hair, hair_bulk, hair_colour, scalp_cover
from facecraft.synth.hull import make_hull
from facecraft.synth.identity import shaped_vertices
from facecraft.synth.labels import LABELS, surface_labels
from facecraft.synth.sites import surface_sites
from facecraft.synth.skin import paint_skin, relief_slopes
from facecraft.synth.traits import Traits

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Subject:
    """A person and where they come from. `stream(noun)` are random numbers of their own for each noun."""

    split: str
    seed: int
    index: int

    def stream(self, noun: str, number: int = 0) -> np.random.Generator:
        """Random numbers that depend on split, seed, index, the noun and a number, and on nothing else."""
        words = [SPLITS.index(self.split), self.seed, self.index, zlib.crc32(noun.encode()), number]
        return np.random.default_rng(words)

    def number(self, noun: str) -> int:
        """A seed for noise, 0 to 2^31."""
        return int(self.stream(noun).integers(1 << 31))


def make_figure(subject: Subject, traits: Traits, size: int, strands: int, camera: Camera, pixel_m: float) -> Figure:
    """The person as Gaussians: skin at surface_sites(size), `strands` strands of hair; `camera` is that of the photo.

    `pixel_m` is the side of a pixel on the head in pictures it is for.
    """
    sites = surface_sites(size)
    vertices = shaped_vertices(traits.shape, traits.edits)
    hull = make_hull(vertices)
    normals = vertex_normals(vertices, load_head().faces.numpy())
    vertices = vertices + cloth_offsets(vertices, normals, traits.clothes)
    albedo = paint_skin(size, traits.skin, subject.number("skin noise"))
    cover = scalp_cover(size, traits.hair, subject.number("hair noise"))
    albedo += (cover * sites.within("face", "scalp_neck"))[:, None] * (0.7 * hair_colour(traits.hair) - albedo)
    albedo = paint_inside(size, albedo, traits.eyes, subject.number("eye noise"))
    labels = np.where(iris_share(size, traits.eyes) > 0.5, LABELS.index("iris"), surface_labels(size))
    labels = np.where((cover > 0.5) & (labels == LABELS.index("skin")), LABELS.index("hair"), labels)
    shadow = beard_shadow(size, traits.beard, subject.number("beard noise"))
    albedo += shadow[:, None] * (traits.beard.albedo - albedo) * [0.85, 0.9, 0.95]
    cloth_seed = subject.number("cloth noise")
    albedo, cloth = paint_clothes(size, albedo, traits.clothes, cloth_seed)
    labels = np.where(labels == LABELS.index("cloth"), LABELS.index("neck"), labels)
    labels = np.where(cloth > 0.5, LABELS.index("cloth"), labels)
    slopes = relief_slopes(size, traits.skin, subject.number("relief")) * (1 - cloth)[:, None]
    groups = grow_hair(vertices, hull, traits.hair, strands, subject.number("hair noise"))
    bulk = hair_bulk(traits.hair)
    if traits.accessories.hat is not None:
        press = partial(press_under_hat, hull=hull, hat=traits.accessories.hat, bulk=bulk)
        groups = [replace(group, points=press(group.points)) for group in groups]
    patches = make_accessories(vertices, hull, traits.accessories, bulk, cloth_seed)
    patches.append(torso(vertices, traits.clothes, cloth_seed, 0.8 / size))
    groups += grow_beard(vertices, traits.beard, strands // 2, subject.stream("beard strands"))
    groups.append(grow_brows(vertices, traits.brows, strands // 6, subject.stream("brow strands")))
    groups.append(grow_lashes(vertices, traits.brows, strands // 50, subject.stream("lash strands")))
    gloss = _gloss(labels, traits)
    look = (albedo, labels, gloss, slopes, groups, patches)
    return assemble(traits.shape, vertices, size, *look, camera, pixel_m, lambda points: hull.place(points)[3])


def _gloss(labels: np.ndarray, traits: Traits) -> np.ndarray:
    strength = np.full(len(labels), 0.6 * traits.skin.gloss)
    for name, value in {"eye": 3.0, "iris": 6.0, "teeth": 2.0, "mouth": 0.6, "cloth": 0.0, "hair": 0.1}.items():
        strength[labels == LABELS.index(name)] = value
    for name in ("upper_lip", "lower_lip"):
        strength[labels == LABELS.index(name)] = 1.2 * traits.skin.gloss
    strength[labels == LABELS.index("nose")] *= 1.3
    return strength
