"""Bars of the rasteriser that are not about the time of a call: compiling it, and its numbers against dense float64."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from bars import Row

from facecraft.splats.raster import rasterization

sys.path.append(str(Path(__file__).parents[1] / "tests"))
import dense_splats

FIRST_CALL = """
import facecraft, numba, sys, time, torch
numba.set_num_threads(1)
sys.path[:0] = ["benchmarks"]
from rivals import head_scene
from facecraft.splats.raster import rasterization
scene, camera = head_scene(10_000, 256)
times = []
for _ in range(8):
    leaves = {name: value.clone().requires_grad_() for name, value in scene.items()}
    start = time.perf_counter()
    rasterization(**leaves, **camera)[0].sum().backward()
    times.append(time.perf_counter() - start)
print(times[0], min(times))
"""


def first_call(**environment: str) -> tuple[float, float]:
    """Seconds of the first and of the fastest of eight calls in a new process."""
    command, root = [sys.executable, "-c", FIRST_CALL], Path(__file__).parents[1]
    done = subprocess.run(command, env=os.environ | environment, cwd=root, check=True, capture_output=True, text=True)
    first, fastest = map(float, done.stdout.split())
    return first, fastest


def rows_of_compiling() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        cold, native = first_call(NUMBA_CACHE_DIR=folder)
        cached, _ = first_call(NUMBA_CACHE_DIR=folder)
        _, plain = first_call(NUMBA_CACHE_DIR=folder, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="")
    yield "compiling, first call", "<= 45 s", f"{cold:.1f} s", cold <= 45
    yield "first call from the disk cache", "<= 1.5 s", f"{cached:.2f} s", cached <= 1.5
    yield "f+b 10000 256^2 without AVX, against with", "runs", f"{plain / native:.1f}x slower", True


def rows_of_numerics() -> Iterator[Row]:
    for name, scene, camera, bar in (
        ("random", *dense_splats.random_scene(N=600, width=64, height=64), 1e-5),
        ("head", *dense_splats.head_scene(N=1500, size=56), 1e-3),
    ):
        mine, dense = (
            {k: v.to(dtype, copy=True).requires_grad_() for k, v in scene.items()}
            for dtype in (torch.float32, torch.float64)
        )
        image, expected = rasterization(**mine, **camera)[0], dense_splats.reference(dense, camera)[0]
        error = (image - expected).abs().detach()
        v_image = torch.randn(image.shape, generator=torch.Generator().manual_seed(1))
        (image * v_image).sum().backward()
        (expected * v_image).sum().backward()
        grad = max(float((mine[k].grad - dense[k].grad).norm() / dense[k].grad.norm()) for k in scene)
        typical, outliers, most = (
            float(error.quantile(0.999)),
            float((error > 1e-4).double().mean()),
            float(error.max()),
        )
        yield f"{name}: error at the 99.9th percentile", "<= 5e-6", f"{typical:.1e}", typical <= 5e-6
        yield f"{name}: pixels off by more than 1e-4", "<= 0.1 %", f"{outliers:.2%}", outliers <= 1e-3
        yield f"{name}: largest error", "<= 1e-2", f"{most:.1e}", most <= 1e-2
        yield f"{name}: gradients, relative L2", f"<= {bar:.0e}", f"{grad:.1e}", grad <= bar
