"""Models and shadows in the words of the page."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from flawsight.i18n import gettext as _
from flawsight.i18n import marked, number, percent
from flawsight.inspection.library import SHORT, InstalledModel
from flawsight.inspection.operating import Costs, Curves, Rate, few_defects_warning
from flawsight.metadata import ModelMetadata
from flawsight.records.models import KINDS, Change, Limits, Setup
from flawsight.reporting.words import limits_elsewhere
from flawsight.taxonomy import describe
from flawsight.web.view import spoken_stamp, spoken_time

FIGURES = {
    "accuracy": marked("Accuracy"),
    "balanced_accuracy": marked("Balanced accuracy"),
    "macro_f1": marked("Macro F1"),
    "average_precision": marked("Average precision, defect against good"),
    "auroc": marked("AUROC, defect against good"),
    "escape_rate": marked("Escapes"),
    "overkill_rate": marked("Overkill"),
    "review_share": marked("For review"),
    "unknown_share": marked("Called unknown"),
    "overkill_at_zero_escapes": marked("Overkill at zero escapes"),
}
PLACES = {
    "pointing_game": marked("Heat map points at the defect"),
    "good_with_box": marked("Good parts that show a box"),
}
# Drawn by training, evaluation and the lab, by the names of their files; ``learning`` is not loaded here.
CHARTS = {
    "accuracy_curve": marked("Accuracy by epoch"),
    "loss_curve": marked("Loss by epoch"),
    "val_metrics": marked("Validation figures by epoch"),
    "class_distribution": marked("Pictures of each class"),
    "confusion_matrix": marked("Confusion matrix"),
    "per_dataset_accuracy": marked("Accuracy by family"),
    "reliability": marked("Reliability: how often an answer of this confidence is right"),
    "cost_curve": marked("What a threshold costs"),
    "worst_mistakes": marked("The worst mistakes"),
    "accuracy": marked("Accuracy"),
    "epoch-seconds": marked("Time of an epoch"),
    "thresholds": marked("Thresholds and what they cost"),
}
CHARTS_OF_RUNS = {
    "curves": marked("Curves of %(name)s"),
    "confusion": marked("Confusion matrix of %(name)s"),
}
GENERATED = "(generated)"  # ends the name of a dataset of drawn pictures, as in ``data.samples``
LISTED = ("balanced_accuracy", "escape_rate", "overkill_rate")  # in the list of models


def chart_title(file: str) -> str:
    """What the chart of that file name shows; of one that nobody here draws, its name."""
    name = file.rsplit(".", 1)[0]
    kind, _dash, run = name.partition("-")
    if run and kind in CHARTS_OF_RUNS:
        return _(CHARTS_OF_RUNS[kind], name=run)
    return _(CHARTS[name]) if name in CHARTS else name.replace("_", " ")


# --- models ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ModelLine:
    """One model of the list."""

    model: InstalledModel
    states: list[str]
    problem: str
    figures: list[tuple[str, str]]
    classes: int
    facts: list[tuple[str, str]]
    elsewhere: str  # at what other thresholds the figures were measured; empty if at those in force


def limits_in(setup: Setup, model: InstalledModel) -> Limits | None:
    """Thresholds that somebody set for this very file."""
    limits = setup.limits.get(model.key)
    return limits if limits and limits.sha256 == model.sha256 else None


def states(model: InstalledModel, bench: list[InstalledModel], setup: Setup) -> list[str]:
    """What the model does now, in words."""
    keys = [one.key for one in bench]
    found = []
    if model.key in keys:
        found.append(_("answers") if len(keys) == 1 else _("on the bench"))
    if model.key == setup.shadow:
        found.append(_("in the shadow"))
    if limits_in(setup, model):
        found.append(_("thresholds moved"))
    return found


def model_line(
    model: InstalledModel, results: Mapping[str, Any], bench: list[InstalledModel], setup: Setup
) -> ModelLine:
    metadata, limits = model.metadata, limits_in(setup, model)
    figures, elsewhere = _section(results, "overall"), measured_elsewhere(model, limits)
    if limits and elsewhere and (curves := Curves.of(results)):
        figures = figures | curves.at(limits.accept_below, limits.reject_from, Costs()).to_dict()
        elsewhere = ""
    return ModelLine(
        model,
        states(model, bench, setup),
        model.problem,
        [(_(FIGURES[key]), rate_text(figures[key])) for key in LISTED if key in figures],
        len(metadata.classes) if metadata else 0,
        _facts(model),
        elsewhere,
    )


def measured_elsewhere(model: InstalledModel, limits: Limits | None) -> str:
    """That its results were measured at other thresholds than the ``limits`` in force; empty if at these."""
    if not (limits and model.metadata and model.metadata.defects):
        return ""
    own = model.metadata.decision
    if (limits.accept_below, limits.reject_from) == (own.accept_below, own.reject_from):
        return ""
    return limits_elsewhere(own.accept_below, own.reject_from)


def _facts(model: InstalledModel) -> list[tuple[str, str]]:
    metadata = model.metadata
    facts = [(_("File"), f"{model.path.name}, {number(model.size / 2**20, 1)} MiB" if model.size else "")]
    if metadata:
        facts += [
            (_("Network"), metadata.backbone),
            (_("Classes"), f"{len(metadata.classes)}"),
            (_("Trained"), spoken_stamp(metadata.created)),
            (_("SHA-256 of the file"), model.sha256),
            (_("SHA-256 of the training manifest"), metadata.manifest_sha256),
        ]
    return [(name, value) for name, value in facts if value]


def rate_text(figure: Any) -> str:
    """A figure of a results file with its 95 % interval; where it counts, from the counts: rounded once."""
    match figure:
        case {"hits": int() as hits, "n": int() as n} if 0 <= hits <= n and n:
            rate = Rate(hits, n)
            low, high = rate.interval
            return f"{percent(hits / n)} ({percent(low)} – {percent(high)})"
        case {
            "value": float() | int() as value,
            "interval": [float() | int() as low, float() | int() as high],
        }:
            return f"{percent(value)} ({percent(low)} – {percent(high)})"
        case {"value": float() | int() as value} | (float() | int() as value):
            return percent(value)
        case _:
            return "–"


def _error_text(figure: Any) -> str:
    """As ``rate_text``, of an error, which is no share of anything; results of before have no interval."""
    match figure:
        case {"value": float() as value, "interval": [float() as low, float() as high]}:
            return f"{number(value, 3)} ({number(low, 3)} – {number(high, 3)})"
        case float() as value:
            return number(value, 3)
        case _:
            return "–"


def figure_table(results: Mapping[str, Any]) -> SimpleNamespace | None:
    """Every figure by dataset, if there are results."""
    overall = _section(results, "overall")
    datasets = _section(results, "datasets")
    if not overall:
        return None
    real = not datasets or any(not name.endswith(GENERATED) for name in datasets)
    columns = {_("All real parts") if real else _("All drawn parts"): overall, **datasets}
    rows = [(_("Parts"), [str(column.get("n", "–")) for column in columns.values()])]
    rows += [
        (_(label), [rate_text(column.get(key)) for column in columns.values()])
        for key, label in FIGURES.items()
        if any(key in column for column in columns.values())
    ]
    rows += [
        (_(label), [rate_text((column.get("localisation") or {}).get(key)) for column in columns.values()])
        for key, label in PLACES.items()
    ]
    rows.append(
        (_("Calibration error (ECE)"), [_error_text(column.get("ece")) for column in columns.values()])
    )
    warnings = {name: warning for name, column in columns.items() if (warning := few_defects_warning(column))}
    return SimpleNamespace(columns=list(columns), rows=rows, warnings=warnings)


def class_table(results: Mapping[str, Any]) -> list[SimpleNamespace]:
    """Precision, recall with interval, F1 and support of each class."""
    never = _never_answered(_section(results, "confusion"))
    return [
        SimpleNamespace(
            info=describe(class_id),
            precision=None if class_id in never else one.get("precision"),
            recall=one.get("recall"),
            interval=" – ".join(percent(end) for end in one.get("recall_interval") or ()),
            f1=one.get("f1"),
            support=one.get("support"),
            drawn=one.get("drawn") or 0,
        )
        for class_id, one in _classes(results).items()
    ]


def drawn_only(results: Mapping[str, Any]) -> set[str]:
    """The classes that were tested on drawn pictures alone, as far as the results say so."""
    return {
        class_id
        for class_id, one in _classes(results).items()
        if one.get("drawn") and one["drawn"] == one.get("support")
    }


def drawn_text(results: Mapping[str, Any]) -> str:
    """How many of the tested pictures are drawn; empty if none are."""
    counts = {
        name: one["n"]
        for name, one in _section(results, "datasets").items()
        if isinstance(one, dict) and isinstance(one.get("n"), int)
    }
    drawn, every = sum(n for name, n in counts.items() if name.endswith(GENERATED)), sum(counts.values())
    if not drawn:
        return ""
    if drawn == every:
        return _("All of these pictures are drawn, none is a photo.")
    return _(
        "Drawn pictures count here, too: %(drawn)s of %(every)s. The figures above keep them apart.",
        drawn=number(drawn),
        every=number(every),
    )


def unrecognised(results: Mapping[str, Any], metadata: ModelMetadata) -> list[str]:
    """The classes that this model recognised not once in its test; none where the results are another's."""
    match results.get("model"):
        case {"name": metadata.name, "version": metadata.version}:
            return [class_id for class_id, one in _classes(results).items() if one.get("recall") == 0]
    return []


def confusion_table(confusion: Any, drawn: Collection[str] = ()) -> SimpleNamespace | None:
    """Titles and rows of (count, shade 0..9); a shade is the share of the row.

    Args:
        drawn: the classes that were tested on drawn pictures alone.
    """
    match confusion:
        case {"classes": [*classes], "matrix": [*matrix]} if classes and len(matrix) == len(classes):
            rows: list[SimpleNamespace] = []
            for truth, counts in zip(classes, matrix, strict=True):
                total = sum(counts) or 1
                cells = [
                    SimpleNamespace(
                        count=count,
                        shade=math.ceil(9 * count / total),
                        right=i == len(rows),
                        answer=classes[i],
                    )
                    for i, count in enumerate(counts)
                ]
                rows.append(
                    SimpleNamespace(
                        title=describe(truth).title,
                        id=truth,
                        cells=cells,
                        total=sum(counts),
                        drawn=truth in drawn,
                    )
                )
            return SimpleNamespace(titles=[describe(one).title for one in classes], rows=rows)
    return None


def change_line(change: Change) -> SimpleNamespace:
    return SimpleNamespace(
        what=_(KINDS.get(change.kind, change.kind)),
        model=change.model,
        sha256=change.sha256[:SHORT],
        limits=change.setup.limits.get(change.model) if change.kind == "thresholds" else None,
        by=change.by,
        why=change.why,
        at=change.created_at.isoformat(timespec="seconds"),
        at_text=spoken_time(change.created_at),
    )


def _never_answered(confusion: Mapping[str, Any]) -> set[str]:
    """The classes that were given as an answer to nothing: their precision is not defined."""
    match confusion:
        case {"classes": [*classes], "matrix": [*matrix]} if matrix and len(matrix) == len(classes):
            columns = zip(classes, zip(*matrix, strict=False), strict=False)
            return {class_id for class_id, counts in columns if not any(counts)}
    return set()


def _classes(results: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: one for name, one in _section(results, "classes").items() if isinstance(one, dict)}


def _section(results: Mapping[str, Any], name: str) -> dict[str, Any]:
    test = results.get("test")
    found = test.get(name) if isinstance(test, dict) else None
    return found if isinstance(found, dict) else {}
