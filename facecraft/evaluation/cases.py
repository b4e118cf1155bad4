"""The cases of a protocol on disk, and their pairs."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from facecraft.drive import POSES, parse_expression
from facecraft.errors import InputError
from facecraft.evaluation.pairs import BLACK, PICTURES, VIDEOS, WHITE, Pair, Region, Shown, pair_up, read_shots
from facecraft.evaluation.protocols import PREDICTED, PROTOCOLS, Protocol
from facecraft.evaluation.subject import load_subject, show
from facecraft.report import turned_shots
from facecraft.workspace import Workspace

DEEPEST = 4
"""Folders between DATA and a case."""


@dataclass(frozen=True)
class Case:
    """A folder with roles, or a workspace; `name` is its path below DATA."""

    name: str
    folder: Path
    is_workspace: bool = False

    def role(self, name: str) -> Path | None:
        """The folder, video or picture of a role; None when it is not there."""
        if (self.folder / name).is_dir():
            return self.folder / name
        files = (self.folder / f"{name}{suffix}" for suffix in (*VIDEOS, *PICTURES))
        return next((file for file in files if file.is_file()), None)


def choose_protocol(name: str) -> Protocol:
    """The protocol of that name; InputError lists all."""
    if name not in PROTOCOLS:
        raise InputError(f"protocol {name!r} is not known; use {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def find_cases(data: Path, protocol: Protocol) -> list[Case]:
    """All cases below `data`, in the order of their names. InputError when there are none, or a role is missing."""
    if not data.is_dir():
        raise InputError(f"{data} is not a folder; give the folder of the protocol's data")
    cases = sorted(_search(data, data, protocol, DEEPEST), key=lambda case: case.name)
    roles = [comparison.role for comparison in protocol.comparisons]
    wanted = f"{PREDICTED}/ and {' or '.join(f'{role}/' for role in roles)}"
    if not cases:
        kinds = (
            f"workspaces with an avatar, or folders with {wanted}"
            if protocol.azimuths_deg
            else f"folders with {wanted}"
        )
        raise InputError(f"{data} has no case of this protocol; give {kinds}")
    for case in cases:
        if not case.is_workspace and not any(case.role(role) for role in roles):
            raise InputError(f"{case.folder} has no {' and no '.join(f'{role}/' for role in roles)}; a case needs one")
    return cases


def _search(data: Path, folder: Path, protocol: Protocol, depth: int) -> Iterator[Case]:
    case = Case(folder.relative_to(data).as_posix(), folder)
    if (folder / "workspace.json").is_file():
        if protocol.azimuths_deg and (folder / "avatar/avatar.safetensors").is_file():
            yield replace(case, is_workspace=True)
    elif case.role(PREDICTED):
        yield case
    elif depth:
        for inner in folder.iterdir():
            if inner.is_dir() and not inner.name.startswith("."):
                yield from _search(data, inner, protocol, depth - 1)


def case_pairs(case: Case, protocol: Protocol, region: Region, align: bool, device: torch.device) -> Iterator[Pair]:
    """All pairs of one case; their group is the case's name. On black, the region "head" is the whole picture."""
    if case.is_workspace:
        yield from _workspace_pairs(case, protocol, device)
        return
    backdrop, chosen = (BLACK, "all" if region == "head" else region) if protocol.on_black else (WHITE, region)
    predicted = case.role(PREDICTED)
    for comparison in protocol.comparisons:
        role = case.role(comparison.role)
        if role is None:
            continue
        if comparison.how == "persons":
            yield from _each_with_each(case.name, predicted, role, backdrop)
        elif comparison.how == "expressions":
            yield from _with_expressions(case.name, predicted, role, backdrop)
        else:
            yield from pair_up(predicted, role, chosen, case.name, comparison.how, align, backdrop)


def _each_with_each(group: str, predicted: Path, references: Path, backdrop: float) -> Iterator[Pair]:
    others = list(read_shots(references, backdrop))
    for name, shown in read_shots(predicted, backdrop):
        for other, truth in others:
            label = f"{group}/{name}" if len(others) == 1 else f"{group}/{name} and {other}"
            yield Pair(label, group, shown, truth, compares="persons", view=name)


def _with_expressions(group: str, neutral: Path, expressive: Path, backdrop: float) -> Iterator[Pair]:
    """Each expressive picture and the neutral one of its name; `expressive` may hold a folder for each expression."""
    folders = sorted(p for p in expressive.iterdir() if p.is_dir()) if expressive.is_dir() else []
    for folder in folders or [expressive]:
        for pair in pair_up(folder, neutral, compares="expressions", backdrop=backdrop):
            view = f"{pair.name} {folder.name if folder in folders else 'expressive'}"
            yield replace(pair, name=f"{group}/{view}", group=group, view=view)


def _workspace_pairs(case: Case, protocol: Protocol, device: torch.device) -> Iterator[Pair]:
    """The photo against each view, or against the first expression of each view, which the others are compared with."""
    subject = load_subject(Workspace.open(case.folder), device)
    avatar, photo = subject.avatar, subject.photo
    shots = turned_shots(avatar, photo.rgb.shape[0], list(protocol.azimuths_deg))
    among_ours = any(comparison.how == "expressions" for comparison in protocol.comparisons)
    for azimuth, shot in zip(protocol.azimuths_deg, shots, strict=True):
        first: Shown | None = None
        for name in protocol.expressions:
            if name:
                channels = avatar.head.expression_vector(parse_expression(POSES[name]))[0]
                shot = replace(shot, expression=channels, gaze=torch.zeros(2, 2))
            shown, view = show(subject, shot), f"{azimuth:+.0f}°" + (f" {name}" if name else "")
            other, compares = (first, "expressions") if among_ours and first else (photo, "persons")
            yield Pair(f"{case.name}/{view}", case.name, shown, other, compares=compares, view=view)
            first = first or shown
