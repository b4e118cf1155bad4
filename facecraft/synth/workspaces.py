"""A synthetic subject as a workspace: a photo, what preprocess makes of it, and beside it the truth."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from facecraft.drive import POSES, parse_expression
from facecraft.errors import InputError
from facecraft.image import SYNTHETIC, write_png
from facecraft.progress import log
from facecraft.splats.gaussians import Gaussians, rgb_to_dc
from facecraft.synth.backdrop import paint_backdrop
from facecraft.synth.labels import LABELS
from facecraft.synth.light import irradiance
from facecraft.synth.picture import LitFigure, Picture, encode, take_picture
from facecraft.synth.scene import Scene, make_pose, plain
from facecraft.synth.sensor import photograph
from facecraft.synth.subject import Subject
from facecraft.synth.viewpoint import RING, portrait_camera, ring_camera
from facecraft.views import View, save_views
from facecraft.workspace import Workspace

PHOTO_SCALE = 1.5
"""Side of the photo over that of the crop: preprocess crops, and should not have to enlarge."""


def write_workspace(path: Path, subject: Subject, size: int, force: bool = False) -> Path:
    """Make the workspace of one subject: truth/ by this stage, source/ by preprocess from truth/photo.jpg alone."""
    workspace = Workspace.create(path)
    options = {"seed": subject.seed, "split": subject.split, "index": subject.index, "size": size}
    with workspace.stage("synth", (), options, force=force) as run:
        if not run.up_to_date:
            _write_truth(run, Scene(subject, round(PHOTO_SCALE * size)), size)
    photo = workspace / "truth/photo.jpg"
    try:
        with workspace.stage("preprocess", (), {"size": size, "face": None}, inputs=(photo,), force=force) as run:
            if not run.up_to_date:
                from facecraft.face.photos import preprocess_photos, save_photos

                save_photos(run, preprocess_photos([photo], size))
    except InputError as error:  # a subject of many: the others go on
        log.warning(f"{workspace.path} has its truth but no source: {error}")
    return workspace.path


def _write_truth(run, scene: Scene, size: int) -> None:
    """Photo, the lit avatar, the subject's traits; views all around and expressions with all that is known of them."""
    subject, head = scene.subject, scene.figure.avatar.head
    kind, light = scene.light()
    pose, channels = scene.pose()
    lit = scene.lit(pose, light)
    photo = take_picture(lit, portrait_camera(subject.stream("camera"), scene.size))
    backdrop = paint_backdrop(subject.stream("backdrop"), scene.size)
    jpeg, sensor = photograph(photo.rgb, photo.alpha, backdrop, subject.stream("sensor"))
    run.output("truth/photo.jpg").write_bytes(jpeg)
    pictures = [(photo, channels)]
    pictures += [(take_picture(lit, ring_camera(size, *place)), channels) for place in RING]
    for text in POSES.values():
        named = parse_expression(text)
        posed = scene.lit(replace(make_pose(named), neck=pose.neck), light).exposed(lit.exposure)
        pictures.append((take_picture(posed, ring_camera(size, 0, 0)), named))
    write_pictures(run, "truth/views", pictures)
    bake_avatar(lit, photo).save(run.output("truth/avatar.safetensors"))
    about = scene.describe() | {
        "light": {"kind": kind, "irradiance": plain(lit.exposure * irradiance(light))} | plain(vars(light)),
        "sensor": sensor,
        "expression": channels,
    }
    about |= {"gaze": plain(pose.gaze), "neck": plain(pose.neck), "labels": LABELS, "synthetic": True}
    run.output("truth/subject.json").write_text(json.dumps(plain(about), indent=1))
    run.use_weights(f"head/{head.name}", head.licence, head.digest)


def write_pictures(run, folder: str, pictures: list[tuple[Picture, dict[str, float]]]) -> None:
    """Views of facecraft.views below `folder`, with labels/ (8 bit, numbers of LABELS), normals/ and landmarks.npz."""
    views = [View(p.camera, p.rgb, p.alpha, p.depth, "truth", 1.0, channels) for p, channels in pictures]
    save_views(run, folder, views)
    for number, (picture, _) in enumerate(pictures):
        name = f"00000_{number:02d}.png"
        write_png(run.output(f"{folder}/normals/{name}"), picture.normals / 2 + 0.5, SYNTHETIC)
        Image.fromarray(picture.labels).save(run.output(f"{folder}/labels/{name}"))
    points = np.stack([picture.landmarks for picture, _ in pictures]).astype(np.float32)
    np.savez_compressed(run.output(f"{folder}/landmarks.npz"), landmarks=points)


def bake_avatar(lit: LitFigure, photo: Picture):
    """The avatar with the light of the photo in its colours, highlights left out: they move with the camera."""
    avatar = lit.figure.avatar
    colours = torch.as_tensor(encode(lit.exposure * lit.diffuse)).float()
    g = avatar.gaussians
    gaussians = Gaussians(g.means, g.quats, g.log_scales, g.logit_opacities, rgb_to_dc(colours)[:, None])
    return replace(avatar, gaussians=gaussians, camera=photo.camera)
