"""Find inspections again: by any filter, in any order, a page at a time.

Pages are walked by key (the last line seen), never by counting off lines, so page 10,000 is as fast
as the first. SQLite picks poorly between indexes that it has no figures on, so it is told: the lines
of each condition are counted, up to ``FEW``. A condition with few lines leads, and they are sorted;
if all have many, the lines are walked in the order asked for and soon fill a page.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from itertools import islice
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, and_, func, literal, literal_column, or_, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from flawsight.i18n import marked
from flawsight.inspection.result import VERDICTS
from flawsight.records.catalogue import microseconds, moment
from flawsight.records.record import Record
from flawsight.records.store import Store
from flawsight.records.tables import CatalogueRow, InspectionRow, NumberRow, OtherClassRow

FEW = 20_000  # lines that are sorted in some tens of milliseconds
CHUNK = 200  # lines read at once while walking all
_EQUAL = {  # attribute of Filter: column; the most telling first
    "lot": "lot",
    "part_number": "part_number",
    "disposition": "disposition",
    "inspector": "inspector",
    "station": "station",
    "main_class": "predicted_class",
    "model": "model",
    "review": "review_state",
    "final": "final_verdict",
    "verdict": "verdict",
}
_PAIRS = (
    ("main_class", "final"), ("main_class", "verdict"), ("main_class", "confidence"), ("verdict", "final"),
    ("final", "confidence"), ("verdict", "confidence"),
)  # fmt: skip
_UNKNOWN = "unknown"  # the verdict of a part that has no class, and so no confidence in one
_KNOWN = tuple(verdict for verdict in VERDICTS if verdict != _UNKNOWN)
_BEGINS = ("number", "part_number", "lot", "serial", "name")
_SERIES = "INSP-"
_RUNNING = re.compile(r"0*(\d{1,9})", re.ASCII)  # a running number as people write it, with zeros or without
_LAST_SIGN = "\U0010ffff"

Key: TypeAlias = tuple[float, int]  # the sorted value and the moment of filing: no two lines share it
Run: TypeAlias = tuple[str, str]  # the first and the last of some numbers in a row, of one length
Condition: TypeAlias = ColumnElement[bool]
Column: TypeAlias = Callable[[str], Any]


@dataclass(frozen=True)
class Filter:
    """What to look for; what is empty or ``None`` does not matter.

    Attributes:
        text: what the number, part number, lot, serial number or file name begins with; digits alone are
            also the running number of any year. What numbers begin with is looked for among them alone.
        since, until: filed at or after, filed before; aware.
        class_id: of the model: ``main_class`` or ``other_class``.
        verdict: of the model.
        confidence_from, confidence_to: bounds of the model's confidence, both included, 0..1; a part that
            the model does not know has none, and lies within no bounds.
        review: one of ``catalogue.REVIEW_STATES``.
        model: name and version.
        numbers: runs of numbers, any of them.
        final: the verdict that counts: the latest of a person, else the model's.
        disposition: one of ``reviews.DISPOSITIONS``, as the latest answer has it.
        main_class, other_class: what the model says of the part as a whole; what it boxed beside that.
    """

    text: str = ""
    since: datetime | None = None
    until: datetime | None = None
    part_number: str = ""
    lot: str = ""
    class_id: str = ""
    verdict: str = ""
    confidence_from: float | None = None
    confidence_to: float | None = None
    review: str = ""
    model: str = ""
    numbers: tuple[Run, ...] = ()
    final: str = ""
    disposition: str = ""
    inspector: str = ""
    station: str = ""
    main_class: str = ""
    other_class: str = ""

    def is_empty(self) -> bool:
        return all(getattr(self, field.name) in ("", None, ()) for field in fields(self))

    def bounds_confidence(self) -> bool:
        return self.confidence_from is not None or self.confidence_to is not None


@dataclass(frozen=True)
class Order:
    """By ``column``, then by time; what has no confidence stands behind what has one."""

    title: str
    column: str
    descending: bool

    @property
    def behind(self) -> float:
        """What the key of a line without a confidence says instead: behind each that there can be."""
        return -1.0 if self.descending else 2.0


ORDERS = {
    "newest": Order(marked("Newest first"), "at", True),
    "oldest": Order(marked("Oldest first"), "at", False),
    "least_confident": Order(marked("Least confident first"), "confidence", False),
    "most_confident": Order(marked("Most confident first"), "confidence", True),
}


@dataclass(frozen=True)
class Entry:
    """One line of the history; ``final_...`` is what counts: a person's latest answer, else the model's.

    What is no part for the model, as a person said, has no ``final_class``.
    """

    id: str
    number: str
    created_at: datetime
    name: str
    verdict: str
    predicted_class: str
    confidence: float
    part_number: str
    lot: str
    serial: str
    model: str
    review_state: str
    final_verdict: str
    final_class: str
    disposition: str
    inspector: str
    station: str


@dataclass(frozen=True)
class Page:
    """Some lines, and the keys from which to go on; ``None`` at an end."""

    entries: tuple[Entry, ...]
    before: Key | None
    after: Key | None


@dataclass(frozen=True)
class Choices:
    """Every value that occurs and may be filtered by."""

    classes: tuple[str, ...]
    models: tuple[str, ...]


class History:
    """The inspections filed in ``store``, to be searched. Safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def page(
        self,
        wanted: Filter,
        order: str = "newest",
        size: int = 50,
        *,
        after: Key | None = None,
        before: Key | None = None,
    ) -> Page:
        """``size`` lines that come ``after`` a key, or those right ``before`` one.

        Raises:
            KeyError: ``order`` is none of ``ORDERS``.
            RecordError: the database cannot be read.
        """
        by = ORDERS[order]
        with self.store.transaction("read") as session:
            rows = _rows(session, wanted, by, size + 1, before or after, back=before is not None)
        more, rows = len(rows) > size, rows[:size]
        earlier, later = after is not None, more
        if before is not None:
            rows, earlier, later = rows[::-1], more, True
        return Page(
            tuple(map(entry_of, rows)),
            _key(rows[0], by) if rows and earlier else None,
            _key(rows[-1], by) if rows and later else None,
        )

    def count(self, wanted: Filter, limit: int = 10_000) -> int:
        """How many match; ``limit`` stands for that many or more, since counting all would be slow."""
        with self.store.transaction("read") as session:
            left = limit
            for part in _alternatives(wanted):
                conditions, _ = _plan(session, part, ORDERS["newest"])
                left -= _count(session, and_(True, *conditions), left)
            return limit - left

    def walk(self, wanted: Filter, order: str = "newest") -> Iterator[Record]:
        """Every match, whole, read in small parts so that a long export holds nobody up."""
        key: Key | None = None
        while True:
            with self.store.transaction("read") as session:
                rows = _rows(session, wanted, ORDERS[order], CHUNK, key)
                found = self._records(session, [row.id for row in rows])
            yield from (found[row.id] for row in rows if row.id in found)
            if len(rows) < CHUNK:
                return
            key = _key(rows[-1], ORDERS[order])

    def records(self, entries: Iterable[Entry]) -> dict[str, Record]:
        """What lines stand for, whole, by id; what was deleted meanwhile is left out."""
        with self.store.transaction("read") as session:
            return self._records(session, [entry.id for entry in entries])

    def _records(self, session: Session, ids: Sequence[str]) -> dict[str, Record]:
        filed = select(InspectionRow).where(InspectionRow.id.in_(ids))
        return {row.id: self.store.record(row) for row in session.scalars(filed)}

    def neighbours(
        self,
        inspection_id: str,
        wanted: Filter = Filter(),  # frozen
        order: str = "oldest",
    ) -> tuple[str | None, str | None]:
        """Ids of the matches right before and right after this one, which need not match itself.

        Before and after are in time, whether a list begins with the newest or the oldest; in a list by
        confidence they are those of the list.
        """
        by = ORDERS["oldest"] if ORDERS[order].column == "at" else ORDERS[order]
        with self.store.transaction("read") as session:
            here = session.scalar(select(CatalogueRow).where(CatalogueRow.id == inspection_id))
            if here is None:
                return None, None
            before = _rows(session, wanted, by, 1, _key(here, by), back=True)
            after = _rows(session, wanted, by, 1, _key(here, by))
            return before[0].id if before else None, after[0].id if after else None

    def choices(self) -> Choices:
        """The classes and models that occur."""
        with self.store.transaction("read") as session:
            classes = {
                class_id
                for column in (CatalogueRow.predicted_class, OtherClassRow.class_id)
                for class_id in _distinct(session, column)
            }
            return Choices(tuple(sorted(classes)), _distinct(session, CatalogueRow.model))


def _rows(
    session: Session, wanted: Filter, order: Order, size: int, key: Key | None, back: bool = False
) -> list[CatalogueRow]:
    """Up to ``size`` lines after ``key``, or with ``back`` those before it; the nearest first."""
    found = [_rows_of(session, part, order, size, key, back) for part in _alternatives(wanted)]
    merged = heapq.merge(*found, key=lambda row: _key(row, order), reverse=order.descending != back)
    return list(islice(merged, size))


def _alternatives(wanted: Filter) -> list[Filter]:
    """``wanted`` in parts that share no line: a class is the main one of a part, or another, never both."""
    if not wanted.class_id:
        return [wanted]
    rest = replace(wanted, class_id="")
    return [replace(rest, main_class=wanted.class_id), replace(rest, other_class=wanted.class_id)]


def _rows_of(
    session: Session, wanted: Filter, order: Order, size: int, key: Key | None, back: bool
) -> list[CatalogueRow]:
    """As ``_rows``, for one of the alternatives."""
    rows: list[CatalogueRow] = []
    key_is_behind = key is not None and key[0] == order.behind
    for part, by in _stretches(wanted, order)[:: -1 if back else 1]:
        start = key
        if by is not order and not key_is_behind:  # all of this part comes after the key
            if back:
                continue
            start = None
        rows += _stretch(session, part, by, size - len(rows), start, back)
        if len(rows) == size:
            break
    return rows


def _stretches(wanted: Filter, order: Order) -> list[tuple[Filter, Order]]:
    """``wanted`` in parts that lie one behind the other, each of which an index has in its order."""
    if order.column == "at":
        return [(wanted, order)]
    found = []
    if wanted.verdict != _UNKNOWN:
        found.append((replace(wanted, confidence_from=wanted.confidence_from or 0.0), order))
    if wanted.verdict in ("", _UNKNOWN) and not wanted.bounds_confidence():
        found.append((replace(wanted, verdict=_UNKNOWN), replace(order, column="at")))
    return found


def _stretch(
    session: Session, wanted: Filter, order: Order, size: int, key: Key | None, back: bool
) -> list[CatalogueRow]:
    conditions, sort = _plan(session, wanted, order)
    names = ("at",) if order.column == "at" else (order.column, "at")
    columns = [sort(name) for name in names]
    descending = order.descending != back
    if key is not None:
        place, last = tuple_(*columns), tuple_(*map(literal, key[-len(names) :]))
        conditions.append(place < last if descending else place > last)
    in_order = [column.desc() if descending else column.asc() for column in columns]
    return list(session.scalars(select(CatalogueRow).where(*conditions).order_by(*in_order).limit(size)))


def _plan(session: Session, wanted: Filter, order: Order) -> tuple[list[Condition], Column]:
    """The conditions, of which only the leading ones may use an index, and how to name sorted columns."""
    span, running = _span(session, wanted.text), _running(session, wanted.text)
    plain = _conditions(wanted, _plain, span, running)
    hidden = _conditions(wanted, _hidden, span, running)
    alone: list[tuple[str, ...]] = [(name,) for name in plain]
    pairs: list[tuple[str, ...]] = [pair for pair in _PAIRS if set(pair) <= set(plain)]
    for groups in (alone, pairs):
        rows = {names: _count(session, and_(*(plain[n] for n in names)), _few(names) + 1) for names in groups}
        few = {names: count for names, count in rows.items() if count <= _few(names)}
        if few:
            leading = min(few, key=lambda names: few[names])
            return [plain[name] if name in leading else hidden[name] for name in plain], _hidden
    leading = _walked(plain, order)
    return [plain[name] if name in leading else hidden[name] for name in plain], _plain


def _few(names: Sequence[str]) -> int:
    """Up to how many lines a condition may have to lead."""
    # Other classes stand in a table of their own: to look each line up there costs more than to sort many.
    return 5 * FEW if names == ("other_class",) else FEW


def _walked(names: Container[str], order: Order) -> tuple[str, ...]:
    """The conditions whose index has its lines in ``order``, where all conditions have many.

    Within one value of an index the lines are in order of time, which is the table's own order.
    """
    if order.column == "confidence":
        return (
            next((name for name in ("main_class", "final", "verdict") if name in names), ""),
            "confidence",
        )
    for pair in (("main_class", "final"), ("main_class", "verdict"), ("verdict", "final")):
        if all(name in names for name in pair):
            return (*pair, "time")
    return (next((name for name in _EQUAL if name in names), ""), "time")


def _span(session: Session, text: str) -> tuple[int, int] | None:
    """The first and last moment of the inspections whose number begins with ``text``; ``None`` without any.

    Numbers mostly follow time, so that a beginning of a number is also a stretch of time.
    """
    if text[: len(_SERIES)].upper() != _SERIES:
        return None
    column = CatalogueRow.number
    # Not those of the first and last number: the clock may have been set back, and 1000000 is before 999999.
    both = select(func.min(CatalogueRow.at), func.max(CatalogueRow.at))
    first, last = session.execute(both.where(column >= text, column < text + _LAST_SIGN)).one()
    return (first, last) if first else None


def _running(session: Session, text: str) -> list[str]:
    """The numbers, one a year, that ``text`` may mean as a running number."""
    found = _RUNNING.fullmatch(text)
    if found is None:
        return []
    return [f"{_SERIES}{year}-{int(found[1]):06d}" for year in session.scalars(select(NumberRow.year))]


def _conditions(
    wanted: Filter, column: Column, span: tuple[int, int] | None, running: list[str]
) -> dict[str, Condition]:
    """Name to condition, on columns as ``column`` gives them; ``span`` and ``running`` as found above."""
    found: dict[str, Condition] = {
        name: column(target) == getattr(wanted, name)
        for name, target in _EQUAL.items()
        if getattr(wanted, name)
    }
    bounds = [column("at") >= microseconds(wanted.since)] if wanted.since else []
    bounds += [column("at") < microseconds(wanted.until)] if wanted.until else []
    bounds += [column("at").between(*span)] if span else []
    if bounds:
        found["time"] = and_(*bounds)
    if wanted.bounds_confidence():
        low, high = wanted.confidence_from, wanted.confidence_to
        low, high = (0.0 if low is None else low), (1.0 if high is None else high)
        found["confidence"] = column("confidence").between(low, high)
        if wanted.verdict not in _KNOWN:
            found["known"] = column("verdict").in_(_KNOWN)
    if wanted.other_class:
        found["other_class"] = _boxed(wanted.other_class, column is _plain)
    if wanted.numbers:
        number = column("number")
        found["numbers"] = or_(
            *(number.between(*run) & (func.length(number) == len(run[0])) for run in wanted.numbers)
        )
    if wanted.text:
        end = wanted.text + _LAST_SIGN
        names = ("number",) if span else _BEGINS
        begins = ((column(name) >= wanted.text) & (column(name) < end) for name in names)
        found["text"] = or_(*begins, *(column("number") == number for number in running))
    return found


def _boxed(class_id: str, leading: bool) -> Condition:
    """That ``class_id`` is boxed beside the main class; ``leading`` where few lines say so."""
    others = select(OtherClassRow.at).where(OtherClassRow.class_id == class_id)
    if leading:  # one line more is enough to know that there are too many
        return CatalogueRow.at.in_(others.limit(_few(("other_class",)) + 1))
    return others.where(OtherClassRow.at == CatalogueRow.at).exists()


def _plain(name: str) -> Any:
    return getattr(CatalogueRow, name)


def _hidden(name: str) -> Any:
    """The column behind a plus sign, where SQLite uses no index for it."""
    return literal_column(f"+catalogue.{name}", CatalogueRow.__table__.c[name].type)


def _count(session: Session, condition: Condition, limit: int) -> int:
    some = select(literal(1)).select_from(CatalogueRow).where(condition).limit(limit).subquery()
    return session.scalar(select(func.count()).select_from(some)) or 0


def _distinct(session: Session, column: InstrumentedAttribute[str]) -> tuple[str, ...]:
    """Every value of an indexed column, by one look-up each instead of reading the whole index."""
    values: list[str] = []
    value = session.scalar(select(func.min(column)))
    while value is not None:
        values.append(value)
        value = session.scalar(select(func.min(column)).where(column > value))
    return tuple(values)


def _key(row: CatalogueRow, order: Order) -> Key:
    behind = order.column == "confidence" and row.verdict == _UNKNOWN
    return order.behind if behind else getattr(row, order.column), row.at


def entry_of(row: CatalogueRow) -> Entry:
    """The value of ``row``."""
    values = {field.name: getattr(row, field.name) for field in fields(Entry) if field.name != "created_at"}
    if row.final_verdict == "unknown" and row.review_state != "none":  # earlier rows have the model's class
        values["final_class"] = ""
    return Entry(**values, created_at=moment(row.at))
