"""What a workspace holds: which stages are done, stale, incomplete or missing, what they took, what they used."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from facecraft.records import digest_file, is_unchanged
from facecraft.workspace import PRODUCERS, Workspace, producer

OUTSIDE_CHAIN = ("synth", "export", "eval", "drive-video")
"""Stages that no photo's workspace needs: not missing where they have not run."""


@dataclass(frozen=True)
class StageState:
    """One run of a stage: `name` of its record, `state` done, stale, incomplete or missing, and why."""

    name: str
    state: str
    reason: str = ""
    record: dict = field(default_factory=dict)


def stage_states(workspace: Workspace) -> list[StageState]:
    """The state of every stage in the order of the chain; a stage with several results (render) has one for each.

    Stale: an output or something read has changed since, or the stage that wrote it is stale. An input outside of the
    workspace that is no longer there counts as unchanged.
    """
    records, states = workspace.records(), []
    for stage in dict.fromkeys(PRODUCERS.values()):
        own = {name: record for name, record in records.items() if record["stage"] == stage}
        settled = {state.record["stage"]: state for state in states if state.state == "done"}
        for name, record in own.items():
            reason = _stale_reason(workspace, record, settled)
            states.append(StageState(name, "stale" if reason else "done", reason, record))
        if not own and stage not in OUTSIDE_CHAIN:
            states.append(_unrecorded(workspace, stage))
    return states


def _unrecorded(workspace: Workspace, stage: str) -> StageState:
    """A stage without a record: one that was broken off has left something."""
    waiting = workspace / ".partial"
    folders = [folder for folder, its_stage in PRODUCERS.items() if its_stage == stage]
    begun = any((workspace / folder).exists() for folder in folders) or (
        waiting.is_dir() and any(p.name.startswith(stage) for p in waiting.iterdir())
    )
    return (
        StageState(stage, "incomplete", "it did not come to its end; run it again")
        if begun
        else StageState(stage, "missing")
    )


def _stale_reason(workspace: Workspace, record: dict, settled: dict[str, StageState]) -> str:
    """Why a record no longer holds; empty when it does."""
    for path, digest in record["inputs"].items():
        if Path(path).is_file() and digest_file(Path(path)) != digest:
            return f"{path} changed"
    if not is_unchanged(workspace.path, record["writes"]):
        return "its outputs changed"
    for name in record["read_names"]:
        if producer(name) not in settled:
            return f"{producer(name)} is not done"
    if workspace.digests(tuple(record["read_names"])) != record["reads"]:
        return f"{' or '.join(record['read_names'])} changed"
    return ""


def describe_workspace(workspace: Workspace) -> str:
    """The states as a table, then the licences of the weights used. Reads only."""
    states = stage_states(workspace)
    rows = [("stage", "state", "when", "time", "size", "memory", "")]
    rows += [(s.name, s.state, *_figures(s.record), s.reason) for s in states]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    used = {(w["name"], w["licence"]) for s in states for w in s.record.get("weights", [])}
    lines += ["", "weights used:", *(f"  {name}: {licence}" for name, licence in sorted(used))] if used else []
    return "\n".join(lines)


def _figures(record: dict) -> tuple[str, str, str, str]:
    if not record:
        return ("",) * 4
    return (
        time.strftime("%Y-%m-%d %H:%M", time.localtime(record["started"])),
        f"{record['wall_s']:.1f} s",
        f"{record['bytes'] / 1e6:.1f} MB",
        f"{record['peak_memory_mib']} MiB",
    )
