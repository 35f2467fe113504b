"""Two pictures of parts, one beside the other: the second moved onto the first, and what differs.

As Tang et al. do for the boards of DeepPCB (arXiv 1902.06197), and inspection of boards has done since its
beginning. Whether a difference is a defect says ``inspection.template``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import ceil

import cv2
import numpy as np
from numpy.typing import NDArray

from flawsight.inspection.engines import Float
from flawsight.preprocessing import resize

LARGEST = 1024  # pixels of the longer side at which two pictures are compared
COARSE = 320  # ... and at which the template is moved onto the part
STEPS, STILL = 50, 1e-4  # of that: most steps, and the gain below which it ends
TOLERANCE = 3  # pixels across within which an edge may lie elsewhere; a gap of more can be seen to close
CONTRAST = 0.5  # standard deviations of the part's picture that make a pixel another
GAINS = (0.7, 1.4)  # of the ratio of both deviations, within which the contrasts are matched
FAINT = 16.0  # least that is taken for one, in steps of 255
THICK = 3  # pixels across that make a difference a blob and not a line
THICK_APART, THIN_APART = 13, 5  # pixels across within which two pieces are one difference
SMALLEST = 4  # pixels of a difference that is looked at
UNLIKE = 0.05  # share of other pixels above which the template is of something else
COVERED = 0.75  # least share of the part that the template must show
_IN_PLACE = np.eye(2, 3, dtype=np.float32)


@dataclass(frozen=True)
class Difference:
    """A place where a part is not like its template.

    Attributes:
        x1, y1, x2, y2: half-open pixel ``xyxy`` of the part's picture, tight.
        thickness: the farthest that any of its pixels lies from its rim, in pixels of the comparison.
        length: of the longer side, in pixels of the comparison.
        brighter: whether most of it is brighter than the template.
        inland: the farthest that any of its pixels lies from an edge of the template, in pixels of the
            comparison: an edge that lies elsewhere is never far from where it was.
    """

    x1: int
    y1: int
    x2: int
    y2: int
    thickness: float
    length: int
    brighter: bool = False
    inland: float = 0.0


@dataclass(frozen=True)
class Comparison:
    """A part held against its template.

    Attributes:
        unlike: share of what both show that is not alike, 0..1.
        covered: bool (h, w), where the template shows the part, by pixels of the comparison.
        differences: what differs.
    """

    unlike: float
    covered: NDArray[np.bool_]
    differences: tuple[Difference, ...]

    @property
    def fits(self) -> bool:
        """Whether the template shows the same part."""
        return self.unlike <= UNLIKE and float(self.covered.mean()) >= COVERED


def compare(part: NDArray[np.uint8], template: NDArray[np.uint8]) -> Comparison:
    """Move the template onto the part and find what differs; both RGB uint8.

    Light and contrast may be others, the template may be larger or smaller and lie a little beside or
    askew; it must show the part from the same side, upright.
    """
    height, width = part.shape[:2]
    scale = min(1.0, LARGEST / max(height, width))
    shape = max(1, round(height * scale)), max(1, round(width * scale))
    own, other = (_grey(resize(picture, shape)) for picture in (part, template))
    tried = [_moved(other, by) for by in _alignments(own, other)]
    marked = [(_unlike(own, *one), *one) for one in tried]
    other_pixels, moved, covered = min(marked, key=lambda one: one[0].mean() + 1 - one[2].mean())
    unlike = float(other_pixels.sum() / max(1, covered.sum()))
    found = _differences(own, moved, other_pixels, covered) if unlike <= UNLIKE else []
    return Comparison(unlike, covered, tuple(_on_part(one, (height, width), shape) for one in found))


def _grey(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)


def _alignments(own: NDArray[np.uint8], other: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """Ways from pixels of the part to those of the template, (2, 3), of which the best is to be taken.

    As it lies or shifted by phase correlation, whichever leaves less unlike, and the same refined by the
    enhanced correlation coefficient of Evangelidis and Psarakis, PAMI 2008. Found on small pictures.
    """
    scale = min(1.0, COARSE / max(own.shape))
    small = max(1, round(own.shape[0] * scale)), max(1, round(own.shape[1] * scale))
    coarse, beside = (
        cv2.resize(one, small[::-1], interpolation=cv2.INTER_AREA).astype(np.uint8) for one in (own, other)
    )

    def unlike(by: NDArray[np.float32]) -> float:
        moved, covered = _moved(beside, by)
        return float(_unlike(coarse, moved, covered).mean() + 1 - covered.mean())

    begun = min((_IN_PLACE, _shift(coarse, beside)), key=unlike)
    # Pixels are squares: their middles lie half a pixel beside their numbers at any scale.
    sides = np.array([small[1] / own.shape[1], small[0] / own.shape[0]])
    half = sides / 2 - 0.5
    ways = []
    for by in (begun, _refined(coarse, beside, begun)):
        matrix, shift = by[:, :2].astype(np.float64), by[:, 2].astype(np.float64)
        full = np.column_stack([matrix * sides / sides[:, None], (matrix @ half + shift - half) / sides])
        ways.append(np.asarray(full, np.float32))
    return ways


def _shift(own: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The way if one picture is the other shifted."""
    if min(own.shape) < 2:
        return _IN_PLACE
    window = cv2.createHanningWindow(own.shape[::-1], cv2.CV_32F)
    (dx, dy), _ = cv2.phaseCorrelate(own.astype(np.float32), other.astype(np.float32), window)
    return np.array([[1, 0, dx], [0, 1, dy]], np.float32)


def _refined(
    own: NDArray[np.uint8], other: NDArray[np.uint8], begun: NDArray[np.float32]
) -> NDArray[np.float32]:
    """A better way than ``begun``, also askew; itself where there is none to be found."""
    ending = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, STEPS, STILL)
    pictures = own.astype(np.float32), other.astype(np.float32)
    everywhere = np.full(own.shape, 255, np.uint8)
    try:
        _, found = cv2.findTransformECC(*pictures, begun.copy(), cv2.MOTION_AFFINE, ending, everywhere, 5)
    except cv2.error:  # a blank picture, or one of something else
        return begun
    return np.asarray(found, np.float32) if np.isfinite(found).all() else begun


def _moved(other: NDArray[np.uint8], by: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The template moved onto the part, and where it shows it."""
    size, how = other.shape[::-1], cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(other, by, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
    shown = cv2.warpAffine(np.full(other.shape, 255, np.uint8), by, size, flags=how)
    return np.asarray(moved, np.uint8), np.asarray(shown == 255)


def _unlike(
    own: NDArray[np.uint8], moved: NDArray[np.uint8], covered: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Pixels that are brighter or darker than any of the template's near by."""
    matched, limit = _matched(own, moved, covered)
    around = _square(TOLERANCE)
    brighter = own > cv2.dilate(matched, around) + limit
    darker = own < cv2.erode(matched, around) - limit
    return np.asarray((brighter | darker) & covered)


def _matched(
    own: NDArray[np.uint8], moved: NDArray[np.uint8], covered: NDArray[np.bool_]
) -> tuple[Float, float]:
    """The template in the part's light, and how far a pixel must lie from it to be another."""
    ours, theirs = own[covered].astype(np.float32), moved[covered].astype(np.float32)
    if not ours.size:
        return moved.astype(np.float32), 0.0
    mean, other_mean, deviation, other_deviation = ours.mean(), theirs.mean(), ours.std(), theirs.std()
    gain = 1.0
    if min(deviation, other_deviation) > 1:
        # The slope of a line through both, since a flaw widens one alone; never far from what widens both.
        slope = float(((ours - mean) * (theirs - other_mean)).mean()) / float(other_deviation) ** 2
        ratio = float(deviation / other_deviation)
        gain = min(max(slope, GAINS[0] * ratio), GAINS[1] * ratio)
    matched = (moved.astype(np.float32) - other_mean) * np.float32(gain) + mean
    return matched, CONTRAST * max(float(deviation), FAINT)


def _differences(
    own: NDArray[np.uint8],
    moved: NDArray[np.uint8],
    unlike: NDArray[np.bool_],
    covered: NDArray[np.bool_],
) -> list[Difference]:
    """In pixels of the comparison.

    A flaw often lies on an edge, and the edge a little beside the template's: what is thick is a difference
    by itself. What is thin is one where nothing thick is near, as a hairline may be.
    """
    matched, limit = _matched(own, moved, covered)
    other = ((np.abs(own - matched) > limit) & covered).astype(np.uint8)
    depth = cv2.distanceTransform(other, cv2.DIST_L2, 5)
    thick = np.asarray(cv2.morphologyEx(other, cv2.MORPH_OPEN, _square(THICK)), np.uint8)
    _, pieces = cv2.connectedComponents(cv2.dilate(unlike.astype(np.uint8), _square(THIN_APART)))
    beside = np.unique(pieces[cv2.dilate(thick, _square(THICK_APART)) > 0])
    thin = (unlike & ~np.isin(pieces, beside)).astype(np.uint8)
    brighter = own > matched
    steps = cv2.morphologyEx(matched, cv2.MORPH_GRADIENT, _square(TOLERANCE))
    flat = (np.asarray(steps) <= limit).astype(np.uint8)
    inland = np.asarray(cv2.distanceTransform(flat, cv2.DIST_L2, 5), np.float32)
    pieces_of = partial(_pieces, depth=depth, inland=inland, brighter=brighter)
    return [*pieces_of(thick, apart=THICK_APART), *pieces_of(thin, apart=THIN_APART)]


def _pieces(
    mask: NDArray[np.uint8], depth: Float, inland: Float, brighter: NDArray[np.bool_], apart: int
) -> Iterator[Difference]:
    """What hangs together in ``mask``, or nearly."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(cv2.dilate(mask, _square(apart)))
    for label in range(1, count):
        x, y, width, height = (int(value) for value in stats[label, :4])
        window = np.s_[y : y + height, x : x + width]
        mine = (labels[window] == label) & (mask[window] > 0)
        if mine.sum() < SMALLEST:
            continue
        rows, columns = np.flatnonzero(mine.any(axis=1)), np.flatnonzero(mine.any(axis=0))
        x1, x2, y1, y2 = (
            int(v) for v in (x + columns[0], x + columns[-1] + 1, y + rows[0], y + rows[-1] + 1)
        )
        more = bool(brighter[window][mine].mean() >= 0.5)
        thickness, far = (float(values[window][mine].max()) for values in (depth, inland))
        yield Difference(x1, y1, x2, y2, thickness, max(x2 - x1, y2 - y1), more, far)


def _square(side: int) -> NDArray[np.uint8]:
    return np.ones((side, side), np.uint8)


def _on_part(one: Difference, part: tuple[int, int], shape: tuple[int, int]) -> Difference:
    """From pixels of the comparison to those of the part's picture."""
    down, across = part[0] / shape[0], part[1] / shape[1]
    return replace(
        one,
        x1=int(one.x1 * across),
        y1=int(one.y1 * down),
        x2=min(part[1], ceil(one.x2 * across)),
        y2=min(part[0], ceil(one.y2 * down)),
    )
