"""How fast the history answers at 1,000,000 inspections: ``PYTHONPATH=. python benchmarks/history.py``.

Fills a database of its own with made-up lines (no pictures), then times every filter and order the
history page offers, cold plan and all, and says whether each stays under 200 ms.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median

from flawsight.records import Store
from flawsight.records.catalogue import UNDECIDED, certainty, microseconds, moment
from flawsight.records.search import ORDERS, Filter, History

LIMIT_MS = 200.0
END = datetime(2026, 11, 20, 16, 0, tzinfo=UTC)
YEARS = 3
CLASSES = {
    "MT_Free": 45, "DAGM_Free": 25, "PCB_Free": 12, "MT_Crack": 4, "MT_Blowhole": 4, "MT_Fray": 2,
    "PCB_open": 3, "PCB_short": 3, "DAGM_Class8": 1.9, "DAGM_Class3": 0.1,
}  # fmt: skip
BOARD = ("PCB_open", "PCB_short", "PCB_spur")  # of which a board may have several
INSPECTORS = ("A. Kern", "B. Roth", "C. Lenz", "D. Wolf", "E. Haas")
DISPOSITIONS = ("", "use_as_is", "rework", "repair", "scrap", "return")
MODELS = {"flawsight-unified 1.0.0": 60, "flawsight-unified 1.1.0": 39, "flawsight-trial 0.9.0": 1}


def lines(count: int, seed: int) -> Iterator[tuple[tuple[object, ...], tuple[object, ...], tuple[str, ...]]]:
    """One row for ``inspections``, one for ``catalogue``, and the other classes of it, oldest first."""
    draw = random.Random(seed)
    start = microseconds(END - timedelta(days=365 * YEARS))
    step = (microseconds(END) - start) // count
    classes, models = random_picker(draw, CLASSES), random_picker(draw, MODELS)
    for index in range(count):
        at = start + index * step + draw.randrange(step)
        class_id, model = classes(), models()
        good, sure = class_id.endswith("Free"), 1 - draw.expovariate(12) % 0.7
        unknown = draw.random() < 0.01
        verdict = "unknown" if unknown else "review" if sure < 0.7 else "accept" if good else "reject"
        defect = 1 - sure if good else sure
        record_id, number = f"{index:032x}", f"INSP-{moment(at).year}-{index:06d}"
        part, lot = f"PN-{draw.randrange(400):04d}", f"L{index // 500:06d}"  # a lot is inspected in one go
        serial, name = f"SN{draw.randrange(10**9):09d}", f"IMG_{index:07d}.jpg"
        inspector, station = draw.choice(INSPECTORS), f"Bench {1 + draw.randrange(3)}"
        data = {
            "image": {"name": name}, "verdict": verdict, "predicted_class": class_id,
            "confidence": sure, "defect_probability": defect, "boxes": [],
            "thresholds": {}, "method": {},
            "context": {
                "part_number": part, "lot": lot, "serial": serial, "inspector": inspector, "station": station,
            },
            "filler": "x" * 1500,
        }  # fmt: skip
        review = "none" if draw.random() < 0.95 else draw.choice(["confirmed", "confirmed", "corrected"])
        final, disposition = verdict, ""
        if review != "none":
            overruled = "accept" if verdict == "reject" else "reject"
            final = overruled if review == "corrected" or verdict == "review" else verdict
            disposition = draw.choice(DISPOSITIONS) if final == "reject" else ""
        board = class_id in BOARD and verdict != "unknown"
        others = tuple(name for name in BOARD if board and name != class_id and draw.random() < 0.5)
        yield (
            (record_id, number, str(moment(at).replace(tzinfo=None)), verdict, class_id, "0" * 64,
             json.dumps(data), "{}", "0" * 64),
            (at, verdict, class_id, model, review, sure, certainty(verdict, defect), part, lot, serial,
             name, number, record_id, inspector, station, final, class_id, disposition,
             review == "none" and verdict in UNDECIDED),
            others,
        )  # fmt: skip


def random_picker(draw: random.Random, weights: dict[str, float]) -> Callable[[], str]:
    names = list(weights)
    cumulative = [sum(list(weights.values())[: end + 1]) for end in range(len(names))]
    return lambda: draw.choices(names, cum_weights=cumulative)[0]


def seed(database: Path, count: int, number: int = 0) -> None:
    """Fill the catalogue and the inspections; indexes are kept as they are in use."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -500000")
        for first, second, others in lines(count, number):
            connection.execute(f"INSERT INTO inspections VALUES ({','.join('?' * 9)})", first)
            connection.execute(f"INSERT INTO catalogue VALUES ({','.join('?' * 19)})", second)
            connection.executemany(
                "INSERT INTO other_classes VALUES (?, ?)", [(one, second[0]) for one in others]
            )


def filters() -> dict[str, Filter]:
    """Every filter alone, and the combinations that are hard on an index."""
    week_old = Filter(since=END - timedelta(days=7))
    alone = {
        "everything": Filter(),
        "the last week": week_old,
        "one month two years ago": Filter(since=END - timedelta(days=730), until=END - timedelta(days=700)),
        "one hour": Filter(since=END - timedelta(days=400), until=END - timedelta(days=400, hours=-1)),
        "part number": Filter(part_number="PN-0123"),
        "lot": Filter(lot="l000007"),
        "frequent class": Filter(class_id="MT_Free"),
        "rare class": Filter(class_id="DAGM_Class3"),
        "class of a part and beside others": Filter(class_id="PCB_open"),
        "class only ever beside others": Filter(class_id="PCB_spur"),
        "verdict accept": Filter(verdict="accept"),
        "verdict unknown": Filter(verdict="unknown"),
        "confidence under 50 %": Filter(confidence_to=0.5),
        "confidence 90 to 91 %": Filter(confidence_from=0.9, confidence_to=0.91),
        "confidence exactly 100 %": Filter(confidence_from=1.0),
        "not reviewed": Filter(review="none"),
        "corrected": Filter(review="corrected"),
        "frequent model": Filter(model="flawsight-unified 1.0.0"),
        "rare model": Filter(model="flawsight-trial 0.9.0"),
        "text: a number": Filter(text="INSP-2025-4"),
        "text: a serial number": Filter(text="sn0000"),
        "text: everything": Filter(text="IMG"),
        "text: nothing": Filter(text="zebra"),
        "text: a running number": Filter(text="000123"),
        "final accept": Filter(final="accept"),
        "final reject": Filter(final="reject"),
        "scrapped": Filter(disposition="scrap"),
        "inspector": Filter(inspector="a. kern"),
        "station": Filter(station="Bench 1"),
    }
    together = {
        "class and verdict": Filter(class_id="MT_Crack", verdict="reject"),
        "class and verdict that never meet": Filter(class_id="MT_Free", verdict="reject"),
        "class beside others and a verdict it never has": Filter(class_id="PCB_spur", verdict="accept"),
        "class beside others and final accept": Filter(class_id="PCB_spur", final="accept"),
        "model, verdict, confidence": Filter(
            model="flawsight-unified 1.1.0", verdict="review", confidence_to=0.6
        ),
        "old month, class, not reviewed": Filter(
            since=END - timedelta(days=730),
            until=END - timedelta(days=700),
            class_id="MT_Fray",
            review="none",
        ),
        "lot and corrected": Filter(lot="L000007", review="corrected"),
        "text and class": Filter(text="PN-01", class_id="PCB_open"),
        "accept under 70 %, which is none": Filter(verdict="accept", confidence_to=0.69),
        "confirmed unknowns": Filter(verdict="unknown", review="confirmed"),
        "rejects that were accepted": Filter(verdict="reject", final="accept"),
        "accepted and scrapped, which is none": Filter(final="accept", disposition="scrap"),
        "class and final verdict that never meet": Filter(
            class_id="MT_Free", final="review", review="confirmed"
        ),
        "inspector, station, class": Filter(inspector="B. Roth", station="Bench 2", class_id="MT_Crack"),
        "inspector and final reject": Filter(inspector="B. Roth", final="reject"),
        "final accept under 70 %": Filter(final="accept", confidence_to=0.69),
    }
    return {**alone, **together}


def timed(action: Callable[[], object], times: int) -> tuple[float, float]:
    """Median and worst of ``times`` calls, milliseconds."""
    took = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        took.append((time.perf_counter() - start) * 1000)
    return median(took), max(took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--instance", type=Path, help="keep the database here, and use it again if filled")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Store(options.instance or Path(folder))) as store,
    ):
        if store.count() < options.rows:
            print(f"Filling {options.rows:,} lines ...")
            seed(store.database, options.rows)
        slow = measure(History(store), options.times, options.json)
    sys.exit(f"Over {LIMIT_MS:.0f} ms: {', '.join(slow)}" if slow else 0)


def _shown(history: History, wanted: Filter, order: str) -> None:
    """What the page reads of the lines of its first sheet."""
    history.records(history.page(wanted, order).entries)


def measure(history: History, times: int, out: Path | None) -> list[str]:
    """Time it all, print it, and give back what is too slow by its median."""
    figures: dict[str, dict[str, float]] = {}
    for name, wanted in filters().items():
        for order in ORDERS:
            median_ms, worst = timed(partial(_shown, history, wanted, order), times)
            figures[f"{name}, {order}"] = {"median_ms": median_ms, "worst_ms": worst}
        counted, worst = timed(partial(history.count, wanted), times)
        figures[f"{name}, count"] = {"median_ms": counted, "worst_ms": worst}
    deep = history.page(Filter()).after
    for _ in range(20):
        deep = history.page(Filter(), after=deep, size=500).after
    figures["page after 10,000 lines"] = dict(
        zip(("median_ms", "worst_ms"), timed(lambda: history.page(Filter(), after=deep), times), strict=True)
    )
    figures["choices"] = dict(zip(("median_ms", "worst_ms"), timed(history.choices, times), strict=True))
    for name, figure in sorted(figures.items(), key=lambda item: -item[1]["median_ms"])[:25]:
        print(f"{figure['median_ms']:8.1f} ms  (worst {figure['worst_ms']:7.1f})  {name}")
    print(f"{len(figures)} measured; the 25 slowest are shown.")
    if out:
        out.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return [name for name, figure in figures.items() if figure["median_ms"] > LIMIT_MS]


if __name__ == "__main__":
    main()
