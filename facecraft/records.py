"""Durable files, their digests, and the records of the stages: what each read and wrote, and what that took."""

import errno
import hashlib
import json
import os
import platform
import resource
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from facecraft.errors import InputError, WorkspaceError

FIELDS = {"stage", "options", "inputs", "read_names", "reads", "writes", "started", "wall_s", "bytes", "weights"}

_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


def digest_file(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    sha = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            sha.update(block)
    return sha.hexdigest()


def digest_input(path: Path) -> str:
    """SHA-256 of a file given by the user; InputError when it cannot be read."""
    try:
        return digest_file(path)
    except OSError as error:
        reason = os.strerror(error.errno).lower()
        raise InputError(f"{path} cannot be read ({reason}); check its permissions") from error


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` durably: temporary name, fsync, rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync(path.parent)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """A full or forbidden disk as a WorkspaceError."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        reason = os.strerror(error.errno).lower()
        raise WorkspaceError(f"{path} cannot be written ({reason}); free space or name another folder") from error


def remove_file(root: Path, name: str) -> None:
    """Remove the file `name` and the folders that it leaves empty."""
    path = root / name
    path.unlink(missing_ok=True)
    while (path := path.parent) != root and path.is_dir() and not any(path.iterdir()):
        path.rmdir()


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_records(folder: Path) -> dict[str, dict]:
    """The stage records in `folder` by name, earliest start first.

    A damaged record counts as missing, so that its stage runs again.
    """
    found = {}
    for path in folder.glob("[!.]*.json"):
        try:
            record = json.loads(path.read_text())
        except ValueError:
            continue
        if isinstance(record, dict) and record.keys() >= FIELDS:
            found[path.stem] = record
    return dict(sorted(found.items(), key=lambda item: item[1]["started"]))


def is_unchanged(root: Path, digests: dict[str, str]) -> bool:
    """Whether all files below `root` are there with these digests."""
    return all((root / name).is_file() and digest_file(root / name) == digest for name, digest in digests.items())


def describe_machine() -> dict:
    """Peak memory of this process, its device, and the versions that shape a result."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    torch = sys.modules.get("torch")
    used_cuda = torch is not None and torch.cuda.is_initialized()
    return {
        "peak_memory_mib": round(peak / (1 << 20 if platform.system() == "Darwin" else 1 << 10)),
        "device": torch.cuda.get_device_name() if used_cuda else "cpu",
        "versions": package_versions(("torch", "numpy", "numba", "mediapipe")),
    }


def package_versions(packages: Iterable[str]) -> dict[str, str]:
    """The versions of Python and of those packages that are installed."""
    from importlib import metadata  # 20 ms that --help does not need

    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
