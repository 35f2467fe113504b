"""A part beside its template: a picture of the same part without a defect.

Printed boards have one, and with it a hole that belongs there can be told from one that does not. What
differs is found in the pictures themselves, see ``inspection.compare``; whether a difference is a defect, and
which, says the network. So a rim that runs a pixel beside the template's is no defect, and what the template
shows as well is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, exp, log
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flawsight.errors import ImageError, ModelError
from flawsight.inspection.compare import LARGEST, Comparison, Difference
from flawsight.inspection.engines import Float
from flawsight.inspection.result import Box
from flawsight.metadata import ModelMetadata
from flawsight.preprocessing import Placement
from flawsight.taxonomy import describe

CLEAR = 3.0  # pixels of thickness from which a difference is looked at by a person
INLAND = 4.0  # pixels from any edge of the template, from which the same
SUSPECT = 0.5  # the network's probability of a defect from which a difference is looked at by a person
SLIVER = 2  # pixels of the comparison, too narrow for a blob, that may be missing at the rim of a template
_TINY = 1e-3  # keeps the logit of the network's probability finite
_STEEPEST = 700.0  # no exponential of more fits into a number
_FLOOR = np.finfo(np.float32).tiny


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
            ModelError: it cannot be read.
        """
        if not values:
            raise NoComparison(
                "This model was not taught to compare a part with a template. Inspect without one."
            )
        try:
            return cls(**values)
        except TypeError as error:
            raise ModelError(
                "The model's rule for templates cannot be read (%(reason)s). Export it again.", reason=error
            ) from error

    def probability(self, place: Place) -> float:
        """That the difference is a defect, 0..1."""
        weights = (self.network, self.thickness, self.length)
        weighed = sum(weight * value for weight, value in zip(weights, place.features, strict=True))
        return 1 / (1 + exp(min(_STEEPEST, -weighed - self.bias)))

    def kinds(self, place: Place, classes: Sequence[str]) -> Float:
        """Probabilities (K,) of the ``classes``, if it is a defect."""
        often = np.array([self.brighter.get(name, 0.5) for name in classes], np.float32)
        weighed = place.kinds * (often if place.difference.brighter else 1 - often)
        return np.asarray(weighed / weighed.sum(), np.float32)


def learned(metadata: ModelMetadata, class_id: str) -> bool:
    """Whether the model learned to compare parts of the family that a class belongs to."""
    families = {describe(name).dataset for name in metadata.decision.template.get("brighter", {})}
    return not families or describe(class_id).dataset in families  # earlier rules do not say


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
        one = self.difference
        return one.thickness >= CLEAR or one.inland >= INLAND or self.suspicion >= SUSPECT

    @property
    def features(self) -> tuple[float, float, float]:
        """What a rule weighs."""
        odds = (self.suspicion + _TINY) / (1 - self.suspicion + _TINY)
        return log(odds), self.difference.thickness, log(self.difference.length)


def places(
    comparison: Comparison, cells: Float, metadata: ModelMetadata, placement: Placement
) -> list[Place]:
    """What differs, with what the network's ``cells`` (K, h, w), probabilities of the classes, say there."""
    defects = metadata.is_defect
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
        unseen: (h, w), the cells that it does not show, or not all of.
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
        ModelError: its rule cannot be read.
    """
    rule = Rule.of(metadata.decision.template)
    if not comparison.fits:
        return Reading(comparison, cells, np.ones(cells.shape[1:], bool), ())
    defects = metadata.is_defect
    down, across = _middles(cells.shape[1:], placement, metadata.stride)
    unseen = ~_shown(comparison, cells.shape[1:], placement, metadata.stride)
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


def _shown(
    comparison: Comparison, cells: tuple[int, ...], placement: Placement, stride: int
) -> NDArray[np.bool_]:
    """Whether the template shows all of each cell (h, w), but for a sliver; padding goes with the rim.

    A flaw in the part of a cell that it does not show is no difference, so the network alone can find it.
    """
    shown = cv2.dilate(comparison.covered.astype(np.uint8), np.ones((2 * SLIVER + 1,) * 2, np.uint8))
    rows, columns = (
        np.minimum(np.arange(count) * stride * side / resized, side - 1).astype(int)
        for count, side, resized in zip(cells, comparison.covered.shape, placement.resized, strict=True)
    )
    whole = np.minimum.reduceat(np.minimum.reduceat(shown, rows, axis=0), columns, axis=1)
    return np.asarray(whole > 0)
