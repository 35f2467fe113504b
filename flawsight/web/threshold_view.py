"""Thresholds of a model and what they do to the tested parts, in the words of the page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace

from flawsight.errors import FlawsightError
from flawsight.i18n import gettext as _
from flawsight.i18n import number, percent
from flawsight.inspection.operating import Costs, Curves, OperatingPoint, Rate
from flawsight.metadata import ModelMetadata
from flawsight.records.models import Limits
from flawsight.web.charts import Axis, Chart, Mark, Series, line_chart, top_of

SLIDER_STEP = 0.001


class BadNumber(FlawsightError):
    """A threshold or a price in the address is no number that can be used."""

    code = "bad_number"
    status = 400


@dataclass(frozen=True)
class Wanted:
    """What the sliders say."""

    accept_below: float
    reject_from: float
    costs: Costs
    dataset: str


def wanted(
    args: Mapping[str, str],
    curves: Curves,
    metadata: ModelMetadata,
    limits: Limits | None,
    step: float = 0.0,
) -> Wanted:
    """The thresholds and prices that the address says, else those in force.

    Args:
        step: a slider sends multiples of it; what it would send for a threshold in force means that very one.

    Raises:
        BadNumber: a value is no number, or out of its range.
    """
    now = limits or metadata.decision
    usual = Costs()
    dataset = args.get("dataset", "")
    if dataset not in ("", *curves.datasets):
        raise BadNumber("No parts of that dataset were tested. Choose one of the list.")
    parts = curves.only(dataset) if dataset else curves
    accept = _threshold(args, "accept", now.accept_below, step)
    reject = _threshold(args, "reject", now.reject_from, step)
    prevalence = _number(args, "prevalence", round(100 * parts.prevalence, 2), 100) / 100
    costs = Costs(
        _number(args, "escape", usual.escape),
        _number(args, "overkill", usual.overkill),
        _number(args, "review", usual.review),
        prevalence,
    )
    if args.get("cheapest"):
        accept, reject = parts.cheapest(costs)
    return Wanted(min(accept, reject), max(accept, reject), costs, dataset)


def _threshold(args: Mapping[str, str], name: str, now: float, step: float) -> float:
    # Half a step, and what floats add to it; for the scripts the same stands in models.js and typed.js.
    value = _number(args, name, now, 1)
    return now if abs(value - now) <= 0.51 * step else value


def _number(args: Mapping[str, str], name: str, default: float, highest: float = 1e6) -> float:
    text = args.get(name, "").strip()
    return _in_range(text, name, highest) if text else default


def share(text: str, name: str) -> float:
    """A share of 1 that a form sent.

    Raises:
        BadNumber: it is none.
    """
    return _in_range(text.strip(), name, 1)


def _in_range(text: str, name: str, highest: float) -> float:
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = math.nan
    if not 0 <= value <= highest:
        raise BadNumber("%(name)s must be a number from 0 to %(highest)s.", name=name, highest=f"{highest:g}")
    return value


@dataclass(frozen=True)
class PointView:
    """What the thresholds do, as the page shows it."""

    wanted: Wanted
    point: OperatingPoint
    rates: list[SimpleNamespace]
    cost: str
    cost_now: str
    sentence: str
    warnings: list[str]
    rates_chart: Chart
    cost_chart: Chart


def point_view(curves: Curves, want: Wanted, metadata: ModelMetadata, limits: Limits | None) -> PointView:
    parts = curves.only(want.dataset) if want.dataset else curves
    point = parts.at(want.accept_below, want.reject_from, want.costs)
    now = limits or metadata.decision
    present = parts.at(now.accept_below, now.reject_from, want.costs)
    sweep = parts.sweep(want.costs)
    x = Axis(_("Probability of a defect"), 0, 1, percent=True)
    marks = [
        Mark(want.accept_below, _("accept below %(share)s", share=percent(want.accept_below))),
        Mark(want.reject_from, _("reject from %(share)s", share=percent(want.reject_from))),
    ]
    known = [one for one in sweep if one.escape.n and one.overkill.n]
    rates_chart = line_chart(
        _("Escapes and overkill by threshold"),
        [
            Series(
                _("Escapes, if accepted below"), [(one.accept_below, one.escape.value or 0) for one in known]
            ),
            Series(
                _("Overkill, if rejected from"), [(one.reject_from, one.overkill.value or 0) for one in known]
            ),
        ],
        x,
        Axis(_("Share"), 0, 1, percent=True),
        marks,
    )
    costs = [(one.accept_below, 1000 * one.cost) for one in sweep]
    cost_chart = line_chart(
        _("Expected cost of 1000 parts"),
        [
            Series(_("One threshold, nothing reviewed"), costs),
            Series(_("The two thresholds above"), [(0, 1000 * point.cost), (1, 1000 * point.cost)]),
        ],
        x,
        Axis(_("Cost"), 0, top_of([cost for _at, cost in costs] + [1000 * point.cost])),
        marks,
    )
    return PointView(
        want,
        point,
        [
            _rate(_("Escapes"), point.escape, _("defective parts accepted"), "reject"),
            _rate(_("Overkill"), point.overkill, _("good parts rejected"), "review"),
            _rate(
                _("For review"), point.review, _("parts a person looks at, unknown ones included"), "unknown"
            ),
        ],
        number(1000 * point.cost, 1),
        number(1000 * present.cost, 1),
        _recall_sentence(point),
        _point_warnings(point, curves, want),
        rates_chart,
        cost_chart,
    )


def _rate(title: str, rate: Rate, of: str, kind: str) -> SimpleNamespace:
    low, high = rate.interval
    return SimpleNamespace(
        title=title,
        value=percent(rate.value) if rate.value is not None else "–",
        share=rate.value or 0.0,
        interval=_("95 %% interval %(low)s to %(high)s", low=percent(low), high=percent(high)),
        count=_("%(hits)s of %(n)s %(of)s", hits=rate.hits, n=rate.n, of=of),
        kind=kind,
    )


def _recall_sentence(point: OperatingPoint) -> str:
    if not point.escape.n:
        return _("No defective part was tested, so nothing can be said about escapes.")
    return _(
        "Of the defective parts at least %(floor)s are caught (not accepted), as far as %(n)s tested ones "
        "can tell.",
        floor=percent(point.recall_floor),
        n=point.escape.n,
    )


def _point_warnings(point: OperatingPoint, curves: Curves, want: Wanted) -> list[str]:
    warnings = []
    if point.few_defects and point.escape.n:
        best = 1 - Rate(0, point.escape.n).interval[1]
        warnings.append(
            _(
                "Only %(n)s defective parts were tested. That is too few to promise a recall: even without a "
                "single escape no more than %(best)s would be proven. Test more defective parts before you "
                "rely on these thresholds.",
                n=point.escape.n,
                best=percent(best),
            )
        )
    if not point.overkill.n:
        warnings.append(_("No good part was tested, so nothing can be said about overkill."))
    return warnings


def reliability_chart(curves: Curves) -> Chart:
    bins = curves.reliability()
    return line_chart(
        _("Reliability: how often an answer of this confidence is right"),
        [
            Series(
                _("Right answers"),
                [(one.confidence, one.right.value or 0) for one in bins],
                [one.right.interval for one in bins],
                dots=True,
            )
        ],
        Axis(_("Confidence"), 0, 1, percent=True),
        Axis(_("Right"), 0, 1, percent=True),
        diagonal=True,
    )
