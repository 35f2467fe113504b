"""Delete what a rule says may go, and keep a record of it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, func, select

from flawsight.records import links
from flawsight.records.catalogue import microseconds
from flawsight.records.store import PENDING, Store
from flawsight.records.tables import CatalogueRow, DeletionRow, InspectionRow

BATCH = 200  # inspections in one transaction, so that new ones are filed in between


@dataclass(frozen=True)
class Rule:
    """What may go: what is older than ``days``; with ``only_accepted``, good parts alone.

    A part that the model accepted and a person did not is no accepted part.

    Raises:
        ValueError: ``days`` is negative.
    """

    days: int
    only_accepted: bool = True

    def __post_init__(self) -> None:
        if self.days < 0:
            raise ValueError(f"A rule needs a number of days from 0, got {self.days}")


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

    def count(self, rule: Rule, now: datetime | None = None) -> int:
        """How many inspections the rule would remove."""
        matching = select(func.count()).select_from(CatalogueRow).where(_falls_under(rule, _now(now)))
        with self.store.transaction("read") as session:
            return session.scalar(matching) or 0

    def apply(self, rule: Rule, by: str, now: datetime | None = None) -> Deletion:
        """Remove every inspection that falls under ``rule``, with its reviews and pictures.

        The record is written with the first batch and kept up to date, so that it is true also of a
        run that was cut off. Nothing to remove leaves no record.

        Raises:
            RecordError: the database or the folder cannot be written to.
        """
        now = _now(now)
        done = Deletion(now, by, rule, 0, "", "")
        record_id: int | None = None
        while batch := self._next(rule, now):
            for (
                row_id,
                _,
            ) in batch:  # a crash after the rows are gone leaves marked folders: cleared at a start
                folder = self.store.folder / row_id
                if folder.is_dir():
                    (folder / PENDING).touch()
            done = Deletion(
                now, by, rule, done.inspections + len(batch), done.first_number or batch[0][1], batch[-1][1]
            )
            with self.store.transaction("write", write=True) as session:
                session.execute(
                    delete(InspectionRow).where(InspectionRow.id.in_([row_id for row_id, _ in batch]))
                )
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
                gone = links.row_content("deletion", row, inspections=[row_id for row_id, _ in batch])
                links.append(session, "deletion", row.id, gone)
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
        oldest = (
            select(CatalogueRow.id, CatalogueRow.number)
            .where(_falls_under(rule, now))
            .order_by(CatalogueRow.at)
            .limit(BATCH)
        )
        with self.store.transaction("read") as session:
            return [(row.id, row.number) for row in session.execute(oldest)]


def _falls_under(rule: Rule, now: datetime) -> ColumnElement[bool]:
    old = CatalogueRow.at < microseconds(now - timedelta(days=rule.days))
    if not rule.only_accepted:
        return old
    return and_(old, CatalogueRow.verdict == "accept", CatalogueRow.review_state != "corrected")


def _now(now: datetime | None) -> datetime:
    return now or datetime.now(UTC)
