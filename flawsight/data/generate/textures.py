"""Ten statistically textured surfaces in the manner of DAGM 2007, each with a defect of its own."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from flawsight.data.generate.brushes import (
    Drawn,
    Field,
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
)

SIDE = 512
SHAPE = (SIDE, SIDE)

Rng = np.random.Generator
Surface = Callable[[Rng], Field]
Defect = Callable[[Rng, Field], tuple[Field, Field]]


def _place(rng: Rng, margin: int = 40) -> tuple[float, float]:
    x, y = rng.uniform(margin, SIDE - margin, 2)
    return float(x), float(y)


def _blend(surface: Field, other: Field | float, strength: Field) -> Field:
    return np.asarray(surface + strength * (np.float32(1) * other - surface), dtype=np.float32)


# --- surfaces: grey levels, float32 (512, 512) -------------------------------------------------


def interference(rng: Rng) -> Field:
    """Fine carpet of overlapping zone plates, sampled too coarsely on purpose so that they form moiré."""
    y, x = grid(SHAPE)
    cx, cy = rng.normal(256, 70, 2)
    waves = np.zeros(SHAPE, np.float32)
    for _ in range(int(rng.integers(2, 5))):
        rate_x, rate_y = rng.uniform(0.35, 2.4) * rng.uniform(0.8, 1.25, 2) * np.pi / SIDE
        dx, dy = rng.normal(0, 25, 2)
        waves += np.cos(rate_x * (x - cx - dx) ** 2 + rate_y * (y - cy - dy) ** 2 + rng.uniform(0, 6.28))
        waves += np.cos(rate_x * (x - cx + dx) ** 2) * np.cos(rate_y * (y - cy + dy) ** 2)
    carpet = np.abs(waves / max(float(waves.std()), 1e-6)) - 0.8
    slow = smooth_noise(rng, SHAPE, 70, 70)
    noise = rng.standard_normal(SHAPE, dtype=np.float32)
    weave = carpet * (rng.uniform(28, 44) + 8 * slow) + rng.uniform(8, 18) * noise
    return np.asarray(72 + np.maximum(weave, 0.8 * weave), dtype=np.float32)


def brushed(rng: Rng) -> Field:
    """Metal brushed in one direction, slightly off the horizontal."""
    length = rng.uniform(18, 45)
    size = (SIDE + 160, SIDE + 160)
    lines = smooth_noise(rng, size, 0.6, length) + 0.6 * smooth_noise(rng, size, 2.5, length * 2)
    turn = cv2.getRotationMatrix2D((size[1] / 2, size[0] / 2), rng.uniform(-12, 12), 1)
    lines = cv2.warpAffine(lines, turn, size[::-1], flags=cv2.INTER_LINEAR)[80 : 80 + SIDE, 80 : 80 + SIDE]
    grain = rng.standard_normal(SHAPE, dtype=np.float32)
    return np.asarray(128 + 20 * lines + 6 * grain + 8 * smooth_noise(rng, SHAPE, 90, 90), dtype=np.float32)


def _cells(rng: Rng, pitch: float) -> Field:
    """Distance to the nearest of a jittered grid of points, in units of the pitch."""
    seeds = np.full(SHAPE, 255, np.uint8)
    rows, cols = np.mgrid[-pitch : SIDE + pitch : pitch, -pitch : SIDE + pitch : pitch]
    spots = np.stack([cols.ravel(), rows.ravel()], 1) + rng.normal(0, pitch * 0.28, (rows.size, 2))
    spots = np.round(spots).astype(int)
    spots = spots[((spots >= 0) & (spots < SIDE)).all(axis=1)]
    seeds[spots[:, 1], spots[:, 0]] = 0
    return np.asarray(cv2.distanceTransform(seeds, cv2.DIST_L2, 5) / np.float32(pitch), dtype=np.float32)


def hammered(rng: Rng) -> Field:
    """Rounded cells, like hammered metal or grained leather."""
    cells = _cells(rng, rng.uniform(11, 17))
    noise = smooth_noise(rng, SHAPE, 0.7, 0.7)
    return np.asarray(185 - 130 * cells + 7 * noise + 9 * smooth_noise(rng, SHAPE, 60, 60), dtype=np.float32)


def woven(rng: Rng) -> Field:
    """Plain weave: two sets of threads that pass over and under each other."""
    pitch = rng.uniform(9, 13)
    y, x = grid(SHAPE)
    sway_x = 1.2 * smooth_noise(rng, SHAPE, 60, 25)
    sway_y = 1.2 * smooth_noise(rng, SHAPE, 25, 60)
    warp, weft = np.pi * (x + sway_x) / pitch, np.pi * (y + sway_y) / pitch
    over = np.sign(np.sin(warp) * np.sin(weft))
    threads = np.where(over > 0, np.abs(np.sin(warp)), np.abs(np.sin(weft)))
    fibre = np.where(over > 0, smooth_noise(rng, SHAPE, 3, 0.6), smooth_noise(rng, SHAPE, 0.6, 3))
    base = 72 + 62 * threads + 9 * over + 9 * fibre
    return np.asarray(
        blurred(base.astype(np.float32), 0.7) + 6 * smooth_noise(rng, SHAPE, 80, 80), np.float32
    )


def wooden(rng: Rng) -> Field:
    """Growth rings cut lengthwise: warped stripes with pores along them."""
    y, x = grid(SHAPE)
    bend = rng.uniform(18, 40) * smooth_noise(rng, SHAPE, 130, 55)
    period = rng.uniform(17, 30)
    phase = 2 * np.pi * (x + 0.1 * rng.normal() * y + bend) / period
    rings = np.sin(phase + 0.7 * np.sin(phase))
    pores = np.minimum(smooth_noise(rng, SHAPE, 9, 0.6), 0.5)
    grain = smooth_noise(rng, SHAPE, 25, 0.7)
    return np.asarray(135 + 22 * rings + 9 * pores + 8 * grain, dtype=np.float32)


def chequered(rng: Rng) -> Field:
    """Soft chequer plate whose squares differ a little from each other."""
    pitch = int(rng.integers(20, 33))
    count = SIDE // pitch + 3
    signs = np.indices((count, count)).sum(0) % 2 * 2.0 - 1
    squares = (signs * 26 + rng.normal(0, 8, (count, count))).astype(np.float32)
    board = np.kron(squares, np.ones((pitch, pitch), np.float32))
    dx, dy = rng.integers(0, pitch, 2)
    board = blurred(board[dy : dy + SIDE, dx : dx + SIDE], rng.uniform(1.5, 3))
    noise = smooth_noise(rng, SHAPE, 0.8, 0.8)
    return np.asarray(118 + board + 11 * noise + 7 * smooth_noise(rng, SHAPE, 50, 50), dtype=np.float32)


def clouded(rng: Rng) -> Field:
    """Marble: noise of many scales, the coarse ones strongest."""
    clouds = np.zeros(SHAPE, np.float32)
    for sigma in (1.0, 3, 9, 27, 60):
        clouds += sigma**0.35 * smooth_noise(rng, SHAPE, sigma, sigma)
    return np.asarray(120 + 26 * clouds / clouds.std() + 3 * smooth_noise(rng, SHAPE, 0, 0), dtype=np.float32)


def columns(rng: Rng) -> Field:
    """Bright and dark columns under short crosswise grain."""
    broad = smooth_noise(rng, SHAPE, rng.uniform(60, 110), rng.uniform(12, 20))
    bars = smooth_noise(rng, SHAPE, 1.2, 4) + 0.9 * smooth_noise(rng, SHAPE, 3.5, 5)
    fine = smooth_noise(rng, SHAPE, 0.6, 1.0) + 0.5 * smooth_noise(rng, SHAPE, 12, 1)
    mix = 1.2 * broad + 0.52 * bars + 0.26 * fine + 0.5 * smooth_noise(rng, SHAPE, 25, 9)
    return np.asarray(105 + 35 * mix / mix.std(), dtype=np.float32)


def twill(rng: Rng) -> Field:
    """Herringbone: diagonal ribs that turn back at every stripe."""
    y, x = grid(SHAPE)
    stripe, period = rng.uniform(38, 60), rng.uniform(8, 12)
    zigzag = np.abs((x + 2 * smooth_noise(rng, SHAPE, 50, 20)) % (2 * stripe) - stripe)
    ribs = np.sin(2 * np.pi * (y + zigzag + 1.5 * smooth_noise(rng, SHAPE, 40, 40)) / period)
    fibre = smooth_noise(rng, SHAPE, 1.2, 1.2)
    return np.asarray(100 + 26 * ribs + 12 * fibre + 6 * smooth_noise(rng, SHAPE, 70, 70), dtype=np.float32)


def _bumps(rng: Rng, pitch: float) -> Points:
    """Centres (n, 2) in x, y of a hexagonal lattice with slight disorder."""
    rows = np.arange(-3, SIDE / (pitch * 0.866) + 3)
    cols = np.arange(-3, SIDE / pitch + 3)
    grid_y, grid_x = np.meshgrid(rows, cols, indexing="ij")
    x = (grid_x + 0.5 * (grid_y % 2)) * pitch + rng.uniform(0, pitch)
    y = grid_y * pitch * 0.866 + rng.uniform(0, pitch)
    return np.stack([x.ravel(), y.ravel()], 1) + rng.normal(0, 0.5, (x.size, 2))


def _embossed(centres: Points, radius: float) -> Field:
    """Bumps lit from the upper left: one bright and one dark spot each."""
    spots = np.zeros((SIDE + 64, SIDE + 64), np.float32)
    at = np.round(centres + 32).astype(int)
    at = at[((at >= 0) & (at < SIDE + 64)).all(axis=1)]
    spots[at[:, 1], at[:, 0]] = 1
    hill = blurred(spots, radius)
    shaded = (hill - np.roll(hill, (round(radius), round(radius)), (0, 1)))[32:-32, 32:-32]
    return np.asarray(shaded / max(float(shaded.std()), 1e-6), dtype=np.float32)


def knurled(rng: Rng) -> Field:
    """A lattice of small bumps lit from one side."""
    pitch = rng.uniform(13, 20)
    relief = _embossed(_bumps(rng, pitch), pitch / 4.5)
    noise = smooth_noise(rng, SHAPE, 0.8, 0.8)
    return np.asarray(112 + 27 * relief + 8 * noise + 7 * smooth_noise(rng, SHAPE, 70, 70), dtype=np.float32)


# --- defects: (surface with the defect, its strength 0..1) --------------------------------------


def smoothed_patch(rng: Rng, surface: Field) -> tuple[Field, Field]:
    """The carpet is worn flat over a kidney-shaped patch."""
    path = wander(rng, _place(rng), rng.uniform(0, 6.28), rng.uniform(18, 55), 4, rng.normal(0, 0.9))
    widths = rng.uniform(22, 42) * (1 + 0.25 * np.sin(np.linspace(0, rng.uniform(1, 6), len(path))))
    strength = stroked(SHAPE, path, widths, rng.uniform(1, 2.5))
    flat = blurred(surface, 9) + 4 * smooth_noise(rng, SHAPE, 8, 8) + 2.5 * smooth_noise(rng, SHAPE, 0, 0)
    return _blend(surface, flat, strength), strength


def long_scratch(rng: Rng, surface: Field) -> tuple[Field, Field]:
    """A bright curved scratch across the brushing."""
    angle = np.pi / 2 + rng.normal(0, 0.6)
    path = wander(rng, _place(rng, 70), angle, rng.uniform(60, 150), 4, rng.normal(0, 0.7), 0.03)
    strength = stroked(SHAPE, path, rng.uniform(1.5, 3.5), 0.6) * np.float32(rng.uniform(0.45, 0.8))
    return _blend(surface, 215.0, strength), strength


def merged_cells(rng: Rng, surface: Field) -> tuple[Field, Field]:
    """Cells that ran together into coarse, dull ones."""
    outline = blob(rng, _place(rng), (rng.uniform(22, 42), rng.uniform(14, 26)), rng.uniform(0, 3.14), 0.15)
    strength = filled(SHAPE, outline, 3)
    coarse = 168 - 95 * _cells(rng, rng.uniform(26, 36)) + 6 * smooth_noise(rng, SHAPE, 0.7, 0.7)
    return _blend(surface, coarse, strength), strength


def ladder(rng: Rng, surface: Field) -> tuple[Field, Field]:
    """A pulled thread: a dark run along one direction with rungs left standing."""
    x, y = _place(rng, 70)
    length, width, rung = rng.uniform(50, 130), rng.uniform(8, 15), rng.uniform(5, 8)
    lies = bool(rng.integers(2))
    path = wander(rng, (x, y), 0 if lies else np.pi / 2, length, 5, jitter=0.01)
    path -= path.mean(axis=0) - (x, y)
    strength = stroked(SHAPE, path, width, 0.8) * np.float32(rng.uniform(0.75, 1))
    rows, cols = grid(SHAPE)
    rungs = 66 + 28 * np.sin(2 * np.pi * (cols if lies else rows) / rung) + 6 * smooth_noise(rng, SHAPE, 1, 1)
    return _blend(surface, rungs.astype(np.float32), strength), strength


def crossing_line(rng: Rng, surface: Field) -> tuple[Field, Field]:
    """A dark or bright line that crosses the rings."""
    angle = rng.normal(0, 0.45) + np.pi * rng.integers(2)
    path = wander(rng, _place(rng, 60), angle, rng.uniform(35, 100), 4, rng.normal(0, 0.5), 0.06)
    taper = rng.uniform(3, 6) * np.sqrt(np.sin(np.linspace(0.3, np.pi - 0.2, len(path))))
    strength = stroked(SHAPE, path, taper, 0.9) * np.float32(rng.uniform(0.6, 0.9))
    return _blend(surface, 55.0 if rng.random() < 0.6 else 205.0, strength), strength


def shadow(rng: Rng, surface: Field) -> tuple[Field, Field]:
    """A soft dark smear over the squares."""
    outline = blob(rng, _place(rng), (rng.uniform(22, 48), rng.uniform(9, 18)), rng.uniform(0, 3.14), 0.12)
    strength = filled(SHAPE, outline, rng.uniform(3, 6))
    return np.asarray(surface - rng.uniform(38, 65) * strength, dtype=np.float32), strength


def pitting(rng: Rng, surface: Field) -> tuple[Field, Field]:
    """A nest of small pits, each with a light rim."""
    cx, cy = _place(rng, 50)
    spread = rng.uniform(8, 18)
    strength = np.zeros(SHAPE, np.float32)
    value = surface
    for _ in range(int(rng.integers(5, 14))):
        at = (cx + rng.normal(0, spread), cy + rng.normal(0, spread * 0.7))
        radius = rng.uniform(1.8, 4.2)
        outline = blob(rng, at, (radius, radius * rng.uniform(0.7, 1)), rng.uniform(0, 3.14), 0.1)
        rim = filled(SHAPE, outline + 0.8, 1.0)
        pit = filled(SHAPE, outline, 0.6)
        value = _blend(_blend(value, 200.0, rim * np.float32(0.6)), 35.0, pit * np.float32(0.85))
        strength = np.maximum(strength, np.maximum(rim, pit))
    return value, strength


def hair_scratch(rng: Rng, surface: Field) -> tuple[Field, Field]:
    """A hairline one or two pixels wide: dark with a light side."""
    start, angle = _place(rng, 35), rng.uniform(0, 6.28)
    path = wander(rng, start, angle, rng.uniform(22, 72), 3, rng.normal(0, 0.55), 0.015)
    dark = stroked(SHAPE, path, 1)
    side = 1.2 * np.array([-np.sin(angle), np.cos(angle)]) * rng.choice([-1, 1])
    light = stroked(SHAPE, path + side, 1) * np.float32(0.9)
    value = _blend(_blend(surface, rng.uniform(185, 235), light), rng.uniform(5, 30), dark)
    return value, np.maximum(dark, light)


def broken_pattern(rng: Rng, surface: Field) -> tuple[Field, Field]:
    """A patch in which the ribs run out of step with their surroundings."""
    outline = blob(rng, _place(rng), (rng.uniform(20, 42), rng.uniform(14, 26)), rng.uniform(0, 3.14), 0.12)
    strength = filled(SHAPE, outline, 1.2)
    if rng.random() < 0.6:
        rows, cols = grid(SHAPE)
        tilt, period = rng.normal(0, 0.25), rng.uniform(8, 15)
        ribs = np.sin(2 * np.pi * (rows + tilt * cols) / period)
        other = 100 + 28 * ribs + 12 * smooth_noise(rng, SHAPE, 1.2, 1.2)
    else:
        other = blurred(surface, 3.5) + rng.normal(0, 14) + 6 * smooth_noise(rng, SHAPE, 1, 1)
    return _blend(surface, other.astype(np.float32), strength), strength


def missing_bumps(rng: Rng, surface: Field) -> tuple[Field, Field]:
    """Bumps that are crushed flat, or one far too large, in a small patch."""
    place = _place(rng)
    if rng.random() < 0.6:
        outline = blob(rng, place, (rng.uniform(14, 34), rng.uniform(11, 20)), rng.uniform(0, 3.14), 0.15)
        strength = filled(SHAPE, outline, 1.5)
        flat = 108 + rng.normal(0, 6) + 8 * smooth_noise(rng, SHAPE, 0.8, 0.8)
        return _blend(surface, flat.astype(np.float32), strength), strength
    radius = rng.uniform(9, 15)
    strength = filled(SHAPE, blob(rng, place, (radius * 1.7, radius * 1.7), 0, 0.05), 1.5)
    relief = _embossed(np.array([place]), radius * 0.6)
    relief = 112 + 75 * relief / np.abs(relief).max() + 8 * smooth_noise(rng, SHAPE, 0.8, 0.8)
    return _blend(surface, relief.astype(np.float32), strength), strength


TEXTURES: dict[int, tuple[Surface, Defect]] = {
    1: (interference, smoothed_patch),
    2: (brushed, long_scratch),
    3: (hammered, merged_cells),
    4: (woven, ladder),
    5: (wooden, crossing_line),
    6: (chequered, shadow),
    7: (clouded, pitting),
    8: (columns, hair_scratch),
    9: (twill, broken_pattern),
    10: (knurled, missing_bumps),
}


def draw_texture(rng: Rng, number: int, *, defective: bool) -> Drawn:
    """DAGM-like class ``number`` (1..10), 512×512, with a coarse ellipse as mask.

    The same state of ``rng`` gives the same surface with and without the defect, equal outside the mask.
    """
    surface_rng, defect_rng, light_rng = rng.spawn(3)
    draw_surface, draw_defect = TEXTURES[number]
    surface = draw_surface(surface_rng)
    mask: Mask = np.zeros(SHAPE, bool)
    if defective:
        surface, strength = draw_defect(defect_rng, surface)
        mask = surrounding_ellipse(strength > 0, grow=float(defect_rng.uniform(2, 7)))
    gain, offset = light_rng.uniform(0.85, 1.2), light_rng.normal(0, 6)
    return Drawn(to_grey((surface - 110) * gain + 110 + offset), mask)


def surrounding_ellipse(footprint: Mask, grow: float) -> Mask:
    """The ellipse along the footprint's main axes that holds all of it, ``grow`` pixels larger all round."""
    rows, cols = np.nonzero(footprint)
    points = np.stack([cols, rows], 1).astype(np.float32)
    (cx, cy), (width, height), angle = cv2.minAreaRect(points)
    turn = np.deg2rad(angle)
    away = points - (cx, cy)
    along = away @ (np.cos(turn), np.sin(turn)) / max(width / 2, 1)
    across = away @ (-np.sin(turn), np.cos(turn)) / max(height / 2, 1)
    reach = float(np.sqrt((along**2 + across**2).max()))
    a, b = max(width / 2, 1) * reach + grow, max(height / 2, 1) * reach + grow
    y, x = grid(footprint.shape)
    u = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)
    v = (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
    return np.asarray((u / a) ** 2 + (v / b) ** 2 <= 1)
