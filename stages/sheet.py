"""Put the photo, the avatar from around, and its expressions on one page.

Reads source/ and avatar/avatar.safetensors; writes sheet.png [H, W, 3], which says that it is synthetic.

Example: facecraft sheet ann.ws
"""

from pathlib import Path
from typing import Annotated

import typer

from facecraft.workspace import Workspace

READS = ("source", "avatar/avatar.safetensors")
WRITES = ("sheet.png",)


def main(
    workspace: Annotated[Path, typer.Argument(help="folder of the subject")],
    size: Annotated[int, typer.Option(min=64, max=1024, help="side of each of the ten pictures in pixels")] = 256,
    force: Annotated[bool, typer.Option(help="run even when up to date")] = False,
) -> Path:
    """Render the sheet and write it to the workspace."""
    with Workspace.open(workspace).stage("sheet", READS, {"size": size}, force=force) as run:
        if not run.up_to_date:
            from facecraft.image import SYNTHETIC, write_png
            from facecraft.report import contact_sheet

            write_png(run.output("sheet.png"), contact_sheet(run.workspace, size), SYNTHETIC)
    return run.workspace / "sheet.png"
