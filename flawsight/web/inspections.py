"""One inspection in the browser: made from a form, shown, downloaded."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from flask import Blueprint, after_this_request, redirect, render_template, request, send_file, url_for
from werkzeug.wrappers import Response

from flawsight.errors import NotFound
from flawsight.inspection.pictures import edge_layer, truth_layer
from flawsight.inspection.template import learned
from flawsight.inspection.words import template_of
from flawsight.records.issued import issue
from flawsight.records.lot import STATES
from flawsight.records.lots import Lots
from flawsight.records.reviews import Reviews
from flawsight.records.search import History
from flawsight.web.answer import to_json, uploaded
from flawsight.web.bench import remember, sent_context
from flawsight.web.explanations import others_problem
from flawsight.web.gallery import find_truth
from flawsight.web.history_address import filter_said, parse
from flawsight.web.products import remember_product, sent_product
from flawsight.web.service import service
from flawsight.web.thumbnails import send_kept_thumbnail, send_thumbnail
from flawsight.web.view import ResultView, ReviewView

FOREVER = 365 * 24 * 3600  # seconds; a filed picture never changes
KEPT_TEMPLATE = 300  # seconds; then it is looked at again whether the picture is as it was kept
SAMPLE_KEPT = 300  # seconds; a sample's mask may be drawn again

bp = Blueprint("inspections", __name__, url_prefix="/inspections")


@bp.get("")
def index() -> Response:
    return redirect(url_for("history.index"))


@bp.post("")
def create() -> Response:
    context = sent_context()
    # Also where the picture cannot be used: the next one is of the same lot.
    after_this_request(lambda response: remember(response, context))
    record = service().inspect(*uploaded(), context, sent_product())
    return remember_product(redirect(url_for(".show", inspection_id=record.id), 303))


@bp.get("/<inspection_id>")
def show(inspection_id: str) -> str:
    """The result; whoever comes from the history has its filter in the address and stays within it."""
    it = service()
    wanted, order, _place = parse(said := filter_said(request.args))
    record = it.store.get(inspection_id)
    answers = Reviews(it.store).of(inspection_id)
    used = template_of(record.data) or {}
    before, after = History(it.store).neighbours(inspection_id, wanted, order)
    return render_template(
        "result.html",
        view=ResultView.of(record, answers[-1] if answers else None),
        answers=[ReviewView.of(answer, record.data) for answer in answers],
        lot=Lots(it.store).of_inspection(inspection_id),
        states=STATES,
        said=said,
        truth=find_truth(it.settings.samples, record.data["image"]["name"], record.data["image"]["sha256"]),
        before=before,
        after=after,
        others_problem=others_problem(),
        compares=it.model_problem() is None
        and any(learned(one, record.data["predicted_class"]) for one in it.fleet.metadata()),
        template_lost=bool(used) and not it.fleet.templates.intact(used["sha256"]),
    )


@bp.get("/<inspection_id>/report.pdf")
def report(inspection_id: str) -> Response:
    from flawsight.reporting.report import build_report  # here: 12 MB that only reports need

    store = service().store
    record = store.get(inspection_id)
    answers = Reviews(store).of(inspection_id)
    pdf = issue(store, record.id, record.number, lambda head: build_report(record, answers, head))
    return send_file(
        BytesIO(pdf),
        mimetype="application/pdf",
        download_name=f"{record.number}.pdf",
    )


@bp.get("/<inspection_id>/inspection.json")
def as_json(inspection_id: str) -> Response:
    store = service().store
    review = Reviews(store).latest([inspection_id]).get(inspection_id)
    return to_json(store.get(inspection_id), review)


@bp.get("/<inspection_id>/pictures/<kind>")
def picture(inspection_id: str, kind: str) -> Response:
    record = service().store.get(inspection_id)
    if kind not in record.pictures:
        raise NotFound(
            "This inspection has no such picture. It has: %(known)s.", known=", ".join(record.pictures)
        )
    content = record.read(kind)
    ending = "png" if content.startswith(b"\x89PNG") else "jpg"
    response = send_file(
        BytesIO(content),
        mimetype="image/png" if ending == "png" else "image/jpeg",
        download_name=f"{record.number}-{kind}.{ending}",
    )
    response.headers["Cache-Control"] = f"private, max-age={FOREVER}, immutable"
    return response


@bp.get("/<inspection_id>/layers/edges")
def edges(inspection_id: str) -> Response:
    """The Sobel edges inside the hot region, to be laid over the original."""
    record = service().store.get(inspection_id)
    return _layer(edge_layer(record.read("original"), record.read("heat_layer")), FOREVER)


@bp.get("/<inspection_id>/layers/truth")
def truth(inspection_id: str) -> Response:
    """Where the defect of a sample is known to be, to be laid over the original."""
    it = service()
    image = it.store.get(inspection_id).data["image"]
    mask = find_truth(it.settings.samples, image["name"], image["sha256"])
    if mask is None:
        raise NotFound("Nothing is known about where this part is defective.")
    return _layer(truth_layer(mask.read_bytes()), SAMPLE_KEPT)


def _layer(png: bytes, seconds: int) -> Response:
    response = send_file(BytesIO(png), mimetype="image/png")
    response.headers["Cache-Control"] = f"private, max-age={seconds}"
    return response


@bp.get("/<inspection_id>/template")
def template(inspection_id: str) -> Response:
    """A small picture of what the part was held against."""
    it = service()
    used = template_of(it.store.get(inspection_id).data)
    if used is None:
        raise NotFound("This part was compared with no template.")
    return send_thumbnail(it.fleet.templates.checked(used["sha256"], used["name"]), KEPT_TEMPLATE)


@bp.get("/<inspection_id>/thumbnail")
def thumbnail(inspection_id: str) -> Response:
    original = service().store.get(inspection_id).pictures["original"]
    return send_kept_thumbnail(Path(str(original)), FOREVER)
