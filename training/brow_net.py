"""Train the network that finds the ends of brows, on synthetic faces alone.

Usage: python training/brow_net.py --out facecraft/face/brows.safetensors [--grown 125] [--painted 24] [--steps 1800]
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from brow_patches import grown_brows, painted_brows
from heat_net import measure, save_network, train

from facecraft.face.brows import FORMAT, PATCH
from facecraft.head.model import load_head

HELD_OUT = 12  # the last of the grown people are not trained on


def main() -> None:
    """Make patches, train, measure on people that were held out, write. The same numbers give the same bytes on one machine."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--grown", type=int, default=125, help="people of facecraft.synth")
    options.add_argument("--painted", type=int, default=24, help="people of synthetic_photo.py")
    options.add_argument("--steps", type=int, default=1800)
    given = options.parse_args()
    torch.set_num_threads(1)  # sums in one order
    head = load_head()
    grown = [grown_brows(head, number) for number in range(given.grown)]
    taught = grown[:-HELD_OUT] + [painted_brows(head, number) for number in range(given.painted)]
    network = train(*(np.concatenate(parts) for parts in zip(*taught, strict=True)), given.steps)
    patches, ends = (np.concatenate(parts) for parts in zip(*grown[-HELD_OUT:], strict=True))
    for name, errors in zip(("inner", "outer"), np.abs(measure(network, patches, ends)[..., 1]).T, strict=True):
        print(f"{name} ends, height: median {np.median(errors):.2f} px of {PATCH[0]}, mean {errors.mean():.2f}")
    source = f"{given.grown} + {given.painted} synthetic people, training/brow_patches.py"
    save_network(network, given.out, FORMAT, source)


if __name__ == "__main__":
    main()
