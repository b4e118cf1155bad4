"""Memory that is used again by every call: fresh pages cost more than the work done in them."""

import math
import threading
import weakref
from collections import deque

import numpy as np

_local = threading.local()
_spare: deque[np.ndarray] = deque(maxlen=4)


def scratch(name: str, shape: tuple[int, ...], dtype=np.float32) -> np.ndarray:
    """An array with unknown contents, yours until this thread asks for the same `name` again."""
    buffers = vars(_local).setdefault("buffers", {})
    size = math.prod(shape)
    buffer = buffers.get((name, dtype))
    if buffer is None or len(buffer) < size:
        buffer = buffers[name, dtype] = np.empty(size + size // 4, dtype)
    return buffer[:size].reshape(shape)


def recycled(size: int) -> np.ndarray:
    """A float32 array with unknown contents, yours as long as you hold it; views of it do not keep it."""
    buffer = _spare.pop() if _spare else np.empty(0, np.float32)
    if len(buffer) < size:
        buffer = np.empty(size + size // 4, np.float32)
    array = buffer[:size]
    weakref.finalize(array, _spare.append, buffer).atexit = False
    return array
