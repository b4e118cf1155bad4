"""A set of views of one head: pictures with alpha, cameras and depth, kept as a nerfstudio dataset."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from facecraft.camera import Camera, frame_record, read_frames, transforms_text
from facecraft.errors import InputError
from facecraft.image import SYNTHETIC, read_picture, write_png


@dataclass(frozen=True)
class View:
    """One picture of the head. `weight` says how much to trust it: the photo more than what was completed."""

    camera: Camera
    rgb: np.ndarray  # [H, W, 3] straight colour
    alpha: np.ndarray  # [H, W]
    depth: np.ndarray  # [H, W] z in m, 0 = nothing
    kind: str  # "photo" or "texture"
    weight: float = 1.0
    expression: dict[str, float] | None = None  # channels by name; None is the photo's


def save_views(run, folder: str, views: list[View]) -> None:
    """Write views below `folder` of a workspace: transforms.json, images/, fg_masks/, depths/ (16 bit, mm)."""
    frames = []
    for number, view in enumerate(views):
        name = f"00000_{number:02d}.png"
        write_png(
            run.output(f"{folder}/images/{name}"), np.concatenate([view.rgb, view.alpha[..., None]], -1), SYNTHETIC
        )
        write_png(run.output(f"{folder}/fg_masks/{name}"), view.alpha)
        millimetres = (view.depth * 1000).round().clip(0, 65535).astype(np.uint16)
        Image.fromarray(millimetres).save(run.output(f"{folder}/depths/{name}"))
        paths = {"file_path": f"images/{name}", "depth_file_path": f"depths/{name}"}
        paths |= {"mask_path": f"fg_masks/{name}", "fg_mask_path": f"fg_masks/{name}"}
        extra = {"timestep_index": 0, "camera_index": number, "kind": view.kind, "weight": view.weight}
        if view.expression is not None:
            extra["expression"] = view.expression
        frames.append(frame_record(view.camera, **paths, **extra))
    run.output(f"{folder}/transforms.json").write_text(transforms_text(frames))


def load_views(workspace, folder: str) -> list[View]:
    """The views below `folder`. WorkspaceError when they are missing, InputError when a picture's size is not its camera's."""
    views = []
    for frame, camera in read_frames(workspace.require(f"{folder}/transforms.json")):
        path = workspace.require(f"{folder}/{frame['file_path']}")
        picture = read_picture(path)
        if picture.alpha.shape != (camera.height, camera.width):
            found = "x".join(map(str, picture.alpha.shape[::-1]))
            raise InputError(f"{path} is {found}, its camera {camera.width}x{camera.height}; make the views again")
        depth = np.asarray(Image.open(workspace.require(f"{folder}/{frame['depth_file_path']}")), np.float32) / 1000
        kind, weight, expression = frame["kind"], float(frame["weight"]), frame.get("expression")
        views.append(View(camera, picture.rgb, picture.alpha, depth, kind, weight, expression))
    return views
