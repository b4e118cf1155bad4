"""Threads for numba functions compiled with `nogil`.

Plain threads instead of numba's `prange`: the functions compile several times faster, and no second OpenMP pool spins
against torch's.
"""

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numba


def run_parts(kernel: Callable, parts: int, *args) -> None:
    """Call `kernel(part, parts, *args)` for every part, on as many threads as `numba.get_num_threads()`.

    Threads take the next part when they are free, so the kernel must not depend on which thread runs a part.
    """
    todo = iter(range(parts))

    def work():
        for part in todo:
            kernel(part, parts, *args)

    helpers = min(numba.get_num_threads(), parts) - 1
    futures = [_pool().submit(work) for _ in range(helpers)]
    work()
    for future in futures:
        # on a busy machine a helper may not have woken up yet, and there is nothing left to do
        if not future.cancel():
            future.result()


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=numba.config.NUMBA_NUM_THREADS, thread_name_prefix="splats")


# threads do not survive a fork: a child makes its own
os.register_at_fork(after_in_child=_pool.cache_clear)
