"""Measures of a whole set: FID, the distribution of identity, and for films JOD and jitter."""

import math

import numpy as np

from facecraft.evaluation.meter import Meter
from facecraft.evaluation.pairs import Pair
from facecraft.image import to_bytes
from facecraft.metrics.distribution import FEATURE_NET, SMALLEST_CLAIM, frechet_distance
from facecraft.metrics.faces import landmark_jitter

MOST_FRAMES = 250
"""JOD is of the first ten seconds of a film: it holds both in memory."""


class Collector:
    """Keeps of each pair what the measures of its set need."""

    def __init__(self, meter: Meter, fps: float = 25.0):
        self.meter, self.fps = meter, fps
        self.features = ([], [])
        self.films: dict[str, tuple[list, list]] = {}
        self.tracks: dict[str, tuple[list, list]] = {}
        self._group, self._counted = None, {}

    def add(self, pair: Pair) -> None:
        """Look at one pair; pairs of one group are frames of one film, in order."""
        if self.meter.inception and pair.compares in ("pixels", "persons"):
            self._count(pair)
        if pair.compares != "pixels":
            return
        if self.meter.video:
            film = self.films.setdefault(pair.group, ([], []))
            if len(film[0]) < MOST_FRAMES:
                for side, rgb in zip(film, pair.blanked, strict=True):
                    side.append(to_bytes(rgb))
        if self.meter.takes("jitter"):
            tracks = self.tracks.setdefault(pair.group, ([], []))
            for side, shown in zip(tracks, (pair.predicted, pair.truth), strict=True):
                side.append(None if shown.face is None else shown.face.landmarks)

    def _count(self, pair: Pair) -> None:
        """Features of both pictures; one that several pairs of a group share counts once."""
        if pair.group != self._group or pair.compares == "pixels":
            self._group, self._counted = pair.group, {}
        for side, shown in zip(self.features, (pair.predicted, pair.truth), strict=True):
            if id(shown) not in self._counted:
                self._counted[id(shown)] = shown  # kept: an id is only its own while the picture lives
                side.append(self.meter.inception.features(shown.rgb))

    def figures(self, identities: list[float]) -> dict[str, dict]:
        """The figures by measure; `identities` are the cosines of all pairs."""
        sets = {}
        if self.meter.inception and min(map(len, self.features)) > 1:
            sets["fid"] = self._fid()
        if self.films:
            sets["jod"] = self._jod()
        if self.tracks:
            sets["jitter"] = self._jitter()
        if "isd" in self.meter.names and self.meter.embedder and identities:
            sets["isd"] = describe_distribution(identities)
        return sets

    def _fid(self) -> dict:
        counts = [len(side) for side in self.features]
        value = frechet_distance(*(np.stack(side) for side in self.features))
        entry = {"value": value, "n": counts, "net": FEATURE_NET, "claim": min(counts) >= SMALLEST_CLAIM}
        if not entry["claim"]:
            entry["caveat"] = f"no claim: {min(counts)} pictures, fewer than {SMALLEST_CLAIM}; only equal N compare"
        return entry

    def _jod(self) -> dict:
        films = {
            group: self.meter.video.measure(np.stack(ours), np.stack(truth), self.fps)
            for group, (ours, truth) in self.films.items()
        }
        frames = sum(len(film[0]) for film in self.films.values())
        caveat = f"mean of {len(films)} films, at most {MOST_FRAMES} frames of each, at {self.fps:g} frames per second"
        return {"value": float(np.mean(list(films.values()))), "n": frames, "films": films, "caveat": caveat}

    def _jitter(self) -> dict:
        ours, theirs = (
            [landmark_jitter(np.stack(side)) for side in sides if all(points is not None for points in side)]
            for sides in zip(*self.tracks.values(), strict=True)
        )
        mean, truth = (float(np.mean(v)) if v else math.nan for v in (ours, theirs))
        return {
            "value": mean,
            "truth": truth,
            "n": len(ours),
            "caveat": f"of the truth {truth:.3f}; fast motion counts too",
        }


def describe_distribution(values: list[float]) -> dict:
    """All values, their mean, spread and quantiles; nan is left out and counted."""
    known = np.array([v for v in values if not math.isnan(v)])
    if not len(known):
        return {"value": math.nan, "n": 0, "without_face": len(values), "values": []}
    quantiles = {f"q{q:02d}": float(np.quantile(known, q / 100)) for q in (5, 25, 50, 75, 95)}
    figures = {"value": float(known.mean()), "std": float(known.std()), "n": len(known)} | quantiles
    return figures | {"without_face": len(values) - len(known), "values": known.tolist()}
