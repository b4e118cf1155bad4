"""Train the network that finds brows and lids, on synthetic faces alone.

Usage: python training/upper_face_net.py --out facecraft/face/upper_face.safetensors [--grown 200] [--painted 40] [--steps 3500]
"""

import argparse
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from heat_net import measure, save_network, train
from upper_face_patches import coarsen, covered_people, grown_faces, painted_faces

from facecraft.face.upper_face import FORMAT, PATCH
from facecraft.head.model import load_head

WIDTH = 16
HELD_OUT = 16  # the last of the grown people are not trained on
NAMES = ("inner ends of brows", "their middles", "their outer ends", "upper lids", "lower lids")


def main() -> None:
    """Make patches, train, measure on people that were held out, write. The same numbers give the same bytes on one machine."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--grown", type=int, default=200, help="people of facecraft.synth")
    options.add_argument("--painted", type=int, default=40, help="people of synthetic_photo.py")
    options.add_argument("--steps", type=int, default=3500)
    given = options.parse_args()
    torch.set_num_threads(1)  # sums in one order
    head = load_head()
    grown = [grown_faces(head, number) for number in islice(covered_people(), given.grown)]
    taught = grown[:-HELD_OUT] + [painted_faces(head, number) for number in range(given.painted)]
    patches, points = (np.concatenate(parts) for parts in zip(*taught, strict=True))
    network = train(coarsen(patches), points, given.steps, WIDTH)
    patches, points = (np.concatenate(parts) for parts in zip(*grown[-HELD_OUT:], strict=True))
    for name, errors in zip(NAMES, np.abs(measure(network, patches, points)[..., 1]).T, strict=True):
        print(f"{name}, height: median {np.median(errors):.2f} px of {PATCH[0]}, mean {errors.mean():.2f}")
    source = f"{given.grown} + {given.painted} synthetic people, training/upper_face_patches.py"
    save_network(network, given.out, FORMAT, source)


if __name__ == "__main__":
    main()
