"""The results of an evaluation: figures of each picture, their means by group, and metrics.json and images.csv of them."""

import csv
import io
import json
import math
from dataclasses import asdict, dataclass, field

from facecraft import __version__
from facecraft.evaluation.measures import MEASURES

SCHEMA = "facecraft-eval/1"


@dataclass(frozen=True)
class Row:
    """The figures of one picture by measure."""

    name: str
    group: str
    figures: dict[str, float]
    side: str = ""  # of a protocol: self or cross


@dataclass(frozen=True)
class TableRow:
    """One line of a protocol's table; `notes` say by measure what keeps a figure from being a claim."""

    label: str
    where: str
    figures: dict[str, float]
    notes: dict[str, str] = field(default_factory=dict)
    ours: bool = False


@dataclass
class Results:
    """What was measured, how, and what could not be."""

    title: str
    rows: list[Row] = field(default_factory=list)
    sets: dict[str, dict] = field(default_factory=dict)  # figures of a whole set, such as FID, with what they depend on
    nets: dict[str, str] = field(default_factory=dict)  # measure -> network
    missing: dict[str, str] = field(default_factory=dict)  # measure -> why, and the command to get it
    notes: list[str] = field(default_factory=list)
    table: list["TableRow"] = field(default_factory=list)  # of a protocol: ours, then the paper's
    columns: tuple[str, ...] = ()  # of the table

    @property
    def measures(self) -> list[str]:
        """The measures that any picture has, in the order of MEASURES."""
        return [name for name in MEASURES if any(name in row.figures for row in self.rows)]

    @property
    def groups(self) -> list[str]:
        """The groups of pictures, in the order of their first."""
        return list(dict.fromkeys(row.group for row in self.rows))

    def mean(self, measure: str, group: str | None = None, side: str | None = None) -> tuple[float, int]:
        """Mean over the pictures of a group and side that have the measure, and how many they are; nan for none."""
        rows = [row for row in self.rows if group in (None, row.group) and side in (None, row.side)]
        values = [v for row in rows if not math.isnan(v := row.figures.get(measure, math.nan))]
        return (sum(values) / len(values) if values else math.nan), len(values)

    def mean_of_persons(self, measure: str) -> float:
        """Mean of the persons' means of their cases' means; the person is the first folder of a case's name."""
        persons: dict[str, list[float]] = {}
        for group in self.groups:
            mean, n = self.mean(measure, group)
            if n:
                persons.setdefault(group.split("/")[0], []).append(mean)
        means = [sum(values) / len(values) for values in persons.values()]
        return sum(means) / len(means) if means else math.nan

    def summary(self) -> dict[str, dict[str, dict]]:
        """Group -> measure -> mean and n; the group "all" has every picture."""
        table = {}
        for key, group in [*((group, group) for group in filter(None, self.groups)), ("all", None)]:
            means = {name: self.mean(name, group) for name in self.measures}
            table[key] = {name: {"mean": mean, "n": n} for name, (mean, n) in means.items() if n}
        return table

    def to_json(self) -> str:
        """metrics.json: infinities as the strings "inf" and "-inf", what could not be measured as null."""
        content = {
            "schema": SCHEMA,
            "facecraft": __version__,
            "title": self.title,
            "count": len(self.rows),
            "nets": self.nets,
            "missing": self.missing,
            "notes": self.notes,
            "units": {name: MEASURES[name].unit for name in self.measures},
            "summary": self.summary(),
            "sets": self.sets,
            "table": [asdict(row) for row in self.table],
            "images": [{"name": row.name, "group": row.group} | row.figures for row in self.rows],
        }
        return json.dumps(json_safe(content), indent=1, allow_nan=False)

    def to_csv(self) -> str:
        """images.csv: one line for each picture; empty where a measure does not apply or could not be taken."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["name", "group", *self.measures])
        for row in self.rows:
            values = [row.figures.get(name, math.nan) for name in self.measures]
            writer.writerow([row.name, row.group, *("" if math.isnan(v) else repr(float(v)) for v in values)])
        return text.getvalue()


def json_safe(value):
    """Nested dictionaries and lists in which numbers that JSON lacks are the strings "inf", "-inf" or None for nan."""
    if isinstance(value, dict):
        return {str(key): json_safe(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_safe(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value
