"""Magnetic tiles in six conditions: what can go wrong on a ground tile, and how it is photographed."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from flawsight.data.generate.brushes import (
    Drawn,
    Field,
    Grey,
    Mask,
    Points,
    blob,
    blurred,
    filled,
    grid,
    smooth_noise,
    stroked,
    to_grey,
    wander,
    widened,
)
from flawsight.data.generate.ground import Ground, between, blend, darken, grinding, ground_tile

Rng = np.random.Generator
Flaw = Callable[[Rng, Ground], tuple[Field, Mask]]  # draws the value with the flaw, and its exact mask


def _edge_point(rng: Rng, tile: Ground) -> tuple[float, float, float]:
    """A point on the top or bottom end of the metal, and the heading into the metal (radians)."""
    x = float(rng.uniform(0.03, 0.97) * tile.shape[1])
    if rng.random() < 0.5:
        return x, max(0.0, float(tile.top[int(x)])), np.pi / 2
    return x, min(tile.shape[0] - 1.0, float(tile.bottom[int(x)])), -np.pi / 2


def blowhole(rng: Rng, tile: Ground) -> tuple[Field, Mask]:
    """One pit (rarely two): round, oval or rod-like, dark with a lit wall."""
    height, width = tile.shape
    value, mask = tile.value, np.zeros(tile.shape, bool)
    for _ in range(1 if rng.random() < 0.88 else 2):
        radius = between(rng, 3.0, 10)
        stretch = rng.uniform(1, 1.5) if rng.random() < 0.7 else rng.uniform(1.8, 3.2)
        radii = radius * np.sqrt(stretch), radius / np.sqrt(stretch)
        rows = tile.top.max() + 2, min(height, tile.bottom.min()) - 2
        centre = (
            float(rng.uniform(5, width - 5)),
            float(rng.uniform(max(4, rows[0]), min(height - 4, rows[1]))),
        )
        angle = rng.uniform(0, np.pi)
        outline = blob(rng, centre, radii, angle, rng.uniform(0.03, 0.14))
        pit = filled(tile.shape, outline, rng.uniform(0.6, 1.2))
        y, x = grid(tile.shape)
        side = ((x - centre[0]) * np.cos(angle) + (y - centre[1]) * np.sin(angle)) / radii[0]
        floor = blurred(tile.value, 4) * rng.uniform(0.3, 0.68)
        floor = floor * (1 + rng.uniform(-0.3, 0.3) * side + 0.12 * smooth_noise(rng, tile.shape, 1.5, 1.5))
        wall = np.clip(pit - filled(tile.shape, outline * 0.72 + np.asarray(centre) * 0.28, 1.0), 0, 1)
        value = blend(value, (floor * (1 - rng.uniform(0, 0.5) * wall)).astype(np.float32), pit)
        mask |= pit > 0
    return value, mask


def _chip(rng: Rng, tile: Ground) -> Points:
    """Outline of material broken off at a corner, an end or a side."""
    height, width = tile.shape
    place = rng.random()
    if place < 0.4:
        x, y = float(rng.choice([2, width - 3])), float(rng.choice([max(2.0, tile.top[0]), height - 3]))
        radii = between(rng, 9, 42), between(rng, 9, 36)
        return blob(rng, (x, y), radii, rng.normal(0, 0.5), 0.16)
    if place < 0.75:
        x, y, _ = _edge_point(rng, tile)
        return blob(rng, (x, y), (between(rng, 6, 42), between(rng, 6, 22)), rng.normal(0, 0.25), 0.18)
    x = float(rng.choice([rng.uniform(0, 6), width - rng.uniform(0, 6)]))
    y = float(rng.uniform(0.1, 0.9) * height)
    return blob(rng, (x, y), (between(rng, 6, 24), between(rng, 14, 70)), rng.normal(0, 0.1), 0.12)


def broken_edge(rng: Rng, tile: Ground) -> tuple[Field, Mask]:
    """Chipped-off material: a dull, shell-like hollow with a sharp rim, or only its crescent outline."""
    value, mask = tile.value, np.zeros(tile.shape, bool)
    for _ in range(1 if rng.random() < 0.75 else 2):
        outline = _chip(rng, tile)
        hollow = filled(tile.shape, outline, 0.7)
        rim = np.clip(hollow - filled(tile.shape, outline * 0.9 + outline.mean(0) * 0.1, 1.2), 0, 1)
        centre = outline.mean(axis=0)
        y, x = grid(tile.shape)
        shells = np.sin(np.hypot(x - centre[0] * 0.9, y - centre[1] * 1.1) / rng.uniform(2.5, 6))
        floor = blurred(tile.light, 6) * rng.uniform(0.3, 0.85)
        floor = floor * (1 + rng.uniform(0.02, 0.13) * shells + 0.14 * smooth_noise(rng, tile.shape, 5, 5))
        if rng.random() < 0.2:
            floor = 0.6 * tile.value + 0.4 * floor
        floor = floor * (1 + rim * rng.choice([rng.uniform(-0.75, -0.35), rng.uniform(0.2, 0.6)]))
        value = blend(value, floor.astype(np.float32), hollow)
        mask |= hollow > 0
    return value, mask


def crack(rng: Rng, tile: Ground) -> tuple[Field, Mask]:
    """A fine dark line running in from an end, cutting a corner, or hooked in the middle."""
    height, width = tile.shape
    value, mask = tile.value, np.zeros(tile.shape, bool)
    for _ in range(1 if rng.random() < 0.75 else 2):
        kind = rng.random()
        if kind < 0.65:
            x, y, inwards = _edge_point(rng, tile)
            path = wander(
                rng,
                (x, y),
                inwards + rng.normal(0, 0.2),
                between(rng, 16, 0.5 * height),
                4,
                rng.normal(0, 0.15),
                0.1,
            )
        elif kind < 0.82:
            left, up = rng.random() < 0.5, rng.random() < 0.5
            start = (rng.uniform(1, 8) if left else width - rng.uniform(1, 8), rng.uniform(22, 55))
            start = (start[0], start[1] if up else height - start[1])
            heading = (0.0 if left else np.pi) + rng.normal(0, 0.3)
            bend = (1 if left != up else -1) * rng.uniform(0.7, 1.4)
            path = wander(rng, start, heading, rng.uniform(35, 75), 4, bend, 0.08)
        else:
            start = float(rng.uniform(0.15, 0.85) * width), float(rng.uniform(0.15, 0.85) * height)
            path = wander(
                rng, start, np.pi / 2 + rng.normal(0, 0.6), between(rng, 25, 80), 4, rng.normal(0, 1.2), 0.12
            )
        widths = between(rng, 0.8, 2.2) * np.clip(
            1 + 0.4 * np.cumsum(rng.normal(0, 0.3, len(path))), 0.5, 1.6
        )
        if kind < 0.65 and rng.random() < 0.2:  # a wedge, wide at the edge
            widths = np.linspace(rng.uniform(4, 8), 1, len(path))
        line = stroked(tile.shape, path, widths, 0.5)
        fuzz = stroked(tile.shape, path + np.array([rng.normal(0, 0.7), 0]), widths + 1, 0.7) * np.float32(
            rng.uniform(0.1, 0.5)
        )
        gaps = np.clip(0.9 + 0.25 * smooth_noise(rng, tile.shape, 5, 5), 0.35, 1.1)
        line = np.clip(line * 1.3, 0, 1) * gaps
        value = darken(darken(value, 0.75, fuzz), rng.uniform(0.15, 0.5), line.astype(np.float32))
        mask |= (line > 0) | (fuzz > 0)
    return value, mask


def _unground_outline(rng: Rng, tile: Ground) -> Points:
    """A tower or pear standing on one end, or an island."""
    height, width = tile.shape
    if rng.random() < 0.3:
        radii = rng.uniform(0.09, 0.22) * width + 12, rng.uniform(0.16, 0.3) * height
        centre = float(rng.uniform(0.3, 0.7) * width), float(rng.uniform(0.35, 0.65) * height)
        return blob(rng, centre, radii, rng.normal(0, 0.3), 0.13)
    t = np.linspace(0, 1, 60)
    reach = rng.uniform(0.5, 1.0) * height
    half = (
        width
        * rng.uniform(0.13, 0.24)
        * (1 + rng.uniform(-0.3, 0.5) * np.sin(np.pi * t) - rng.uniform(0.2, 0.5) * t)
    )
    half = half * np.sqrt(np.clip(1.02 - t, 0, 1) / 0.4).clip(0, 1) + np.exp(-t / 0.05) * width * rng.uniform(
        0.1, 0.4
    )
    middle = width * rng.uniform(0.35, 0.65) + np.cumsum(rng.normal(0, 0.5, 60))
    edge = 1.2 * rng.standard_normal((2, 60))
    y = height + 2 - t * reach
    outline = np.vstack(
        [np.stack([middle - half + edge[0], y], 1), np.stack([middle + half + edge[1], y], 1)[::-1]]
    )
    if rng.random() < 0.3:
        outline[:, 1] = height - outline[:, 1]
    return outline


def _unground(rng: Rng, tile: Ground) -> tuple[Field, Mask]:
    """A patch the wheel never touched: dull, grainless, with pressed-in digits and old scratches."""
    region = filled(tile.shape, _unground_outline(rng, tile), rng.uniform(0.8, 1.6))
    dull = blurred(tile.light, 12) * rng.uniform(0.55, 1.05)
    dull = dull * (
        1 + 0.035 * smooth_noise(rng, tile.shape, 0.8, 0.8) + 0.06 * smooth_noise(rng, tile.shape, 12, 12)
    )
    rows, cols = np.nonzero(region > 0.5)
    for _ in range(rng.poisson(4)):
        pick = int(rng.integers(len(rows)))
        path = wander(
            rng, (cols[pick], rows[pick]), rng.uniform(0, 6.28), rng.uniform(8, 70), 4, rng.normal(0, 0.5)
        )
        factor = rng.choice([rng.uniform(0.7, 0.9), rng.uniform(1.05, 1.3)])
        dull = darken(dull.astype(np.float32), factor, stroked(tile.shape, path, rng.uniform(1, 3), 0.8))
    if rng.random() < 0.5:
        digits = np.zeros(tile.shape, np.uint8)
        at = int(np.median(cols)) - 14, int(np.quantile(rows, rng.uniform(0.3, 0.7)))
        cv2.putText(
            digits, str(rng.integers(2, 99)), at, cv2.FONT_HERSHEY_SIMPLEX, rng.uniform(0.7, 1.3), 255, 3
        )
        raised = blurred(digits.astype(np.float32) / np.float32(255), 1)
        dull = dull * (1 + 0.45 * (raised - np.roll(raised, (2, 2), (0, 1))))
    return blend(tile.value, dull.astype(np.float32), region), np.asarray(region > 0)


def _torn(rng: Rng, tile: Ground) -> tuple[Field, Mask]:
    """Small ragged dark tatters along an end."""
    value, mask = tile.value, np.zeros(tile.shape, bool)
    x, y, _ = _edge_point(rng, tile)
    for _ in range(int(rng.integers(1, 4))):
        at = x + rng.normal(0, 14), y
        outline = blob(rng, at, (between(rng, 7, 30), between(rng, 5, 20)), rng.normal(0, 0.2), 0.3, 40)
        tatter = filled(tile.shape, outline, 0.8)
        floor = (
            blurred(tile.light, 5) * rng.uniform(0.2, 0.5) * (1 + 0.3 * smooth_noise(rng, tile.shape, 2, 2))
        )
        value = blend(value, floor.astype(np.float32), tatter)
        mask |= tatter > 0
    return value, mask


def fray(rng: Rng, tile: Ground) -> tuple[Field, Mask]:
    """A patch left unground, or tatters along an end."""
    return _unground(rng, tile) if rng.random() < 0.7 else _torn(rng, tile)


def uneven(rng: Rng, tile: Ground) -> tuple[Field, Mask]:
    """A band, wedge or corner ground differently from the rest, with a visible step between."""
    height, width = tile.shape
    y, x = grid(tile.shape)
    kind = rng.random()
    sway = rng.uniform(1, 4) * smooth_noise(rng, (1, width), 0, 25)
    if kind < 0.6:  # a band along an end
        line = rng.uniform(0.08, 0.38) * height + rng.normal(0, 0.05) * (x - width / 2) + sway
    elif kind < 0.85:  # a wedge that runs out to one side
        run = x if rng.random() < 0.5 else width - x
        line = rng.uniform(0.15, 0.4) * height - run * rng.uniform(0.15, 0.6) + sway
    else:  # a tongue in the middle of an end
        half = rng.uniform(0.15, 0.3) * width
        away = np.abs(x - rng.uniform(0.25, 0.75) * width) / half
        line = rng.uniform(0.12, 0.4) * height * np.clip(1.3 - away**4, -1, 1) + sway
    away = (y if rng.random() < 0.6 else height - 1 - y) - line
    soft = rng.uniform(0.8, 3)
    region = np.clip(0.5 - away / (2 * soft), 0, 1).astype(np.float32)
    if not (region > 0.5).any():
        region = np.clip((0.25 * height - y) / soft, 0, 1).astype(np.float32) * np.ones(
            tile.shape, np.float32
        )
    glare = rng.uniform(0.3, 1.4)
    gain = rng.uniform(1.12, 1.75) if rng.random() < 0.85 else rng.uniform(0.6, 0.8)
    other = (
        tile.light
        * gain
        * grinding(rng, tile.shape, glare)
        * (1 + 0.1 * smooth_noise(rng, tile.shape, 60, 8))
    )
    metal = np.clip(y - tile.top[None], 0, 1) * np.clip(tile.bottom[None] - y, 0, 1)
    step = 1 - rng.uniform(0, 0.3) * np.exp(-((away / 1.6) ** 2)) * (region > 0)
    value = blend(tile.value, other.astype(np.float32), region * metal) * step
    return value.astype(np.float32), np.asarray(region > 0)


CONDITIONS: dict[str, Flaw | None] = {
    "MT_Blowhole": blowhole,
    "MT_Break": broken_edge,
    "MT_Crack": crack,
    "MT_Fray": fray,
    "MT_Uneven": uneven,
    "MT_Free": None,
}


def draw_tile(rng: Rng, condition: str, exposure: int = 1) -> Drawn:
    """A tile of the given ``CONDITIONS`` key, photographed with one of six exposures (1..6).

    The same state of ``rng`` gives the same tile under every condition, equal outside the mask.
    """
    tile_rng, flaw_rng, camera_rng = rng.spawn(3)
    tile = ground_tile(tile_rng)
    value, mask = tile.value, np.zeros(tile.shape, bool)
    flaw = CONDITIONS[condition]
    if flaw is not None:
        value, mask = _visible(flaw_rng, flaw, tile)
        mask = widened(mask, 1)
    brightness = camera_rng.uniform(60, 150) / (255 * float(tile.value.mean()))
    return Drawn(_photograph(camera_rng, value * np.float32(brightness), exposure), mask)


def draw_onto(rng: Rng, photo: Grey, condition: str) -> Drawn:
    """The ``photo`` (H, W) of a good tile with a flaw of the given ``CONDITIONS`` key drawn into it.

    Raises:
        KeyError: a condition without a flaw.
    """
    flaw = CONDITIONS[condition]
    if flaw is None:
        raise KeyError(condition)
    value = photo.astype(np.float32) / np.float32(255)
    height, width = photo.shape
    tile = Ground(blurred(value, 12), value, np.zeros(width), np.full(width, float(height)))
    after, mask = _visible(rng, flaw, tile)
    change = blurred(np.asarray(after - value, np.float32), rng.uniform(0.4, 0.8))  # the lens
    grain = np.where(mask, rng.normal(0, rng.uniform(0.5, 3.0), photo.shape), 0)
    return Drawn(to_grey((255 * (value + change) + grain).astype(np.float32)), widened(mask, 1))


def _visible(rng: Rng, flaw: Flaw, tile: Ground) -> tuple[Field, Mask]:
    """The flaw at a place where there is light enough to see it; the last of eight tries if there is none."""
    enough = 0.1 * float(tile.value.mean())
    for _ in range(8):
        value, mask = flaw(rng, tile)
        if mask.any() and float(np.abs(value - tile.value)[mask].mean()) > enough:
            break
    return value, mask


def _photograph(rng: Rng, value: Field, exposure: int) -> Grey:
    """Exposure, tone curve, lens and sensor: the same whether there is a flaw or not."""
    exposed = value * (0.6, 0.75, 0.9, 1.0, 1.15, 1.3)[exposure - 1]
    toned = np.clip(exposed, 0, 1.2) ** rng.uniform(0.85, 1.15)
    noise = rng.uniform(0.8, 2.2) * rng.standard_normal(value.shape, dtype=np.float32)
    return to_grey((255 * toned + noise).astype(np.float32))
