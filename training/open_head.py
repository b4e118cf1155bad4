"""Build the open head from ICT-FaceKit and MakeHuman. One command, no GPU; the same sources give the same bytes.

python training/open_head.py --data ../shared/data/head --out facecraft/head/open_head.safetensors
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from head_atlas import build_atlas
from head_directions import EDIT_NAMES, edit_amounts, find_directions
from head_expressions import build_expressions
from head_file import HeadParts, write_head
from head_identity import identity_basis
from head_landmarks import embed_landmarks, summarise
from head_makehuman import MakeHuman, average_adult, load_makehuman, random_people
from head_register import count_flips, register
from head_rig import build_rig
from head_sources import IctHead, load_ict
from head_template import Template, build_template, find_nostrils
from head_transfer import transfer_targets

from facecraft.head.open_head import OpenHead

MODES = 100
PEOPLE = 1500
SEED = 20
_NO_LANDMARKS = (np.zeros(478, int), np.full((478, 3), 1 / 3), np.ones(478), np.zeros((0, 478, 2)), np.ones((478, 2)))


def main():
    """Read the options, run the recipe, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with ict_facekit.npz and makehuman_head.npz")
    parser.add_argument("--out", type=Path, required=True, help="model file to write")
    parser.add_argument("--views", type=int, default=600, help="renders on which landmarks are measured")
    options = parser.parse_args()
    started = time.time()

    def say(text):
        print(f"[{time.time() - started:6.1f} s] {text}", flush=True)

    ict, human = load_ict(options.data), load_makehuman(options.data)
    parts = build_parts(ict, human, say)
    header = describe_sources(ict, human)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "draft.safetensors"
        write_head(draft, parts, ict, header)
        embedding = embed_landmarks(OpenHead.load(draft), parts.nostrils, options.views, SEED)
    for part, (everywhere, frontal) in summarise(embedding.sigmas, embedding.frontal_sigmas).items():
        say(f"landmarks {part}: {everywhere:.2f} mm, frontal {frontal:.2f} mm")
    sigmas = np.where(np.isfinite(embedding.frontal_sigmas), embedding.frontal_sigmas, embedding.sigmas)
    parts = replace(
        parts,
        landmark_faces=embedding.faces,
        landmark_barycentrics=embedding.barycentrics,
        landmark_sigmas=sigmas,
        noise_factors=embedding.noise_factors,
        noise_sigmas=embedding.noise_sigmas,
    )
    write_head(options.out, parts, ict, header)
    say(f"{options.out}: {options.out.stat().st_size / 1e6:.2f} MB, sha256 {OpenHead.load(options.out).digest}")


def build_parts(ict: IctHead, human: MakeHuman, say) -> HeadParts:
    """Everything but the landmarks."""
    mesh = build_template(ict)
    nostrils = find_nostrils(mesh, ict)
    say(f"template: {len(mesh.vertices)} vertices, {len(mesh.faces)} faces")
    uvs, faces_uv = build_atlas(mesh, ict, nostrils)
    say(f"atlas: {len(uvs)} texture vertices")
    expressions = build_expressions(mesh, ict)
    rig = build_rig(mesh, ict, expressions)
    say(f"jaw turns by {np.degrees(rig.jaw_axis[0]):.2f} degrees about {rig.joints[2].round(1)} mm")
    fit = register(mesh, ict, nostrils, human)
    say(f"MakeHuman's average adult: {count_flips(mesh, fit)} triangles turned over")
    targets = transfer_targets(mesh, nostrils, human, fit)
    people = random_heads(human, targets, np.random.default_rng(SEED), PEOPLE)
    say(f"MakeHuman: {len(people)} random heads carried over")
    modes, rms = identity_basis(mesh, mesh.carry(ict, ict.identity), people, MODES)
    say(f"identity: {len(modes)} modes, rms mm {rms[:6].round(2)} ... {rms[-1]:.3f}")
    edits = find_directions(mesh, modes, np.tensordot(edit_amounts(human), targets, 1))
    say(f"edits: {len(EDIT_NAMES)} named directions")
    return HeadParts(
        mesh, rig, expressions, modes, rms, *edits, uvs, faces_uv, nostrils, *_NO_LANDMARKS, _landmark68(mesh, ict)
    )


def random_heads(human: MakeHuman, targets: np.ndarray, rng, count: int) -> np.ndarray:
    """Displacements [N, V, 3] mm of random MakeHuman people from its average adult; `targets` as of transfer_targets."""
    return np.tensordot(random_people(human, count, rng) - average_adult(human), targets, 1)


def _landmark68(mesh: Template, ict: IctHead) -> np.ndarray:
    number = {int(source): v for v, source in reversed(list(enumerate(mesh.sources)))}
    return np.array([number[int(source)] for source in ict.landmarks68])


def describe_sources(ict: IctHead, human: MakeHuman) -> dict:
    """Recipe, sources and licences for the header of the file."""
    commit = "da5f95a607f5e6b37755b38d3385d7f2853732e5"
    return {
        "recipe": "training/open_head.py",
        "licences": [
            {
                "source": f"ICT-FaceKit {commit[:7]}, Copyright (c) 2020 USC Institute for Creative Technologies",
                "address": "https://github.com/ICT-VGL/ICT-FaceKit",
                "licence": "MIT",
                "text": ict.licence,
            },
            {
                "source": "MakeHuman assets a8bc2d5 (base mesh hm08 and targets)",
                "address": "https://github.com/makehumancommunity/makehuman",
                "licence": "CC0-1.0",
                "text": human.licence,
            },
        ],
    }


if __name__ == "__main__":
    main()
