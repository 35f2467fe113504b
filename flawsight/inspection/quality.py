"""Is the photo good enough to be judged? Blurred, badly lit or too small is said, with the figure.

Sharpness is the energy of the finest detail (structures of 1 to 2 pixels) over that of coarser detail
(2 to 8 pixels) of the same photo. A ratio asks for no particular texture: a smooth tile, a rough
casting and a circuit board all keep it when sharp, and all lose it out of focus. Of 320 sharp photos
of four such families none is below 0.06; blurred by a Gaussian of 3 pixels, nearly all are below 0.06.
Where the blur leaves hardly more contrast than the sensor's noise has, as of a fine even texture, that noise
looks sharp.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flawsight.errors import ImageError
from flawsight.i18n import ENGLISH, number, speaking
from flawsight.i18n import gettext as _

SHARP_FROM = 0.06  # ratio, see above
BRIGHT_FROM = 60.0  # grey value; a photo whose brightest hundredth is darker shows too little
DARK_UP_TO = 215.0  # grey value; a photo whose darkest hundredth is brighter is burnt out
SMALLEST_SIDE = 16  # pixels; less holds no structure that could be judged
TILE = 512  # pixels; sharpness is that of the sharpest part, a part may stand before a soft background
_FLAT = 0.5  # grey values squared; a photo without coarse detail has nothing to be blurred
_GRID = 3


class TooSmall(ImageError):
    """Too few pixels to see anything."""

    code = "too_small"


@dataclass(frozen=True)
class Quality:
    """Figures of one photo.

    Attributes:
        sharpness: ratio of fine to coarse detail; ``None`` where there is none to tell by, or too few pixels.
        brightest: grey value that 99 % of the pixels do not exceed, 0..255.
        darkest: grey value that 99 % of the pixels reach, 0..255.
    """

    sharpness: float | None
    brightest: float
    darkest: float

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with the photo, one plain sentence each, with the figure."""
        found = []
        if self.sharpness is not None and self.sharpness < SHARP_FROM:
            found.append(
                _(
                    "The photo looks blurred: its sharpness is %(sharpness)s, a sharp photo has %(needed)s "
                    "or more. Focus, or hold the camera still.",
                    sharpness=number(self.sharpness, 3),
                    needed=number(SHARP_FROM, 2),
                )
            )
        if self.brightest < BRIGHT_FROM:
            found.append(
                _(
                    "The photo is under-exposed: its brightest parts reach %(found)s %% of full brightness, "
                    "%(needed)s %% are needed. Give more light or expose longer.",
                    found=number(100 * self.brightest / 255),
                    needed=number(100 * BRIGHT_FROM / 255),
                )
            )
        if self.darkest > DARK_UP_TO:
            found.append(
                _(
                    "The photo is over-exposed: even its darkest parts are at %(found)s %% of full "
                    "brightness, %(limit)s %% is the limit. Give less light or expose shorter.",
                    found=number(100 * self.darkest / 255),
                    limit=number(100 * DARK_UP_TO / 255),
                )
            )
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        with speaking(ENGLISH):
            warnings = list(self.warnings)
        return {
            "sharpness": None if self.sharpness is None else round(self.sharpness, 4),
            "brightest": round(self.brightest, 1),
            "darkest": round(self.darkest, 1),
            "warnings": warnings,
        }


def assess(image: NDArray[np.uint8]) -> Quality:
    """The quality of RGB uint8 (H, W, 3)."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    histogram = cv2.calcHist([grey], [0], None, [256], [0, 256])
    counts = histogram.ravel().cumsum(dtype=np.float64)  # percentiles without sorting
    darkest, brightest = np.searchsorted(counts, (0.01 * grey.size, 0.99 * grey.size))
    return Quality(_sharpness(grey), float(brightest), float(darkest))


def check_size(width: int, height: int) -> None:
    """Refuse what holds too few pixels.

    Raises:
        TooSmall: the shorter side has fewer than ``SMALLEST_SIDE`` pixels.
    """
    if min(width, height) < SMALLEST_SIDE:
        raise TooSmall(
            "The image has %(width)s x %(height)s pixels; at least %(smallest_side)s on each "
            "side are needed to see anything. Send the photo in its original size.",
            width=width,
            height=height,
            smallest_side=SMALLEST_SIDE,
        )


def _sharpness(grey: NDArray[Any]) -> float | None:
    """The best ratio among the tiles that have detail."""
    if min(grey.shape) < SMALLEST_SIDE:
        return None
    energies = [_energies(tile) for tile in _tiles(grey)]
    most = max(coarse for _, coarse in energies)
    if most < _FLAT:
        return None
    # In a tile with next to no detail, noise alone would look sharp.
    return max(fine / coarse for fine, coarse in energies if coarse >= most / 2)


def _energies(tile: NDArray[Any]) -> tuple[float, float]:
    """Variance of the detail of 1 to 2, and of 2 to 8 pixels."""
    values = tile.astype(np.float32)
    one, two = (cv2.GaussianBlur(values, (0, 0), sigma) for sigma in (1, 2))
    # Smoothed by 2 pixels, a quarter of the pixels says the same; the wide blur then costs little.
    small = cv2.resize(two, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    return _variance(one - two), _variance(small - cv2.GaussianBlur(small, (0, 0), 2))


def _variance(values: NDArray[np.float32]) -> float:
    """Of detail, whose mean is next to nothing: so mean square less squared mean, quickly had, is exact."""
    return float(cv2.norm(values) ** 2 / values.size - cv2.mean(values)[0] ** 2)


def _tiles(grey: NDArray[Any]) -> list[NDArray[Any]]:
    """The whole of a small photo; of a large one, up to nine tiles over all of it."""
    height, width = grey.shape
    return [grey[y : y + TILE, x : x + TILE] for y in _starts(height) for x in _starts(width)]


def _starts(side: int) -> list[int]:
    if side <= TILE:
        return [0]
    count = min(_GRID, -(-side // TILE))
    return [round(start) for start in np.linspace(0, side - TILE, count)]
