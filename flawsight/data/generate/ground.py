"""A sound ground magnetic tile as a line camera sees it, with the harmless marks of real parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flawsight.data.generate.brushes import (
    Field,
    Points,
    blob,
    filled,
    grid,
    smooth_noise,
    stroked,
    wander,
)

Rng = np.random.Generator

# (width from, to, height from, to, share): the cuts in which the real tiles were photographed
CUTS = (
    (114, 126, 264, 292, 0.15),
    (180, 276, 245, 396, 0.50),
    (378, 526, 318, 394, 0.22),
    (572, 612, 230, 264, 0.13),
)


@dataclass(frozen=True)
class Ground:
    """A tile before anything happened to it. Fields are float32 (H, W), brightness 0..1.

    ``light`` is the lighting alone, ``value`` the finished surface, ``top`` and ``bottom`` (W,) the rows
    where the metal begins and ends.
    """

    light: Field
    value: Field
    top: Points
    bottom: Points

    @property
    def shape(self) -> tuple[int, int]:
        return self.light.shape[0], self.light.shape[1]


def between(rng: Rng, low: float, high: float) -> float:
    """Log-uniform: as many small as large ones."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def blend(value: Field, other: Field | float, strength: Field) -> Field:
    """``other`` laid over ``value`` by its strength 0..1."""
    return np.asarray(value + strength * (other - value), dtype=np.float32)


def darken(value: Field, factor: float, strength: Field) -> Field:
    """``value`` times ``factor`` (over 1 brightens) where ``strength`` is 1."""
    return np.asarray(value * (1 - strength * np.float32(1 - factor)), dtype=np.float32)


def _lighting(rng: Rng, shape: tuple[int, int]) -> tuple[Field, Field]:
    """Light falling on the tile, and the glare in it (both >= 0)."""
    height, width = shape
    y, x = grid(shape)
    v, u = y / height, x / width
    lobe = np.exp(-(((u - rng.uniform(0.15, 0.85)) / rng.uniform(0.3, 0.7)) ** 2))
    light = 0.16 + 0.26 * lobe + rng.normal(0, 0.06) * (v - 0.5)
    light = light * (1 + 0.13 * smooth_noise(rng, shape, 55, 45))
    glare = np.zeros(shape, np.float32)
    for _ in range(int(rng.integers(0, 4))):
        centre = (
            rng.uniform(0, 1),
            rng.choice([rng.uniform(-0.05, 0.25), rng.uniform(0.75, 1.05), rng.uniform()]),
        )
        spread = rng.uniform(0.06, 0.28), rng.uniform(0.12, 0.4)
        glare += rng.uniform(0.15, 0.6) * np.exp(
            -(((u - centre[0]) / spread[0]) ** 2) - ((v - centre[1]) / spread[1]) ** 2
        )
    if rng.random() < 0.5:  # one side falls into shadow
        side = u if rng.random() < 0.5 else 1 - u
        light = light * np.clip(0.25 + side / rng.uniform(0.1, 0.4), 0, 1)
    light = np.clip(light * (1 + glare), 0.02, 1.2)
    return light.astype(np.float32), glare


def grinding(rng: Rng, shape: tuple[int, int], glare: Field | float) -> Field:
    """Relief left by the grinding wheel: vertical grain and bright streaks, around 1."""
    grain = 0.030 * smooth_noise(rng, shape, rng.uniform(60, 250), 0.6)
    grain += 0.035 * smooth_noise(rng, shape, rng.uniform(15, 80), 0.5)
    grain += 0.030 * smooth_noise(rng, shape, 200, 2.5) + 0.028 * smooth_noise(rng, shape, 150, 9)
    grain += rng.uniform(0.03, 0.055) * smooth_noise(rng, shape, 0.9, 0.4)
    streaks = np.maximum(smooth_noise(rng, shape, rng.uniform(25, 90), 0.45) - 1.25, 0)
    glints = 0.7 + 0.45 * smooth_noise(rng, shape, 1.2, 0.5)
    strength = rng.uniform(0.08, 0.26) * (0.5 + 1.8 * np.asarray(glare))
    return np.asarray(1 + grain * (1 + np.asarray(glare)) + strength * streaks * glints, dtype=np.float32)


def _lines(rng: Rng, value: Field) -> Field:
    """A few long bright, or faintly dark, machining lines."""
    height, width = value.shape
    for _ in range(int(rng.integers(0, 8))):
        x = rng.uniform(0, width)
        start, length = rng.uniform(-0.3, 0.6) * height, rng.uniform(0.3, 1.2) * height
        path = np.array([[x, start], [x + rng.normal(0, 1.5), start + length]])
        strength = stroked((height, width), path, 1 if rng.random() < 0.8 else 2, 0.5)
        strength *= np.clip(0.6 + 0.4 * smooth_noise(rng, (height, 1), 8, 0), 0, 1)
        factor = rng.uniform(1.15, 1.7) if rng.random() < 0.75 else rng.uniform(0.75, 0.92)
        value = darken(value, factor, strength)
    return value


def _side_bands(rng: Rng, value: Field) -> Field:
    """Chamfers along the left and right side, bright or dark, often with a line between."""
    height, width = value.shape
    _, x = grid((height, width))
    for mirrored in (False, True):
        if rng.random() > 0.4:
            continue
        reach = rng.uniform(0.02, 0.09) * width + 4
        tilt = rng.normal(0, 2) * np.linspace(-1, 1, height, dtype=np.float32)[:, None]
        at = (width - 1 - x if mirrored else x) + tilt
        band = np.clip(reach - at, 0, 1)
        value = value * (1 + band * np.float32(rng.choice([rng.uniform(-0.5, -0.2), rng.uniform(0.1, 0.7)])))
        value = value * (1 - np.float32(rng.uniform(0, 0.4)) * np.exp(-(((at - reach) / 1.5) ** 2)))
        if rng.random() < 0.6:  # the camera looks past the tile
            value = value * np.clip((at - rng.uniform(0, reach * 0.3)) / 2 + 0.5, 0.12, 1)
    return np.asarray(value, dtype=np.float32)


def _ends(rng: Rng, shape: tuple[int, int]) -> tuple[Points, Points]:
    """Rows (W,) where the metal begins and where it ends; the tile is an arc, so the ends may curve."""
    height, width = shape
    across = np.linspace(-1, 1, width)

    def depth() -> Points:
        if rng.random() < 0.35:
            return np.full(width, -3.0)
        curve = rng.uniform(-1, 7) + rng.normal(0, 4) * across + rng.uniform(-7, 7) * (across**2)
        return np.asarray(curve + 0.4 * np.cumsum(rng.normal(0, 0.12, width)))

    return depth(), height - 1 - depth()


def _beyond(rng: Rng, value: Field, top: Points, bottom: Points) -> Field:
    """Dark background outside the ends, and now and then a dark notch at a corner."""
    height, width = value.shape
    y, _ = grid((height, width))
    metal = np.clip(y - top[None] + 0.5, 0, 1) * np.clip(bottom[None] - y + 0.5, 0, 1)
    lit = 1 + 0.25 * np.exp(-np.abs(y - bottom[None] + 2) / 2) * rng.uniform(-1, 0.6)
    backdrop = rng.uniform(0.02, 0.09) * (1 + 0.3 * smooth_noise(rng, (height, width), 6, 1))
    value = (value * lit * metal + (1 - metal) * backdrop).astype(np.float32)
    for x in (0, width):
        for y0 in (0, height):
            if rng.random() < 0.12:
                radii = rng.uniform(5, 22), rng.uniform(3, 9)
                notch = filled((height, width), blob(rng, (x, y0), radii, 0, 0.1), 0.7)
                value = blend(value, 0.05, notch)
    return np.asarray(value, dtype=np.float32)


def _marks(rng: Rng, value: Field) -> Field:
    """Stains, smudges, dust and scuffs that every real tile carries: none of them is a defect."""
    height, width = shape = value.shape[0], value.shape[1]

    def somewhere() -> tuple[float, float]:
        return float(rng.uniform(0, width)), float(rng.uniform(0, height))

    for _ in range(rng.poisson(3)):  # faint dashes, often several together
        x, y = somewhere()
        for _ in range(int(rng.integers(1, 7))):
            path = wander(
                rng,
                (x + rng.normal(0, 14), y + rng.normal(0, 14)),
                rng.uniform(0, 6.28),
                rng.uniform(3, 18),
                2,
                0,
                0.3,
            )
            value = darken(value, rng.uniform(0.68, 0.92), stroked(shape, path, rng.uniform(0.5, 2.2), 0.6))
    for _ in range(rng.poisson(5)):  # specks
        value = darken(
            value,
            rng.uniform(0.6, 0.88),
            filled(shape, blob(rng, somewhere(), (rng.uniform(0.8, 2), rng.uniform(0.8, 2))), 0.6),
        )
    for _ in range(rng.poisson(0.9)):  # dried stains: a patch with a darker rim
        radii = between(rng, 8, 60), between(rng, 8, 45)
        outline = blob(rng, somewhere(), radii, rng.uniform(0, 3.14), 0.2)
        value = darken(value, rng.uniform(0.86, 1.04), filled(shape, outline, 2))
        value = darken(
            value,
            rng.uniform(0.75, 0.95),
            stroked(shape, np.vstack([outline, outline[:1]])[: int(rng.integers(20, 66))], 1.5, 0.9),
        )
    for _ in range(rng.poisson(0.7)):  # clouds
        radii = between(rng, 15, 70), between(rng, 15, 70)
        value = darken(
            value, rng.uniform(0.78, 0.93), filled(shape, blob(rng, somewhere(), radii, 0, 0.25), 9)
        )
    for _ in range(rng.poisson(0.8)):  # bright scuffs
        path = wander(rng, somewhere(), rng.uniform(0, 6.28), between(rng, 8, 70), 4, rng.normal(0, 1), 0.05)
        value = darken(value, rng.uniform(1.1, 1.6), stroked(shape, path, rng.uniform(1, 2.4), 0.6))
    if rng.random() < 0.2:  # grey smear, as from a finger
        ridges = np.sin(smooth_noise(rng, shape, 25, 25) * 12)
        patch = filled(shape, blob(rng, somewhere(), (rng.uniform(15, 40), rng.uniform(15, 30))), 6)
        value = np.asarray(value * (1 + 0.06 * patch * ridges), dtype=np.float32)
    return value


def ground_tile(rng: Rng) -> Ground:
    """A sound tile of random cut, light and wear."""
    cut = CUTS[rng.choice(len(CUTS), p=[c[4] for c in CUTS])]
    shape = int(rng.integers(cut[2], cut[3])), int(rng.integers(cut[0], cut[1]))
    light, glare = _lighting(rng, shape)
    value = _lines(rng, light * grinding(rng, shape, glare))
    value = _side_bands(rng, _marks(rng, value))
    top, bottom = _ends(rng, shape)
    return Ground(light, _beyond(rng, value, top, bottom), top, bottom)
