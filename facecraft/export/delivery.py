"""Copies of exports at the place that the user names."""

import os
from pathlib import Path

from facecraft.errors import InputError
from facecraft.records import write_atomic


def deliver(source: Path, out: Path) -> Path:
    """Copy a file, or the files of a folder, to `out`; returns where it is now. InputError when that cannot be written.

    A file goes into `out` when that is a folder.
    """
    target = out / source.name if source.is_file() and out.is_dir() else out
    try:
        if source.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        for file in [source] if source.is_file() else sorted(source.iterdir()):
            write_atomic(target if source.is_file() else target / file.name, file.read_bytes())
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else error
        raise InputError(f"{target} cannot be written ({reason}); name another place with --out") from error
    return target
