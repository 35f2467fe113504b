"""For programs: models, thresholds, the shadow and comparisons under ``/api/v1``."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from flawsight.errors import NotFound
from flawsight.inspection.library import InstalledModel
from flawsight.inspection.studies import find_study, studies
from flawsight.records.models import Change, Setup
from flawsight.web import models as pages
from flawsight.web import threshold_view as sliders
from flawsight.web.asked import json_object, texts_of
from flawsight.web.auth import requires
from flawsight.web.security import csrf
from flawsight.web.service import service
from flawsight.web.study_view import study_line

bp = Blueprint("models_api", __name__, url_prefix="/api/v1")
csrf.exempt(bp)


@bp.get("/models")
def listed() -> Response:
    """Every installed model and which of them answer."""
    fleet = service().fleet
    setup = fleet.models.setup()
    return jsonify(
        models=[_model(model, setup) for model in fleet.library.models()],
        bench=[model.key for model in fleet.bench(setup)],
        shadow=setup.shadow or None,
    )


@bp.post("/models")
@requires("admin")
def install() -> Response:
    """Install the ONNX file of the form field ``file``, with ``results`` and ``why``."""
    model = pages.install_sent(request.form.get("why", ""))
    response = jsonify(_model(model, service().fleet.models.setup()))
    response.status_code = 201
    response.headers["Location"] = url_for(".show", key=model.key)
    return response


@bp.get("/models/<key>")
def show(key: str) -> Response:
    """One model with what was measured of it."""
    fleet = service().fleet
    model = fleet.library.get(key)
    test = fleet.library.results(model).get("test")
    measured = (
        {name: part for name, part in test.items() if name != "curves"} if isinstance(test, dict) else {}
    )
    charts = {name: url_for(".chart", key=key, name=name) for name in fleet.library.charts(model)}
    return jsonify({**_model(model, fleet.models.setup()), "test": measured, "charts": charts})


@bp.get("/models/<key>/charts/<name>")
def chart(key: str, name: str) -> AnyResponse:
    """A chart of the model's training or test, by the name that the model lists."""
    return pages.chart(key, name)


@bp.post("/models/<key>/changes")
@requires("admin")
def change(key: str) -> Response:
    """Change which models answer: ``{"do", "why", "accept_below", "reject_from"}``.

    ``do`` is one of switch, add, take_off, shadow, end_shadow, thresholds, reset, remove.
    """
    sent = json_object()
    limits = (str(sent.get(name, "")) for name in ("accept_below", "reject_from"))  # numbers, or texts of one
    said = texts_of(sent, "do", "why")
    pages.apply_change(said["do"], key, said["why"], *limits)
    return listed()


@bp.post("/models/roll-back")
@requires("admin")
def roll_back() -> Response:
    """Go back to the models that answered before: ``{"why"}``."""
    fleet = service().fleet
    keys = [model.key for model in fleet.library.models()]
    fleet.models.roll_back(keys, fleet.default, pages.who(), texts_of(json_object(), "why")["why"])
    return listed()


@bp.get("/models/changes")
def changes() -> Response:
    """Who changed what, latest first."""
    return jsonify(changes=[_change(one) for one in service().fleet.models.log()])


@bp.get("/models/<key>/point")
def point(key: str) -> Response:
    """What thresholds and prices do: ``accept``, ``reject``, ``escape``, ``overkill``, ``review``,
    ``prevalence`` (percent), ``dataset``, ``cheapest=1``."""
    model = pages.usable(key)
    curves, limits = pages.tested(model), pages.limits_of(model)
    if curves is None or model.metadata is None:
        raise NotFound("This model carries no scores of tested parts.")
    want = sliders.wanted(request.args, curves, model.metadata, limits)
    parts = curves.only(want.dataset) if want.dataset else curves
    return jsonify(parts.at(want.accept_below, want.reject_from, want.costs).to_dict())


@bp.get("/inspections/<inspection_id>/answers")
def answers(inspection_id: str) -> Response:
    """What every installed model, or every network of ``?comparison=NAME``, says of a filed photo."""
    it = service()
    study_key = request.args.get("comparison")
    study = find_study(pages.runs_folder(it), study_key) if study_key else None
    found = pages.answers_of(it.store.get(inspection_id), study)
    return jsonify(
        answers=[
            {"label": one.label, "problem": one.problem}
            if one.problem
            else {"label": one.label, "inspection": one.to_dict()}
            for one in found
        ]
    )


@bp.get("/shadow")
def shadow() -> Response:
    """The model in the shadow, how often it disagrees, and who was right."""
    fleet = service().fleet
    key, began = pages.shadowing(fleet)
    if began is None:
        return jsonify(model=None)
    figures = fleet.shadows.compare(key, began.created_at)
    return jsonify(
        model=key,
        since=began.created_at.isoformat(),
        answered=figures.answered,
        inspections=figures.inspections,
        disagreed=figures.disagreed,
        only_main_right=figures.only_main,
        only_shadow_right=figures.only_shadow,
        p=figures.p,
        disagreements=[
            {
                "inspection": url_for("api.show", inspection_id=one.record.id),
                "number": one.record.number,
                "verdict": one.verdict,
                "predicted_class": one.predicted_class,
                "confidence": one.confidence,
                "reviewed_as": one.review.class_id if one.review else None,
            }
            for one in fleet.shadows.disagreements(key, began.created_at)
        ],
    )


@bp.get("/comparisons")
def comparisons() -> Response:
    """The comparisons that were made, latest first."""
    lines = [study_line(study) for study in studies(pages.runs_folder(service()))]
    return jsonify(comparisons=[vars(line) for line in lines])


@bp.get("/comparisons/<key>")
def comparison(key: str) -> Response:
    """One comparison as it was written."""
    return jsonify(find_study(pages.runs_folder(service()), key).content)


@bp.get("/comparisons/<key>/charts/<name>")
def comparison_chart(key: str, name: str) -> AnyResponse:
    """A chart of a comparison, by the name that its page lists."""
    return pages.comparison_chart(key, name)


def _model(model: InstalledModel, setup: Setup) -> dict[str, Any]:
    metadata, limits = model.metadata, pages.limits_of(model)
    decision = limits or (metadata.decision if metadata else None)
    return {
        "key": model.key,
        "name": metadata.name if metadata else None,
        "version": metadata.version if metadata else None,
        "backbone": metadata.backbone if metadata else None,
        "classes": list(metadata.classes) if metadata else [],
        "sha256": model.sha256,
        "size": model.size,
        "shipped": model.shipped,
        "problem": model.problem or None,
        "active": model.key in [one.key for one in service().fleet.bench(setup)],
        "shadow": model.key == setup.shadow,
        "thresholds": decision
        and {"accept_below": decision.accept_below, "reject_from": decision.reject_from},
        "thresholds_moved": limits and {"by": limits.by, "at": limits.at, "why": limits.why},
        "links": {"self": url_for(".show", key=model.key), "page": url_for("models.show", key=model.key)},
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "created_at": change.created_at.isoformat(),
        "by": change.by,
        "why": change.why,
        "kind": change.kind,
        "model": change.model,
        "sha256": change.sha256,
        "bench": list(change.setup.bench),
    }
