"""Train the network that finds irises, on synthetic eyes alone.

Usage: python training/iris_net.py --out facecraft/face/irises.safetensors [--people 120] [--steps 4000]
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from heat_net import measure, save_network, train
from iris_patches import grown_eyes, painted_eyes

from facecraft.face.irises import FORMAT, PATCH
from facecraft.head.model import load_head

HELD_OUT = 10  # the last people of each kind are not trained on


def main() -> None:
    """Make patches, train, measure on people that were held out, write. The same numbers give the same bytes on one machine."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--people", type=int, default=120, help="of each of the two kinds")
    options.add_argument("--steps", type=int, default=4000)
    given = options.parse_args()
    torch.set_num_threads(1)  # sums in one order
    head = load_head()
    made = [[make(head, number) for number in range(given.people)] for make in (painted_eyes, grown_eyes)]
    taught = [part for kind in made for part in kind[:-HELD_OUT]]
    patches, centres = (np.concatenate(parts) for parts in zip(*taught, strict=True))
    network = train(patches, centres[:, None], given.steps)
    for kind, name in zip(made, ("painted", "grown"), strict=True):
        patches, centres = (np.concatenate(parts) for parts in zip(*kind[-HELD_OUT:], strict=True))
        errors = np.linalg.norm(measure(network, patches, centres[:, None])[:, 0], axis=1)
        print(f"{name}: median {np.median(errors):.2f} px of {PATCH[1]}, mean {errors.mean():.2f}")
    source = f"{given.people} + {given.people} synthetic people, training/iris_patches.py"
    save_network(network, given.out, FORMAT, source)


if __name__ == "__main__":
    main()
