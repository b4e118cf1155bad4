"""Fit the head model to the portrait: pose, shape, expression, hair shell and texture.

Reads source/transforms.json, source/images/, source/landmarks.npz, and the same of source/more/; writes head/head.safetensors,
head/transforms.json, head/texture.png, head/shut_eyes.png (the same with shut eyes), head/seen.png, head/mesh.glb (textured, as
in the photo), head/overlay.png and, where something covers the face, head/covered.png. Several photos share shape and skin;
each has its own pose, expression, gaze and light. What covers a part of the face is looked past: no texture shows it.

Example: facecraft fit-3dmm ann.ws --quality draft
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from facecraft.workspace import Workspace

READS = ("source",)
WRITES = ("head",)


def main(
    workspace: Annotated[Path, typer.Argument(help="folder of the subject")],
    quality: Annotated[
        Literal["draft", "standard", "high"], typer.Option(help="how finely the head is fitted to the colours")
    ] = "standard",
    texture_size: Annotated[int, typer.Option(min=256, max=4096, help="side of the texture in texels")] = 1024,
    force: Annotated[bool, typer.Option(help="run even when up to date")] = False,
) -> Path:
    """Fit the head and write it to the workspace."""
    options = {"quality": quality, "texture_size": texture_size}
    with Workspace.open(workspace).stage("fit-3dmm", READS, options, force=force) as run:
        if not run.up_to_date:
            from facecraft.face.photos import load_sources
            from facecraft.head.fitted import fit_head
            from facecraft.head.model import load_head

            sources = load_sources(run.workspace)
            fit_head(sources, load_head(), texture_size, quality).save(run, sources)
    return run.workspace / "head"
