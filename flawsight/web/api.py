"""For programs: ``POST /api/v1/inspections`` and ``GET /api/v1/inspections/<id>``.

No form token is asked for: programs have none, and requests from other sites are refused for every
address alike (``security``).
"""

from __future__ import annotations

from flask import Blueprint, Response, url_for

from flawsight.web.answer import to_json, uploaded
from flawsight.web.bench import sent_context
from flawsight.web.security import csrf
from flawsight.web.service import service

bp = Blueprint("api", __name__, url_prefix="/api/v1")
csrf.exempt(bp)


@bp.post("/inspections")
def create() -> Response:
    record = service().inspect(*uploaded(), sent_context())
    response = to_json(record)
    response.status_code = 201
    response.headers["Location"] = url_for(".show", inspection_id=record.id)
    return response


@bp.get("/inspections/<inspection_id>")
def show(inspection_id: str) -> Response:
    return to_json(service().store.get(inspection_id))
