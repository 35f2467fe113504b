"""What the parts of a lot say, held against its sampling plans: accept, reject, or not decided yet.

Nonconforming parts are counted, by the worst severity of their defects. Each severity has a plan of its
own and looks at as many parts, in the order of inspection, as its plan asks for. A lot is rejected as
soon as one severity has reached its rejection number. It is accepted once every sample is complete,
every part in it decided, and no acceptance number passed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from itertools import groupby
from typing import Any

from flawsight.i18n import marked
from flawsight.records import sampling
from flawsight.records.catalogue import folded
from flawsight.records.reviews import ReviewBox
from flawsight.records.sampling import Plan
from flawsight.taxonomy import describe

SEVERITIES = ("critical", "major", "unknown", "minor")  # worst first; nobody has rated the unknown ones
SEVERITY_WORDS = {
    "critical": marked("Critical"),
    "major": marked("Major"),
    "unknown": marked("Not rated"),
    "minor": marked("Minor"),
}
ROW_WORDS = {"accept": marked("Accept"), "reject": marked("Reject"), "open": marked("Not decided")}
PART_WORDS = {
    "nonconforming": marked("Nonconforming"),
    "undecided": marked("Undecided"),
    "good": marked("Good"),
}
UNNAMED = ""  # in place of a class: a part was rejected for no defect that has a name


@dataclass(frozen=True)
class Look:
    """One inspection of a lot, with the answer that counts: a person's where there is one.

    Attributes:
        verdict: ``accept``, ``review``, ``reject`` or ``unknown``.
        classes: the defects seen; empty unless rejected.
        reviewer: who answered; empty if only the model did.
        disposition: what that person said is to become of the part, or empty.
        answered_at: when that was; ``None`` if only the model did.
        model_verdict: what the model said.
        inspector: who inspected; empty if nobody was named.
        drawn: the boxes that only the person who answered drew.
    """

    id: str
    number: str
    created_at: datetime
    name: str
    part_number: str
    serial: str
    image_sha256: str
    verdict: str
    class_id: str
    confidence: float
    classes: tuple[str, ...] = ()
    reviewer: str = ""
    disposition: str = ""
    answered_at: datetime | None = None
    model_verdict: str = ""
    inspector: str = ""
    drawn: tuple[ReviewBox, ...] = ()

    @property
    def is_no_part(self) -> bool:
        """A person said that the picture shows no part that can be judged."""
        return self.verdict == "unknown" and bool(self.reviewer)

    @property
    def identity(self) -> tuple[str, str]:
        """What pictures of one part share: its serial number; without one, only the very same picture."""
        return ("serial", self.serial.casefold()) if self.serial else ("image", self.image_sha256)


@dataclass(frozen=True)
class Part:
    """One part of the sample, seen in one or more inspections.

    It is nonconforming if any of its pictures shows a defect, and good only if all of them are decided.
    """

    looks: tuple[Look, ...]

    @cached_property
    def state(self) -> str:
        """``nonconforming``, ``undecided`` or ``good``."""
        verdicts = {look.verdict for look in self.looks}
        return "nonconforming" if "reject" in verdicts else "good" if verdicts == {"accept"} else "undecided"

    @property
    def shown_look(self) -> Look:
        """The picture that stands for the part: the first that shows a defect, else the latest."""
        return next((look for look in self.looks if look.verdict == "reject"), self.looks[-1])

    @cached_property
    def defects(self) -> tuple[str, ...]:
        """The classes of defect, worst first, each once; ``UNNAMED`` if it has none with a name."""
        if self.state != "nonconforming":
            return ()
        seen = {class_id for look in self.looks for class_id in look.classes}
        return tuple(sorted(seen, key=lambda class_id: (_rank(class_id), class_id))) or (UNNAMED,)

    @property
    def by_severity(self) -> dict[str, list[str]]:
        """The classes of defect of each severity, worst first."""
        return {severity: list(kinds) for severity, kinds in groupby(self.defects, severity_of)}

    @property
    def severity(self) -> str:
        """Of the worst defect; empty unless nonconforming."""
        return severity_of(self.defects[0]) if self.defects else ""


@dataclass(frozen=True)
class Row:
    """One severity against its plan.

    Attributes:
        found: nonconforming parts of this severity within the plan's sample.
        beyond: the same among parts inspected after that sample; they do not count.
        state: ``accept``, ``reject`` or ``open``.
    """

    severity: str
    plan: Plan
    found: int
    beyond: int
    state: str


@dataclass(frozen=True)
class Bar:
    """One bar of the Pareto chart: parts that show the defect, and the running share of all bars."""

    class_id: str
    severity: str
    parts: int
    running: float


@dataclass(frozen=True)
class Figures:
    """The outcome in numbers, as a closed lot keeps them.

    Attributes:
        sample: parts to inspect, which is the largest sample of all rows.
        inspected, undecided: of these; later parts are not counted.
        parts: inspected altogether.
        good, nonconforming: of those; the rest is undecided.
    """

    rows: tuple[Row, ...]
    sample: int
    inspected: int
    undecided: int
    parts: int
    good: int
    nonconforming: int
    pareto: tuple[Bar, ...]

    @property
    def decision(self) -> str:
        """What the plans say: ``accept``, ``reject`` or ``open``."""
        states = {row.state for row in self.rows}
        return "reject" if "reject" in states else "accept" if states == {"accept"} else "open"

    @property
    def decided(self) -> int:
        """Of all parts inspected."""
        return self.good + self.nonconforming

    @property
    def to_go(self) -> int:
        """Parts of the sample that are still to be inspected."""
        return self.sample - self.inspected

    def to_dict(self) -> dict[str, Any]:
        return {
            "decision": self.decision,
            "sample": self.sample,
            "inspected": self.inspected,
            "undecided": self.undecided,
            "parts": self.parts,
            "good": self.good,
            "nonconforming": self.nonconforming,
            "severities": [
                {
                    "severity": row.severity,
                    "aql": row.plan.limit,
                    "code_letter": row.plan.letter,
                    "sample": row.plan.n,
                    "every_part": row.plan.every_part,
                    "ac": row.plan.ac,
                    "re": row.plan.re,
                    "found": row.found,
                    "beyond_sample": row.beyond,
                    "state": row.state,
                }
                for row in self.rows
            ],
            "pareto": [
                {"class": bar.class_id, "severity": bar.severity, "parts": bar.parts} for bar in self.pareto
            ],
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Figures:
        """The inverse of ``to_dict``."""
        rows = [
            Row(
                severity=row["severity"],
                plan=Plan(row["aql"], row["code_letter"], row["sample"], row["ac"], row["every_part"]),
                found=row["found"],
                beyond=row["beyond_sample"],
                state=row["state"],
            )
            for row in value["severities"]
        ]
        counted = {(bar["class"], bar["severity"]): bar["parts"] for bar in value["pareto"]}
        names = ("sample", "inspected", "undecided", "parts", "good", "nonconforming")
        return cls(rows=tuple(rows), pareto=_bars(counted), **{name: value[name] for name in names})


@dataclass(frozen=True)
class Taken:
    """Inspections of a lot that went with one deletion by a rule; ``at`` is unknown for early ones."""

    inspections: int
    by: str = ""
    at: datetime | None = None


@dataclass(frozen=True)
class Assessment:
    """A lot's figures, and the parts behind them in the order of inspection.

    ``left_out`` are pictures that, as a person said, show no part that can be judged. ``deleted`` says what a
    rule took of the parts since the lot was closed; the figures still count it.
    """

    figures: Figures
    parts: tuple[Part, ...]
    left_out: tuple[Look, ...] = field(default=())
    deleted: tuple[Taken, ...] = field(default=())

    def astray(self, part_number: str) -> list[str]:
        """The part numbers that parts carry instead of ``part_number``, the lot's; none where it has none."""
        carried = {folded(look.part_number): look.part_number for part in self.parts for look in part.looks}
        others = carried.keys() - {"", folded(part_number)} if part_number else ()
        return sorted(carried[one] for one in others)


def plans(size: int, level: str, limits: Mapping[str, str]) -> dict[str, Plan]:
    """The plan of each severity, worst first.

    Where no part is allowed, one rejects wherever it is found, and the largest sample is looked at.

    Raises:
        BadPlan: the tables have no such lot, level or limit, or a severity has none.
    """
    found = {severity: sampling.plan(size, level, limits.get(severity, "")) for severity in SEVERITIES}
    widest = max(found.values(), key=lambda plan: plan.n)
    return {
        severity: replace(widest, limit=plan.limit, ac=0) if plan.limit == sampling.NONE_ALLOWED else plan
        for severity, plan in found.items()
    }


def assess(plans: Mapping[str, Plan], looks: Sequence[Look]) -> Assessment:
    """Hold ``looks``, in the order of inspection, against the plan of each severity."""
    grouped: dict[tuple[str, str], list[Look]] = {}
    for look in looks:
        if not look.is_no_part:
            grouped.setdefault(look.identity, []).append(look)
    parts = tuple(Part(tuple(some)) for some in grouped.values())
    sample = max(plan.n for plan in plans.values())
    figures = Figures(
        rows=tuple(_row(severity, plan, parts) for severity, plan in plans.items()),
        sample=sample,
        inspected=min(sample, len(parts)),
        undecided=sum(part.state == "undecided" for part in parts[:sample]),
        parts=len(parts),
        good=sum(part.state == "good" for part in parts),
        nonconforming=sum(part.state == "nonconforming" for part in parts),
        pareto=_bars(
            Counter((class_id, severity_of(class_id)) for part in parts for class_id in part.defects)
        ),
    )
    return Assessment(figures, parts, tuple(look for look in looks if look.is_no_part))


def severity_of(class_id: str) -> str:
    """One of ``SEVERITIES``, for a class of defect."""
    severity = describe(class_id).severity if class_id != UNNAMED else "unknown"
    return severity if severity in SEVERITIES else "unknown"


def _row(severity: str, plan: Plan, parts: Sequence[Part]) -> Row:
    sample = parts[: plan.n]
    found = sum(part.severity == severity for part in sample)
    beyond = sum(part.severity == severity for part in parts[plan.n :])
    if plan.limit == sampling.NONE_ALLOWED:  # our rule, not the standard's: wherever it is found
        found, beyond = found + beyond, 0
    whole = len(sample) == plan.n and all(part.state != "undecided" for part in sample)
    return Row(severity, plan, found, beyond, "reject" if found >= plan.re else "accept" if whole else "open")


def _bars(counted: Mapping[tuple[str, str], int]) -> tuple[Bar, ...]:
    """Most frequent first."""
    bars: list[Bar] = []
    done, all_parts = 0, sum(counted.values())
    for (class_id, severity), parts in sorted(counted.items(), key=lambda item: (-item[1], item[0])):
        done += parts
        bars.append(Bar(class_id, severity, parts, done / all_parts))
    return tuple(bars)


def _rank(class_id: str) -> int:
    return SEVERITIES.index(severity_of(class_id))
