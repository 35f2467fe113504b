"""The model's answers beside those of people: where they agree, what it missed, what it refused wrongly."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import and_, func, select

from flawsight.inspection.agreement import Kappa, kappa
from flawsight.inspection.operating import Rate
from flawsight.inspection.result import VERDICTS
from flawsight.records.catalogue import microseconds
from flawsight.records.store import Store
from flawsight.records.tables import CatalogueRow, ReviewRow

FEW = 30  # answered parts of a kind, below which a rate says next to nothing
SELECTIVE = 0.5  # accepted parts answered so much more rarely than the others: a chosen sample
PEOPLE = ("accept", "reject", "unknown")


class Counted(NamedTuple):
    """The model's verdict and class, a person's verdict and class, and how many parts had these."""

    verdict: str
    class_id: str
    said: str
    said_class: str
    parts: int


@dataclass(frozen=True)
class ClassAgreement:
    """Parts that people gave ``class_id``: how many the model gave it too, and how many it accepted."""

    class_id: str
    same: Rate
    accepted: Rate


@dataclass(frozen=True)
class Agreement:
    """Figures of the answered parts among those filed in a time.

    Attributes:
        filed, answered: number of inspections by the model's verdict.
        confusion: number of parts by (a person's verdict, the model's).
        verdicts: kappa of accept against reject, where both said one of them.
        classes: kappa of the class, on the answered parts that both took for one the model knows.
        missed: of the parts people reject, those the model accepted.
        refused: of the parts people accept, those the model rejected.
        corrected_missed: ``missed`` corrected for which parts were answered; ``None`` if that cannot be done.
        by_class: by the class people gave, most frequent first.
    """

    filed: dict[str, int]
    answered: dict[str, int]
    confusion: dict[tuple[str, str], int]
    verdicts: Kappa | None
    classes: Kappa | None
    missed: Rate
    refused: Rate
    corrected_missed: float | None
    by_class: tuple[ClassAgreement, ...]

    @property
    def n(self) -> int:
        return sum(self.answered.values())

    @property
    def few(self) -> bool:
        """Too few answers of either kind to say much."""
        return min(self.missed.n, self.refused.n) < FEW

    @property
    def selective(self) -> bool:
        """Whether parts the model accepted were looked at much more rarely than the others.

        What is missed lies among the accepted parts, so the miss rate then comes out wrong.
        """
        accepted, filed = self.answered["accept"], self.filed["accept"]
        others, filed_others = self.n - accepted, sum(self.filed.values()) - filed
        if not (filed and filed_others and others):
            return False
        return accepted / filed < SELECTIVE * others / filed_others


def agreement(store: Store, since: datetime | None = None, until: datetime | None = None) -> Agreement:
    """Of the inspections filed from ``since`` to before ``until``."""
    within = []
    if since:
        within.append(CatalogueRow.at >= microseconds(since))
    if until:
        within.append(CatalogueRow.at < microseconds(until))
    newest = select(func.max(ReviewRow.id)).group_by(ReviewRow.inspection_id)
    answers = (CatalogueRow.verdict, CatalogueRow.predicted_class, ReviewRow.verdict, ReviewRow.class_id)
    joined = and_(ReviewRow.inspection_id == CatalogueRow.id, ReviewRow.id.in_(newest))
    counted = select(*answers, func.count()).join(ReviewRow, joined).where(*within).group_by(*answers)
    filed = (
        select(CatalogueRow.verdict, func.count().label("filed"))
        .where(*within)
        .group_by(CatalogueRow.verdict)
    )
    with store.transaction("read") as session:
        rows = [Counted(*row) for row in session.execute(counted)]
        totals = {row.verdict: row.filed for row in session.execute(filed)}
    return summarise(rows, totals)


def summarise(rows: Iterable[Counted], filed: Mapping[str, int]) -> Agreement:
    """The figures of counted answers.

    Args:
        rows: the answered ones.
        filed: number of inspections by the model's verdict, answered or not.
    """
    confusion, classes = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    same, accepted, total = Counter[str](), Counter[str](), Counter[str]()
    for row in rows:
        confusion[row.said, row.verdict] += row.parts
        if "unknown" in (row.said, row.verdict):  # what is no part for the model has no class
            continue
        classes[row.said_class, row.class_id] += row.parts
        total[row.said_class] += row.parts
        same[row.said_class] += row.parts * (row.class_id == row.said_class)
        accepted[row.said_class] += row.parts * (row.verdict == "accept")
    both = {pair: count for pair, count in confusion.items() if set(pair) <= {"accept", "reject"}}
    rejected, good = (sum(confusion[who, verdict] for verdict in VERDICTS) for who in ("reject", "accept"))
    answered = {verdict: sum(confusion[who, verdict] for who in PEOPLE) for verdict in VERDICTS}
    totals = {verdict: filed.get(verdict, 0) for verdict in VERDICTS}
    return Agreement(
        filed=totals,
        answered=answered,
        confusion={(who, verdict): confusion[who, verdict] for who in PEOPLE for verdict in VERDICTS},
        verdicts=kappa(both),
        classes=kappa(classes),
        missed=Rate(confusion["reject", "accept"], rejected),
        refused=Rate(confusion["accept", "reject"], good),
        corrected_missed=corrected_miss_rate(confusion, answered, totals),
        by_class=tuple(
            ClassAgreement(name, Rate(same[name], count), Rate(accepted[name], count))
            for name, count in total.most_common()
        ),
    )


def corrected_miss_rate(
    confusion: Mapping[tuple[str, str], int], answered: Mapping[str, int], filed: Mapping[str, int]
) -> float | None:
    """The miss rate among all filed parts, if those answered are a fair sample within each verdict.

    C. Begg and R. Greenes, "Assessment of diagnostic tests when disease verification is subject to
    selection bias", Biometrics 39, 1983. ``None`` where a verdict was filed but never answered.
    """
    bad: defaultdict[str, float] = defaultdict(float)  # expected number of defective parts by verdict
    for verdict, count in filed.items():
        if count and not answered[verdict]:
            return None
        if count:
            bad[verdict] = count * confusion.get(("reject", verdict), 0) / answered[verdict]
    total = sum(bad.values())
    return bad["accept"] / total if total else None
