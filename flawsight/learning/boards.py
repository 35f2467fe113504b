"""Whole boards with several defects each, scored by DeepPCB's own rule.

A found box is right when its IoU with a true box of the same type exceeds 0.33 (Tang et al.,
arXiv 1902.06197); each true box counts once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
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
from flawsight.learning.resample import intervals
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

    Each has its 95 % interval beside it. As DeepPCB does it: the mAP takes every box with its score, F takes
    those above the chosen score. Of good boards it is counted how many are rejected, left to a person (also
    as unknown) and show a box. With ``templates`` each board is held against its own, as Tang et al. do.
    """
    boards = whole_boards(samples)
    if not boards:
        return {}
    least = inspector.metadata.decision.box_score
    if templates:
        least = dict.fromkeys(inspector.metadata.defects, inspector.metadata.decision.template["score"])
    everything = Inspector(inspector.engine, _shows_all(inspector.metadata.decision))
    found = []
    for board in boards:
        template = sample_template(board) if templates else None
        said = everything.inspect(sample_pixels(board), name=board.path.name, template=template)
        found.append(_Board(match(said.boxes, board.boxes), board.boxes))
    point = _points(found, least)
    drawn = intervals(
        [board.group for board in boards],
        [board.path for board in boards],
        lambda rows: _points([found[row] for row in rows], least),
    )
    good = [inspector.inspect(read_image(path), name=path.name) for path in good_boards(samples)]
    return {
        "boards": len(boards),
        "true_boxes": sum(len(board.truth) for board in found),
        "found_boxes": len(_shown(found, least)),
        **{name: round(value, 4) for name, value in point.items()},
        **{f"{name}_interval": [round(end, 4) for end in drawn[name]] for name in point},
        "ap": {name: round(value, 4) for name, value in _by_type(found).items()},
        "recalls": {name: round(value, 4) for name, value in _recalls(found, least).items()},
        "good": len(good),
        "good_rejected": sum(one.verdict == "reject" for one in good),
        "good_to_a_person": sum(one.verdict in ("review", "unknown") for one in good),
        "good_with_box": sum(bool(one.boxes) for one in good),
    }


@dataclass(frozen=True)
class _Board:
    """What was found on a board, every box, and what there is."""

    matches: list[Match]
    truth: tuple[LabelledBox, ...]


def _points(boards: Sequence[_Board], least: Mapping[str, float]) -> dict[str, float]:
    """mAP, precision, recall and F; boxes are shown from the score that is ``least`` for their class."""
    shown = _shown(boards, least)
    hits = sum(m.hit for m in shown)
    precision, recall = hits / max(1, len(shown)), hits / sum(len(board.truth) for board in boards)
    return {
        "map": float(np.mean(list(_by_type(boards).values()))),
        "precision": precision,
        "recall": recall,
        "f": 2 * precision * recall / max(1e-9, precision + recall),
    }


def _shown(boards: Sequence[_Board], least: Mapping[str, float]) -> list[Match]:
    # Boxes are paired by falling score, so those above a score are paired as they would be alone.
    return [m for board in boards for m in board.matches if m.score >= least.get(m.class_id, 0.0)]


def _by_type(boards: Sequence[_Board]) -> dict[str, float]:
    """Average precision of each class that any board has."""
    matches = [m for board in boards for m in board.matches]
    return {
        name: _average_precision([m for m in matches if m.class_id == name], count)
        for name, count in _truths(boards).items()
    }


def _recalls(boards: Sequence[_Board], least: Mapping[str, float]) -> dict[str, float]:
    """Of each class that any board has."""
    hits = Counter(m.class_id for m in _shown(boards, least) if m.hit)
    return {name: hits[name] / count for name, count in _truths(boards).items()}


def _truths(boards: Sequence[_Board]) -> dict[str, int]:
    """How many there are of each class."""
    return dict(sorted(Counter(box.class_id for board in boards for box in board.truth).items()))


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
