"""Deleting old inspections by rule, and the record of what was deleted; a page, and for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, flash, jsonify, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from flawsight.errors import FlawsightError
from flawsight.i18n import marked, ngettext
from flawsight.records.retention import Deletion, Retention, Rule
from flawsight.web.asked import BadBody, BadFilter, json_object, known_only, one_of
from flawsight.web.auth import current_user, requires
from flawsight.web.security import csrf
from flawsight.web.service import service
from flawsight.web.view import NOBODY, spoken_time

LONGEST_RULE = 36_500  # days

bp = Blueprint("retention", __name__, url_prefix="/history/retention")
api = Blueprint("retention_api", __name__, url_prefix="/api/v1/retention")
csrf.exempt(api)


@bp.get("")
@requires("admin")
def index() -> str:
    rule = _rule(request.args) if "days" in request.args else None
    it = Retention(service().store)
    return render_template(
        "retention.html",
        rule=rule,
        preview=it.preview(rule) if rule else None,
        log=[(deletion, spoken_time(deletion.created_at)) for deletion in it.log()],
        longest=LONGEST_RULE,
    )


@bp.post("")
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
    return redirect(url_for(".index"), 303)


# --- for programs ---------------------------------------------------------------------------------------


@api.get("")
@requires("admin")
def deletions() -> Response:
    """What was deleted by rule, latest first."""
    known_only(request.args)
    return jsonify(deletions=[_deletion_json(one) for one in Retention(service().store).log()])


@api.get("/matching")
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


@api.post("")
@requires("admin")
def apply_rule() -> Response:
    """Delete by rule, and keep a record of it."""
    values = json_object()
    rule = _rule({key: str(values[key]) for key in ("days", "which") if key in values}, BadBody)
    return jsonify(_deletion_json(Retention(service().store).apply(rule, current_user().name or "a program")))


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
