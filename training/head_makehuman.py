"""MakeHuman's head and its targets: the average adult, and random people of all ages, builds and origins."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

_OPPOSITES = {
    "incr": "decr", "up": "down", "in": "out", "forward": "backward", "convex": "concave", "compress": "uncompress",
}  # fmt: skip
# full-strength modifiers are caricatures: these spreads give people
_DETAIL_SIGMA, _ASYMMETRY_SIGMA, _CHILD_SHARE = 0.14, 0.06, 0.12


@dataclass(frozen=True)
class MakeHuman:
    """`vertices` [V, 3] mm, `faces` [F, 3] with `face_groups` [F], `vertex_groups` [V] into `groups`, targets [T, V, 3] mm."""

    vertices: np.ndarray
    faces: np.ndarray
    face_groups: np.ndarray
    vertex_groups: np.ndarray
    groups: tuple[str, ...]
    targets: np.ndarray
    target_names: tuple[str, ...]
    licence: str

    def group_faces(self, *names: str) -> np.ndarray:
        """Faces of groups."""
        return self.faces[np.isin(self.face_groups, [self.groups.index(name) for name in names])]

    def group_vertices(self, name: str) -> np.ndarray:
        """Vertices of a group."""
        return np.flatnonzero(self.vertex_groups == self.groups.index(name))


def load_makehuman(folder: Path) -> MakeHuman:
    """Read makehuman_head.npz."""
    data = np.load(folder / "makehuman_head.npz")
    return MakeHuman(
        data["vertices"].astype(float) * 1000,
        data["faces"].astype(np.int64),
        data["face_group"],
        data["vertex_group"],
        tuple(str(name) for name in data["group_names"]),
        data["shape"].astype(np.float32) * 1000,
        tuple(str(name) for name in data["shape_names"]),
        str(data["licence"]).strip(),
    )


def macro_weights(sex: float, age: float, origins: np.ndarray, muscle: float, weight: float) -> dict[str, float]:
    """Amounts of MakeHuman's macro targets: sex 0 female to 1 male; age 0 child, 0.5 young, 1 old; origins
    (African, Asian, Caucasian) sum to 1; muscle and weight 0 to 1, 0.5 average."""
    sexes = {"female": 1 - sex, "male": sex}
    ages = {"child": max(0, 1 - 2 * age), "young": 1 - abs(2 * age - 1), "old": max(0, 2 * age - 1)}
    amounts = {}
    for sex_name, sex_share in sexes.items():
        for age_name, age_share in ages.items():
            for origin, origin_share in zip(("african", "asian", "caucasian"), origins, strict=True):
                amounts[f"macrodetails/{origin}-{sex_name}-{age_name}"] = sex_share * age_share * origin_share
            for muscle_name, muscle_share in _levels(muscle, "muscle").items():
                for weight_name, weight_share in _levels(weight, "weight").items():
                    name = f"macrodetails/universal-{sex_name}-{age_name}-{muscle_name}-{weight_name}"
                    amounts[name] = sex_share * age_share * muscle_share * weight_share
    return amounts


def _levels(amount, name) -> dict[str, float]:
    low, high = max(0, 1 - 2 * amount), max(0, 2 * amount - 1)
    return {f"min{name}": low, f"average{name}": 1 - low - high, f"max{name}": high}


def target_vector(human: MakeHuman, amounts: dict[str, float]) -> np.ndarray:
    """Amounts by name to [T]; names that were not packed (targets that move nothing) are left out."""
    number = {name: k for k, name in enumerate(human.target_names)}
    vector = np.zeros(len(number), np.float32)
    for name, amount in amounts.items():
        if name in number:
            vector[number[name]] = amount
    return vector


def average_adult(human: MakeHuman) -> np.ndarray:
    """Target amounts [T] of the mean of sexes and origins."""
    return target_vector(human, macro_weights(0.5, 0.5, np.full(3, 1 / 3), 0.5, 0.5))


def random_people(human: MakeHuman, count: int, rng: np.random.Generator) -> np.ndarray:
    """Target amounts [N, T] of random people, about one in eight a child, no babies."""
    pairs = _modifier_pairs(human.target_names)
    return np.stack([_random_person(human, pairs, rng) for _ in range(count)])


def _random_person(human, pairs, rng) -> np.ndarray:
    sex = float(rng.choice([0.0, 1.0, rng.random()], p=[0.4, 0.4, 0.2]))
    age = rng.uniform(0, 0.45) if rng.random() < _CHILD_SHARE else rng.uniform(0.42, 0.95)
    muscle, weight = np.clip(rng.normal(0.5, [0.2, 0.22]), 0, 1)
    amounts = macro_weights(sex, age, rng.dirichlet([0.6] * 3), muscle, weight)
    drawn = {}
    for more, less in pairs:
        category, name = more.split("/")
        if category == "asym":
            value = rng.normal(0, _ASYMMETRY_SIGMA)
        else:
            # left and right of a pair move together, almost
            sided = name[:2] in ("l-", "r-")
            value = drawn.setdefault(name[2:] if sided else name, rng.normal(0, _DETAIL_SIGMA))
            value += rng.normal(0, 0.05) if sided else 0
            value *= 0.7 if category == "head" else 1
        if less is None or value >= 0:
            amounts[more] = min(abs(value), 1)
        else:
            amounts[less] = min(-value, 1)
    return target_vector(human, amounts)


def _modifier_pairs(names) -> list[tuple[str, str | None]]:
    """Detail targets as (one way, the other way or None)."""
    details = [name for name in names if not name.startswith("macro")]
    pairs, used = [], set()
    for name in details:
        stem, _, end = name.rpartition("-")
        other = f"{stem}-{_OPPOSITES.get(end)}"
        if end in _OPPOSITES and other in details:
            pairs.append((name, other))
            used |= {name, other}
    return pairs + [(name, None) for name in details if name not in used]
