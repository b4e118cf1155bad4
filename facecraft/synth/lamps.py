"""What light a picture is taken in: rooms, overcast and sunny days, studio lamps, hard light from one side."""

import numpy as np

from facecraft.synth.light import Light

KINDS = ("room", "studio", "overcast", "sun", "side", "back", "night")


def sample_light(rng: np.random.Generator) -> tuple[str, Light]:
    """A kind of light and one instance of it, in units that the exposure of the picture evens out."""
    kind = str(rng.choice(KINDS, p=[0.26, 0.22, 0.16, 0.13, 0.11, 0.06, 0.06]))
    azimuth = {"side": rng.choice([-1, 1]) * rng.uniform(60, 110), "back": rng.choice([-1, 1]) * rng.uniform(130, 170)}
    main = azimuth.get(kind, rng.normal(0, 45))
    height = {"overcast": 70, "night": rng.uniform(0, 60)}.get(kind, rng.uniform(10, 55))
    strength = {"room": 0.8, "studio": 1.3, "overcast": 0.5, "sun": 2.0, "side": 2.0, "back": 1.8, "night": 0.9}[kind]
    width = {"overcast": 0.9, "sun": 0.05, "studio": 0.35, "room": 0.4}.get(kind, 0.2)
    ambient = {"side": 0.22, "back": 0.55, "night": 0.35, "sun": 0.45, "studio": 0.5}.get(kind, 0.75)
    lamps, colours, widths = [_direction(main, height)], [strength * _warmth(rng, 0.5)], [width]
    if kind == "studio" or rng.random() < 0.3:
        lamps.append(_direction(-main + rng.normal(0, 25), rng.uniform(0, 40)))
        colours.append(rng.uniform(0.2, 0.7) * _warmth(rng, 0.8))
        widths.append(0.35)
    if rng.random() < 0.3:
        lamps.append(_direction(180 + rng.normal(0, 40), rng.uniform(10, 50)))
        colours.append(rng.uniform(0.3, 1.2) * _warmth(rng, 1.0))
        widths.append(0.2)
    if kind == "night":
        colours = [colour * np.exp(rng.normal(0, 0.15, 3)) for colour in colours]
    sky = np.zeros((9, 3))
    sky[0] = ambient * _warmth(rng, 0.5)
    sky[2] = 0.35 * ambient * rng.uniform(0.2, 1.4)  # more from above
    sky[1:4] += 0.25 * ambient * rng.normal(0, 1, (3, 1))
    sky[1:] += 0.06 * ambient * rng.normal(0, 1, (8, 3))
    return kind, Light(sky, np.array(lamps), np.array(colours), np.array(widths))


def _direction(azimuth_deg: float, height_deg: float) -> np.ndarray:
    a, e = np.radians(azimuth_deg), np.radians(height_deg)
    return np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])


def _warmth(rng: np.random.Generator, spread: float) -> np.ndarray:
    """Colour [3] of a lamp, from warm to cold."""
    t = spread * rng.normal(0, 1)
    return np.exp(np.array([0.13, 0.0, -0.20]) * t)
