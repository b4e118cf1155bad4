"""Learn the skin colour model from random painted skins: mean and principal components on the head's atlas.

Usage: python training/skin_model.py --out facecraft/head/skin.safetensors [--skins 500] [--modes 40]
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from skin_texture import random_eye, random_skin, skin_surface

from facecraft.head.albedo import SKIN_FORMAT, layout_digest
from facecraft.head.model import load_head

SIZE = 128
FIRST_SEED = 500_000  # far from the seeds of benchmarks/fit.py, for tuning and held out
EYE_MODES, EYE_STEPS, EYE_REACH = 6, 64, 1.3  # rad, how far round the ball the profile goes


def main() -> None:
    """Paint, decompose, write. The same numbers of skins and modes give the same bytes on one machine."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--skins", type=int, default=500)
    options.add_argument("--modes", type=int, default=40)
    given = options.parse_args()
    head = load_head()
    surface = skin_surface(head, SIZE)
    chosen = surface.region("face")
    rngs = (np.random.default_rng(FIRST_SEED + i) for i in range(given.skins))
    skins = np.stack([random_skin(surface, rng, haired=False)[chosen] for rng in rngs])
    angles = np.linspace(0, EYE_REACH, EYE_STEPS)
    eyes = np.stack([random_eye(np.random.default_rng(FIRST_SEED + i))(angles) for i in range(given.skins)])
    mean, modes = decompose(skins, given.modes)
    eye_mean, eye_modes = decompose(eyes, EYE_MODES)
    arrays = {"mean": mean, "modes": modes, "eye_mean": eye_mean, "eye_modes": eye_modes}
    arrays = {key: array.astype(np.float16) for key, array in arrays.items()}
    arrays["rows"], arrays["columns"] = (
        a[chosen].astype(np.int16) for a in (surface.atlas.rows, surface.atlas.columns)
    )
    header = {
        "format": SKIN_FORMAT,
        "size": SIZE,
        "eye_reach_rad": EYE_REACH,
        "layout": layout_digest(head),
        "skins": given.skins,
    }
    header |= {
        "licence": "Apache-2.0",
        "source": "procedural skins of training/skin_texture.py",
        "units": "sRGB, modes of one sigma",
    }
    save_file(arrays, given.out, metadata={"facecraft": json.dumps(header, sort_keys=True)})
    os.chmod(given.out, 0o644)


def decompose(samples: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean [n, 3] and principal components [count, n, 3], one standard deviation each, of samples [N, n, 3]."""
    mean, shape = samples.mean(0), samples.shape[1:]
    flat = (samples - mean).reshape(len(samples), -1)
    vectors = np.linalg.eigh(flat @ flat.T)[1][:, ::-1][:, :count]
    rest = flat - vectors @ (vectors.T @ flat)
    print(f"{count} modes leave {np.sqrt((rest**2).mean()):.4f} of {np.sqrt((flat**2).mean()):.4f} rms")
    return mean, (vectors.T @ flat / np.sqrt(len(samples))).reshape(count, *shape)


if __name__ == "__main__":
    main()
