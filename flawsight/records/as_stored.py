"""Rows as they lie in the database: what somebody wrote into them must not stop whoever checks them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import String, type_coerce

from flawsight.records.findings import INSPECTION

CHUNK = 500  # links read at once
JSON = ("data", "boxes", "setup", "result")
_CONVERTED = ("created_at", "added_at", "removed_at", "passed", "pictures", *JSON)


def raw(table: Any, names: Sequence[str]) -> list[Any]:
    """Columns without conversion."""
    return [
        type_coerce(column, String).label(name) if name in _CONVERTED else column
        for name, column in ((name, getattr(table, name)) for name in names)
    ]


def named(record_id: str, noun: str = INSPECTION) -> dict[str, str]:
    """How a finding names what it is about."""
    return {"noun": noun, "id": record_id}


def moment(text: str) -> datetime:
    """A moment as SQLite keeps it: UTC without saying so."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
