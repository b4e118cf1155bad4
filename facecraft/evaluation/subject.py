"""An avatar against its photo and, where the workspace has it, against the truth: other views and expressions.

The truth has its own head frame, of a head whose size the photo does not tell. A similarity that brings the face of the
true mesh onto the avatar's, both as in the photo, carries the true cameras over; what remains between the meshes is
measured in the size of the true head.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from facecraft.alignment import fit_similarity
from facecraft.avatar import Avatar
from facecraft.camera import Camera
from facecraft.drive import POSES, parse_expression
from facecraft.errors import WorkspaceError
from facecraft.evaluation.pairs import Pair, Region, Shown, choose_mask
from facecraft.face.portrait import load_source
from facecraft.metrics.consistency import reprojection_error
from facecraft.report import source_shot, turned_shots
from facecraft.shots import Shot, render_shots
from facecraft.splats.colors import seen_colors
from facecraft.splats.raster import rasterize
from facecraft.views import View, load_views
from facecraft.workspace import Workspace

TURNS_DEG = (-60.0, -30.0, 30.0, 60.0)
"""Where the avatar is compared with the photo as a person, for want of true views."""
SOURCE, TURNED, VIEWS, EXPRESSIONS = "photo", "person, turned", "true views", "true expressions"


@dataclass(frozen=True)
class Truth:
    """What synth knows of a subject: views, and the mesh that they show."""

    views: list[View]  # the photo's camera first
    avatar: Avatar
    clothes: list[np.ndarray]  # [H, W] bool, for each view where they are
    gaze: Tensor  # [2, 2] rad, in the photo
    neck: Tensor  # [3] rad

    @property
    def photo_expression(self) -> dict[str, float]:
        """Channels by name, as in the photo."""
        return self.views[0].expression or {}

    def vertices(self, channels: dict[str, float], gaze: Tensor | None = None) -> np.ndarray:
        """The true mesh [V, 3] in its own frame, m, with the neck as in the photo."""
        expression = self.avatar.head.expression_vector(channels)[0]
        return self.avatar.vertices(expression, gaze, self.neck).double().numpy()


def load_truth(workspace: Workspace) -> Truth | None:
    """The truth of a synthetic subject; None for a photo of which nothing else is known."""
    if not (workspace / "truth/subject.json").is_file():
        return None
    try:
        about = json.loads((workspace / "truth/subject.json").read_text())
        cloth = about["labels"].index("cloth")
        gaze, neck = torch.tensor(about["gaze"]).float(), torch.tensor(about["neck"]).float()
    except (ValueError, KeyError, TypeError) as error:
        raise WorkspaceError(f"{workspace.path}/truth is damaged ({error}); run `facecraft synth --force`") from error
    avatar = Avatar.load(workspace.require("truth/avatar.safetensors"))
    views, files = load_views(workspace, "truth/views"), workspace.files("truth/views/labels")
    if len(files) != len(views):
        raise WorkspaceError(
            f"{workspace.path}/truth has {len(files)} labels for {len(views)} views; run `facecraft synth --force`"
        )
    with_clothes = [np.asarray(Image.open(workspace / file)) == cloth for file in files]
    return Truth(views, avatar, with_clothes, gaze, neck)


@dataclass(frozen=True)
class Subject:
    """An avatar and all that it is compared with."""

    avatar: Avatar
    photo: Shown
    truth: Truth | None

    @property
    def comparisons(self) -> int:
        """How many pairs there are."""
        return 1 + (len(self.truth.views) if self.truth else len(TURNS_DEG))

    @cached_property
    def face_vertices(self) -> Tensor:
        """The vertices [V] of the face: no skull, teeth or bust."""
        return self.avatar.head.vertex_regions == self.avatar.head.region_names.index("face")

    @cached_property
    def similarity(self) -> tuple[float, np.ndarray, np.ndarray]:
        """Scale, rotation [3, 3] and translation [3] from the true head's frame into the avatar's."""
        own = self.avatar.vertices(self.avatar.expression, self.avatar.gaze, self.avatar.neck).double().numpy()
        wanted = self.truth.vertices(self.truth.photo_expression, self.truth.gaze)
        return fit_similarity(wanted[self.face_vertices], own[self.face_vertices])

    def carry(self, camera: Camera) -> Camera:
        """A true camera in the avatar's frame: it shows the avatar as the true one shows the truth."""
        scale, rotation, translation = self.similarity
        T = camera.T_camera_world.copy()
        T[:3, :3] = T[:3, :3] @ rotation.T
        T[:3, 3] = scale * T[:3, 3] - T[:3, :3] @ translation
        return replace(camera, T_camera_world=T)

    def geometry_errors(self, channels: dict[str, float]) -> dict[str, float]:
        """Mean distance of the face's vertices to the truth, and of their motion from the neutral face, mm."""
        own, wanted = self._meshes(channels)
        own_rest, wanted_rest = self._meshes({})

        def mean_mm(difference):
            return float(1000 * np.linalg.norm(difference, axis=1).mean())

        motion = (own - own_rest) - (wanted - wanted_rest)
        return {"vertex_mm": mean_mm(own - wanted), "motion_mm": mean_mm(motion)}

    def _meshes(self, channels: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
        """The faces of avatar and truth in the true frame [n, 3], m."""
        scale, rotation, translation = self.similarity
        expression = self.avatar.head.expression_vector(channels)[0]
        own = self.avatar.vertices(expression, None, self.avatar.neck).double().numpy()[self.face_vertices]
        return (own - translation) @ rotation / scale, self.truth.vertices(channels)[self.face_vertices]


def load_subject(workspace: Workspace, device: torch.device) -> Subject:
    """The finished avatar of a workspace with its photo and truth."""
    source = load_source(workspace)
    avatar = Avatar.load(workspace.require("avatar/avatar.safetensors")).to(device)
    return Subject(avatar, Shown.over(source.image, source.alpha), load_truth(workspace))


def subject_pairs(subject: Subject, region: Region) -> Iterator[Pair]:
    """All comparisons of one avatar."""
    photo, size = subject.photo, subject.photo.rgb.shape[0]
    yield _paired("photo", SOURCE, show(subject, source_shot(subject.avatar, size)), photo, region)
    if subject.truth is None:
        for azimuth, shot in zip(TURNS_DEG, turned_shots(subject.avatar, size, list(TURNS_DEG)), strict=True):
            yield Pair(f"{azimuth:+.0f}°", TURNED, show(subject, shot), photo, compares="persons")
        return
    for view, clothes in zip(subject.truth.views, subject.truth.clothes, strict=True):
        ignored = clothes if region == "head" else None
        truth = Shown.over(view.rgb, view.alpha)
        if view.expression == subject.truth.photo_expression:
            name, shot = view_name(view.camera, view is subject.truth.views[0]), _as_in_photo(subject, view)
            yield _paired(name, VIEWS, show(subject, shot), truth, region, ignored)
            continue
        channels = view.expression or {}
        shot = replace(_as_in_photo(subject, view), gaze=torch.zeros(2, 2))
        shot = replace(shot, expression=subject.avatar.head.expression_vector(channels)[0])
        errors = subject.geometry_errors(channels)
        yield _paired(expression_name(channels), EXPRESSIONS, show(subject, shot), truth, region, ignored, errors)


def _paired(name, group, shown: Shown, truth: Shown, region: Region, ignored=None, figures=None) -> Pair:
    mask = choose_mask(truth, region)
    if mask is not None and ignored is not None:
        mask = mask & ~ignored
    return Pair(name, group, shown, truth, mask, ignored, figures=figures or {})


def _as_in_photo(subject: Subject, view: View) -> Shot:
    avatar = subject.avatar
    return Shot(subject.carry(view.camera), avatar.expression, avatar.gaze, avatar.neck)


def show(subject: Subject, shot: Shot) -> Shown:
    """The avatar in a shot, over white, with its alpha."""
    rgba = next(render_shots(subject.avatar, [shot], None))
    return Shown.over(rgba[..., :3], rgba[..., 3])


def view_name(camera: Camera, is_photo: bool = False) -> str:
    """Azimuth and elevation, whole degrees, from which a camera looks at the middle of the head."""
    x, y, z = camera.centre - [0.0, -0.035, -0.065]
    azimuth, elevation = np.degrees([np.arctan2(x, z), np.arctan2(y, np.hypot(x, z))])
    text = f"{azimuth:+.0f}°" + (f" {elevation:+.0f}° up" if abs(elevation) > 3 else "")
    return f"photo's camera ({text})" if is_photo else text


def expression_name(channels: dict[str, float]) -> str:
    """What POSES calls an expression, or its strongest channels."""
    for name, text in POSES.items():
        if parse_expression(text) == channels:
            return name
    strongest = sorted(channels, key=lambda name: -channels[name])[:2]
    return " + ".join(f"{name} {channels[name]:.1f}" for name in strongest) or "neutral"


def measure_consistency(subject: Subject, views: int = 12) -> dict:
    """Reprojection error by depth between neighbours of `views` on the orbit, see facecraft.metrics.consistency."""
    shots = turned_shots(subject.avatar, subject.photo.rgb.shape[0], [i * 360 / views for i in range(views)])
    pictures = [(*_with_depth(subject.avatar, shot), shot.camera) for shot in shots]
    errors, shares = zip(
        *(reprojection_error(*pictures[i], *pictures[(i + 1) % views]) for i in range(views)), strict=True
    )
    caveat = f"between neighbours of {views} views; they share {100 * np.mean(shares):.0f} % of their pixels"
    return {"value": float(np.nanmean(errors)), "n": views, "share": float(np.mean(shares)), "caveat": caveat}


@torch.inference_mode()
def _with_depth(avatar: Avatar, shot: Shot) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Straight colours [H, W, 3], alpha [H, W] and expected depth [H, W], m."""
    device = avatar.binding.device
    gaussians = avatar.pose(*(part.to(device) for part in (shot.expression, shot.gaze, shot.neck)))
    like, camera = gaussians.means, shot.camera
    viewmat = torch.as_tensor(camera.T_camera_world, dtype=like.dtype, device=device)
    pictures, alphas, _ = rasterize(
        like,
        gaussians.quats,
        gaussians.scales,
        gaussians.opacities,
        seen_colors(gaussians, viewmat).clamp_min(0),
        viewmat[None],
        torch.as_tensor(camera.K, dtype=like.dtype, device=device)[None],
        camera.width,
        camera.height,
        render_mode="RGB+ED",
    )
    rgb = pictures[0, ..., :3] / alphas[0].clamp_min(1e-6)
    return tuple(part.cpu().numpy() for part in (rgb.clamp(0, 1), alphas[0, ..., 0], pictures[0, ..., 3]))
