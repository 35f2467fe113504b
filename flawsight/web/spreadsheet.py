"""Lines of CSV that a spreadsheet opens without running anything in them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO
from typing import Any


def csv_line(values: Sequence[Any]) -> str:
    """One line; a text that would be run as a formula is kept a text."""
    buffer = StringIO()
    csv.writer(buffer).writerow([_harmless(value) for value in values])
    return buffer.getvalue()


def _harmless(value: Any) -> Any:
    runs = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if runs else value
