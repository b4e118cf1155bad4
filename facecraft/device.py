"""Where tensors live: the --device option of the stages."""

import torch

from facecraft.errors import DependencyError, InputError


def torch_device(name: str) -> torch.device:
    """The device called auto (CUDA when it is there), cpu, cuda or cuda:N.

    InputError for another name, DependencyError for a GPU that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise InputError(f"device {name!r} is not known; use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DependencyError(f"device {name!r} is not there, {torch.cuda.device_count()} GPUs found; use --device cpu")
    return device
