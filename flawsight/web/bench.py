"""What the bench remembers between inspections: which part, lot, station, and who inspects.

Not the serial number: it belongs to one part, and the next picture mostly shows another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import quote, unquote

from flask import Blueprint, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from flawsight.errors import FlawsightError
from flawsight.i18n import gettext as _
from flawsight.i18n import marked
from flawsight.records.catalogue import folded
from flawsight.records.lot import STATES, LotFilter
from flawsight.records.lots import Lots
from flawsight.records.record import CONTEXT
from flawsight.web.auth import current_user
from flawsight.web.products import choices
from flawsight.web.service import service
from flawsight.web.trust_view import locked_text
from flawsight.web.view import spoken_time

COOKIE = "flawsight_bench"
KEPT_S = 365 * 24 * 3600
LENGTH = 80  # characters of one field
OFFERED = 5  # open lots that are offered in place of a closed one
INSPECTION_TYPES = (
    marked("Incoming"),
    marked("In process"),
    marked("Final"),
)  # offered; any other text may be written

bp = Blueprint("bench", __name__, url_prefix="/bench")


class BadContext(FlawsightError):
    """What is said about the part cannot be kept as it is."""

    code = "bad_context"
    status = 400


@bp.post("/context")
def keep() -> Response:
    """Remember the fields of the form; the page sends them as soon as one is changed."""
    return remember(make_response("", 204), checked(request.form))


@bp.get("/lot")
def lot_note() -> str:
    """What the bench says about the lot that is named, as a part of the page."""
    return render_template("lot_note.html", **_named_lot(clean(request.args)))


@bp.post("/lot/leave")
def leave_lot() -> Response:
    """Name no lot from now on."""
    kept = {key: value for key, value in remembered().items() if key != "lot"}
    return remember(redirect(url_for("pages.start"), 303), kept)


@bp.get("/camera")
def camera() -> str:
    it = service()
    problem = it.model_problem()
    asked = it.golden.schedule and not problem
    return render_template(
        "camera.html",
        model_problem=problem,
        locked=locked_text(it.golden.state(it.fingerprint())) if asked else "",
        **context_form(),
        products=choices(),
    )


def sent_context() -> dict[str, str]:
    """What the form says about the part; who is signed in is the inspector unless it names another.

    Raises:
        BadContext: a field is too long.
    """
    context = checked(request.form)
    user = current_user()
    if user.id and not context.get("inspector"):
        context["inspector"] = user.name
    return context


def remembered() -> dict[str, str]:
    """What this browser was told to remember; whatever is no longer understood is forgotten."""
    try:
        kept = json.loads(unquote(request.cookies.get(COOKIE, "{}")))
    except (ValueError, RecursionError):  # no JSON, or nested without end
        return {}
    return _without_serial(clean(kept)) if isinstance(kept, dict) else {}


def remember(response: Response, context: Mapping[str, str]) -> Response:
    """Let the browser of ``response`` remember ``context``, but for the serial number."""
    value = quote(json.dumps(_without_serial(context), separators=(",", ":")))
    response.set_cookie(
        COOKIE, value, max_age=KEPT_S, httponly=True, samesite="Lax", secure=request.is_secure
    )
    return response


def checked(values: Mapping[str, object]) -> dict[str, str]:
    """The known fields that say something, printable.

    Raises:
        BadContext: one is too long. Cut, it would be another number.
    """
    found = _printable(values)
    for key, value in found.items():
        if len(value) > LENGTH:
            raise BadContext(
                "'%(field)s' has %(length)s characters. Shorten it to %(most)s.",
                field=key if request.path.startswith("/api/") else _(CONTEXT[key]),
                length=len(value),
                most=LENGTH,
            )
    return found


def clean(values: Mapping[str, object]) -> dict[str, str]:
    """The same of what was remembered or is a folder's name, cut where it is too long."""
    return {key: value[:LENGTH] for key, value in _printable(values).items()}


def _printable(values: Mapping[str, object]) -> dict[str, str]:
    found = {
        key: "".join(sign for sign in str(values.get(key) or "") if sign.isprintable()).strip()
        for key in CONTEXT
    }
    return {key: value for key, value in found.items() if value}


def _without_serial(context: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in context.items() if key != "serial"}


def context_form() -> dict[str, object]:
    """What ``context.html`` needs."""
    context = remembered()
    return {
        **_named_lot(context),
        "fields": CONTEXT,
        "context": context,
        "inspection_types": INSPECTION_TYPES,
        "length": LENGTH,
        "open_lots": Lots(service().store).open_lots(),
    }


def _named_lot(context: Mapping[str, str]) -> dict[str, object]:
    """What ``lot_note.html`` needs: the lot that counts what is inspected now, and its template."""
    lots, number = Lots(service().store), context.get("lot", "")
    lot = lots.named(number) if number else None
    closed = lot.closed if lot else None
    # Where nobody ever opened a lot, its number is a text like any other.
    astray = bool(number) and (lot is None or closed is not None) and lots.count(LotFilter(), 1) > 0
    part = folded(context.get("part_number", ""))
    others = lots.open_lots() if astray else []
    others.sort(key=lambda other: folded(other.terms.part_number) != part)  # those of this part first
    templates = service().fleet.templates
    template = templates.chosen(context)
    return {
        "template": template,
        "other_revisions": [] if template else templates.of_part(context.get("part_number", "")),
        "lot_number": number,
        "lot": lot,
        "lot_state": STATES[lot.state] if lot else "",
        "lot_closed_text": spoken_time(closed.created_at) if closed else "",
        "lot_astray": astray,
        "part_astray": bool(lot and part and lot.terms.part_number and folded(lot.terms.part_number) != part),
        "other_lots": others[:OFFERED],
    }
