"""Runs of checks with their progress, kept so that every process, and a restarted one, knows of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from flawsight.errors import FlawsightError
from flawsight.records.store import Store
from flawsight.records.tables import CheckRow

KINDS = ("records", "golden", "photo", "override")
DEAD = timedelta(minutes=2)  # without a sign of life: the run was cut off


class CheckRunning(FlawsightError):
    """A check of that kind is running already."""

    code = "check_running"
    status = 409


@dataclass(frozen=True)
class Check:
    """One run.

    Attributes:
        fingerprint: of model and thresholds, where they matter.
        seen_at: when its progress was last told.
        passed: ``None`` while it runs, and for one that was cut off.
        result: what it found, plain JSON.
    """

    id: int
    kind: str
    fingerprint: str
    by: str
    started_at: datetime
    seen_at: datetime
    finished_at: datetime | None
    done: int
    total: int
    passed: bool | None
    result: dict[str, Any]

    def running(self, now: datetime | None = None) -> bool:
        return self.finished_at is None and (now or datetime.now(UTC)) - self.seen_at < DEAD


class Checks:
    """The runs kept in ``store``. Safe to share between threads and processes."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def latest_finished(self, fingerprint: str, *kinds: str) -> Check | None:
        """The latest run of these kinds that was finished, with this ``fingerprint``."""
        row = self.store.first(_latest_finished(*kinds), fingerprint=fingerprint)
        return check_of(row) if row else None

    def begin(self, kind: str, by: str, fingerprint: str = "") -> int:
        """The id of a new run.

        Raises:
            CheckRunning: one of that kind is running, here or in another process.
        """
        now = datetime.now(UTC)
        with self.store.transaction("write", write=True) as session:
            last = session.scalar(_latest(kind))
            if last and check_of(last).running(now):
                raise CheckRunning("This check is running already. Wait until it has finished.")
            row = CheckRow(
                kind=kind, fingerprint=fingerprint, by=by, started_at=now, seen_at=now, finished_at=None,
                done=0, total=0, passed=None, result={},
            )  # fmt: skip
            session.add(row)
            session.flush()
            return row.id

    def tell(self, check_id: int, done: int, total: int, result: dict[str, Any]) -> None:
        """Note how far the run is."""
        with self.store.transaction("write", write=True) as session:
            row = session.get_one(CheckRow, check_id)
            row.done, row.total, row.result, row.seen_at = done, total, result, datetime.now(UTC)

    def finish(self, check_id: int, passed: bool | None, result: dict[str, Any]) -> Check:
        """Note the outcome; ``None``: it could not be carried out."""
        with self.store.transaction("write", write=True) as session:
            return finished(session, check_id, passed, result)

    def latest(self, *kinds: str) -> Check | None:
        """The latest run of any of ``kinds``, finished or not."""
        with self.store.transaction("read") as session:
            row = session.scalar(_latest(*kinds))
            return check_of(row) if row else None

    def log(self, *kinds: str, limit: int = 10) -> list[Check]:
        """The latest runs first."""
        with self.store.transaction("read") as session:
            return [check_of(row) for row in session.scalars(_latest(*kinds, limit=limit))]


def finished(session: Session, check_id: int, passed: bool | None, result: dict[str, Any]) -> Check:
    """Note the outcome of a run within a transaction; ``None``: it could not be carried out."""
    row = session.get_one(CheckRow, check_id)
    row.passed, row.result, row.done = passed, result, row.total
    row.seen_at = row.finished_at = datetime.now(UTC)
    return check_of(row)


def _latest(*kinds: str, limit: int = 1) -> Any:
    return select(CheckRow).where(CheckRow.kind.in_(kinds)).order_by(CheckRow.id.desc()).limit(limit)


@cache
def _latest_finished(*kinds: str) -> Any:
    return _latest(*kinds).where(
        CheckRow.fingerprint == bindparam("fingerprint"), CheckRow.passed.is_not(None)
    )


def check_of(row: CheckRow) -> Check:
    """The value of ``row``."""
    return Check(
        id=row.id,
        kind=row.kind,
        fingerprint=row.fingerprint,
        by=row.by,
        started_at=row.started_at,
        seen_at=row.seen_at,
        finished_at=row.finished_at,
        done=row.done,
        total=row.total,
        passed=row.passed,
        result=row.result,
    )
