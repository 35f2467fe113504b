"""A lot in the words of its page, and the geometry of its charts. Templates only place what is said here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from types import SimpleNamespace
from typing import Any

from flawsight.i18n import gettext as _
from flawsight.i18n import marked, ngettext, number, percent
from flawsight.records.assessment import (
    PART_WORDS,
    ROW_WORDS,
    SEVERITY_WORDS,
    Assessment,
    Figures,
    Part,
    Row,
)
from flawsight.records.lot import DISPOSITIONS, DRAWN, STATES, Event, Lot, Summary, event_words
from flawsight.records.pchart import USUAL, PChart
from flawsight.records.sampling import NONE_ALLOWED, Plan
from flawsight.reporting.words import defect_title, deleted_words
from flawsight.web.view import spoken_time

LOOKS = {
    "accepted": "accept",
    "rejected": "reject",
    "withdrawn": "unknown",
}  # state to the colour of a verdict
POINT_WORDS = {
    "above": marked("Above the limit"),
    "below": marked("Below the limit"),
    "": marked("Within the limits"),
}
PART_LOOKS = {"nonconforming": "reject", "undecided": "review", "good": "accept"}


@dataclass(frozen=True)
class LotView:
    """Everything the page of a lot says."""

    lot: Lot
    figures: Figures
    state: str
    look: str
    headline: str
    sentences: list[str]
    facts: list[tuple[str, str]]
    rows: list[SimpleNamespace]
    pareto: list[SimpleNamespace]
    events: list[SimpleNamespace]
    deleted: list[str]
    has_ncr: bool

    @classmethod
    def of(cls, lot: Lot, assessment: Assessment, changed: int, late: int) -> LotView:
        figures = assessment.figures
        return cls(
            lot=lot,
            figures=figures,
            state=_(STATES[lot.state]),
            look=lot_look(lot, figures),
            headline=_headline(lot, figures),
            sentences=_sentences(lot, assessment, changed, late),
            facts=_facts(lot),
            rows=[_row(row) for row in figures.rows],
            pareto=_pareto(figures),
            events=[_event(event) for event in reversed(lot.events)],
            deleted=_deleted(assessment),
            has_ncr=has_ncr(lot, figures),
        )


def has_ncr(lot: Lot, figures: Figures) -> bool:
    """Whether there is anything to report as a non-conformance."""
    return lot.state == "rejected" or figures.nonconforming > 0


def lot_look(lot: Lot, figures: Figures) -> str:
    """The colour of a verdict that fits: an open lot shows what its plans say so far."""
    return LOOKS.get(lot.state) or {"open": "review"}.get(figures.decision, figures.decision)


def limit_words(limit: str) -> str:
    return _("None allowed") if limit == NONE_ALLOWED else f"AQL {limit}"


def line(summary: Summary) -> SimpleNamespace:
    """One line of the list."""
    lot, figures = summary.lot, summary.figures
    return SimpleNamespace(
        lot=lot,
        look=lot_look(lot, figures),
        state=_(STATES[lot.state]),
        said=_(DISPOSITIONS[lot.disposed.decision])
        if lot.disposed
        else _plans_say(figures)
        if lot.state == "open"
        else "",
        part=" · ".join(filter(None, (lot.terms.part_number, lot.terms.part_revision))),
        progress=_(
            "%(inspected)s of %(sample)s", inspected=number(figures.inspected), sample=number(figures.sample)
        ),
        figures=figures,
        opened_iso=lot.opened.created_at.isoformat(timespec="seconds"),
        opened_text=spoken_time(lot.opened.created_at),
    )


def part_tile(part: Part) -> SimpleNamespace:
    """One part of the lot's page."""
    look = part.shown_look
    reviewer = next((look.reviewer for look in reversed(part.looks) if look.reviewer), "")
    return SimpleNamespace(
        id=look.id,
        number=look.number,
        look=PART_LOOKS[part.state],
        state=_(PART_WORDS[part.state]),
        undecided=part.state == "undecided",
        defects=[
            (_(SEVERITY_WORDS[severity]), ", ".join(defect_title(class_id) for class_id in kinds))
            for severity, kinds in part.by_severity.items()
        ],
        serial=look.serial,
        pictures=ngettext("%(num)s picture", "%(num)s pictures", len(part.looks))
        if len(part.looks) > 1
        else "",
        reviewer=reviewer,
    )


def _plans_say(figures: Figures) -> str:
    return {
        "accept": _("The plans accept it"),
        "reject": _("The plans reject it"),
        "open": _("Not decided yet"),
    }[figures.decision]


def _headline(lot: Lot, figures: Figures) -> str:
    if lot.state == "open":
        return _plans_say(figures)
    if lot.disposed:
        return _("Disposition: %(disposition)s", disposition=_(DISPOSITIONS[lot.disposed.decision]))
    return _("No disposition yet")


def _sentences(lot: Lot, assessment: Assessment, changed: int, late: int) -> list[str]:
    """Where the lot stands and what holds it up."""
    figures = assessment.figures
    said = [
        _(
            "%(inspected)s of %(sample)s parts of the sample inspected.",
            inspected=number(figures.inspected),
            sample=number(figures.sample),
        )
    ]
    if figures.parts > figures.sample:
        said.append(_("%(parts)s parts inspected altogether.", parts=number(figures.parts)))
    if lot.state == "open":
        if figures.decision == "reject" and figures.to_go:
            said.append(_("A rejection number is reached, so the rest of the sample cannot save the lot."))
        elif figures.decision == "reject":
            said.append(_("The sample is complete and a rejection number is reached."))
        else:
            if figures.to_go:
                said.append(ngettext("%(num)s part to go.", "%(num)s parts to go.", figures.to_go))
            if figures.undecided:
                said.append(
                    ngettext(
                        "%(num)s part is undecided and holds the decision up until a person has reviewed it.",
                        "%(num)s parts are undecided and hold the decision up until a person has reviewed "
                        "them.",
                        figures.undecided,
                    )
                )
            if figures.decision == "accept":
                said.append(_("The sample is complete and no acceptance number is passed."))
    elif lot.closed and lot.closed.decision != figures.decision:
        said.append(_("Closed otherwise than the plans say; the rationale tells why."))
    if any(row.beyond for row in figures.rows):
        said.append(
            _(
                "Defects were also found beyond the sample. They do not count for the plans: weigh them "
                "yourself."
            )
        )
    if assessment.left_out:
        said.append(
            ngettext(
                "%(num)s picture is left out, since a person saw no part that can be judged.",
                "%(num)s pictures are left out, since a person saw no part that can be judged.",
                len(assessment.left_out),
            )
        )
    said += _deleted(assessment)
    if changed:
        said.append(
            ngettext(
                "Since the closing %(num)s part was answered again; the figures are those of the closing.",
                "Since the closing %(num)s parts were answered again; the figures are those of the closing.",
                changed,
            )
        )
    if late:
        said.append(
            ngettext(
                "%(num)s inspection names this lot number but was filed while the lot was not open; it does "
                "not count.",
                "%(num)s inspections name this lot number but were filed while the lot was not open; they do "
                "not count.",
                late,
            )
        )
    if others := assessment.astray(lot.terms.part_number):
        said.append(_("Some parts carry another part number: %(numbers)s.", numbers=", ".join(others)))
    return said


def _deleted(assessment: Assessment) -> list[str]:
    return [
        deleted_words(taken.inspections, spoken_time(taken.at) if taken.at else "")
        for taken in assessment.deleted
    ]


def _facts(lot: Lot) -> list[tuple[str, str]]:
    terms = lot.terms
    facts = [
        (_("Part number, revision"), ", ".join(filter(None, (terms.part_number, terms.part_revision)))),
        (_("Supplier or origin"), terms.supplier),
        (_("Lot size"), number(terms.size)),
        (_("Inspection level"), _("General %(level)s", level=terms.level)),
        (_("Sample drawn"), _(DRAWN[terms.drawn])),
        (_("Report number"), lot.report_number),
    ]
    return [(name, value) for name, value in facts if value]


def plan_row(severity: str, plan: Plan) -> SimpleNamespace:
    """What one severity is held against."""
    return SimpleNamespace(
        severity=_(SEVERITY_WORDS[severity]),
        limit=limit_words(plan.limit),
        letter=plan.letter,
        n=number(plan.n),
        every_part=plan.every_part,
        ac=plan.ac,
        re=plan.re,
    )


def _row(row: Row) -> SimpleNamespace:
    return SimpleNamespace(
        **vars(plan_row(row.severity, row.plan)),
        found=row.found,
        beyond=row.beyond,
        look={"open": "review"}.get(row.state, row.state),
        result=_(ROW_WORDS[row.state]),
    )


def _pareto(figures: Figures) -> list[SimpleNamespace]:
    most = max((bar.parts for bar in figures.pareto), default=1)
    return [
        SimpleNamespace(
            title=defect_title(bar.class_id),
            severity=_(SEVERITY_WORDS[bar.severity]),
            parts=number(bar.parts),
            share=bar.parts / most,
            running=percent(bar.running),
        )
        for bar in figures.pareto
    ]


def _event(event: Event) -> SimpleNamespace:
    more = [
        (_("Containment"), event.data.get("containment", "")),
        (_("Corrective action"), event.data.get("reference", "")),
    ]
    return SimpleNamespace(
        what=event_words(event),
        by=event.by,
        iso=event.created_at.isoformat(timespec="seconds"),
        text=spoken_time(event.created_at),
        rationale=event.rationale,
        more=[(name, value) for name, value in more if value],
    )


# --- the p-chart ------------------------------------------------------------------------------------

WIDTH, HEIGHT = 760, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 14, 14, 46  # room for the axes
NAME_LENGTH = 12  # characters of a lot's number below the chart
NAME_WIDTH = 92  # room for so many


@dataclass(frozen=True)
class ChartView:
    """The p-chart as lines and dots of a drawing of ``WIDTH`` x ``HEIGHT``, and in words."""

    width: int
    height: int
    left: int
    right: float
    centre_y: float
    centre_text: str
    upper: str
    lower: str
    path: str
    dots: list[SimpleNamespace]
    ticks: list[SimpleNamespace]
    bottom: int
    sentences: list[str]

    @classmethod
    def of(cls, chart: PChart) -> ChartView:
        top = _round_up(max((max(point.upper, point.share) for point in chart.points), default=0.0))
        step = (WIDTH - LEFT - RIGHT) / max(1, len(chart.points))

        def y(share: float) -> float:
            return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - share / top), 1)

        def x(index: int) -> float:
            return round(LEFT + (index + 0.5) * step, 1)

        named = _named(len(chart.points), max(1, ceil(NAME_WIDTH / step)))

        def steps(levels: Sequence[float]) -> str:
            """A limit is level for one lot, then jumps to the next."""
            return " ".join(
                f"{LEFT + index * step:.1f},{y(level)} {LEFT + (index + 1) * step:.1f},{y(level)}"
                for index, level in enumerate(levels)
            )

        return cls(
            width=WIDTH,
            height=HEIGHT,
            left=LEFT,
            right=WIDTH - RIGHT,
            centre_y=y(chart.centre),
            centre_text=percent(chart.centre),
            upper=steps([point.upper for point in chart.points]),
            lower=steps([point.lower for point in chart.points]),
            path=" ".join(f"{x(index)},{y(point.share)}" for index, point in enumerate(chart.points)),
            dots=[
                SimpleNamespace(
                    x=x(index),
                    y=y(point.share),
                    outside=bool(point.side),
                    lot_id=point.lot.lot_id,
                    number=point.lot.number,
                    closed_text=spoken_time(point.lot.closed_at),
                    name=_short(point.lot.number) if index in named else "",
                    n=number(point.lot.n),
                    undecided=point.lot.undecided,
                    nonconforming=number(point.lot.nonconforming),
                    share=percent(point.share),
                    lower=percent(point.lower),
                    upper=percent(point.upper),
                    said={"above": _("Above the limit"), "below": _("Below the limit")}.get(
                        point.side, _("Within")
                    ),
                )
                for index, point in enumerate(chart.points)
            ],
            ticks=[SimpleNamespace(y=y(top * part / 4), text=percent(top * part / 4)) for part in range(5)],
            bottom=HEIGHT - BOTTOM,
            sentences=_chart_words(chart),
        )


def _named(count: int, apart: int) -> set[int]:
    """Which of ``count`` lots are named below the chart: first, last, and every so many between."""
    last = count - 1
    return {0, last, *range(0, last - apart + 1, apart)}


def _short(text: str) -> str:
    return text if len(text) <= NAME_LENGTH else f"{text[: NAME_LENGTH - 1]}…"


def _chart_words(chart: PChart) -> list[str]:
    if not chart.is_drawn:
        return [_("A chart needs at least two closed lots with decided parts.")]
    said = []
    if chart.is_provisional:
        said.append(
            _(
                "%(lots)s lots are few: limits are commonly trusted from %(usual)s on. Take them as "
                "provisional.",
                lots=len(chart.points),
                usual=USUAL,
            )
        )
    if chart.outside:
        names = ", ".join(point.lot.number for point in chart.outside)
        said.append(
            ngettext(
                "%(num)s lot lies outside its limits: %(names)s. Look for a special cause.",
                "%(num)s lots lie outside their limits: %(names)s. Look for a special cause.",
                len(chart.outside),
                names=names,
            )
        )
    else:
        said.append(_("No lot lies outside its limits."))
    if left_out := sum(point.lot.undecided for point in chart.points):
        said.append(
            ngettext(
                "n counts decided parts only; %(num)s part still undecided at the closing is left out.",
                "n counts decided parts only; %(num)s parts still undecided at the closing are left out.",
                left_out,
            )
        )
    return said


def _round_up(share: float) -> float:
    """The next even end of an axis."""
    ends = (0.01, 0.02, 0.04, 0.08, 0.1, 0.2, 0.4, 0.6, 0.8)
    return next((end for end in ends if share <= end), 1.0)


def lot_json(lot: Lot, assessment: Assessment) -> dict[str, Any]:
    """``flawsight.lot/1`` with figures and parts."""
    return {
        **lot.to_dict(),
        "record_sha256": lot.sha256,
        "figures": assessment.figures.to_dict(),
        "parts": [
            {
                "state": part.state,
                "severity": part.severity or None,
                "defects": [class_id for class_id in part.defects if class_id],
                "serial": part.looks[0].serial,
                "inspections": [
                    {
                        "id": look.id,
                        "number": look.number,
                        "created_at": look.created_at.isoformat(),
                        "verdict": look.verdict,
                        "class": look.class_id,
                        "reviewer": look.reviewer,
                    }
                    for look in part.looks
                ],
            }
            for part in assessment.parts
        ],
        "left_out": [look.number for look in assessment.left_out],
        "deleted": [
            {
                "inspections": taken.inspections,
                "by": taken.by,
                "created_at": taken.at.isoformat() if taken.at else None,
            }
            for taken in assessment.deleted
        ],
    }
