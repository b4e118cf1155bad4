"""Show which stages of a workspace are done, stale, incomplete or missing, what they took, and the licences used.

Reads records/ and the files that they name; writes nothing, and works while a stage runs.

Example: facecraft status ann.ws
"""

from pathlib import Path
from typing import Annotated

import typer

from facecraft.workspace import Workspace

READS = ()
WRITES = ()


def main(workspace: Annotated[Path, typer.Argument(help="folder of the subject")]) -> str:
    """The table, which is the output of this stage."""
    from facecraft.status import describe_workspace

    return describe_workspace(Workspace.open(workspace))
