"""Lines of a table of bars: what is measured, the bar, the measurement, and whether it holds."""

Row = tuple[str, str, str, bool | str]  # what, bar, measured, whether it holds

VERDICTS = {True: "holds", False: "MISSED"}


def at_most(what: str, bar: float, unit: str, median: float, best: float, digits: int = 1) -> Row:
    """A time or a ratio with its bar."""
    verdict = median <= bar or ("best holds" if best <= bar else False)
    return what, f"<= {bar:g}{unit}", f"{median:.{digits}f}{unit} ({best:.{digits}f})", verdict


def line(what: str, bar: str, measured: str, verdict: bool | str) -> str:
    """A row as a line of Markdown."""
    return f"| {what} | {bar} | {measured} | {VERDICTS.get(verdict, verdict)} |"
