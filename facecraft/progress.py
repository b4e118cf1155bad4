"""Progress of long work, told through the standard `logging` tree; whoever listens decides how it looks."""

import logging
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

log = logging.getLogger("facecraft")
T = TypeVar("T")


def track(items: Iterable[T], label: str, total: int | None = None, before: int = 0) -> Iterator[T]:
    """Yield `items`, logging `label` with `done` and `total` in the record after each; `before` of them were done earlier."""
    if total is None:
        assert isinstance(items, Sized), "pass total for an iterable without length"
        total = len(items)
    for done, item in enumerate(items, before + 1):
        yield item
        log.info(label, extra={"done": done, "total": total})
