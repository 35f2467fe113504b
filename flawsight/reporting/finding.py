"""What counts of an inspection: the answer of a person where there is one, else the model's.

The model's own answer stays what was filed; page and report show it below.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flawsight.inspection.words import identifies
from flawsight.records.assessment import SEVERITIES, severity_of
from flawsight.records.reviews import Review, ReviewBox
from flawsight.taxonomy import ClassInfo, describe


@dataclass(frozen=True)
class Kind:
    """A kind of defect on a part, and how many boxes show it: none where it has no place of its own."""

    info: ClassInfo
    boxes: int


@dataclass(frozen=True)
class Finding:
    """A verdict with what it is about.

    Attributes:
        verdict: ``accept``, ``review``, ``reject`` or ``unknown``.
        info: the class that was named; of an unknown part it is only the closest one.
        kinds: the defects found or suspected, worst first; empty where there is none.
        review: the person's answer; ``None`` if this is the model's.
    """

    verdict: str
    info: ClassInfo
    kinds: tuple[Kind, ...]
    review: Review | None = None


@dataclass(frozen=True)
class Mark:
    """A box as tables and pictures show it: half-open pixel ``xyxy`` of the original image.

    Attributes:
        label: ``1``, ``2`` … for the model's, as filed; ``P1``, ``P2`` … for a person's own.
        score: the model's; ``None`` for a person's own.
        kept: whether the person who answered drew the model's box as well; ``None`` if nobody answered.
    """

    label: str
    x1: int
    y1: int
    x2: int
    y2: int
    class_id: str
    score: float | None = None
    kept: bool | None = None

    @property
    def width(self) -> int:
        return self.x2 - self.x1

    @property
    def height(self) -> int:
        return self.y2 - self.y1


def model_finding(data: Mapping[str, Any]) -> Finding:
    """The model's answer in a filed inspection (``Inspection.to_dict()``)."""
    classes = [box["class"] for box in data["boxes"]]
    verdict, class_id = data["verdict"], data["predicted_class"]
    kinds = () if identifies(data) else _kinds(verdict, class_id, classes)
    return Finding(verdict, describe(class_id), kinds)


def finding(data: Mapping[str, Any], review: Review | None) -> Finding:
    """What counts of a filed inspection; ``review`` is the latest answer of a person."""
    if review is None:
        return model_finding(data)
    kinds = _kinds(review.verdict, review.class_id, [box.class_id for box in review.boxes])
    return Finding(review.verdict, describe(review.class_id or data["predicted_class"]), kinds, review)


def marks(data: Mapping[str, Any], review: Review | None) -> list[Mark]:
    """Every box of an inspection: those that only the person drew, then the model's."""
    drawn = review.boxes if review else ()
    found = [(ReviewBox.from_dict(box), box["score"]) for box in data["boxes"]]
    models = {box for box, _ in found}
    return [
        *drawn_marks([box for box in drawn if box not in models]),
        *(
            _mark(str(number), box, score, box in drawn if review else None)
            for number, (box, score) in enumerate(found, start=1)
        ),
    ]


def drawn_marks(boxes: Sequence[ReviewBox]) -> list[Mark]:
    """The boxes that only a person drew."""
    return [_mark(f"P{number}", box) for number, box in enumerate(boxes, start=1)]


def labels_of(own: Sequence[Mark]) -> str:
    """How the boxes of a person are called together."""
    return own[0].label if len(own) == 1 else f"{own[0].label}–{own[-1].label}"


def _mark(label: str, box: ReviewBox, score: float | None = None, kept: bool | None = None) -> Mark:
    return Mark(label, box.x1, box.y1, box.x2, box.y2, box.class_id, score, kept)


def _kinds(verdict: str, class_id: str, in_boxes: Iterable[str]) -> tuple[Kind, ...]:
    """The defects that a part for review or rejected has, worst first, else in the order of the boxes."""
    if verdict not in ("review", "reject"):
        return ()
    counts = Counter(in_boxes)
    counts.setdefault(class_id, 0)
    kinds = [Kind(describe(one), count) for one, count in counts.items()]
    worst_first = sorted(kinds, key=lambda kind: SEVERITIES.index(severity_of(kind.info.id)))
    return tuple(kind for kind in worst_first if kind.info.is_defect)
