"""Times in ms of an idle machine: its rate of fused multiply-adds is measured right before each timed call.

Written with the same vectors as the kernels (facecraft.splats.simd), so that it meets the same limits.
"""

import time
from collections import defaultdict
from collections.abc import Callable

import numba
import numpy as np
import torch
from numba import njit

from facecraft.splats.channels import add_scaled, broadcast_channels, store_totals, zeros_like
from facecraft.splats.simd import LANES, broadcast
from facecraft.splats.threads import run_parts

IDLE_FMA, IDLE_EXP2 = 61e9, 9.6e9
"""Multiply-adds and exponentials per second and core, 256-bit, of the idle machine that the bars were set on."""
_ROUNDS = 2_000_000
_CHAINS = (0.0,) * 12  # independent sums, enough to hide the latency of one


@njit(nogil=True, fastmath={"contract"})
def _multiply_add(part, parts, numbers, like):
    factors, factor = broadcast_channels(numbers, 0, like), broadcast(numbers[0])
    sums = zeros_like(like)
    for _ in range(_ROUNDS):
        sums = add_scaled(factor, sums, factors)
    store_totals(numbers, len(like) * (part + 1), sums)


def fma_rate() -> float:
    """Multiply-adds per second and thread, on `numba.get_num_threads()` threads at once."""
    threads = numba.get_num_threads()
    numbers = np.full(len(_CHAINS) * (threads + 1) + LANES, 0.5, np.float32)
    work = LANES * len(_CHAINS) * _ROUNDS
    start = time.perf_counter()
    run_parts(_multiply_add, threads, numbers, _CHAINS)
    return work / (time.perf_counter() - start)


def use_threads(threads: int) -> None:
    numba.set_num_threads(threads)
    torch.set_num_threads(threads)


def measure(
    step: Callable[[], dict[str, float]], repeats: int = 15, scale: bool = True
) -> tuple[dict[str, float], dict[str, float]]:
    """Median and least of the seconds that `step` measures, as ms of the idle machine; two calls warm up.

    Each call is scaled by the rate right before it, the least by the highest rate; neither is without `scale`.
    """
    rates, times = [], defaultdict(list)
    for _ in range(repeats + 2):
        rates.append(fma_rate() / IDLE_FMA if scale else 1.0)
        for name, seconds in step().items():
            times[name].append(1e3 * seconds)
    scaled = {name: np.multiply(values, rates[-len(values) :])[2:] for name, values in times.items()}
    medians = {name: float(np.median(values)) for name, values in scaled.items()}
    return medians, {name: max(rates) * min(values[2:]) for name, values in times.items()}
