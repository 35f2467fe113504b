"""Lots for programs, under ``/api/v1/lots``."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, request, url_for

from flawsight.records.assessment import Assessment
from flawsight.records.lot import BadLot, Lot
from flawsight.records.lots import Lots
from flawsight.records.pchart import p_chart
from flawsight.web import lots as pages
from flawsight.web.asked import json_object, known_only, texts_of
from flawsight.web.auth import requires
from flawsight.web.history_address import PLACES
from flawsight.web.lot_view import lot_json
from flawsight.web.security import csrf
from flawsight.web.service import service

bp = Blueprint("lots_api", __name__, url_prefix="/api/v1/lots")
csrf.exempt(bp)


@bp.get("")
def listed() -> Response:
    """A page of the lots, newest first; ``q``, ``state`` and ``part`` filter."""
    known_only(request.args, *pages.FIELDS, *PLACES)
    wanted, place = pages.parse(request.args)
    lots = Lots(service().store)
    page = lots.page(wanted, pages.PAGE, **place)
    said = {key: value for key, value in request.args.items() if key in pages.FIELDS and value}
    count = lots.count(wanted, pages.COUNTED + 1)

    def link(name: str, key: int | None) -> str | None:
        return url_for(".listed", **dict[str, Any]({**said, name: str(key)})) if key else None

    return jsonify(
        lots=[
            {**summary.lot.to_dict(), "figures": summary.figures.to_dict(), "links": _links(summary.lot)}
            for summary in page.lines
        ],
        count=min(count, pages.COUNTED),
        count_is_complete=count <= pages.COUNTED,
        next=link("after", page.after),
        previous=link("before", page.before),
    )


@bp.post("")
def create() -> Response:
    """Open a lot: ``number``, ``size``, ``level``, ``limits`` by severity, and what is known about it."""
    values = json_object(*pages.TERMS, "by")
    lots = Lots(service().store)
    lot = lots.open(pages.terms_of(values), pages.signed(values))
    response = _answer(lot, lots.assess(lot))
    response.status_code = 201
    response.headers["Location"] = url_for(".show", lot_id=lot.id)
    return response


@bp.get("/<int:lot_id>")
def show(lot_id: int) -> Response:
    """A lot with its figures, its parts and everything that was done."""
    return _answer(*pages.assessed(lot_id))


@bp.post("/<int:lot_id>/decision")
@requires("inspector")
def close(lot_id: int) -> Response:
    """Close a lot: ``decision`` accept, reject or withdraw, with a ``rationale`` where the plans differ."""
    names = ("decision", "rationale", "by")
    values = texts_of(json_object(*names), *names, wrong=BadLot)
    lots = Lots(service().store)
    lot = lots.close(lot_id, values["decision"], pages.signed(values), pages.written(values["rationale"]))
    return _answer(lot, lots.assess(lot))


@bp.post("/<int:lot_id>/disposition")
@requires("inspector")
def dispose(lot_id: int) -> Response:
    """Dispose of a closed lot: ``disposition`` is accept, reject, rework or sort; the latest counts."""
    values = json_object(*pages.DISPOSAL, "by")
    lots = Lots(service().store)
    lot = lots.dispose(lot_id, pages.disposal_of(values), pages.signed(values))
    return _answer(lot, lots.assess(lot))


@bp.get("/<int:lot_id>/report.pdf")
def report(lot_id: int) -> Response:
    """The lot report as PDF."""
    return pages.report(lot_id)


@bp.get("/<int:lot_id>/ncr.pdf")
def ncr(lot_id: int) -> Response:
    """The non-conformance report as PDF, if there is a non-conformance."""
    return pages.ncr(lot_id)


@bp.get("/<int:lot_id>/lot.csv")
def as_csv(lot_id: int) -> Response:
    """The lot's parts with their answers, a line each."""
    return pages.as_csv(lot_id)


@bp.get("/trend")
def trend() -> Response:
    """The p-chart: the latest closed lots with share and limits; ``part`` is a part number."""
    known_only(request.args, "part")
    chart = p_chart(Lots(service().store).trend(request.args.get("part", "").strip()))
    return jsonify(
        centre=chart.centre,
        provisional=chart.is_provisional,
        lots=[
            {
                "id": point.lot.lot_id,
                "number": point.lot.number,
                "closed_at": point.lot.closed_at.isoformat(),
                "n": point.lot.n,
                "nonconforming": point.lot.nonconforming,
                "undecided": point.lot.undecided,
                "share": point.share,
                "lower": point.lower,
                "upper": point.upper,
                "outside": point.side or None,
            }
            for point in chart.points
        ],
    )


def _answer(lot: Lot, assessment: Assessment) -> Response:
    return jsonify({**lot_json(lot, assessment), "links": _links(lot)})


def _links(lot: Lot) -> dict[str, str]:
    return {
        "self": url_for(".show", lot_id=lot.id),
        "page": url_for("lots.show", lot_id=lot.id),
        "pdf": url_for(".report", lot_id=lot.id),
        "ncr": url_for(".ncr", lot_id=lot.id),
        "csv": url_for(".as_csv", lot_id=lot.id),
    }
