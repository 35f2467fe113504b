"""Boards beside their templates: the rule by which a difference is a defect, and what it is worth.

The good regions that a data set cuts from templates would be held against themselves. Here good regions are
cut from tested boards, where no defect is marked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from zlib import crc32

import numpy as np
from sklearn.linear_model import LogisticRegression

from flawsight.data.samples import LabelledBox, Sample
from flawsight.data.whole import sample_pixels, template_pixels
from flawsight.inspection import explain
from flawsight.inspection.compare import compare
from flawsight.inspection.engines import Engine
from flawsight.inspection.inspector import Inspector
from flawsight.inspection.result import Box
from flawsight.inspection.template import Place, Rule, boxes_of, places
from flawsight.learning.boards import board_figures, match, whole_boards
from flawsight.learning.evaluate import figures, inspect_samples
from flawsight.learning.localisation import as_tuple, iou
from flawsight.preprocessing import prepare

FEWEST = 20  # defects, and harmless differences, below which no rule is chosen
MARGINS = tuple(range(21))  # pixels
SCORES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
GOOD_REGIONS = 4  # of one board
FIGURES = (
    "n", "defective", "accuracy", "average_precision", "escape_rate", "overkill_rate", "review_share",
    "overkill_at_zero_escapes",
)  # fmt: skip
_TRIES = 40


def choose_rule(engine: Engine, samples: Sequence[Sample]) -> dict[str, Any]:
    """``Decision.template`` by the whole boards of the validation split; empty where they are too few.

    The margin is the one with which the boxes overlap best with those that people drew, the least score the
    one with the best F by DeepPCB's rule.
    """
    boards = [_read(engine, board) for board in whole_boards(_beside_one(samples))]
    labelled = [
        (place.features, board.box_at(place) is not None) for board in boards for place in board.places
    ]
    marked = np.array([mark for _, mark in labelled], bool)
    if min(marked.sum(), (~marked).sum()) < FEWEST:
        return {}
    fitted = LogisticRegression().fit(np.array([values for values, _ in labelled]), marked)
    network, thickness, length = (round(float(weight), 4) for weight in fitted.coef_[0])
    bias = round(float(fitted.intercept_[0]), 4)
    rule = Rule(network, thickness, length, bias, brighter=_brighter(boards))
    classes = engine.metadata.classes
    rule = max(
        (replace(rule, margin=float(margin)) for margin in MARGINS),
        key=lambda trial: np.mean([board.overlap(trial, classes) for board in boards]),
    )
    rule = max((replace(rule, score=score) for score in SCORES), key=lambda trial: _f(boards, trial, classes))
    return asdict(rule)


def template_figures(inspector: Inspector, samples: Sequence[Sample]) -> dict[str, Any]:
    """Whole boards held against their templates, and their regions with and without; empty without any."""
    held = _beside_one(samples)
    if not (inspector.metadata.decision.template and held):
        return {}
    cut = held + _good_regions(held, samples)

    def of_regions(templates: bool) -> dict[str, Any]:
        overall = figures(inspect_samples(inspector, cut, templates=templates), inspector.metadata)["overall"]
        return {name: overall[name] for name in FIGURES if name in overall}

    return {
        "boards": board_figures(inspector, held, templates=True),
        "regions": of_regions(templates=True),
        "regions_without": of_regions(templates=False),
    }


@dataclass(frozen=True)
class _Board:
    """A whole board held against its template."""

    truth: tuple[LabelledBox, ...]
    size: tuple[int, int]  # height, width
    places: list[Place]

    def box_at(self, place: Place) -> LabelledBox | None:
        """The marked defect in which it has its middle."""
        one = place.difference
        x, y = (one.x1 + one.x2) / 2, (one.y1 + one.y2) / 2
        return next((box for box in self.truth if box.x1 <= x < box.x2 and box.y1 <= y < box.y2), None)

    def boxes(self, rule: Rule, classes: tuple[str, ...]) -> tuple[Box, ...]:
        return boxes_of(self.places, rule, classes, self.size)

    def overlap(self, rule: Rule, classes: tuple[str, ...]) -> float:
        """Mean over the true boxes of the best IoU with one of all."""
        found = [as_tuple(box) for box in self.boxes(rule, classes)]
        true = [(box.x1, box.y1, box.x2, box.y2) for box in self.truth]
        return float(np.mean([max((iou(box, one) for box in found), default=0.0) for one in true]))


def _read(engine: Engine, board: Sample) -> _Board:
    image, template = sample_pixels(board), template_pixels(board)
    values, placement = prepare(image, engine.metadata.preprocessing)
    cells = explain.cell_probabilities(engine.run(values[None]).first.class_map)
    comparison = compare(image, image if template is None else template)
    return _Board(board.boxes, placement.original, places(comparison, cells, engine.metadata, placement))


def _brighter(boards: Iterable[_Board]) -> dict[str, float]:
    """By class how often its defects are brighter than the template; one more each way: few prove little."""
    seen: dict[str, list[bool]] = defaultdict(list)
    for board in boards:
        for place in board.places:
            if (box := board.box_at(place)) is not None:
                seen[box.class_id].append(place.difference.brighter)
    return {name: round((sum(found) + 1) / (len(found) + 2), 4) for name, found in sorted(seen.items())}


def _f(boards: Sequence[_Board], rule: Rule, classes: tuple[str, ...]) -> float:
    """F of the boxes that would be shown."""
    matches = [
        one
        for board in boards
        for one in match([box for box in board.boxes(rule, classes) if box.score >= rule.score], board.truth)
    ]
    hits, truth = sum(one.hit for one in matches), sum(len(board.truth) for board in boards)
    return 2 * hits / (len(matches) + truth)


def _beside_one(samples: Iterable[Sample]) -> list[Sample]:
    """The defective regions of boards that have a template."""
    return [sample for sample in samples if sample.template and sample.region and sample.boxes]


def _good_regions(defective: Sequence[Sample], samples: Iterable[Sample]) -> list[Sample]:
    """Of each board up to ``GOOD_REGIONS`` regions that touch no box, the same in every run."""
    good_class = {s.dataset: s.class_id for s in samples if s.region and not s.boxes}
    found: list[Sample] = []
    for one in {sample.path: sample for sample in defective}.values():
        height, width = sample_pixels(replace(one, region=None)).shape[:2]
        side = one.region[2] - one.region[0] if one.region else 0
        rng = np.random.default_rng(crc32(one.path.name.encode()))
        corners = rng.integers(0, (width - side + 1, height - side + 1), (_TRIES, 2)).tolist()
        regions = [(x, y, x + side, y + side) for x, y in corners]
        free = [region for region in regions if not any(_meet(box, region) for box in one.boxes)]
        found += [
            replace(one, class_id=good_class[one.dataset], region=region, boxes=())
            for region in free[:GOOD_REGIONS]
            if one.dataset in good_class
        ]
    return found


def _meet(box: LabelledBox, region: tuple[int, int, int, int]) -> bool:
    x1, y1, x2, y2 = region
    return box.x1 < x2 and box.x2 > x1 and box.y1 < y2 and box.y2 > y1
