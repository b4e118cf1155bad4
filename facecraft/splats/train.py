"""Optimise Gaussians that are bound to a head against views of it: FaceCraft4D's COIN training.

Loss (FaceCraft4D, section 3.4 and supplement 6.3): 0.8 L1 + 0.2 (1 - SSIM) between the target and the picture with the
inconsistent component, 0.05 of a structural loss between the target and the picture without it, and an L1 on what the
component adds. Both pictures are the first and the last three channels of one rendering, over a black or a white
background in turn. Then an L1 on alpha, the regularisers of GaussianAvatars (Qian et al. 2024, eq. 3 and 4), by which positions
stay near their triangle and scales below 0.6 of it, and what shines through shut lids (facecraft.splats.lids).

Stage A trains on static views. Stage B goes on with video (facecraft.frames): one picture of one timestep each
iteration, the head's pose of every timestep optimised as well, at GaussianAvatars' rates.
"""

from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

from facecraft.avatar import Avatar
from facecraft.frames import Frames, pose_head
from facecraft.progress import track
from facecraft.splats.adam import Adam
from facecraft.splats.colors import seen_colors
from facecraft.splats.density import DensityStatistics, plan_change, split_in_two
from facecraft.splats.gaussians import SH_DC, Gaussians
from facecraft.splats.inconsistent import COIN_RATES, PLACE, color_offsets, shift_means, shift_size, start_inconsistency
from facecraft.splats.lids import FREE_LEAK, ShutLids
from facecraft.splats.loss import photometric_loss
from facecraft.splats.raster import rasterize
from facecraft.splats.region import RegionLimits
from facecraft.splats.rig import local_to_world, triangle_frames
from facecraft.splats.schedule import Schedule
from facecraft.splats.structure import luma, structural_loss
from facecraft.splats.target import Shot, shot_of, target_maker
from facecraft.views import View

PARAMETERS = ("means", "quats", "log_scales", "logit_opacities", "sh")
REST = "sh_rest"  # harmonics above degree 0, apart from `sh` because they learn more slowly
RATES = {"means": 5e-3, "quats": 1e-3, "log_scales": 1.7e-2, "logit_opacities": 5e-2, "sh": 5e-3}
RATES |= {REST: RATES["sh"] / 20}
"""Learning rates of GaussianAvatars; colours at twice theirs, because the budget is shorter and the start is close."""
POSE_RATES = {"pose.expression": 1e-3, "pose.gaze": 1e-5, "pose.neck": 1e-5, "pose.rotation": 1e-5}
POSE_RATES |= {"pose.translation": 1e-6}
"""GaussianAvatars' rates of FLAME's expression, pose and translation."""
MEANS_DECAY = 0.05  # what is left of the positions' rate at the end of a stage
VIDEO_MEANS = 0.2  # of the positions' rate, at the start of stage B
POSITION_WEIGHT = 0.01
SCALE_WEIGHT, SCALE_FREE = 1.0, 0.6
STRUCTURE_WEIGHT, OFFSET_WEIGHT, SHIFT_WEIGHT = 0.05, 0.5, 3.0
FINISH, FINISH_PHOTOS = 0.3, 0.6  # in the last part of a stage, this share of iterations sees the photo
VIDEO_CHANCE = 0.7  # of a frame of the video in stage B; else a static view
ANCHOR_WEIGHT = 1.0  # of the colours that the photo does not show, to where they started: eyes must not rub off on lids
LIDS_EVERY, LIDS_WEIGHT = 4, 0.03  # iterations between two looks at shut lids
ALPHA_WEIGHTS = {"photo": 0.5, "texture": 0.1}
"""The outline is the photo's; the smooth outline of a rendered hair shell only keeps Gaussians near it."""


@dataclass(frozen=True)
class _Picture:
    """What one rendering shows: with and without the inconsistent component, and what lies between."""

    colors: Tensor  # [H, W, 3]
    consistent: Tensor | None  # [H, W, 3]
    alphas: Tensor  # [H, W, 1]
    meta: dict


class Trainer:
    """Training that can be stopped after any iteration and taken up again from `state()` with the same result."""

    def __init__(
        self,
        avatar: Avatar,
        views: list[View],  # the photo first
        unseen: Tensor,  # [N] in [0, 1]: how much of each Gaussian the photo does not show
        schedule: Schedule,
        seed: int,
        device: torch.device,
        coin: bool = True,
        frozen: Tensor | None = None,  # [F] bool: faces whose Gaussians are neither doubled, split nor removed
        frames: Frames | None = None,  # for stage B
    ):
        self.avatar = avatar.to(device)
        self.schedule, self.seed, self.device, self.coin = schedule, seed, device, coin
        self.shots = [shot_of(view, number) for number, view in enumerate(views)]
        self.chances = torch.tensor([view.weight for view in views])
        self.frames, self.target = frames, target_maker(device)
        self.video = frames.shots(len(views)) if frames else []
        self.limits, self.lids = RegionLimits(self.avatar.head, frozen), ShutLids(self.avatar)
        self.binding, self.unseen = self.avatar.binding, unseen.to(device)
        self.first_sh = self.avatar.gaussians.sh
        self.iteration = 0
        self.statistics = DensityStatistics(len(self.binding))
        self.adam = Adam(self._start_values(), RATES | COIN_RATES | POSE_RATES)

    def _start_values(self) -> dict[str, Tensor]:
        values = {name: getattr(self.avatar.gaussians, name) for name in PARAMETERS}
        if self.avatar.gaussians.degree:
            values |= {"sh": self.first_sh[:, :1], REST: self.first_sh[:, 1:]}
        cameras = len(self.shots)
        if self.frames:
            values |= {f"pose.{name}": tensor.to(self.device) for name, tensor in self.frames.poses.tensors().items()}
            cameras += self.frames.cameras
        if self.coin:
            neutral = self._vertices(None).cpu()
            centres = triangle_frames(neutral, self.avatar.head.faces.cpu())[2][self.binding.cpu()]
            tensors = start_inconsistency(centres, cameras, self.seed)
            values |= {name: tensor.to(self.device) for name, tensor in tensors.items()}
        return values

    @cache  # noqa: B019 (a handful of expressions, as long as the trainer lives)
    def _posed(self, channels: tuple[tuple[str, float], ...] | None) -> Tensor:
        avatar = self.avatar
        expression = avatar.expression if channels is None else avatar.head.expression_vector(dict(channels))[0]
        return avatar.vertices(expression.to(self.device), avatar.gaze, avatar.neck).detach()

    def _vertices(self, expression: dict[str, float] | None) -> Tensor:
        return self._posed(None if expression is None else tuple(expression.items()))

    @property
    def gaussians(self) -> Gaussians:
        """The local Gaussians as they are now, with the colours that all views share."""
        values = {name: self.adam.values[name] for name in PARAMETERS}
        if REST in self.adam.values:
            values["sh"] = torch.cat([values["sh"], self.adam.values[REST]], 1)
        return Gaussians(**values)

    def run(self, until: int) -> None:
        """Train up to iteration `until`."""
        for _ in track(range(self.iteration, until), "training Gaussians", self.schedule.total, self.iteration):
            self.iteration += 1
            self._step()
            if self.schedule.changes_density(self.iteration):
                self._change_density()

    def _random(self) -> torch.Generator:
        """Random numbers that depend on seed and iteration only, so that a resumed run draws the same."""
        return torch.Generator().manual_seed(self.seed * 1_000_003 + self.iteration)

    def _draw(self) -> tuple[Shot, int]:
        """The shot and the background of this iteration."""
        generator = self._random()
        finish = self.schedule.progress(self.iteration) > 1 - FINISH
        photo = finish and torch.rand(1, generator=generator) < FINISH_PHOTOS
        shot = self.shots[0 if photo else int(torch.multinomial(self.chances, 1, generator=generator))]
        side = int(torch.randint(2, (1,), generator=generator))
        video = self.iteration > self.schedule.iterations and torch.rand(1, generator=generator) < VIDEO_CHANCE
        if video and not photo:
            shot = self.video[int(torch.randint(len(self.video), (1,), generator=generator))]
        return shot, side

    def _set_rates(self) -> None:
        progress, first = self.schedule.progress(self.iteration), 1.0
        if self.iteration > self.schedule.iterations:
            first = VIDEO_MEANS
        self.adam.set_rate("means", RATES["means"] * first * (MEANS_DECAY / first) ** progress)

    def _step(self) -> None:
        shot, side = self._draw()
        target = self.target(shot, side)
        self._set_rates()
        picture = self._render(shot, target, side)
        picture.meta["means2d"].retain_grad()
        loss = photometric_loss(picture.colors, target.picture) + self._regularise(picture.meta)
        loss = loss + ALPHA_WEIGHTS[shot.kind] * (picture.alphas - target.alpha).abs().mean()
        if picture.consistent is not None:
            loss = loss + STRUCTURE_WEIGHT * structural_loss(luma(picture.consistent), target.gradients)
            loss = loss + OFFSET_WEIGHT * (picture.colors - picture.consistent).abs().mean()
            loss = loss + SHIFT_WEIGHT * shift_size(self.adam.values, shot.view)
        if self.iteration % LIDS_EVERY == 0:
            leak = self.lids.leak(self.gaussians, self.binding, self.iteration // LIDS_EVERY)
            loss = loss + LIDS_WEIGHT * (leak - FREE_LEAK).clamp_min(0)
        loss.backward()
        if self.schedule.watches_density(self.iteration):
            self.statistics.add(picture.meta)
        self.adam.step()

    def _render(self, shot: Shot, target, side: int) -> _Picture:
        values, camera = self.adam.values, shot.camera
        vertices = self._vertices(shot.expression)
        if shot.timestep is not None:
            pose = {name: values[f"pose.{name}"][shot.timestep] for name in self.frames.poses.tensors()}
            vertices = pose_head(self.avatar, pose)
        world = local_to_world(self.gaussians, self.binding, vertices, self.avatar.head.faces)
        means, colors = world.means, seen_colors(world, target.viewmat[0])
        lens = (target.viewmat, target.K, camera.width, camera.height)
        if self.coin:
            means = shift_means(values, shot.view, means, *lens)
            colors = torch.cat([colors + self._offsets(shot.view, colors), colors], 1)
        shape = (means, world.quats, world.scales, world.opacities, colors.clamp_min(0))
        backgrounds = torch.full((1, colors.shape[1]), float(side), device=self.device)
        image, alphas, meta = rasterize(*shape, *lens, backgrounds=backgrounds)
        if not self.coin:
            return _Picture(image[0], None, alphas[0], meta)
        own, consistent = image[0].split(3, 2)
        return _Picture(own.contiguous(), consistent, alphas[0], meta)

    def _offsets(self, view: int, colors: Tensor) -> Tensor:
        """What a view adds to the colours [N, 3]; the photo to those only that it shows: about others it teaches nothing."""
        offsets = color_offsets(self.adam.values, view, colors)
        return offsets if view else offsets * (1 - self.unseen)[:, None]

    def _regularise(self, meta: dict) -> Tensor:
        local = self.gaussians
        visible = (meta["radii"] > 0).all(-1)[0]
        away = (local.means.norm(dim=1) - self.limits.free(self.binding)).clamp_min(0)[visible]
        large = (local.scales[visible] - SCALE_FREE).clamp_min(0)
        strayed = (self.unseen[:, None, None] * (local.sh - self.first_sh).square()).sum(1).mean()
        return POSITION_WEIGHT * away.mean() + SCALE_WEIGHT * large.square().sum(1).mean() + ANCHOR_WEIGHT * strayed

    def _change_density(self) -> None:
        with torch.no_grad():
            world = local_to_world(self.gaussians, self.binding, self._vertices(None), self.avatar.head.faces)
            largest = world.scales.max(1).values.cpu()
        strayed = self.limits.strayed(self.gaussians.means, self.binding).cpu()
        state = (world.opacities.cpu(), self.binding.cpu(), strayed, self.limits.fixed(self.binding).cpu())
        keep, double, split = plan_change(self.schedule.density(), self.statistics, largest, *state)
        names = [name for name in (*PARAMETERS, REST, PLACE) if name in self.adam.values]
        old = {name: self.adam.values[name].detach().cpu() for name in names}
        children = split_in_two({name: value[split] for name, value in old.items()}, self._random())
        rows = {name: torch.cat([old[name][keep], old[name][double], children[name]]) for name in names}
        rows = {name: value.to(self.device) for name, value in rows.items()}
        parents = torch.cat([keep, double, split, split]).to(self.device)
        self.binding, self.unseen, self.first_sh = (a[parents] for a in (self.binding, self.unseen, self.first_sh))
        rows["means"] = self.limits.pull_back(rows["means"], self.binding)
        self.adam.replace_rows(rows, parents, len(keep))
        self.statistics = DensityStatistics(len(self.binding))

    def state(self) -> dict[str, Tensor]:
        """All that training depends on, as tensors: for a checkpoint."""
        tensors = self.adam.state() | {"binding": self.binding, "unseen": self.unseen, "first_sh": self.first_sh}
        tensors |= {"grad_total": self.statistics.total, "grad_seen": self.statistics.seen}
        tensors["iteration"] = torch.tensor(self.iteration)
        return {name: tensor.cpu().contiguous().clone() for name, tensor in tensors.items()}

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Go on from `state()`."""
        tensors = {name: tensor.to(self.device) for name, tensor in tensors.items()}
        self.binding, self.unseen, self.first_sh = (tensors[name] for name in ("binding", "unseen", "first_sh"))
        self.iteration = int(tensors["iteration"])
        self.statistics = DensityStatistics(len(self.binding))
        self.statistics.total, self.statistics.seen = tensors["grad_total"].cpu(), tensors["grad_seen"].cpu()
        self.adam.load_state(tensors)

    def result(self) -> Avatar:
        """The avatar with the Gaussians as they are now, in the colours of the photo, on the CPU."""
        gaussians = self.gaussians.detach()
        gaussians = replace(gaussians, means=self.limits.pull_back(gaussians.means, self.binding))
        coin = {}
        if self.coin:
            values = {name: value.detach() for name, value in self.adam.values.items() if name.startswith("coin.")}
            world = local_to_world(gaussians, self.binding, self._vertices(None), self.avatar.head.faces)
            shared = seen_colors(world, torch.as_tensor(self.shots[0].camera.T_camera_world).to(world.means))
            offsets = self._offsets(0, shared).detach()[:, None] / SH_DC
            gaussians = replace(gaussians, sh=torch.cat([gaussians.sh[:, :1] + offsets, gaussians.sh[:, 1:]], 1))
            coin = {"coin.colors": shared, **values}
        return replace(self.avatar, gaussians=gaussians, binding=self.binding, coin=coin).to("cpu")
