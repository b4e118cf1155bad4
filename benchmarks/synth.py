"""How fast synthetic pictures are made: `python benchmarks/synth.py`. Prints Markdown.

Processor time of each step for a picture of a new person, and the rate of `--layout dataset` by the clock. The first says
what idle cores would reach, the second what this machine reached with all else that it does.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numba
import numpy as np
import torch

from facecraft.synth.backdrop import paint_backdrop
from facecraft.synth.picture import take_picture
from facecraft.synth.scene import Scene
from facecraft.synth.sensor import photograph
from facecraft.synth.shards import write_shards
from facecraft.synth.subject import Subject
from facecraft.synth.viewpoint import any_camera

STEPS = ("person", "light", "picture", "sensor")


def time_steps(size: int, count: int) -> np.ndarray:
    """Processor seconds [count, len(STEPS)] of `count` people on one thread."""
    numba.set_num_threads(1)
    torch.set_num_threads(1)
    rows = []
    for index in range(count + 2):
        clock = [time.process_time()]
        scene = Scene(Subject("train", 11, index), size)
        figure = scene.figure
        clock.append(time.process_time())
        lit = scene.lit(scene.pose()[0], scene.light()[1])
        clock.append(time.process_time())
        picture = take_picture(lit, any_camera(scene.subject.stream("camera"), size))
        clock.append(time.process_time())
        backdrop = paint_backdrop(scene.subject.stream("backdrop"), size)
        photograph(picture.rgb, picture.alpha, backdrop, scene.subject.stream("sensor"))
        clock.append(time.process_time())
        rows.append(np.diff(clock))
        del figure
    return np.array(rows[2:])  # the first compile and fill caches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256, help="side of the pictures in px")
    parser.add_argument("--people", type=int, default=16, help="people for each measurement")
    options = parser.parse_args()
    steps = time_steps(options.size, options.people).mean(0)
    cores = len(os.sched_getaffinity(0))
    print(f"{options.size}x{options.size}, processor time on one core, mean of {options.people} people\n")
    print(f"| {' | '.join(STEPS)} | all | images/s on {cores} idle cores, 1 / 4 pictures of a person |")
    print("|" + "---:|" * (len(STEPS) + 2))
    several = (steps[0] + 2 * steps[1] + 4 * steps[2] + 4 * steps[3]) / 4
    figures = [f"{1e3 * s:.0f} ms" for s in (*steps, steps.sum())]
    print(f"| {' | '.join(figures)} | {cores / steps.sum():.1f} / {cores / several:.1f} |\n")
    for views in (1, 4):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            write_shards(Path(folder), "train", 12, options.people, views, options.size)
            wall = time.perf_counter() - start
        rate = options.people * views / wall
        print(
            f"--layout dataset --views {views}: {rate:.2f} images/s by the clock, with the start of {cores} processes; load {os.getloadavg()[0]:.1f}"
        )


if __name__ == "__main__":
    main()
