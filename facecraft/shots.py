"""Shots: which camera sees which pose, frame by frame; and their pictures."""

import math
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facecraft.avatar import Avatar, render
from facecraft.camera import Camera, frame_record, orbit_camera, read_frames, transforms_text
from facecraft.device import torch_device
from facecraft.drive import (
    ARKIT_NAMES,
    Motion,
    finite_number,
    parse_expression,
    parse_turn,
    still_motion,
)
from facecraft.errors import InputError
from facecraft.footage import is_video, open_motion
from facecraft.image import SYNTHETIC, to_bytes, write_png
from facecraft.progress import track
from facecraft.retarget import perform
from facecraft.video import VideoWriter, copy_audio

ORBIT_S = 4.0
STRONGEST_EDIT = 2.0
_FILL = 0.8
"""Share of the shorter side of the picture that the head takes in front and orbit views."""

_COLOURS = {"white": (1.0, 1.0, 1.0), "black": (0.0, 0.0, 0.0)}


@dataclass(frozen=True)
class Shot:
    """One frame: a camera and a pose."""

    camera: Camera
    expression: Tensor  # [E] order of the head's channels
    gaze: Tensor  # [2, 2] rad
    neck: Tensor  # [3] rad


def film(
    avatar_file: Path,
    edit: str,  # as of parse_edits
    look: dict,  # the arguments of plan_shots but the avatar
    background: str,
    device: str,
    folder: Path,
    video: Path,
) -> None:
    """Render what `facecraft render` asks for: plan the shots and write them, see plan_shots and write_shots."""
    colour, place, edits = parse_background(background), torch_device(device), parse_edits(edit)
    avatar = Avatar.load(avatar_file).edited(edits)
    shots = plan_shots(avatar, **look)
    write_shots(avatar.to(place), shots, colour, look["fps"], folder, video)
    if is_video(look["motion"]) and video.exists():
        copy_audio(Path(look["motion"]), video)


def plan_shots(
    avatar: Avatar,
    camera: str = "",
    motion: str = "",
    expression: str = "",
    head_turn: str = "0,0,0",
    size: int = 512,
    fps: float = 25,
) -> list[Shot]:
    """The frames that the options of `facecraft render` ask for.

    `camera`: front, source, orbit (once around in the time of the motion, else 4 s) or a transforms.json, whose cameras
    are stretched over the motion; the default is orbit for the turntable, else front. `motion`: a built-in name, a file
    of one, or a video, which is tracked and retargeted. Weights of motion and expression add up; with neither, the face keeps the expression of the photo. `size` is the
    longer side in pixels. InputError for what cannot be understood.
    """
    weights, turn = parse_expression(expression), parse_turn(head_turn)
    camera = camera or ("orbit" if motion == "turntable" else "front")
    moves = open_motion(motion, fps) if motion else None
    cameras = None if camera == "orbit" else _cameras(avatar, camera, size)
    count = len(moves) if moves else round(ORBIT_S * fps) if cameras is None else len(cameras)
    cameras = cameras or orbit_cameras(avatar, size, np.arange(count) * 360 / count)
    if moves is None:
        moves = still_motion(count, fps) if weights else _source_motion(avatar, count, fps)
    moves = moves.added(weights, turn)
    channels = moves.expression_for(avatar.head.expression_names)
    if motion:
        channels = perform(avatar.head, avatar.shape, avatar.offsets, avatar.expression, channels)
    poses = (torch.from_numpy(values).float() for values in (channels, moves.gaze, moves.neck))
    chosen = [cameras[i * len(cameras) // count] for i in range(count)]
    return [Shot(*frame) for frame in zip(chosen, *poses, strict=True)]


def _source_motion(avatar: Avatar, count: int, fps: float) -> Motion:
    """`count` frames of the pose in the photo."""
    weights = dict(zip(avatar.head.expression_names, avatar.expression.tolist(), strict=True))
    row = np.array([weights.get(name, 0.0) for name in ARKIT_NAMES])
    still = still_motion(count, fps)
    return Motion(
        still.expression + row, still.neck + avatar.neck.numpy(), still.gaze + avatar.gaze.numpy(), still.times
    )


def _cameras(avatar: Avatar, name: str, size: int) -> list[Camera]:
    if name == "front":
        return orbit_cameras(avatar, size, [0.0])
    if name == "source":
        return [_sized(avatar.camera, size)]
    if not Path(name).is_file():
        raise InputError(f"camera {name!r} is neither a file nor front, source or orbit; check the name")
    cameras = [camera for _, camera in read_frames(Path(name))]
    if any(min(camera.width, camera.height, camera.fx, camera.fy) <= 0 for camera in cameras):
        raise InputError(f"camera {name} has a size or focal length that is not positive; mend w, h, fl_x, fl_y")
    cameras = [_sized(camera, size) for camera in cameras]
    if len({(camera.width, camera.height) for camera in cameras}) != 1:
        raise InputError(f"camera {name} has no frames, or frames of several shapes; give cameras of one shape")
    return cameras


def _sized(camera: Camera, size: int) -> Camera:
    scale = size / max(camera.width, camera.height)
    return camera.resized(max(1, round(camera.width * scale)), max(1, round(camera.height * scale)))


def orbit_cameras(avatar: Avatar, size: int, azimuths_deg) -> list[Camera]:
    """Square views of the source's focal length from around the head, which stays whole in all of them."""
    centre, radius = head_sphere(avatar)
    source = avatar.camera.resized(size, round(size * avatar.camera.height / avatar.camera.width))
    like = Camera(size, size, source.fx, source.fx, size / 2, size / 2)
    distance = radius / math.sin(math.atan(_FILL * size / 2 / like.fx))
    return [orbit_camera(like, float(azimuth), 0.0, centre, distance) for azimuth in azimuths_deg]


@torch.no_grad()
def head_sphere(avatar: Avatar) -> tuple[np.ndarray, float]:
    """Centre [3] and radius, m, of a sphere around the neutral head with its hair; neck and shoulders may stand out."""
    root = avatar.head.joint_names.index("root")
    turns_with_head = avatar.head.skin_weights[:, root] < 0.5
    seen = avatar.gaussians.opacities > 0.1
    index = turns_with_head[avatar.head.faces[avatar.binding]].all(1) & seen
    points = avatar.pose().means[index].numpy() if index.any() else avatar.vertices().numpy()
    low, high = np.percentile(points, [0.5, 99.5], axis=0)  # a few stray Gaussians must not shrink the head
    centre = (low + high) / 2
    return centre, float(np.percentile(np.linalg.norm(points - centre, axis=1), 99))


def parse_background(text: str) -> Tensor | None:
    """Colour [3] of white, black or #rrggbb; None for transparent."""
    if text == "transparent":
        return None
    if text in _COLOURS:
        return torch.tensor(_COLOURS[text])
    if not re.fullmatch("#[0-9a-fA-F]{6}", text):
        raise InputError(f"background {text!r} is not known; use white, black, transparent or #rrggbb")
    return torch.tensor([int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)])


def parse_edits(text: str) -> dict[str, float]:
    """Amounts by name of a text such as "age=+0.3,weight=-0.2"; InputError beyond [-2, 2]."""
    amounts = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = (piece.strip() for piece in part.partition("="))
        value = finite_number(number)
        if value is None or abs(value) > STRONGEST_EDIT:
            raise InputError(f"edit {part!r} has no amount in [-2, 2]; write for example age=+0.3,noseLength=-0.2")
        amounts[name] = value
    return amounts


@torch.inference_mode()
def render_shots(
    avatar: Avatar,
    shots: list[Shot],
    background: Tensor | None,  # [3], None is transparent
) -> Iterator[np.ndarray]:
    """Pictures [H, W, 3] in [0, 1], or [H, W, 4] with straight alpha when transparent."""
    for shot in shots:
        device = avatar.binding.device
        pose = (part.to(device) for part in (shot.expression, shot.gaze, shot.neck))
        rgb, alpha = render(avatar.pose(*pose), shot.camera, background)
        if background is None:
            rgb = torch.cat([rgb / alpha.clamp_min(1e-6)[..., None], alpha[..., None]], -1)
        yield rgb.clamp(0, 1).cpu().numpy()


def write_shots(
    avatar: Avatar,
    shots: list[Shot],
    background: Tensor | None,  # [3], None is transparent
    fps: float,
    folder: Path,
    video: Path,
) -> None:
    """Write the frames and their cameras as a nerfstudio dataset into `folder`; more than one also as mp4 to `video`.

    The video of transparent frames is over white.
    """
    records = []
    with ThreadPoolExecutor(1) as pool, VideoWriter(video, fps) as writer:
        written = pool.submit(lambda: None)
        for i, picture in enumerate(track(render_shots(avatar, shots, background), "render", len(shots))):
            name = f"{i:05d}_00.png"
            written.result()  # one PNG is packed while the next frame is rendered
            written = pool.submit(write_png, folder / name, picture, SYNTHETIC)
            records.append(frame_record(shots[i].camera, file_path=name, timestep_index=i, camera_index=0))
            if len(shots) > 1:
                writer.write(to_bytes(picture if background is not None else _over_white(picture)))
        written.result()
    (folder / "transforms.json").write_text(transforms_text(records, synthetic=True))


def _over_white(rgba: np.ndarray) -> np.ndarray:
    return rgba[..., :3] * rgba[..., 3:] + 1 - rgba[..., 3:]
