"""Weights of the networks that measure: where they lie, their licence, and the command that gets them. Nothing is fetched here."""

import hashlib
import shlex
from dataclasses import dataclass
from pathlib import Path

from facecraft.errors import DependencyError, InputError


@dataclass(frozen=True)
class WeightFile:
    """A file in torch's hub cache; `digest` is the beginning of its SHA-256 where its publisher names it."""

    name: str
    url: str
    licence: str
    digest: str = ""

    @property
    def path(self) -> Path:
        """Where it lies when it is there: $TORCH_HOME/hub/checkpoints, by default ~/.cache/torch."""
        import torch

        return Path(torch.hub.get_dir()) / "checkpoints" / self.name

    def require(self) -> Path:
        """Its path. DependencyError with the command to get it when it is not there, InputError when it is another file."""
        path = self.path
        if not path.is_file():
            command = f"curl -fL --create-dirs -o {shlex.quote(str(path))} {self.url}"
            raise DependencyError(f"{self.name} ({self.licence}) is not there; run `{command}`")
        if self.digest and not hashlib.sha256(path.read_bytes()).hexdigest().startswith(self.digest):
            raise InputError(f"{path} is not the file that its name says (SHA-256); remove it and get it again")
        return path


_TORCH = "https://download.pytorch.org/models/"
ALEXNET = WeightFile("alexnet-owt-7be5be79.pth", f"{_TORCH}alexnet-owt-7be5be79.pth", "BSD-3, torchvision", "7be5be79")
VGG16 = WeightFile("vgg16-397923af.pth", f"{_TORCH}vgg16-397923af.pth", "BSD-3, torchvision", "397923af")
INCEPTION = WeightFile(
    "inception-2015-12-05.pt",
    "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt",
    "Apache-2.0, TensorFlow's Inception as NVIDIA converted it",
)
"""The network of clean-fid and StyleGAN2-ADA."""
CLIP = "openai/clip-vit-base-patch32"
"""On the Hugging Face hub, MIT. FaceCraft4D does not say which CLIP it used."""
