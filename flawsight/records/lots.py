"""Lots: opened, inspected into, closed with a decision, disposed of. What was done is never overwritten.

While a lot is open, every inspection that names its lot number is filed into it (``store``). With the
closing its parts and their answers stand still: what people answer later is kept with the inspection,
but a closed lot goes on to say what it was closed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, case, exists, func, or_, select
from sqlalchemy.orm import Session

from flawsight.errors import NotFound
from flawsight.records import links
from flawsight.records.assessment import Assessment, Figures, Look, Taken, assess, plans
from flawsight.records.catalogue import moment
from flawsight.records.lot import (
    DECISIONS,
    DISPOSITIONS,
    DRAWN,
    LENGTH,
    TEXT_LENGTH,
    TREND,
    BadLot,
    Disposal,
    Event,
    Lot,
    LotConflict,
    LotFilter,
    LotPage,
    Summary,
    Terms,
)
from flawsight.records.membership import open_lot
from flawsight.records.pchart import Sampled
from flawsight.records.record import canonical_json
from flawsight.records.reviews import ReviewBox
from flawsight.records.store import Store
from flawsight.records.tables import (
    CatalogueRow,
    DeletionRow,
    InspectionRow,
    LotDeletionRow,
    LotEventRow,
    LotPartRow,
    LotRow,
    ReviewRow,
)
from flawsight.taxonomy import describe


class Lots:
    """The lots in ``store``. Safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def open(self, terms: Terms, by: str) -> Lot:
        """Open a lot.

        Raises:
            BadLot: a text is missing or too long, or nobody said who opens it.
            BadPlan: the tables have no plan for it.
            LotConflict: a lot of that number is open already.
        """
        _check_terms(terms)
        _check_name(by)
        plans(terms.size, terms.level, terms.limits)
        with self.store.transaction("write", write=True) as session:
            if there := open_lot(session.connection(), terms.number):
                raise LotConflict(
                    "A lot %(number)s is open already, since %(since)s. Inspect into that one, "
                    "or close it first.",
                    number=terms.number,
                    since=_lot(session, there).opened.created_at.date().isoformat(),
                )
            row = LotRow(**asdict(terms), state="open")
            session.add(row)
            session.flush()
            _note(session, row.id, by, "opened", data={"terms": asdict(terms)})
            return _lot(session, row.id)

    def get(self, lot_id: int) -> Lot:
        """The lot ``lot_id``.

        Raises:
            NotFound: there is none.
        """
        with self.store.transaction("read") as session:
            return _lot(session, lot_id)

    def assess(self, lot: Lot) -> Assessment:
        """The parts of ``lot`` held against its plans: of an open lot as of now, else as of its closing.

        Parts that were since deleted by a rule are missing, and that is said; the figures still count them.
        """
        with self.store.transaction("read") as session:
            return _assess(session, lot)

    def judged_with(self, lot: Lot) -> list[tuple[tuple[str, ...], int]]:
        """What each model file and its limits judged of ``lot``, the one that judged most first.

        Returns:
            The ids of inspections, one of each class, known or not, and of each template; and how many of
            the lot there are of that model and these limits.
        """
        one, count = func.min(InspectionRow.id), func.count()
        file, limits = InspectionRow.data["model"]["sha256"], InspectionRow.data["thresholds"]
        template = InspectionRow.data["method"]["template"]["sha256"].as_string()
        kinds = (
            select(file, limits, one, count)
            .join(LotPartRow, LotPartRow.inspection_id == InspectionRow.id)
            .where(LotPartRow.lot_id == lot.id)
            .group_by(
                file, limits, InspectionRow.predicted_class, InspectionRow.verdict == "unknown", template
            )
            .order_by(one)
        )
        found: dict[str, list[tuple[str, int]]] = {}
        with self.store.transaction("read") as session:
            for sha256, thresholds, inspection_id, times in session.execute(kinds):
                found.setdefault(canonical_json([sha256, thresholds]), []).append((inspection_id, times))
        judged = [(tuple(one for one, _ in some), sum(times for _, times in some)) for some in found.values()]
        return sorted(judged, key=lambda each: (-each[1], each[0]))

    def mark(self, lot: Lot) -> str:
        """What changes with every part, answer and event of ``lot``; found without looking at its parts."""
        mine = LotPartRow.lot_id == lot.id
        answered = ReviewRow.inspection_id == LotPartRow.inspection_id
        with self.store.transaction("read") as session:
            parts, last = session.execute(select(func.count(), func.max(LotPartRow.id)).where(mine)).one()
            answer = session.scalar(select(func.max(ReviewRow.id)).where(mine, answered))
        return f"{parts}-{last or 0}-{answer or 0}-{len(lot.events)}"

    def late(self, lot: Lot) -> int:
        """How many inspections name the lot's number but were filed when it was not open."""
        mine = exists().where(LotPartRow.inspection_id == CatalogueRow.id)
        with self.store.transaction("read") as session:
            counted = select(func.count()).where(CatalogueRow.lot == lot.terms.number, ~mine)
            return session.scalar(counted) or 0

    def changed(self, lot: Lot) -> int:
        """How many parts of a closed lot were answered again after its closing."""
        if lot.closed is None:
            return 0
        with self.store.transaction("read") as session:
            counted = select(func.count(ReviewRow.inspection_id.distinct())).where(
                LotPartRow.lot_id == lot.id,
                LotPartRow.inspection_id == ReviewRow.inspection_id,
                ReviewRow.id > lot.closed.data["last_review"],
            )
            return session.scalar(counted) or 0

    def close(self, lot_id: int, decision: str, by: str, rationale: str = "") -> Lot:
        """End the inspection of a lot.

        A lot is accepted only as its plans say. It may be rejected against them, or withdrawn, which
        needs a rationale; so does accepting it with parts of another number.

        Raises:
            NotFound: there is no such lot.
            BadLot: the decision is not that of the plans, and why is not said.
            LotConflict: the lot is closed already.
        """
        _check_name(by)
        _check_text(rationale)
        if decision not in DECISIONS:
            raise BadLot("The decision is one of: %(decisions)s.", decisions=", ".join(DECISIONS))
        with self.store.transaction("write", write=True) as session:
            lot = _lot(session, lot_id)
            if lot.closed:
                raise LotConflict(
                    "%(by)s has closed this lot already: %(state)s. Nothing was changed.",
                    by=lot.closed.by,
                    state=lot.state,
                )
            found = _assess(session, lot)
            figures = found.figures
            _check_decision(decision, figures, rationale)
            if decision == "accept" and not rationale and (others := found.astray(lot.terms.part_number)):
                raise BadLot(
                    "Some parts carry another part number: %(numbers)s. Say in the rationale why the lot is "
                    "accepted all the same.",
                    numbers=", ".join(others),
                )
            last_review = session.scalar(select(func.max(ReviewRow.id))) or 0
            _note(
                session, lot_id, by, "closed", decision, rationale,
                {"figures": figures.to_dict(), "last_review": last_review},
            )  # fmt: skip
            _row(session, lot_id).state = DECISIONS[decision]
            return _lot(session, lot_id)

    def dispose(self, lot_id: int, disposal: Disposal, by: str, seen: int | None = None) -> Lot:
        """Say what becomes of a closed lot. A later disposition counts instead of an earlier one.

        Args:
            seen: how many events of the lot the person has seen, to notice that there are more.

        Raises:
            NotFound: there is no such lot.
            BadLot: the disposition or the rationale is missing.
            LotConflict: the lot is open, or somebody else disposed of it meanwhile.
        """
        _check_name(by)
        for text in (disposal.rationale, disposal.containment, disposal.reference):
            _check_text(text)
        if disposal.disposition not in DISPOSITIONS:
            raise BadLot("The disposition is one of: %(choices)s.", choices=", ".join(DISPOSITIONS))
        if not disposal.rationale:
            raise BadLot("Say in the rationale why the lot is disposed of like that.")
        with self.store.transaction("write", write=True) as session:
            lot = _lot(session, lot_id)
            if lot.closed is None:
                raise LotConflict("This lot is still open. Close it with a decision first.")
            if seen is not None and seen < len(lot.events):
                latest = lot.events[-1]
                raise LotConflict(
                    "%(by)s has disposed of this lot meanwhile: %(disposition)s. "
                    "Look at that, then decide again if need be.",
                    by=latest.by,
                    disposition=latest.decision,
                )
            data = {"containment": disposal.containment, "reference": disposal.reference}
            _note(session, lot_id, by, "disposed", disposal.disposition, disposal.rationale, data)
            return _lot(session, lot_id)

    def page(
        self, wanted: LotFilter, size: int = 25, *, after: int | None = None, before: int | None = None
    ) -> LotPage:
        """``size`` lots that come ``after`` an id, or those right ``before`` one; newest first."""
        found = _matching(wanted)
        if before is not None:
            found = found.where(LotRow.id > before).order_by(LotRow.id.asc())
        else:
            found = found.where(LotRow.id < after) if after is not None else found
            found = found.order_by(LotRow.id.desc())
        with self.store.transaction("read") as session:
            rows = list(session.scalars(found.limit(size + 1)))
            more, rows = len(rows) > size, rows[:size]
            earlier, later = after is not None, more
            if before is not None:
                rows, earlier, later = rows[::-1], more, True
            lots = _with_events(session, rows)
            lines = tuple(Summary(lot, _figures(session, lot)) for lot in lots)
        return LotPage(
            lines, lots[0].id if lots and earlier else None, lots[-1].id if lots and later else None
        )

    def count(self, wanted: LotFilter, limit: int = 10_000) -> int:
        """How many match; ``limit`` stands for that many or more."""
        some = _matching(wanted).limit(limit).subquery()
        with self.store.transaction("read") as session:
            return session.scalar(select(func.count()).select_from(some)) or 0

    def open_lots(self, limit: int = 50) -> list[Lot]:
        """The lots that can be inspected into, newest first."""
        newest = select(LotRow).where(LotRow.state == "open").order_by(LotRow.id.desc()).limit(limit)
        with self.store.transaction("read") as session:
            return _with_events(session, list(session.scalars(newest)))

    def named(self, number: str) -> Lot | None:
        """The open lot of that number, else the one of that number that was opened last."""
        found = (
            select(LotRow.id)
            .where(LotRow.number == number)
            .order_by((LotRow.state == "open").desc(), LotRow.id.desc())
            .limit(1)
        )
        with self.store.transaction("read") as session:
            lot_id = session.scalar(found)
            return _lot(session, lot_id) if lot_id else None

    def of_inspection(self, inspection_id: str) -> Lot | None:
        """The lot that an inspection was filed into."""
        mine = select(LotPartRow.lot_id).where(LotPartRow.inspection_id == inspection_id)
        with self.store.transaction("read") as session:
            lot_id = session.scalar(mine)
            return _lot(session, lot_id) if lot_id else None

    def part_numbers(self) -> list[str]:
        """Every part number that a lot has."""
        with self.store.transaction("read") as session:
            values = select(LotRow.part_number).distinct().order_by(LotRow.part_number)
            return [value for value in session.scalars(values) if value]

    def trend(self, part_number: str = "") -> list[Sampled]:
        """The latest accepted and rejected lots, oldest first, as the p-chart takes them."""
        decided: list[ColumnElement[bool]] = [LotRow.state.in_(("accepted", "rejected"))]
        if part_number:
            decided.append(LotRow.part_number == part_number)
        latest = (
            select(LotRow.id, LotRow.number, LotEventRow.created_at, LotEventRow.data)
            .join(LotEventRow, and_(LotEventRow.lot_id == LotRow.id, LotEventRow.kind == "closed"))
            .where(*decided)
            .order_by(LotEventRow.id.desc())
            .limit(TREND)
        )
        with self.store.transaction("read") as session:
            found = [
                (lot_id, number, at, Figures.from_dict(data["figures"]))
                for lot_id, number, at, data in session.execute(latest)
            ]
        return [
            Sampled(
                lot_id, number, at, figures.decided, figures.nonconforming, figures.parts - figures.decided
            )
            for lot_id, number, at, figures in reversed(found)
        ]


# --- checks ---------------------------------------------------------------------------------------------


def _check_terms(terms: Terms) -> None:
    if not terms.number:
        raise BadLot("Give the lot its number.")
    texts = (terms.number, terms.part_number, terms.part_revision, terms.supplier)
    if any(len(text) > LENGTH or not text.isprintable() for text in texts):
        raise BadLot("Numbers and names have up to %(most)s characters, all printable.", most=LENGTH)
    if terms.drawn not in DRAWN:
        raise BadLot("How the sample is drawn is one of: %(choices)s.", choices=", ".join(DRAWN))


def _check_name(by: str) -> None:
    if not by or len(by) > LENGTH:
        raise BadLot("Say who does this: a name of up to %(most)s characters.", most=LENGTH)


def _check_text(text: str) -> None:
    if len(text) > TEXT_LENGTH:
        raise BadLot("A text is longer than %(most)s characters. Shorten it.", most=TEXT_LENGTH)


def _check_decision(decision: str, figures: Figures, rationale: str) -> None:
    if decision == "accept" and figures.decision != "accept":
        if figures.decision == "reject":
            raise BadLot(
                "The plans reject this lot, so it cannot be accepted. Reject it; a disposition can "
                "still release it, with a rationale."
            )
        raise BadLot(
            "The plans have not accepted this lot yet. Still to inspect: %(to_go)s, still to decide: "
            "%(undecided)s.",
            to_go=figures.to_go,
            undecided=figures.undecided,
        )
    if decision != figures.decision and not rationale:
        raise BadLot("The plans do not say that. Give the reason in the rationale.")


# --- rows -----------------------------------------------------------------------------------------------


def _row(session: Session, lot_id: int) -> LotRow:
    row = session.get(LotRow, lot_id) if lot_id < 2**63 else None  # larger than any id can be
    if row is None:
        raise NotFound("There is no such lot. Look for it in the list of lots.")
    return row


def _lot(session: Session, lot_id: int) -> Lot:
    return _with_events(session, [_row(session, lot_id)])[0]


def _with_events(session: Session, rows: Sequence[LotRow]) -> list[Lot]:
    events: dict[int, list[Event]] = {row.id: [] for row in rows}
    found = select(LotEventRow).where(LotEventRow.lot_id.in_(events)).order_by(LotEventRow.id)
    for event in session.scalars(found):
        events[event.lot_id].append(
            Event(event.created_at, event.by, event.kind, event.decision, event.rationale, event.data)
        )
    return [_of(row.id, events[row.id]) for row in rows]


def _of(lot_id: int, events: Sequence[Event]) -> Lot:
    """The lot as its events tell it: they are linked into the chain, the row beside them is for searching."""
    closed = next((event for event in events if event.kind == "closed"), None)
    state = DECISIONS[closed.decision] if closed else "open"
    return Lot(lot_id, Terms(**events[0].data["terms"]), state, tuple(events))


def _note(
    session: Session,
    lot_id: int,
    by: str,
    kind: str,
    decision: str = "",
    rationale: str = "",
    data: dict[str, Any] | None = None,
) -> None:
    row = LotEventRow(
        lot_id=lot_id,
        created_at=datetime.now(UTC),
        by=by,
        kind=kind,
        decision=decision,
        rationale=rationale,
        data=data or {},
    )
    session.add(row)
    session.flush()
    links.append(session.connection(), "lot", row.id, links.lot_content(row))


def _matching(wanted: LotFilter) -> Any:
    found = select(LotRow)
    if wanted.state:
        found = found.where(LotRow.state == wanted.state)
    if wanted.part_number:
        found = found.where(LotRow.part_number == wanted.part_number)
    if wanted.text:
        end = wanted.text + "\U0010ffff"
        columns = (LotRow.number, LotRow.part_number, LotRow.supplier)
        found = found.where(or_(*(and_(column >= wanted.text, column < end) for column in columns)))
    return found


# --- the parts ------------------------------------------------------------------------------------------


def _assess(session: Session, lot: Lot) -> Assessment:
    terms = lot.terms
    found = assess(plans(terms.size, terms.level, terms.limits), _looks(session, lot))
    if lot.closed is None:
        return found
    figures = _kept(lot.closed)
    return replace(found, figures=figures, deleted=_deleted(session, lot, figures.parts - len(found.parts)))


def _deleted(session: Session, lot: Lot, missing: int) -> tuple[Taken, ...]:
    """What rules took of the lot, by its records; before there were such, as many as are ``missing``."""
    taken = (
        select(LotDeletionRow.inspections, DeletionRow.by, DeletionRow.created_at)
        .join(DeletionRow, DeletionRow.id == LotDeletionRow.deletion_id)
        .where(LotDeletionRow.lot_id == lot.id)
        .order_by(DeletionRow.id)
    )
    found = tuple(Taken(count, by, at) for count, by, at in session.execute(taken))
    return found or ((Taken(missing),) if missing > 0 else ())


def _figures(session: Session, lot: Lot) -> Figures:
    return _kept(lot.closed) if lot.closed else _assess(session, lot).figures


def _kept(closed: Event) -> Figures:
    return Figures.from_dict(closed.data["figures"])


def _looks(session: Session, lot: Lot) -> list[Look]:
    """Every inspection of the lot in the order of filing, with the answer that counts."""
    answers = _answers(session, lot)
    told = or_(CatalogueRow.verdict == "reject", CatalogueRow.review_state != "none")
    boxes = case((told, InspectionRow.data["boxes"]))  # of good parts they are not needed, nor read
    rows = (
        select(CatalogueRow, InspectionRow.image_sha256, boxes)
        .join(LotPartRow, LotPartRow.inspection_id == CatalogueRow.id)
        .join(InspectionRow, InspectionRow.id == CatalogueRow.id)
        .where(LotPartRow.lot_id == lot.id)
        .order_by(LotPartRow.id)
    )
    return [_look(row, sha256, found, answers.get(row.id)) for row, sha256, found in session.execute(rows)]


def _answers(session: Session, lot: Lot) -> dict[str, ReviewRow]:
    """The answer of a person that counts, by inspection: of a closed lot, as of its closing."""
    latest = (
        select(func.max(ReviewRow.id))
        .join(LotPartRow, LotPartRow.inspection_id == ReviewRow.inspection_id)
        .where(LotPartRow.lot_id == lot.id)
        .group_by(ReviewRow.inspection_id)
    )
    if lot.closed:
        latest = latest.where(ReviewRow.id <= lot.closed.data["last_review"])
    return {
        row.inspection_id: row for row in session.scalars(select(ReviewRow).where(ReviewRow.id.in_(latest)))
    }


def _look(
    row: CatalogueRow, sha256: str, found: list[dict[str, Any]] | None, answer: ReviewRow | None
) -> Look:
    verdict, class_id = (answer.verdict, answer.class_id) if answer else (row.verdict, row.predicted_class)
    models = [ReviewBox.from_dict(box) for box in found or ()]
    boxes = [ReviewBox.from_dict(box) for box in answer.boxes] if answer else models
    seen = [class_id, *(box.class_id for box in boxes)] if verdict == "reject" else []
    return Look(
        id=row.id,
        number=row.number,
        created_at=moment(row.at),
        name=row.name,
        part_number=row.part_number,
        serial=row.serial,
        image_sha256=sha256,
        verdict=verdict,
        class_id=class_id,
        confidence=row.confidence,
        classes=tuple(dict.fromkeys(one for one in seen if describe(one).is_defect)),
        reviewer=answer.reviewer if answer else "",
        disposition=answer.disposition if answer else "",
        answered_at=answer.created_at if answer else None,
        model_verdict=row.verdict,
        inspector=row.inspector,
        drawn=tuple(box for box in boxes if box not in models),
    )
