"""The history as a file: CSV for spreadsheets, JSON with all that was found and answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from flask import Response, stream_with_context

from flawsight.i18n import ENGLISH, speaking
from flawsight.inspection.words import template_of
from flawsight.records.record import CONTEXT, Record
from flawsight.records.reviews import Review, Reviews
from flawsight.records.search import Filter, History
from flawsight.taxonomy import describe as describe_class
from flawsight.web import answer
from flawsight.web.service import service
from flawsight.web.spreadsheet import csv_line

CHUNK = 200  # inspections whose answers are read at once


def export_csv(wanted: Filter, order: str) -> Response:
    """Every match as CSV, sent while it is read."""
    return _download(_csv_lines(_answered(wanted, order)), "text/csv", "csv")


def export_json(wanted: Filter, order: str) -> Response:
    """Every match as one JSON object, sent while it is read."""
    return _download(_json_parts(_answered(wanted, order)), "application/json", "json")


def _answered(wanted: Filter, order: str) -> Iterator[tuple[Record, list[Review]]]:
    """Every match with what people answered, first to latest."""
    store = service().store
    records, reviews = History(store).walk(wanted, order), Reviews(store)
    while some := list(islice(records, CHUNK)):
        answers = reviews.each_of([record.id for record in some])
        yield from ((record, answers.get(record.id, [])) for record in some)


def _download(parts: Iterator[str], mimetype: str, ending: str) -> Response:
    response = Response(stream_with_context(parts), mimetype=mimetype)
    name = f"flawsight-history-{datetime.now().astimezone():%Y-%m-%d}.{ending}"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _csv_lines(answered: Iterator[tuple[Record, list[Review]]]) -> Iterator[str]:
    yield "\ufeff"  # so that spreadsheets read it as UTF-8
    head: list[str] | None = None
    for record, reviews in answered:
        with speaking(ENGLISH):
            row = _row(record, reviews[-1] if reviews else None)
        if head is None:
            head = list(row)
            yield csv_line(head)
        yield csv_line(list(row.values()))
    if head is None:
        yield csv_line(["number"])


def _row(record: Record, review: Review | None) -> dict[str, Any]:
    data = record.data
    return {
        "number": record.number,
        "created_at": record.created_at.isoformat(),
        "verdict": data["verdict"],
        "class": data["predicted_class"],
        "class_title": describe_class(data["predicted_class"]).title,
        "confidence": "" if data["verdict"] == "unknown" else data["confidence"],
        "defect_probability": data["defect_probability"],
        "boxes": len(data["boxes"]),
        **{key: data.get("context", {}).get(key, "") for key in CONTEXT},
        "image": data["image"]["name"],
        "image_sha256": data["image"]["sha256"],
        "model": f"{data['model']['name']} {data['model']['version']}",
        "model_sha256": data["model"]["sha256"],
        "record_sha256": record.record_sha256,
        "id": record.id,
        # Later columns stand at the end, so that whatever reads the earlier ones goes on to find them.
        "review_state": review.state if review else "none",
        "review_verdict": review.verdict if review else "",
        "review_class": review.class_id if review else "",
        "review_boxes": len(review.boxes) if review else "",
        "reviewer": review.reviewer if review else "",
        "reviewed_at": review.created_at.isoformat() if review else "",
        "disposition": review.disposition if review else "",
        "rationale": review.rationale if review else "",
        "box_classes": " ".join(sorted({box["class"] for box in data["boxes"]})),
        "template": (template_of(data) or {}).get("name", ""),
    }


def _json_parts(answered: Iterator[tuple[Record, list[Review]]]) -> Iterator[str]:
    yield '{"schema": "flawsight.history/1", "inspections": ['
    for index, (record, reviews) in enumerate(answered):
        said = {**answer.describe(record), "reviews": [review.to_dict() for review in reviews]}
        yield (",\n" if index else "\n") + json.dumps(said)
    yield "\n]}\n"
