"""Write a sample portrait: NASA's public-domain photo of astronaut Eileen Collins.

Reads nothing; writes the PNG that is named [512, 512, 3].

Example: facecraft sample astronaut.png
"""

from pathlib import Path
from typing import Annotated

import typer

from facecraft.errors import InputError

READS = ()
WRITES = ()


def main(
    output: Annotated[Path, typer.Argument(help="PNG file to write")],
    force: Annotated[bool, typer.Option(help="replace an existing file")] = False,
) -> Path:
    if output.suffix.lower() != ".png":
        raise InputError(f"{output} does not end in .png; the sample is a PNG")
    if output.exists() and not force:
        raise InputError(f"{output} exists; give another name or --force")
    from facecraft.image import write_sample

    write_sample(output)
    return output
