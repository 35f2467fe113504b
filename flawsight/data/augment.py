"""What a photograph may look like and still show the same part."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

BEND_EVERY = 48  # pixels between the points that are pulled about
BEND = 2.5  # pixels, standard deviation of a pull
STRETCH = 0.15  # standard deviation of the logarithm of the stretching


@dataclass(frozen=True)
class Augmentation:
    """Strengths of the random changes; all values are standardised (mean 0, deviation 1).

    Attributes:
        scale_range: factors between which a crop is enlarged, two times in three. Regions of a board are read
            larger than whole boards are (``Preprocessing.min_side``), so the range is wide.
        own_statistics: share of crops standardised by themselves instead of by their whole image, as a
            region that is inspected alone will be.
        contrast: standard deviation of the logarithm of the contrast factor.
        brightness: standard deviation of the added brightness.
        slope: standard deviation of the brightness that light from one side adds at the edge of a crop.
        colour: standard deviation of the factor of each channel.
        blur: probability of a slight Gaussian blur.
        noise: probability of added grain.
        erase: probability that a rectangle is wiped out; its cells count for nothing.
        bend: probability that a crop of a part without artwork is bent, see ``bend``.
    """

    scale_range: tuple[float, float] = (0.75, 1.8)
    own_statistics: float = 0.25
    contrast: float = 0.2
    brightness: float = 0.2
    slope: float = 0.2
    colour: float = 0.02
    blur: float = 0.1
    noise: float = 0.2
    erase: float = 0.1
    bend: float = 0.5

    def scale(self, rng: np.random.Generator) -> float:
        """A factor of enlargement."""
        return float(rng.uniform(*self.scale_range)) if rng.random() < 2 / 3 else 1.0


NO_AUGMENTATION = Augmentation((1.0, 1.0), 0, 0, 0, 0, 0, 0, 0, 0, 0)


def apply_symmetry(
    values: NDArray[np.float32], labels: NDArray[np.int16], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """One of the eight symmetries of the square, for image and labels alike."""
    if rng.random() < 0.5:
        values, labels = values[:, ::-1], labels[:, ::-1]
    if rng.random() < 0.5:
        values, labels = values[::-1], labels[::-1]
    if rng.random() < 0.5:
        values, labels = values.transpose(1, 0, 2), labels.T
    return np.ascontiguousarray(values), np.ascontiguousarray(labels)


def bend(
    values: NDArray[np.float32], labels: NDArray[np.int16], rng: np.random.Generator, ignore: int
) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """(S, S, 3) and its labels (S, S), stretched one way and pulled about smoothly: a flaw of another shape.

    After Simard, Steinkraus and Platt, "Best practices for convolutional neural networks applied to visual
    document analysis", ICDAR 2003. What was beyond the border counts for nothing.
    """
    side = values.shape[0]
    stretch = np.float32(np.exp(rng.normal(0, STRETCH)))
    nodes = side // BEND_EVERY + 2
    pulls = rng.normal(0, BEND, (nodes, nodes, 2)).astype(np.float32)
    pulled = cv2.resize(pulls, (side, side), interpolation=cv2.INTER_CUBIC)
    away = np.arange(side, dtype=np.float32) - np.float32((side - 1) / 2)
    across = np.float32((side - 1) / 2) + away[None, :] * stretch + pulled[..., 0]
    down = np.float32((side - 1) / 2) + away[:, None] / stretch + pulled[..., 1]
    return (
        np.asarray(cv2.remap(values, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)),
        np.asarray(
            cv2.remap(
                labels, across, down, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=ignore
            )
        ),
    )


def distort_values(
    values: NDArray[np.float32],
    labels: NDArray[np.int16],
    how: Augmentation,
    rng: np.random.Generator,
    ignore: int,
) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """Contrast, brightness, colour, blur, grain and erasing on standardised (S, S, 3)."""
    values = values * np.float32(np.exp(rng.normal(0, how.contrast))) + np.float32(
        rng.normal(0, how.brightness)
    )
    if how.slope:
        down, right = (np.linspace(-1, 1, side, dtype=np.float32) for side in values.shape[:2])
        tilt = rng.normal(0, how.slope, 2).astype(np.float32)
        values += (tilt[0] * down[:, None] + tilt[1] * right)[..., None]
    if how.colour:
        values *= rng.normal(1, how.colour, 3).astype(np.float32)
    if rng.random() < how.blur:
        values = np.asarray(cv2.GaussianBlur(values, (0, 0), float(rng.uniform(0.3, 0.7))), np.float32)
    if rng.random() < how.noise:
        values += rng.normal(0, rng.uniform(0.02, 0.1), values.shape[:2]).astype(np.float32)[..., None]
    if rng.random() < how.erase:
        side = values.shape[0]
        h, w = rng.integers(side // 10, side // 3, 2)
        y, x = rng.integers(0, side - h), rng.integers(0, side - w)
        values[y : y + h, x : x + w] = rng.normal(0, 1)
        labels = labels.copy()
        labels[y : y + h, x : x + w] = ignore
    return values, labels
