"""Make consistent pictures of the head from all around; the photo itself is kept as the first, but for what covers the face.

Reads head/ and source/; writes views/enhanced/ (the photo's expression) and views/expressions/ (closed eyes, open mouth and
others), each a nerfstudio dataset: transforms.json, images/ [H, W, 4], fg_masks/, depths/ (16-bit PNG, mm). The prior
`texture` renders the textured head with its hair shell.

Example: facecraft enhance-views ann.ws --prior texture
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from facecraft.workspace import Workspace

READS = ("source", "head")
WRITES = ("views/enhanced", "views/expressions")


def main(
    workspace: Annotated[Path, typer.Argument(help="folder of the subject")],
    prior: Annotated[Literal["texture"], typer.Option(help="what completes the unseen sides")] = "texture",
    views: Annotated[int, typer.Option(min=4, max=99, help="views on the orbit at eye height")] = 24,
    size: Annotated[int, typer.Option(min=64, max=2048, help="side of a view in pixels")] = 384,
    force: Annotated[bool, typer.Option(help="run even when up to date")] = False,
) -> Path:
    """Render the views and write them to the workspace."""
    options = {"prior": prior, "views": views, "size": size}
    with Workspace.open(workspace).stage("enhance-views", READS, options, force=force) as run:
        if not run.up_to_date:
            from facecraft.face.portrait import load_source
            from facecraft.head.fitted import load_fitted
            from facecraft.prior.texture import express, surround
            from facecraft.views import save_views

            source, fitted = load_source(run.workspace), load_fitted(run.workspace)
            save_views(run, "views/enhanced", surround(fitted, source.image, source.alpha, views, size))
            save_views(run, "views/expressions", express(fitted, size))
    return run.workspace / "views/enhanced"
