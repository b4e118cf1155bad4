"""Where one iteration of training spends its time: `make bench-iteration`. Prints a Markdown table.

Views of 384 px of the open head with a plain texture, as many Gaussians as draft uses; the median of many iterations, with
and without COIN.
"""

import facecraft  # noqa: F401 (before torch: it calms the thread pools)

# isort: split
import argparse
import statistics
import time
from collections import defaultdict

import numpy as np
import torch

from facecraft.camera import Camera, look_at, orbit_camera
from facecraft.head.fitted import FittedHead
from facecraft.head.model import load_head
from facecraft.head.texture import Texture, render_textured
from facecraft.splats import train
from facecraft.splats.coin import as_avatar
from facecraft.splats.schedule import Schedule
from facecraft.splats.seed import seed_gaussians
from facecraft.views import View

PARTS = {
    "rig": ["local_to_world"],
    "inconsistent component": ["color_offsets", "shift_means", "shift_size"],
    "rasterise": ["rasterize"],
    "L1 and SSIM, with their gradient": ["photometric_loss"],
    "structural loss": ["structural_loss", "luma"],
}
WARM_UP = 20


def plain_head() -> FittedHead:
    """The mean head in noise, seen by a camera 1.2 m away."""
    head, rng = load_head(), np.random.default_rng(0)
    camera = Camera(384, 384, 1400, 1400, 192, 192, look_at(np.array([0, 0, 1.2]), np.array([0, -0.03, -0.04])))
    texture = Texture(rng.random((256, 256, 3), np.float32), np.ones((256, 256), np.float32), np.eye(9)[0])
    nothing = (np.zeros(head.shape_count), np.zeros(52), np.zeros((2, 2)), np.zeros(head.template.shape))
    return FittedHead(head, camera, *nothing, texture, np.zeros(478))


def take_views(fitted: FittedHead, count: int) -> list[View]:
    """The head from all around, the first as the photo."""
    views = []
    for number in range(count):
        camera = orbit_camera(fitted.camera, 360 * number / count, 0, np.array([0, -0.03, -0.04]), 1.2)
        rgb, alpha, depth, _ = render_textured(fitted.head, fitted.vertices(), fitted.texture, camera)
        views.append(View(camera, rgb, alpha, depth, "texture" if number else "photo"))
    return views


def time_parts(trainer: train.Trainer, iterations: int) -> dict[str, float]:
    """Median milliseconds of each part, and of the whole iteration."""
    spent: dict[str, list[float]] = defaultdict(list)
    current: dict[str, float] = {}

    def timed(part, function):
        def call(*args, **kwargs):
            start = time.perf_counter()
            result = function(*args, **kwargs)
            current[part] = current.get(part, 0.0) + time.perf_counter() - start
            return result

        return call

    owners = [(train, name, part) for part, names in PARTS.items() for name in names]
    owners += [(torch.Tensor, "backward", "backward"), (trainer.adam, "step", "Adam")]
    owners += [(trainer.statistics, "add", "density statistics"), (trainer, "_regularise", "regularisers")]
    kept = [(owner, name, getattr(owner, name)) for owner, name, _ in owners]
    for owner, name, part in owners:
        setattr(owner, name, timed(part, getattr(owner, name)))
    for number in range(1, WARM_UP + iterations + 1):
        current.clear()
        start = time.perf_counter()
        trainer.run(number)
        current["all"] = time.perf_counter() - start
        if number > WARM_UP:
            for part, seconds in current.items():
                spent[part].append(1e3 * seconds)
    for owner, name, function in kept:
        setattr(owner, name, function)
    return {part: statistics.median(times) for part, times in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gaussians", type=int, default=24_000)
    parser.add_argument("--iterations", type=int, default=60)
    options = parser.parse_args()
    fitted = plain_head()
    gaussians, binding, _ = seed_gaussians(fitted, options.gaussians, 0)
    views, unseen = take_views(fitted, 6), torch.zeros(len(binding))
    # density does not change in the first 15 % of a schedule
    schedule = Schedule(100 * (WARM_UP + options.iterations), options.gaussians, options.gaussians)
    columns = []
    for coin in (False, True):
        avatar = as_avatar(fitted, gaussians, binding)
        trainer = train.Trainer(avatar, views, unseen, schedule, 0, torch.device("cpu"), coin=coin)
        columns.append(time_parts(trainer, options.iterations))
    plain, coin = columns
    print(f"{options.gaussians} Gaussians, 384 px, {torch.get_num_threads()} threads, median of {options.iterations}\n")
    print("| part | plain ms | share | COIN ms | share |\n|---|---:|---:|---:|---:|")
    for part in sorted(coin, key=coin.get, reverse=True):
        cells = [(column.get(part, 0.0), column.get(part, 0.0) / column["all"]) for column in (plain, coin)]
        print(f"| {part} | " + " | ".join(f"{ms:.1f} | {share:.0%}" for ms, share in cells) + " |")


if __name__ == "__main__":
    main()
