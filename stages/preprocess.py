"""Find the face, crop the portrait, cut out the person; in one photo or in several of the same person.

Reads PHOTOS; writes source/transforms.json, source/images/00000_00.png [H, W, 4], source/fg_masks/00000_00.png [H, W],
source/landmarks.npz, source/report.json; of each further photo the same in source/more/00001 and so on. The first photo is
the one that the avatar shows; the head gets one shape that suits them all.

Example: facecraft preprocess photo.jpg ann.ws
"""

from pathlib import Path
from typing import Annotated

import typer

from facecraft.workspace import Workspace

READS = ()
WRITES = ("source",)


def main(
    photos: Annotated[list[Path], typer.Argument(help="pictures of one person: JPEG, PNG, HEIC, WebP or TIFF")],
    workspace: Annotated[Path, typer.Argument(help="folder of the subject")],
    size: Annotated[int, typer.Option(min=128, max=2048, help="side of the crop in pixels")] = 512,
    face: Annotated[
        int | None, typer.Option(min=1, help="which of the first photo, from the left; default: the largest")
    ] = None,
    force: Annotated[bool, typer.Option(help="run even when up to date")] = False,
) -> Path:
    """Preprocess the photos into the workspace."""
    options = {"size": size, "face": face}
    with Workspace.create(workspace).stage("preprocess", READS, options, inputs=tuple(photos), force=force) as run:
        if not run.up_to_date:
            from facecraft.face.photos import preprocess_photos, save_photos

            save_photos(run, preprocess_photos(photos, size, face))
    return workspace / "source"
