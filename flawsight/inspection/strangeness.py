"""What tells a foreign picture before any network has seen it: that it is only noise, or its colours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

NOISE, COLOUR = "noise", "colour"
MIDDLE = 512  # pixels a side, of the part of a large picture that is looked at
BLOCKS = (2, 4, 8, 16)  # sides of the blocks whose means are compared, pixels; each twice the one before
FEWEST = 64  # blocks that say anything
ERRORS = 6.0  # standard errors within which pixels count as independent of each other
ROOM = 1.5  # a part may have so many times what the farthest known one has
_EVEN = 1.0  # grey levels; less deviation than that is no picture of anything, nor noise


@dataclass(frozen=True)
class Strangeness:
    """How foreign a picture is by itself: from 1 on it is, because of ``why``."""

    value: float = 0.0
    why: str = ""


def strangeness(image: NDArray[np.uint8], reaches: Mapping[str, float]) -> Strangeness:
    """Of RGB uint8 (H, W, 3) against the ``reaches`` of known parts, as ``usual`` gives them."""
    middle = _middle(image)
    measured = [Strangeness(MEASURES[name](middle) / reach, name) for name, reach in reaches.items()]
    return max(measured, key=lambda one: one.value, default=Strangeness())


def usual(pictures: Iterable[NDArray[np.uint8]]) -> dict[str, float]:
    """How far known parts go by each measure, and a little more; never below 1, where nothing is strange yet.

    Parts that are themselves as smooth as noise, or colourful, so make no picture foreign for that.
    """
    most = dict.fromkeys(MEASURES, 0.0)
    for picture in map(_middle, pictures):
        most = {name: max(far, MEASURES[name](picture)) for name, far in most.items()}
    return {name: round(max(1.0, ROOM * far), 3) for name, far in most.items()}


def whiteness(image: NDArray[np.uint8]) -> float:
    """How nearly the pixels of RGB uint8 (H, W, 3) are independent of each other; from 1 on they look so.

    The means of blocks of n independent pixels deviate sqrt(n) times less than the pixels do, at every size
    of block; where anything is to be seen, neighbours have to do with each other and the means deviate more.
    The standard error of that ratio is 1 / sqrt(2 × blocks).
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    deviation = _deviation(grey)
    if deviation < _EVEN:
        return 0.0
    most, means = 0.0, grey.astype(np.float32)
    for side in BLOCKS:  # of four blocks of the size before
        rows, columns = (length // 2 for length in means.shape)
        if rows * columns < FEWEST:
            break
        pairs = means[: rows * 2, : columns * 2]
        means = np.asarray(cv2.resize(pairs, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)
        most = max(most, abs(_deviation(means) * side / deviation - 1) * (2 * rows * columns) ** 0.5)
    return ERRORS / most if most else 0.0


def colourfulness(image: NDArray[np.uint8]) -> float:
    """How much the colours of RGB uint8 (H, W, 3) vary, as a share of how much its brightness does.

    From 1 on they vary as much. A tint that lies over the whole picture, as of a lamp, does not count.
    """
    red, green, blue = (image[::2, ::2, channel].astype(np.float32) for channel in range(3))
    brightness = float(((red + green + blue) / 3).std())
    return max(float((red - green).std()), float((blue - green).std())) / max(brightness, _EVEN)


MEASURES: dict[str, Callable[[NDArray[np.uint8]], float]] = {NOISE: whiteness, COLOUR: colourfulness}


def _deviation(values: NDArray[Any]) -> float:
    """The standard deviation of (H, W); far sooner than NumPy's."""
    return float(cv2.meanStdDev(values)[1].item())


def _middle(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    top, left = (max(0, side - MIDDLE) // 2 for side in image.shape[:2])
    return np.ascontiguousarray(image[top : top + MIDDLE, left : left + MIDDLE])
