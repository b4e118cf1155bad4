"""Learn the skin colour model from random painted skins: mean and principal components on the head's atlas.

Usage: python training/skin_model.py --out facecraft/head/skin.safetensors [--skins 500] [--modes 40]
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from skin_texture import random_skin, skin_surface

from facecraft.head.albedo import SKIN_FORMAT, layout_digest
from facecraft.head.model import load_head

SIZE = 128
FIRST_SEED = 500_000  # far from the seeds of benchmarks/fit.py, for tuning and held out
REGIONS = ("face", "eyeball_L", "eyeball_R", "eye_socket_L", "eye_socket_R")


def main() -> None:
    """Paint, decompose, write. The same numbers of skins and modes give the same bytes on one machine."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--skins", type=int, default=500)
    options.add_argument("--modes", type=int, default=40)
    given = options.parse_args()
    head = load_head()
    surface = skin_surface(head, SIZE)
    chosen = np.any([surface.region(name) for name in REGIONS], 0)
    rngs = (np.random.default_rng(FIRST_SEED + i) for i in range(given.skins))
    skins = np.stack([random_skin(surface, rng, haired=False)[chosen] for rng in rngs]).reshape(given.skins, -1)
    mean = skins.mean(0)
    values, vectors = np.linalg.eigh((skins - mean) @ (skins - mean).T)
    values, vectors = values[::-1][: given.modes], vectors[:, ::-1][:, : given.modes]
    modes = vectors.T @ (skins - mean) / np.sqrt(given.skins)  # one standard deviation each
    rest = (skins - mean) - vectors @ (vectors.T @ (skins - mean))
    print(
        f"{given.modes} modes leave {np.sqrt((rest**2).mean()):.4f} of {np.sqrt(((skins - mean) ** 2).mean()):.4f} rms"
    )
    arrays = {"mean": mean, "modes": modes}
    arrays = {key: a.reshape(*a.shape[:-1], -1, 3).astype(np.float16) for key, a in arrays.items()}
    arrays["rows"], arrays["columns"] = (
        a[chosen].astype(np.int16) for a in (surface.atlas.rows, surface.atlas.columns)
    )
    header = {"format": SKIN_FORMAT, "size": SIZE, "layout": layout_digest(head), "skins": given.skins}
    header |= {
        "licence": "Apache-2.0",
        "source": "procedural skins of training/skin_texture.py",
        "units": "sRGB, modes of one sigma",
    }
    save_file(arrays, given.out, metadata={"facecraft": json.dumps(header, sort_keys=True)})
    os.chmod(given.out, 0o644)


if __name__ == "__main__":
    main()
