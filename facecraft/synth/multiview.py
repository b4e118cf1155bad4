"""A synthetic subject filmed by many cameras, in the layout that VHAP writes for NeRSemble and GaussianAvatars reads.

`images/TTTTT_CC.png` with alpha, `fg_masks/`, `transforms.json` and its train, val and test parts. Where VHAP has parameters
of FLAME, there are those of the open head: `head_param/TTTTT.npz`, and `canonical_head_param.npz`.
"""

import json
from pathlib import Path

import numpy as np

from facecraft.camera import Camera, frame_record, transforms_text
from facecraft.drive import Motion, built_in_motion
from facecraft.errors import InputError
from facecraft.head.model import load_head
from facecraft.image import SYNTHETIC, write_png
from facecraft.progress import track
from facecraft.records import write_atomic
from facecraft.synth.picture import Pose, take_picture
from facecraft.synth.scene import Scene, make_pose, plain
from facecraft.synth.subject import Subject
from facecraft.synth.viewpoint import ring_camera

AZIMUTHS = np.linspace(-93, 93, 8)
ELEVATIONS = (-8, 18)
"""Two rows of eight cameras around the front, as the rig of NeRSemble (Kirschstein et al. 2023)."""
VAL_CAMERA = 8
TRAIN_SHARE = 0.7
FPS = 12.0


def rig(size: int) -> list[Camera]:
    """The sixteen cameras; number 8, in front, is left for validation."""
    cameras = [ring_camera(size, azimuth, elevation) for elevation in ELEVATIONS for azimuth in AZIMUTHS]
    front = int(np.argmin(np.abs(AZIMUTHS - 13)))
    cameras[VAL_CAMERA], cameras[front] = cameras[front], cameras[VAL_CAMERA]
    return cameras


def write_multiview(folder: Path, subject: Subject, frames: int, size: int, force: bool = False) -> Path:
    """`frames` timesteps of one person from sixteen sides. A finished folder with the same options is kept."""
    options = {"split": subject.split, "seed": subject.seed, "index": subject.index, "frames": frames, "size": size}
    done = folder / "subject.json"
    if done.is_file() and not force:
        if json.loads(done.read_text()).get("options") != options:
            raise InputError(f"{folder} was made with other options; name another folder or use --force")
        return folder
    for name in ("images", "fg_masks", "head_param"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    scene, cameras = Scene(subject, size), rig(size)
    kind, light = scene.light()
    records, exposure = [], None
    for t, pose in enumerate(track(_poses(subject, frames), "timesteps", frames)):
        lit = scene.lit(pose, light)
        exposure = exposure or lit.exposure  # a film has one exposure
        lit = lit.exposed(exposure)
        _write_params(folder / f"head_param/{t:05d}.npz", scene, pose)
        for number, camera in enumerate(cameras):
            name = f"{t:05d}_{number:02d}.png"
            picture = take_picture(lit, camera)
            rgba = np.concatenate([picture.rgb, picture.alpha[..., None]], 2)
            write_png(folder / "images" / name, rgba, SYNTHETIC)
            write_png(folder / "fg_masks" / name, picture.alpha)
            records.append(_record(camera, t, number, name))
    _write_params(folder / "canonical_head_param.npz", scene, make_pose({}))
    _write_transforms(folder, records, frames)
    about = scene.describe() | {"options": options, "light": kind, "fps": FPS, "synthetic": True}
    write_atomic(done, json.dumps(plain(about), indent=1).encode())
    return folder


def _poses(subject: Subject, frames: int) -> list[Pose]:
    """A stretch of the built-in motions, which one and from where by chance; looped when it is too short."""
    rng = subject.stream("motion")
    motion: Motion = built_in_motion(str(rng.choice(["expressions", "talking"])), FPS)
    start = int(rng.integers(len(motion)))
    names = load_head().expression_names
    weights = motion.expression_for(names)
    order = (start + np.arange(frames)) % len(motion)
    return [make_pose(dict(zip(names, weights[t], strict=True)), motion.gaze[t], motion.neck[t]) for t in order]


def _record(camera: Camera, t: int, number: int, name: str) -> dict:
    angles = {
        "camera_angle_x": 2 * float(np.arctan(camera.width / (2 * camera.fx))),
        "camera_angle_y": 2 * float(np.arctan(camera.height / (2 * camera.fy))),
    }
    return frame_record(
        camera,
        timestep_index=t,
        timestep_index_original=t,
        timestep_id=f"frame_{t:05d}",
        camera_index=number,
        camera_id=f"cam_{number:02d}",
        file_path=f"images/{name}",
        mask_path=f"fg_masks/{name}",
        fg_mask_path=f"fg_masks/{name}",
        head_param_path=f"head_param/{t:05d}.npz",
        **angles,
    )


def _write_params(path: Path, scene: Scene, pose: Pose) -> None:
    avatar = scene.figure.avatar
    arrays = {
        "shape": avatar.shape,
        "offsets": avatar.offsets[None],
        "expression": pose.expression[None],
        "gaze": pose.gaze[None],
        "neck": pose.neck[None],
    }
    np.savez(path, **{name: np.asarray(value, np.float32) for name, value in arrays.items()})


def _write_transforms(folder: Path, records: list[dict], frames: int) -> None:
    train_steps = max(round(TRAIN_SHARE * frames), 1)
    early = [r for r in records if r["timestep_index"] < train_steps]
    parts = {
        "": records,
        "_train": [r for r in early if r["camera_index"] != VAL_CAMERA],
        "_val": [r for r in early if r["camera_index"] == VAL_CAMERA],
        "_test": [r for r in records if r["timestep_index"] >= train_steps],
    }
    for suffix, part in parts.items():
        top = {
            "timestep_indices": sorted({r["timestep_index"] for r in part}),
            "camera_indices": sorted({r["camera_index"] for r in part}),
            "synthetic": True,
        }
        write_atomic(folder / f"transforms{suffix}.json", transforms_text(part, **top).encode())
