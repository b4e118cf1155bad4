"""Training that is killed at random moments ends where undisturbed training does; ten times by `make bench-resume`."""

import importlib.util
import random
import shutil
from pathlib import Path

import pytest


def load_benchmark():
    path = Path(__file__).parents[1] / "benchmarks/resume.py"
    spec = importlib.util.spec_from_file_location("resume_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kills", [2])
def test_a_training_killed_at_random_moments_ends_within_a_percent(astronaut_workspace, tmp_path, kills, monkeypatch):
    bench = load_benchmark()
    train = ["--quality", "draft", "--iterations", "24", "--gaussians", "4000", "--checkpoint-every", "4", "--coin"]
    monkeypatch.setattr(bench, "TRAIN", train)
    losses = []
    for wanted in (0, kills):
        path = shutil.copytree(astronaut_workspace, tmp_path / f"{wanted}.ws")
        assert bench.train_despite_kills(path, wanted, random.Random(1)) == wanted
        losses.append(bench.final_loss(path))
    assert losses[1] == pytest.approx(losses[0], rel=0.01)
