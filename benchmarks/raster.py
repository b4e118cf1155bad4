"""The CPU rasteriser against its bars: `make bench-raster`. Prints one Markdown line per bar.

Medians of one run, and the best call in brackets; raw parameters in and gradients of all of them out, for a head of
Gaussians seen from 1 m. Milliseconds are those of the idle machine that the bars were set on: scaled by the rate of
multiply-adds right before each call. The dense version is timed on a piece of a row and scaled up to the picture.
"""

import facecraft  # noqa: F401 (before torch: it calms the thread pools)

# isort: split
import argparse
import platform
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator

import numba
import numpy as np
import torch
from bars import Row, at_most, line
from machine import IDLE_EXP2, IDLE_FMA, fma_rate, measure, use_threads
from mesh_rivals import rows_of_mesh
from raster_facts import rows_of_compiling, rows_of_numerics
from rivals import head_scene, plain_numba, tile_loop, time_dense

from facecraft.splats import blend
from facecraft.splats.adam import Adam
from facecraft.splats.harmonics import MAX_DEGREE
from facecraft.splats.loss import PhotometricTarget, photometric_loss
from facecraft.splats.raster import rasterization
from facecraft.splats.tiles import HALF_HEIGHT, TILE_WIDTH, Y


def timed_kernels(spent: dict[str, float]) -> Callable:
    """A `run_parts` that adds up the seconds of each kernel."""
    run_parts = blend.run_parts

    def run(kernel, parts, *args):
        start = time.perf_counter()
        run_parts(kernel, parts, *args)
        spent[kernel.__name__] += time.perf_counter() - start

    return run


def render_step(render: Callable, N: int, size: int) -> Callable[[], dict[str, float]]:
    """One rendering and its derivative, timed; `render` takes scene and camera and gives [..., H, W, 3]."""
    scene, camera = head_scene(N, size)
    v_image = torch.randn(size, size, 3, generator=torch.Generator().manual_seed(1))

    def step():
        leaves = {name: value.clone().requires_grad_() for name, value in scene.items()}
        spent, run_parts = defaultdict(float), blend.run_parts
        blend.run_parts = timed_kernels(spent)
        start = time.perf_counter()
        image = render(leaves, camera)
        rendered = time.perf_counter()
        image.backward(v_image.expand_as(image))
        spent |= {"fwd": rendered - start, "f+b": time.perf_counter() - start}
        blend.run_parts = run_parts
        return spent

    return step


def ours(scene: dict, camera: dict) -> torch.Tensor:
    return rasterization(**scene, **camera)[0]


def rows_of_rivals() -> Iterator[Row]:
    scene, camera = head_scene(10_000, 256)
    pictures = [render(scene, camera).squeeze(0) for render in (ours, tile_loop, plain_numba)]
    assert all((picture - pictures[0]).abs().quantile(0.99) < 1e-3 for picture in pictures), "different pictures"
    mine, _ = measure(render_step(ours, 10_000, 256))
    dense, _ = measure(lambda: {"f+b": time_dense(scene, camera)}, 1)
    yield _against("10000 256^2", "dense torch", dense["f+b"] / mine["f+b"], 2000)
    mine, _ = measure(render_step(ours, 60_000, 512))
    plain, _ = measure(render_step(plain_numba, 60_000, 512), 5)
    # its tensors are small: more threads make it slower
    torch.set_num_threads(1)
    loop, _ = measure(render_step(tile_loop, 60_000, 512), 1)
    yield _against("60000 512^2", "a torch tile loop", loop["f+b"] / mine["f+b"], 50)
    yield _against("60000 512^2", "plain numba", plain["f+b"] / mine["f+b"], 12)


def _against(scene: str, rival: str, ratio: float, bar: float) -> Row:
    return f"f+b {scene}, times as fast as {rival}", f">= {bar}x", f"{ratio:.0f}x", ratio >= bar


def pixel_evaluations(N: int, size: int) -> int:
    """How often the forward kernel evaluates a Gaussian at a pixel, but for pixels that are finished."""
    scene, camera = head_scene(N, size)
    lists = []
    list_tiles, blend.list_tiles = blend.list_tiles, lambda *args: lists.append(list_tiles(*args)) or lists[0]
    rasterization(**scene, **camera)
    blend.list_tiles = list_tiles
    (tiles,) = lists
    records = tiles.records[: tiles.ids.max() * tiles.record_size + tiles.record_size].reshape(-1, tiles.record_size)
    tile = np.repeat(np.arange(len(tiles.offsets) - 1), np.diff(tiles.offsets))
    y0 = tile // tiles.columns * tiles.tile_height
    y, half = records[tiles.ids, Y] - y0 - 0.5, records[tiles.ids, HALF_HEIGHT]
    first, last = np.ceil(y - half).clip(0), np.floor(y + half).clip(max=np.minimum(tiles.tile_height, size - y0) - 1)
    return int((last - first + 1).clip(0).sum()) * TILE_WIDTH


def rows_of_kernels() -> Iterator[Row]:
    for threads in (1, 2):
        use_threads(threads)
        times, best = measure(render_step(ours, 60_000, 512))
        (fwd, bwd), (best_fwd, best_bwd) = ((t["blend_tiles"], t["blend_tiles_backward"]) for t in (times, best))
        if threads == 1:
            bound = 1e3 * pixel_evaluations(60_000, 512) / IDLE_EXP2
            yield at_most("raster fwd, of the time for its exponentials alone", 12, "x", fwd / bound, best_fwd / bound)
            yield at_most("raster bwd, of raster fwd", 1.6, "x", bwd / fwd, best_bwd / best_fwd, 2)
        outside, best_outside = 1 - (fwd + bwd) / times["f+b"], 1 - (best_fwd + best_bwd) / best["f+b"]
        yield at_most(f"outside the raster kernels, {threads}T", 45, " %", 100 * outside, 100 * best_outside, 0)


def rows_of_times() -> Iterator[Row]:
    for N, size, bars in ((60_000, 512, {"fwd": (25, 15), "f+b": (50, 30)}), (30_000, 256, {"f+b": (20, 12)})):
        step, totals = render_step(ours, N, size), []
        for threads in (1, 2):
            use_threads(threads)
            times, best = measure(step)
            totals.append((times["f+b"], best["f+b"]))
            for name, limits in bars.items():
                yield at_most(f"{name} {N} {size}^2 {threads}T", limits[threads - 1], " ms", times[name], best[name])
        (one, best_one), (two, best_two) = totals
        gain, best_gain = one / two, best_one / best_two
        verdict = gain >= 1.5 or ("best holds" if best_gain >= 1.5 else False)
        yield f"f+b {N} {size}^2, 2T faster than 1T", ">= 1.5x", f"{gain:.2f}x ({best_gain:.2f})", verdict
    use_threads(1)
    alone, best_alone = measure(step, scale=False)
    use_threads(2)
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as neighbour:
        busy, best_busy = measure(step, scale=False)
        neighbour.kill()
    slowdowns = (busy["f+b"] / alone["f+b"], best_busy["f+b"] / best_alone["f+b"])
    yield at_most(f"f+b {N} {size}^2 2T beside a busy core, of 1T", 1.3, "x", *slowdowns, 2)


def training_step(N: int, size: int) -> Callable[[], dict[str, float]]:
    """One iteration: activations, rendering with harmonics, L1 + D-SSIM, backward, Adam."""
    scene, camera = head_scene(N, size)
    target = PhotometricTarget(ours(scene, camera)[0])
    sh = 0.1 * torch.randn(N, (MAX_DEGREE + 1) ** 2, 3, generator=torch.Generator().manual_seed(2))
    values = dict(means=scene["means"], quats=scene["quats"], log_scales=scene["scales"].log())
    values |= dict(logits=scene["opacities"].logit(), sh=sh)
    adam = Adam(values, {name: 1e-4 for name in values})

    def step():
        start = time.perf_counter()
        v = adam.values
        shape = (v["means"], v["quats"], v["log_scales"].exp(), v["logits"].sigmoid(), v["sh"])
        image = rasterization(*shape, **camera, sh_degree=MAX_DEGREE)[0][0]
        rendered = time.perf_counter()
        loss = photometric_loss(image, target)
        compared = time.perf_counter()
        loss.backward()
        differentiated = time.perf_counter()
        adam.step()
        end = time.perf_counter()
        # the loss has its gradient ready when it is evaluated
        return {"all": end - start, "loss and optimiser": compared - rendered + end - differentiated}

    return step


def rows_of_training() -> Iterator[Row]:
    use_threads(2)
    times, best = measure(training_step(30_000, 256), 40)
    yield at_most("training 30000 256^2 SH3, one iteration 2T", 22, " ms", times["all"], best["all"])
    yield at_most("2,000 of these", 45, " s", 2 * times["all"], 2 * best["all"])
    share, best_share = (100 * t["loss and optimiser"] / t["all"] for t in (times, best))
    yield at_most("loss and optimiser", 35, " %", share, best_share, 0)


SECTIONS = {
    "rivals": rows_of_rivals,
    "kernels": rows_of_kernels,
    "times": rows_of_times,
    "training": rows_of_training,
    "mesh": rows_of_mesh,
    "compiling": rows_of_compiling,
    "numerics": rows_of_numerics,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "sections", nargs="*", default=list(SECTIONS), help=f"some of {' '.join(SECTIONS)}; default all"
    )
    options = parser.parse_args()
    if numba.config.NUMBA_NUM_THREADS < 2:
        parser.error("the bars are for two threads, this machine has one")
    use_threads(1)
    rate = sorted(fma_rate() for _ in range(9))[4] / IDLE_FMA
    use_threads(2)
    print(
        f"{platform.machine()}, torch {torch.__version__}, numba {numba.__version__}; {rate:.0%} of the idle machine's speed\n"
    )
    print("| what | bar | measured | |")
    print("|---|---|---|---|")
    for section in options.sections:
        for row in SECTIONS[section]():
            print(line(*row), flush=True)
        use_threads(2)


if __name__ == "__main__":
    main()
