"""Brushes that every family shares: smooth noise, blobs, wandering lines."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Grey = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Points = NDArray[np.float64]

_SUBPIXEL = 4  # bits of subpixel precision that cv2's drawing takes
_SCALE = 1 << _SUBPIXEL
FAINTEST = 0.04  # a brush weaker than this leaves no trace, so that a mask can be exact


@dataclass(frozen=True)
class Drawn:
    """One drawn part.

    Attributes:
        image: uint8 (H, W).
        mask: bool (H, W), true where the defect is; all false on a good part.
    """

    image: Grey
    mask: Mask


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], sigma_y: float, sigma_x: float) -> Field:
    """Gaussian noise blurred by ``sigma`` pixels each way; float32 ``shape``, mean 0, deviation 1.

    Wide blurs are made on a coarse grid and enlarged, which looks the same and costs little.
    """
    step_y, step_x = max(1, int(sigma_y / 2)), max(1, int(sigma_x / 2))
    coarse = (shape[0] // step_y + 6, shape[1] // step_x + 6)
    noise: Field = rng.standard_normal(coarse, dtype=np.float32)
    if sigma_x > 0.3 or sigma_y > 0.3:
        # cv2 takes 0 for "same as the other"; a hundredth of a pixel leaves that direction alone.
        sigmas = max(sigma_x / step_x, 0.01), max(sigma_y / step_y, 0.01)
        noise = np.asarray(cv2.GaussianBlur(noise, (0, 0), sigmaX=sigmas[0], sigmaY=sigmas[1]), np.float32)
    noise = noise[2:-2, 2:-2]
    if step_y > 1 or step_x > 1:
        enlarged = noise.shape[1] * step_x, noise.shape[0] * step_y
        noise = np.asarray(cv2.resize(noise, enlarged, interpolation=cv2.INTER_CUBIC), np.float32)
    noise = noise[: shape[0], : shape[1]]
    noise = (noise - noise.mean()) / max(float(noise.std()), 1e-6)
    return np.ascontiguousarray(noise, dtype=np.float32)


def ripple(rng: np.random.Generator, count: int, harmonics: int = 7, falloff: float = 1.2) -> Points:
    """A closed random curve of ``count`` values around 0 with deviation 1, for outlines."""
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
    curve = np.zeros(count)
    for k in range(2, 2 + harmonics):
        curve += rng.normal() / k**falloff * np.cos(k * turn + rng.uniform(0, 2 * np.pi))
    return curve / max(float(curve.std()), 1e-6)


def blob(
    rng: np.random.Generator,
    centre: tuple[float, float],
    radii: tuple[float, float],
    angle: float = 0.0,
    roughness: float = 0.1,
    count: int = 64,
) -> Points:
    """Outline (count, 2) in x, y pixels of an uneven ellipse; ``angle`` in radians."""
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
    reach = np.maximum(0.3, 1 + roughness * ripple(rng, count))
    along, across = radii[0] * reach * np.cos(turn), radii[1] * reach * np.sin(turn)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([centre[0] + along * cos - across * sin, centre[1] + along * sin + across * cos], axis=1)


def wander(
    rng: np.random.Generator,
    start: tuple[float, float],
    angle: float,
    length: float,
    step: float = 3.0,
    bend: float = 0.0,
    jitter: float = 0.1,
) -> Points:
    """A path (n, 2) in x, y pixels that sets out at ``angle`` and turns ``bend`` radians in all."""
    count = max(2, round(length / step))
    headings = angle + np.linspace(0, bend, count) + np.cumsum(rng.normal(0, jitter, count))
    steps = np.stack([np.cos(headings), np.sin(headings)], axis=1) * (length / count)
    return np.vstack([[start], np.asarray(start) + np.cumsum(steps, axis=0)])


def _fixed(points: Points) -> NDArray[np.int32]:
    return np.round(points * _SCALE).astype(np.int32)


def filled(shape: tuple[int, int], outline: Points, soften: float = 0.0) -> Field:
    """Strength 0..1 (H, W) of a filled outline, its edge softened by ``soften`` pixels."""
    canvas = np.zeros(shape, np.uint8)
    cv2.fillPoly(canvas, [_fixed(outline)], 255, cv2.LINE_AA, _SUBPIXEL)
    return _strength(canvas, soften)


def stroked(shape: tuple[int, int], path: Points, width: float | Points, soften: float = 0.0) -> Field:
    """Strength 0..1 (H, W) of a line along ``path``; ``width`` in pixels, one for all or one a point."""
    canvas = np.zeros(shape, np.uint8)
    widths = np.broadcast_to(np.asarray(width, dtype=np.float64), (len(path),))
    fixed = _fixed(path)
    for a, b, w in zip(fixed[:-1], fixed[1:], widths[1:], strict=True):
        cv2.line(
            canvas,
            (int(a[0]), int(a[1])),
            (int(b[0]), int(b[1])),
            255,
            max(1, round(float(w))),
            cv2.LINE_AA,
            _SUBPIXEL,
        )
    return _strength(canvas, soften)


def _strength(canvas: Grey, soften: float) -> Field:
    strength = canvas.astype(np.float32) / np.float32(255)
    if soften > 0:
        strength = np.asarray(cv2.GaussianBlur(strength, (0, 0), soften), dtype=np.float32)
    strength[strength < FAINTEST] = 0
    return strength


def blurred(field: Field, sigma: float) -> Field:
    return np.asarray(cv2.GaussianBlur(field, (0, 0), sigma, borderType=cv2.BORDER_REFLECT), dtype=np.float32)


def grid(shape: tuple[int, int]) -> tuple[Field, Field]:
    """Row and column coordinates as float32 (H, 1) and (1, W)."""
    return (
        np.arange(shape[0], dtype=np.float32)[:, None],
        np.arange(shape[1], dtype=np.float32)[None, :],
    )


def widened(mask: Mask, pixels: int) -> Mask:
    """``mask`` grown by ``pixels`` all round."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1, 2 * pixels + 1))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel) > 0)


def to_grey(values: Field) -> Grey:
    """Grey levels 0..255 as float to uint8, clipped."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
