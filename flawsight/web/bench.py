"""What the bench remembers between inspections: which part, lot, station, and who inspects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import quote, unquote

from flask import Blueprint, make_response, render_template, request
from werkzeug.wrappers import Response

from flawsight.i18n import marked
from flawsight.records.lots import Lots
from flawsight.records.record import CONTEXT
from flawsight.web.auth import current_user
from flawsight.web.products import choices
from flawsight.web.service import service
from flawsight.web.view import class_titles

COOKIE = "flawsight_bench"
KEPT_S = 365 * 24 * 3600
LENGTH = 80  # characters of one field
INSPECTION_TYPES = (
    marked("Incoming"),
    marked("In process"),
    marked("Final"),
)  # offered; any other text may be written

bp = Blueprint("bench", __name__, url_prefix="/bench")


@bp.post("/context")
def keep() -> Response:
    """Remember the fields of the form; the page sends them as soon as one is changed."""
    return remember(make_response("", 204), clean(request.form))


@bp.get("/camera")
def camera() -> str:
    it = service()
    problem = it.model_problem()
    titles = {} if problem else class_titles(*it.fleet.metadata())
    return render_template(
        "camera.html", model_problem=problem, titles=titles, **context_form(), products=choices()
    )


def sent_context() -> dict[str, str]:
    """What the form says about the part; who is signed in is the inspector unless it names another."""
    context = clean(request.form)
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
    return clean(kept) if isinstance(kept, dict) else {}


def remember(response: Response, context: Mapping[str, str]) -> Response:
    """Let the browser of ``response`` remember ``context``."""
    value = quote(json.dumps(dict(context), separators=(",", ":")))
    response.set_cookie(
        COOKIE, value, max_age=KEPT_S, httponly=True, samesite="Lax", secure=request.is_secure
    )
    return response


def clean(values: Mapping[str, object]) -> dict[str, str]:
    """The known fields that say something, printable and of bounded length."""
    found = {
        key: "".join(sign for sign in str(values.get(key, "")) if sign.isprintable()).strip()[:LENGTH]
        for key in CONTEXT
    }
    return {key: value for key, value in found.items() if value}


def context_form() -> dict[str, object]:
    """What ``context.html`` needs."""
    return {
        "fields": CONTEXT,
        "context": remembered(),
        "inspection_types": INSPECTION_TYPES,
        "length": LENGTH,
        "open_lots": Lots(service().store).open_lots(),
    }
