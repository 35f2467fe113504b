"""The sample gallery: thumbnails, and the inspection of one."""

from __future__ import annotations

from flask import Blueprint, redirect, url_for
from werkzeug.wrappers import Response

from flawsight import imaging
from flawsight.web import gallery
from flawsight.web.products import sent_product
from flawsight.web.service import service
from flawsight.web.thumbnails import send_thumbnail

KEEP_S = 300  # a sample may be exchanged

bp = Blueprint("samples", __name__, url_prefix="/samples")


@bp.get("/<name>/thumbnail")
def thumbnail(name: str) -> Response:
    return send_thumbnail(gallery.find_sample(service().settings.samples, name).path, KEEP_S)


@bp.post("/<name>")
def inspect(name: str) -> Response:
    it = service()
    sample = gallery.find_sample(it.settings.samples, name)
    data = imaging.read_bytes(sample.path, max_bytes=it.max_bytes)
    record = it.inspect(data, sample.name, product=sent_product())
    return redirect(url_for("inspections.show", inspection_id=record.id), 303)
