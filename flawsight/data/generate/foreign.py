"""Pictures that show none of the products, to test that the answer is "unknown"."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from flawsight.data.generate.brushes import blob, filled, grid, smooth_noise

Rng = np.random.Generator
Colour = NDArray[np.uint8]
Paint = NDArray[np.float32]


def _colour(rng: Rng) -> Paint:
    return rng.uniform(0, 255, 3).astype(np.float32)


def _shape(rng: Rng) -> tuple[int, int]:
    return int(rng.integers(160, 513)), int(rng.integers(160, 513))


def _gradient(rng: Rng, shape: tuple[int, int]) -> Paint:
    y, x = grid(shape)
    turn = rng.uniform(0, 2 * np.pi)
    ramp = np.cos(turn) * x / shape[1] + np.sin(turn) * y / shape[0]
    ramp = ((ramp - ramp.min()) / np.ptp(ramp))[..., None]
    return np.asarray(_colour(rng) * (1 - ramp) + _colour(rng) * ramp, dtype=np.float32)


def _cover(canvas: Paint, outline: NDArray[np.float64], colour: Paint, soften: float = 0.5) -> Paint:
    strength = filled((canvas.shape[0], canvas.shape[1]), outline, soften)[..., None]
    return canvas + strength * (colour - canvas)


def scenery(rng: Rng) -> Paint:
    """A photo-like view: a sky, soft bodies of many colours, a little grain."""
    shape = _shape(rng)
    canvas = _gradient(rng, shape)
    for _ in range(int(rng.integers(4, 14))):
        centre = rng.uniform(0, shape[1]), rng.uniform(0, shape[0])
        radii = rng.uniform(0.05, 0.4, 2) * min(shape)
        outline = blob(rng, centre, (radii[0], radii[1]), rng.uniform(0, 3.14), 0.2)
        canvas = _cover(canvas, outline, _colour(rng), rng.uniform(0.5, 6))
    canvas *= 1 + 0.1 * smooth_noise(rng, shape, 30, 30)[..., None]
    return canvas + 4 * rng.standard_normal(canvas.shape, dtype=np.float32)


def face(rng: Rng) -> Paint:
    """A drawn face."""
    side = int(rng.integers(200, 480))
    canvas = _gradient(rng, (side, side))
    cx, cy, r = side / 2 + rng.normal(0, side / 20), side / 2, side * rng.uniform(0.26, 0.38)
    skin = np.array([225, 180, 150], np.float32) * np.float32(rng.uniform(0.45, 1.1))
    dark, red = np.array([30, 25, 25], np.float32), np.array([170, 70, 70], np.float32)
    canvas = _cover(canvas, blob(rng, (cx, cy - 0.25 * r), (r * 1.05, r * 1.15), 0, 0.06), _colour(rng) * 0.6)
    canvas = _cover(canvas, blob(rng, (cx, cy + 0.1 * r), (r * 0.85, r * 1.1), 0, 0.02), skin, 2)
    for side_of in (-1, 1):
        eye = cx + side_of * 0.35 * r, cy - 0.1 * r
        canvas = _cover(canvas, blob(rng, eye, (0.17 * r, 0.1 * r), 0, 0.03), np.full(3, 245, np.float32))
        canvas = _cover(canvas, blob(rng, eye, (0.07 * r, 0.08 * r), 0, 0.0), dark)
        brow = eye[0], eye[1] - 0.22 * r
        canvas = _cover(canvas, blob(rng, brow, (0.2 * r, 0.035 * r), 0.15 * side_of, 0.05), dark)
    canvas = _cover(canvas, blob(rng, (cx, cy + 0.25 * r), (0.08 * r, 0.16 * r), 0, 0.05), skin * 0.85, 2)
    return _cover(canvas, blob(rng, (cx, cy + 0.62 * r), (0.3 * r, 0.07 * r), 0, 0.05), red, 1)


def text_page(rng: Rng) -> Paint:
    """A typed page."""
    shape = _shape(rng)
    page = np.full((*shape, 3), rng.integers(225, 256), np.uint8)
    scale = rng.uniform(0.35, 0.7)
    letters = list("abcdefghiklmnoprstuvwy   ")
    for y in np.arange(24, shape[0] - 8, 34 * scale + 4):
        if rng.random() < 0.9:
            line = "".join(rng.choice(letters, int(shape[1] / (18 * scale) * rng.uniform(0.5, 0.95))))
            at = 14, int(y)
            cv2.putText(page, line, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (30, 30, 35), 1, cv2.LINE_AA)
    return page.astype(np.float32)


def noise(rng: Rng) -> Paint:
    """Coloured or grey noise."""
    channels = int(rng.choice([1, 3]))
    return rng.uniform(0, 255, (*_shape(rng), channels)).astype(np.float32) * np.ones(3, np.float32)


def blank(rng: Rng) -> Paint:
    """One even colour, such as black from a covered lens."""
    colour = rng.choice([0.0, 255.0, 127.0]) * np.ones(3) if rng.random() < 0.5 else _colour(rng)
    return np.ones((*_shape(rng), 1), np.float32) * colour.astype(np.float32)


def stripes(rng: Rng) -> Paint:
    """Even stripes of two colours at some slant."""
    shape = _shape(rng)
    y, x = grid(shape)
    turn, period = rng.uniform(0, np.pi), rng.uniform(8, 70)
    wave = np.sign(np.sin(2 * np.pi * (x * np.cos(turn) + y * np.sin(turn)) / period))[..., None]
    return np.where(wave > 0, _colour(rng), _colour(rng)).astype(np.float32)


FOREIGN: dict[str, Callable[[Rng], Paint]] = {
    "scenery": scenery,
    "face": face,
    "text": text_page,
    "noise": noise,
    "blank": blank,
    "stripes": stripes,
}


def draw_foreign(rng: Rng) -> tuple[str, Colour]:
    """A random kind of ``FOREIGN`` and a picture of it, none of the products: RGB uint8 (H, W, 3)."""
    kind = str(rng.choice(list(FOREIGN)))
    return kind, np.clip(np.rint(FOREIGN[kind](rng)), 0, 255).astype(np.uint8)
