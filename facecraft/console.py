"""How the command line talks: progress and messages of the `facecraft` logger, on stderr."""

import json
import logging
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text


def _prefix(record: logging.LogRecord) -> str:
    return f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""


class JsonHandler(logging.Handler):
    """One JSON object a line: time, level, message, and done/total for progress."""

    def emit(self, record: logging.LogRecord) -> None:
        line = {"time": round(record.created, 3), "level": record.levelname.lower(), "message": record.getMessage()}
        for key in ("done", "total"):
            if hasattr(record, key):
                line[key] = getattr(record, key)
        sys.stderr.write(json.dumps(line) + "\n")


class PlainHandler(logging.Handler):
    """Plain lines: every message, and progress at each quarter."""

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if hasattr(record, "done"):
            quarter = 4 * record.done // record.total
            if quarter == 4 * (record.done - 1) // record.total:
                return
            message = f"{message}: {record.done}/{record.total}"
        sys.stderr.write(f"{_prefix(record)}{message}\n")


class RichHandler(logging.Handler):
    """Progress bars on a terminal; other messages above them."""

    def __init__(self):
        super().__init__()
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self.tasks = {}
        self.drawn = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if not hasattr(record, "done"):
            if record.levelno >= logging.ERROR:
                self.progress.stop()
            style = (
                "red" if record.levelno >= logging.ERROR else "yellow" if record.levelno >= logging.WARNING else "dim"
            )
            text = Text(f"{_prefix(record)}{message}", style)
            self.progress.console.print(text, soft_wrap=True)
            return
        if record.done == record.total or time.monotonic() - self.drawn > 0.1:
            self.drawn = time.monotonic()
            self.progress.start()
            task = next((t for t in self.progress.tasks if t.id == self.tasks.get(message)), None)
            if task is None or task.finished or record.done < task.completed:
                self.tasks[message] = self.progress.add_task(message, total=record.total)
            self.progress.update(self.tasks[message], completed=record.done)

    def close(self) -> None:
        self.progress.stop()
        super().close()


def install_handler(style: str) -> logging.Handler:
    """Attach the handler for `style` ("text" or "json") to the `facecraft` logger and return it."""
    text = RichHandler if sys.stderr.isatty() else PlainHandler
    handler = JsonHandler() if style == "json" else text()
    logger = logging.getLogger("facecraft")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    return handler
