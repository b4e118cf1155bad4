"""How long to train, how many Gaussians to use, and when their number changes.

| quality | A: static views | B: video | Gaussians | at most | density, A and B | photo alone counts |
|---|---:|---:|---:|---:|---|---|
| draft | 400 | 1,200 | 24,000 | 32,000 | 60..280 every 22, 180..840 every 66 | last 30 % |
| standard | 2,000 | 6,000 | 40,000 | 60,000 | 300..1,400 every 110, 900..4,200 every 330 | last 30 % |
| high | 30,000 | 90,000 | 80,000 | 200,000 | 4,500..21,000 every 1,650, 13,500..63,000 every 4,950 | last 30 % |

FaceCraft4D trains 30,000 + 90,000 iterations (supplement 6.3) with the intervals of GaussianAvatars unsaid; those are for
600,000 (density 10,000..600,000 every 2,000, opacities reset every 60,000, one more degree of harmonics every 1,000).
Here every interval is a share of its stage: density changes ten times between 15 and 70 % of it, so that the last
Gaussians have time to settle. Opacities are not reset: 10 % of a short stage does not bring them back. Harmonics of all
degrees learn from the start, those above 0 at 1/20 of the rate of colours (3D Gaussian Splatting).
"""

from dataclasses import dataclass

from facecraft.splats.density import DensityPlan

FIRST_CHANGE, LAST_CHANGE, CHANGES = 0.15, 0.7, 10
FEWEST_BETWEEN_CHANGES = 20  # a mean gradient of fewer views is noise
VIDEO_SHARE = 3  # iterations of stage B for each of stage A


@dataclass(frozen=True)
class Schedule:
    """How long to train and how many Gaussians to use."""

    iterations: int  # of stage A, on the static views
    gaussians: int  # at the start
    limit: int  # at most
    video: int = 0  # iterations of stage B, after those of A

    @property
    def total(self) -> int:
        """Iterations of both stages."""
        return self.iterations + self.video

    def progress(self, iteration: int) -> float:
        """How much of its own stage is done when `iteration` (from 1) is: (0, 1]."""
        if iteration <= self.iterations:
            return iteration / self.iterations
        return (iteration - self.iterations) / self.video

    def changes_density(self, iteration: int) -> bool:
        """Whether the number of Gaussians changes after `iteration`."""
        first, length = (0, self.iterations) if iteration <= self.iterations else (self.iterations, self.video)
        start, stop = first + round(FIRST_CHANGE * length), first + round(LAST_CHANGE * length)
        every = max((stop - start) // CHANGES, FEWEST_BETWEEN_CHANGES)
        return start <= iteration <= stop and (iteration - start) % every == 0

    def watches_density(self, iteration: int) -> bool:
        """Whether gradients of `iteration` still count for a change to come."""
        return self.progress(iteration) <= LAST_CHANGE

    def density(self) -> DensityPlan:
        """How the number changes."""
        return DensityPlan(self.limit)


SCHEDULES = {
    "draft": Schedule(400, 24_000, 32_000),
    "standard": Schedule(2_000, 40_000, 60_000),
    "high": Schedule(30_000, 80_000, 200_000),
}
"""Without video; `video` is VIDEO_SHARE times the iterations when a workspace has one."""
