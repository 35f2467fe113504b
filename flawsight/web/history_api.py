"""The history for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from flask import Blueprint, Response, jsonify, request, url_for

from flawsight.records.search import Entry, History, Key, Page
from flawsight.web.asked import known_only
from flawsight.web.history import COUNTED, PAGE
from flawsight.web.history_address import FIELDS, PLACES, filter_said, parse, spell
from flawsight.web.history_export import export_csv, export_json
from flawsight.web.security import csrf
from flawsight.web.service import service

bp = Blueprint("history_api", __name__, url_prefix="/api/v1")
csrf.exempt(bp)


@bp.get("/inspections")
def listed() -> Response:
    """One page of the history; the parameters are those of the page's address."""
    known_only(request.args, *FIELDS, *PLACES)
    wanted, order, place = parse(request.args)
    history = History(service().store)
    page = history.page(wanted, order, PAGE, **place)
    said = filter_said(request.args)
    count = history.count(wanted, COUNTED + 1)

    return page_json(page, count, ".listed", said)


@bp.get("/inspections/history.csv")
def csv_for_programs() -> Response:
    """Every match as CSV, with the answer of a person that counts."""
    known_only(request.args, *FIELDS)
    return export_csv(*parse(request.args)[:2])


@bp.get("/inspections/history.json")
def json_for_programs() -> Response:
    """Every match with all that was found and all that people answered."""
    known_only(request.args, *FIELDS)
    return export_json(*parse(request.args)[:2])


def page_json(page: Page, count: int, endpoint: str, said: Mapping[str, str]) -> Response:
    """One page of inspections, of ``count`` or more than are counted, with links to those beside it.

    ``said`` is what the address of ``endpoint`` says beside the place.
    """

    def link(name: str, key: Key | None) -> str | None:
        return url_for(endpoint, **dict[str, Any]({**said, name: spell(key)})) if key else None

    return jsonify(
        inspections=[entry_json(entry) for entry in page.entries],
        count=min(count, COUNTED),
        count_is_complete=count <= COUNTED,
        next=link("after", page.after),
        previous=link("before", page.before),
    )


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
