"""Multi-view video of one head with its pose at every timestep: the folder frames/ that stage B of training reads.

The dataset layout of GaussianAvatars and VHAP: transforms.json whose frames have `timestep_index` and `camera_index`,
images/{timestep:05d}_{camera:02d}.png with alpha, fg_masks/. Where they keep FLAME parameters, head_param_path names a
safetensors file for each timestep, of whatever head the workspace has: channels by name, so that it outlives their order.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from facecraft.avatar import Avatar
from facecraft.camera import Camera, frame_record, read_frames, transforms_text
from facecraft.errors import InputError
from facecraft.head.model import HeadModel, rotations_from_axis_angles
from facecraft.image import SYNTHETIC, read_picture, write_png
from facecraft.splats.target import Shot

FOLDER = "frames"
MOST_TIMESTEPS, MOST_CAMERAS = 100_000, 100


@dataclass(frozen=True)
class HeadPoses:
    """The pose of a head at T timesteps."""

    expression: Tensor  # [T, E] channels in the order of the head
    gaze: Tensor  # [T, 2, 2] rad
    neck: Tensor  # [T, 3] rad
    rotation: Tensor  # [T, 3] of the whole head, axis times angle, rad, about the origin
    translation: Tensor  # [T, 3] m

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def pose_head(avatar: Avatar, pose: Mapping[str, Tensor]) -> Tensor:
    """Vertices [V, 3] of one timestep, m; `pose` has the tensors of HeadPoses without T. Differentiable in all of them."""
    vertices = avatar.vertices(pose["expression"], pose["gaze"], pose["neck"])
    return vertices @ rotations_from_axis_angles(pose["rotation"]).mT + pose["translation"]


@dataclass(frozen=True)
class Frames:
    """The pictures of a video, read when they are asked for."""

    poses: HeadPoses
    entries: tuple[tuple[int, int, Camera, Path], ...]  # timestep, camera (both counted from 0), camera, picture

    @property
    def cameras(self) -> int:
        """How many cameras took the pictures."""
        return 1 + max(entry[1] for entry in self.entries)

    def shots(self, first_view: int) -> list[Shot]:
        """All pictures to train on; the views of the video are numbered from `first_view`."""
        return [
            Shot(camera, "texture", first_view + number, _Reader(path), timestep=timestep)
            for timestep, number, camera, path in self.entries
        ]


@dataclass(frozen=True)
class _Reader:
    path: Path

    def __call__(self) -> tuple[np.ndarray, np.ndarray]:
        picture = read_picture(self.path)
        return picture.rgb, picture.alpha


def save_frames(
    output,  # from a name to the path to write, such as StageRun.output
    head: HeadModel,
    poses: HeadPoses,
    cameras: list[Camera],
    pictures: Iterable[tuple[int, int, np.ndarray]],  # timestep, camera, [H, W, 4] straight alpha
) -> None:
    """Write frames/; `pictures` are taken one by one."""
    for timestep in range(len(poses.expression)):
        tensors = {name: value[timestep].detach().cpu().contiguous() for name, value in poses.tensors().items()}
        metadata = {"head": head.name, "expression_names": json.dumps(head.expression_names)}
        save_file(tensors, output(f"{FOLDER}/{_param_name(timestep)}"), metadata)
    frames = []
    for timestep, number, rgba in pictures:
        name = f"{timestep:05d}_{number:02d}.png"
        write_png(output(f"{FOLDER}/images/{name}"), rgba, SYNTHETIC)
        write_png(output(f"{FOLDER}/fg_masks/{name}"), rgba[..., 3])
        paths = {"file_path": f"images/{name}", "mask_path": f"fg_masks/{name}", "fg_mask_path": f"fg_masks/{name}"}
        paths |= {"head_param_path": _param_name(timestep)}
        numbers = {"timestep_index": timestep, "camera_index": number}
        frames.append(frame_record(cameras[number], **paths, **numbers))
    indices = {"timestep_indices": list(range(len(poses.expression))), "camera_indices": list(range(len(cameras)))}
    output(f"{FOLDER}/transforms.json").write_text(transforms_text(frames, **indices))


def _param_name(timestep: int) -> str:
    return f"head_param/{timestep:05d}.safetensors"


def load_frames(workspace, head: HeadModel) -> Frames | None:
    """The video of a workspace, or None when it has none. InputError names the file and field that is wrong."""
    path = workspace / FOLDER / "transforms.json"
    if not path.is_file():
        return None
    found, entries, params = read_frames(path), [], {}
    for frame, camera in found:
        timestep, number = (_index(path, frame, key, most) for key, most in _COUNTS.items())
        picture = _inside(path, frame, "file_path")
        params[timestep] = _inside(path, frame, "head_param_path")
        entries.append((timestep, number, camera, picture))
        with Image.open(picture) as image:
            if image.size != (camera.width, camera.height):
                raise InputError(
                    f"{picture} is {image.width}x{image.height}, its camera {camera.width}x{camera.height}"
                )
    if not entries or sorted(params) != list(range(len(params))):
        raise InputError(f"{path} must have timestep_index 0, 1, 2 ... without gaps; it has {len(params)} timesteps")
    poses = [_read_pose(params[timestep], head) for timestep in range(len(params))]
    return Frames(HeadPoses(**{name: torch.stack([pose[name] for pose in poses]) for name in poses[0]}), tuple(entries))


_COUNTS = {"timestep_index": MOST_TIMESTEPS, "camera_index": MOST_CAMERAS}


def _index(path: Path, frame: dict, key: str, most: int) -> int:
    value = frame.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < most:
        raise InputError(f"{path} has {key} {value!r}; it must be an integer from 0 to {most - 1}")
    return value


def _inside(path: Path, frame: dict, key: str) -> Path:
    """The file that a frame names, which must lie in the folder of `path`."""
    name = frame.get(key)
    file = path.parent / name if isinstance(name, str) else path.parent
    if not file.is_file() or not file.resolve().is_relative_to(path.parent.resolve()):
        raise InputError(f"{path} has {key} {name!r}, which is no file below {path.parent}")
    return file


def _read_pose(path: Path, head: HeadModel) -> dict[str, Tensor]:
    shapes = {"expression": (-1,), "gaze": (2, 2), "neck": (3,), "rotation": (3,), "translation": (3,)}
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            pose = {name: file.get_tensor(name) for name in shapes if name in file.keys()}
            names = json.loads(metadata.get("expression_names", "null"))
    except (OSError, SafetensorError, ValueError) as error:
        raise InputError(f"{path} cannot be read as the pose of a head ({error})") from error
    if not isinstance(names, list) or pose.get("expression", torch.empty(0)).shape != (len(names),):
        raise InputError(f"{path} has expression that does not fit its expression_names")
    for name, shape in shapes.items():
        tensor = pose.get(name)
        if tensor is None or (shape != (-1,) and tensor.shape != shape) or not torch.isfinite(tensor).all():
            raise InputError(f"{path} has {name} that is missing, misshapen or not finite")
    channels = dict(zip(names, pose["expression"].tolist(), strict=True))
    return {name: tensor.float() for name, tensor in pose.items()} | {
        "expression": head.expression_vector(channels)[0].float()
    }
