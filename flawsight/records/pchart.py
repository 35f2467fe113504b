"""The p-chart: the share of nonconforming parts from lot to lot, and which lots stand out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import sqrt

SIGMAS = 3.0
USUAL = 20  # lots from which limits are commonly trusted
FEWEST = 2  # with one lot there is nothing to compare it with


@dataclass(frozen=True)
class Sampled:
    """One closed lot: of ``n`` decided parts, ``nonconforming`` were; ``undecided`` ones come on top."""

    lot_id: int
    number: str
    closed_at: datetime
    n: int
    nonconforming: int
    undecided: int = 0


@dataclass(frozen=True)
class Point:
    """One lot on the chart; shares 0..1, limits by its own n."""

    lot: Sampled
    share: float
    lower: float
    upper: float

    @property
    def side(self) -> str:
        """``above`` or ``below`` the limits, empty within."""
        return "above" if self.share > self.upper else "below" if self.share < self.lower else ""


@dataclass(frozen=True)
class PChart:
    """Points in the order of the lots; ``centre`` is the share over all of them."""

    points: tuple[Point, ...]
    centre: float

    @property
    def outside(self) -> tuple[Point, ...]:
        return tuple(point for point in self.points if point.side)

    @property
    def is_drawn(self) -> bool:
        return len(self.points) >= FEWEST

    @property
    def is_provisional(self) -> bool:
        return len(self.points) < USUAL


def p_chart(lots: Sequence[Sampled]) -> PChart:
    """Centre p = Σ nonconforming / Σ n, limits p ± 3 √(p (1 - p) / n) cut at 0 and 1 (Shewhart).

    Lots without a decided part are left out.
    """
    lots = [lot for lot in lots if lot.n]
    if not lots:
        return PChart((), 0.0)
    centre = sum(lot.nonconforming for lot in lots) / sum(lot.n for lot in lots)
    points = []
    for lot in lots:
        reach = SIGMAS * sqrt(centre * (1 - centre) / lot.n)
        points.append(
            Point(lot, lot.nonconforming / lot.n, max(0.0, centre - reach), min(1.0, centre + reach))
        )
    return PChart(tuple(points), centre)
