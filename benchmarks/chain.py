"""Measure the chain on all workspaces in a folder: one table of times, memory and likeness, in markdown.

Usage: python benchmarks/chain.py WORKSPACES (`make bench` first runs the chain on every portrait)
"""

import os
import platform
import sys
from pathlib import Path

from facecraft.report import Likeness, measure_likeness
from facecraft.workspace import Workspace

STAGES = ("preprocess", "fit-3dmm", "enhance-views", "coin-fit", "render", "sheet")
PSNR_BAR_DB, LANDMARK_BAR_PERCENT = 28.0, 2.0


def main(workspaces: Path) -> None:
    """Print the table; figures beyond a bar carry an exclamation mark."""
    columns = ["portrait", *(f"{stage} s" for stage in STAGES), "all s", "peak MiB"]
    columns += ["PSNR dB", "landmarks %", "face at"]
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.machine()}\n")
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for path in sorted(workspaces.glob("*.ws")):
        print("| " + " | ".join(_row(Workspace.open(path))) + " |", flush=True)
    for log in sorted(workspaces.glob("*.failed")):
        print(f"\nfailed: {log.read_text().strip()}")


def _row(workspace: Workspace) -> list[str]:
    records = workspace.records().values()
    seconds = [sum(r["wall_s"] for r in records if r["stage"] == stage) for stage in STAGES]
    peak = max((r["peak_memory_mib"] for r in records), default=0)
    cells = [workspace.path.stem, *(f"{s:.1f}" for s in seconds), f"{sum(seconds):.0f}", str(peak)]
    if not (workspace / "avatar/avatar.safetensors").is_file():
        return cells + ["not finished", "", ""]
    return cells + _likeness_cells(measure_likeness(workspace))


def _likeness_cells(likeness: Likeness) -> list[str]:
    mark_psnr = "" if likeness.psnr_db >= PSNR_BAR_DB else " !"
    mark_landmarks = "" if likeness.landmark_percent <= LANDMARK_BAR_PERCENT else " !"
    found = " ".join(f"{azimuth:+d}" for azimuth, seen in likeness.faces_found.items() if seen)
    mark_faces = "" if all(likeness.faces_found.values()) else " !"
    return [
        f"{likeness.psnr_db:.1f}{mark_psnr}",
        f"{likeness.landmark_percent:.2f}{mark_landmarks}",
        found + mark_faces,
    ]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
