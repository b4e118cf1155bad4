"""Run an evaluation: measure all pairs, write metrics.json, images.csv and report.html."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from facecraft.evaluation.gallery import MOST, Exhibit, make_exhibit
from facecraft.evaluation.meter import ASKED, Meter, parse_metrics
from facecraft.evaluation.page import make_page
from facecraft.evaluation.pairs import Pair, Region, list_pictures, pair_up
from facecraft.evaluation.results import Results, Row
from facecraft.evaluation.subject import load_subject, subject_pairs
from facecraft.progress import log, track
from facecraft.records import disk_errors, write_atomic
from facecraft.workspace import Workspace


@dataclass(frozen=True)
class Options:
    """What to measure, and with what; as of `facecraft eval`."""

    metrics: str = ""
    region: Region = "head"
    embedder: str = "dlib"
    device: str = "auto"


def evaluate_workspace(workspace: Workspace, options: Options, output: Callable[[str], Path]) -> Results:
    """Measure the avatar of a workspace; `output` makes paths of the names of files, see StageRun.output."""
    from facecraft.device import torch_device

    subject = load_subject(workspace, torch_device(options.device))
    results = Results(f"{workspace.path.resolve().name}: the avatar and its photo")
    if subject.truth:
        results.notes.append(
            "True cameras are carried over by the similarity that fits the true face onto the avatar's; "
            f"scale {1 / subject.similarity[0]:.3f} of the true head to the avatar's."
        )
    exhibits = _measure(subject_pairs(subject, options.region), subject.comparisons, results, options)
    write_results(results, exhibits, output)
    return results


def evaluate_pairs(predicted: Path, truth: Path, folder: Path, options: Options) -> Results:
    """Measure two folders of pictures or two videos; the results go into `folder`."""
    results = Results(f"{predicted.name} against {truth.name}")
    total = len(list_pictures(predicted)) if predicted.is_dir() else None
    exhibits = _measure(pair_up(predicted, truth, options.region), total, results, options)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_results(results, exhibits, lambda name: folder / name)
    return results


def _measure(pairs: Iterable[Pair], total: int | None, results: Results, options: Options) -> list[Exhibit]:
    """Take all measures into `results`; return the pictures for the report."""
    meter = Meter(parse_metrics(options.metrics, tuple(ASKED)), options.embedder)
    exhibits, every = [], 1
    for number, pair in enumerate(track(pairs, "measuring", total) if total else pairs):
        results.rows.append(Row(pair.name, pair.group, meter.measure(pair)))
        if number % every == 0:
            exhibits.append(make_exhibit(pair))
        if len(exhibits) > MOST:  # a long video: keep every second
            exhibits, every = exhibits[::2], 2 * every
    results.nets, results.missing = meter.nets, meter.missing
    for name, reason in meter.missing.items():
        log.warning(f"{name} is not measured: {reason}")
    return exhibits


def write_results(results: Results, exhibits: list[Exhibit], output: Callable[[str], Path]) -> None:
    """Write metrics.json, images.csv and report.html."""
    write_atomic(output("images.csv"), results.to_csv().encode())
    write_atomic(output("report.html"), make_page(results, exhibits).encode())
    write_atomic(output("metrics.json"), results.to_json().encode())
