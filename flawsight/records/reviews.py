"""What people answer. Nothing is overwritten: every answer stays, and the latest one counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, func, literal, select, true, tuple_, update
from sqlalchemy.orm import Session

from flawsight.errors import FlawsightError
from flawsight.i18n import marked
from flawsight.records import links
from flawsight.records.record import Record
from flawsight.records.search import Entry, Key, Page, entry_of
from flawsight.records.store import Store, no_inspection
from flawsight.records.tables import CatalogueRow, InspectionRow, ReviewRow
from flawsight.taxonomy import describe

VERDICTS = {
    "reject": marked("Reject"),
    "accept": marked("Accept"),
    "unknown": marked("Not a part for this model"),
}
DISPOSITIONS = {
    "use_as_is": marked("Use as is"),
    "rework": marked("Rework"),
    "repair": marked("Repair"),
    "scrap": marked("Scrap"),
    "return": marked("Return"),
}
# What may wait for an answer: what only a person can decide, or all that nobody has answered.
QUEUES: dict[str, ColumnElement[bool]] = {
    "undecided": CatalogueRow.undecided == true(),
    "all": CatalogueRow.review_state == "none",
}
UNKNOWN = "unknown"
NAME_LENGTH = 80
CLASS_LENGTH = 80
RATIONALE_LENGTH = 2000
MOST_BOXES = 200


class Overtaken(FlawsightError):
    """Somebody has answered since the person who answers now looked."""

    code = "overtaken"
    status = 409


class BadReview(FlawsightError):
    """An answer that contradicts itself or the picture."""

    code = "bad_review"
    status = 400


@dataclass(frozen=True)
class ReviewBox:
    """A place drawn by a person: half-open pixel ``xyxy`` in the original image."""

    x1: int
    y1: int
    x2: int
    y2: int
    class_id: str

    def to_dict(self) -> dict[str, Any]:
        return {"x1": self.x1, "y1": self.y1, "x2": self.x2, "y2": self.y2, "class": self.class_id}

    @classmethod
    def from_dict(cls, value: Any) -> ReviewBox:
        """The inverse of ``to_dict``; more keys are ignored.

        Raises:
            BadReview: a key is missing or no whole number.
        """
        try:
            x1, y1, x2, y2 = (value[key] for key in ("x1", "y1", "x2", "y2"))
            class_id = value["class"]
        except (KeyError, TypeError, IndexError):
            raise BadReview("A box needs x1, y1, x2, y2 and class.") from None
        if not all(type(corner) is int for corner in (x1, y1, x2, y2)) or not isinstance(class_id, str):
            raise BadReview("The corners of a box are whole pixels, and its class is a text.")
        return cls(x1, y1, x2, y2, class_id)


@dataclass(frozen=True)
class Answer:
    """What a person says about one inspection.

    Attributes:
        verdict: one of ``VERDICTS``.
        class_id: the class as the person sees it; of no matter for a part that is none for the model, and
            empty once filed.
        boxes: where; only on a rejected part.
        disposition: one of ``DISPOSITIONS``, or empty.
    """

    reviewer: str
    verdict: str
    class_id: str
    boxes: tuple[ReviewBox, ...] = ()
    disposition: str = ""
    rationale: str = ""


@dataclass(frozen=True, kw_only=True)
class Review(Answer):
    """An answer as filed; ``state`` is ``confirmed`` or ``corrected``."""

    inspection_id: str
    created_at: datetime
    state: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "reviewer": self.reviewer,
            "created_at": self.created_at.isoformat(),
            "verdict": self.verdict,
            "class": self.class_id,
            "boxes": [box.to_dict() for box in self.boxes],
            "disposition": self.disposition,
            "rationale": self.rationale,
            "state": self.state,
        }


class Reviews:
    """The answers of people to the inspections in ``store``. Safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def add(self, inspection_id: str, answer: Answer, seen: int | None = None) -> Review:
        """File ``answer``.

        Args:
            seen: how many answers the person knew of, to notice that there are more.

        Raises:
            Overtaken: there are more.
            NotFound: there is no such inspection.
            BadReview: the answer contradicts itself or the picture; the message says how.
        """
        record = self.store.get(inspection_id)
        if answer.verdict == UNKNOWN:  # whatever class was named, it has none
            answer = replace(answer, class_id="")
        check(answer, record)
        state = state_of(answer, record)
        row = ReviewRow(
            inspection_id=inspection_id,
            created_at=datetime.now(UTC),
            reviewer=answer.reviewer,
            verdict=answer.verdict,
            class_id=answer.class_id,
            boxes=[box.to_dict() for box in answer.boxes],
            state=state,
            disposition=answer.disposition,
            rationale=answer.rationale,
        )
        with self.store.transaction("write", write=True) as session:
            # A retention rule may have removed it since it was read.
            if session.scalar(select(InspectionRow.id).where(InspectionRow.id == inspection_id)) is None:
                raise no_inspection()
            if seen is not None:
                _refuse_if_overtaken(session, inspection_id, seen)
            session.add(row)
            session.flush()
            links.append(session.connection(), "review", row.id, links.review_content(row))
            session.execute(
                update(CatalogueRow)
                .where(CatalogueRow.id == inspection_id)
                .values(
                    review_state=state,
                    final_verdict=answer.verdict,
                    final_class=answer.class_id,
                    disposition=answer.disposition,
                    undecided=False,
                )
            )
        return _review(row)

    def of(self, inspection_id: str) -> list[Review]:
        """Every answer to one inspection, first to latest."""
        rows = select(ReviewRow).where(ReviewRow.inspection_id == inspection_id).order_by(ReviewRow.id)
        with self.store.transaction("read") as session:
            return [_review(row) for row in session.scalars(rows)]

    def latest(self, inspection_ids: Sequence[str]) -> dict[str, Review]:
        """The answer that counts, by inspection; those without one are left out."""
        newest = (
            select(func.max(ReviewRow.id))
            .where(ReviewRow.inspection_id.in_(inspection_ids))
            .group_by(ReviewRow.inspection_id)
        )
        with self.store.transaction("read") as session:
            rows = session.scalars(select(ReviewRow).where(ReviewRow.id.in_(newest)))
            return {row.inspection_id: _review(row) for row in rows}

    def each_of(self, inspection_ids: Sequence[str]) -> dict[str, list[Review]]:
        """Every answer to some inspections, first to latest, by inspection; those without are left out."""
        rows = select(ReviewRow).where(ReviewRow.inspection_id.in_(inspection_ids)).order_by(ReviewRow.id)
        found: dict[str, list[Review]] = {}
        with self.store.transaction("read") as session:
            for row in session.scalars(rows):
                found.setdefault(row.inspection_id, []).append(_review(row))
        return found

    def queue(self, kind: str = "undecided", limit: int = 50) -> list[Entry]:
        """Inspections that nobody has answered yet, least certain first.

        Args:
            kind: ``undecided``: only what the model left to a person; ``all``: also what it decided.
        """
        return list(self.page(kind, limit).entries)

    def page(self, kind: str, size: int = 50, *, after: Key | None = None, before: Key | None = None) -> Page:
        """``size`` of that queue that come ``after`` a key, or those right ``before`` one."""
        with self.store.transaction("read") as session:
            found = _waiting(kind, before or after, back=before is not None).limit(size)
            rows = list(session.scalars(found))[:: -1 if before else 1]
            if not rows:
                return Page((), None, None)
            first, last = _place(rows[0]), _place(rows[-1])
            # Looked for: what lay before the key may have been answered since.
            earlier = session.scalar(_waiting(kind, first, back=True).limit(1))
            later = session.scalar(_waiting(kind, last).limit(1))
        return Page(tuple(map(entry_of, rows)), first if earlier else None, last if later else None)

    def count_queue(self, kind: str = "undecided", limit: int = 10_000) -> int:
        """How many are in that queue; ``limit`` stands for that many or more."""
        some = select(CatalogueRow.at).where(QUEUES[kind]).limit(limit).subquery()
        with self.store.transaction("read") as session:
            return session.scalar(select(func.count()).select_from(some)) or 0

    def neighbours(self, inspection_id: str, kind: str = "undecided") -> tuple[str | None, str | None]:
        """Ids of the inspections before and after this one in that queue."""
        with self.store.transaction("read") as session:
            row = session.scalar(select(CatalogueRow).where(CatalogueRow.id == inspection_id))
            if row is None:
                return None, None
            after = session.scalar(_waiting(kind, _place(row)).limit(1))
            before = session.scalar(_waiting(kind, _place(row), back=True).limit(1))
        return before and before.id, after and after.id

    def walk(self, only_corrected: bool = True) -> Iterator[tuple[Record, Review]]:
        """Every answered inspection with the answer that counts, oldest first."""
        states = ("corrected",) if only_corrected else ("confirmed", "corrected")
        at = -1
        while True:
            batch = (
                select(CatalogueRow)
                .where(CatalogueRow.review_state.in_(states), CatalogueRow.at > at)
                .order_by(CatalogueRow.at)
                .limit(100)
            )
            with self.store.transaction("read") as session:
                rows = list(session.scalars(batch))
                filed = session.scalars(
                    select(InspectionRow).where(InspectionRow.id.in_([row.id for row in rows]))
                )
                records = {row.id: self.store.record(row) for row in filed}
            if not rows:
                return
            latest = self.latest([row.id for row in rows])  # fewer, where a rule removed some meanwhile
            there = [row.id for row in rows if row.id in records and row.id in latest]
            yield from ((records[one], latest[one]) for one in there)
            at = rows[-1].at


def check(answer: Answer, record: Record) -> None:
    """Refuse an answer that cannot be meant.

    Raises:
        BadReview: the message says what to change.
    """
    if not answer.reviewer or len(answer.reviewer) > NAME_LENGTH:
        raise BadReview(
            "Say who decides: a name of up to %(name_length)s characters.", name_length=NAME_LENGTH
        )
    if answer.verdict not in VERDICTS:
        raise BadReview("The verdict is one of: %(known)s.", known=", ".join(VERDICTS))
    if not answer.class_id and answer.verdict == "reject":
        raise BadReview("Choose the defect: a rejected part needs its class.")
    if (not answer.class_id and answer.verdict != UNKNOWN) or len(answer.class_id) > CLASS_LENGTH:
        raise BadReview("Name the class of the part.")
    if answer.disposition and answer.disposition not in DISPOSITIONS:
        raise BadReview("The disposition is one of: %(known)s.", known=", ".join(DISPOSITIONS))
    if len(answer.rationale) > RATIONALE_LENGTH:
        raise BadReview(
            "The rationale is longer than %(rationale_length)s characters. Shorten it.",
            rationale_length=RATIONALE_LENGTH,
        )
    info = describe(answer.class_id)
    if answer.verdict == "accept" and info.is_defect:
        raise BadReview(
            "An accepted part has no defect, but %(title)s is one. Choose a class of good part.",
            title=info.title,
        )
    if answer.verdict == "reject" and not info.is_defect:
        raise BadReview(
            "A rejected part has a defect, but %(title)s is none. Choose a class of defect.", title=info.title
        )
    if answer.verdict == "reject" and answer.disposition == "use_as_is" and not answer.rationale:
        raise BadReview("Say in the rationale why a rejected part is to be used as it is.")
    if answer.verdict == "accept" and answer.disposition not in ("", "use_as_is") and not answer.rationale:
        raise BadReview("Say in the rationale why an accepted part is not to be used as it is.")
    if answer.boxes and answer.verdict != "reject":
        raise BadReview("Boxes mark defects, and only a rejected part has them. Remove them.")
    # The model may have found any number, and all of them may be right.
    found = _found(record)
    if sum(_corners(box) not in found for box in answer.boxes) > MOST_BOXES:
        raise BadReview(
            "More than %(most_boxes)s boxes were drawn. Draw larger ones around groups.",
            most_boxes=MOST_BOXES,
        )
    width, height = record.data["image"]["width"], record.data["image"]["height"]
    for box in answer.boxes:
        if not (0 <= box.x1 < box.x2 <= width and 0 <= box.y1 < box.y2 <= height):
            raise BadReview(
                "A box leaves the picture of %(width)s x %(height)s pixels, or is empty. Draw it again.",
                width=width,
                height=height,
            )
        if not 0 < len(box.class_id) <= CLASS_LENGTH:
            raise BadReview("Name the class of each box.")
        if not describe(box.class_id).is_defect:
            raise BadReview("A box marks a defect. Choose a class of defect for it.")


def state_of(answer: Answer, record: Record) -> str:
    """``corrected`` if a person says otherwise than the model, else ``confirmed``.

    A model that was not certain has not said a verdict: deciding for it corrects nothing.
    """
    data = record.data
    same_class = answer.verdict == UNKNOWN or answer.class_id == data["predicted_class"]
    same = data["verdict"] in (answer.verdict, "review") and same_class
    same_places = answer.verdict != "reject" or {_corners(box) for box in answer.boxes} == _found(record)
    return "confirmed" if same and same_places else "corrected"


def _corners(box: ReviewBox) -> tuple[Any, ...]:
    return box.x1, box.y1, box.x2, box.y2, box.class_id


def _found(record: Record) -> set[tuple[Any, ...]]:
    """The boxes of the model, to be compared with ``_corners``."""
    return {(box["x1"], box["y1"], box["x2"], box["y2"], box["class"]) for box in record.data["boxes"]}


def _refuse_if_overtaken(session: Session, inspection_id: str, seen: int) -> None:
    of_it = select(ReviewRow).where(ReviewRow.inspection_id == inspection_id).order_by(ReviewRow.id)
    answers = list(session.scalars(of_it))
    if len(answers) > seen:
        latest = answers[-1]
        raise Overtaken(
            "%(name)s has answered meanwhile. Look at that answer below; file again if yours is to count "
            "instead.",
            name=latest.reviewer,
        )


def _waiting(kind: str, key: Key | None = None, back: bool = False) -> Any:
    """What waits, least certain first: all of it, or what lies behind ``key``; with ``back`` before it."""
    columns = (CatalogueRow.certainty, CatalogueRow.at)
    found = select(CatalogueRow).where(QUEUES[kind])
    if key is not None:
        place, there = tuple_(*columns), tuple_(*map(literal, key))
        found = found.where(place < there if back else place > there)
    return found.order_by(*(column.desc() if back else column.asc() for column in columns))


def _place(row: CatalogueRow) -> Key:
    """Where ``row`` stands in the queue, also after it was answered."""
    return row.certainty, row.at


def _review(row: ReviewRow) -> Review:
    return Review(
        reviewer=row.reviewer,
        verdict=row.verdict,
        class_id="" if row.verdict == UNKNOWN else row.class_id,  # earlier rows have the model's
        boxes=tuple(ReviewBox.from_dict(box) for box in row.boxes),
        disposition=row.disposition,
        rationale=row.rationale,
        inspection_id=row.inspection_id,
        created_at=row.created_at,
        state=row.state,
    )
