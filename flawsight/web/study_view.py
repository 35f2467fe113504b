"""Comparisons of the lab in the words of the page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from flawsight.i18n import gettext as _
from flawsight.i18n import marked, number
from flawsight.inspection.studies import Study
from flawsight.taxonomy import describe
from flawsight.web.charts import Axis, Chart, Series, line_chart, top_of
from flawsight.web.model_view import chart_title, confusion_table, rate_text
from flawsight.web.view import spoken_stamp

STUDY_FIGURES = {
    "accuracy": marked("Accuracy"),
    "balanced_accuracy": marked("Balanced accuracy"),
    "macro_f1": marked("Macro F1"),
    "macro_precision": marked("Macro precision"),
    "macro_recall": marked("Macro recall"),
    "weighted_precision": marked("Weighted precision"),
    "weighted_recall": marked("Weighted recall"),
    "weighted_f1": marked("Weighted F1"),
}
CURVES = {
    "val_accuracy": marked("Validation accuracy"),
    "val_loss": marked("Validation loss"),
    "train_accuracy": marked("Training accuracy"),
    "train_loss": marked("Training loss"),
}
KIND_WORDS = {
    "compare": marked("Comparison"),
    "ablate": marked("Ablation"),
    "folds": marked("Cross-validation"),
    "sweep": marked("Threshold sweep"),
}
FIRST = 3  # of them before size and speed
MOST_LINES = 8  # of one chart: as many as there are colours


@dataclass(frozen=True)
class StudyView:
    """One study, as the page shows it."""

    key: str
    title: str
    kind: str
    facts: list[tuple[str, str]]
    complete: bool
    head: list[str]
    rows: list[SimpleNamespace]
    tests: list[SimpleNamespace]
    curves: list[Chart]
    classes: SimpleNamespace | None
    entries: list[SimpleNamespace]
    charts: list[tuple[str, str]]


def study_line(study: Study) -> SimpleNamespace:
    content = study.content
    return SimpleNamespace(
        key=study.key,
        title=str(content.get("title") or study.key),
        kind=_(KIND_WORDS.get(str(content.get("kind")), "Comparison")),
        created=spoken_stamp(str(content.get("created", ""))),
        entries=len(content["entries"]),
        complete=bool(content.get("complete")),
    )


def study_view(study: Study) -> StudyView:
    content = study.content
    entries = [one for one in content["entries"] if isinstance(one, dict)]
    runs = [(str(one.get("label")), best_run(one)) for one in entries]
    line = study_line(study)
    data = content.get("data") or {}
    facts = [
        (_("Made"), line.created),
        (_("Preset"), str(content.get("preset") or "")),
        (_("What differs"), str(content.get("factor") or "")),
        (_("Repeats"), str(content.get("repeats") or "")),
        (
            _("Pictures"),
            _("%(train)s to train on, %(val)s to choose by, %(test)s to test", train=data.get("train", "–"),
              val=data.get("val", "–"), test=data.get("test", "–")) if data else "",
        ),
    ]  # fmt: skip
    figures = [_(label) for label in STUDY_FIGURES.values()]
    return StudyView(
        study.key,
        line.title,
        line.kind,
        [(name, value) for name, value in facts if value],
        line.complete,
        [
            _("Network"), *figures[:FIRST], _("Parameters"), _("Time of an epoch"), _("Inference"),
            *figures[FIRST:],
        ],
        [_study_row(one) for one in entries],
        [SimpleNamespace(**{k: t.get(k) for k in ("sentence", "p_adjusted", "method", "real")})
         for t in content.get("tests") or [] if isinstance(t, dict)],
        [chart for key, label in CURVES.items() if (chart := _curve(key, _(label), runs))],
        _class_accuracy(runs),
        [
            SimpleNamespace(
                label=label,
                run=run,
                confusion=confusion_table((run.get("test") or {}).get("confusion")),
                report=_report(run.get("test") or {}),
            )
            for label, run in runs
            if run
        ],
        [(name, chart_title(name)) for name in study.charts()],
    )  # fmt: skip


def best_run(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The run that stands for an entry; empty before the first has ended."""
    runs = [run for run in entry.get("runs") or [] if isinstance(run, dict)]
    return next((run for run in runs if run.get("best")), runs[0] if runs else {})


def _study_row(entry: Mapping[str, Any]) -> SimpleNamespace:
    summary = entry.get("summary") or {}
    parameters = entry.get("parameters")
    figures = [_mean(summary.get(key)) for key in STUDY_FIGURES]
    return SimpleNamespace(
        label=str(entry.get("label")),
        baseline=bool(entry.get("baseline")),
        cells=[
            *figures[:FIRST],
            f"{number(parameters / 1e6, 1)} M" if isinstance(parameters, int) else "–",
            _mean(summary.get("seconds_per_epoch"), "s"),
            _mean(summary.get("inference_ms"), "ms"),
            *figures[FIRST:],
        ],
    )


def _mean(figure: Any, unit: str = "") -> str:
    match figure:
        case {"mean": float() | int() as mean}:
            sd = figure.get("sd")
            spread = isinstance(sd, float | int) and (figure.get("n") or 2) > 1
            if unit:
                return f"{number(mean, 1)}{f' ± {number(sd, 1)}' if spread else ''} {unit}"
            return f"{number(100 * mean, 1)}{f' ± {number(100 * sd, 1)}' if spread else ''} %"
    return "–"


def _curve(key: str, label: str, runs: list[tuple[str, dict[str, Any]]]) -> Chart | None:
    series = []
    for name, run in runs[:MOST_LINES]:
        points = [
            (float(step), float(value))
            for step, value in (run.get("history") or {}).get(key) or []
            if isinstance(value, float | int) and math.isfinite(value)
        ]
        if points:
            series.append(Series(name, points))
    if not series:
        return None
    steps = [point[0] for one in series for point in one.points]
    share = key.endswith("accuracy")
    top = 1.0 if share else top_of([point[1] for one in series for point in one.points])
    return line_chart(
        label,
        series,
        Axis(_("Epoch"), min(0.0, *steps), max(1.0, *steps)),
        Axis(label, 0, top, percent=share),
    )


def _class_accuracy(runs: list[tuple[str, dict[str, Any]]]) -> SimpleNamespace | None:
    """Recall of each class, one column a network."""
    columns = [(label, (run.get("test") or {}).get("classes") or {}) for label, run in runs if run]
    names = list(dict.fromkeys(name for _label, classes in columns for name in classes))
    if not names:
        return None
    rows = [
        SimpleNamespace(
            title=describe(name).title,
            values=[(classes.get(name) or {}).get("recall") for _label, classes in columns],
        )
        for name in names
    ]
    return SimpleNamespace(labels=[label for label, _classes in columns], rows=rows)


def _report(test: Mapping[str, Any]) -> SimpleNamespace:
    """The full report of one run: every class, then the averages."""
    classes = test.get("classes") or {}
    rows = [(describe(name).title, one) for name, one in classes.items()]
    averages = [
        (label, test[key])
        for key, label in (("macro", _("Macro average")), ("weighted", _("Weighted average")))
        if test.get(key)
    ]
    accuracy = test.get("accuracy")
    text = "–"
    if isinstance(accuracy, dict) and accuracy.get("value") is not None:
        text = rate_text(
            {"value": accuracy["value"], "interval": [accuracy.get("low"), accuracy.get("high")]}
        )
    return SimpleNamespace(rows=rows, averages=averages, accuracy=text)
