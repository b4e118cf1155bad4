"""The workspace: one folder on disk for one subject.

Outputs of a stage wait in `.partial/STAGE` and move into place together when it succeeds: a file that exists is complete,
a failed stage leaves what was there. `records/STAGE.json` comes last; a stage whose record still matches is up to date.
"""

import fcntl
import json
import os
import platform
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from facecraft import __version__
from facecraft.errors import InputError, WorkspaceError
from facecraft.progress import log
from facecraft.records import (
    describe_machine,
    digest_file,
    digest_input,
    disk_errors,
    is_unchanged,
    read_records,
    remove_file,
    sync,
    write_atomic,
)

SCHEMA = 1

PRODUCERS = {
    "truth": "synth",
    "source": "preprocess",
    "head": "fit-3dmm",
    "views/enhanced": "enhance-views",
    "views/expressions": "enhance-views",
    "frames": "drive-video",
    "avatar": "coin-fit",
    "renders": "render",
    "sheet.png": "sheet",
    "exports": "export",
    "eval": "eval",
}
"""Folder or file of the workspace -> the one stage that writes it, in the order of the chain."""

CONVENTIONS = "world = head: metres, +Y up, +Z out of the face, +X to the subject's left; cameras OpenGL c2w on disk"

_OWN_NAMES = (".lock", ".partial", ".workspace.json")


def producer(name: str) -> str:
    """The stage that writes the file or folder `name`."""
    return next(stage for folder, stage in PRODUCERS.items() if name == folder or name.startswith(folder + "/"))


def check_name(name: str) -> str:
    """The name of a result, which becomes a folder; InputError when it could be more than that."""
    if not name.replace("-", "").replace("_", "").replace(".", "").isalnum() or name.startswith("."):
        raise InputError(
            f"name {name!r} of the result is not letters, digits, '-', '_' and '.'; give another with --out"
        )
    return name


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
        if workspace.path.exists() and not workspace.path.is_dir():
            raise WorkspaceError(f"{path} is a file; name a folder for the workspace")
        # looked at before the header: another process may be making this workspace, and writes the header first
        names = [p.name for p in workspace.path.iterdir()] if workspace.path.is_dir() else []
        if (workspace.path / "workspace.json").is_file():
            workspace._check_schema()
        elif any(not name.startswith(_OWN_NAMES) for name in names):
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
            raise WorkspaceError(f"{path} is missing; run `facecraft {producer(name)} {self.path}` first")
        return path

    def files(self, name: str) -> list[str]:
        """Files below `name`, or `name` itself when it is a file, relative to the workspace, sorted; no checkpoints."""
        path = self.path / name
        names = (p.relative_to(self.path).as_posix() for p in (path, *path.rglob("*")) if p.is_file())
        return sorted(n for n in names if "/checkpoints/" not in n)

    def digests(self, names: tuple[str, ...]) -> dict[str, str]:
        """Digest of every file below the files or folders `names`."""
        return {file: digest_file(self.path / file) for name in names for file in self.files(name)}

    def records(self) -> dict[str, dict]:
        """Every readable stage record by name, in the order of the stages' start."""
        return read_records(self.path / "records")

    @contextmanager
    def locked(self, stage: str) -> Iterator[None]:
        """Hold the workspace for one process; WorkspaceError when another one holds it."""
        made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        with self._take_lock(stage):
            try:
                yield
            finally:
                (self.path / ".lock").unlink(missing_ok=True)
                for folder in made:
                    if any(folder.iterdir()):
                        break
                    folder.rmdir()

    def _take_lock(self, stage: str) -> TextIO:
        """The lock file, locked. The kernel frees the lock of a process that dies, so a dead one's is simply taken."""
        path = self.path / ".lock"
        while True:
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                file = open(path, "a+")
            except FileNotFoundError:
                continue  # another process has just removed the folder that it made
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                with file:
                    file.seek(0)
                    holder = file.read().strip() or "another process"
                raise WorkspaceError(f"{self.path} is in use by {holder}; wait for it to end") from None
            if _is_file_at(file, path):
                break
            file.close()  # its holder removed it after we opened it: this lock guards nothing
        file.truncate(0)
        file.write(f"{stage} (process {os.getpid()} on {platform.node()})")
        file.flush()
        return file

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
        with disk_errors(self.path), self.locked(stage):
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
        return self.workspace / ".partial" / self.name

    def begin(self, reads: tuple[str, ...], options: dict, inputs: tuple[Path, ...], force: bool) -> None:
        """Digest what the stage depends on and compare it with the last record."""
        for name in reads:
            self.workspace.require(name)
        self.record = {
            "stage": self.stage,
            "facecraft": __version__,
            "options": json.loads(json.dumps(options, default=str)),
            "inputs": {str(Path(p).resolve()): digest_input(p) for p in inputs},
            "read_names": list(reads),
            "reads": self.workspace.digests(reads),
        }
        last = self.workspace.records().get(self.name)
        self.up_to_date = not force and last is not None and self._matches(last)
        self.record.update(started=time.time(), weights=[])
        if self.up_to_date:
            log.info(f"{self.name}: up to date")
            return
        shutil.rmtree(self.partial, ignore_errors=True)

    def _matches(self, last: dict) -> bool:
        """Whether the last run had the same options and contents to read, and left what is there now."""
        same = all(last.get(k) == v for k, v in self.record.items() if k != "inputs")
        same_inputs = list(last["inputs"].values()) == list(self.record["inputs"].values())  # a photo may move
        return same and same_inputs and is_unchanged(self.workspace.path, last["writes"])

    def output(self, name: str) -> Path:
        """Where to write the file `name` of the workspace; it appears there when the stage succeeds."""
        path = self.partial / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def use_weights(self, name: str, licence: str, digest: str) -> None:
        """Record a model or weight file that the result depends on."""
        self.record["weights"].append({"name": name, "licence": licence, "digest": digest})

    def commit(self) -> None:
        """Move the outputs into place, remove what the last run wrote and this one did not, write the record.

        The old record goes first and the new one comes last: after a crash in between, the stage runs again.
        """
        root = self.workspace.path
        record_path = root / "records" / f"{self.name}.json"
        last = self.workspace.records().get(self.name, {})
        self._write_header()
        record_path.unlink(missing_ok=True)
        written = sorted(p.relative_to(self.partial).as_posix() for p in self.partial.rglob("*") if p.is_file())
        for name in written:
            sync(self.partial / name)
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(self.partial / name, root / name)
        for name in last.get("writes", {}).keys() - set(written):
            remove_file(root, name)
        for folder in {(root / name).parent for name in written}:
            sync(folder)
        self.record.update(
            writes={name: digest_file(root / name) for name in written},
            bytes=sum((root / name).stat().st_size for name in written),
            wall_s=round(time.perf_counter() - self._start, 2),
            **describe_machine(),
        )
        record_path.parent.mkdir(exist_ok=True)
        write_atomic(record_path, json.dumps(self.record, indent=1).encode())

    def _write_header(self) -> None:
        path = self.workspace / "workspace.json"
        if not path.is_file():
            header = {"schema": SCHEMA, "subject": self.workspace.path.resolve().name, "conventions": CONVENTIONS}
            write_atomic(path, json.dumps(header, indent=1).encode())

    def discard_partial(self) -> None:
        """Remove outputs that were not committed."""
        shutil.rmtree(self.partial, ignore_errors=True)
        if self.partial.parent.is_dir() and not any(self.partial.parent.iterdir()):
            self.partial.parent.rmdir()


def _is_file_at(file: TextIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
