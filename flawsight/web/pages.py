"""The start page."""

from __future__ import annotations

from flask import Blueprint, render_template

from flawsight.web.bench import context_form
from flawsight.web.gallery import list_samples
from flawsight.web.products import choices
from flawsight.web.service import service
from flawsight.web.trust_view import locked_text
from flawsight.web.view import ModelView, class_titles, summary

RECENT = 8

bp = Blueprint("pages", __name__)


@bp.get("/")
def start() -> str:
    it = service()
    problem = it.model_problem()
    known = [] if problem else it.fleet.metadata()
    return render_template(
        "start.html",
        models=[ModelView.of(metadata) for metadata in known],
        titles=class_titles(*known),
        model_problem=problem,
        locked=locked_text(it.golden.state(it.fingerprint())) if it.golden.schedule and not problem else "",
        samples=list_samples(it.settings.samples),
        samples_folder=it.settings.samples.name,
        recent=[summary(record) for record in it.store.recent(RECENT)],
        max_bytes=it.max_bytes,
        **context_form(),
        products=choices(),
        max_mb=f"{it.settings.max_upload_mb:g}",
    )
