"""GaussianAvatars bundles: Gaussians in the frames of FLAME's triangles, with the FLAME parameters that pose them.

`point_cloud.ply` has the properties of 3D Gaussian Splatting and `binding_0`, the face of each Gaussian; `flame_param.npz`
lies beside it (Qian et al. 2024, github.com/ShenhanQian/GaussianAvatars). Only an avatar on a FLAME head can become one:
the parameters of another head have no meaning there.
"""

import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from facecraft.avatar import Avatar
from facecraft.errors import InputError
from facecraft.export.ply import gaussians_of, read_property, read_vertices, write_ply
from facecraft.splats.gaussians import Gaussians

FLAME_FACES = {5023: 9976, 5143: 10144}
"""Faces by vertices: FLAME as published, and with the teeth that GaussianAvatars adds."""

_SHAPES = {
    **{"shape": (300,), "expr": ("T", 100), "rotation": ("T", 3), "neck_pose": ("T", 3), "jaw_pose": ("T", 3)},
    **{"eyes_pose": ("T", 6), "translation": ("T", 3), "static_offset": (1, "V", 3), "dynamic_offset": ("T", "V", 3)},
}
_LARGEST_ARRAY_BYTES = 1 << 30


@dataclass(frozen=True)
class FlameAvatar:
    """What a bundle holds. T timesteps, V vertices of FLAME (a key of FLAME_FACES)."""

    gaussians: Gaussians  # local, of any degree; lengths in sizes of the triangle
    binding: Tensor  # [N] long, face of FLAME
    parameters: dict[
        str, np.ndarray
    ]  # float32: shape [300], expr [T, 100], rotation ... as in the paper's code; m, rad


@runtime_checkable
class FlameHead(Protocol):
    """What a head model offers when its avatars can be written as bundles: the faces of FLAME, and its parameters."""

    def flame_parameters(
        self,
        shape: Tensor,  # [K]
        offsets: Tensor,  # [V, 3] m
        expression: Tensor,  # [E]
        gaze: Tensor,  # [2, 2] rad
        neck: Tensor,  # [3] rad
    ) -> dict[str, Tensor]:
        """FlameAvatar.parameters of one timestep; FLAME posed by them has the avatar's vertices."""
        ...


def as_flame(avatar: Avatar, expression: Tensor, gaze: Tensor, neck: Tensor) -> FlameAvatar:
    """The avatar in one pose as a bundle. InputError when it does not ride on FLAME."""
    head = avatar.head
    if not isinstance(head, FlameHead) or len(head.faces) not in FLAME_FACES.values():
        raise InputError(
            f"the avatar rides on the {head.name} head, which has no FLAME parameters; "
            "GaussianAvatars needs FLAME: export glb, ply or spz"
        )
    parameters = head.flame_parameters(avatar.shape, avatar.offsets, expression, gaze, neck)
    arrays = {name: values.detach().cpu().numpy().astype(np.float32) for name, values in parameters.items()}
    return FlameAvatar(avatar.gaussians, avatar.binding, arrays)


def write_bundle(folder: Path, avatar: FlameAvatar, comments: tuple[str, ...] = ()) -> None:
    """Write point_cloud.ply and flame_param.npz into an existing folder."""
    _check_parameters(Path(folder) / "flame_param.npz", avatar.parameters, avatar.binding)
    write_ply(Path(folder) / "point_cloud.ply", avatar.gaussians, comments, {"binding_0": avatar.binding})
    np.savez(Path(folder) / "flame_param.npz", **avatar.parameters)


def read_bundle(folder: Path) -> FlameAvatar:
    """A bundle as GaussianAvatars writes it. InputError names the file and the property or array that is wrong."""
    ply, npz = Path(folder) / "point_cloud.ply", Path(folder) / "flame_param.npz"
    vertices = read_vertices(ply)
    if "binding_0" not in vertices.dtype.names:
        raise InputError(f"{ply} has no property binding_0; give the point_cloud.ply of a GaussianAvatars avatar")
    faces = read_property(ply, vertices, "binding_0")
    most = max(FLAME_FACES.values())
    wrong = (faces < 0) | (faces >= most) | (faces != np.floor(faces))
    if wrong.any():
        raise InputError(f"{ply} has binding_0 = {faces[wrong][0]}, which is no face of FLAME (0 to {most - 1})")
    binding = torch.from_numpy(faces).long()
    parameters = _read_parameters(npz)
    _check_parameters(npz, parameters, binding)
    return FlameAvatar(gaussians_of(ply, vertices), binding, parameters)


def _read_parameters(path: Path) -> dict[str, np.ndarray]:
    """The float arrays of an npz as float32, without pickle; sizes are looked at before anything is unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: info for info in archive.infolist()}
            for name in _SHAPES:
                if f"{name}.npy" not in members:
                    raise InputError(f"{path} has no {name}; give the flame_param.npz of a GaussianAvatars avatar")
                if members[f"{name}.npy"].file_size > _LARGEST_ARRAY_BYTES:
                    raise InputError(
                        f"{path} has {name} of {members[f'{name}.npy'].file_size} bytes; that is too large"
                    )
            return {name: _parse_array(path, name, archive.read(f"{name}.npy")) for name in _SHAPES}
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}); check the path") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{path} is not a whole npz ({error}); it is damaged") from error


def _parse_array(path: Path, name: str, data: bytes) -> np.ndarray:
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[
            version
        ]
        shape, by_columns, dtype = read_header(file)
    except (ValueError, KeyError, SyntaxError, TokenError) as error:
        raise InputError(f"{path} has {name} that is no array ({str(error)[:80]}); it is damaged") from error
    left = len(data) - file.tell()
    if dtype.kind != "f" or any(side < 0 for side in shape) or np.prod(shape, dtype=object) * dtype.itemsize != left:
        raise InputError(f"{path} has {name} of {list(shape)} {dtype} in {left} bytes; it is damaged")
    values = np.frombuffer(data, dtype, offset=file.tell()).reshape(shape, order="F" if by_columns else "C")
    with np.errstate(over="ignore"):  # what does not fit into float32 becomes infinite and is refused
        return np.array(values, np.float32, order="C")  # a copy, which may be written to


def _check_parameters(path: Path, parameters: dict[str, np.ndarray], binding: Tensor) -> None:
    sizes = {"T": parameters["expr"].shape[0] if parameters["expr"].ndim else 0, "V": 0}
    if parameters["static_offset"].ndim == 3:
        sizes["V"] = parameters["static_offset"].shape[1]
    if sizes["V"] not in FLAME_FACES or sizes["T"] == 0:
        raise InputError(
            f"{path} has static_offset of {list(parameters['static_offset'].shape)}, expr of "
            f"{list(parameters['expr'].shape)}; FLAME has {' or '.join(map(str, FLAME_FACES))} vertices"
        )
    for name, letters in _SHAPES.items():
        wanted = [sizes.get(letter, letter) for letter in letters]
        if list(parameters[name].shape) != wanted:
            raise InputError(f"{path} has {name} of shape {list(parameters[name].shape)}, not {wanted}; it is damaged")
        if not np.isfinite(parameters[name]).all():
            raise InputError(f"{path} has a value in {name} that is not finite; it is damaged")
    faces = FLAME_FACES[sizes["V"]]
    if len(binding) and int(binding.max()) >= faces:
        raise InputError(
            f"{path} has {sizes['V']} vertices, so {faces} faces, but binding_0 reaches {int(binding.max())}"
        )
