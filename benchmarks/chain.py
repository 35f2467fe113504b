"""How long a history is held against its chain: ``PYTHONPATH=. python benchmarks/chain.py --count 100000``.

Fills a database of its own with made-up inspections (no pictures) and their links, then verifies them.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from sqlalchemy import insert

from flawsight.inspection.inspector import Inspector
from flawsight.inspection.tiny import TinyEngine
from flawsight.records import Store, links
from flawsight.records.catalogue import microseconds, searched
from flawsight.records.record import PICTURES, seal
from flawsight.records.tables import CatalogueRow, InspectionRow, NumberRow
from flawsight.records.verify import verify

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
BATCH = 5_000
HASHES = dict.fromkeys(PICTURES, "0" * 64)


def fill(store: Store, count: int) -> None:
    """File ``count`` equal answers, each with its link."""
    picture = np.full((64, 64, 3), 150, np.uint8)
    data = Inspector(TinyEngine()).inspect(picture, name="part.png").to_dict()
    for first in range(1, count + 1, BATCH):
        numbers = range(first, min(first + BATCH, count + 1))
        rows = [row_of(number, data) for number in numbers]
        with store.transaction("write", write=True) as session:
            session.execute(insert(InspectionRow), rows)
            session.execute(insert(CatalogueRow), [line_of(row) for row in rows])
            for row in rows:
                content = links.inspection_content(SimpleNamespace(**row), {"upload": "0" * 64, **HASHES})
                links.append(session.connection(), "inspection", row["id"], content)
    with store.transaction("write", write=True) as session:
        session.add(NumberRow(year=BEGIN.year, last=count))


def row_of(index: int, data: dict[str, Any]) -> dict[str, Any]:
    at, number = BEGIN + timedelta(seconds=index), f"INSP-{BEGIN.year}-{index:06d}"
    return {
        "id": f"{index:032x}", "number": number, "created_at": at, "verdict": data["verdict"],
        "predicted_class": data["predicted_class"], "image_sha256": data["image"]["sha256"], "data": data,
        "pictures": {}, "record_sha256": seal(data, number, at, HASHES),
    }  # fmt: skip


def line_of(row: dict[str, Any]) -> dict[str, Any]:
    same = {"id": row["id"], "number": row["number"], "at": microseconds(row["created_at"])}
    return {**same, "review_state": "none", **searched(row["data"])}


def main() -> int:
    parser = argparse.ArgumentParser(description="Time the check of a history against its chain.")
    parser.add_argument("--count", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, closing(Store(Path(folder))) as store:
        fill(store, options.count)
        size = store.database.stat().st_size / 2**20
        wall, cpu = time.perf_counter(), time.process_time()
        found = verify(store, files=False)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{found.links:,} links, {size:.0f} MiB: {wall:.1f} s, {cpu:.1f} s of the processor, "
        f"{memory:.0f} MiB of memory; all as it was filed: {found.ok}"
    )
    return 0 if found.ok else 1


if __name__ == "__main__":
    sys.exit(main())
