"""Memory that is used again by every call: fresh pages cost more than the work done in them."""

import math
import threading

import numpy as np

_local = threading.local()


def scratch(name: str, shape: tuple[int, ...], dtype=np.float32) -> np.ndarray:
    """An array with unknown contents, yours until this thread asks for the same `name` again."""
    buffers = vars(_local).setdefault("buffers", {})
    size = math.prod(shape)
    buffer = buffers.get((name, dtype))
    if buffer is None or len(buffer) < size:
        buffer = buffers[name, dtype] = np.empty(size + size // 4, dtype)
    return buffer[:size].reshape(shape)
