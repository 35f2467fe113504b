"""For programs: inspect, and get what was found with its report and pictures.

No form token is asked for: programs have none, and requests from other sites are refused for every
address alike (``security``).
"""

from __future__ import annotations

from flask import Blueprint, Response, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from flawsight.records.record import CONTEXT
from flawsight.web import inspections
from flawsight.web.answer import to_json, uploaded
from flawsight.web.asked import known_only
from flawsight.web.bench import sent_context
from flawsight.web.security import csrf
from flawsight.web.service import service

bp = Blueprint("api", __name__, url_prefix="/api/v1")
csrf.exempt(bp)


@bp.post("/inspections")
def create() -> Response:
    """Inspect an image and file what is found."""
    known_only(request.form, *CONTEXT, "product")
    record = service().inspect(*uploaded(), sent_context(), request.form.get("product", ""))
    response = to_json(record)
    response.status_code = 201
    response.headers["Location"] = url_for(".show", inspection_id=record.id)
    return response


@bp.get("/inspections/<inspection_id>")
def show(inspection_id: str) -> AnyResponse:
    """One inspection, with the answer of a person that counts."""
    return inspections.as_json(inspection_id)


@bp.get("/inspections/<inspection_id>/report.pdf")
def report(inspection_id: str) -> AnyResponse:
    """The report of an inspection as PDF."""
    return inspections.report(inspection_id)


@bp.get("/inspections/<inspection_id>/pictures/<kind>")
def picture(inspection_id: str, kind: str) -> AnyResponse:
    """One picture of an inspection: `original`, `heatmap`, `heat_layer`, `boxes` or `edges`."""
    return inspections.picture(inspection_id, kind)


@bp.get("/inspections/<inspection_id>/thumbnail")
def thumbnail(inspection_id: str) -> AnyResponse:
    """The original, small, for lists."""
    return inspections.thumbnail(inspection_id)
