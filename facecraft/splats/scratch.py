"""Memory that is used again by every call: fresh pages cost more than the work done in them."""

import math
import threading
import weakref
from collections import defaultdict, deque

import numpy as np

_local = threading.local()
_spare: dict[tuple, deque[np.ndarray]] = defaultdict(lambda: deque(maxlen=4))


def scratch(name: str, shape: tuple[int, ...], dtype=np.float32) -> np.ndarray:
    """An array with unknown contents, yours until this thread asks for the same `name` again."""
    buffers = vars(_local).setdefault("buffers", {})
    size = math.prod(shape)
    buffer = buffers.get((name, dtype))
    if buffer is None or len(buffer) < size:
        buffer = buffers[name, dtype] = np.empty(size + size // 4, dtype)
    return buffer[:size].reshape(shape)


def recycled(name: str, size: int, dtype=np.float32) -> np.ndarray:
    """An array [size] with unknown contents, yours as long as you hold it; views of it do not keep it."""
    spare = _spare[name, dtype]
    buffer = spare.pop() if spare else np.empty(0, dtype)
    if len(buffer) < size:
        buffer = np.empty(size + size // 4, dtype)
    array = buffer[:size]
    weakref.finalize(array, spare.append, buffer).atexit = False
    return array
