"""The rasteriser on other machines: without AVX, with busy cores, with another OpenMP in the process."""

import os
import subprocess
import sys
import threading
from concurrent.futures import wait

import numba
import numpy as np
import pytest
from dense_splats import NAMES, head_scene

from facecraft.splats import blend, harmonics, kernels, project, threads, tiles
from facecraft.splats.raster import rasterization

RENDER = """
import sys
import facecraft, numpy, torch
sys.path.insert(0, sys.argv[1])
from test_splats_machines import render
image, grads = render()
numpy.savez(sys.argv[2], image=image, **grads)
"""


def render():
    """A picture and the gradients of its squares."""
    scene, camera = head_scene(N=300, size=32)
    leaves = {name: scene[name].requires_grad_() for name in NAMES}
    image, _, _ = rasterization(**leaves, **camera)
    image.square().sum().backward()
    return image.detach().numpy(), {name: leaves[name].grad.numpy() for name in NAMES}


def run(command: list[str], **environment: str) -> str:
    done = subprocess.run([sys.executable, *command], env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_same_picture_without_avx(tmp_path):
    """The plainest processor of this architecture (on x86-64: SSE2), compiled in a process of its own."""
    file = tmp_path / "plain.npz"
    command = ["-c", RENDER, os.path.dirname(__file__), str(file)]
    run(command, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="")
    plain, (image, grads) = np.load(file), render()
    assert np.abs(plain["image"] - image).max() < 1e-5
    for name, grad in grads.items():
        assert np.linalg.norm(plain[name] - grad) <= 1e-5 * np.linalg.norm(grad), name


def test_kernels_are_cached_on_disk():
    modules = (blend, harmonics, kernels, project, tiles)
    compiled = [f for m in modules for f in vars(m).values() if isinstance(f, numba.core.dispatcher.Dispatcher)]
    outer = [f for f in compiled if f.targetoptions.get("nogil")]
    assert len(outer) >= 10 and all(f.stats.cache_path for f in outer)


def test_openmp_waits_passively_unless_told_otherwise():
    ask = ["-c", "import facecraft, os; print(os.environ['OMP_WAIT_POLICY'])"]
    assert run(ask, OMP_WAIT_POLICY="ACTIVE") == "ACTIVE"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run([sys.executable, *ask], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "PASSIVE"


def test_helpers_that_never_wake_up_are_not_waited_for():
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one thread only")
    done, free = [], threading.Event()
    sleepers = [threads._pool().submit(free.wait) for _ in range(numba.config.NUMBA_NUM_THREADS)]
    threads.run_parts(lambda part, parts: done.append(part), 5)
    free.set()
    wait(sleepers)
    assert sorted(done) == [0, 1, 2, 3, 4]


def test_an_error_in_a_part_is_raised():
    def fail(part, parts):
        raise ValueError(part)

    with pytest.raises(ValueError, match="[0-3]"):
        threads.run_parts(fail, 4)
    threads.run_parts(lambda part, parts: None, 4)
