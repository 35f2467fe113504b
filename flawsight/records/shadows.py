"""What a model in the shadow said, where it differs from the one that answered, and who was right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import comb

from sqlalchemy import func, select

from flawsight.inspection.result import Inspection
from flawsight.records.catalogue import microseconds
from flawsight.records.record import Record
from flawsight.records.reviews import Review, Reviews
from flawsight.records.store import Store
from flawsight.records.tables import CatalogueRow, InspectionRow, ShadowRow

LEAST_PAIRS = 6  # fewer can never be significant at 5 %: 2 · 0.5^5 = 0.06
BATCH = 500  # disagreements whose reviews are read at once


@dataclass(frozen=True)
class Comparison:
    """A shadow against those who answered.

    Attributes:
        answered: inspections that the shadow answered.
        inspections: those filed since it stands there; the rest was dropped because the server was busy.
        disagreed: other verdict or other class.
        only_main, only_shadow: reviewed disagreements in which only this one was right.
    """

    answered: int
    inspections: int
    disagreed: int
    only_main: int
    only_shadow: int

    @property
    def reviewed(self) -> int:
        """Disagreements that tell who was right."""
        return self.only_main + self.only_shadow

    @property
    def p(self) -> float | None:
        """McNemar's exact test (1947) of both being right equally often; ``None`` with too few pairs."""
        return mcnemar(self.only_main, self.only_shadow) if self.reviewed >= LEAST_PAIRS else None


@dataclass(frozen=True)
class Disagreement:
    """One inspection on which the two differ, with what a person said, if anybody did."""

    record: Record
    verdict: str
    predicted_class: str
    confidence: float
    defect_probability: float
    review: Review | None


class Shadows:
    """The answers of shadows in ``store``. Safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def add(self, record: Record, key: str, said: Inspection) -> bool:
        """File what the model ``key`` said of ``record``; whether both agree."""
        agrees = (said.verdict, said.predicted_class) == (
            record.data["verdict"],
            record.data["predicted_class"],
        )
        row = ShadowRow(
            inspection_id=record.id,
            created_at=datetime.now(UTC),
            model=key,
            sha256=said.model.sha256,
            verdict=said.verdict,
            predicted_class=said.predicted_class,
            confidence=said.confidence,
            defect_probability=said.defect_probability,
            agrees=agrees,
        )
        with self.store.transaction("write", write=True) as session:
            if session.get(InspectionRow, record.id) is not None:  # not deleted meanwhile
                session.add(row)
        return agrees

    def compare(self, key: str, since: datetime) -> Comparison:
        """Figures of the model ``key`` since it stands in the shadow."""
        mine = (ShadowRow.model == key, ShadowRow.created_at >= since)
        filed = select(func.count()).where(CatalogueRow.at >= microseconds(since))
        with self.store.transaction("read") as session:
            answered = session.scalar(select(func.count()).where(*mine)) or 0
            inspections = session.scalar(filed) or 0
            differing = select(ShadowRow).where(*mine, ShadowRow.agrees.is_(False))
            rows = list(session.scalars(differing))
            ids = [row.inspection_id for row in rows]
            main: dict[str, tuple[str, str]] = {}
            for start in range(0, len(ids), BATCH):
                filed_rows = select(
                    InspectionRow.id, InspectionRow.verdict, InspectionRow.predicted_class
                ).where(InspectionRow.id.in_(ids[start : start + BATCH]))
                main |= {row.id: (row.verdict, row.predicted_class) for row in session.execute(filed_rows)}
        said = [(row.inspection_id, (row.verdict, row.predicted_class)) for row in rows]
        reviews: dict[str, Review] = {}
        for start in range(0, len(ids), BATCH):
            reviews |= Reviews(self.store).latest(ids[start : start + BATCH])
        right = [
            (is_right(*main[one], reviews[one]), is_right(*answer, reviews[one]))
            for one, answer in said
            if one in reviews and one in main
        ]
        return Comparison(
            answered,
            inspections,
            len(rows),
            sum(a and not b for a, b in right),
            sum(b and not a for a, b in right),
        )

    def disagreements(self, key: str, since: datetime, limit: int = 50) -> list[Disagreement]:
        """Where the two differ, latest first."""
        latest = (
            select(ShadowRow)
            .where(ShadowRow.model == key, ShadowRow.agrees.is_(False), ShadowRow.created_at >= since)
            .order_by(ShadowRow.id.desc())
            .limit(limit)
        )
        with self.store.transaction("read") as session:
            rows = list(session.scalars(latest))
            ids = [row.inspection_id for row in rows]
            filed = session.scalars(select(InspectionRow).where(InspectionRow.id.in_(ids)))
            records: Mapping[str, Record] = {row.id: self.store.record(row) for row in filed}
        reviews = Reviews(self.store).latest(ids)
        return [
            Disagreement(
                records[row.inspection_id],
                row.verdict,
                row.predicted_class,
                row.confidence,
                row.defect_probability,
                reviews.get(row.inspection_id),
            )
            for row in rows
            if row.inspection_id in records
        ]


def is_right(verdict: str, predicted_class: str, review: Review) -> bool:
    """Whether an answer names what the person saw."""
    if review.verdict == "unknown":
        return verdict == "unknown"
    return verdict != "unknown" and predicted_class == review.class_id


def mcnemar(b: int, c: int) -> float:
    """Two-sided exact p of ``b`` against ``c`` discordant pairs: a fair coin's chance of that or worse."""
    n = b + c
    tail = sum(comb(n, k) for k in range(min(b, c) + 1))
    return min(1.0, float(2 * tail / 2**n))
