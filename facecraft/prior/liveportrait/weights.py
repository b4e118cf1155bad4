"""Weights of LivePortrait in a folder of the user's: found, read without running anything, checked against a network."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from facecraft.errors import DependencyError, InputError

LICENCE = "MIT, LivePortrait (KwaiVGI)"
COMMAND = "hf download KwaiVGI/LivePortrait --include 'liveportrait/*' --local-dir FOLDER"
NETWORKS = ("appearance_feature_extractor", "motion_extractor", "warping_module", "spade_generator")
POINT_NETWORKS = "stitching_retargeting_module"
PARTS = ("retarget_shoulder", "retarget_eye", "retarget_mouth")
"""Networks in the file of POINT_NETWORKS: stitching, eyes, lips."""
FOLDERS = ("", "base_models", "retargeting_models", "liveportrait/base_models", "liveportrait/retargeting_models")
SUFFIXES = (".safetensors", ".pth")


@dataclass(frozen=True)
class State:
    """Tensors of one network by name; `source` names it in errors."""

    source: str
    tensors: dict[str, Tensor] = field(repr=False)

    def size(self, name: str, axis: int = 0) -> int:
        """Size of a tensor along an axis. InputError when it has none."""
        tensor = self.tensors.get(name)
        if tensor is None or tensor.ndim <= axis or not tensor.shape[axis]:
            found = "no" if tensor is None else f"{list(tensor.shape)} as"
            raise InputError(f"{self.source} has {found} {name}; give weights of LivePortrait")
        return tensor.shape[axis]

    def count(self, pattern: str, most: int, step: int = 1) -> int:
        """How many tensors there are of a name with the numbers 0, `step`, 2 `step` ...; InputError for none or too many."""
        count = 0
        while pattern.format(count * step) in self.tensors and count <= most:
            count += 1
        if not 0 < count <= most:
            found = f"more than {most} of" if count else "no"
            raise InputError(f"{self.source} has {found} {pattern.format(0)}; give weights of LivePortrait")
        return count

    def divide(self, name: str, axis: int, parts: int) -> int:
        """A size that must be a multiple of `parts`, divided by it."""
        size = self.size(name, axis)
        if size % parts:
            raise InputError(f"{self.source} has {size} channels of {name}, not a multiple of {parts}; it is damaged")
        return size // parts


def find_weights(folder: Path | None) -> dict[str, Path]:
    """The five files by name, wherever in `folder` the publisher or a converter put them; DependencyError names what lacks."""
    if folder is None or not folder.is_dir():
        lack = "the driver liveportrait needs its weights" if folder is None else f"{folder} is not a folder of weights"
        raise DependencyError(f"{lack} ({LICENCE}); run `{COMMAND}`, and give --weights FOLDER")
    found = {}
    for name in (*NETWORKS, POINT_NETWORKS):
        paths = (folder / place / f"{name}{suffix}" for suffix in SUFFIXES for place in FOLDERS)
        found[name] = next((path for path in paths if path.is_file()), None)
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise DependencyError(
            f"{folder} has no {', '.join(missing)} as .safetensors or .pth ({LICENCE}); run `{COMMAND}`, and give --weights FOLDER"
        )
    return found


def read_states(path: Path) -> dict[str, State]:
    """The networks of one file: those of PARTS by name, or "" for a file of one. InputError when it cannot be read.

    Publisher's files are dictionaries of dictionaries, saved from several processes ("module." before each name); converted
    ones have the dictionary's name before each tensor's.
    """
    tensors = _flatten(path, _load(path))
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        part = next((part for part in PARTS if name.startswith(part)), "")
        if part:
            name = name.removeprefix(part).removeprefix("_module").removeprefix(".")
        parts.setdefault(part, {})[name.removeprefix("module.")] = tensor
    return {part: State(f"{path}{f' {part}' if part else ''}", found) for part, found in parts.items()}


def _load(path: Path):
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, "cpu", weights_only=True)
    except (*_BROKEN, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"{path} cannot be read as weights ({reason[:120]}); get it again") from error


def _flatten(path: Path, data) -> dict[str, Tensor]:
    """Tensors by name, those of a dictionary in a dictionary as outer.inner."""
    if not isinstance(data, dict):
        raise InputError(f"{path} holds {type(data).__name__}, not tensors by name; give weights of LivePortrait")
    out = {}
    for name, value in data.items():
        out |= (
            {f"{name}.{key}": tensor for key, tensor in value.items()}
            if isinstance(value, dict)
            else {f"{name}": value}
        )
    for name, tensor in out.items():
        if not isinstance(tensor, Tensor) or not _is_plain(tensor):
            raise InputError(f"{path} has {name} that is not a plain tensor; give weights of LivePortrait")
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in out.items()}


def _is_plain(tensor: Tensor) -> bool:
    """Whether it holds all of its numbers, so that no small file takes much memory."""
    odd = tensor.layout != torch.strided or tensor.is_complex() or tensor.is_quantized or tensor.is_meta
    return not odd and tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def fill_network(make: Callable[[State], nn.Module], state: State) -> nn.Module:
    """A network of the size of its weights, with exactly these. InputError names the first tensor that does not fit."""
    with torch.device("meta"):
        network = make(state)
    wanted = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: list(tensor.shape) for name, tensor in state.tensors.items()}
    for name in sorted(wanted.keys() | found.keys()):
        shapes = [sizes.get(name, "nothing") for sizes in (found, wanted)]
        if shapes[0] != shapes[1]:
            raise InputError(
                f"{state.source} has {shapes[0]} for {name}, not {shapes[1]}; give weights of LivePortrait"
            )
        if not torch.isfinite(state.tensors[name]).all():
            raise InputError(f"{state.source} has a value in {name} that is not finite; get it again")
    network.load_state_dict(state.tensors, assign=True)
    return network.eval().requires_grad_(False)


_BROKEN = (
    pickle.UnpicklingError,
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    ImportError,
)
"""What torch.load raises on damaged files, and on those that name code."""
