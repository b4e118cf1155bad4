"""Optimise Gaussians that are bound to a head against views of it.

Loss of 3D Gaussian Splatting, 0.8 L1 + 0.2 (1 - SSIM), over a black or a white background in turn, an L1 on alpha, and the
regularisers of GaussianAvatars (Qian et al. 2024, eq. 3 and 4): positions stay within one triangle size, scales below
0.6 of it. The views may be inconsistent; modelling that is a stage of its own in FaceCraft4D and not done here.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from torch import Tensor

from facecraft.avatar import Avatar
from facecraft.progress import log, track
from facecraft.splats.density import DensityPlan, DensityStatistics, plan_change, split_in_two
from facecraft.splats.gaussians import Gaussians, dc_to_rgb
from facecraft.splats.loss import PhotometricTarget, photometric_loss
from facecraft.splats.raster import rasterize
from facecraft.splats.rig import local_to_world
from facecraft.views import View

PARAMETERS = ("means", "quats", "log_scales", "logit_opacities", "sh")
RATES = {"means": 5e-3, "quats": 1e-3, "log_scales": 1.7e-2, "logit_opacities": 5e-2, "sh": 5e-3}
"""Learning rates of GaussianAvatars; colours at twice theirs, because the budget is shorter and the start is close."""
MEANS_DECAY = 0.05  # what is left of the positions' rate at the end
POSITION_WEIGHT, POSITION_FREE = 0.01, 1.0  # in triangle sizes
SCALE_WEIGHT, SCALE_FREE = 1.0, 0.6
FINISH, FINISH_PHOTOS = 0.3, 0.6  # in the last part of training, this share of iterations sees the photo
ANCHOR_WEIGHT = 1.0  # of the colours that the photo does not show, to where they started: eyes must not rub off on lids
ALPHA_WEIGHTS = {"photo": 0.5, "texture": 0.1}
"""The outline is the photo's; the smooth outline of a rendered hair shell only keeps Gaussians near it."""


@dataclass(frozen=True)
class Schedule:
    """How long to train and how many Gaussians to use."""

    iterations: int
    gaussians: int  # at the start
    limit: int  # at most

    def density(self) -> DensityPlan:
        """Growth between 15 and 70 % of the iterations, ten times (GaussianAvatars: 10k..600k every 2k, rescaled)."""
        start, stop = round(0.15 * self.iterations), round(0.7 * self.iterations)
        return DensityPlan(start, stop, max((stop - start) // 10, 20), self.limit)


SCHEDULES = {
    "draft": Schedule(400, 24_000, 32_000),
    "standard": Schedule(2_000, 40_000, 60_000),
    "high": Schedule(30_000, 80_000, 200_000),
}


class _Target:
    """One view: the head's vertices in it, camera tensors, and its picture over black and over white."""

    def __init__(self, view: View, vertices: Tensor, device: torch.device):
        self.view, self.vertices = view, vertices
        self.viewmat = torch.as_tensor(view.camera.T_camera_world, dtype=torch.float32, device=device)[None]
        self.K = torch.as_tensor(view.camera.K, dtype=torch.float32, device=device)[None]
        rgb, alpha = (torch.as_tensor(a, dtype=torch.float32, device=device) for a in (view.rgb, view.alpha[..., None]))
        self.alpha = alpha
        self.over = [PhotometricTarget((rgb * alpha + b * (1 - alpha)).contiguous()) for b in (0.0, 1.0)]


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
    ):
        self.avatar = avatar.to(device)
        self.schedule, self.plan, self.seed, self.device = schedule, schedule.density(), seed, device
        self.targets = [_Target(view, self._vertices(view.expression), device) for view in views]
        self.chances = torch.tensor([view.weight for view in views])
        self.binding, self.unseen = self.avatar.binding, unseen.to(device)
        self.first_sh = self.avatar.gaussians.sh
        self.iteration = 0
        self.statistics = DensityStatistics(len(self.binding))
        self._optimise({name: getattr(self.avatar.gaussians, name) for name in PARAMETERS})

    @cache  # noqa: B019 (a handful of expressions, as long as the trainer lives)
    def _posed(self, channels: tuple[tuple[str, float], ...] | None) -> Tensor:
        avatar = self.avatar
        expression = avatar.expression if channels is None else avatar.head.expression_vector(dict(channels))[0]
        return avatar.vertices(expression.to(self.device), avatar.gaze, avatar.neck).detach()

    def _vertices(self, expression: dict[str, float] | None) -> Tensor:
        return self._posed(None if expression is None else tuple(expression.items()))

    def _optimise(self, values: dict[str, Tensor], moments: dict[str, dict] | None = None) -> None:
        self.parameters = {name: value.detach().clone().requires_grad_() for name, value in values.items()}
        groups = [{"params": [self.parameters[name]], "lr": RATES[name], "name": name} for name in PARAMETERS]
        self.optimizer = torch.optim.Adam(groups, eps=1e-15, fused=True)
        for name, state in (moments or {}).items():
            self.optimizer.state[self.parameters[name]] = state

    @property
    def gaussians(self) -> Gaussians:
        """The local Gaussians as they are now."""
        return Gaussians(**self.parameters)

    def run(self, until: int) -> None:
        """Train up to iteration `until`."""
        for _ in track(range(self.iteration, until), "training Gaussians"):
            self.iteration += 1
            self._step()
            plan = self.plan
            if plan.start <= self.iteration <= plan.stop and (self.iteration - plan.start) % plan.every == 0:
                self._change_density()

    def _random(self) -> torch.Generator:
        """Random numbers that depend on seed and iteration only, so that a resumed run draws the same."""
        return torch.Generator().manual_seed(self.seed * 1_000_003 + self.iteration)

    def _step(self) -> None:
        generator = self._random()
        progress = self.iteration / self.schedule.iterations
        photo = progress > 1 - FINISH and torch.rand(1, generator=generator) < FINISH_PHOTOS
        draw = int(torch.multinomial(self.chances, 1, generator=generator))
        target = self.targets[0 if photo else draw]
        side = int(torch.randint(2, (1,), generator=generator))
        self.optimizer.param_groups[0]["lr"] = RATES["means"] * MEANS_DECAY**progress
        local = self.gaussians
        world = local_to_world(local, self.binding, target.vertices, self.avatar.head.faces)
        camera = target.view.camera
        background = torch.full((1, 3), float(side), device=self.device)
        colors, alphas, meta = rasterize(
            world.means,
            world.quats,
            world.scales,
            world.opacities,
            dc_to_rgb(world.sh[:, 0]).clamp_min(0),
            target.viewmat,
            target.K,
            camera.width,
            camera.height,
            backgrounds=background,
        )
        meta["means2d"].retain_grad()
        loss = photometric_loss(colors[0], target.over[side])
        loss = (
            loss
            + ALPHA_WEIGHTS[target.view.kind] * (alphas[0] - target.alpha).abs().mean()
            + self._regularise(local, meta)
        )
        loss.backward()
        if self.iteration <= self.plan.stop:
            self.statistics.add(meta)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _regularise(self, local: Gaussians, meta: dict) -> Tensor:
        visible = (meta["radii"] > 0).all(-1)[0]
        away = (local.means[visible].norm(dim=1) - POSITION_FREE).clamp_min(0)
        large = (local.scales[visible] - SCALE_FREE).clamp_min(0)
        strayed = (self.unseen[:, None, None] * (local.sh - self.first_sh).square()).mean()
        return POSITION_WEIGHT * away.mean() + SCALE_WEIGHT * large.square().sum(1).mean() + ANCHOR_WEIGHT * strayed

    def _change_density(self) -> None:
        with torch.no_grad():
            world = local_to_world(self.gaussians, self.binding, self._vertices(None), self.avatar.head.faces)
            largest = world.scales.max(1).values.cpu()
        keep, double, split = plan_change(
            self.plan, self.statistics, largest, world.opacities.cpu(), self.binding.cpu()
        )
        old = {name: p.detach().cpu() for name, p in self.parameters.items()}
        children = split_in_two({name: value[split] for name, value in old.items()}, self._random())
        values = {name: torch.cat([old[name][keep], old[name][double], children[name]]) for name in PARAMETERS}
        parents = torch.cat([keep, double, split, split]).to(self.device)
        self.binding, self.unseen, self.first_sh = (a[parents] for a in (self.binding, self.unseen, self.first_sh))
        moments = {}
        for name in PARAMETERS:
            state = self.optimizer.state[self.parameters[name]]
            fresh = torch.zeros(len(values[name]) - len(keep), *values[name].shape[1:])
            kept = {
                key: torch.cat([state[key].cpu()[keep], fresh]).to(self.device) for key in ("exp_avg", "exp_avg_sq")
            }
            moments[name] = {"step": state["step"], **kept}
        self._optimise({name: value.to(self.device) for name, value in values.items()}, moments)
        self.statistics = DensityStatistics(len(self.binding))

    def state(self) -> dict[str, Tensor]:
        """All that training depends on, as tensors: for a checkpoint."""
        tensors = {f"value.{name}": p.detach() for name, p in self.parameters.items()}
        for name, parameter in self.parameters.items():
            for key, value in self.optimizer.state[parameter].items():
                tensors[f"{key}.{name}"] = value
        tensors |= {"binding": self.binding, "unseen": self.unseen, "first_sh": self.first_sh}
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
        keys = ("step", "exp_avg", "exp_avg_sq")
        moments = {name: {key: tensors[f"{key}.{name}"] for key in keys} for name in PARAMETERS}
        self._optimise({name: tensors[f"value.{name}"] for name in PARAMETERS}, moments)

    def result(self) -> Avatar:
        """The avatar with the Gaussians as they are now, on the CPU."""
        done = replace(self.avatar, gaussians=self.gaussians.detach(), binding=self.binding)
        return done.to("cpu")


def masked_psnr(rgb: np.ndarray, wanted: np.ndarray, mask: np.ndarray) -> float:
    """Peak signal-to-noise ratio, dB, of [H, W, 3] pictures in [0, 1] where `mask` [H, W]; inf when equal."""
    error = float(((rgb - wanted)[mask] ** 2).mean())
    return float("inf") if error == 0 else -10 * np.log10(error)


def log_quality(avatar: Avatar, views: list[View]) -> float:
    """Log and return the PSNR of the first view (the photo) inside its matte."""
    from facecraft.avatar import render

    view = views[0]
    with torch.no_grad():
        rgb, _ = render(avatar.pose(avatar.expression, avatar.gaze, avatar.neck), view.camera, torch.ones(3))
    wanted = view.rgb * view.alpha[..., None] + 1 - view.alpha[..., None]
    psnr = masked_psnr(rgb.numpy().clip(0, 1), wanted, view.alpha > 0.5)
    log.info(f"PSNR of the source view inside the matte: {psnr:.1f} dB with {len(avatar.binding)} Gaussians")
    return psnr
