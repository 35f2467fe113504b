"""A filed inspection in the words of the page. Templates only place what is said here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from flawsight.metadata import ModelMetadata
from flawsight.records import Record, reviews
from flawsight.records.record import CONTEXT
from flawsight.records.reviews import Review
from flawsight.reporting.drawings import percent
from flawsight.reporting.report import next_step
from flawsight.taxonomy import ClassInfo, describe

TOP_CLASSES = 5
TIMING_WORDS = {
    "decode": "Reading the image",
    "quality": "Looking at the photo's quality",
    "preprocess": "Preparing the pixels",
    "forward": "Running the model",
    "explain": "Heat map and boxes",
    "total": "Altogether",
}


def spoken_time(moment: datetime) -> str:
    """Date and time of this computer, with the zone."""
    local = moment.astimezone()
    return f"{local.day} {local:%b %Y, %H:%M %Z}"


@dataclass(frozen=True)
class ModelView:
    """What the loaded model says it knows."""

    name: str
    version: str
    defect_count: int
    good_count: int
    families: list[SimpleNamespace]

    @classmethod
    def of(cls, metadata: ModelMetadata) -> ModelView:
        infos = [describe(class_id) for class_id in metadata.classes]
        families: dict[str, list[ClassInfo]] = {}
        for info in infos:
            families.setdefault(info.dataset, []).append(info)
        return cls(
            name=metadata.name,
            version=metadata.version,
            defect_count=sum(info.is_defect for info in infos),
            good_count=sum(not info.is_defect for info in infos),
            families=[
                SimpleNamespace(title=title, classes=sorted(classes, key=lambda info: info.is_defect))
                for title, classes in families.items()
            ],
        )


def class_titles(metadata: ModelMetadata | None) -> dict[str, str]:
    """Class id to its name for people, for what scripts show."""
    return {class_id: describe(class_id).title for class_id in metadata.classes} if metadata else {}


@dataclass(frozen=True)
class Summary:
    """One line of the list of recent inspections."""

    id: str
    number: str
    created_iso: str
    created_text: str
    verdict: str
    headline: str
    image: dict[str, Any]


def summary(record: Record) -> Summary:
    info = describe(record.data["predicted_class"])
    return Summary(
        id=record.id,
        number=record.number,
        created_iso=record.created_at.isoformat(timespec="seconds"),
        created_text=spoken_time(record.created_at),
        verdict=record.data["verdict"],
        headline=headline(record.data["verdict"], info),
        image=record.data["image"],
    )


@dataclass(frozen=True)
class ReviewView:
    """One answer of a person, in words."""

    reviewer: str
    created_iso: str
    created_text: str
    verdict: str
    verdict_text: str
    class_title: str
    boxes_text: str
    disposition: str
    rationale: str
    corrected: bool

    @classmethod
    def of(cls, review: Review) -> ReviewView:
        count = len(review.boxes)
        return cls(
            reviewer=review.reviewer,
            created_iso=review.created_at.isoformat(timespec="seconds"),
            created_text=spoken_time(review.created_at),
            verdict=review.verdict,
            verdict_text=reviews.VERDICTS[review.verdict],
            class_title=describe(review.class_id).title,
            boxes_text="" if not count else "1 box" if count == 1 else f"{count} boxes",
            disposition=reviews.DISPOSITIONS.get(review.disposition, ""),
            rationale=review.rationale,
            corrected=review.state == "corrected",
        )


def headline(verdict: str, info: ClassInfo) -> str:
    """The verdict in a few words; only a rejected part is ever said to have a defect."""
    if verdict == "accept":
        return "No defect found"
    if verdict == "unknown":
        return "Not a part this model knows"
    if verdict == "review":
        return f"Possibly: {info.title}" if info.is_defect else "Not certain: a person should look"
    return info.title if info.is_defect else "Defect suspected"


@dataclass(frozen=True)
class ResultView(Summary):
    """Everything the result page says."""

    reason: str
    warnings: list[str]
    context: list[tuple[str, str]]
    claims_defect: bool
    class_heading: str
    info: ClassInfo
    severity: str
    next_step: str
    confidence: float
    defect_probability: float
    thresholds_text: str
    top_classes: list[SimpleNamespace]
    pictures: list[SimpleNamespace]
    boxes: list[SimpleNamespace]
    no_boxes_text: str
    method_facts: list[tuple[str, str]]
    timings: list[tuple[str, str]]
    figures: list[tuple[str, str]]

    @classmethod
    def of(cls, record: Record) -> ResultView:
        data = record.data
        info = describe(data["predicted_class"])
        claims_defect = info.is_defect and data["verdict"] in ("review", "reject")
        return cls(
            **vars(summary(record)),
            reason=data["reason"],
            warnings=(data.get("quality") or {}).get("warnings", []),
            context=[
                (label, data["context"][key])
                for key, label in CONTEXT.items()
                if data.get("context", {}).get(key)
            ],
            claims_defect=claims_defect,
            class_heading=_class_heading(data["verdict"], info),
            info=info,
            severity=f"{info.severity} (a starting point; your own criterion decides)",
            next_step=next_step(data["verdict"], info),
            confidence=data["confidence"],
            defect_probability=data["defect_probability"],
            thresholds_text=_thresholds_text(data["thresholds"]),
            top_classes=[
                SimpleNamespace(info=describe(class_id), probability=probability)
                for class_id, probability in sorted(data["probabilities"].items(), key=lambda pair: -pair[1])[
                    :TOP_CLASSES
                ]
            ],
            pictures=_pictures(data),
            boxes=_boxes(data),
            no_boxes_text=_no_boxes_text(data["verdict"]),
            method_facts=_method_facts(record),
            timings=[
                (TIMING_WORDS.get(step, step.replace("_", " ").capitalize()), f"{took:.0f} ms")
                for step, took in data["timing_ms"].items()
            ],
            figures=_figures(data["method"].get("metrics", {})),
        )


def _class_heading(verdict: str, info: ClassInfo) -> str:
    if verdict == "unknown":
        return "Closest class, not an answer"
    if not info.is_defect:
        return "What it looks like"
    return "What is wrong" if verdict == "reject" else "What it may be"


def _thresholds_text(thresholds: dict[str, float]) -> str:
    accept, reject = thresholds["accept_below"], thresholds["reject_from"]
    text = f"Accepted below {percent(accept)} probability of a defect, rejected from {percent(reject)}"
    return f"{text}; a person decides in between." if accept < reject else f"{text}."


def _pictures(data: dict[str, Any]) -> list[SimpleNamespace]:
    name, count, good = data["image"]["name"], len(data["boxes"]), data["verdict"] == "accept"
    explained = describe(data["heatmap"]["class"]).title
    found = "one box" if count == 1 else f"{count} boxes" if count else "no box"
    said = [
        ("original", "Original", f"The photo {name}", "As inspected, turned upright."),
        (
            "heatmap",
            "Heat map",
            f"The photo under a heat map of what speaks for: {explained}",
            "Faint traces at most: nothing speaks clearly for a defect."
            if good
            else f"What speaks for “{explained}”. An explanation, not a measurement.",
        ),
        (
            "boxes",
            "Boxes",
            f"The photo with {found}",
            "Each box encloses one suspected place." if count else "No place is marked.",
        ),
        (
            "edges",
            "Sobel edges",
            "The darkened photo with nothing marked"
            if good
            else "The edges inside the hot region of the photo",
            "No hot region, so nothing is traced."
            if good
            else "Edges inside the hot region trace the outline.",
        ),
    ]
    return [
        SimpleNamespace(kind=kind, title=title, alt=alt, caption=caption)
        for kind, title, alt, caption in said
    ]


def _boxes(data: dict[str, Any]) -> list[SimpleNamespace]:
    area = data["image"]["width"] * data["image"]["height"]
    return [
        SimpleNamespace(
            title=describe(box["class"]).title,
            x1=box["x1"],
            y1=box["y1"],
            width=box["x2"] - box["x1"],
            height=box["y2"] - box["y1"],
            share=(box["x2"] - box["x1"]) * (box["y2"] - box["y1"]) / area,
            score=box["score"],
        )
        for box in data["boxes"]
    ]


def _no_boxes_text(verdict: str) -> str:
    if verdict == "accept":
        return "None. The part was judged good."
    if verdict == "unknown":
        return "None are marked, since the model does not know this kind of part."
    return "No single place stood out clearly enough for a box. Look at the heat map."


def _method_facts(record: Record) -> list[tuple[str, str]]:
    data = record.data
    model, method = data["model"], data["method"]
    preprocessing = ", ".join(f"{key} {value}" for key, value in method.get("preprocessing", {}).items())
    facts = [
        ("Model", f"{model['name']} {model['version']}"),
        ("Engine", method.get("engine", "")),
        ("Explanation", data["heatmap"]["method"]),
        ("Preprocessing", preprocessing.replace("_", " ")),
        ("SHA-256 of the image", data["image"]["sha256"]),
        ("SHA-256 of the model", model["sha256"]),
        ("SHA-256 of the training manifest", method.get("manifest_sha256", "")),
        ("SHA-256 of this record", record.record_sha256),
    ]
    return [(name, str(value)) for name, value in facts if value]


def _figures(metrics: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Every figure the model file carries, nested names joined; rates with their 95 % interval."""
    found: list[tuple[str, str]] = []
    for key, value in metrics.items():
        name = f"{prefix}{key.replace('_', ' ')}"
        match value:
            case {
                "value": float() | int() as rate,
                "low": float() | int() as low,
                "high": float() | int() as high,
            }:
                found.append((name, f"{percent(rate)} (95 % interval {percent(low)} to {percent(high)})"))
            case dict():
                found += _figures(value, f"{name}, ")
            case bool() | None:
                continue
            case float():
                found.append((name, f"{value:.4g}"))
            case int() | str():
                found.append((name, str(value)))
    return found
