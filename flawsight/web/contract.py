"""What each address of the API takes and gives. The words come from the docstrings of the views.

Paths, methods, path parameters and roles are read from the application; here stands what cannot be read
there. A view without its line here fails a test.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import BaseModel

from flawsight.web import schemas as it

PDF, PNG, ZIP, CSV = "application/pdf", "image/png", "application/zip", "text/csv"


@dataclass(frozen=True)
class Operation:
    """One method of one address.

    Attributes:
        answer: the JSON object of a success; ``None`` is any object.
        media: what a success is made of, if not JSON.
        body, form: the JSON object or the form that is sent.
        query: the parameters of the address.
        problems: statuses of its own errors, beside those that every address may have.
    """

    tag: str
    answer: type[BaseModel] | None = None
    status: int = 200
    media: tuple[str, ...] = ("application/json",)
    body: type[BaseModel] | None = None
    form: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    problems: tuple[int, ...] = field(default=())


INSPECTIONS, REVIEWS, HISTORY = "Inspections", "Reviews", "History"
RETENTION, LOTS, TRUST, MODELS, HEALTH = "Retention", "Lots", "Trust", "Models", "Health"
TEMPLATES = "Templates"

# endpoint: what it takes and gives
OPERATIONS = {
    "api.create": Operation(INSPECTIONS, it.Inspection, 201, form=it.Upload, problems=(400, 413, 415, 423)),
    "api.show": Operation(INSPECTIONS, it.Inspection),
    "api.report": Operation(INSPECTIONS, media=(PDF,)),
    "api.picture": Operation(INSPECTIONS, media=(PNG, "image/jpeg", "image/webp")),
    "api.thumbnail": Operation(INSPECTIONS, media=(PNG,)),
    "explanations.own": Operation(INSPECTIONS, it.Explanation),
    "explanations.others": Operation(INSPECTIONS, it.Explanation),
    "models_api.answers": Operation(INSPECTIONS, it.Answers, query=it.AnswersQuery),
    "history_api.listed": Operation(HISTORY, it.HistoryPage, query=it.HistoryQuery, problems=(400,)),
    "history_api.csv_for_programs": Operation(HISTORY, media=(CSV,), query=it.HistoryFilter, problems=(400,)),
    "history_api.json_for_programs": Operation(
        HISTORY, it.HistoryExport, query=it.HistoryFilter, problems=(400,)
    ),
    "review_api.listed": Operation(REVIEWS, it.ReviewList),
    "review_api.create": Operation(REVIEWS, it.Review, 201, body=it.NewReview, problems=(400,)),
    "review_api.queue_for_programs": Operation(REVIEWS, it.ReviewQueue, query=it.QueueQuery, problems=(400,)),
    "review_api.download_for_programs": Operation(REVIEWS, media=(ZIP,), query=it.CorrectionsQuery),
    "retention_api.deletions": Operation(RETENTION, it.DeletionList, problems=(400,)),
    "retention_api.matching": Operation(RETENTION, it.Matching, query=it.Rule, problems=(400,)),
    "retention_api.apply_rule": Operation(RETENTION, it.Deletion, body=it.Rule, problems=(400,)),
    "lots_api.listed": Operation(LOTS, it.LotPage, query=it.LotQuery, problems=(400,)),
    "lots_api.create": Operation(LOTS, it.Lot, 201, body=it.NewLot, problems=(400, 409)),
    "lots_api.show": Operation(LOTS, it.Lot),
    "lots_api.close": Operation(LOTS, it.Lot, body=it.LotDecision, problems=(400, 409)),
    "lots_api.dispose": Operation(LOTS, it.Lot, body=it.LotDisposition, problems=(400, 409)),
    "lots_api.report": Operation(LOTS, media=(PDF,)),
    "lots_api.ncr": Operation(LOTS, media=(PDF,), problems=(409,)),
    "lots_api.as_csv": Operation(LOTS, media=(CSV,)),
    "lots_api.trend": Operation(LOTS, it.Trend, query=it.TrendQuery, problems=(400,)),
    "trust_api.chain": Operation(TRUST, it.Chain),
    "trust_api.check_chain": Operation(TRUST, it.Chain, 202, problems=(409,)),
    "trust_api.golden": Operation(TRUST, it.Golden),
    "trust_api.check_golden": Operation(TRUST, it.Golden, 202, problems=(400, 409)),
    "trust_api.add": Operation(
        TRUST, it.AddedGoldenPart, 201, form=it.NewGoldenPart, problems=(400, 404, 409, 413, 415)
    ),
    "trust_api.picture": Operation(TRUST, media=(PNG,)),
    "trust_api.compare": Operation(
        TRUST, it.GoldenPhoto, 201, form=it.NewGoldenPhoto, problems=(400, 413, 415)
    ),
    "trust_api.photo": Operation(TRUST, media=(PNG,)),
    "trust_api.remove": Operation(TRUST, status=204, media=(), query=it.RemovalQuery, problems=(400,)),
    "trust_api.override": Operation(TRUST, it.Golden, body=it.Override, problems=(400, 409)),
    "trust_api.agreement": Operation(TRUST, it.Agreement, query=it.DaysQuery, problems=(400,)),
    "trust_api.drift": Operation(TRUST, it.Drift, query=it.DriftQuery, problems=(400,)),
    "models_api.listed": Operation(MODELS, it.ModelList),
    "models_api.install": Operation(MODELS, it.Model, 201, form=it.ModelUpload, problems=(400, 409, 413)),
    "models_api.show": Operation(MODELS, it.MeasuredModel),
    "models_api.chart": Operation(MODELS, media=(PNG,)),
    "models_api.change": Operation(MODELS, it.ModelList, body=it.ModelChange, problems=(400, 409)),
    "models_api.roll_back": Operation(MODELS, it.ModelList, body=it.RollBack, problems=(400, 409)),
    "models_api.changes": Operation(MODELS, it.ModelChanges),
    "models_api.point": Operation(MODELS, query=it.PointQuery, problems=(400,)),
    "part_templates_api.listed": Operation(TEMPLATES, it.TemplateList),
    "part_templates_api.create": Operation(
        TEMPLATES, it.Template, 201, form=it.NewTemplate, problems=(400, 404, 413, 415)
    ),
    "part_templates_api.delete": Operation(TEMPLATES, status=204, media=()),
    "part_templates_api.small_picture": Operation(TEMPLATES, media=(PNG,)),
    "models_api.shadow": Operation(MODELS, it.Shadow),
    "models_api.comparisons": Operation(MODELS, it.Comparisons),
    "models_api.comparison": Operation(MODELS),
    "models_api.comparison_chart": Operation(MODELS, media=(PNG,)),
    "health.healthz": Operation(HEALTH, it.Health),
    "health.readyz": Operation(HEALTH, it.Readiness),
    "health.metrics": Operation(HEALTH, media=("text/plain",)),
    "openapi.as_json": Operation(HEALTH),
}
