"""What came out, on one page: the contact sheet, and the measures of an avatar against its photo."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from facecraft.avatar import Avatar
from facecraft.drive import parse_expression
from facecraft.face.landmarks import read_landmarks, sees_face
from facecraft.face.portrait import Source, load_source
from facecraft.image import crop_square
from facecraft.metrics.faces import keypoint_distance
from facecraft.metrics.pixels import psnr
from facecraft.shots import Shot, orbit_cameras, render_shots
from facecraft.workspace import Workspace

TURNS_DEG = {"-30": -30.0, "+30": 30.0, "-60": -60.0, "+60": 60.0, "back": 180.0}
"""Panel of the sheet -> azimuth of its camera; + looks from the subject's left."""

EXPRESSIONS = {"jawOpen": "jawOpen=0.6", "smile": "smile=0.8", "blink": "blink=1"}
"""Panel of the sheet -> expression on the neutral face, as `parse_expression` reads it."""

SEEN_SHARE = 0.5
"""Alpha from which a pixel counts as inside the matte."""


@dataclass(frozen=True)
class Likeness:
    """How an avatar compares with its photo."""

    psnr_db: float  # at the source camera, inside the matte
    landmark_percent: (
        float  # mean distance of MediaPipe's landmarks, render to photo, in % of the face width; nan: no face
    )
    faces_found: dict[int, bool]  # azimuth in degrees -> whether MediaPipe's detector sees a face there


def contact_sheet(workspace: Workspace, size: int = 256) -> np.ndarray:
    """Photo, source view, turns and expressions side by side with captions, [size + a line, 10 size, 3], on white."""
    avatar, source = Avatar.load(workspace.require("avatar/avatar.safetensors")), load_source(workspace)
    panels = {"photo": crop_square(_over_white(source), 0, 0, source.alpha.shape[1], size)}
    panels["source view"] = _render(avatar, [source_shot(avatar, size)])[0]
    panels |= dict(zip(TURNS_DEG, _render(avatar, turned_shots(avatar, size, list(TURNS_DEG.values()))), strict=True))
    panels |= dict(
        zip(EXPRESSIONS, _render(avatar, [_posed(avatar, size, e) for e in EXPRESSIONS.values()]), strict=True)
    )
    return np.concatenate([_captioned(picture, name) for name, picture in panels.items()], 1)


def source_shot(avatar: Avatar, size: int) -> Shot:
    """The pose and camera of the photo at `size` px."""
    return Shot(avatar.camera.resized(size, size), avatar.expression, avatar.gaze, avatar.neck)


def turned_shots(avatar: Avatar, size: int, azimuths_deg: list[float]) -> list[Shot]:
    """The face of the photo seen from around."""
    cameras = orbit_cameras(avatar, size, azimuths_deg)
    return [Shot(camera, avatar.expression, avatar.gaze, torch.zeros(3)) for camera in cameras]


def _posed(avatar: Avatar, size: int, expression: str) -> Shot:
    weights = parse_expression(expression)
    channels = torch.tensor([weights.get(name, 0.0) for name in avatar.head.expression_names])
    return Shot(orbit_cameras(avatar, size, [0.0])[0], channels, torch.zeros(2, 2), torch.zeros(3))


def _render(avatar: Avatar, shots: list[Shot]) -> list[np.ndarray]:
    return list(render_shots(avatar, shots, torch.ones(3)))


def _over_white(source: Source) -> np.ndarray:
    return source.image * source.alpha[..., None] + 1 - source.alpha[..., None]


def _captioned(picture: np.ndarray, text: str) -> np.ndarray:
    """The picture with a white line of text above it, a tenth of its height."""
    height, width = picture.shape[:2]
    line = Image.new("RGB", (width, height // 10), "white")
    font = ImageFont.load_default(size=height / 14)
    ImageDraw.Draw(line).text((width / 2, height / 20), text, "black", font, anchor="mm")
    return np.concatenate([np.asarray(line, np.float32) / 255, picture.astype(np.float32)])


def measure_likeness(workspace: Workspace, azimuths_deg: tuple[int, ...] = (-60, -30, 30, 60)) -> Likeness:
    """Compare the avatar with the photo of its workspace, at the size of the photo's crop."""
    avatar, source = Avatar.load(workspace.require("avatar/avatar.safetensors")), load_source(workspace)
    photo, size = _over_white(source), source.alpha.shape[0]
    view = _render(avatar, [source_shot(avatar, size)])[0]
    turned = _render(avatar, turned_shots(avatar, size, list(azimuths_deg)))
    return Likeness(
        psnr(view, photo, source.alpha > SEEN_SHARE),
        landmark_distance(view, photo),
        {azimuth: sees_face(picture) for azimuth, picture in zip(azimuths_deg, turned, strict=True)},
    )


def landmark_distance(
    picture: np.ndarray,  # [H, W, 3]
    photo: np.ndarray,  # [H, W, 3]
) -> float:
    """Mean distance of MediaPipe's 478 landmarks in two pictures, in % of the photo's face width; nan without a face."""
    found, wanted = read_landmarks(picture), read_landmarks(photo)
    if found is None or wanted is None:
        return float("nan")
    return keypoint_distance(found[:, :2], wanted[:, :2])[1]
