"""Fit Gaussians that ride on the head's triangles to the views; the photo counts most.

Reads head/, views/enhanced/, views/expressions/ and, when it is there, the video in frames/; writes
avatar/avatar.safetensors, avatar/avatar.ply (3DGS layout, as in the photo) and avatar/preview.png. Killed and started
again, it goes on from the last checkpoint in avatar/checkpoints/.

Example: facecraft coin-fit ann.ws --quality draft
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from facecraft.workspace import Workspace

READS = ("head", "views/enhanced", "views/expressions")
OPTIONAL_READS = ("frames",)
WRITES = ("avatar",)


def main(
    workspace: Annotated[Path, typer.Argument(help="folder of the subject")],
    quality: Annotated[
        Literal["draft", "standard", "high"], typer.Option(help="400, 2,000 or 30,000 iterations; high wants CUDA")
    ] = "standard",
    iterations: Annotated[int, typer.Option(min=0, help="iterations instead of the quality's; 0 = the quality's")] = 0,
    gaussians: Annotated[int, typer.Option(min=0, help="Gaussians at the start; 0 = the quality's")] = 0,
    coin: Annotated[
        bool | None, typer.Option(help="learn what single views show differently, and leave it out; not in draft")
    ] = None,
    sh_degree: Annotated[
        int, typer.Option(min=0, max=3, help="degree of the colours' harmonics; 0 looks the same from everywhere")
    ] = 0,
    checkpoint_every: Annotated[int, typer.Option(min=1, help="iterations between checkpoints")] = 200,
    resume: Annotated[bool, typer.Option(help="go on from the checkpoint that a killed run left")] = True,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")] = "auto",
    seed: Annotated[int, typer.Option(help="of all random numbers")] = 0,
    force: Annotated[bool, typer.Option(help="run even when up to date, from the start")] = False,
) -> Path:
    """Train the avatar and write it to the workspace."""
    options = {"quality": quality, "iterations": iterations, "gaussians": gaussians, "coin": coin, "seed": seed}
    options["sh_degree"] = sh_degree
    opened = Workspace.open(workspace)
    reads = (*READS, *(name for name in OPTIONAL_READS if (opened / name).exists()))
    with opened.stage("coin-fit", reads, options, force=force) as run:
        if not run.up_to_date:
            from facecraft.splats.coin import fit_avatar

            fresh = force or not resume
            fit_avatar(run, quality, iterations, gaussians, checkpoint_every, device, seed, fresh, coin, sh_degree)
    return run.workspace / "avatar/avatar.safetensors"
