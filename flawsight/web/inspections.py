"""One inspection in the browser: made from a form, shown, downloaded."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from flask import Blueprint, redirect, render_template, send_file, url_for
from werkzeug.wrappers import Response

from flawsight.errors import NotFound
from flawsight.records.reviews import Reviews
from flawsight.reporting import build_report
from flawsight.web.answer import to_json, uploaded
from flawsight.web.bench import remember, sent_context
from flawsight.web.service import service
from flawsight.web.thumbnails import send_kept_thumbnail
from flawsight.web.view import ResultView, ReviewView

FOREVER = 365 * 24 * 3600  # seconds; a filed picture never changes

bp = Blueprint("inspections", __name__, url_prefix="/inspections")


@bp.get("")
def index() -> Response:
    return redirect(url_for("history.index"))


@bp.post("")
def create() -> Response:
    context = sent_context()
    record = service().inspect(*uploaded(), context)
    return remember(redirect(url_for(".show", inspection_id=record.id), 303), context)


@bp.get("/<inspection_id>")
def show(inspection_id: str) -> str:
    store = service().store
    answers = [ReviewView.of(review) for review in Reviews(store).of(inspection_id)]
    return render_template("result.html", view=ResultView.of(store.get(inspection_id)), answers=answers)


@bp.get("/<inspection_id>/report.pdf")
def report(inspection_id: str) -> Response:
    store = service().store
    record = store.get(inspection_id)
    review = Reviews(store).latest([inspection_id]).get(inspection_id)
    return send_file(
        BytesIO(build_report(record, review)),
        mimetype="application/pdf",
        download_name=f"{record.number}.pdf",
    )


@bp.get("/<inspection_id>/inspection.json")
def as_json(inspection_id: str) -> Response:
    return to_json(service().store.get(inspection_id))


@bp.get("/<inspection_id>/pictures/<kind>")
def picture(inspection_id: str, kind: str) -> Response:
    record = service().store.get(inspection_id)
    if kind not in record.pictures:
        raise NotFound(f"This inspection has no such picture. It has: {', '.join(record.pictures)}.")
    content = record.read(kind)
    ending = "png" if content.startswith(b"\x89PNG") else "jpg"
    response = send_file(
        BytesIO(content),
        mimetype="image/png" if ending == "png" else "image/jpeg",
        download_name=f"{record.number}-{kind}.{ending}",
    )
    response.headers["Cache-Control"] = f"private, max-age={FOREVER}, immutable"
    return response


@bp.get("/<inspection_id>/thumbnail")
def thumbnail(inspection_id: str) -> Response:
    original = service().store.get(inspection_id).pictures["original"]
    return send_kept_thumbnail(Path(str(original)), FOREVER)
