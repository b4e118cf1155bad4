"""report.html: the figures, curves and pictures of an evaluation in one file that needs nothing else and no network."""

import math
from collections.abc import Sequence
from html import escape

from facecraft import __version__
from facecraft.evaluation.chart import draw_curve, draw_histogram
from facecraft.evaluation.gallery import ERROR_WHITE, Exhibit
from facecraft.evaluation.measures import MEASURES
from facecraft.evaluation.results import Results, TableRow

# nothing may be fetched, whatever a name in the data smuggles in
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"

STYLE = """
:root { color-scheme: light; --ink: #1c2330; --faint: #667085; --line: #d9dee7; --ours: #eaf2fd; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 1180px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
p, li { max-width: 75ch; } .faint { color: var(--faint); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
table { font-size: .88rem; }
th, td { padding: .25rem .5rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { font-weight: 600; vertical-align: bottom; }
tr.ours { background: var(--ours); font-weight: 600; } td small, th small { color: var(--faint); font-weight: 400; }
.curves, .sheet { display: flex; flex-wrap: wrap; gap: 1rem; }
.curves figure, .sheet figure, .viewer figure { margin: 0; }
figcaption { font-size: .85rem; color: var(--faint); }
.sheet img { width: 116px; display: inline-block; } .sheet figure { max-width: 360px; }
.viewer figure { display: none; } .viewer figure.shown { display: block; }
.viewer img { width: 32%; max-width: 360px; image-rendering: auto; }
.viewer input { width: min(100%, 1080px); }
"""

SCRIPT = """
const slider = document.querySelector('.viewer input'), figures = document.querySelectorAll('.viewer figure');
function show() { figures.forEach((f, i) => f.classList.toggle('shown', i === Number(slider.value))); }
if (slider) { slider.addEventListener('input', show); show(); }
"""


def make_page(results: Results, exhibits: list[Exhibit]) -> str:
    """The page as text; every string of the data is escaped."""
    parts = [f"<h1>{escape(results.title)}</h1>", _about(results), _table(results)]
    parts += [_summary(results), _sets(results), _missing(results)]
    parts += [_viewer(exhibits), _curves(results), _sheet(exhibits), _rows(results)]
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    head += '<meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>{escape(results.title)}</title><style>{STYLE}</style>"
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}<script>{SCRIPT}</script></body></html>'


def figure_text(measure: str, value: float) -> str:
    """A figure with the decimals of its measure; a dash for nan."""
    if math.isnan(value):
        return "–"
    return "∞" if math.isinf(value) else f"{value:.{MEASURES[measure].decimals}f}"


def _about(results: Results) -> str:
    nets = "; ".join(f"{name}: {net}" for name, net in results.nets.items())
    text = f"{len(results.rows)} pictures, facecraft {__version__}" + (f". Networks: {nets}." if nets else ".")
    notes = "".join(f"<li>{escape(note)}</li>" for note in results.notes)
    return f'<p class="faint">{escape(text)}</p>' + (f"<ul>{notes}</ul>" if notes else "")


def _heads(measures: Sequence[str]) -> str:
    arrows = {1: " ↑", -1: " ↓", 0: ""}
    cells = []
    for name in measures:
        measure = MEASURES[name]
        unit = f"<br><small>{escape(measure.unit)}</small>" if measure.unit else ""
        cells.append(f"<th>{escape(measure.label)}{arrows[measure.better]}{unit}</th>")
    return "".join(cells)


def _table(results: Results) -> str:
    """Ours beside the paper's rows."""
    if not results.table:
        return ""
    lines = []
    for row in results.table:
        cells = "".join(f"<td>{_cell(row, name)}</td>" for name in results.columns)
        style = ' class="ours"' if row.ours else ""
        lines.append(f"<tr{style}><td>{escape(row.label)} <small>{escape(row.where)}</small></td>{cells}</tr>")
    head = f"<tr><th></th>{_heads(results.columns)}</tr>"
    return f'<h2>Beside the paper</h2><div class="wide"><table>{head}{"".join(lines)}</table></div>'


def table_cell(row: TableRow, measure: str) -> tuple[str, str]:
    """A figure of a protocol's table, the papers' as they print it, and what keeps it from being a claim."""
    value = row.figures.get(measure, math.nan)
    printed = not row.ours and math.isfinite(value)
    return (f"{value:g}" if printed else figure_text(measure, value)), row.notes.get(measure, "") * (
        measure in row.figures
    )


def _cell(row: TableRow, measure: str) -> str:
    text, note = table_cell(row, measure)
    return f"({text}) <small>{escape(note)}</small>" if note else text


def _sets(results: Results) -> str:
    """FID, JOD and what else is of a whole set."""
    items, figures = [], []
    for name, entry in results.sets.items():
        kind, _, side = name.partition(" ")
        number = figure_text(kind if kind in MEASURES else "id", entry["value"])
        n = " and ".join(map(str, entry["n"])) if isinstance(entry["n"], list) else entry["n"]
        label = f"{MEASURES[kind].label if kind in MEASURES else kind.upper()} {side}".strip()
        note = f"; {entry['caveat']}" if "caveat" in entry else ""
        items.append(f"<li>{escape(f'{label} {number}, N {n}{note}')}</li>")
        if kind == "isd" and entry["n"]:
            low = min(0.0, min(entry["values"]))
            figures.append(
                draw_histogram(f"cosines of all pairs, and how many {side}".strip(), entry["values"], low, 1.0)
            )
    return f"<h2>Of the whole set</h2><ul>{''.join(items)}</ul>{''.join(figures)}" if items else ""


def _summary(results: Results) -> str:
    """Means by group, and by view where groups share them."""
    views = {view: {"view": view} for view in results.views}
    return _means(results, "group", results.sections()) + (_means(results, "view", views) if views else "")


def _means(results: Results, kind: str, sections: dict[str, dict[str, str]]) -> str:
    """Where a mean is over fewer pictures than there are, it says of how many."""
    lines = []
    for label, chosen in sections.items():
        count = sum(all(getattr(row, key) == value for key, value in chosen.items()) for row in results.rows)
        cells = []
        for name in results.measures:
            mean, n = results.mean(name, **chosen)
            note = f" <small>of {n}</small>" if 0 < n < count else ""
            cells.append(f"<td>{figure_text(name, mean)}{note}</td>")
        lines.append(f"<tr><td>{escape(label)}</td><td>{count}</td>{''.join(cells)}</tr>")
    head = f"<tr><th>{kind}</th><th>pictures</th>{_heads(results.measures)}</tr>"
    return f'<h2>Means by {kind}</h2><div class="wide"><table>{head}{"".join(lines)}</table></div>'


def _missing(results: Results) -> str:
    if not results.missing:
        return ""
    items = "".join(f"<li>{escape(name)}: {escape(reason)}</li>" for name, reason in results.missing.items())
    return f"<h2>Not measured</h2><ul>{items}</ul>"


def _images(exhibit: Exhibit) -> str:
    kinds = {"ours": exhibit.predicted, "truth": exhibit.truth, "error": exhibit.error}
    return "".join(f'<img src="{uri}" alt="{escape(f"{exhibit.name}: {kind}")}">' for kind, uri in kinds.items() if uri)


def _viewer(exhibits: list[Exhibit]) -> str:
    if not exhibits:
        return ""
    figures = "".join(
        f"<figure>{_images(e)}<figcaption>{escape(f'{e.group}: {e.name}' if e.group else e.name)}</figcaption></figure>"
        for e in exhibits
    )
    scale = f"Ours, the truth, and their difference from 0 (black) to {ERROR_WHITE} (brightest)."
    slider = f'<input type="range" min="0" max="{len(exhibits) - 1}" value="0" aria-label="picture">'
    return f'<h2>Pictures</h2><p class="faint">{scale}</p><div class="viewer">{slider}{figures}</div>'


def _sheet(exhibits: list[Exhibit]) -> str:
    figures = (f"<figure>{_images(e)}<figcaption>{escape(e.name)}</figcaption></figure>" for e in exhibits)
    return f'<h2>All pictures</h2><div class="sheet">{"".join(figures)}</div>' if len(exhibits) > 1 else ""


def _curves(results: Results) -> str:
    """Each measure over the pictures in their order."""
    if len(results.rows) < 3:
        return ""
    figures = []
    for name in results.measures:
        values = [row.figures.get(name, math.nan) for row in results.rows]
        if sum(map(math.isfinite, values)) >= 3:
            figures.append(draw_curve(MEASURES[name], values, [row.name for row in results.rows]))
    return f'<h2>Picture by picture</h2><div class="curves">{"".join(figures)}</div>'


def _rows(results: Results, most: int = 500) -> str:
    lines = []
    for row in results.rows[:most]:
        cells = "".join(f"<td>{figure_text(n, row.figures.get(n, math.nan))}</td>" for n in results.measures)
        lines.append(f"<tr><td>{escape(row.name)}</td><td>{escape(row.group)}</td>{cells}</tr>")
    more = f"<p>The first {most}; images.csv has all {len(results.rows)}.</p>" if len(results.rows) > most else ""
    head = f"<tr><th>picture</th><th>group</th>{_heads(results.measures)}</tr>"
    return f'<h2>All figures</h2><div class="wide"><table>{head}{"".join(lines)}</table></div>{more}'
