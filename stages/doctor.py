"""Look at this machine: what facecraft needs, what is there, what is missing, and the command that mends it.

Reads nothing but the machine; writes nothing. Exit code 0 when the chain can run on the CPU.

Example: facecraft doctor
"""

from pathlib import Path
from typing import Annotated

import typer

from facecraft.errors import DependencyError

READS = ()
WRITES = ()


def main(
    folder: Annotated[Path, typer.Option(help="where workspaces will lie", exists=True, file_okay=False)] = Path(),
) -> None:
    """Print the findings; DependencyError when something needed is missing."""
    from facecraft.doctor import describe_findings, examine

    findings = examine(folder)
    typer.echo(describe_findings(findings))
    missing = [finding.name for finding in findings if finding.needed and not finding.ok]
    if missing:
        raise DependencyError(f"{', '.join(missing)} missing; run the commands above")
