"""Measure the open head that ships, against the bars of its design: one table in markdown.

Usage: python benchmarks/head.py --data FOLDER [--rebuild] (`make bench-head`); FOLDER has ict_facekit.npz and
makehuman_head.npz. Distances are from the vertices of the source to our surface, mm. An exclamation mark is a miss.
"""

import argparse
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import facecraft  # noqa: F401  before torch, whose threads it keeps from busy-waiting

# isort: split
import numpy as np
import torch

from facecraft.camera import Camera, orbit_camera
from facecraft.head.model import load_head
from facecraft.head.open_head import OPEN_HEAD_FILE, OpenHead
from facecraft.mesh.raster import rasterize_mesh

TRAINING = Path(__file__).resolve().parents[1] / "training"
sys.path.insert(0, str(TRAINING))

from head_file import head_rotation  # noqa: E402
from head_identity import region_weights  # noqa: E402
from head_landmarks import judge_embedding  # noqa: E402
from head_makehuman import MakeHuman, average_adult, load_makehuman, random_people  # noqa: E402
from head_register import Registration, count_flips, register  # noqa: E402
from head_sources import IctHead, load_ict  # noqa: E402
from head_surface import Surface  # noqa: E402
from head_template import Template, build_template, find_nostrils  # noqa: E402
from head_transfer import transfer_targets  # noqa: E402

HEADS = 30
SEED = 1000
BENDING = ("jawOpen", "eyeBlink_L", "mouthPucker", "mouthSmile_L", "browInnerUp_L", "noseSneer_L")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with ict_facekit.npz and makehuman_head.npz")
    parser.add_argument("--views", type=int, default=200, help="new renders on which landmarks are judged")
    parser.add_argument("--rebuild", action="store_true", help="run the recipe and compare its bytes (5 minutes more)")
    options = parser.parse_args()
    for name in ("ict_facekit.npz", "makehuman_head.npz"):
        if not (options.data / name).is_file():
            sys.exit(f"error: {options.data / name} is missing; give its folder, make bench-head HEAD_DATA=FOLDER")
    head = load_head()
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}\n")
    print("| open head | measured | bar |\n|---|---|---|")
    measure_motion(head)
    measure_speed(head)
    measure_shape(head, load_ict(options.data), load_makehuman(options.data))
    measure_landmarks(head, options.views)
    row("file", f"{OPEN_HEAD_FILE.stat().st_size / 1e6:.1f} MB, sha256 {head.digest[:16]}")
    if options.rebuild:
        again = rebuilt_digest(options.data)
        row("the recipe run again", f"sha256 {again[:16]}", "the same", again == head.digest)


def row(what: str, measured: str, bar: str = "", reached: bool = True) -> None:
    """Print one line of the table."""
    print(f"| {what} | {measured}{'' if reached else ' !'} | {bar} |", flush=True)


def at_most(what: str, value: float, bar: float, unit: str, extra: str = "") -> None:
    """Print a line whose value may not be above the bar."""
    row(what, f"{value:.3g} {unit}{extra}", f"<= {bar:g} {unit}", value <= bar)


# shape


class InIctFrame:
    """The shipped head in the frame of the recipe, mm: `vertices` [V, 3], `modes` [K, V, 3]."""

    def __init__(self, head: OpenHead, mesh: Template):
        assert np.array_equal(mesh.faces, head.faces.numpy()), "the recipe makes another mesh than the file has"
        turn, origin = head_rotation(), np.mean([eye.centre for eye in mesh.eyes], 0)
        self.mesh = mesh
        self.vertices = head.template.double().numpy() @ turn * 1e3 + origin
        basis = head.shaped(torch.eye(head.shape_count))[0] - head.template
        self.modes = basis.double().numpy() @ turn * 1e3
        matter, _ = region_weights(mesh)
        arms = self.vertices - matter @ self.vertices
        turns = np.stack([np.cross(axis, arms) for axis in np.eye(3)])
        moves = np.concatenate([np.broadcast_to(np.eye(3)[:, None], turns.shape), turns, self.modes])
        self.moves, self.arms = moves, arms
        self.weighted = (moves * matter[:, None]).reshape(len(moves), -1)
        prior = np.r_[np.zeros(6), np.full(len(self.modes), 1e-4)]
        self.normal = self.weighted @ moves.reshape(len(moves), -1).T + np.diag(prior)

    def nearest_head(self, goals: np.ndarray) -> np.ndarray:
        """Vertices [V, 3] of the head whose skin is nearest to `goals` [V, 3], rigid motion free."""
        amounts = np.linalg.solve(self.normal, self.weighted @ (goals - self.vertices).ravel())
        return self.vertices + np.tensordot(amounts, self.moves, 1)


def measure_shape(head: OpenHead, ict: IctHead, human: MakeHuman) -> None:
    """Decimation, truncation and transfer."""
    mesh = build_template(ict)
    ours = InIctFrame(head, mesh)
    skin = mesh.faces[mesh.in_regions("face", "scalp_neck")]
    face = ict.region("face")
    neutral = Surface(ours.vertices, skin).nearest(ict.neutral[face])[2]
    at_most("decimation, face", neutral.mean(), 0.07, "mm", f" (95 %: {np.percentile(neutral, 95):.2f})")
    bent = []
    for name in BENDING:
        surface = Surface(mesh.vertices + mesh.carry(ict, ict.expressions[name]), skin)
        bent.append(surface.nearest((ict.neutral + ict.expressions[name])[face])[2])
    at_most(f"decimation, face, in {len(BENDING)} full expressions", np.mean(bent), 0.07, "mm")
    _measure_ict_heads(ours, ict, skin)
    nostrils = find_nostrils(mesh, ict)
    fit = register(mesh, ict, nostrils, human)
    row(
        "triangles turned over by the registration",
        str(count_flips(mesh, fit)),
        "study: 8",
        count_flips(mesh, fit) <= 8,
    )
    _measure_human_heads(ours, nostrils, human, fit, skin)
    uvs, faces = head.uvs.double().numpy(), head.faces_uv.numpy()
    sides = uvs[faces[:, 1:]] - uvs[faces[:, :1]]
    flips = int((np.linalg.det(sides) <= 0).sum())
    row("flipped triangles in the atlas", str(flips), "0", flips == 0)


def _measure_ict_heads(ours, ict, skin) -> None:
    rng = np.random.default_rng(SEED)
    gaps = {"face": [], "head_neck": []}
    for _ in range(HEADS):
        person = np.tensordot(rng.normal(0, 1, len(ict.identity)), ict.identity, 1)
        surface = Surface(ours.nearest_head(ours.vertices + ours.mesh.carry(ict, person)), skin)
        for region, found in gaps.items():
            found.append(surface.nearest((ict.neutral + person)[ict.region(region)])[2])
    at_most(f"{HEADS} held-out ICT heads, face", np.mean(np.concatenate(gaps["face"])), 0.25, "mm")
    row(
        f"{HEADS} held-out ICT heads, scalp and neck",
        f"{np.mean(np.concatenate(gaps['head_neck'])):.2f} mm",
        "study: 0.31",
    )


def _measure_human_heads(ours, nostrils, human, fit: Registration, skin) -> None:
    targets = transfer_targets(ours.mesh, nostrils, human, fit)
    people = random_people(human, HEADS, np.random.default_rng(SEED)) - average_adult(human)
    bent = ours.vertices.copy()
    bent[fit.outer] = fit.places
    body = human.group_vertices("body")
    # inner sides of lips, nostrils and lids have no counterpart
    there = body[Surface(bent, skin).nearest(fit.adult[body])[2] < 1]
    head = there[fit.adult[there, 1] > -88 - 0.25 * (fit.adult[there, 2] - 60)]
    carried, direct = [], []
    for person in people:
        goal = fit.adult + np.tensordot(person, human.targets, 1) @ fit.linear.T
        moved = bent + np.tensordot(person, targets, 1)
        direct.append(Surface(moved, skin).nearest(goal[head])[2])
        carried.append(Surface(ours.nearest_head(moved), skin).nearest(goal[head])[2])
    at_most(
        f"{HEADS} held-out MakeHuman people, head",
        np.mean(carried),
        1.0,
        "mm",
        f" (before the basis: {np.mean(direct):.2f})",
    )


# motion


def measure_motion(head: OpenHead) -> None:
    """Lids, lips and gradients."""
    shapes = 0.7 * torch.randn(12, head.shape_count, generator=torch.Generator().manual_seed(SEED))
    shut = head.expression_vector({"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0})
    still_open = sum(_eye_pixels(head, v) for v in head.vertices(shapes, shut))
    share = 100 * still_open / sum(_eye_pixels(head, v) for v in head.vertices(shapes))
    at_most("eye visible in a full blink, 12 random heads", share, 5, "%")
    upper, lower = head.landmark68_vertices[[61, 62, 63]], head.landmark68_vertices[[67, 66, 65]]
    crossing = 0.0
    for jaw in np.linspace(0, 1, 11):
        for close in (0.25, 0.5, 0.75, 1.0):
            vertices = head.vertices(shapes, head.expression_vector({"jawOpen": jaw, "mouthClose": close}))
            gaps = (vertices[:, upper, 1] - vertices[:, lower, 1]).clamp_max(0)
            rest = head.vertices(shapes)
            gaps = gaps - (rest[:, upper, 1] - rest[:, lower, 1]).amin(1, keepdim=True).clamp_max(0)
            crossing = max(crossing, -1e3 * float(gaps.min()))
    at_most("lips crossed by mouthClose, all jaws", crossing, 0.1, "mm")
    at_most("gradients against finite differences, worst", _gradient_error(head), 1e-4, "of the gradient")


def _eye_pixels(head, vertices) -> int:
    camera = orbit_camera(Camera(600, 300, 1500, 1500, 300, 150), 0, 0, np.zeros(3), 0.5)
    ids = rasterize_mesh(camera.project(vertices.double().numpy()), head.faces.numpy(), 300, 600).face_ids
    eyes = [head.region_names.index(name) for name in ("eyeball_L", "eyeball_R")]
    return int(np.isin(head.face_regions.numpy()[ids[ids >= 0]], eyes).sum())


def _gradient_error(head) -> float:
    double, draw = head.to(dtype=torch.float64), torch.Generator().manual_seed(SEED)

    def normal(*shape):
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    given = {"shape": 0.7 * normal(2, head.shape_count), "expression": 0.25 + 0.1 * normal(2, 52)}
    given |= {
        "gaze": 0.2 * normal(2, 2, 2),
        "neck": 0.2 * normal(2, 3),
        "offsets": 1e-3 * normal(2, len(head.template), 3),
    }
    probe, worst = normal(2, len(head.template), 3), 0.0
    for name, value in given.items():
        direction = normal(*value.shape)
        leaf = value.clone().requires_grad_()
        loss = (double.vertices(**{**given, name: leaf}) * probe).sum()
        slope = float((torch.autograd.grad(loss, leaf)[0] * direction).sum())
        ends = [(double.vertices(**{**given, name: value + s * direction}) * probe).sum() for s in (1e-7, -1e-7)]
        worst = max(worst, abs(float(ends[0] - ends[1]) / 2e-7 - slope) / abs(slope))
    return worst


def measure_speed(head: OpenHead) -> None:
    """Time of one head: alone and in a batch of 32, least of many."""
    draw = torch.Generator().manual_seed(SEED)

    def least_ms(batch, grad):
        sizes = {"shape": (head.shape_count,), "expression": (52,), "gaze": (2, 2), "neck": (3,)}
        given = {k: (0.2 * torch.rand(batch, *size, generator=draw)).requires_grad_(grad) for k, size in sizes.items()}
        least = math.inf
        for _ in range(200):
            start = time.perf_counter()
            vertices = head.vertices(**given)
            if grad:
                vertices.sum().backward()
            least = min(least, time.perf_counter() - start)
        return 1e3 * least / batch

    at_most("evaluation per head, batch of 32", least_ms(32, False), 1, "ms")
    row("with its gradient, batch of 32", f"{least_ms(32, True):.2g} ms")
    row("evaluation of one head", f"{least_ms(1, False):.2g} ms")


# landmarks and file


def measure_landmarks(head: OpenHead, views: int) -> None:
    """The embedding on renders that the recipe has not seen; medians."""
    bars = {"all": 1.95, "lips": 1.25, "eyes": 1.3}
    for part, (everywhere, frontal) in judge_embedding(head, views, SEED).items():
        if part == "all":
            at_most("landmarks, all views", everywhere, 2.1, "mm")
        if part in bars:
            at_most(f"landmarks, {part}, frontal views", frontal, bars[part], "mm", f" (all views: {everywhere:.2f})")
        else:
            row(f"landmarks, {part}, frontal views", f"{frontal:.2f} mm (all views: {everywhere:.2f})")


def rebuilt_digest(data: Path) -> str:
    """SHA-256 of what the recipe makes."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "open_head.safetensors"
        command = [sys.executable, TRAINING / "open_head.py", "--data", data, "--out", out]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return OpenHead.load(out).digest


if __name__ == "__main__":
    main()
