"""The Models page: what is installed, what it is worth, which answers, and who decided so."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

from flask import (
    Blueprint,
    Flask,
    flash,
    make_response,
    redirect,
    render_template,
    request,
    send_file,
    url_for,
)
from werkzeug.wrappers import Response

from flawsight.errors import FlawsightError, NotFound
from flawsight.i18n import gettext as _
from flawsight.inspection.library import MAX_RESULTS, BadModel, InstalledModel
from flawsight.inspection.operating import Curves
from flawsight.inspection.studies import Study, find_study, studies
from flawsight.inspection.words import product_of
from flawsight.records import Record
from flawsight.records.models import BadChange, Change, Limits
from flawsight.records.reviews import VERDICTS, Review
from flawsight.records.shadows import LEAST_PAIRS
from flawsight.reporting.words import verdict_word
from flawsight.taxonomy import describe
from flawsight.web import model_view as words
from flawsight.web import threshold_view as sliders
from flawsight.web.answer import display_name, uploaded
from flawsight.web.auth import current_user, requires
from flawsight.web.bench import sent_context
from flawsight.web.fleet import Fleet
from flawsight.web.service import Service, service
from flawsight.web.study_view import study_line, study_view
from flawsight.web.view import NOBODY, headline, spoken_time

LATER = 300  # seconds that a browser keeps a chart
INSTALLING = {"models.install", "models_api.install"}
FORM_OVERHEAD = 64 * 1024

bp = Blueprint("models", __name__)


def allow_model_files(app: Flask) -> None:
    """Let the two addresses that take model files take larger ones. Comes before all that reads a form."""

    @app.before_request
    def _larger() -> None:
        if request.endpoint in INSTALLING:
            request.max_content_length = largest_model(service()) + MAX_RESULTS + FORM_OVERHEAD


def largest_model(it: Service) -> int:
    """Bytes of a model file that may be sent."""
    return int(it.settings.max_model_mb * 2**20)


# --- the list -------------------------------------------------------------------------------------------


@bp.get("/models")
def index() -> str:
    return _index(None)


@bp.post("/models")
@requires("admin")
def install() -> Response:
    try:
        model = install_sent(request.form.get("why", ""))
    except (BadModel, BadChange) as error:
        return make_response(_index(error.said()), error.status)
    flash(_("%(title)s is installed. It answers as soon as you switch to it.", title=model.title))
    return redirect(url_for(".show", key=model.key), 303)


@bp.post("/models/roll-back")
@requires("admin")
def roll_back() -> Response:
    fleet = service().fleet
    try:
        installed = fleet.library.models()
        keys = [model.key for model in installed]
        setup = fleet.models.roll_back(keys, fleet.default, who(), request.form.get("why", ""))
    except BadChange as error:
        return make_response(_index(error.said()), error.status)
    flash(_("Rolled back to %(models)s.", models=", ".join(_labels(installed, setup.bench))))
    return redirect(url_for(".index"), 303)


def _labels(installed: list[InstalledModel], keys: Iterable[str]) -> list[str]:
    return [model.label for key in keys for model in installed if model.key == key]


def _index(problem: str | None) -> str:
    it = service()
    fleet, setup = it.fleet, it.fleet.models.setup()
    installed, bench = fleet.library.models(), fleet.bench(setup)
    return render_template(
        "models.html",
        lines=[words.model_line(m, fleet.library.results(m), bench, setup) for m in installed],
        bench=bench,
        before=_labels(installed, fleet.models.before([model.key for model in installed], fleet.default)),
        log=[words.change_line(change) for change in fleet.models.log()],
        shadow=setup.shadow,
        studies=len(studies(runs_folder(it))),
        folder=fleet.library.folder,
        max_mb=f"{it.settings.max_model_mb:g}",
        problem=problem,
        why=request.form.get("why", ""),
    )


# --- one model ------------------------------------------------------------------------------------------


@bp.get("/models/<key>")
def show(key: str) -> str:
    return _show(key, None)


@bp.post("/models/<key>")
@requires("admin")
def change(key: str) -> Response:
    """One form of the page: ``do`` says which."""
    form = request.form
    try:
        said = apply_change(
            form.get("do", ""), key, form.get("why", ""), form.get("accept", ""), form.get("reject", "")
        )
    except (BadChange, BadModel, sliders.BadNumber) as error:
        return make_response(_show(key, error.said()), error.status)
    flash(said)
    return redirect(url_for(".index") if form.get("do") == "remove" else url_for(".show", key=key), 303)


@bp.get("/models/<key>/point")
def point(key: str) -> str:
    """What the sliders say, as a part of the page."""
    model = usable(key)
    curves, limits = tested(model), limits_of(model)
    if curves is None or model.metadata is None:
        raise NotFound("This model carries no scores of tested parts.")
    want = sliders.wanted(request.args, curves, model.metadata, limits, sliders.SLIDER_STEP)
    return render_template("model_point.html", view=sliders.point_view(curves, want, model.metadata, limits))


@bp.get("/models/<key>/charts/<name>")
def chart(key: str, name: str) -> Response:
    library = service().fleet.library
    return _send_chart(library.charts(library.get(key)), name)


def _show(key: str, problem: str | None) -> str:
    it = service()
    fleet, setup = it.fleet, it.fleet.models.setup()
    model = fleet.library.get(key)
    results, bench = fleet.library.results(model), fleet.bench(setup)
    curves, limits = tested(model), limits_of(model)
    view = None
    if curves is not None and model.metadata is not None:
        args = request.args if request.method == "GET" else request.form
        try:
            want = sliders.wanted(args, curves, model.metadata, limits, sliders.SLIDER_STEP)
        except sliders.BadNumber as error:
            problem = problem or error.said()
            want = sliders.wanted({}, curves, model.metadata, limits)
        view = sliders.point_view(curves, want, model.metadata, limits)
    return render_template(
        "model.html",
        line=words.model_line(model, results, bench, setup),
        model=model,
        metadata=model.metadata,
        limits=limits,
        slider_step=sliders.SLIDER_STEP,
        outdated=key in setup.limits and limits is None,
        limits_at=limits and limits.at[:16].replace("T", " "),
        on_bench=model.key in [one.key for one in bench],
        alone=len(bench) == 1,
        in_shadow=setup.shadow == model.key,
        figures=words.figure_table(results),
        elsewhere=words.measured_elsewhere(model, limits),
        classes=words.class_table(results),
        confusion_of=words.confusion_table(
            (results.get("test") or {}).get("confusion"), words.drawn_only(results)
        ),
        drawn_text=words.drawn_text(results),
        charts=[(name, words.chart_title(name)) for name in fleet.library.charts(model)],
        curves=curves,
        view=view,
        reliability=sliders.reliability_chart(curves) if curves is not None else None,
        problem=problem,
        why=request.form.get("why", ""),
    )


# --- side by side ---------------------------------------------------------------------------------------


@bp.get("/side-by-side")
def side_by_side() -> str:
    it = service()
    inspection_id, study_key = request.args.get("inspection"), request.args.get("comparison", "")
    study = find_study(runs_folder(it), study_key) if study_key else None
    record = it.store.get(inspection_id) if inspection_id else None
    return render_template(
        "side_by_side.html",
        record=record,
        answers=answers_of(record, study) if record else [],
        study=study and study_line(study),
        models=len(_asked(it, study)),
        max_mb=f"{it.settings.max_upload_mb:g}",
    )


@bp.post("/side-by-side")
def inspect_side_by_side() -> Response:
    """The photo is filed as any other; what the other models say of it is only shown."""
    record = service().inspect(*uploaded(), sent_context())
    study = request.form.get("comparison") or None
    return redirect(url_for(".side_by_side", inspection=record.id, comparison=study), 303)


def answers_of(record: Record, study: Study | None = None) -> list[SimpleNamespace]:
    """What every installed model, or every network of ``study``, says of a filed photo."""
    it = service()
    data = record.received()
    with it.queue.place():
        return [_answer(it, label, model, data, record) for label, model in _asked(it, study).items()]


def _asked(it: Service, study: Study | None) -> dict[str, InstalledModel]:
    if study:
        return study.models()
    usable = [model for model in it.fleet.library.models() if model.metadata]
    titles = [model.title for model in usable]
    return {model.title if titles.count(model.title) == 1 else model.label: model for model in usable}


def _answer(it: Service, label: str, model: InstalledModel, data: bytes, record: Record) -> SimpleNamespace:
    try:
        inspect, template = it.fleet.with_model(model), it.fleet.template_of(record)
        said = it.queue.run(lambda: inspect(data, record.data["image"]["name"], template))
    except FlawsightError as error:
        return SimpleNamespace(label=label, key=model.key, problem=error.said())
    info, content = describe(said.predicted_class), said.to_dict()
    return SimpleNamespace(
        label=label,
        key=model.key,
        problem="",
        verdict=said.verdict,
        word=verdict_word(content),
        headline=headline(said.verdict, info, product_of(content)),
        info=info,
        confidence=said.confidence,
        defect_probability=said.defect_probability,
        identifies=not model.metadata or not model.metadata.defects,
        thresholds=said.thresholds,
        ms=said.timing_ms["total"],
        to_dict=said.to_dict,
        filed=said.model.sha256 == record.data["model"]["sha256"],
    )


# --- the shadow -----------------------------------------------------------------------------------------


@bp.get("/shadow")
def shadow() -> str:
    fleet = service().fleet
    key, began = shadowing(fleet)
    if began is None:
        return render_template("shadow.html", key="", lines=[], installed=len(fleet.library.models()))
    return render_template(
        "shadow.html",
        key=key,
        model=next((model for model in fleet.library.models() if model.key == key), None),
        since_iso=began.created_at.isoformat(timespec="seconds"),
        since_text=spoken_time(began.created_at),
        figures=fleet.shadows.compare(key, began.created_at),
        least=LEAST_PAIRS,
        lines=[
            SimpleNamespace(
                it=one,
                main=headline(one.record.data["verdict"], describe(one.record.data["predicted_class"])),
                shadow=headline(one.verdict, describe(one.predicted_class)),
                truth=one.review and _truth(one.review),
            )
            for one in fleet.shadows.disagreements(key, began.created_at)
        ],
    )


def _truth(review: Review) -> str:
    """What a person saw."""
    return describe(review.class_id).title if review.class_id else _(VERDICTS["unknown"])


def shadowing(fleet: Fleet) -> tuple[str, Change | None]:
    """Key of the model in the shadow and the change that put it there."""
    setup = fleet.models.setup()
    return setup.shadow, fleet.models.change(setup.shadow_since) if setup.shadow else None


# --- comparisons ----------------------------------------------------------------------------------------


@bp.get("/comparisons")
def comparisons() -> str:
    found = studies(runs_folder(service()))
    return render_template("comparisons.html", lines=[study_line(study) for study in found])


@bp.get("/comparisons/<key>")
def comparison(key: str) -> str:
    return _comparison(find_study(runs_folder(service()), key), None)


@bp.post("/comparisons/<key>")
@requires("admin")
def install_compared(key: str) -> Response:
    """Install the best network of one entry."""
    it = service()
    study, label = find_study(runs_folder(it), key), request.form.get("label", "")
    models = study.models()
    try:
        if label not in models:
            raise BadModel("That network is no longer there. Run the comparison again.")
        model = it.fleet.library.install(models[label].path, label)
        it.fleet.models.note("install", model, who(), f"Best of the comparison {key}: {label}")
    except BadModel as error:
        return make_response(_comparison(study, error.said()), error.status)
    flash(_("%(title)s is installed. It answers as soon as you switch to it.", title=model.title))
    return redirect(url_for(".show", key=model.key), 303)


def _comparison(study: Study, problem: str | None) -> str:
    return render_template(
        "comparison.html", view=study_view(study), networks=list(study.models()), problem=problem
    )


@bp.get("/comparisons/<key>/charts/<name>")
def comparison_chart(key: str, name: str) -> Response:
    return _send_chart(find_study(runs_folder(service()), key).charts(), name)


def runs_folder(it: Service) -> Path:
    """Where comparisons lie."""
    return it.settings.runs or it.settings.model.with_name("runs")


# --- what page and API share --------------------------------------------------------------------------------


def who() -> str:
    """Who is changing something."""
    return current_user().name or NOBODY


def usable(key: str) -> InstalledModel:
    """The model ``key``, which can be used.

    Raises:
        NotFound: there is none.
        BadChange: its file cannot be used.
    """
    model = service().fleet.library.get(key)
    if model.metadata is None:
        raise BadChange("%(key)s cannot be used: %(problem)s", key=key, problem=model.problem)
    return model


def tested(model: InstalledModel) -> Curves | None:
    """The scores of tested parts that travel with its results."""
    return Curves.of(service().fleet.library.results(model))


def limits_of(model: InstalledModel) -> Limits | None:
    """Thresholds that somebody set for this very file."""
    return words.limits_in(service().fleet.models.setup(), model)


def install_sent(why: str) -> InstalledModel:
    """Check and keep the file that was sent in the form field ``file``, and its ``results`` if sent.

    Raises:
        BadModel: it cannot be used.
        BadChange: no reason was given.
    """
    it = service()
    file, results = request.files.get("file"), request.files.get("results")
    if file is None or not file.filename:
        raise BadModel("No file arrived. Choose a model file that ends in .onnx.")
    if not why.strip():
        raise BadChange("Say why. The next person who looks at the log will want to know.")
    called = display_name(file.filename)
    if not called.lower().endswith(".onnx"):
        raise BadModel("%(called)s does not end in .onnx. Export the model first.", called=called)
    with tempfile.TemporaryDirectory(prefix="flawsight-") as folder:
        path = Path(folder) / "sent.onnx"
        file.save(path)
        if path.stat().st_size > largest_model(it):
            raise BadModel(
                "%(called)s is larger than %(most)s MiB, the limit of this server.",
                called=called,
                most=f"{it.settings.max_model_mb:g}",
            )
        content = results.read(MAX_RESULTS + 1) if results and results.filename else b""
        model = it.fleet.library.install(path, called, content)
    it.fleet.models.note("install", model, who(), why)
    return model


def apply_change(do: str, key: str, why: str, accept: str = "", reject: str = "") -> str:
    """Change which models answer, or how; what was done, in words.

    Raises:
        NotFound: there is no such model.
        BadChange, BadModel, BadNumber: it cannot be done; the message says why.
    """
    fleet = service().fleet
    models, by = fleet.models, who()
    match do:
        case "switch":
            was_shadow = models.setup().shadow == key
            models.switch(usable(key), by, why)
            if was_shadow:
                return _("From now on this model answers. It is no longer in the shadow.")
            return _("From now on this model answers.")
        case "add":
            models.add(usable(key), fleet.default, by, why)
            return _("This model is on the bench beside the others. The start page asks which product it is.")
        case "take_off":
            models.take_off(fleet.library.get(key), by, why)
            return _("This model no longer answers.")
        case "shadow":
            models.shadow(usable(key), by, why)
            return _("This model answers silently from now on.")
        case "end_shadow":
            models.end_shadow(by, why)
            return _("No model is in the shadow any more.")
        case "thresholds":
            model = usable(key)
            limits = sliders.share(accept, "accept_below"), sliders.share(reject, "reject_from")
            models.move(model, *limits, by, why)
            return _("Later inspections use these thresholds and name them.")
        case "reset":
            models.reset(fleet.library.get(key), by, why)
            return _("The thresholds are the model's own again.")
        case "remove":
            return _remove(fleet, fleet.library.get(key), by, why)
    raise BadChange(
        "There is no such change. It is one of: %(known)s.",
        known="switch, add, take_off, shadow, end_shadow, thresholds, reset, remove",
    )


def _remove(fleet: Fleet, model: InstalledModel, by: str, why: str) -> str:
    setup = fleet.models.setup()
    if model.key in setup.bench or model.key == setup.shadow:
        raise BadChange("This model is in use. Take it off the bench and out of the shadow first.")
    if model.shipped:
        raise BadModel("The shipped model stays. Switch to another one instead.")
    fleet.models.note("remove", model, by, why)
    fleet.library.remove(model)
    return _("%(key)s was removed. Its inspections stay.", key=model.key)


def _send_chart(charts: dict[str, Path], name: str) -> Response:
    if name not in charts:
        raise NotFound("There is no such chart.")
    return send_file(charts[name], max_age=LATER)
