"""Delete what a rule says may go, and keep a record of it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.orm import Session

from flawsight.records import links
from flawsight.records.catalogue import microseconds
from flawsight.records.folder import PENDING
from flawsight.records.store import Store
from flawsight.records.tables import (
    CatalogueRow,
    DeletionRow,
    InspectionRow,
    LotDeletionRow,
    LotPartRow,
    LotRow,
)

BATCH = 200  # inspections in one transaction, so that new ones are filed in between


@dataclass(frozen=True)
class Rule:
    """What may go: what is older than ``days``; with ``only_accepted``, good parts alone.

    A part that the model accepted and a person did not is no accepted part. What belongs to an open lot stays
    under any rule: the lot is still to be decided on it.

    Raises:
        ValueError: ``days`` is negative.
    """

    days: int
    only_accepted: bool = True

    def __post_init__(self) -> None:
        if self.days < 0:
            raise ValueError(f"A rule needs a number of days from 0, got {self.days}")


@dataclass(frozen=True)
class Preview:
    """What a rule would do now.

    Attributes:
        inspections: that would go.
        of_lots: of these, parts of closed lots; ``lots`` is of how many.
        kept: would fall under the rule, but belong to open lots and stay.
    """

    inspections: int
    of_lots: int
    lots: int
    kept: int


@dataclass(frozen=True)
class Deletion:
    """What one run of a rule removed."""

    created_at: datetime
    by: str
    rule: Rule
    inspections: int
    first_number: str
    last_number: str


class Retention:
    """Applies rules to ``store``."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def preview(self, rule: Rule, now: datetime | None = None) -> Preview:
        """What the rule would do; nothing is done."""
        falls = _falls_under(rule, _now(now))
        every = select(func.count()).select_from(CatalogueRow).where(falls)
        of_lots = (
            select(LotRow.state == "open", func.count(), func.count(LotRow.id.distinct()))
            .select_from(CatalogueRow)
            .join(LotPartRow, LotPartRow.inspection_id == CatalogueRow.id)
            .join(LotRow, LotRow.id == LotPartRow.lot_id)
            .where(falls)
            .group_by(LotRow.state == "open")
        )
        with self.store.transaction("read") as session:
            total = session.scalar(every) or 0
            found = {is_open: (parts, lots) for is_open, parts, lots in session.execute(of_lots)}
        kept, _ = found.get(True, (0, 0))
        parts, lots = found.get(False, (0, 0))
        return Preview(total - kept, parts, lots, kept)

    def apply(self, rule: Rule, by: str, now: datetime | None = None) -> Deletion:
        """Remove every inspection that falls under ``rule`` and is of no open lot, with reviews and pictures.

        The record is written with the first batch and kept up to date, so that it is true also of a
        run that was cut off. Nothing to remove leaves no record.

        Raises:
            RecordError: the database or the folder cannot be written to.
        """
        now = _now(now)
        done = Deletion(now, by, rule, 0, "", "")
        record_id: int | None = None
        while found := self._next(rule, now):
            self._mark(found)  # a crash after the rows are gone leaves marked folders: cleared at a start
            with self.store.transaction("write", write=True) as session:
                # A person may have answered since, or a lot been opened.
                batch = _matching(session, rule, now, [row_id for row_id, _ in found])
                ids = [row_id for row_id, _ in batch]
                for spared in {row_id for row_id, _ in found} - set(ids):
                    (self.store.folder / spared / PENDING).unlink(missing_ok=True)
                if not batch:
                    continue
                done = Deletion(
                    now,
                    by,
                    rule,
                    done.inspections + len(batch),
                    done.first_number or batch[0][1],
                    batch[-1][1],
                )
                of_lots = _of_lots(session, ids)
                session.execute(delete(InspectionRow).where(InspectionRow.id.in_(ids)))
                row = session.get(DeletionRow, record_id) if record_id else None
                if row is None:
                    row = DeletionRow(
                        created_at=now, by=by, older_than_days=rule.days, only_accepted=rule.only_accepted
                    )
                    session.add(row)
                row.inspections, row.first_number, row.last_number = (
                    done.inspections,
                    done.first_number,
                    done.last_number,
                )
                session.flush()
                record_id = row.id
                _note_lots(session, row.id, of_lots)
                gone = links.row_content("deletion", row, inspections=ids, lots=of_lots)
                links.append(session.connection(), "deletion", row.id, gone)
            for row_id, _ in batch:
                shutil.rmtree(self.store.folder / row_id, ignore_errors=True)
        return done

    def log(self, limit: int = 50) -> list[Deletion]:
        """What was removed, latest first."""
        latest = select(DeletionRow).order_by(DeletionRow.id.desc()).limit(limit)
        with self.store.transaction("read") as session:
            return [
                Deletion(
                    row.created_at,
                    row.by,
                    Rule(row.older_than_days, row.only_accepted),
                    row.inspections,
                    row.first_number,
                    row.last_number,
                )
                for row in session.scalars(latest)
            ]

    def _next(self, rule: Rule, now: datetime) -> list[tuple[str, str]]:
        """Id and number of the oldest that fall under the rule."""
        with self.store.transaction("read") as session:
            return _matching(session, rule, now)

    def _mark(self, batch: list[tuple[str, str]]) -> None:
        for row_id, _ in batch:
            folder = self.store.folder / row_id
            if folder.is_dir():
                (folder / PENDING).touch()


def _matching(
    session: Session, rule: Rule, now: datetime, among: Sequence[str] | None = None
) -> list[tuple[str, str]]:
    """Id and number of the oldest, or of those ``among``, that fall under the rule and are of no open lot."""
    oldest = (
        select(CatalogueRow.id, CatalogueRow.number)
        .where(_falls_under(rule, now), CatalogueRow.id.not_in(_in_open_lots()))
        .order_by(CatalogueRow.at)
        .limit(BATCH)
    )
    if among is not None:
        oldest = oldest.where(CatalogueRow.id.in_(among))
    return [(row.id, row.number) for row in session.execute(oldest)]


def _falls_under(rule: Rule, now: datetime) -> ColumnElement[bool]:
    old = CatalogueRow.at < microseconds(now - timedelta(days=rule.days))
    if not rule.only_accepted:
        return old
    return and_(old, CatalogueRow.verdict == "accept", CatalogueRow.review_state != "corrected")


def _in_open_lots() -> Any:
    """The ids of the inspections that no rule removes."""
    return (
        select(LotPartRow.inspection_id)
        .join(LotRow, LotRow.id == LotPartRow.lot_id)
        .where(LotRow.state == "open")
    )


def _of_lots(session: Session, ids: Sequence[str]) -> dict[str, int]:
    """How many of these inspections are parts of which lot, by the lot's id as a link's JSON has it."""
    counted = (
        select(LotPartRow.lot_id, func.count())
        .where(LotPartRow.inspection_id.in_(ids))
        .group_by(LotPartRow.lot_id)
    )
    return {str(lot_id): count for lot_id, count in session.execute(counted)}


def _note_lots(session: Session, deletion_id: int, of_lots: Mapping[str, int]) -> None:
    """Add to what the deletion took of each lot: once its inspections are gone, nothing else tells."""
    for lot_id, count in of_lots.items():
        noting = insert(LotDeletionRow).values(deletion_id=deletion_id, lot_id=int(lot_id), inspections=count)
        session.execute(
            noting.on_conflict_do_update(
                index_elements=["deletion_id", "lot_id"],
                set_={"inspections": LotDeletionRow.inspections + count},
            )
        )


def _now(now: datetime | None) -> datetime:
    return now or datetime.now(UTC)
