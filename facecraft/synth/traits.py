"""What a person is like: every trait drawn from its own stream of random numbers, those that go together together."""

from dataclasses import dataclass

import numpy as np

from facecraft.synth import identity
from facecraft.synth.accessories import HAT_LINES, AccessoryTraits
from facecraft.synth.beard import FAMILIES, BeardTraits
from facecraft.synth.brows import BrowTraits
from facecraft.synth.clothes import NECKLINES, ClothesTraits
from facecraft.synth.eyes import EyeTraits
from facecraft.synth.hair import HairTraits, pigment_colour
from facecraft.synth.skin import SkinTraits

IRISES = {
    "brown": ((0.070, 0.030, 0.012), (0.090, 0.042, 0.015), 0.34),
    "dark": ((0.030, 0.014, 0.008), (0.036, 0.016, 0.008), 0.30),
    "hazel": ((0.085, 0.062, 0.022), (0.130, 0.060, 0.018), 0.10),
    "green": ((0.090, 0.105, 0.050), (0.120, 0.085, 0.030), 0.07),
    "blue": ((0.110, 0.190, 0.290), (0.200, 0.240, 0.260), 0.12),
    "grey": ((0.160, 0.190, 0.210), (0.190, 0.190, 0.160), 0.07),
}
"""Outer and inner colour, linear, and how often."""


@dataclass(frozen=True)
class Traits:
    """Everything about a person."""

    age: float  # years
    sex: float  # -1 female to 1 male
    shape: np.ndarray  # [K]
    edits: dict[str, float]  # named directions of the head that were added
    skin: SkinTraits
    eyes: EyeTraits
    brows: BrowTraits
    hair: HairTraits
    beard: BeardTraits
    clothes: ClothesTraits
    accessories: AccessoryTraits


def sample_traits(stream) -> Traits:
    """Draw everything about a person; `stream(noun)` gives the random numbers of each noun."""
    rng = stream("person")
    age = float(np.clip(rng.gamma(5.0, 8.5), 6, 90))
    sex = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 1.0))
    low, high = ((0.05, 0.5), (0.35, 1.1), (0.9, 2.4))[rng.choice(3, p=[0.42, 0.33, 0.25])]
    melanin = float(rng.uniform(low, high))
    hair = _sample_hair(stream("hair"), age, sex, melanin)
    return Traits(
        age,
        sex,
        *identity.sample_identity(stream("shape"), age, sex),
        _sample_skin(stream("skin"), age, sex, melanin),
        _sample_eyes(stream("eyes"), melanin, age),
        _sample_brows(stream("brows"), hair, sex, age),
        hair,
        _sample_beard(stream("beard"), hair, sex, age),
        _sample_clothes(stream("clothes")),
        _sample_accessories(stream("accessories"), hair, sex, age),
    )


def _sample_beard(rng: np.random.Generator, hair: HairTraits, sex: float, age: float) -> BeardTraits:
    family = "none"
    if sex > 0 and age > 17:
        family = str(rng.choice(list(FAMILIES), p=[0.36, 0.18, 0.14, 0.06, 0.06, 0.14, 0.06]))
    return BeardTraits(
        family,
        length=rng.uniform(0.7, 1.4),
        albedo=pigment_colour(hair.eumelanin * rng.uniform(0.7, 1.1), hair.pheomelanin + rng.uniform(0, 0.5)),
        grey=float(np.clip(hair.grey + rng.uniform(-0.1, 0.3) * (age > 40), 0, 1)),
        curl=float(rng.beta(1.5, 2)),
    )


def _sample_clothes(rng: np.random.Generator) -> ClothesTraits:
    def colour():
        return np.clip(rng.uniform(0.02, 0.75) * np.exp(rng.choice([0.1, 0.6]) * rng.standard_normal(3)), 0.01, 0.85)

    return ClothesTraits(
        str(rng.choice(NECKLINES, p=[0.36, 0.16, 0.14, 0.12, 0.17, 0.05])),
        depth=rng.uniform(0, 1),
        colour=colour(),
        second=colour(),
        pattern=str(rng.choice(["plain", "stripes", "checks", "speckle"], p=[0.62, 0.14, 0.12, 0.12])),
        scale=rng.uniform(0.012, 0.05),
    )


def _sample_accessories(rng: np.random.Generator, hair: HairTraits, sex: float, age: float) -> AccessoryTraits:
    def colour():
        return np.clip(rng.uniform(0.01, 0.6) * np.exp(0.6 * rng.standard_normal(3)), 0.005, 0.8)

    worn = rng.random() < 0.14 + 0.003 * max(age - 20, 0)
    hat = rng.random() < 0.09 and hair.family not in ("afro", "bun", "ponytail")
    metal = np.array([0.75, 0.55, 0.25]) if rng.random() < 0.5 else np.array([0.65, 0.65, 0.67])
    return AccessoryTraits(
        glasses=str(rng.choice(["round", "square", "aviator"])) if worn else None,
        tinted=bool(rng.random() < 0.12),
        frame=np.full(3, 0.01) if rng.random() < 0.5 else metal if rng.random() < 0.4 else colour(),
        frame_width=rng.uniform(0.0007, 0.0019),
        lens=rng.uniform(0.88, 1.12),
        hat=str(rng.choice(list(HAT_LINES))) if hat else None,
        hat_colour=colour(),
        second=colour(),
        earrings=str(rng.choice(["stud", "hoop"])) if rng.random() < (0.38 if sex < 0 else 0.05) and age > 8 else None,
        metal=metal,
        hoop=rng.uniform(0.007, 0.02),
    )


def _sample_skin(rng: np.random.Generator, age: float, sex: float, melanin: float) -> SkinTraits:
    made_up = sex < 0 and age > 16 and rng.random() < 0.45
    pale = np.exp(-melanin / 0.5)
    lipstick = np.array([rng.uniform(0.25, 0.6), rng.uniform(0.02, 0.12), rng.uniform(0.03, 0.16)])
    eye_shadow = rng.uniform(0.02, 0.35, 3) * [1.0, 0.85, 0.9]
    return SkinTraits(
        melanin=melanin,
        haemoglobin=rng.uniform(0.10, 0.30),
        mottling=rng.uniform(0.2, 0.9),
        flush=rng.beta(2, 3),
        freckles=float((rng.random() < 0.25 * pale) * rng.uniform(0.15, 0.8) + max(age - 55, 0) / 700),
        moles=int(rng.poisson(1.5)),
        blemishes=float((rng.random() < 0.3) * rng.beta(1, 3)),
        pores=rng.uniform(0.4, 1.3),
        wrinkles=float(np.clip((age - 24) / 48, 0.03, 1.2) * rng.uniform(0.7, 1.3)),
        eye_shade=float(rng.beta(2, 3) * (0.6 + age / 100)),
        lip_blood=rng.uniform(0.5, 1.3),
        lip_colour=lipstick if made_up and rng.random() < 0.75 else None,
        lid_colour=eye_shadow if made_up and rng.random() < 0.5 else None,
        blush=float(made_up * rng.uniform(0, 0.6)),
        liner=float(made_up * rng.uniform(0.2, 1)),
        gloss=rng.uniform(0.5, 1.5),
    )


def _sample_eyes(rng: np.random.Generator, melanin: float, age: float) -> EyeTraits:
    names = list(IRISES)
    chances = np.array([IRISES[name][2] for name in names])
    chances[2:] *= np.exp(-melanin / 0.35)
    colour = names[rng.choice(len(names), p=chances / chances.sum())]
    outer, inner, _ = IRISES[colour]
    shift = np.exp(rng.normal(0, 0.18, 3) * 0.5 + rng.normal(0, 0.2))
    return EyeTraits(
        np.array(outer) * shift,
        np.array(inner) * shift,
        pupil=rng.uniform(0.28, 0.5),
        size=rng.uniform(0.93, 1.06),
        veins=float(rng.beta(1.5, 4)),
        white=rng.uniform(0.85, 1.08) - 0.0012 * age,
        tooth=rng.uniform(0.75, 1.1),
        tooth_warmth=float(np.clip(rng.beta(2, 3) + age / 300, 0, 1)),
    )


def _sample_hair(rng: np.random.Generator, age: float, sex: float, melanin: float) -> HairTraits:
    curliness = rng.beta(1, 1.6) if melanin > 1.1 else rng.beta(0.8, 3.5)
    short = ["buzz", "crop", "side_part", "slick_back"]
    long = ["bob", "long", "wavy", "curly", "bun", "ponytail"]
    family = str(rng.choice(short if rng.random() < 0.5 + 0.42 * sex else long))
    if curliness > 0.55:
        family = (
            str(rng.choice(["afro", "curly", "afro", "buzz"])) if melanin > 1.1 else str(rng.choice(["curly", "wavy"]))
        )
    if rng.random() < (0.02 if sex < 0 else 0.05 + 0.0035 * max(age - 30, 0)):
        family = "bald"
    ranges = {
        "bald": (0.001, 0.002),
        "buzz": (0.003, 0.009),
        "crop": (0.020, 0.050),
        "side_part": (0.055, 0.105),
        "slick_back": (0.09, 0.16),
        "bob": (0.10, 0.155),
        "long": (0.20, 0.36),
        "wavy": (0.16, 0.34),
        "curly": (0.10, 0.26),
        "afro": (0.030, 0.085),
        "bun": (0.25, 0.4),
        "ponytail": (0.15, 0.36),
    }
    radius, wavelength = {
        "wavy": (rng.uniform(0.004, 0.008), rng.uniform(0.05, 0.09)),
        "curly": (rng.uniform(0.006, 0.010), rng.uniform(0.030, 0.050)),
        "afro": (rng.uniform(0.0022, 0.0045), rng.uniform(0.008, 0.014)),
    }.get(family, (0.0035 * curliness * rng.random(), rng.uniform(0.03, 0.08)))
    eumelanin = float(rng.uniform(3.2, 8) if melanin > 0.8 else np.clip(rng.gamma(2.2, 1.5) + 0.5, 0.5, 8))
    red = melanin < 0.6 and rng.random() < 0.12
    greying = np.clip((age - rng.normal(52, 12)) / 25, 0, 1)
    dyed = rng.random() < (0.05 if sex > 0 else 0.14)
    return HairTraits(
        family,
        length=rng.uniform(*ranges[family]),
        sides=rng.uniform(0.25, 0.9) if family != "afro" else rng.uniform(0.5, 1.0),
        volume=rng.uniform(0.006, 0.020) * (1.3 if family == "curly" else 1),
        part=float(rng.choice([-1, 1]) * rng.uniform(0, 0.04)),
        recession=float(rng.beta(1.5, 4) * 0.020 * (1 + max(sex, 0) * max(age - 30, 0) / 20)),
        thinning=float(np.clip(rng.beta(1, 2) * max(sex, 0) * max(age - 32, 0) / 28, 0, 1)),
        curl_radius=radius,
        curl_wavelength=wavelength,
        clumping=rng.uniform(0.25, 0.8),
        fringe=bool(rng.random() < 0.35),
        eumelanin=eumelanin if not red else rng.uniform(0.6, 1.6),
        pheomelanin=float(rng.uniform(0, 0.4) if not red else rng.uniform(1.0, 2.2)),
        grey=float(greying if not dyed else 0),
        dye=_sample_dye(rng) if dyed else None,
        tip_fade=float(rng.beta(1, 2)),
    )


def _sample_dye(rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.75:  # a natural colour of somebody else
        return pigment_colour(rng.uniform(0.5, 6), rng.uniform(0, 1.5))
    return np.array([rng.uniform(0.02, 0.6) for _ in range(3)])


def _sample_brows(rng: np.random.Generator, hair: HairTraits, sex: float, age: float) -> BrowTraits:
    own = pigment_colour(max(hair.eumelanin, 1.2) * rng.uniform(0.9, 1.3), 0.6 * hair.pheomelanin)
    own = own + 0.5 * hair.grey * (np.array([0.4, 0.38, 0.36]) - own)
    return BrowTraits(
        density=rng.uniform(0.4, 1.2) * (1 + 0.2 * sex),
        thickness=rng.uniform(0.6, 1.3) * (1 + 0.2 * sex),
        length=rng.uniform(0.8, 1.2) * (1 + max(age - 60, 0) / 80),
        arch=rng.uniform(-0.001, 0.002) - 0.0008 * sex,
        rise=rng.uniform(-0.001, 0.002) - 0.0005 * sex,
        albedo=own,
        lash_length=rng.uniform(0.006, 0.009) - 0.001 * sex,
        lash_density=rng.uniform(0.7, 1.3) - 0.2 * sex,
    )
