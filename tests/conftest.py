"""What several tests share: a workspace with an avatar, and the whole chain, run once at small settings on the sample portrait."""

from pathlib import Path

import pytest
from facecraft.stages import coin_fit, enhance_views, fit_3dmm, preprocess, sample
from region_avatar import region_avatar

from facecraft.workspace import Workspace


@pytest.fixture(scope="session")
def astronaut_workspace(tmp_path_factory) -> Path:
    """A workspace up to the avatar, made by the stages themselves. Tests must leave it as it is."""
    folder = tmp_path_factory.mktemp("astronaut")
    path = folder / "astronaut.ws"
    preprocess.main([sample.main(folder / "astronaut.png")], path, size=320)
    fit_3dmm.main(path, quality="draft", texture_size=512)
    enhance_views.main(path, views=8, size=224)
    coin_fit.main(path, quality="draft", iterations=150, gaussians=10_000, device="cpu")
    return path


@pytest.fixture
def subject(tmp_path) -> Path:
    """A workspace whose avatar shows its regions."""
    workspace = Workspace.create(tmp_path / "ann.ws")
    with workspace.stage("coin-fit", (), {}) as run:
        region_avatar().save(run.output("avatar/avatar.safetensors"))
    return workspace.path
