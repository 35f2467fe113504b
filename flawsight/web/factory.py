"""The application factory."""

from __future__ import annotations

from flask import Flask
from werkzeug.routing import IntegerConverter, Map

from flawsight import __version__
from flawsight.i18n import percent
from flawsight.inspection.inspector import Inspector
from flawsight.records import Accounts, Store
from flawsight.settings import PROJECT_ROOT, Settings
from flawsight.web import (
    api,
    bench,
    explanations,
    health,
    history,
    history_api,
    incoming,
    inspections,
    language,
    lots,
    lots_api,
    models,
    models_api,
    openapi,
    pages,
    part_templates,
    products,
    retention,
    review,
    samples,
    security,
    trust,
    trust_api,
    users,
)
from flawsight.web.problems import register_problems
from flawsight.web.service import Service
from flawsight.web.view import spoken_time, who

FEATURES = (
    pages.bp, inspections.bp, history.bp, history_api.bp, retention.bp, retention.api, review.bp, review.api,
    bench.bp, samples.bp, api.bp, openapi.bp, health.bp, users.bp, explanations.bp,
    lots.bp, lots_api.bp, trust.bp, trust_api.bp, models.bp, models_api.bp, products.bp,
    part_templates.bp, part_templates.api,
)  # fmt: skip
FORM_OVERHEAD = 64 * 1024  # room for the other fields and the boundaries around an upload


class _RowNumber(IntegerConverter):
    """The number of a row in an address; beyond what the database can hold there is none: 404."""

    def __init__(self, map: Map) -> None:  # named so by werkzeug
        super().__init__(map, max=2**63 - 1)


def create_app(settings: Settings, inspector: Inspector | None = None, store: Store | None = None) -> Flask:
    """The web application.

    Args:
        inspector: instead of loading ``settings.model``.
        store: instead of opening the one in ``settings.instance``.

    Raises:
        RecordError: the instance folder cannot be used.
        SettingsError: other computers could use it without signing in.
    """
    app = Flask(
        "flawsight",
        root_path=str(PROJECT_ROOT),
        template_folder="templates",
        static_folder="static",
        instance_path=str(settings.instance.absolute()),
    )
    app.url_map.converters["int"] = _RowNumber
    service = Service(settings, inspector, store)
    app.extensions["flawsight"] = service
    app.config["MAX_CONTENT_LENGTH"] = service.max_bytes + FORM_OVERHEAD
    app.jinja_env.filters.update(percent=percent, spoken_time=spoken_time, who=who)
    app.jinja_env.globals["version"] = __version__
    language.install(app)
    incoming.install(app)
    models.allow_model_files(app)
    security.protect(app, settings, Accounts(service.store))
    register_problems(app)
    for feature in FEATURES:
        app.register_blueprint(feature)
    return app
