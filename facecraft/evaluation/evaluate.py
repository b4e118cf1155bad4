"""Run an evaluation: measure all pairs, write metrics.json, images.csv and report.html."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path

from facecraft.device import torch_device
from facecraft.errors import InputError
from facecraft.evaluation.cases import case_pairs, choose_protocol, find_cases
from facecraft.evaluation.gallery import MOST, Exhibit, make_exhibit
from facecraft.evaluation.measures import MEASURES, PICTURE, parse_metrics
from facecraft.evaluation.meter import Meter, Tools
from facecraft.evaluation.page import make_page, table_cell
from facecraft.evaluation.pairs import VIDEOS, Pair, Region, frame_rate, list_pictures, pair_up
from facecraft.evaluation.protocols import Protocol
from facecraft.evaluation.published import PUBLISHED
from facecraft.evaluation.results import Results, Row, TableRow, mean_of_persons
from facecraft.evaluation.sets import Collector
from facecraft.evaluation.subject import load_subject, measure_consistency, subject_pairs
from facecraft.progress import log, track
from facecraft.records import disk_errors, write_atomic
from facecraft.workspace import Workspace

SIDES = {"pixels": "self", "persons": "cross", "poses": "cross", "expressions": "expressive"}
"""Pictures that should equal the truth, those that only show the same person or the same pose, and ours against ours."""


@dataclass(frozen=True)
class Options:
    """What to measure, where, and with what; as of `facecraft eval`."""

    metrics: str = ""
    region: Region = "head"
    align: bool = False
    tools: Tools = field(default_factory=Tools)


def make_options(chosen: dict, tools: dict) -> Options:
    """Of plain values, as the command line has them."""
    return Options(**chosen, tools=Tools(**tools))


def evaluate_data(
    subject: Path,
    truth: Path | None,  # None for a protocol
    protocol: str,
    folder: Path,
    options: Options,
) -> Path:
    """Two folders or videos, or a protocol: the path of the report."""
    if protocol and truth is not None:
        raise InputError(f"--protocol {protocol} takes one folder of data, not also {truth}; see docs/eval.md")
    if protocol:
        evaluate_protocol(protocol, subject, folder, options)
    else:
        evaluate_pairs(subject, truth, folder, options)
    return folder / "report.html"


def evaluate_workspace(workspace: Workspace, options: Options, output: Callable[[str], Path]) -> Results:
    """Measure the avatar of a workspace; `output` makes paths of the names of files, see StageRun.output."""
    names = parse_metrics(options.metrics, (*PICTURE, "consistency"))
    subject = load_subject(workspace, torch_device(options.tools.device))
    results = Results(f"{workspace.path.resolve().name}: the avatar and its photo", options=asdict(options))
    if subject.truth:
        results.notes.append(
            "True cameras are carried over by the similarity that fits the true face onto the avatar's; the true head is "
            f"{1 / subject.similarity[0]:.3f} times the size of the avatar's."
        )
        if options.region == "head":
            results.notes.append("Pixels and outlines are compared where the truth shows no clothes.")
    meter = Meter(names, options.tools)
    exhibits = _measure(subject_pairs(subject, options.region), meter, results, total=subject.comparisons)
    if "consistency" in names:
        results.sets["consistency"] = measure_consistency(subject)
    write_results(results, exhibits, output)
    return results


def evaluate_pairs(predicted: Path, truth: Path, folder: Path, options: Options) -> Results:
    """Measure two folders of pictures or two videos; the results go into `folder`."""
    film = predicted.suffix.lower() in VIDEOS
    names = parse_metrics(options.metrics, (*PICTURE, "fid", *(("jod", "jitter") if film else ())))
    results = Results(f"{predicted.name} against {truth.name}", options=asdict(options))
    total = len(list_pictures(predicted)) if predicted.is_dir() else None
    pairs = pair_up(predicted, truth, options.region, align=options.align)
    exhibits = _measure(pairs, Meter(names, options.tools), results, frame_rate(truth), total)
    _write_to(folder, results, exhibits)
    return results


def evaluate_protocol(name: str, data: Path, folder: Path, options: Options) -> Results:
    """Run a paper's protocol on the user's copy of its data; the results, with the paper's rows, go into `folder`."""
    protocol = choose_protocol(name)
    names = parse_metrics(options.metrics, protocol.metrics)
    cases = find_cases(data, protocol)
    device = torch_device(options.tools.device)
    results = Results(f"{protocol.paper}: {data.resolve().name}", options=asdict(options), by_view=protocol.by_view)
    pairs = chain.from_iterable(case_pairs(case, protocol, options.region, options.align, device) for case in cases)
    meter, others = Meter(names, options.tools, protocol.video_metric), set()
    exhibits = _measure(_watch_sizes(pairs, protocol.side_px, others), meter, results, protocol.fps)
    results.notes = [f"Protocol {name}: {protocol.data}; here {len(cases)} cases.", *protocol.caveats]
    if others:
        sizes = ", ".join(f"{width}x{height}" for width, height in sorted(others))
        results.notes.append(f"The paper's pictures are {protocol.side_px}x{protocol.side_px}; some here are {sizes}.")
    results.workspaces = {
        case.name: {stage: record["options"] for stage, record in Workspace.open(case.folder).records().items()}
        for case in cases
        if case.is_workspace
    }
    results.columns = protocol.columns
    results.table = _make_table(name, protocol, results)
    _write_to(folder, results, exhibits)
    log.info(describe_table(results))
    return results


def _watch_sizes(pairs: Iterable[Pair], side_px: int, others: set[tuple[int, int]]) -> Iterator[Pair]:
    """The pairs as they are; sizes that are not the paper's go into `others`."""
    for pair in pairs:
        size = pair.truth.rgb.shape[1::-1]
        if side_px and size != (side_px, side_px):
            others.add(size)
        yield pair


def _measure(
    pairs: Iterable[Pair],
    meter: Meter,
    results: Results,
    fps: float = 25.0,
    total: int | None = None,
) -> list[Exhibit]:
    """Take all measures into `results`; return the pictures for the report."""
    for name, reason in meter.missing.items():
        log.warning(f"{name} is not measured: {reason}")
    collectors, exhibits, every = {}, [], 1
    for number, pair in enumerate(track(pairs, "measuring", total) if total else pairs):
        side = SIDES[pair.compares]
        results.rows.append(Row(pair.name, pair.group, meter.measure(pair), side, pair.view))
        collectors.setdefault(side, Collector(meter, fps)).add(pair)
        if number % every == 0:
            exhibits.append(make_exhibit(pair))
        if len(exhibits) > MOST:  # a long film: keep every second
            exhibits, every = exhibits[::2], 2 * every
    results.nets, results.missing = meter.nets, meter.missing
    for side, collector in collectors.items():
        identities = [row.figures["id"] for row in results.rows if row.side == side and "id" in row.figures]
        mark = f" {side}" if len(collectors) > 1 else ""
        results.sets |= {name + mark: entry for name, entry in collector.figures(identities).items()}
    return exhibits


def _own_row(protocol: Protocol, results: Results, side: str, several: bool) -> TableRow:
    figures, notes = {}, {}
    for name in protocol.columns:
        entry = results.sets.get(f"{name} {side}" if several else name)
        if entry:
            of_persons = protocol.mean == "persons" and "films" in entry
            figures[name] = mean_of_persons(entry["films"]) if of_persons else entry["value"]
            if not entry.get("claim", True):
                notes[name] = "no claim"
            continue
        mean = results.mean_of_persons(name) if protocol.mean == "persons" else results.mean(name, side=side)[0]
        if not math.isnan(mean):
            figures[name] = mean
    count = sum(row.side == side for row in results.rows)
    return TableRow(f"ours, {side}" if several else "ours", f"N = {count}", figures, notes, True)


def _make_table(name: str, protocol: Protocol, results: Results) -> list[TableRow]:
    """Our row, or two where pictures of oneself and of others are apart, then the paper's."""
    sides = list(dict.fromkeys(row.side for row in results.rows))
    ours = [_own_row(protocol, results, side, len(sides) > 1) for side in sides]
    return [*ours, *(TableRow(row.label, row.where, row.figures, row.notes) for row in PUBLISHED[name])]


def describe_table(results: Results) -> str:
    """The table of a protocol in markdown."""
    heads = [f"{MEASURES[n].label} {MEASURES[n].unit}".strip() for n in results.columns]
    lines = ["| | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]
    for row in results.table:
        cells = [f"({c}) {note}" if note else c for c, note in (table_cell(row, name) for name in results.columns)]
        lines.append(f"| {row.label}, {row.where} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _write_to(folder: Path, results: Results, exhibits: list[Exhibit]) -> None:
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_results(results, exhibits, lambda name: folder / name)


def write_results(results: Results, exhibits: list[Exhibit], output: Callable[[str], Path]) -> None:
    """Write metrics.json, images.csv and report.html."""
    write_atomic(output("images.csv"), results.to_csv().encode())
    write_atomic(output("report.html"), make_page(results, exhibits).encode())
    write_atomic(output("metrics.json"), results.to_json().encode())
