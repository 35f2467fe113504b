"""The narrow row by which an inspection is found again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flawsight.records.tables import CatalogueRow, InspectionRow

REVIEW_STATES = ("none", "confirmed", "corrected")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(moment: datetime) -> int:
    """Whole microseconds since 1970, exactly."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def moment(at: int) -> datetime:
    """The inverse of ``microseconds``; aware, UTC."""
    return EPOCH + timedelta(microseconds=at)


def certainty(verdict: str, defect_probability: float) -> float:
    """How sure the model is of good or bad: 0 for a part it does not know, else 0.5..1."""
    return 0.0 if verdict == "unknown" else max(defect_probability, 1 - defect_probability)


def catalogue_row(row: InspectionRow, at: int) -> CatalogueRow:
    """What is searched of ``row``."""
    data = row.data
    context = data.get("context", {})
    return CatalogueRow(
        at=at,
        verdict=row.verdict,
        predicted_class=row.predicted_class,
        model=f"{data['model']['name']} {data['model']['version']}",
        review_state="none",
        confidence=data["confidence"],
        certainty=certainty(row.verdict, data["defect_probability"]),
        part_number=context.get("part_number", ""),
        lot=context.get("lot", ""),
        serial=context.get("serial", ""),
        name=data["image"]["name"].encode("utf-8", "replace").decode(),  # a column takes whole text only
        number=row.number,
        id=row.id,
    )
