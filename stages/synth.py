"""Make synthetic heads with ground truth: random people, light and cameras, the same for the same seed.

Reads nothing; writes below OUT. workspace: SPLIT-00000.ws for each subject, truth/ with the photo and all that is known of
it, source/ as preprocess makes it from that photo. dataset: shards SPLIT-SEED-000000.safetensors of 32 subjects each, with
encoded pictures and the numbers behind them. nersemble: SPLIT-00000/ for each subject, a film from 16 cameras.

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
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="nobody of one is in another")] = "train",
    layout: Annotated[
        Literal["workspace", "dataset", "nersemble"], typer.Option(help="how to keep them")
    ] = "workspace",
    size: Annotated[int, typer.Option(min=64, max=1024, help="side of the pictures in pixels")] = 512,
    views: Annotated[int, typer.Option(min=1, help="dataset: pictures of each subject; nersemble: timesteps")] = 4,
    jobs: Annotated[int, typer.Option(min=0, help="dataset: processes; 0 = one for each core")] = 0,
    force: Annotated[bool, typer.Option(help="make again what is up to date")] = False,
) -> Path:
    """Make subjects 0 to count - 1 of the split."""
    from facecraft.synth.multiview import write_multiview
    from facecraft.synth.shards import write_shards
    from facecraft.synth.subject import Subject
    from facecraft.synth.workspaces import write_workspace

    if layout == "dataset":
        write_shards(out, split, seed, count, views, size, jobs, force)
        return out
    for index in range(count):
        subject = Subject(split, seed, index)
        if layout == "workspace":
            write_workspace(out / f"{split}-{index:05d}.ws", subject, size, force)
        else:
            write_multiview(out / f"{split}-{index:05d}", subject, views, size, force)
    return out
