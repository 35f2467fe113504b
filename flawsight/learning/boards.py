"""Whole boards with several defects each, scored by DeepPCB's own rule.

A found box is right when its IoU with a true box of the same type exceeds 0.33 (Tang et al.,
arXiv 1902.06197); each true box counts once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score

from flawsight.data.samples import LabelledBox, Sample
from flawsight.data.whole import sample_pixels
from flawsight.imaging import read_image
from flawsight.inspection.inspector import Inspector
from flawsight.inspection.result import Box
from flawsight.learning.evaluate import sample_template
from flawsight.learning.localisation import as_tuple, iou
from flawsight.metadata import Decision

RIGHT = 0.33  # IoU above which a box of the same type is a hit


@dataclass(frozen=True)
class Match:
    """One found box: its class, its score, and whether it is a hit."""

    class_id: str
    score: float
    hit: bool


def whole_boards(samples: Iterable[Sample]) -> list[Sample]:
    """The defective boards that regions were cut from, each once."""
    return list({s.path: replace(s, region=None) for s in samples if s.region and s.boxes}.values())


def good_boards(samples: Iterable[Sample]) -> list[Path]:
    """The boards that regions were cut from, none of them defective."""
    cut = [s for s in samples if s.region is not None]
    return sorted({s.path for s in cut} - {board.path for board in whole_boards(cut)})


def match(found: Sequence[Box], truth: Sequence[LabelledBox]) -> list[Match]:
    """Pair found boxes with true ones, the surest first."""
    free = list(truth)
    matches = []
    for box in sorted(found, key=lambda b: -b.score):
        own = [t for t in free if t.class_id == box.class_id]
        overlap = [iou(as_tuple(box), (t.x1, t.y1, t.x2, t.y2)) for t in own]
        hit = bool(overlap) and max(overlap) > RIGHT
        if hit:
            free.remove(own[int(np.argmax(overlap))])
        matches.append(Match(box.class_id, box.score, hit))
    return matches


def board_figures(
    inspector: Inspector, samples: Sequence[Sample], *, templates: bool = False
) -> dict[str, Any]:
    """mAP over the types of all boxes, and precision, recall and F of those shown; empty without boards.

    As DeepPCB does it: the mAP takes every box with its score, F takes those above the chosen score. Of good
    boards it is counted how many are rejected, left to a person (also as unknown) and show a box. With
    ``templates`` each board is held against its own, as Tang et al. do.
    """
    boards = whole_boards(samples)
    if not boards:
        return {}
    least = inspector.metadata.decision.box_score
    if templates:
        least = dict.fromkeys(inspector.metadata.defects, inspector.metadata.decision.template["score"])
    everything = Inspector(inspector.engine, _shows_all(inspector.metadata.decision))
    matches: list[Match] = []
    for board in boards:
        template = sample_template(board) if templates else None
        found = everything.inspect(sample_pixels(board), name=board.path.name, template=template)
        matches += match(found.boxes, board.boxes)
    true_boxes = [box for board in boards for box in board.boxes]
    classes = sorted({box.class_id for box in true_boxes})
    precisions = {
        name: _average_precision(
            [m for m in matches if m.class_id == name], sum(box.class_id == name for box in true_boxes)
        )
        for name in classes
    }
    # Boxes are paired by falling score, so those above a score are paired as they would be alone.
    shown = [m for m in matches if m.score >= least.get(m.class_id, 0.0)]
    hits = sum(m.hit for m in shown)
    precision, recall = hits / max(1, len(shown)), hits / len(true_boxes)
    good = [inspector.inspect(read_image(path), name=path.name) for path in good_boards(samples)]
    return {
        "boards": len(boards),
        "true_boxes": len(true_boxes),
        "found_boxes": len(shown),
        "map": round(float(np.mean(list(precisions.values()))), 4),
        "ap": {name: round(value, 4) for name, value in precisions.items()},
        "precision": round(precision, 4),
        "recall": round(recall, 4),
        "f": round(2 * precision * recall / max(1e-9, precision + recall), 4),
        "good": len(good),
        "good_rejected": sum(one.verdict == "reject" for one in good),
        "good_to_a_person": sum(one.verdict in ("review", "unknown") for one in good),
        "good_with_box": sum(bool(one.boxes) for one in good),
    }


def _shows_all(decision: Decision) -> Decision:
    """``decision``, but every box is shown, whatever its score."""
    template = {**decision.template, "score": 0.0} if decision.template else {}
    return replace(decision, box_score={}, template=template)


def _average_precision(matches: Sequence[Match], truths: int) -> float:
    """Area under precision over recall; boxes that were never found keep the recall below 1."""
    hits = [m.hit for m in matches]
    if not any(hits):
        return 0.0
    return float(average_precision_score(hits, [m.score for m in matches])) * sum(hits) / truths
