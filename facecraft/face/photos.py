"""Several photos of one person in a workspace: the first is the reference, in source/; the others are in source/more/."""

from collections.abc import Iterator
from pathlib import Path

from facecraft.errors import InputError
from facecraft.face.portrait import Portrait, Source, load_source, model_files, preprocess, source_folder
from facecraft.progress import log
from facecraft.records import digest_file
from facecraft.workspace import Workspace

MOST_PHOTOS = 8


def preprocess_photos(photos: list[Path], size: int = 512, face: int | None = None) -> Iterator[Portrait]:
    """Portraits of one person, one at a time: see `preprocess`; `face` is the number of the person in the first photo.

    InputError, besides those of `preprocess`: too many photos, or one of them twice.
    """
    if len(photos) > MOST_PHOTOS:
        raise InputError(f"{len(photos)} photos are too many; give the best {MOST_PHOTOS} at most, the workspace last")
    digests = [digest_file(photo) for photo in photos]
    for number, digest in enumerate(digests):
        if (same := digests.index(digest)) < number:
            raise InputError(f"{photos[same]} and {photos[number]} are the same picture; give every photo once")
    for number, photo in enumerate(photos):
        if len(photos) > 1:
            log.info(f"photo {number + 1} of {len(photos)}: {photo}")
        yield preprocess(photo, size, None if number else face)


def save_photos(run, portraits: Iterator[Portrait]) -> None:
    """Write the folder `source` of a workspace through a stage's run."""
    for number, portrait in enumerate(portraits):
        portrait.save(run, number)
    for name, path in model_files().items():
        run.use_weights(name, "Apache-2.0", digest_file(path))


def load_sources(workspace: Workspace) -> list[Source]:
    """What preprocess wrote of all photos, the reference first; see `load_source` for errors."""
    count = 1
    while (workspace / source_folder(count)).is_dir():
        count += 1
    return [load_source(workspace, number) for number in range(count)]
