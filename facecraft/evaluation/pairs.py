"""What is compared: a picture of ours, the picture it should be, and where it counts; pairs from folders and videos."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from facecraft.alignment import fit_similarity
from facecraft.errors import InputError
from facecraft.face.landmarks import Face, find_faces, read_landmarks, sees_face
from facecraft.image import read_picture
from facecraft.metrics.pixels import blank_outside, check_pair
from facecraft.progress import log
from facecraft.video import read_video

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
VIDEOS = (".mp4", ".mov", ".webm", ".avi", ".mkv")
OPAQUE = 0.5
"""Alpha from which a pixel counts as inside."""
WHITE, BLACK = 1.0, 0.0
"""What pictures lie on."""

Compares = Literal["pixels", "persons", "poses", "expressions"]
Region = Literal["head", "inside", "outside", "all"]


@dataclass(frozen=True)
class Shown:
    """A picture [H, W, 3] in [0, 1] over `backdrop`, its alpha [H, W] when it has one, and the largest face, found when asked for."""

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    backdrop: float = WHITE

    @classmethod
    def over(cls, rgb: np.ndarray, alpha: np.ndarray | None, backdrop: float = WHITE) -> "Shown":
        """From straight colours."""
        if alpha is None or alpha.min() == 1:
            return cls(rgb, None, backdrop)
        return cls(rgb * alpha[..., None] + backdrop * (1 - alpha[..., None]), alpha, backdrop)

    @property
    def inside(self) -> np.ndarray | None:
        """The pixels [H, W] that are not transparent; None when all are opaque."""
        return None if self.alpha is None else self.alpha > OPAQUE

    @cached_property
    def face(self) -> Face | None:
        """The largest face, or None where a quick look sees none: the search for hidden faces is for photos."""
        landmarks = read_landmarks(self.rgb)
        if landmarks is not None:
            return Face(landmarks)
        faces = find_faces(self.rgb) if sees_face(self.rgb) else []
        return max(faces, key=lambda face: face.height, default=None)


@dataclass(frozen=True)
class Pair:
    """A picture of ours and what it is compared with.

    `compares` "pixels": it should be equal; "persons": another view of the same person; "poses": somebody else with the
    same expression and pose; "expressions": the same view of the same person with another expression.
    """

    name: str
    group: str
    predicted: Shown
    truth: Shown
    mask: np.ndarray | None = None  # [H, W] bool
    ignored: np.ndarray | None = None  # [H, W] bool: where the outlines are not compared
    compares: Compares = "pixels"
    figures: dict[str, float] = field(default_factory=dict)  # what else is known of it, by the name of the measure
    view: str = ""  # what pictures of other groups share with it

    def __post_init__(self):
        if self.compares == "pixels":
            check_pair(self.predicted.rgb, self.truth.rgb, self.mask, self.name)

    @property
    def blanked(self) -> tuple[np.ndarray, np.ndarray]:
        """Both pictures [H, W, 3], with nothing but the backdrop outside of the mask."""
        pictures = (self.predicted.rgb, self.truth.rgb)
        ours, theirs = (blank_outside(picture, self.mask, self.truth.backdrop) for picture in pictures)
        return ours, theirs


def choose_mask(truth: Shown, region: Region) -> np.ndarray | None:
    """The pixels [H, W] of a region by the alpha of the truth; None is all, also where the truth has no alpha."""
    if region == "all" or truth.inside is None:
        return None
    return ~truth.inside if region == "outside" else truth.inside


def list_pictures(source: Path) -> list[Path]:
    """The pictures of a folder by name, in the folder itself; InputError when there are none."""
    found = sorted(p for p in source.iterdir() if p.suffix.lower() in PICTURES and not p.name.startswith("."))
    if not found:
        raise InputError(f"{source} holds no pictures; give a folder of {', '.join(PICTURES)}, or a video")
    return found


def read_shown(path: Path, backdrop: float = WHITE) -> Shown:
    """A picture file."""
    picture = read_picture(path)
    return Shown.over(picture.rgb, picture.alpha, backdrop)


def read_shots(source: Path, backdrop: float = WHITE) -> Iterator[tuple[str, Shown]]:
    """Names and pictures of a folder, a video or a single picture, one at a time. InputError when it is none of them."""
    if source.is_dir():
        yield from ((path.stem, read_shown(path, backdrop)) for path in list_pictures(source))
    elif source.suffix.lower() in VIDEOS:
        _, frames = read_video(source)
        for i, frame in enumerate(frames):
            yield f"{i:05d}", Shown(frame.astype(np.float32) / 255, None, backdrop)
    elif source.is_file():
        yield source.stem, read_shown(source, backdrop)
    else:
        raise InputError(f"{source} is neither a folder nor a file; give pictures or a video")


def frame_rate(source: Path, otherwise: float = 25.0) -> float:
    """Frames per second of a video; a folder of frames does not tell."""
    return read_video(source)[0] if source.suffix.lower() in VIDEOS else otherwise


def pair_up(
    predicted: Path,
    truth: Path,
    region: Region = "head",
    group: str = "",
    compares: Compares = "pixels",
    align: bool = False,
    backdrop: float = WHITE,
) -> Iterator[Pair]:
    """Pairs of two folders, by equal names, else in their order; of two videos, frame by frame.

    `align` moves ours onto the truth by the similarity of their landmarks, where both have a face.
    InputError when the two do not hold equally many pictures, or when two pictures differ in size.
    """
    pair_shots = _pair_folders if predicted.is_dir() and truth.is_dir() else _pair_films
    for name, shown, wanted in pair_shots(predicted, truth, backdrop):
        mask = choose_mask(wanted, region) if compares == "pixels" else None
        aligned = align_face(shown, wanted) if align and compares == "pixels" else shown
        yield Pair(f"{group}/{name}" if group else name, group, aligned, wanted, mask, compares=compares)


def _pair_films(predicted: Path, truth: Path, backdrop: float) -> Iterator[tuple[str, Shown, Shown]]:
    theirs = read_shots(truth, backdrop)
    count = 0
    for name, shown in read_shots(predicted, backdrop):
        wanted = next(theirs, None)
        if wanted is None:
            raise InputError(f"{truth} ends after {count} frames, {predicted} goes on; cut both to the same frames")
        yield name, shown, wanted[1]
        count += 1
    if next(theirs, None) is not None:
        raise InputError(f"{predicted} ends after {count} frames, {truth} goes on; cut both to the same frames")
    if not count:
        raise InputError(f"{predicted} holds no frames; give a longer video")


def _pair_folders(predicted: Path, truth: Path, backdrop: float) -> Iterator[tuple[str, Shown, Shown]]:
    ours, theirs = ({path.stem: path for path in list_pictures(folder)} for folder in (predicted, truth))
    common = [name for name in ours if name in theirs]
    if common and len(common) < max(len(ours), len(theirs)):
        log.warning(f"{len(common)} pictures of {predicted} and {truth} have the same name; the others are left out")
    elif not common and len(ours) == len(theirs):
        log.warning(f"no names of {predicted} and {truth} agree; the pictures are paired in their order")
    elif not common:
        raise InputError(
            f"{predicted} has {len(ours)} pictures and {truth} {len(theirs)}, no name in both; rename them"
        )
    names = [(name, name) for name in common] or list(zip(ours, theirs, strict=True))
    for own, other in names:
        yield own, read_shown(ours[own], backdrop), read_shown(theirs[other], backdrop)


def align_face(shown: Shown, truth: Shown) -> Shown:
    """A picture turned, scaled and shifted so that its landmarks lie on those of `truth`; as it is without faces."""
    if shown.face is None or truth.face is None:
        return shown
    scale, rotation, shift = fit_similarity(shown.face.landmarks[:, :2], truth.face.landmarks[:, :2])
    matrix = np.column_stack([scale * rotation, shift])
    matrix[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5  # OpenCV counts from the middle of the first pixel
    size = truth.rgb.shape[1::-1]
    rgb = cv2.warpAffine(shown.rgb, matrix, size, flags=cv2.INTER_LINEAR, borderValue=3 * (truth.backdrop,))
    alpha = None if shown.alpha is None else cv2.warpAffine(shown.alpha, matrix, size, flags=cv2.INTER_LINEAR)
    return Shown(rgb, alpha, truth.backdrop)
