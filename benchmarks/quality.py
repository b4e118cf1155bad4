"""Measure the chain against ground truth: one row for each synthetic subject or portrait in a folder, and their mean.

Usage: python benchmarks/quality.py WORKSPACES (`make bench-quality` first makes the subjects and runs the chain on them)
"""

import json
import math
import os
import platform
import re
import sys
from pathlib import Path

from facecraft.stages import eval as measure

from facecraft.workspace import PRODUCERS, Workspace

METRICS = "psnr,ssim,id"
SIDES = {"photo": (), "±30°": (30, -30), "±60°": (60, -60), "±90°": (90, -90), "180°": (180,)}
"""Column -> azimuths that it is the mean of."""
FIGURES = {"psnr": 1, "ssim": 3, "id_distance": 2}
"""Figures of each column, and their decimals."""


def main(workspaces: Path) -> None:
    """Print a table of likeness, and one of time and memory by stage."""
    subjects = {path.stem: read_subject(path) for path in sorted(workspaces.glob("*.ws"))}
    heads = [f"{side} PSNR / SSIM / ID" for side in SIDES]
    heads += ["expressions PSNR", "vertices mm", "motion mm"]
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.machine()}\n")
    print("| subject | " + " | ".join(heads) + " |\n" + "|---" * (len(heads) + 1) + "|")
    rows = {name: view_cells(images) + expression_cells(images) for name, (images, _) in subjects.items() if images}
    for name, cells in rows.items():
        print(f"| {name} | " + " | ".join(map(text, cells)) + " |")
    print(
        f"| mean of {len(rows)} | "
        + " | ".join(text(mean_cell(column)) for column in zip(*rows.values(), strict=True))
        + " |"
    )
    print_costs([records for _, records in subjects.values()])
    failed = [name for name, (images, _) in subjects.items() if not images]
    if failed:
        print(f"\nnot finished: {', '.join(failed)}")


def read_subject(path: Path) -> tuple[list[dict], list[dict]]:
    """Figures of each picture, none when there is no avatar; and the records of the stages."""
    workspace = Workspace.open(path)
    images = []
    if (workspace / "avatar/avatar.safetensors").is_file():
        report = measure.main(path, metrics=METRICS, out="bench")
        images = json.loads(report.with_name("metrics.json").read_text())["images"]
    return images, list(workspace.records().values())


def view_cells(images: list[dict]) -> list[tuple]:
    """PSNR, SSIM and distance of identity of each column."""
    cells = []
    for azimuths in SIDES.values():
        chosen = [image for image in images if image["group"] != "true expressions" and azimuth_of(image) in azimuths]
        if not azimuths:
            chosen = [image for image in images if image["group"] == "photo"]
        cells.append(tuple((mean([i.get(name) for i in chosen]), decimals) for name, decimals in FIGURES.items()))
    return cells


def expression_cells(images: list[dict]) -> list[tuple]:
    """PSNR and errors of the vertices of the true expressions."""
    chosen = [image for image in images if image["group"] == "true expressions"]
    columns = {"psnr": 1, "vertex_mm": 2, "motion_mm": 2}
    return [((mean([image.get(name) for image in chosen]), decimals),) for name, decimals in columns.items()]


def azimuth_of(image: dict) -> int | None:
    """Degrees of a view at eye height, which its name is; +180 and -180 are one."""
    found = re.fullmatch(r"([+-]\d+)°", image["name"])
    return None if found is None else abs(int(found[1])) if abs(int(found[1])) == 180 else int(found[1])


def mean(values: list) -> float:
    """Mean of the numbers among the values; "inf" is one."""
    known = [float(value) for value in values if value is not None]
    return sum(known) / len(known) if known else math.nan


def mean_cell(cells: tuple) -> tuple:
    """Mean over the subjects, figure by figure."""
    known = [[None if math.isnan(v) else v for v, _ in figure] for figure in zip(*cells, strict=True)]
    return tuple((mean(values), decimals) for values, (_, decimals) in zip(known, cells[0], strict=True))


def text(cell: tuple) -> str:
    return " / ".join("–" if math.isnan(value) else f"{value:.{decimals}f}" for value, decimals in cell)


def print_costs(subjects: list[list[dict]]) -> None:
    """Mean wall time and largest peak memory of each stage."""
    print("\n| stage | mean s | most MiB |\n|---|---|---|")
    for stage in dict.fromkeys(PRODUCERS.values()):
        own = [record for records in subjects for record in records if record["stage"] == stage]
        if own:
            seconds = sum(record["wall_s"] for record in own) / len(own)
            print(f"| {stage} | {seconds:.1f} | {max(record['peak_memory_mib'] for record in own)} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
