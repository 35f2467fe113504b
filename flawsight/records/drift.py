"""Recent inspections held against the validation set, or against the first ones where that is unknown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from flawsight.inspection.drift import MEASURES, Mix, Part, Shift, mix_of, reference_of, shift_of
from flawsight.records.catalogue import moment
from flawsight.records.store import Store
from flawsight.records.tables import CatalogueRow, InspectionRow

RECENT = 300  # inspections that are compared unless another number is asked for
MOST = 3_000
FIRST = 300  # inspections that stand in for a validation set the model file says nothing of
LEAST_FIRST = 100
BEFORE = 3_000  # inspections before the recent ones, for the mix of classes


@dataclass(frozen=True)
class Drift:
    """What moved.

    Attributes:
        n: how many recent inspections there were, filed from ``first`` to ``last``.
        source: ``validation``, ``first`` (inspections with this model) or empty: nothing to compare with.
        shifts: by measure; what cannot be compared is left out.
        since: by measure: when the change began, where one stands out among the recent inspections.
        mix: classes against the inspections before; ``validation_mix`` against the validation set.
    """

    n: int
    first: datetime | None
    last: datetime | None
    source: str
    shifts: dict[str, Shift]
    since: dict[str, datetime]
    mix: Mix | None
    validation_mix: Mix | None


def drift(store: Store, model: str, reference: Mapping[str, Any], recent: int = RECENT) -> Drift:
    """Hold the latest ``recent`` inspections by ``model`` (name and version) against ``reference``.

    Args:
        reference: ``metadata.reference`` of the model; may be empty.
    """
    latest = _parts(store, model, recent, newest=True)[::-1]
    source, table = "validation" if reference else "", dict(reference)
    if not latest:
        return Drift(0, None, None, source, {}, {}, None, None)
    begin = latest[0][0]
    if not table:
        early = [part for at, part in _parts(store, model, FIRST, newest=False) if at < begin]
        enough = len(early) >= LEAST_FIRST
        source, table = ("first", reference_of(early)) if enough else ("", {})
    parts = [part for _, part in latest]
    found = {name: shift_of(name, parts, table) for name in MEASURES}
    shifts = {name: shift for name, shift in found.items() if shift}
    counts = Counter(part.class_id for part in parts)
    return Drift(
        n=len(latest),
        first=moment(begin),
        last=moment(latest[-1][0]),
        source=source,
        shifts=shifts,
        since={name: moment(latest[shift.since][0]) for name, shift in shifts.items() if shift.since},
        mix=mix_of(counts, _classes_before(store, model, begin)),
        validation_mix=mix_of(counts, reference.get("classes", {})),
    )


def _parts(store: Store, model: str, limit: int, newest: bool) -> list[tuple[int, Part]]:
    """Moment and figures of the latest, or the first, inspections by ``model``."""
    figures = [
        func.json_extract(InspectionRow.data, "$." + ".".join(path)).label(name)
        for name, path in MEASURES.items()
    ]
    order = CatalogueRow.at.desc() if newest else CatalogueRow.at
    chosen = (
        select(CatalogueRow.at, CatalogueRow.predicted_class, *figures)
        .join(InspectionRow, InspectionRow.id == CatalogueRow.id)
        .where(CatalogueRow.model == model)
        .order_by(order)
        .limit(limit)
    )
    with store.transaction("read") as session:
        return [
            (
                row.at,
                Part(
                    row.predicted_class,
                    {name: float(value) for name in MEASURES if (value := getattr(row, name)) is not None},
                ),
            )
            for row in session.execute(chosen)
        ]


def _classes_before(store: Store, model: str, at: int) -> dict[str, int]:
    """How often each class was answered in the inspections before."""
    before = (
        select(CatalogueRow.predicted_class)
        .where(CatalogueRow.model == model, CatalogueRow.at < at)
        .order_by(CatalogueRow.at.desc())
        .limit(BEFORE)
        .subquery()
    )
    column = before.c.predicted_class
    counted = select(column, func.count().label("parts")).group_by(column)
    with store.transaction("read") as session:
        return {row.predicted_class: row.parts for row in session.execute(counted)}
