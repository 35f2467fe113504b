"""How far two judges agree: confusion, Cohen's kappa, and rates with their exact intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

NORMAL = 1.959964  # two-sided 95 %
FEWEST = 8  # parts: 2 k² of two answers, as below


@dataclass(frozen=True)
class Kappa:
    """Cohen's kappa of ``n`` parts: 1 full agreement, 0 what chance gives; ``observed`` share agreed on.

    ``low`` and ``high`` are ``None`` where the parts are too few, or too much alike, for an interval.
    """

    n: int
    value: float
    low: float | None
    high: float | None
    observed: float


def kappa(pairs: Mapping[tuple[str, str], int]) -> Kappa | None:
    """Of counts by (one judge's answer, the other's).

    ``None`` where it says nothing: of fewer than ``FEWEST`` parts, and where one of the judges only ever gave
    the same answer, so that kappa is 0 or undefined whatever the other said.

    J. Cohen, "A coefficient of agreement for nominal scales", 1960; the 95 % interval with the large
    sample variance of Fleiss, Cohen and Everitt, "Large sample standard errors of kappa and weighted
    kappa", Psychological Bulletin 72, 1969, equation 13. That holds from about 2 k² parts on, of k answers:
    D. Cicchetti, "Testing the normal approximation and minimal sample size requirements of weighted kappa
    when the number of categories is large", Applied Psychological Measurement 5, 1981.
    """
    pairs = {pair: count for pair, count in pairs.items() if count}
    n = sum(pairs.values())
    if n < FEWEST or min(len({pair[judge] for pair in pairs}) for judge in (0, 1)) < 2:
        return None
    shares = {pair: count / n for pair, count in pairs.items()}
    names = {name for pair in pairs for name in pair}
    rows = {a: sum(share for (one, _), share in shares.items() if one == a) for a in names}
    columns = {a: sum(share for (_, two), share in shares.items() if two == a) for a in names}
    observed = sum(shares.get((a, a), 0.0) for a in names)
    expected = sum(rows[a] * columns[a] for a in names)
    value = (observed - expected) / (1 - expected)
    agreed = sum(shares.get((a, a), 0.0) * (1 - (rows[a] + columns[a]) * (1 - value)) ** 2 for a in names)
    differed = sum(share * (columns[a] + rows[b]) ** 2 for (a, b), share in shares.items() if a != b)
    variance = agreed + (1 - value) ** 2 * differed - (value - expected * (1 - value)) ** 2
    if n < 2 * len(names) ** 2 or variance < 1e-12:  # without variance the interval is one point
        return Kappa(n, value, None, None, observed)
    error = sqrt(variance / n) / (1 - expected)
    low, high = value - NORMAL * error, value + NORMAL * error
    return Kappa(n, value, max(-1.0, low), min(1.0, high), observed)
