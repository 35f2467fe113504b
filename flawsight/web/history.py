"""The history: search, filter, and save what was found. The address holds the filter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from flawsight.i18n import gettext as _
from flawsight.i18n import marked, ngettext, number
from flawsight.inspection.result import VERDICTS
from flawsight.records.reviews import DISPOSITIONS, Reviews
from flawsight.records.search import ORDERS, Entry, History
from flawsight.taxonomy import describe as describe_class
from flawsight.web.asked import BadFilter
from flawsight.web.history_address import filter_said, parse, said, spell
from flawsight.web.history_export import export_csv, export_json
from flawsight.web.service import service
from flawsight.web.view import badge_word, spoken_time, summary

PAGE = 50
COUNTED = 10_000  # above this the page says "more than"
REVIEW_WORDS = {
    "none": marked("Not reviewed"),
    "confirmed": marked("Confirmed"),
    "corrected": marked("Corrected"),
}

bp = Blueprint("history", __name__, url_prefix="/history")


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
        return redirect(_address(said(request.args)))
    try:
        wanted, order, place = parse(request.args)
    except BadFilter as error:
        return _page(problem=error.said()), error.status
    history = History(service().store)
    page = history.page(wanted, order, PAGE, **place)
    kept = filter_said(request.args)
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
        newer=page.before and _address({**kept, "before": spell(page.before)}),
        older=page.after and _address({**kept, "after": spell(page.after)}),
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


def _address(said: Mapping[str, str]) -> str:
    return url_for(".index", **dict[str, Any](said))


def _line(entry: Entry, headline: str) -> Line:
    return Line(
        entry=entry,
        headline=headline,
        badge=badge_word(entry.final_verdict, describe_class(entry.final_class or entry.predicted_class)),
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
