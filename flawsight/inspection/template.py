"""A part beside its template: a picture of the same part without a defect.

Printed boards have one, and with it a hole that belongs there can be told from one that does not. What
differs is found in the pictures themselves, as Tang et al. do for DeepPCB (arXiv 1902.06197) and inspection
of boards has done since its beginning; whether a difference is a defect, and which, says the network. So a
rim that runs a pixel beside the template's is no defect, and what the template shows as well is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import ceil, exp, log
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flawsight.errors import ImageError
from flawsight.inspection.engines import Float
from flawsight.inspection.result import Box
from flawsight.metadata import ModelMetadata
from flawsight.preprocessing import Placement, resize

LARGEST = 1024  # pixels of the longer side at which two pictures are compared
COARSE = 320  # ... and at which the template is moved onto the part
STEPS, STILL = 50, 1e-4  # of that: most steps, and the gain below which it ends
TOLERANCE = 3  # pixels across within which an edge may lie elsewhere; a gap of more can be seen to close
CONTRAST = 0.5  # standard deviations of the part's picture that make a pixel another
GAINS = (0.7, 1.4)  # of the ratio of both deviations, within which the contrasts are matched
FAINT = 16.0  # least that is taken for one, in steps of 255
THICK = 3  # pixels across that make a difference a blob and not a line
THICK_APART, THIN_APART = 13, 5  # pixels across within which two pieces are one difference
SUSPECT = 0.5  # the network's probability of a defect from which a difference is looked at by a person
SMALLEST = 4  # pixels of a difference that is looked at
UNLIKE = 0.05  # share of other pixels above which the template is of something else
COVERED = 0.75  # least share of the part that the template must show
_TINY = 1e-3  # keeps the logit of the network's probability finite
_FLOOR = np.finfo(np.float32).tiny
_IN_PLACE = np.eye(2, 3, dtype=np.float32)


class NoComparison(ImageError):
    """The model cannot compare, or the picture beside the part can be no template of it."""

    code = "no_comparison"


@dataclass(frozen=True)
class Template:
    """RGB uint8 (H, W, 3) of a part without a defect, with its name and the SHA-256 of its file, if any."""

    pixels: NDArray[np.uint8]
    name: str
    sha256: str = ""


@dataclass(frozen=True)
class Difference:
    """A place where a part is not like its template.

    Attributes:
        x1, y1, x2, y2: half-open pixel ``xyxy`` of the part's picture, tight.
        thickness: the farthest that any of its pixels lies from its rim, in pixels of the comparison.
        length: of the longer side, in pixels of the comparison.
        brighter: whether most of it is brighter than the template.
    """

    x1: int
    y1: int
    x2: int
    y2: int
    thickness: float
    length: int
    brighter: bool = False


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


@dataclass(frozen=True)
class Rule:
    """When a difference is a defect; chosen on validation boards.

    The probability is a logistic function of what the network says at the place, its thickness and its
    length: a flaw is a blob, an edge that lies elsewhere is long and thin.

    Attributes:
        network: weight of the logit of the network's highest probability of any defect there.
        thickness: weight of a pixel of thickness.
        length: weight of the logarithm of the length.
        bias: added to these.
        margin: pixels of the comparison that a box keeps free around a difference, as its drawer did.
        score: least probability of its class with which a box is shown.
        brighter: by class, how often such a defect is brighter than the template: whether there is copper too
            much or too little tells some kinds apart. A class that is not named counts as one half.
    """

    network: float
    thickness: float
    length: float
    bias: float
    margin: float = 0.0
    score: float = 0.5
    brighter: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Rule:
        """The rule of ``Decision.template``.

        Raises:
            NoComparison: the model has none.
        """
        if not values:
            raise NoComparison(
                "This model was not taught to compare a part with a template. Inspect without one."
            )
        return cls(**values)

    def probability(self, place: Place) -> float:
        """That the difference is a defect, 0..1."""
        weights = (self.network, self.thickness, self.length)
        weighed = sum(weight * value for weight, value in zip(weights, place.features, strict=True))
        return 1 / (1 + exp(-weighed - self.bias))

    def kinds(self, place: Place, classes: Sequence[str]) -> Float:
        """Probabilities (K,) of the ``classes``, if it is a defect."""
        often = np.array([self.brighter.get(name, 0.5) for name in classes], np.float32)
        weighed = place.kinds * (often if place.difference.brighter else 1 - often)
        return np.asarray(weighed / weighed.sum(), np.float32)


@dataclass(frozen=True)
class Place:
    """A difference, and what the network says there.

    Attributes:
        suspicion: its highest probability of any defect in a cell, 0..1.
        kinds: (K,) share of each class in the defects that it sees there; 0 for what is no defect.
    """

    difference: Difference
    suspicion: float
    kinds: Float

    @property
    def doubtful(self) -> bool:
        """Whether nobody may pass over it, however harmless the rule finds it."""
        return self.difference.thickness >= THICK or self.suspicion >= SUSPECT

    @property
    def features(self) -> tuple[float, float, float]:
        """What a rule weighs."""
        odds = (self.suspicion + _TINY) / (1 - self.suspicion + _TINY)
        return log(odds), self.difference.thickness, log(self.difference.length)


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


def places(
    comparison: Comparison, cells: Float, metadata: ModelMetadata, placement: Placement
) -> list[Place]:
    """What differs, with what the network's ``cells`` (K, h, w), probabilities of the classes, say there."""
    defects = np.isin(metadata.classes, metadata.defects)  # (K,)
    found = []
    for one in comparison.differences:
        rows, columns = _cells_of(one, placement, metadata.stride)
        window = np.where(defects[:, None, None], cells[:, rows, columns], 0)
        kinds = window.sum(axis=(1, 2)) + np.where(defects, _FLOOR, 0)
        suspicion = min(1.0, float(window.sum(axis=0).max()))
        found.append(Place(one, suspicion, np.asarray(kinds / kinds.sum(), np.float32)))
    return found


@dataclass(frozen=True)
class Reading:
    """What the network says of a part, by what its template says.

    Attributes:
        comparison: of the two pictures.
        cells: float32 (K, h, w), probabilities of the classes. Where the template shows the same as the part
            there is no defect; around a difference the defects have its probability. What the template does
            not show stays as the network said.
        unseen: (h, w), the cells that it does not show.
        boxes: of all differences, highest score first.
        doubtful: boxes of those that keep a part from being accepted, see ``Place.doubtful``.
    """

    comparison: Comparison
    cells: Float
    unseen: NDArray[np.bool_]
    boxes: tuple[Box, ...]
    doubtful: tuple[Box, ...] = ()


def read(comparison: Comparison, cells: Float, metadata: ModelMetadata, placement: Placement) -> Reading:
    """``cells`` (K, h, w), probabilities of the classes, by what the template says.

    Raises:
        NoComparison: the model cannot compare.
    """
    rule = Rule.of(metadata.decision.template)
    if not comparison.fits:
        return Reading(comparison, cells, np.ones(cells.shape[1:], bool), ())
    defects = np.isin(metadata.classes, metadata.defects)  # (K,)
    down, across = _middles(cells.shape[1:], placement, metadata.stride)
    unseen = ~_covered_at(comparison, down, across, placement)
    bad = np.where(defects[:, None, None], cells, 0)
    mass = np.where(unseen, bad.sum(axis=0), 0)
    kinds = bad / np.maximum(bad.sum(axis=0), _FLOOR)
    found = places(comparison, cells, metadata, placement)
    for place in sorted(found, key=rule.probability):  # where two meet, the likelier defect counts
        x1, y1, x2, y2 = _outline(place.difference, rule.margin, placement.original)
        inside = _within(down, y1, y2)[:, None] & _within(across, x1, x2)
        mass[inside] = np.maximum(mass[inside], rule.probability(place))
        kinds[:, inside] = rule.kinds(place, metadata.classes)[:, None]
    good = np.where(defects[:, None, None], 0, cells + _FLOOR)
    revised = kinds * mass + good / good.sum(axis=0) * (1 - mass)
    boxes, doubtful = (
        boxes_of(some, rule, metadata.classes, placement.original)
        for some in (found, [place for place in found if place.doubtful])
    )
    return Reading(comparison, np.asarray(revised, np.float32), unseen, boxes, doubtful)


def boxes_of(
    found: Iterable[Place], rule: Rule, classes: tuple[str, ...], size: tuple[int, int]
) -> tuple[Box, ...]:
    """A box around each place on a picture of ``size`` (height, width), highest score first."""
    boxes = []
    for place in found:
        kinds = rule.kinds(place, classes)
        kind = int(kinds.argmax())
        score = rule.probability(place) * float(kinds[kind])
        boxes.append(Box(*_outline(place.difference, rule.margin, size), score, classes[kind]))
    return tuple(sorted(boxes, key=lambda box: -box.score))


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
    pieces_of = partial(_pieces, depth=depth, brighter=brighter)
    return [*pieces_of(thick, apart=THICK_APART), *pieces_of(thin, apart=THIN_APART)]


def _pieces(
    mask: NDArray[np.uint8], depth: Float, brighter: NDArray[np.bool_], apart: int
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
        yield Difference(x1, y1, x2, y2, float(depth[window][mine].max()), max(x2 - x1, y2 - y1), more)


def _square(side: int) -> NDArray[np.uint8]:
    return np.ones((side, side), np.uint8)


def _on_part(one: Difference, part: tuple[int, int], shape: tuple[int, int]) -> Difference:
    """From pixels of the comparison to those of the part's picture."""
    down, across = part[0] / shape[0], part[1] / shape[1]
    return Difference(
        int(one.x1 * across),
        int(one.y1 * down),
        min(part[1], ceil(one.x2 * across)),
        min(part[0], ceil(one.y2 * down)),
        one.thickness,
        one.length,
        one.brighter,
    )


def _outline(one: Difference, margin: float, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The difference with ``margin`` around it, on a picture of ``size`` (height, width)."""
    wide = round(margin * max(1.0, max(size) / LARGEST))
    return (
        max(0, one.x1 - wide),
        max(0, one.y1 - wide),
        min(size[1], one.x2 + wide),
        min(size[0], one.y2 + wide),
    )


def _cells_of(one: Difference, placement: Placement, stride: int) -> tuple[slice, slice]:
    """Rows and columns of the cells that the difference touches."""
    spans = []
    for low, high, axis in ((one.y1, one.y2, 0), (one.x1, one.x2, 1)):
        scale = placement.resized[axis] / placement.original[axis] / stride
        last = ceil(placement.padded[axis] / stride)
        first = min(int(low * scale), last - 1)
        spans.append(slice(first, max(first + 1, min(last, ceil(high * scale)))))
    return spans[0], spans[1]


def _middles(
    shape: tuple[int, ...], placement: Placement, stride: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows (h,) and columns (w,) of the middles of the cells, in pixels of the part's picture."""
    down, across = (
        (np.arange(count) + 0.5) * stride * placement.original[axis] / placement.resized[axis]
        for axis, count in enumerate(shape)
    )
    return down, across


def _within(middles: NDArray[np.float64], low: int, high: int) -> NDArray[np.bool_]:
    """Which cells have their middle in there; at least the nearest one."""
    inside = (middles >= low) & (middles < high)
    if not inside.any():
        inside[np.abs(middles - (low + high) / 2).argmin()] = True
    return np.asarray(inside)


def _covered_at(
    comparison: Comparison, down: NDArray[np.float64], across: NDArray[np.float64], placement: Placement
) -> NDArray[np.bool_]:
    """Whether the template shows the middle of each cell (h, w); padding goes with the rim."""
    shape = comparison.covered.shape
    rows, columns = (
        np.clip(middles * shape[axis] / placement.original[axis], 0, shape[axis] - 1).astype(int)
        for axis, middles in enumerate((down, across))
    )
    return comparison.covered[np.ix_(rows, columns)]
