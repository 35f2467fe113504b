"""The history: search, filter, export, and delete by rule. The address holds the filter."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any

from flask import (
    Blueprint,
    Response,
    flash,
    jsonify,
    redirect,
    render_template,
    request,
    stream_with_context,
    url_for,
)
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response as AnyResponse

from flawsight.errors import FlawsightError
from flawsight.i18n import ENGLISH, marked, ngettext, number, speaking
from flawsight.i18n import gettext as _
from flawsight.inspection.result import VERDICTS
from flawsight.inspection.words import template_of
from flawsight.records.catalogue import REVIEW_STATES
from flawsight.records.record import CONTEXT, Record
from flawsight.records.retention import Deletion, Retention, Rule
from flawsight.records.reviews import DISPOSITIONS, Review, Reviews
from flawsight.records.search import ORDERS, Entry, Filter, History, Key, Run
from flawsight.taxonomy import describe as describe_class
from flawsight.web import answer
from flawsight.web.asked import BadBody, BadFilter, json_object, known_only, one_of
from flawsight.web.auth import current_user, requires
from flawsight.web.security import csrf
from flawsight.web.service import service
from flawsight.web.spreadsheet import csv_line
from flawsight.web.view import NOBODY, badge_word, spoken_time, summary

PAGE = 50
COUNTED = 10_000  # above this the page says "more than"
CHUNK = 200  # inspections whose answers are read at once
FIELDS = (
    "q", "from", "to", "part", "lot", "class", "verdict", "final", "disposition", "min", "max", "review",
    "model", "numbers", "inspector", "station", "order",
)  # fmt: skip
PLACES = ("after", "before")
REVIEW_WORDS = {
    "none": marked("Not reviewed"),
    "confirmed": marked("Confirmed"),
    "corrected": marked("Corrected"),
}
LONGEST_RULE = 36_500  # days
MOST_RUNS = 300  # of numbers in one filter
_RUN = re.compile(r"(INSP-\d{4}-)?(\d{6,12})(?:\.\.(INSP-\d{4}-)?(\d{6,12}))?")

bp = Blueprint("history", __name__, url_prefix="/history")
api = Blueprint("history_api", __name__, url_prefix="/api/v1")
csrf.exempt(api)


@dataclass(frozen=True)
class Line:
    """One line of the list, in words: the answer that counts, and the model's where a person decided."""

    entry: Entry
    headline: str
    badge: str
    model_badge: str
    decided: bool
    created_text: str
    review: str
    disposition: str
    part: str


@bp.get("")
def index() -> str | AnyResponse | tuple[str, int]:
    if "" in request.args.values():  # a form sends every field; the address keeps those that say something
        return redirect(_address(_said(request.args)))
    try:
        wanted, order, place = parse(request.args)
    except BadFilter as error:
        return _page(problem=error.said()), error.status
    history = History(service().store)
    page = history.page(wanted, order, PAGE, **place)
    said = filter_said(request.args)
    records = history.records(page.entries)
    answers = Reviews(history.store).latest(list(records))
    return _page(
        lines=[
            _line(entry, summary(records[entry.id], answers.get(entry.id)).headline)
            for entry in page.entries
            if entry.id in records
        ],
        count_text=_count_text(history.count(wanted, COUNTED + 1)),
        filtered=not wanted.is_empty(),
        newer=page.before and _address({**said, "before": spell(page.before)}),
        older=page.after and _address({**said, "after": spell(page.after)}),
    )


def _page(**found: Any) -> str:
    """The form as the address fills it in, with what was ``found`` or the ``problem`` with the address."""
    choices = History(service().store).choices()
    return render_template(
        "history.html",
        said=filter_said(request.args),
        classes=[describe_class(class_id) for class_id in choices.classes],
        models=choices.models,
        verdicts=VERDICTS,
        reviews=REVIEW_WORDS,
        dispositions=DISPOSITIONS,
        orders=ORDERS,
        this_year=date.today().year,
        **found,
    )


@bp.get("/history.csv")
def as_csv() -> Response:
    return export_csv(*parse(request.args)[:2])


@bp.get("/history.json")
def as_json() -> Response:
    return export_json(*parse(request.args)[:2])


@bp.get("/retention")
@requires("admin")
def retention() -> str:
    rule = _rule(request.args) if "days" in request.args else None
    it = Retention(service().store)
    return render_template(
        "retention.html",
        rule=rule,
        preview=it.preview(rule) if rule else None,
        log=[(deletion, spoken_time(deletion.created_at)) for deletion in it.log()],
        longest=LONGEST_RULE,
    )


@bp.post("/retention")
@requires("admin")
def delete_by_rule() -> AnyResponse:
    it, rule = Retention(service().store), _rule(request.form)
    done = it.apply(rule, current_user().name or NOBODY)
    flash(ngettext("%(num)s inspection was deleted.", "%(num)s inspections were deleted.", done.inspections))
    if kept := it.preview(rule).kept:
        flash(
            ngettext(
                "%(num)s belongs to an open lot and stays.", "%(num)s belong to open lots and stay.", kept
            )
        )
    return redirect(url_for(".retention"), 303)


# --- for programs ---------------------------------------------------------------------------------------


@api.get("/inspections")
def listed() -> Response:
    """One page of the history; the parameters are those of the page's address."""
    known_only(request.args, *FIELDS, *PLACES)
    wanted, order, place = parse(request.args)
    history = History(service().store)
    page = history.page(wanted, order, PAGE, **place)
    said = filter_said(request.args)
    count = history.count(wanted, COUNTED + 1)

    def link(name: str, key: Key | None) -> str | None:
        return url_for(".listed", **dict[str, Any]({**said, name: spell(key)})) if key else None

    return jsonify(
        inspections=[entry_json(entry) for entry in page.entries],
        count=min(count, COUNTED),
        count_is_complete=count <= COUNTED,
        next=link("after", page.after),
        previous=link("before", page.before),
    )


@api.get("/inspections/history.csv")
def csv_for_programs() -> Response:
    """Every match as CSV, with the answer of a person that counts."""
    known_only(request.args, *FIELDS)
    return as_csv()


@api.get("/inspections/history.json")
def json_for_programs() -> Response:
    """Every match with all that was found and all that people answered."""
    known_only(request.args, *FIELDS)
    return as_json()


@api.get("/retention")
@requires("admin")
def deletions() -> Response:
    """What was deleted by rule, latest first."""
    known_only(request.args)
    return jsonify(deletions=[_deletion_json(one) for one in Retention(service().store).log()])


@api.get("/retention/matching")
@requires("admin")
def matching() -> Response:
    """How many inspections a rule would delete; nothing is deleted."""
    known_only(request.args, "days", "which")
    rule = _rule(request.args)
    preview = Retention(service().store).preview(rule)
    return jsonify(
        days=rule.days,
        which=_which(rule),
        inspections=preview.inspections,
        in_closed_lots=preview.of_lots,
        closed_lots=preview.lots,
        kept_in_open_lots=preview.kept,
    )


@api.post("/retention")
@requires("admin")
def apply_rule() -> Response:
    """Delete by rule, and keep a record of it."""
    values = json_object()
    rule = _rule({key: str(values[key]) for key in ("days", "which") if key in values}, BadBody)
    return jsonify(_deletion_json(Retention(service().store).apply(rule, current_user().name or "a program")))


def entry_json(entry: Entry) -> dict[str, Any]:
    """One line of the history as JSON."""
    return {
        **{field.name: getattr(entry, field.name) for field in fields(entry)},
        "created_at": entry.created_at.isoformat(),
        "links": {
            "self": url_for("api.show", inspection_id=entry.id),
            "page": url_for("inspections.show", inspection_id=entry.id),
            "reviews": url_for("review_api.listed", inspection_id=entry.id),
        },
    }


def _deletion_json(done: Deletion) -> dict[str, Any]:
    return {
        "created_at": done.created_at.isoformat(),
        "by": done.by,
        "days": done.rule.days,
        "which": _which(done.rule),
        "inspections": done.inspections,
        "first_number": done.first_number,
        "last_number": done.last_number,
    }


def _which(rule: Rule) -> str:
    return "accepted" if rule.only_accepted else "all"


# --- what page and API share --------------------------------------------------------------------------------


def parse(args: Mapping[str, str]) -> tuple[Filter, str, dict[str, Key]]:
    """Filter, name of the order, and the key to go on from, as :meth:`History.page` takes them.

    Raises:
        BadFilter: a value cannot be understood.
    """
    order = args.get("order") or "newest"
    first, last = _date(args, "from"), _date(args, "to")
    if first and last and first > last:
        raise BadFilter(
            "'from' (%(first)s) is later than 'to' (%(last)s), so nothing can match. Exchange them.",
            first=first.isoformat(),
            last=last.isoformat(),
        )
    low, high = _share(args, "min"), _share(args, "max")
    if low is not None and high is not None and low > high:
        raise BadFilter(
            "'min' (%(low)s %%) is above 'max' (%(high)s %%), so nothing can match. Exchange them.",
            low=args["min"],
            high=args["max"],
        )
    wanted = Filter(
        text=args.get("q", "").strip(),
        since=_midnight(first),
        until=_midnight(last + timedelta(days=1) if last else None),
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


def filter_said(args: MultiDict[str, str]) -> dict[str, str]:
    """Filter and order as an address says them, to be said again by another."""
    return {key: value for key, value in _said(args).items() if key in FIELDS}


def spell(key: Key) -> str:
    """A key as the address writes it."""
    return f"{key[0]!r}_{key[1]}"


def export_csv(wanted: Filter, order: str) -> Response:
    """Every match as CSV, sent while it is read."""
    return _download(_csv_lines(_answered(wanted, order)), "text/csv", "csv")


def export_json(wanted: Filter, order: str) -> Response:
    """Every match as one JSON object, sent while it is read."""
    return _download(_json_parts(_answered(wanted, order)), "application/json", "json")


def _answered(wanted: Filter, order: str) -> Iterator[tuple[Record, list[Review]]]:
    """Every match with what people answered, first to latest."""
    store = service().store
    records, reviews = History(store).walk(wanted, order), Reviews(store)
    while some := list(islice(records, CHUNK)):
        answers = reviews.each_of([record.id for record in some])
        yield from ((record, answers.get(record.id, [])) for record in some)


def _download(parts: Iterator[str], mimetype: str, ending: str) -> Response:
    response = Response(stream_with_context(parts), mimetype=mimetype)
    name = f"flawsight-history-{datetime.now().astimezone():%Y-%m-%d}.{ending}"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _csv_lines(answered: Iterator[tuple[Record, list[Review]]]) -> Iterator[str]:
    yield "\ufeff"  # so that spreadsheets read it as UTF-8
    head: list[str] | None = None
    for record, reviews in answered:
        with speaking(ENGLISH):
            row = _row(record, reviews[-1] if reviews else None)
        if head is None:
            head = list(row)
            yield csv_line(head)
        yield csv_line(list(row.values()))
    if head is None:
        yield csv_line(["number"])


def _row(record: Record, review: Review | None) -> dict[str, Any]:
    data = record.data
    return {
        "number": record.number,
        "created_at": record.created_at.isoformat(),
        "verdict": data["verdict"],
        "class": data["predicted_class"],
        "class_title": describe_class(data["predicted_class"]).title,
        "confidence": "" if data["verdict"] == "unknown" else data["confidence"],
        "defect_probability": data["defect_probability"],
        "boxes": len(data["boxes"]),
        **{key: data.get("context", {}).get(key, "") for key in CONTEXT},
        "image": data["image"]["name"],
        "image_sha256": data["image"]["sha256"],
        "model": f"{data['model']['name']} {data['model']['version']}",
        "model_sha256": data["model"]["sha256"],
        "record_sha256": record.record_sha256,
        "id": record.id,
        # Later columns stand at the end, so that whatever reads the earlier ones goes on to find them.
        "review_state": review.state if review else "none",
        "review_verdict": review.verdict if review else "",
        "review_class": review.class_id if review else "",
        "review_boxes": len(review.boxes) if review else "",
        "reviewer": review.reviewer if review else "",
        "reviewed_at": review.created_at.isoformat() if review else "",
        "disposition": review.disposition if review else "",
        "rationale": review.rationale if review else "",
        "box_classes": " ".join(sorted({box["class"] for box in data["boxes"]})),
        "template": (template_of(data) or {}).get("name", ""),
    }


def _json_parts(answered: Iterator[tuple[Record, list[Review]]]) -> Iterator[str]:
    yield '{"schema": "flawsight.history/1", "inspections": ['
    for index, (record, reviews) in enumerate(answered):
        said = {**answer.describe(record), "reviews": [review.to_dict() for review in reviews]}
        yield (",\n" if index else "\n") + json.dumps(said)
    yield "\n]}\n"


# --- reading the address --------------------------------------------------------------------------------


def _address(said: Mapping[str, str]) -> str:
    return url_for(".index", **dict[str, Any](said))


def _said(args: MultiDict[str, str]) -> dict[str, str]:
    return {key: value for key, value in args.items() if value}


def parse_date(args: Mapping[str, str], name: str) -> datetime | None:
    """The start of the day that the address names, where this server stands.

    Raises:
        BadFilter: it is no date.
    """
    return _midnight(_date(args, name))


def _date(args: Mapping[str, str], name: str) -> date | None:
    text = args.get(name)
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise BadFilter(
            "%(text)r is no date for '%(name)s'. Write it like 2026-11-20.", text=text, name=name
        ) from None


def _midnight(day: date | None) -> datetime | None:
    """The start of ``day`` where this server stands."""
    return datetime(day.year, day.month, day.day).astimezone() if day else None


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
    value, _, at = text.partition("_")
    try:
        return float(value), int(at)
    except ValueError:
        raise BadFilter("This page of the history cannot be found. Start again at its first page.") from None


def _rule(values: Mapping[str, str], wrong: type[FlawsightError] = BadFilter) -> Rule:
    days = values.get("days", "")
    if not (days.isascii() and days.isdigit() and len(days) < 10 and int(days) <= LONGEST_RULE):
        raise wrong(
            marked("%(days)r is no number of days. Write a whole number from 0 to %(longest_rule)s."),
            days=days,
            longest_rule=LONGEST_RULE,
        )
    which = one_of(values, "which", ("accepted", "all"), wrong) or "accepted"
    return Rule(int(days), only_accepted=which == "accepted")


# --- words ----------------------------------------------------------------------------------------------


def _line(entry: Entry, headline: str) -> Line:
    return Line(
        entry=entry,
        headline=headline,
        badge=badge_word(entry.final_verdict, describe_class(entry.final_class)),
        model_badge=badge_word(entry.verdict, describe_class(entry.predicted_class)),
        decided=entry.review_state != "none",
        created_text=spoken_time(entry.created_at),
        review=_(REVIEW_WORDS[entry.review_state]),
        disposition=_(DISPOSITIONS.get(entry.disposition, "")),
        part=" · ".join(filter(None, (entry.part_number, entry.serial))),
    )


def _count_text(count: int) -> str:
    if count > COUNTED:
        return _("More than %(count)s inspections", count=number(COUNTED))
    return ngettext("%(num)s inspection", "%(num)s inspections", count)
