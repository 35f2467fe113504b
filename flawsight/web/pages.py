"""The start page."""

from __future__ import annotations

from flask import Blueprint, render_template

from flawsight.metadata import ModelMetadata
from flawsight.records.reviews import Reviews
from flawsight.web.bench import context_form
from flawsight.web.gallery import list_samples
from flawsight.web.model_view import unrecognised
from flawsight.web.products import choices
from flawsight.web.service import service
from flawsight.web.trust_view import locked_text
from flawsight.web.view import ModelView, Summary, summary

RECENT = 8

bp = Blueprint("pages", __name__)


@bp.get("/")
def start() -> str:
    it = service()
    problem = it.model_problem()
    known = [] if problem else it.fleet.metadata()
    return render_template(
        "start.html",
        models=[ModelView.of(metadata, _unrecognised(metadata)) for metadata in known],
        model_problem=problem,
        locked=locked_text(it.golden.state(it.fingerprint())) if it.golden.schedule and not problem else "",
        samples=list_samples(it.settings.samples),
        samples_folder=it.settings.samples.name,
        recent=_recent(),
        max_bytes=it.max_bytes,
        **context_form(),
        products=choices(),
        max_mb=f"{it.settings.max_upload_mb:g}",
    )


@bp.get("/recent")
def recent() -> str:
    """The list of recent inspections, as a part of the page."""
    return render_template("recent.html", recent=_recent())


def _recent() -> list[Summary]:
    """The latest inspections with the answers that count."""
    store = service().store
    records = store.recent(RECENT)
    answers = Reviews(store).latest([record.id for record in records])
    return [summary(record, answers.get(record.id)) for record in records]


def _unrecognised(metadata: ModelMetadata) -> list[str]:
    """The classes that a model on the bench recognised not once in its test."""
    fleet = service().fleet
    results = [fleet.library.results(model) for model in fleet.bench()]
    return [class_id for one in results for class_id in unrecognised(one, metadata)]
