"""The links of the hash chain: how a row becomes one, and how it follows the one before.

A link says what a row said when it was filed, mostly as SHA-256 hashes, and carries the hash of the
link before it. Its own hash is taken over the canonical JSON of all that. It is written in the
transaction of the row it stands for, and SQLite lets one transaction write at a time, so the chain
has no gap and no fork, however many processes file at once.

The format is kept for ever: ``adopt`` is called by a migration.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from sqlalchemy import Connection, func, insert, select

from flawsight.records.record import canonical_json
from flawsight.records.tables import (
    DeletionRow,
    InspectionRow,
    LinkRow,
    LotEventRow,
    ModelChangeRow,
    ReviewRow,
)

FORMAT = "flawsight.chain/1"
GENESIS = "0" * 64  # what the first link follows
KINDS = ("start", "inspection", "review", "deletion", "pdf", "lot", "golden", "model", "template")
BATCH = 2_000
_LAST = select(LinkRow.seq, LinkRow.hash).order_by(LinkRow.seq.desc()).limit(1)

# The columns that a link of this kind covers.
COVERED = {
    "review": (
        "id", "inspection_id", "created_at", "reviewer", "verdict", "class_id", "boxes", "state",
        "disposition", "rationale",
    ),
    "deletion": (
        "id", "created_at", "by", "older_than_days", "only_accepted", "inspections", "first_number",
        "last_number",
    ),
    "lot": ("id", "lot_id", "created_at", "by", "kind", "decision", "rationale", "data"),
    "model": ("id", "created_at", "by", "why", "kind", "model", "sha256", "setup"),
    "template": (
        "id", "created_at", "by", "kind", "part_number", "part_revision", "name", "image_sha256",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Head:
    """The last link: whoever keeps it elsewhere can tell later whether what came before was changed."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


def append(connection: Connection, kind: str, ref: object, content: Mapping[str, Any]) -> Head:
    """Add a link in the transaction of ``connection``, which must be a writing one."""
    seq, previous = connection.execute(_LAST).one()
    link = _link(seq + 1, datetime.now(UTC), kind, str(ref), content, previous)
    connection.execute(insert(LinkRow), link)
    return Head(link["seq"], link["hash"])


def link_hash(seq: int, at: datetime, kind: str, ref: str, content: Mapping[str, Any], previous: str) -> str:
    """SHA-256 over the canonical JSON of all that a link says."""
    said = {
        "format": FORMAT, "seq": seq, "at": _spelled(at), "kind": kind, "ref": ref, "content": content,
        "previous": previous,
    }  # fmt: skip
    return sha256(said)


def sha256(value: object) -> str:
    """Of the canonical JSON of ``value``."""
    return hashlib.sha256(canonical_json(value).encode("ascii")).hexdigest()


def inspection_content(row: Any, files: Mapping[str, str] | None) -> dict[str, Any]:
    """What a link says about an inspection.

    Args:
        row: with the columns of ``InspectionRow``.
        files: name to SHA-256 of the file as received (``upload``) and of each picture; ``None`` for an
            inspection from before the chain: there ``record_sha256`` covers all pictures together.
    """
    data = row.data
    return {
        "number": row.number,
        "created_at": _spelled(row.created_at),
        "image_sha256": row.image_sha256,
        "model_sha256": (data.get("model") or {}).get("sha256", ""),
        "thresholds": data.get("thresholds") or {},
        "answer_sha256": sha256(data),
        "record_sha256": row.record_sha256,
        **({} if files is None else {"files": dict(files)}),
    }


def row_content(kind: str, row: Any, **more: Any) -> dict[str, Any]:
    """What a link says about a row of the kinds in ``COVERED``."""
    values = {name: getattr(row, name) for name in COVERED[kind]}
    spelled = {
        name: _spelled(value) if isinstance(value, datetime) else value for name, value in values.items()
    }
    return {"row_sha256": sha256(spelled), **more}


def review_content(row: Any) -> dict[str, Any]:
    return row_content("review", row, inspection=row.inspection_id, disposition=row.disposition)


def lot_content(row: Any) -> dict[str, Any]:
    return row_content("lot", row, lot=row.lot_id, event=row.kind)


def model_content(row: Any) -> dict[str, Any]:
    return row_content("model", row, event=row.kind, model=row.model, model_sha256=row.sha256)


def template_content(row: Any) -> dict[str, Any]:
    return row_content("template", row, event=row.kind, image_sha256=row.image_sha256)


def golden_content(row: Any, event: str, by: str, at: datetime) -> dict[str, Any]:
    """What a link says about a golden part that was ``added`` or ``removed``.

    Early links have no ``at``, and none before templates were noted has ``template`` and ``template_name``.
    """
    return {
        "event": event, "by": by, "at": _spelled(at), "title": row.title, "image_sha256": row.image_sha256,
        "verdict": row.verdict, "class": row.class_id, "source": row.source,
        "template": row.template_sha256, "template_name": row.template_name,
    }  # fmt: skip


def adopt(connection: Connection) -> None:
    """Begin the chain with all that was filed before it: their pictures are not read."""
    tables = (InspectionRow, ReviewRow, DeletionRow, LotEventRow)
    counts = {
        table.__tablename__: connection.scalar(select(func.count()).select_from(table)) for table in tables
    }
    now, seq, previous, batch = datetime.now(UTC), 0, GENESIS, list[dict[str, Any]]()
    for kind, ref, content in chain([("start", "", counts)], _filed(connection)):
        batch.append(_link(seq := seq + 1, now, kind, ref, content, previous))
        previous = batch[-1]["hash"]
        if len(batch) == BATCH:
            connection.execute(insert(LinkRow), batch)
            batch = []
    if batch:
        connection.execute(insert(LinkRow), batch)


def adopt_models(connection: Connection) -> None:
    """Take the changes of models into the chain that no link stands for yet."""
    names = COVERED["model"]
    kept = select(LinkRow.ref).where(LinkRow.kind == "model")
    known = set(connection.scalars(kept))
    for row in _walk(connection, ModelChangeRow, "id", names):
        if str(row.id) not in known:
            seq, previous = connection.execute(_LAST).one()
            link = _link(seq + 1, datetime.now(UTC), "model", str(row.id), model_content(row), previous)
            connection.execute(insert(LinkRow), [link])


def _filed(connection: Connection) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Kind, reference and content of every row there is, each kind from first to latest."""
    # Columns by name: a later program may have more of them than the database that is being brought up.
    names = ("id", "number", "created_at", "image_sha256", "data", "record_sha256")
    for row in _walk(connection, InspectionRow, "number", names):
        yield "inspection", row.id, inspection_content(row, None)
    for row in _walk(connection, ReviewRow, "id", COVERED["review"]):
        yield "review", str(row.id), review_content(row)
    for row in _walk(connection, DeletionRow, "id", COVERED["deletion"]):
        yield "deletion", str(row.id), row_content("deletion", row, inspections=[])
    for row in _walk(connection, LotEventRow, "id", COVERED["lot"]):
        yield "lot", str(row.id), lot_content(row)


def _walk(connection: Connection, table: Any, key: str, names: Iterable[str]) -> Iterator[Any]:
    """Every row in the order of the unique column ``key``, a batch at a time."""
    column = getattr(table, key)
    columns = [getattr(table, name) for name in names]
    rows = connection.execute(select(*columns).order_by(column).limit(BATCH)).all()
    while rows:
        yield from rows
        last = getattr(rows[-1], key)
        rows = connection.execute(select(*columns).where(column > last).order_by(column).limit(BATCH)).all()


def _link(
    seq: int, at: datetime, kind: str, ref: str, content: Mapping[str, Any], previous: str
) -> dict[str, Any]:
    return {
        "seq": seq, "at": at, "kind": kind, "ref": ref, "content": dict(content), "previous": previous,
        "hash": link_hash(seq, at, kind, ref, content, previous),
    }  # fmt: skip


def _spelled(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
