"""The results of an evaluation: figures of each picture, their means by group, and metrics.json and images.csv of them."""

import csv
import io
import json
import math
from dataclasses import asdict, dataclass, field

from facecraft import __version__
from facecraft.evaluation.measures import MEASURES
from facecraft.metrics import OPTIONAL
from facecraft.records import package_versions

SCHEMA = "facecraft-eval/1"
PACKAGES = ("numpy", "scipy", "scikit-image", "torch", "mediapipe", *OPTIONAL)  # whose versions shape a figure


@dataclass(frozen=True)
class Row:
    """The figures of one picture by measure."""

    name: str
    group: str
    figures: dict[str, float]
    side: str = ""  # of a protocol: self, cross or expressive
    view: str = ""


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
    options: dict = field(default_factory=dict)
    workspaces: dict[str, dict] = field(default_factory=dict)  # of a protocol: case -> stage -> its options and seed
    by_view: bool = False

    @property
    def measures(self) -> list[str]:
        """The measures that any picture has, in the order of MEASURES."""
        return [name for name in MEASURES if any(name in row.figures for row in self.rows)]

    @property
    def groups(self) -> list[str]:
        """The groups of pictures, in the order of their first."""
        return list(dict.fromkeys(row.group for row in self.rows))

    @property
    def views(self) -> list[str]:
        """The views that several groups have, where their means are wanted."""
        groups: dict[str, set[str]] = {}
        for row in self.rows:
            groups.setdefault(row.view, set()).add(row.group)
        return [view for view in groups if view and len(groups[view]) > 1] if self.by_view else []

    def mean(
        self, measure: str, group: str | None = None, side: str | None = None, view: str | None = None
    ) -> tuple[float, int]:
        """Mean over the pictures of a group, side and view that have the measure, and how many they are; nan for none."""
        rows = [r for r in self.rows if group in (None, r.group) and side in (None, r.side) and view in (None, r.view)]
        values = [v for row in rows if not math.isnan(v := row.figures.get(measure, math.nan))]
        return (sum(values) / len(values) if values else math.nan), len(values)

    def mean_of_persons(self, measure: str) -> float:
        """Mean of the persons' means of their cases' means."""
        means = {group: self.mean(measure, group) for group in self.groups}
        return mean_of_persons({group: mean for group, (mean, n) in means.items() if n})

    def sections(self) -> dict[str, dict[str, str]]:
        """Groups, and all as "all": what `mean` is to be taken of; of a protocol apart by side where there are several."""
        groups = {group: {"group": group} for group in filter(None, self.groups)} | {"all": {}}
        sides = list(dict.fromkeys(row.side for row in self.rows))
        if len(sides) < 2 or not self.columns:
            return groups
        there = {(row.group, row.side) for row in self.rows}
        parts = ((label, chosen, side) for label, chosen in groups.items() for side in sides)
        return {
            f"{label}, {side}": chosen | {"side": side}
            for label, chosen, side in parts
            if label == "all" or (label, side) in there
        }

    def summary(self) -> dict[str, dict[str, dict]]:
        """Section -> measure -> mean and n."""
        return {label: self._means(**chosen) for label, chosen in self.sections().items()}

    def _means(self, **chosen: str) -> dict[str, dict]:
        means = {name: self.mean(name, **chosen) for name in self.measures}
        return {name: {"mean": mean, "n": n} for name, (mean, n) in means.items() if n}

    def _keys(self) -> tuple[str, ...]:
        """What says which picture a row is of."""
        return ("name", "group", *(key for key in ("side", "view") if any(getattr(row, key) for row in self.rows)))

    def to_json(self) -> str:
        """metrics.json: infinities as the strings "inf" and "-inf", what could not be measured as null."""
        content = {
            "schema": SCHEMA,
            "facecraft": __version__,
            "title": self.title,
            "count": len(self.rows),
            "options": self.options,
            "workspaces": self.workspaces,
            "versions": package_versions(PACKAGES),
            "nets": self.nets,
            "missing": self.missing,
            "notes": self.notes,
            "units": {name: MEASURES[name].unit for name in self.measures},
            "summary": self.summary(),
            "views": {view: self._means(view=view) for view in self.views},
            "sets": self.sets,
            "table": [asdict(row) for row in self.table],
            "images": [{key: getattr(row, key) for key in self._keys()} | row.figures for row in self.rows],
        }
        return json.dumps(json_safe(content), indent=1, allow_nan=False)

    def to_csv(self) -> str:
        """images.csv: one line for each picture; empty where a measure does not apply or could not be taken."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*self._keys(), *self.measures])
        for row in self.rows:
            values = [row.figures.get(name, math.nan) for name in self.measures]
            writer.writerow(
                [
                    *(getattr(row, key) for key in self._keys()),
                    *("" if math.isnan(v) else repr(float(v)) for v in values),
                ]
            )
        return text.getvalue()


def mean_of_persons(means: dict[str, float]) -> float:
    """Mean of the persons' means of their cases' means; the person is the first folder of a case's name. nan for none."""
    persons: dict[str, list[float]] = {}
    for group, mean in means.items():
        persons.setdefault(group.split("/")[0], []).append(mean)
    averages = [sum(values) / len(values) for values in persons.values()]
    return sum(averages) / len(averages) if averages else math.nan


def json_safe(value):
    """Nested dictionaries and lists in which numbers that JSON lacks are the strings "inf", "-inf" or None for nan."""
    if isinstance(value, dict):
        return {str(key): json_safe(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_safe(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value
