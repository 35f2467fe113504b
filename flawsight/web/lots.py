"""Lots: opened, inspected into, closed and disposed of; their list, their reports, their trend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

from flask import Blueprint, Response, flash, jsonify, redirect, render_template, request, send_file, url_for
from werkzeug.wrappers import Response as AnyResponse

from flawsight.i18n import gettext as _
from flawsight.i18n import ngettext, number
from flawsight.records.assessment import PART_WORDS, SEVERITIES, SEVERITY_WORDS, Assessment, plans
from flawsight.records.issued import issue
from flawsight.records.links import Head
from flawsight.records.lot import (
    DEFAULT_LIMITS,
    DISPOSITIONS,
    DRAWN,
    LENGTH,
    STATES,
    BadLot,
    Disposal,
    Lot,
    LotConflict,
    LotFilter,
    Terms,
)
from flawsight.records.lots import Lots
from flawsight.records.pchart import p_chart
from flawsight.records.sampling import LARGEST_LOT, LEVELS, LIMITS, BadPlan
from flawsight.web.asked import BadFilter
from flawsight.web.auth import current_user, requires
from flawsight.web.bench import clean, remember, remembered
from flawsight.web.lot_view import (
    ChartView,
    LotView,
    has_ncr,
    limit_words,
    line,
    lot_json,
    part_tile,
    plan_row,
)
from flawsight.web.service import service
from flawsight.web.spreadsheet import csv_line

PAGE = 25
PARTS = 60  # on one page of a lot
COUNTED = 10_000
DIGITS = 15  # of a lot size that is worth a closer answer than that it is none
FIELDS = ("q", "state", "part")
PLACES = ("after", "before")
TERMS = ("number", "size", "part_number", "part_revision", "supplier", "level", "drawn", "limits")
DISPOSAL = ("disposition", "rationale", "containment", "reference")
SHOWN = ("all", *PART_WORDS)

bp = Blueprint("lots", __name__, url_prefix="/lots")


@bp.get("")
def index() -> str | AnyResponse:
    said = {name: request.args[name] for name in (*FIELDS, *PLACES) if request.args.get(name)}
    if len(said) < len(request.args):  # a form sends every field; the address keeps those that say something
        return redirect(url_for(".index", **dict[str, Any](said)))
    wanted, place = parse(request.args)
    lots = Lots(service().store)
    page = lots.page(wanted, PAGE, **place)
    filters = {key: value for key, value in said.items() if key in FIELDS}

    def link(name: str, key: int | None) -> str | None:
        return url_for(".index", **dict[str, Any]({**filters, name: str(key)})) if key else None

    return render_template(
        "lots.html",
        lines=[line(summary) for summary in page.lines],
        count_text=_count_text(lots.count(wanted, COUNTED + 1)),
        filtered=not wanted.is_empty(),
        said=filters,
        states=STATES,
        part_numbers=lots.part_numbers(),
        newer=link("before", page.before),
        older=link("after", page.after),
    )


@bp.get("/new")
def new() -> str:
    return _form({**remembered(), "level": "II", "drawn": "random"})


@bp.post("/new")
def preview() -> str:
    """The form as it was filled in, with the plan it gives; nothing is opened."""
    return _form(request.form)


@bp.get("/plan")
def plan() -> str:
    """The plan that a lot of this size and these limits would have, as a part of the page."""
    return render_template("lot_plan.html", **_plan(request.args))


@bp.post("")
def create() -> AnyResponse | tuple[str, int]:
    form = request.form
    try:
        lot = Lots(service().store).open(terms_of({**form, "limits": _sent_limits(form)}), signed(form))
    except (BadLot, BadPlan, LotConflict) as error:
        return _form(form, error.said()), error.status
    return redirect(url_for(".show", lot_id=lot.id), 303)


@bp.get("/<int:lot_id>")
def show(lot_id: int) -> str:
    return _page(Lots(service().store).get(lot_id))


@bp.get("/<int:lot_id>/mark")
def mark(lot_id: int) -> Response:
    """Whether the page of a lot is up to date; it asks again and again."""
    lots = Lots(service().store)
    lot = lots.get(lot_id)
    response = jsonify(mark=lots.mark(lot), open=lot.state == "open")
    response.headers["Cache-Control"] = "no-store"
    return response


@bp.post("/<int:lot_id>/inspect")
def inspect(lot_id: int) -> AnyResponse:
    """Let the bench name this lot and its part from now on."""
    terms = Lots(service().store).get(lot_id).terms
    part = {"lot": terms.number, "part_number": terms.part_number, "part_revision": terms.part_revision}
    return remember(redirect(url_for("pages.start"), 303), clean({**remembered(), **part}))


@bp.post("/<int:lot_id>/close")
@requires("inspector")
def close(lot_id: int) -> AnyResponse | tuple[str, int]:
    lots, form = Lots(service().store), request.form
    try:
        lots.close(lot_id, form.get("decision", ""), signed(form), written(form.get("rationale", "")))
    except (BadLot, LotConflict) as error:
        return _page(lots.get(lot_id), error.said(), form), error.status
    flash(_("The lot was closed."))
    return _back(lot_id)


@bp.post("/<int:lot_id>/dispose")
@requires("inspector")
def dispose(lot_id: int) -> AnyResponse | tuple[str, int]:
    lots, form = Lots(service().store), request.form
    try:
        lots.dispose(lot_id, disposal_of(form), signed(form), form.get("seen", type=int))
    except (BadLot, LotConflict) as error:
        return _page(lots.get(lot_id), error.said(), form), error.status
    flash(_("The disposition was filed."))
    return _back(lot_id)


@bp.get("/<int:lot_id>/report.pdf")
def report(lot_id: int) -> Response:
    from flawsight.reporting.lot_report import build_lot_report  # here: 12 MB that only reports need

    store = service().store
    lot, assessment = assessed(lot_id)
    judged_with = Lots(store).judged_with(lot)

    def render(head: Head | None) -> bytes:
        return build_lot_report(lot, assessment, judged_with, store.get, head)

    return _pdf(issue(store, f"lot {lot.id}", lot.report_number, render), lot.report_number)


@bp.get("/<int:lot_id>/ncr.pdf")
def ncr(lot_id: int) -> Response:
    from flawsight.reporting.ncr import build_ncr  # here: 12 MB that only reports need

    store = service().store
    lot, assessment = assessed(lot_id)
    if not has_ncr(lot, assessment.figures):
        raise LotConflict("No part of this lot is nonconforming, so there is nothing to report.")
    number = lot.ncr_number
    pdf = issue(store, f"ncr {lot.id}", number, lambda head: build_ncr(lot, assessment, store.get, head))
    return _pdf(pdf, number)


@bp.get("/<int:lot_id>/lot.csv")
def as_csv(lot_id: int) -> Response:
    lot, assessment = assessed(lot_id)
    response = Response("".join(_csv_lines(lot, assessment)), mimetype="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="{lot.report_number}.csv"'
    return response


@bp.get("/<int:lot_id>/lot.json")
def as_json(lot_id: int) -> Response:
    lot, assessment = assessed(lot_id)
    response = jsonify(lot_json(lot, assessment))
    response.headers["Content-Disposition"] = f'attachment; filename="{lot.report_number}.json"'
    return response


@bp.get("/trend")
def trend() -> str:
    part = request.args.get("part", "").strip()
    lots = Lots(service().store)
    chart = p_chart(lots.trend(part))
    return render_template(
        "lot_trend.html",
        chart=ChartView.of(chart),
        drawn=chart.is_drawn,
        part=part,
        parts=lots.part_numbers(),
    )


# --- what pages and API share ---------------------------------------------------------------------------


def parse(args: Mapping[str, str]) -> tuple[LotFilter, dict[str, int]]:
    """Filter, and the id to go on from, as :meth:`Lots.page` takes them.

    Raises:
        BadFilter: a value cannot be understood.
    """
    state = args.get("state", "")
    if state and state not in STATES:
        raise BadFilter(
            "There is no state '%(state)s'. Choose one of: %(known)s.", state=state, known=", ".join(STATES)
        )
    wanted = LotFilter(args.get("q", "").strip(), state, args.get("part", "").strip())
    place = {name: args[name] for name in PLACES if args.get(name)}
    if any(not (text.isascii() and text.isdigit() and len(text) < 19) for text in place.values()):
        raise BadFilter("This page of the lots cannot be found. Start again at the first page.")
    return wanted, {name: int(text) for name, text in place.items()}


def terms_of(values: Mapping[str, Any]) -> Terms:
    """The terms of a lot from what a form or a program sent.

    Raises:
        BadLot: a value is of another kind.
    """
    size, limits = values.get("size", ""), values.get("limits", {})
    texts = {key: values.get(key, "") for key in ("number", "part_number", "part_revision", "supplier")}
    if isinstance(size, str) and size.isascii() and size.isdigit() and len(size) < DIGITS:
        size = int(size)
    if type(size) is not int or not -(10**DIGITS) < size < 10**DIGITS:
        raise BadLot("The lot size is a whole number of parts.")
    named = {**texts, "level": values.get("level", "II"), "drawn": values.get("drawn", "random")}
    if not isinstance(limits, dict) or any(
        not isinstance(text, str) for text in (*named.values(), *limits.values())
    ):
        raise BadLot("'limits' is an object of texts, everything but the size a text.")
    if unknown := sorted(set(limits) - set(SEVERITIES)):
        raise BadLot(
            "There is no severity '%(unknown)s'. The severities are: %(known)s.",
            unknown=unknown[0],
            known=", ".join(SEVERITIES),
        )
    return Terms(
        size=size,
        limits={**DEFAULT_LIMITS, **limits},
        **{name: text.strip() for name, text in named.items()},
    )


def disposal_of(values: Mapping[str, Any]) -> Disposal:
    """What becomes of a lot, from what a form or a program sent.

    Raises:
        BadLot: a value is no text.
    """
    texts = {key: values.get(key, "") for key in DISPOSAL}
    if any(not isinstance(text, str) for text in texts.values()):
        raise BadLot("Every value of a disposition is a text.")
    return Disposal(**{key: written(text) for key, text in texts.items()})


def signed(values: Mapping[str, Any]) -> str:
    """Who does this: whoever is signed in, else the name that was given."""
    user = current_user()
    given = values.get("by")
    return user.name if user.id else given.strip() if isinstance(given, str) else ""


def written(text: str) -> str:
    return text.strip().replace("\r\n", "\n")


def assessed(lot_id: int) -> tuple[Lot, Assessment]:
    """The lot and its parts, held against its plans."""
    lots = Lots(service().store)
    lot = lots.get(lot_id)
    return lot, lots.assess(lot)


# --- inside ---------------------------------------------------------------------------------------------


def _page(lot: Lot, problem: str = "", form: Mapping[str, str] | None = None) -> str:
    lots = Lots(service().store)
    mark = lots.mark(lot)  # before the parts are looked at: whatever comes between is found by the next look
    assessment = lots.assess(lot)
    shown = request.args.get("show", "all")
    shown = shown if shown in SHOWN else "all"
    parts = [part for part in assessment.parts if shown in ("all", part.state)]
    place = max(0, min(request.args.get("from", 0, int), len(parts) - 1)) // PARTS * PARTS
    counts = {state: sum(part.state == state for part in assessment.parts) for state in PART_WORDS}
    return render_template(
        "lot.html",
        mark=mark,
        page=url_for(
            ".show",
            lot_id=lot.id,
            **dict[str, Any]({"show": shown if shown != "all" else None, "from": place or None}),
        ),
        view=LotView.of(lot, assessment, lots.changed(lot), lots.late(lot)),
        parts=[part_tile(part) for part in parts[place : place + PARTS]],
        shown=shown,
        counts={"all": len(assessment.parts), **counts},
        words={"all": _("All"), **{state: _(word) for state, word in PART_WORDS.items()}},
        before=place - PARTS if place else None,
        after=place + PARTS if place + PARTS < len(parts) else None,
        problem=problem,
        form=form or {},
        by=(form or {}).get("by") or remembered().get("inspector", ""),
        may_close=current_user().may("inspector"),
        dispositions=DISPOSITIONS,
        length=LENGTH,
    )


def _form(values: Mapping[str, str], problem: str = "") -> str:
    limits = [
        (severity, SEVERITY_WORDS[severity], values.get(f"limit_{severity}", DEFAULT_LIMITS[severity]))
        for severity in SEVERITIES
    ]
    return render_template(
        "lot_new.html",
        values=values,
        problem=problem,
        severities=limits,
        limits=[(limit, limit_words(limit)) for limit in LIMITS],
        levels=LEVELS,
        drawn=DRAWN,
        by=values.get("by") or remembered().get("inspector", ""),
        largest=LARGEST_LOT,
        length=LENGTH,
        **_plan(values),
    )


def _plan(values: Mapping[str, str]) -> dict[str, Any]:
    """What ``lot_plan.html`` needs; nothing is shown before the size is said."""
    shown: dict[str, Any] = {"plan": [], "plan_sample": 0, "plan_problem": ""}
    if not values.get("size"):
        return shown
    try:
        terms = terms_of({**values, "limits": _sent_limits(values)})
        found = plans(terms.size, terms.level, terms.limits)
    except (BadLot, BadPlan) as error:
        return {**shown, "plan_problem": error.said()}
    rows = [plan_row(severity, plan) for severity, plan in found.items()]
    return {**shown, "plan": rows, "plan_sample": max(plan.n for plan in found.values())}


def _sent_limits(form: Mapping[str, str]) -> dict[str, str]:
    return {severity: form.get(f"limit_{severity}", DEFAULT_LIMITS[severity]) for severity in SEVERITIES}


def _back(lot_id: int) -> AnyResponse:
    """To the lot; the bench keeps in mind who it was."""
    kept = clean({**remembered(), "inspector": signed(request.form)})
    return remember(redirect(url_for(".show", lot_id=lot_id), 303), kept)


def _pdf(content: bytes, number: str) -> Response:
    return send_file(BytesIO(content), mimetype="application/pdf", download_name=f"{number}.pdf")


def _csv_lines(lot: Lot, assessment: Assessment) -> Iterator[str]:
    """One line an inspection; parts are numbered in the order of inspection.

    What a rule deleted is a line with that state and the number of inspections alone. Which parts these were
    is no longer known, so those that are left are numbered among themselves.
    """
    yield "\ufeff"  # so that spreadsheets read it as UTF-8
    yield csv_line(
        ["lot", "part", "state", "severity", "defects", "serial", "number", "created_at", "verdict", "class",
         "reviewer", "image", "part_number", "inspections"]
    )  # fmt: skip
    for index, part in enumerate(assessment.parts, start=1):
        for look in part.looks:
            yield csv_line(
                [lot.terms.number, index, part.state, part.severity, " ".join(filter(None, part.defects)),
                 look.serial, look.number, look.created_at.isoformat(), look.verdict, look.class_id,
                 look.reviewer, look.name, look.part_number, 1]
            )  # fmt: skip
    for taken in assessment.deleted:
        yield csv_line([lot.terms.number, "", "deleted", *[""] * 10, taken.inspections])


def _count_text(count: int) -> str:
    if count > COUNTED:
        return _("More than %(num)s lots", num=number(COUNTED))
    return ngettext("%(num)s lot", "%(num)s lots", count)
