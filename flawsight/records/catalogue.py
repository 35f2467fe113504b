"""The narrow row by which an inspection is found again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flawsight.records.tables import CatalogueRow, InspectionRow

REVIEW_STATES = ("none", "confirmed", "corrected")
UNDECIDED = ("review", "unknown")  # verdicts by which the model leaves it to a person
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(moment: datetime) -> int:
    """Whole microseconds since 1970, exactly."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def moment(at: int) -> datetime:
    """The inverse of ``microseconds``; aware, UTC."""
    return EPOCH + timedelta(microseconds=at)


def folded(text: str) -> str:
    """``text`` in small letters as the database compares it (NOCASE), which knows A to Z only."""
    return "".join(sign.lower() if sign.isascii() else sign for sign in text)


def certainty(verdict: str, defect_probability: float) -> float:
    """How sure the model is of good or bad: 0 for a part it does not know, else 0.5..1."""
    return 0.0 if verdict == "unknown" else max(defect_probability, 1 - defect_probability)


def catalogue_row(row: InspectionRow, at: int) -> CatalogueRow:
    """What is searched of ``row``."""
    model = searched(row.data)
    return CatalogueRow(
        at=at, number=row.number, id=row.id, review_state="none", **model, **unanswered(model)
    )


def other_classes(data: dict[str, Any]) -> list[str]:
    """The classes that the answer ``data`` boxes beside its main one, in order."""
    return sorted({box["class"] for box in data["boxes"]} - {data["predicted_class"]})


def unanswered(model: dict[str, Any]) -> dict[str, Any]:
    """What counts as long as no person has answered; ``model`` as :func:`searched` gives it."""
    return {
        "final_verdict": model["verdict"],
        "final_class": model["predicted_class"],
        "disposition": "",
        "undecided": model["verdict"] in UNDECIDED,
    }


def searched(data: dict[str, Any]) -> dict[str, Any]:
    """The columns that repeat what the answer ``data`` says."""
    context = data.get("context", {})
    return {
        "verdict": data["verdict"],
        "predicted_class": data["predicted_class"],
        "model": f"{data['model']['name']} {data['model']['version']}",
        "confidence": data["confidence"],
        "certainty": certainty(data["verdict"], data["defect_probability"]),
        "part_number": context.get("part_number", ""),
        "lot": context.get("lot", ""),
        "serial": context.get("serial", ""),
        # A column takes whole text only.
        "name": data["image"]["name"].encode("utf-8", "replace").decode(),
        "inspector": context.get("inspector", ""),
        "station": context.get("station", ""),
    }
