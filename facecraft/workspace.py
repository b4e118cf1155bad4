"""The workspace: one folder on disk for one subject, and the record of every stage that worked in it.

A stage's outputs are collected in `.partial/STAGE` and moved into place together when the stage succeeds, so a file that
exists is complete and a failed stage leaves what was there before. `records/STAGE.json` is written last: options, digests
of what was read and written, versions, wall time, peak memory. A stage whose record still matches is up to date.
"""

import fcntl
import hashlib
import json
import os
import platform
import resource
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from facecraft import __version__
from facecraft.errors import InputError, WorkspaceError
from facecraft.progress import log

SCHEMA = 1

PRODUCERS = {
    "source": "preprocess",
    "head": "fit-3dmm",
    "views/enhanced": "enhance-views",
    "avatar": "coin-fit",
    "renders": "render",
}
"""Folder of the workspace -> the one stage that writes it."""

CONVENTIONS = "world = head: metres, +Y up, +Z out of the face, +X to the subject's left; cameras OpenGL c2w on disk"


def digest_file(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(file)


def _digest(file) -> str:  # Python 3.10
    sha = hashlib.sha256()
    while block := file.read(1 << 20):
        sha.update(block)
    return sha.hexdigest()


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` durably: temporary name, fsync, rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


class Workspace:
    """The folder of one subject. `Workspace.open` for an existing one, `Workspace.create` also makes it."""

    def __init__(self, path: Path):
        self.path = Path(path)

    @classmethod
    def open(cls, path: Path) -> "Workspace":
        """An existing workspace; WorkspaceError when there is none or its schema is newer than this version."""
        workspace = cls(path)
        if not (workspace.path / "workspace.json").is_file():
            raise WorkspaceError(f"{path} is not a facecraft workspace; run `facecraft preprocess PHOTO {path}` first")
        workspace._check_schema()
        return workspace

    @classmethod
    def create(cls, path: Path) -> "Workspace":
        """The workspace at `path`, new or existing; WorkspaceError for a folder that holds something else."""
        workspace = cls(path)
        if (workspace.path / "workspace.json").is_file():
            workspace._check_schema()
        elif workspace.path.exists() and not workspace.path.is_dir():
            raise WorkspaceError(f"{path} is a file; name a folder for the workspace")
        elif workspace.path.is_dir() and any(p.name not in (".lock", ".partial") for p in workspace.path.iterdir()):
            raise WorkspaceError(f"{path} holds other files; name a new or empty folder for the workspace")
        return workspace

    def _check_schema(self) -> None:
        try:
            schema = json.loads((self.path / "workspace.json").read_text())["schema"]
            newer = schema > SCHEMA
        except (ValueError, KeyError, TypeError) as error:
            raise WorkspaceError(
                f"{self.path}/workspace.json is damaged; run `facecraft preprocess` into a new folder"
            ) from error
        if newer:
            raise WorkspaceError(
                f"{self.path} has schema {schema}, newer than {SCHEMA} of facecraft {__version__}; upgrade facecraft"
            )

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def require(self, name: str) -> Path:
        """Path of a file or folder of the workspace; WorkspaceError naming the stage to run when it is missing."""
        path = self.path / name
        if not path.exists():
            stage = next(
                stage for folder, stage in PRODUCERS.items() if name == folder or name.startswith(folder + "/")
            )
            raise WorkspaceError(f"{path} is missing; run `facecraft {stage} {self.path}` first")
        return path

    def files(self, name: str) -> list[str]:
        """Files below `name`, or `name` itself when it is a file, relative to the workspace, sorted."""
        path = self.path / name
        found = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
        names = sorted(str(p.relative_to(self.path)) for p in found)
        return [n for n in names if "/checkpoints/" not in n]

    def records(self) -> dict[str, dict]:
        """Every readable stage record by name, in the order of the stages' start."""
        found = {}
        for path in (self.path / "records").glob("*.json"):
            try:
                found[path.stem] = json.loads(path.read_text())
            except ValueError:
                continue  # a damaged record counts as missing: the stage runs again
        return dict(sorted(found.items(), key=lambda item: item[1]["started"]))

    def is_current(self, record: dict) -> bool:
        """Whether what a record says was read and written is still there, unchanged."""
        return all(
            (self.path / name).is_file() and digest_file(self.path / name) == digest
            for files in (record["reads"], record["writes"])
            for name, digest in files.items()
        ) and sorted(record["reads"]) == sorted({f for name in record["read_names"] for f in self.files(name)})

    @contextmanager
    def locked(self, stage: str) -> Iterator[None]:
        """Hold the workspace for one process; the kernel frees the lock of a process that dies."""
        made = not self.path.exists()
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / ".lock", "a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = file.read().strip() or "another process"
                raise WorkspaceError(f"{self.path} is in use by {holder}; wait for it to end") from None
            file.truncate(0)
            file.write(f"{stage} (process {os.getpid()} on {platform.node()})")
            file.flush()
            try:
                yield
            finally:
                (self.path / ".lock").unlink(missing_ok=True)
                if made and not any(self.path.iterdir()):
                    self.path.rmdir()

    @contextmanager
    def stage(
        self,
        stage: str,
        reads: tuple[str, ...],
        options: dict,
        inputs: tuple[Path, ...] = (),
        force: bool = False,
        key: str = "",
    ) -> Iterator["StageRun"]:
        """Run a stage: lock, check what it reads, tell whether it is up to date, commit what it wrote, keep its record.

        `reads` are files or folders of the workspace, `inputs` files outside. `key` tells several results of one stage
        apart (render). The body must do nothing when `run.up_to_date`.
        """
        for path in inputs:
            if not Path(path).is_file():
                raise InputError(f"{path} does not exist or is not a file; check the path")
        with self.locked(stage):
            run = StageRun(self, stage, f"{stage}-{key}" if key else stage)
            run.begin(reads, options, inputs, force)
            try:
                yield run
                if not run.up_to_date:
                    run.commit()
            finally:
                run.discard_partial()


@dataclass
class StageRun:
    """One run of one stage; made by `Workspace.stage`."""

    workspace: Workspace
    stage: str
    name: str
    up_to_date: bool = False
    record: dict = field(default_factory=dict)
    _start: float = field(default_factory=time.perf_counter)

    @property
    def partial(self) -> Path:
        """Folder in which the outputs wait until the stage succeeds."""
        return self.workspace.path / ".partial" / self.name

    def begin(self, reads: tuple[str, ...], options: dict, inputs: tuple[Path, ...], force: bool) -> None:
        """Digest what the stage depends on and compare it with the last record."""
        for name in reads:
            self.workspace.require(name)
        self.record = {
            "stage": self.stage,
            "facecraft": __version__,
            "options": json.loads(json.dumps(options, default=str)),
            "inputs": {str(p): digest_file(p) for p in inputs},
            "read_names": list(reads),
            "reads": {f: digest_file(self.workspace.path / f) for name in reads for f in self.workspace.files(name)},
        }
        last = self.workspace.records().get(self.name)
        same = last is not None and all(last.get(k) == v for k, v in self.record.items())
        self.up_to_date = same and not force and self.workspace.is_current(last)
        self.record.update(started=time.time(), weights=[], device="cpu")
        if self.up_to_date:
            log.info(f"{self.name}: up to date")
            return
        shutil.rmtree(self.partial, ignore_errors=True)

    def output(self, name: str) -> Path:
        """Where to write the file `name` of the workspace; it appears there when the stage succeeds."""
        path = self.partial / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def use_weights(self, name: str, licence: str, digest: str) -> None:
        """Record a model or weight file that the result depends on."""
        self.record["weights"].append({"name": name, "licence": licence, "digest": digest})

    def commit(self) -> None:
        """Move the outputs into place, remove what the last run wrote and this one did not, write the record."""
        record_path = self.workspace.path / "records" / f"{self.name}.json"
        last = self.workspace.records().get(self.name, {})
        record_path.unlink(missing_ok=True)
        written = sorted(str(p.relative_to(self.partial)) for p in self.partial.rglob("*") if p.is_file())
        for name in written:
            _sync(self.partial / name)
            target = self.workspace.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self.partial / name, target)
        for name in set(last.get("writes", {})) - set(written):
            (self.workspace.path / name).unlink(missing_ok=True)
        self._write_header()
        self.record.update(
            writes={name: digest_file(self.workspace.path / name) for name in written},
            bytes=sum((self.workspace.path / name).stat().st_size for name in written),
            wall_s=round(time.perf_counter() - self._start, 2),
            peak_memory_mib=_peak_memory_mib(),
            versions={
                "python": platform.python_version(),
                **{p: metadata.version(p) for p in ("torch", "numpy", "numba")},
            },
        )
        record_path.parent.mkdir(exist_ok=True)
        write_atomic(record_path, json.dumps(self.record, indent=1).encode())

    def _write_header(self) -> None:
        path = self.workspace.path / "workspace.json"
        if not path.is_file():
            header = {"schema": SCHEMA, "subject": self.workspace.path.resolve().name, "conventions": CONVENTIONS}
            write_atomic(path, json.dumps(header, indent=1).encode())

    def discard_partial(self) -> None:
        """Remove outputs that were not committed."""
        shutil.rmtree(self.partial, ignore_errors=True)
        if self.partial.parent.is_dir() and not any(self.partial.parent.iterdir()):
            self.partial.parent.rmdir()


def _sync(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _peak_memory_mib() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if platform.system() == "Darwin" else 1 << 10))
