"""Line charts and histograms as inline SVG."""

import math
from html import escape

import numpy as np

WIDTH, HEIGHT, LEFT, BOTTOM = 360, 150, 58, 18


def draw_curve(measure, values: list[float], names: list[str]) -> str:
    """A figure of one measure over the pictures; points have their name as tooltip, gaps are where there is no value."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = min(finite), max(finite)
    span = high - low or 1.0
    step = (WIDTH - LEFT - 8) / max(len(values) - 1, 1)

    def place(i: int, value: float) -> tuple[float, float]:
        return LEFT + i * step, 8 + (HEIGHT - BOTTOM - 16) * (high - value) / span

    strokes, points, pen = [], [], "M"
    for i, (value, name) in enumerate(zip(values, names, strict=True)):
        if not math.isfinite(value):
            pen = "M"
            continue
        x, y = place(i, value)
        strokes.append(f"{pen}{x:.1f},{y:.1f}")
        pen = "L"
        if len(values) <= 200:
            text = escape(f"{name}: {value:.{measure.decimals}f}")
            points.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#2563c9"><title>{text}</title></circle>')
    ticks = "".join(_tick(place(0, value)[1], f"{value:.{measure.decimals}f}") for value in {low, high})
    line = f'<path d="{"".join(strokes)}" fill="none" stroke="#2563c9" stroke-width="1.5"/>'
    return _figure(f"{measure.label} {measure.unit}".strip(), ticks + line + "".join(points))


def draw_histogram(label: str, values: list[float], low: float, high: float, bins: int = 40) -> str:
    """A figure of how often values lie where, from `low` to `high`."""
    counts, _ = np.histogram(values, bins, (low, high))
    width, room = (WIDTH - LEFT - 8) / bins, HEIGHT - BOTTOM - 16
    bars = "".join(
        f'<rect x="{LEFT + i * width:.1f}" y="{HEIGHT - BOTTOM - room * count / max(counts.max(), 1):.1f}" '
        f'width="{width - 1:.1f}" height="{room * count / max(counts.max(), 1):.1f}" fill="#2563c9"/>'
        for i, count in enumerate(counts)
    )
    ends = "".join(
        f'<text x="{x}" y="{HEIGHT - 4}" font-size="11" text-anchor="{anchor}" fill="#667085">{value:g}</text>'
        for x, anchor, value in ((LEFT, "start", low), (WIDTH - 8, "end", high))
    )
    return _figure(label, _tick(HEIGHT - BOTTOM - room, str(counts.max())) + bars + ends)


def _tick(y: float, text: str) -> str:
    line = f'<line x1="{LEFT}" x2="{WIDTH - 8}" y1="{y:.1f}" y2="{y:.1f}" stroke="#d9dee7"/>'
    label = (
        f'<text x="{LEFT - 5}" y="{y + 4:.1f}" font-size="11" text-anchor="end" fill="#667085">{escape(text)}</text>'
    )
    return line + label


def _figure(caption: str, content: str) -> str:
    svg = f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{content}</svg>'
    return f"<figure><figcaption>{escape(caption)}</figcaption>{svg}</figure>"
