"""Make synthetic heads with ground truth: random people, light and cameras, the same for the same seed.

Reads nothing; writes one workspace for each subject, OUT/SPLIT-00000.ws: truth/ with the photo and all that is known of it,
and source/ as preprocess makes it from the photo.

Example: facecraft synth heads --count 4 --seed 1 --split val
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

READS = ()
WRITES = ("truth",)


def main(
    out: Annotated[Path, typer.Argument(help="folder for the subjects")],
    count: Annotated[int, typer.Option(min=1, help="subjects")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="of all random numbers")] = 0,
    split: Annotated[
        Literal["train", "val", "test"], typer.Option(help="people of one split are in no other")
    ] = "train",
    size: Annotated[int, typer.Option(min=128, max=1024, help="side of the pictures in pixels")] = 512,
    force: Annotated[bool, typer.Option(help="make again what is up to date")] = False,
) -> Path:
    from facecraft.synth.subject import Subject
    from facecraft.synth.workspaces import write_workspace

    for index in range(count):
        write_workspace(out / f"{split}-{index:05d}.ws", Subject(split, seed, index), size, force)
    return out
