"""A filed inspection in the words of the page. Templates only place what is said here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from flawsight.i18n import day_and_time, marked, ngettext, number, percent
from flawsight.i18n import gettext as _
from flawsight.inspection.words import identifies, misfit, product_of, reason_of, template_of, warnings_of
from flawsight.metadata import ModelMetadata
from flawsight.records import Record, reviews
from flawsight.records.record import CONTEXT
from flawsight.records.reviews import Review
from flawsight.reporting.finding import Finding, Kind, finding, marks
from flawsight.reporting.words import (
    decided_headline,
    decided_words,
    elsewhere_words,
    far_words,
    heat_subject,
    heat_words,
    kept_words,
    kinds_words,
    next_step,
    no_boxes_words,
    none_fits_words,
    preprocessing_words,
    rate_with_interval,
    severity_words,
    template_words,
    verdict_word,
    whole_picture_words,
)
from flawsight.taxonomy import IDENTIFY, ClassInfo, describe

NOBODY = marked("this computer")  # did it, where nobody signs in; filed so
TIMING_WORDS = {
    "decode": marked("Reading the image"),
    "quality": marked("Looking at the photo's quality"),
    "preprocess": marked("Preparing the pixels"),
    "forward": marked("Running the model"),
    "decide": marked("Answer and verdict"),
    "compare": marked("Comparing with the template"),
    "explain": marked("Heat map and boxes"),
    "total": marked("Altogether"),
}

# Figures that a model file carries, and what they were measured on.
METRICS = {
    "accuracy": marked("Accuracy"),
    "balanced_accuracy": marked("Balanced accuracy"),
    "average_precision": marked("Average precision, defect against good"),
    "recall": marked("Recall: defective parts that were not accepted"),
    "overkill": marked("Overkill"),
    "review": marked("For review"),
    "tested": marked("Parts tested"),
    "ece": marked("Expected calibration error (ECE)"),
}
GROUPS = {"templates": marked("Held against their templates")}


def spoken_time(moment: datetime) -> str:
    """Date and time of this computer, with the zone."""
    local = moment.astimezone()
    return f"{day_and_time(local)} {local:%Z}"


def spoken_stamp(text: str) -> str:
    """The time in a file's ISO 8601 text, said like all others; anything else as it stands."""
    try:
        return spoken_time(datetime.fromisoformat(text))
    except ValueError:
        return text


def who(name: str) -> str:
    """Who did something, as filed; what was done before there were users is filed in English."""
    return _(name) if name == NOBODY else name


@dataclass(frozen=True)
class ModelView:
    """What the loaded model says it knows; ``unrecognised`` are classes it missed throughout its test."""

    name: str
    version: str
    defect_count: int
    good_count: int
    kind_count: int  # of a product that is only named
    families: list[SimpleNamespace]
    unrecognised: list[ClassInfo]

    @classmethod
    def of(cls, metadata: ModelMetadata, unrecognised: Iterable[str] = ()) -> ModelView:
        infos = [describe(class_id) for class_id in metadata.classes]
        families: dict[str, list[ClassInfo]] = {}
        for info in infos:
            families.setdefault(info.dataset, []).append(info)
        return cls(
            name=metadata.name,
            version=metadata.version,
            defect_count=sum(info.is_defect for info in infos),
            good_count=sum(not info.is_defect for info in infos),
            kind_count=sum(not info.is_judged for info in infos),
            families=[
                SimpleNamespace(title=title, classes=sorted(classes, key=lambda info: info.is_defect))
                for title, classes in families.items()
            ],
            unrecognised=[describe(class_id) for class_id in unrecognised],
        )


@dataclass(frozen=True)
class Summary:
    """One line of the list of recent inspections."""

    id: str
    number: str
    created_iso: str
    created_text: str
    verdict: str
    verdict_word: str
    headline: str
    image: dict[str, Any]


def summary(record: Record, review: Review | None = None) -> Summary:
    """What counts of an inspection: the answer of a person, ``review``, if there is one."""
    data, found = record.data, finding(record.data, review)
    return Summary(
        id=record.id,
        number=record.number,
        created_iso=record.created_at.isoformat(timespec="seconds"),
        created_text=spoken_time(record.created_at),
        verdict=found.verdict,
        verdict_word=verdict_word(data, found.verdict),
        headline=decided_headline(data, found) if review else _model_headline(data, found),
        image=data["image"],
    )


@dataclass(frozen=True)
class ReviewView:
    """One answer of a person, in words."""

    reviewer: str
    created_iso: str
    created_text: str
    verdict: str
    verdict_text: str
    badge: str
    class_title: str
    boxes_text: str
    disposition: str
    rationale: str
    corrected: bool

    @classmethod
    def of(cls, review: Review, data: Mapping[str, Any]) -> ReviewView:
        """``data`` is the inspection that was answered."""
        count, info = len(review.boxes), describe(review.class_id or data["predicted_class"])
        return cls(
            reviewer=review.reviewer,
            created_iso=review.created_at.isoformat(timespec="seconds"),
            created_text=spoken_time(review.created_at),
            verdict=review.verdict,
            verdict_text=_(reviews.VERDICTS[review.verdict]),
            badge=badge_word(review.verdict, info),
            class_title="" if review.verdict == "unknown" else info.title,
            boxes_text=ngettext("%(num)s box", "%(num)s boxes", count) if count else "",
            disposition=_(reviews.DISPOSITIONS.get(review.disposition, "")),
            rationale=review.rationale,
            corrected=review.state == "corrected",
        )


def badge_word(verdict: str, info: ClassInfo) -> str:
    """The verdict in capitals as the product of a class calls it; empty where it is called as everywhere."""
    return _(dict(info.wording).get(verdict, "")).upper()


def headline(verdict: str, info: ClassInfo, product: Mapping[str, Any] | None = None) -> str:
    """The verdict in a few words; only a rejected part is ever said to have a defect."""
    product = product or {}
    if not info.is_judged or product.get("task") == IDENTIFY:
        if verdict == "unknown":
            own = str((product.get("wording") or {}).get("unknown") or "")
            return _(own) or _("Not one that this model knows")
        return info.title if verdict == "accept" else _("Possibly: %(title)s", title=info.title)
    if verdict == "accept":
        return _("No defect found")
    if verdict == "unknown":
        return _("Not a part this model knows")
    if verdict == "review":
        if info.is_defect:
            return _("Possibly: %(title)s", title=info.title)
        return _("Not certain: a person should look")
    return info.title if info.is_defect else _("Defect suspected")


def _model_headline(data: dict[str, Any], found: Finding) -> str:
    """``headline`` with all kinds of defect that the boxes show, not the most probable class alone."""
    if misfit(data):
        return _("Not the part that its template shows")
    if not found.kinds:
        return headline(found.verdict, found.info, product_of(data))
    title = kinds_words(found.kinds)
    return _("Possibly: %(title)s", title=title) if found.verdict == "review" else title


@dataclass(frozen=True)
class ResultView(Summary):
    """Everything the result page says."""

    reviewer: str  # who decided; empty as long as only the model has answered
    decided: str  # by whom and when
    model: SimpleNamespace  # its own answer, whoever decided since
    reason: str
    warnings: list[str]
    context: list[tuple[str, str, str]]
    claims_defect: bool
    identifies: bool
    class_heading: str
    info: ClassInfo
    kinds: tuple[Kind, ...]
    has_causes: bool
    severity: str
    next_step: str
    confidence: float
    defect_probability: float
    distance_text: str
    none_fits_text: str
    whole_picture_text: str
    thresholds_text: str
    classes: list[SimpleNamespace]
    explained: ClassInfo
    explained_title: str
    heat_text: str
    pictures: list[SimpleNamespace]
    boxes: list[SimpleNamespace]
    model_boxes: list[SimpleNamespace]
    person_boxes: list[SimpleNamespace]
    no_boxes_text: str
    template: str  # name of what the part was compared with; empty without one
    misfit: bool
    method_facts: list[tuple[str, str]]
    timings: list[tuple[str, str]]
    figures: list[tuple[str, list[tuple[str, str]]]]
    figures_text: str  # at what other thresholds the figures were measured; empty if at those in force

    @classmethod
    def of(cls, record: Record, review: Review | None = None) -> ResultView:
        """What counts of an inspection: the answer of a person, ``review``, if there is one."""
        data, found = record.data, finding(record.data, review)
        boxes = _boxes(data, review)
        return cls(
            **vars(summary(record, review)),
            reviewer=review.reviewer if review else "",
            decided=decided_words(data, review, spoken_time(review.created_at)) if review else "",
            model=_model_answer(record),
            reason=reason_of(data),
            warnings=warnings_of(data),
            context=[
                (key, _(label), data["context"][key])
                for key, label in CONTEXT.items()
                if data.get("context", {}).get(key)
            ],
            claims_defect=bool(found.kinds),
            identifies=identifies(data),
            class_heading=_class_heading(data, found),
            info=found.info,
            kinds=found.kinds,
            has_causes=any(kind.info.likely_causes for kind in found.kinds),
            severity=severity_words(found.kinds),
            next_step=next_step(data, found),
            confidence=data["confidence"],
            defect_probability=data["defect_probability"],
            distance_text=far_words(data),
            none_fits_text=none_fits_words(data),
            whole_picture_text=whole_picture_words(),
            thresholds_text=_thresholds_text(data["thresholds"]),
            classes=[
                SimpleNamespace(info=describe(class_id), probability=probability)
                for class_id, probability in sorted(data["probabilities"].items(), key=lambda pair: -pair[1])
            ],
            explained=describe(data["heatmap"]["class"]),
            explained_title=heat_subject(data),
            heat_text=heat_words(data),
            pictures=_pictures(data),
            boxes=boxes,
            model_boxes=[box for box in boxes if box.score is not None],
            person_boxes=[box for box in boxes if box.kept or box.score is None],
            no_boxes_text=no_boxes_words(data, review),
            template=(template_of(data) or {}).get("name", ""),
            misfit=misfit(data),
            method_facts=_method_facts(record),
            timings=[
                (_(TIMING_WORDS.get(step, step.replace("_", " ").capitalize())), f"{number(took)} ms")
                for step, took in data["timing_ms"].items()
            ],
            figures=_figures(data["method"].get("metrics", {})),
            figures_text=elsewhere_words(data),
        )


def _model_answer(record: Record) -> SimpleNamespace:
    """The model's own answer in a line, for a page that is about a person's."""
    said = summary(record)
    return SimpleNamespace(
        verdict=said.verdict, verdict_word=said.verdict_word, headline=said.headline,
        closest=describe(record.data["predicted_class"]).title,
    )  # fmt: skip


def _class_heading(data: dict[str, Any], found: Finding) -> str:
    wording = product_of(data).get("wording") or {}
    if found.verdict == "unknown":
        return _("No class")
    if wording.get("subject"):
        return _(str(wording["subject"])).capitalize()
    if not found.kinds:
        return _("What it looks like")
    return _("What is wrong") if found.verdict == "reject" else _("What it may be")


def _thresholds_text(thresholds: dict[str, float]) -> str:
    accept, reject = thresholds["accept_below"], thresholds["reject_from"]
    limits = {"accept": percent(accept), "reject": percent(reject)}
    if accept < reject:
        return _(
            "Accepted below %(accept)s probability of a defect, rejected from %(reject)s; "
            "a person decides in between.",
            **limits,
        )
    return _("Accepted below %(accept)s probability of a defect, rejected from %(reject)s.", **limits)


def _pictures(data: dict[str, Any]) -> list[SimpleNamespace]:
    name, count, named = data["image"]["name"], len(data["boxes"]), identifies(data)
    good = data["verdict"] == "accept" and not named
    explained = heat_subject(data)
    said = [
        ("original", _("Original"), _("The photo %(name)s", name=name), _("As inspected, turned upright.")),
        (
            "heatmap",
            _("Heat map"),
            _("The photo under a heat map of what speaks for: %(title)s", title=explained),
            heat_words(data),
        ),
        (
            "boxes",
            _("Boxes"),
            ngettext("The photo with %(num)s box", "The photo with %(num)s boxes", count),
            _("Each box encloses one suspected place.") if count else _("The model marked no place."),
        ),
        (
            "edges",
            _("Sobel edges"),
            _("The darkened photo with nothing marked")
            if good
            else _("The edges inside the hot region of the photo"),
            _("No hot region, so nothing is traced.")
            if good
            else _("Edges inside the hot region trace the outline."),
        ),
    ]
    return [
        SimpleNamespace(kind=kind, title=title, alt=alt, caption=caption)
        for kind, title, alt, caption in said
        if kind != "boxes" or not named
    ]


def _boxes(data: dict[str, Any], review: Review | None) -> list[SimpleNamespace]:
    area = data["image"]["width"] * data["image"]["height"]
    return [
        SimpleNamespace(
            **vars(mark),
            title=describe(mark.class_id).title,
            width=mark.width,
            height=mark.height,
            share=mark.width * mark.height / area,
            person=kept_words(mark),
        )
        for mark in marks(data, review)
    ]


def _method_facts(record: Record) -> list[tuple[str, str]]:
    data = record.data
    model, method = data["model"], data["method"]
    facts = [
        (_("Model"), f"{model['name']} {model['version']}"),
        (_("Engine"), method.get("engine", "")),
        (_("Thresholds"), method.get("thresholds", "")),
        (_("Chosen among"), ", ".join(one["model"] for one in method.get("chosen_among", ()))),
        (_("Compared with the template"), template_words(data)),
        (_("SHA-256 of the template"), (template_of(data) or {}).get("sha256", "")),
        (_("Explanation"), data["heatmap"]["method"]),
        (_("Preprocessing"), preprocessing_words(method.get("preprocessing", {}))),
        (_("SHA-256 of the image"), data["image"]["sha256"]),
        (_("SHA-256 of the model"), model["sha256"]),
        (_("SHA-256 of the training manifest"), method.get("manifest_sha256", "")),
        (_("SHA-256 of this record"), record.record_sha256),
    ]
    return [(name, str(value)) for name, value in facts if value]


def _figures(metrics: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """The figures that the model file carries, by what they were measured on; rates with their interval."""
    groups: dict[str, Mapping[str, Any]] = {_("All parts"): metrics}
    for key, value in metrics.items():
        if key == "datasets":
            groups |= value
        elif isinstance(value, dict) and "value" not in value:
            groups[_(GROUPS[key]) if key in GROUPS else key.replace("_", " ")] = value
    found = ((title, _measures(group)) for title, group in groups.items())
    return [(title, measures) for title, measures in found if measures]


def _measures(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    for key, value in metrics.items():
        name = _(METRICS[key]) if key in METRICS else key.replace("_", " ")
        match value:
            case {"value": float() | int(), "low": float() | int(), "high": float() | int()}:
                found.append((name, rate_with_interval(value)))
            case bool() | dict() | None:
                continue
            case float():
                found.append((name, number(value, 3)))
            case int() | str():
                found.append((name, str(value)))
    return found
