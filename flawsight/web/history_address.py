"""The address of the history: it says filter, order and page, the same for the page and for programs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta

from werkzeug.datastructures import MultiDict

from flawsight.inspection.result import VERDICTS
from flawsight.records.catalogue import REVIEW_STATES
from flawsight.records.reviews import DISPOSITIONS
from flawsight.records.search import ORDERS, Filter, Key, Run
from flawsight.web.asked import BadFilter, one_of

FIELDS = (
    "q", "from", "to", "part", "lot", "class", "verdict", "final", "disposition", "min", "max", "review",
    "model", "numbers", "inspector", "station", "order",
)  # fmt: skip
PLACES = ("after", "before")
YEARS = range(1970, 9000)  # that a clock may show
_KEY = re.compile(r"(-?\d{1,16}(?:\.\d{1,20})?(?:e[+-]\d{1,3})?)_(\d{1,18})", re.ASCII)
MOST_RUNS = 300  # of numbers in one filter
_RUN = re.compile(r"(INSP-\d{4}-)?(\d{6,12})(?:\.\.(INSP-\d{4}-)?(\d{6,12}))?")


def parse(args: Mapping[str, str]) -> tuple[Filter, str, dict[str, Key]]:
    """Filter, name of the order, and the key to go on from, as :meth:`History.page` takes them.

    Raises:
        BadFilter: a value cannot be understood.
    """
    order = args.get("order") or "newest"
    first, last = parse_day(args, "from"), parse_day(args, "to")
    if first and last and first > last:
        raise BadFilter(
            "The days run from %(first)s back to %(last)s, so nothing can match. Exchange them.",
            first=first.isoformat(),
            last=last.isoformat(),
        )
    low, high = _share(args, "min"), _share(args, "max")
    if low is not None and high is not None and low > high:
        raise BadFilter(
            "The confidence runs from %(low)s %% down to %(high)s %%, so nothing can match. Exchange them.",
            low=args["min"],
            high=args["max"],
        )
    wanted = Filter(
        text=args.get("q", "").strip(),
        since=midnight(first) if first else None,
        until=midnight(last + timedelta(days=1)) if last else None,
        part_number=args.get("part", "").strip(),
        lot=args.get("lot", "").strip(),
        class_id=args.get("class", ""),
        verdict=one_of(args, "verdict", VERDICTS),
        confidence_from=low,
        confidence_to=high,
        review=one_of(args, "review", REVIEW_STATES),
        model=args.get("model", ""),
        numbers=_runs(args.get("numbers", "")),
        final=one_of(args, "final", VERDICTS),
        disposition=one_of(args, "disposition", tuple(DISPOSITIONS)),
        inspector=args.get("inspector", "").strip(),
        station=args.get("station", "").strip(),
    )
    if order not in ORDERS:
        raise BadFilter(
            "There is no order %(order)r. Choose one of: %(known)s.", order=order, known=", ".join(ORDERS)
        )
    return wanted, order, {name: _key(args[name]) for name in PLACES if args.get(name)}


def said(args: MultiDict[str, str]) -> dict[str, str]:
    """What an address says, of what one can say."""
    return {name: args[name] for name in (*FIELDS, *PLACES) if args.get(name)}


def filter_said(args: MultiDict[str, str]) -> dict[str, str]:
    """Filter and order as an address says them, to be said again by another."""
    return {key: value for key, value in said(args).items() if key in FIELDS}


def spell(key: Key) -> str:
    """A key as the address writes it."""
    return f"{key[0]!r}_{key[1]}"


def parse_day(args: Mapping[str, str], name: str) -> date | None:
    """The day that the address names.

    Raises:
        BadFilter: it is no date.
    """
    text = args.get(name)
    try:
        found = date.fromisoformat(text) if text else None
    except ValueError:
        found = date.max
    if found and found.year not in YEARS:
        raise BadFilter("%(text)r is no date for '%(name)s'. Write it like 2026-11-20.", text=text, name=name)
    return found


def midnight(day: date) -> datetime:
    """The start of ``day`` where this server stands."""
    return datetime(day.year, day.month, day.day).astimezone()


def _share(args: Mapping[str, str], name: str) -> float | None:
    text = args.get(name)
    if not text:
        return None
    try:
        share = float(text) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise BadFilter(
            "%(text)r is no percentage for '%(name)s'. Write a number from 0 to 100.", text=text, name=name
        )
    return share


def _runs(text: str) -> tuple[Run, ...]:
    """``INSP-2026-000012..000015, 000017`` as runs of numbers; what is left out is as in the one before."""
    runs, series = list[Run](), ""
    for part in text.upper().replace(",", " ").split():
        if found := _RUN.fullmatch(part):
            series = found[1] or series
            first, last = found[2], found[4] or found[2]
        if not found or not series or (found[3] or series) != series or len(first) != len(last):
            raise BadFilter(
                "%(text)r are no numbers of inspections. Write them like INSP-2026-000012..000015, 000017.",
                text=text[:80],
            )
        runs.append((series + first, series + last))
    if len(runs) > MOST_RUNS:
        raise BadFilter("These are more than %(most)s numbers and runs of them. Name fewer.", most=MOST_RUNS)
    return tuple(runs)


def _key(text: str) -> Key:
    if found := _KEY.fullmatch(text):
        return float(found[1]), int(found[2])
    raise BadFilter("This page of the history cannot be found. Start again at its first page.")
