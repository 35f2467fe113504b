"""Chain, golden parts, agreement and drift in the words of the pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from math import floor, log10
from types import SimpleNamespace
from typing import Any

from flawsight.i18n import gettext as _
from flawsight.i18n import marked, ngettext, number, percent
from flawsight.inspection.agreement import Kappa
from flawsight.inspection.drift import MOVED, Mix, Shift
from flawsight.inspection.operating import Rate
from flawsight.inspection.quality import Quality
from flawsight.inspection.result import VERDICTS
from flawsight.records import golden_photos
from flawsight.records.agreement import PEOPLE, Agreement
from flawsight.records.checks import Check
from flawsight.records.drift import Drift
from flawsight.records.findings import Finding
from flawsight.records.golden import REASONS, GoldenParts, State
from flawsight.taxonomy import describe
from flawsight.web.view import spoken_time

WIDTH, HEIGHT = 320, 92  # of a small chart, its own units
PHASES = {"records": marked("Records"), "files": marked("Pictures")}

# What is compared, and what it means when the recent parts lie lower or higher.
MEASURES = {
    "confidence": (marked("Confidence"), marked("Answers are less sure"), marked("Answers are surer")),
    "distance": (
        marked("Distance from known parts"), marked("Parts look more familiar"),
        marked("Parts look less familiar"),
    ),
    "sharpness": (marked("Sharpness"), marked("Photos are less sharp"), marked("Photos are sharper")),
    "brightest": (
        marked("Brightest tones"), marked("Photos look darker"), marked("Photos look brighter"),
    ),
    "darkest": (
        marked("Darkest tones"), marked("Shadows are darker"), marked("Shadows are brighter"),
    ),
}  # fmt: skip
SPREAD = marked("Spread otherwise than the reference")
STATES = {"steady": marked("Steady"), "slightly": marked("Moved a little"), "moved": marked("Moved")}


@dataclass(frozen=True)
class CheckView:
    """One run of a check."""

    check: Check
    when: str
    running: bool
    cut_off: bool
    findings: list[str]
    more: int

    @classmethod
    def of(cls, check: Check | None) -> CheckView | None:
        if check is None:
            return None
        found = check.result.get("findings", [])
        return cls(
            check=check,
            when=spoken_time(check.finished_at or check.started_at),
            running=check.running(),
            cut_off=check.passed is None and not check.running(),
            findings=[Finding.from_dict(one).said() for one in found],
            more=check.result.get("count", 0) - len(found),
        )


def check_json(check: Check | None) -> dict[str, Any] | None:
    """A run for programs, and for the page that waits for its end."""
    if check is None:
        return None
    return {
        "kind": check.kind,
        "by": check.by,
        "running": check.running(),
        "done": check.done,
        "total": check.total,
        "phase": _(PHASES.get(check.result.get("phase", ""), "")),
        "passed": check.passed,
        "started_at": check.started_at.isoformat(),
        "finished_at": check.finished_at.isoformat() if check.finished_at else None,
        "result": check.result,
    }


# --- golden parts -----------------------------------------------------------------------------------------


def locked_text(state: State) -> str:
    """Why inspection is locked; empty if it is not."""
    return _(REASONS[state.reason], **state.values) if state.locked else ""


def class_title(class_id: str) -> str:
    return describe(class_id).title if class_id else _("any class")


def golden_lines(golden: GoldenParts, last: Check | None) -> list[SimpleNamespace]:
    """Each part with what came out of it in the run ``last``, and its latest fresh photo."""
    photos, right = golden_photos.latest(golden), golden.ever_right()
    outcomes = {one["id"]: one for one in (last.result.get("parts", []) if last else [])}
    lines = []
    for part in golden.parts():
        outcome = outcomes.get(part.id)
        lines.append(
            SimpleNamespace(
                part=part,
                expected=f"{_(part.verdict)}, {class_title(part.class_id)}",
                found=came_out(outcome) if outcome else "",
                passed=outcome["passed"] if outcome else None,
                ever_right=part.id in right,
                added=spoken_time(part.added_at),
                photo=photo_view(photos[part.id]) if part.id in photos else None,
            )
        )
    return lines


def photo_view(check: Check) -> SimpleNamespace:
    """A fresh photo of a golden part beside its stored picture."""
    said, [outcome] = check.result["photo"], check.result["parts"]
    figures = said["figures"]
    sharpness, brightest, darkest = (
        figures.get(name, {}).get("photo") for name in ("sharpness", "brightest", "darkest")
    )
    known = brightest is not None and darkest is not None
    return SimpleNamespace(
        id=check.id,
        when=spoken_time(check.finished_at or check.started_at),
        by=check.by,
        passed=check.passed,
        found=came_out(outcome),
        rows=[
            (
                _(title),
                _figure_or_none(one["stored"]),
                _figure(one["photo"]),
                _change(one["stored"], one["photo"]),
            )
            for name, (title, *_words) in MEASURES.items()
            if (one := figures.get(name))
        ],
        warnings=Quality(sharpness, brightest, darkest).warnings if known else (),
    )


def came_out(outcome: dict[str, Any]) -> str:
    """Verdict and class that a golden part got, or why it got none."""
    if "error" in outcome:
        return str(outcome["error"])
    return f"{_(outcome['found_verdict'])}, {class_title(outcome['found_class'])}"


def _figure_or_none(value: float | None) -> str:
    return "–" if value is None else _figure(value)


def _change(before: float | None, now: float) -> str:
    """By how much of what it was; a dash where that is nothing."""
    if not before:
        return "–"
    percents = round(100 * (now / before - 1), 1)
    return f"{'+' if percents > 0 else '−' if percents < 0 else '±'}{number(abs(percents), 1)} %"


# --- agreement --------------------------------------------------------------------------------------------


def agreement_json(found: Agreement) -> dict[str, Any]:
    return {
        "answered": found.n,
        "filed": found.filed,
        "answered_by_verdict": found.answered,
        "confusion": [
            {"person": who, "model": verdict, "parts": found.confusion[who, verdict]}
            for who in PEOPLE
            for verdict in VERDICTS
        ],
        "kappa_of_verdicts": vars(found.verdicts) if found.verdicts else None,
        "kappa_of_classes": vars(found.classes) if found.classes else None,
        "miss_rate": found.missed.to_dict(),
        "miss_rate_corrected": found.corrected_missed,
        "false_alarm_rate": found.refused.to_dict(),
        "classes": [
            {"class": one.class_id, "same": one.same.to_dict(), "accepted": one.accepted.to_dict()}
            for one in found.by_class
        ],
        "warnings": agreement_warnings(found),
    }


def agreement_warnings(found: Agreement) -> list[str]:
    """What a reader must know before believing the figures."""
    said = []
    if found.few:
        top = percent(found.missed.interval[1])
        said.append(
            ngettext(
                "Only %(num)s part that people rejected and %(good)s that they accepted have been answered: "
                "too few to say much. The true miss rate may be up to %(top)s.",
                "Only %(num)s parts that people rejected and %(good)s that they accepted have been answered: "
                "too few to say much. The true miss rate may be up to %(top)s.",
                found.missed.n,
                good=number(found.refused.n),
                top=top,
            )
        )
    if found.selective:
        accepted, filed = found.answered["accept"], found.filed["accept"]
        said.append(
            _(
                "Mostly doubtful parts were reviewed: of the %(filed)s parts that the model accepted, only "
                "%(answered)s. Missed defects hide among them, so the miss rate cannot be trusted. Review "
                "some accepted parts, picked at random.",
                filed=number(filed),
                answered=number(accepted),
            )
        )
    return said


def rate_text(rate: Rate) -> str:
    """A rate with its interval, in words."""
    if rate.value is None:
        return _("not known")
    low, high = rate.interval
    return _(
        "%(rate)s (%(hits)s of %(n)s; 95 %% interval %(low)s to %(high)s)",
        rate=percent(rate.value),
        hits=number(rate.hits),
        n=number(rate.n),
        low=percent(low),
        high=percent(high),
    )


def kappa_text(kappa: Kappa | None) -> str:
    """Kappa with its interval, in words."""
    if kappa is None:
        return _("not defined: too few answers, or always the same one")
    if kappa.low is None or kappa.high is None:
        return _(
            "%(value)s (agreed on %(observed)s of %(n)s parts; too few of them, or too much alike, "
            "for an interval)",
            value=number(kappa.value, 2),
            observed=percent(kappa.observed),
            n=number(kappa.n),
        )
    return _(
        "%(value)s (95 %% interval %(low)s to %(high)s; agreed on %(observed)s of %(n)s parts)",
        value=number(kappa.value, 2),
        low=number(kappa.low, 2),
        high=number(kappa.high, 2),
        observed=percent(kappa.observed),
        n=number(kappa.n),
    )


# --- drift ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ShiftView:
    """One figure, with a sentence and two small charts."""

    measure: str
    title: str
    state: str
    state_text: str
    sentence: str
    facts: str
    bars: list[SimpleNamespace]
    course: str
    course_text: str

    @classmethod
    def of(cls, shift: Shift, since: datetime | None) -> ShiftView:
        return cls(
            measure=shift.measure,
            title=_(MEASURES[shift.measure][0]),
            state=shift.state,
            state_text=_(STATES[shift.state]),
            sentence=shift_sentence(shift, since),
            facts=shift_facts(shift),
            bars=_bars(shift),
            course=_course(shift),
            course_text=_("Median place of the recent parts within the reference, oldest to newest"),
        )


def shift_sentence(shift: Shift, since: datetime | None) -> str:
    """What moved, in one plain sentence with the figures."""
    figures = {"now": _figure(shift.now), "then": _figure(shift.then)}
    if shift.state == "steady":
        return _("Steady: median %(now)s, reference %(then)s.", **figures)
    _title, lower, higher = MEASURES[shift.measure]
    said = _({-1: lower, 0: SPREAD, 1: higher}[shift.direction])
    if shift.since == 0:
        return _(
            "%(said)s from the first of these parts on: median %(now)s, reference %(then)s.",
            said=said,
            **figures,
        )
    if since is None:
        return _("%(said)s: median %(now)s, reference %(then)s.", said=said, **figures)
    return _(
        "%(said)s since %(when)s: median %(now)s, reference %(then)s.",
        said=said,
        when=spoken_time(since),
        **figures,
    )


def shift_facts(shift: Shift) -> str:
    """The figures behind the sentence, and from where on they count."""
    figures = {
        "psi": number(shift.psi, 2),
        "chance": number(shift.chance, 2),
        "n": number(shift.n),
        "reference": number(shift.reference),
    }
    if shift.chance > MOVED:
        return _(
            "Stability index %(psi)s: it counts as moved above %(chance)s, which chance alone reaches with "
            "so few parts. %(n)s recent parts against %(reference)s.",
            **figures,
        )
    return _(
        "Stability index %(psi)s: from %(moved)s on it counts as moved; chance alone reaches %(chance)s. "
        "%(n)s recent parts against %(reference)s.",
        moved=number(MOVED, 2),
        **figures,
    )


def mix_sentence(mix: Mix) -> str:
    """Whether other classes are answered than before."""
    if mix.state == "steady":
        return _("The mix of classes is as it was before.")
    name, (now, then) = max(mix.shares.items(), key=lambda item: abs(item[1][0] - item[1][1]))
    return _(
        "The mix of classes moved, most of all %(title)s: now %(now)s of the parts, before %(then)s.",
        title=describe(name).title,
        now=percent(now),
        then=percent(then),
    )


def drift_json(found: Drift) -> dict[str, Any]:
    return {
        "inspections": found.n,
        "from": found.first.isoformat() if found.first else None,
        "to": found.last.isoformat() if found.last else None,
        "reference": found.source or None,
        "figures": {
            name: {
                **{key: value for key, value in vars(shift).items() if key not in ("since", "measure")},
                "state": shift.state,
                "since": found.since[name].isoformat() if name in found.since else None,
                "sentence": shift_sentence(shift, found.since.get(name)),
            }
            for name, shift in found.shifts.items()
        },
        "classes": _mix_json(found.mix),
        "classes_against_validation": _mix_json(found.validation_mix),
    }


def _mix_json(mix: Mix | None) -> dict[str, Any] | None:
    if mix is None:
        return None
    shares = {name: {"now": now, "then": then} for name, (now, then) in mix.shares.items()}
    return {**vars(mix), "state": mix.state, "shares": shares}


def _figure(value: float) -> str:
    """To three significant digits."""
    size = floor(log10(abs(value))) if value else 0
    return number(value, min(6, max(0, 2 - size)))


def _bars(shift: Shift) -> list[SimpleNamespace]:
    """Share of the recent parts in each tenth of the reference, as bars of a chart."""
    top, width = max(0.3, *shift.shares), WIDTH / len(shift.shares)
    return [
        SimpleNamespace(
            x=round(index * width + 2, 1),
            y=round(HEIGHT * (1 - share / top), 1),
            width=round(width - 4, 1),
            height=round(HEIGHT * share / top, 1),
            level=round(HEIGHT * (1 - 0.1 / top), 1),
            share=percent(share),
        )
        for index, share in enumerate(shift.shares)
    ]


def _course(shift: Shift) -> str:
    """Points of a line: the places of parts in a row, 1 at the top."""
    step = WIDTH / max(1, len(shift.course) - 1)
    return " ".join(
        f"{index * step:.1f},{HEIGHT * (1 - place):.1f}" for index, place in enumerate(shift.course)
    )
