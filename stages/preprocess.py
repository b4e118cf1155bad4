"""Find the face, crop the portrait, cut out the person.

Reads PHOTO; writes source/transforms.json, source/images/00000_00.png [H, W, 4], source/fg_masks/00000_00.png [H, W],
source/landmarks.npz, source/report.json.

Example: facecraft preprocess photo.jpg ann.ws
"""

from pathlib import Path
from typing import Annotated

import typer

from facecraft.workspace import Workspace

READS = ()
WRITES = ("source",)


def main(
    photo: Annotated[Path, typer.Argument(help="picture of a person: JPEG, PNG, WebP or TIFF")],
    workspace: Annotated[Path, typer.Argument(help="folder of the subject")],
    size: Annotated[int, typer.Option(min=128, max=2048, help="side of the crop in pixels")] = 512,
    face: Annotated[int | None, typer.Option(min=1, help="which face, from the left; default: the largest")] = None,
    force: Annotated[bool, typer.Option(help="run even when up to date")] = False,
) -> Path:
    with Workspace.create(workspace).stage(
        "preprocess", READS, {"size": size, "face": face}, inputs=(photo,), force=force
    ) as run:
        if not run.up_to_date:
            from facecraft.face.portrait import preprocess

            preprocess(photo, size, face).save(run)
    return workspace / "source"
