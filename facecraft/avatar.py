"""The avatar: a head model and the Gaussians that ride on its triangles, in one self-describing file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from facecraft import __version__
from facecraft.camera import Camera
from facecraft.errors import InputError
from facecraft.head.model import HeadModel, load_head
from facecraft.splats.colors import seen_colors
from facecraft.splats.gaussians import SH_COUNTS, Gaussians
from facecraft.splats.raster import rasterize
from facecraft.splats.rig import local_to_world

SCHEMA = "facecraft-avatar/1"
_LARGEST_PICTURE_PX = 1 << 14
_COIN_ROWS = ("coin.colors", "coin.place")
"""Tensors of COIN with a row for each Gaussian."""


@dataclass(frozen=True)
class Avatar:
    """A head of one person: who (shape, offsets), Gaussians in the frames of their triangles, and the source picture.

    V vertices, F faces, E expression channels of `head`; N Gaussians, whose harmonics are in the head's frame and do not
    turn with the triangles (see facecraft.splats.colors). Colours of an avatar from COIN training are the reference view's;
    `coin` holds the shared ones as its camera sees them (coin.colors [N, 3]) and the network that told the views apart.
    """

    head: HeadModel
    shape: Tensor  # [K] identity, in standard deviations
    offsets: Tensor  # [V, 3] m, added to the shaped head
    expression: Tensor  # [E] of the source picture
    gaze: Tensor  # [2, 2] of the source picture, rad
    neck: Tensor  # [3] of the source picture, rad
    binding: Tensor  # [N] long, into head.faces
    gaussians: Gaussians  # local, lengths in sizes of the triangle
    camera: Camera  # of the source picture
    provenance: dict[str, str] = field(default_factory=dict)  # what it was made from
    coin: dict[str, Tensor] = field(default_factory=dict)  # coin.* of COIN training, by name

    def __post_init__(self):
        for name, wanted in self._tensor_shapes().items():
            assert getattr(self, name).shape == wanted, (name, getattr(self, name).shape, wanted)
        assert all(len(self.coin[name]) == len(self.gaussians) for name in _COIN_ROWS if name in self.coin)

    def _tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        return _tensor_shapes(self.head, len(self.shape), len(self.gaussians))

    def vertices(
        self,
        expression: Tensor | None = None,  # [E] channels in the order of head.expression_names
        gaze: Tensor | None = None,  # [2, 2] left and right eye: yaw, pitch, rad
        neck: Tensor | None = None,  # [3] axis times angle, rad
    ) -> Tensor:
        """The posed mesh [V, 3] in head coordinates, m; None is neutral."""
        pose = (None if part is None else part[None] for part in (expression, gaze, neck))
        return self.head.vertices(self.shape[None], *pose, offsets=self.offsets[None])[0]

    def pose(
        self,
        expression: Tensor | None = None,  # [E]
        gaze: Tensor | None = None,  # [2, 2]
        neck: Tensor | None = None,  # [3]
    ) -> Gaussians:
        """The Gaussians of one frame in head coordinates, m; None is neutral. Differentiable."""
        return local_to_world(self.gaussians, self.binding, self.vertices(expression, gaze, neck), self.head.faces)

    def edited(self, values: Mapping[str, float]) -> "Avatar":
        """The avatar with another identity: older, heavier, longer-nosed; see HeadModel.edit.

        The Gaussians ride along and keep their colours: wrinkles and grey hair are not made.
        """
        shape, offsets = (part[0] for part in self.head.edit(values))
        shape[: len(self.shape)] += self.shape
        return replace(self, shape=shape, offsets=self.offsets + offsets)

    def to(self, device: torch.device | str) -> "Avatar":
        """The same avatar on `device`."""
        names = ("head", "gaussians", "shape", "offsets", "expression", "gaze", "neck", "binding")
        coin = {name: tensor.to(device) for name, tensor in self.coin.items()}
        return replace(self, coin=coin, **{name: getattr(self, name).to(device) for name in names})

    def save(self, path: Path) -> None:
        """Write the avatar as safetensors whose metadata says what it is, in which frame, and under which licences."""
        tensors = {name: getattr(self, name) for name in self._tensor_shapes() if name != "binding"}
        tensors |= {f"gaussians.{name}": getattr(self.gaussians, name) for name in _gaussian_shapes(0, 1)} | self.coin
        tensors = {name: tensor.detach().to("cpu", torch.float32).contiguous() for name, tensor in tensors.items()}
        tensors["binding"] = self.binding.to("cpu", torch.int32)
        camera = self.camera
        sizes = [camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy]
        tensors["camera.intrinsics"] = torch.tensor(sizes, dtype=torch.float64)
        tensors["camera.T_camera_world"] = torch.tensor(np.asarray(camera.T_camera_world), dtype=torch.float64)
        save_file(tensors, path, self._metadata())

    def _metadata(self) -> dict[str, str]:
        return {
            "schema": SCHEMA,
            "facecraft": __version__,
            "synthetic": "true",
            "head": self.head.name,
            "head_digest": self.head.digest,
            "head_licence": self.head.licence,
            "expression_names": json.dumps(self.head.expression_names),
            "conventions": "metres, +Y up, +Z out of the face, +X to the subject's left; quaternions wxyz; camera OpenCV, "
            "intrinsics width height fx fy cx cy; gaussians before activation, in the frames of GaussianAvatars (2024); their sh in the head's frame",
            "coin": "gaussians.sh shows coin.view.0, the reference; coin.colors are shared" if self.coin else "none",
            "provenance": json.dumps(self.provenance),
        }

    @classmethod
    def load(cls, path: Path) -> "Avatar":
        """Read an avatar. InputError names the field: another schema or head, a shape that disagrees, a NaN."""
        metadata, tensors = _read_file(path)
        if metadata.get("schema") != SCHEMA:
            raise InputError(f"{path} has schema {metadata.get('schema')}, not {SCHEMA}; make it with this facecraft")
        head = load_head(metadata.get("head", ""))
        _check_head(path, metadata, head)
        shape, binding = tensors.get("shape", torch.empty(0)), tensors.get("binding", torch.empty(0))
        _check_tensors(path, tensors, head, shape.numel(), len(binding) if binding.ndim else 0)
        gaussians = Gaussians(*(tensors[f"gaussians.{name}"] for name in _gaussian_shapes(0, 1)))
        coin = _read_coin(path, tensors, len(gaussians))
        own = {name: tensors[name] for name in _tensor_shapes(head, 0, 0) if name != "binding"}
        camera, provenance = _read_camera(path, tensors), json.loads(metadata["provenance"])
        rest = {"camera": camera, "provenance": provenance, "coin": coin}
        return cls(head, binding=binding.long(), gaussians=gaussians, **rest, **own)


def render(
    gaussians: Gaussians,
    camera: Camera,
    background: Tensor | None = None,  # [3], None is black
) -> tuple[Tensor, Tensor]:
    """Picture [H, W, 3] over `background` and alpha [H, W], sRGB, not clipped above 1. Differentiable.

    Over black the colours are premultiplied: divide by alpha for straight ones.
    """
    like = gaussians.means
    viewmat = torch.as_tensor(camera.T_camera_world, dtype=like.dtype, device=like.device)
    colors, alphas, _ = rasterize(
        like,
        gaussians.quats,
        gaussians.scales,
        gaussians.opacities,
        seen_colors(gaussians, viewmat).clamp_min(0),  # gsplat's own floor
        viewmat[None],
        torch.as_tensor(camera.K, dtype=like.dtype, device=like.device)[None],
        camera.width,
        camera.height,
        backgrounds=None if background is None else background.to(like)[None],
    )
    return colors[0], alphas[0, ..., 0]


def _tensor_shapes(head: HeadModel, modes: int, count: int) -> dict[str, tuple[int, ...]]:
    return {
        "shape": (modes,),
        "offsets": tuple(head.template.shape),
        "expression": (len(head.expression_names),),
        "gaze": (2, 2),
        "neck": (3,),
        "binding": (count,),
    }


def _gaussian_shapes(count: int, coefficients: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the fields of Gaussians, in their order."""
    return {
        "means": (count, 3),
        "quats": (count, 4),
        "log_scales": (count, 3),
        "logit_opacities": (count,),
        "sh": (count, coefficients, 3),
    }


def _read_file(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read as an avatar ({error}); give an avatar.safetensors") from error


def _check_head(path: Path, metadata: dict[str, str], head: HeadModel) -> None:
    if metadata.get("head_digest") != head.digest:
        found = str(metadata.get("head_digest"))[:12]
        raise InputError(f"{path} has head_digest {found}, the {head.name} head here {head.digest[:12]}; make it again")
    for name, wanted in {"expression_names": list, "provenance": dict}.items():
        try:
            value = json.loads(metadata.get(name, ""))
        except ValueError:
            value = None
        if not isinstance(value, wanted):
            raise InputError(f"{path} has metadata {name} that cannot be read; make it again")
        if name == "expression_names" and tuple(value) != tuple(head.expression_names):
            raise InputError(f"{path} has other expression_names than the {head.name} head; make it again")


def _check_tensors(path: Path, tensors: dict[str, Tensor], head: HeadModel, modes: int, count: int) -> None:
    """Names, shapes, types and values of all tensors; `modes` and `count` are the sizes that only the file knows."""
    wanted = _tensor_shapes(head, modes, count) | {"camera.intrinsics": (6,), "camera.T_camera_world": (4, 4)}
    found = tensors.get("gaussians.sh", torch.empty(0)).shape
    coefficients = found[1] if len(found) == 3 and found[1] in SH_COUNTS else 1
    wanted |= {f"gaussians.{name}": shape for name, shape in _gaussian_shapes(count, coefficients).items()}
    for name, shape in wanted.items():
        if name not in tensors:
            raise InputError(f"{path} has no {name}; make it again")
        if tensors[name].shape != shape:
            raise InputError(
                f"{path} has {name} of shape {list(tensors[name].shape)}, not {list(shape)}; make it again"
            )
        dtype = torch.int32 if name == "binding" else torch.float64 if name.startswith("camera") else torch.float32
        if tensors[name].dtype != dtype:
            raise InputError(f"{path} has {name} of type {tensors[name].dtype}, not {dtype}; make it again")
        if not torch.isfinite(tensors[name]).all():
            raise InputError(f"{path} has a value in {name} that is not finite; make it again")
    if modes > head.shape_count:
        raise InputError(
            f"{path} has shape of {modes} modes, the {head.name} head has {head.shape_count}; make it again"
        )
    if count and not 0 <= tensors["binding"].min() <= tensors["binding"].max() < len(head.faces):
        raise InputError(f"{path} has binding beyond the {len(head.faces)} faces of the head; make it again")


def _read_coin(path: Path, tensors: dict[str, Tensor], count: int) -> dict[str, Tensor]:
    coin = {name: tensor for name, tensor in tensors.items() if name.startswith("coin.")}
    for name, tensor in coin.items():
        if tensor.dtype != torch.float32 or not torch.isfinite(tensor).all():
            raise InputError(f"{path} has a value in {name} that is not a finite float32; make it again")
    for name in _COIN_ROWS if coin else ():
        if name not in coin or coin[name].ndim != 2 or len(coin[name]) != count:
            found = list(coin[name].shape) if name in coin else "nothing"
            raise InputError(f"{path} has {found} for {name}, not a row for each of {count} Gaussians; make it again")
    return coin


def _read_camera(path: Path, tensors: dict[str, Tensor]) -> Camera:
    width, height, *lens = tensors["camera.intrinsics"].tolist()
    sizes_ok = all(1 <= size <= _LARGEST_PICTURE_PX and size == int(size) for size in (width, height))
    if not sizes_ok or min(lens[:2]) <= 0:
        raise InputError(
            f"{path} has camera.intrinsics {[width, height, *lens]}; sizes and focal lengths must be positive"
        )
    pose = tensors["camera.T_camera_world"]
    rotation, last = pose[:3, :3], pose.new_tensor([0, 0, 0, 1])
    if not torch.allclose(rotation @ rotation.mT, torch.eye(3).to(pose), atol=1e-5) or not torch.equal(pose[3], last):
        raise InputError(f"{path} has camera.T_camera_world that is not a rotation and a shift; make it again")
    return Camera(int(width), int(height), *lens, T_camera_world=pose.numpy())
