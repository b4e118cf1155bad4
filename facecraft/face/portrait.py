"""The portrait: one person of a photo, cropped to a normal scale, cut out, with landmarks, camera and a report."""

import json
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from facecraft.camera import Camera, frame_record, read_frames, transforms_text
from facecraft.errors import InputError, WorkspaceError
from facecraft.face import irises, matte, matting
from facecraft.face import landmarks as faces
from facecraft.face.landmarks import Face, find_faces, find_landmarks
from facecraft.image import Picture, crop_square, read_picture, write_png
from facecraft.mesh.light import LUMINANCE
from facecraft.progress import log
from facecraft.workspace import Workspace

SMALLEST_FACE_PX, SMALL_FACE_PX = 64, 150
CROP_SIDE = 2.9
"""Side of the crop in face heights; more, up to LARGEST_CROP_SIDE, where hair or a hat needs it."""
LARGEST_CROP_SIDE = 4.5
RISE = 0.1
"""How far the middle of the crop is above the middle of the face, in face heights: there is more above a face than below."""
MARGIN = 0.12
"""Room kept between hair and the edge of the crop, in face heights."""
PRIOR_FOCAL = 2.75
"""Focal length of a photo without EXIF, in sides of the normal crop: the camera is then 1.4 m from the face."""
BLURRED = 0.01
"""Sharpness of a face scaled to 128 px under which a photo counts as blurred: a blur of about 1 % of the face's height."""
FACE_HEIGHT_M = 0.177
"""From the top of the forehead to the chin (landmarks 10 and 152) of MediaPipe's canonical face."""
HEAD_FROM_CAMERA = np.diag([1.0, -1.0, -1.0])


@dataclass(frozen=True)
class Portrait:
    """What `preprocess` makes of a photo; landmarks [478, 3] in crop pixels and, as `photo_landmarks`, in the photo's."""

    image: np.ndarray
    alpha: np.ndarray
    landmarks: np.ndarray
    photo_landmarks: np.ndarray
    T_crop_photo: np.ndarray
    camera: Camera
    report: dict

    def save(self, run, number: int = 0) -> None:
        """Write the folder of photo `number` of a workspace through a stage's run."""
        folder, name = source_folder(number), f"{number:05d}_00.png"
        rgba = np.concatenate([self.image, self.alpha[..., None]], -1)
        write_png(run.output(f"{folder}/images/{name}"), rgba)
        write_png(run.output(f"{folder}/fg_masks/{name}"), self.alpha)
        np.savez(
            run.output(f"{folder}/landmarks.npz"),
            landmarks=self.landmarks.astype(np.float32),
            photo_landmarks=self.photo_landmarks.astype(np.float32),
            T_crop_photo=self.T_crop_photo,
        )
        names = {"file_path": f"images/{name}", "mask_path": f"fg_masks/{name}", "fg_mask_path": f"fg_masks/{name}"}
        frame = frame_record(self.camera, **names, timestep_index=number, camera_index=0)
        run.output(f"{folder}/transforms.json").write_text(transforms_text([frame]))
        run.output(f"{folder}/report.json").write_text(json.dumps(self.report, indent=1))


@dataclass(frozen=True)
class Source:
    """The cropped portrait of a workspace: sRGB `image` [H, W, 3] of the person alone, straight `alpha` [H, W],
    `landmarks` [478, 3] in pixels, the camera (its pose is a guess until fit-3dmm), the report."""

    image: np.ndarray
    alpha: np.ndarray
    landmarks: np.ndarray
    camera: Camera
    report: dict


def source_folder(number: int) -> str:
    """Where photo `number` of a person is in the workspace; 0 is the reference."""
    return f"source/more/{number:05d}" if number else "source"


def load_source(workspace: Workspace, number: int = 0) -> Source:
    """What preprocess wrote of photo `number`. WorkspaceError when it has not run or a file is damaged, InputError for a
    damaged picture."""
    folder = source_folder(number)
    (frame, camera), *_ = read_frames(workspace.require(f"{folder}/transforms.json"))
    picture = read_picture(workspace.require(f"{folder}/{frame['file_path']}"))
    try:
        with open(workspace.require(f"{folder}/landmarks.npz"), "rb") as file, np.load(file) as arrays:
            points = arrays["landmarks"].astype(np.float64)
        report = json.loads(workspace.require(f"{folder}/report.json").read_text())
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise WorkspaceError(
            f"{workspace.path}/{folder} is damaged ({error}); run `facecraft preprocess --force` again"
        ) from error
    return Source(picture.rgb, picture.alpha, points, camera, report)


def model_files() -> dict[str, Path]:
    """The networks that preprocess runs, by name: MediaPipe's and the irises'."""
    with faces.quiet_mediapipe() as mp:
        folder = Path(mp.__file__).parent / "modules"
    names = (*faces.MODEL_FILES, matte.MODEL_FILE)
    return {f"mediapipe/{Path(name).stem}": folder / name for name in names} | {"facecraft/irises": irises.SHIPPED}


def preprocess(photo: Path, size: int = 512, face: int | None = None) -> Portrait:
    """Portrait of the largest face of a photo, or of face number `face` (from 1, left to right), `size` px square.

    InputError: what `read_picture` refuses; no face; a face under 64 px; a number that no face has.
    """
    picture = read_picture(photo)
    picture = replace(picture, rgb=picture.flat)
    found = find_faces(picture.rgb)
    index = _choose(photo, found, face)
    chosen, others = found[index], [f for i, f in enumerate(found) if i != index]
    _check_size(photo, chosen)
    left, top, side = _frame(picture, chosen, others)
    T = np.diag([size / side, size / side, 1.0])
    T[:2, 2] = -np.array([left, top]) * size / side
    crop = crop_square(picture.rgb, left, top, side, size)
    found_again = find_landmarks(crop, _to_crop(chosen, T).box, 0.3)
    points = (found_again or _to_crop(chosen, T)).landmarks
    inside = _shown(picture, left, top, side, size)
    near = [_to_crop(f, T) for f in others]
    if picture.is_cut_out:
        alpha = matte.trim(crop_square(picture.alpha, left, top, side, size) * inside, Face(points), near)
    else:
        alpha = matte.cut_out(crop, Face(points), near, inside)
    camera, focal_note = _camera(picture, Face(points), T, size)
    report = {
        "photo": Path(photo).name,
        "photo_size": [picture.rgb.shape[1], picture.rgb.shape[0]],
        "faces": [_describe(i, f) for i, f in enumerate(found, 1)],
        "chosen": {"number": index + 1, "why": "asked for" if face else "the largest" if others else "the only one"},
        "crop": {"left": left, "top": top, "side": side, "size": size, "side_in_face_heights": side / chosen.height},
        "focal": {"px": camera.fx, "source": focal_note},
        "matte": "the picture's own transparency" if picture.is_cut_out else "segmentation and closed-form matting",
        **_judge(picture, chosen),
    }
    for warning in report["warnings"]:
        log.warning(warning)
    image = matting.estimate_foreground(crop, alpha)
    return Portrait(image, alpha, points, _from_crop(points, T), T, camera, report)


def _choose(photo: Path, found: list[Face], number: int | None) -> int:
    if not found:
        raise InputError(f"{photo} shows no face; give a photo in which both eyes and the mouth can be seen")
    if number is None:
        largest = int(np.argmax([f.height for f in found]))
        if len(found) > 1:
            others = "another" if len(found) == 2 else "others"
            log.info(
                f"{Path(photo).name} has {len(found)} faces; number {largest + 1}, the largest, is taken; --face picks {others}"
            )
        return largest
    if not 1 <= number <= len(found):
        listed = ", ".join(f"{i} at x={f.centre[0]:.0f} ({f.height:.0f} px)" for i, f in enumerate(found, 1))
        raise InputError(f"face {number} does not exist in {photo}; choose one of: {listed}")
    return number - 1


def _check_size(photo: Path, face: Face) -> None:
    if face.height < SMALLEST_FACE_PX:
        raise InputError(
            f"the face in {photo} is {face.height:.0f} px high, at least {SMALLEST_FACE_PX} are needed; "
            f"give a larger or closer picture"
        )


def _frame(picture: Picture, face: Face, others: list[Face]) -> tuple[float, float, float]:
    """Left, top and side of the crop, px: a fixed multiple of the face, enlarged until hair and hat fit."""
    unit = face.height
    wide = 1.2 * LARGEST_CROP_SIDE * unit
    corner = face.centre - [wide / 2, wide / 2]
    scale = 512 / wide
    T = np.array([[scale, 0, -corner[0] * scale], [0, scale, -corner[1] * scale], [0, 0, 1]])
    small = _to_crop(face, T)
    rgb = crop_square(picture.rgb, *corner, wide, 512)
    person = matte.segment_head(rgb, small) * _shown(picture, *corner, wide, 512)
    person *= ~matte.belongs_to_others(small, [_to_crop(f, T) for f in others], 512)
    person *= matte.keep_person(person, small) * matte.bust_window(small, 512)
    side = crop_side(person, small) * unit
    if side > (CROP_SIDE + 0.05) * unit:
        log.info(f"the crop is {side / unit:.1f} face heights wide instead of {CROP_SIDE} to take in the hair")
    left, top = face.centre - [side / 2, side / 2 + RISE * unit]
    return float(left), float(top), side


def crop_side(person: np.ndarray, face: Face) -> float:
    """Side in face heights of the crop that a person [H, W] needs, between CROP_SIDE and LARGEST_CROP_SIDE."""
    y, x = np.nonzero(person > 0.5)
    if not len(y):
        return CROP_SIDE
    middle = face.centre - [0, RISE * face.height]
    reach = max(np.abs(x + 0.5 - middle[0]).max(), np.abs(y + 0.5 - middle[1]).max()) / face.height
    return float(np.clip(2 * (reach + MARGIN), CROP_SIDE, LARGEST_CROP_SIDE))


def _shown(picture: Picture, left: float, top: float, side: float, size: int) -> np.ndarray:
    """True where a crop [size, size] shows the photo."""
    height, width = picture.alpha.shape
    x = left + (np.arange(size) + 0.5) * side / size
    y = top + (np.arange(size) + 0.5) * side / size
    return ((x > 0) & (x < width))[None] & ((y > 0) & (y < height))[:, None]


def _to_crop(face: Face, T: np.ndarray) -> Face:
    return Face(face.landmarks * T[0, 0] + [T[0, 2], T[1, 2], 0])


def _from_crop(points: np.ndarray, T: np.ndarray) -> np.ndarray:
    return (points - [T[0, 2], T[1, 2], 0]) / T[0, 0]


def _camera(picture: Picture, face: Face, T: np.ndarray, size: int) -> tuple[Camera, str]:
    """Camera of the crop, upright in front of the head so that the eyes project where they are, and the focal's source."""
    scale = T[0, 0]
    if picture.focal_px:
        height, width = picture.alpha.shape
        focal, note = picture.focal_px * scale, picture.focal_note
        cx, cy = T[0, 0] * width / 2 + T[0, 2], T[1, 1] * height / 2 + T[1, 2]
    else:
        focal, note = PRIOR_FOCAL * CROP_SIDE * face.height, f"prior: {PRIOR_FOCAL} crops ({picture.focal_note})"
        cx = cy = size / 2
    camera = Camera(size, size, float(focal), float(focal), float(cx), float(cy))
    eyes = face.landmarks[[*faces.RIGHT_EYE, *faces.LEFT_EYE], :2].mean(0)
    T_camera_world = np.eye(4)
    T_camera_world[:3, :3] = HEAD_FROM_CAMERA
    T_camera_world[:3, 3] = camera.unproject(eyes, np.array(focal * FACE_HEIGHT_M / face.height))
    return Camera(size, size, camera.fx, camera.fy, camera.cx, camera.cy, T_camera_world), note


def _describe(number: int, face: Face) -> dict:
    yaw, pitch, roll = face.angles_deg
    box = [round(float(v), 1) for v in face.box]
    return {"number": number, "box": box, "height_px": round(face.height, 1), "yaw_deg": round(yaw, 1),
            "pitch_deg": round(pitch, 1), "roll_deg": round(roll, 1)}  # fmt: skip


def _judge(picture: Picture, face: Face) -> dict:
    """Pose, sharpness, exposure of the chosen face, and warnings in the user's words."""
    yaw, pitch, roll = (round(a, 1) for a in face.angles_deg)
    left, top = face.box[:2]
    patch = crop_square(picture.rgb, left, top, face.height, 128) @ LUMINANCE
    sharpness = measure_sharpness(patch)
    exposure = {
        "mean": round(float(patch.mean()), 3),
        "black": round(float((patch < 0.02).mean()), 3),
        "white": round(float((patch > 0.98).mean()), 3),
    }
    beyond = ((face.landmarks[:, :2] < 0) | (face.landmarks[:, :2] > picture.rgb.shape[1::-1])).any(1).mean()
    checks = {
        "a part of the face is beyond the edge of the photo and is guessed; give one that shows all of it": beyond
        > 0.05,
        f"the face is only {face.height:.0f} px high; {SMALL_FACE_PX} and more give a sharper result": face.height
        < SMALL_FACE_PX,
        "the photo is blurred; give a sharper one": sharpness < BLURRED,
        "the face is dark; give a brighter photo": exposure["mean"] < 0.2,
        "part of the face is blown out to white; give a darker photo": exposure["white"] > 0.1,
        f"the head is turned by {abs(yaw):.0f} degrees; the far side of the face is guessed": abs(yaw) > 35,
        "the mouth is open; the neutral expression is guessed": face.mouth_opening > 0.12,
    }
    return {"yaw_deg": yaw, "pitch_deg": pitch, "roll_deg": roll, "mouth_opening": round(face.mouth_opening, 3),
            "sharpness": round(sharpness, 4), "exposure": exposure, "warnings": [w for w, holds in checks.items() if holds]}  # fmt: skip


def measure_sharpness(grey: np.ndarray) -> float:
    """Variance of the five-point Laplacian over the variance of a picture [H, W]: small when blurred, dark or not."""
    inner = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner
    return float(laplacian.var() / max(grey.var(), 1e-9))
