"""How far two judges agree: confusion, Cohen's kappa, and rates with their exact intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

NORMAL = 1.959964  # two-sided 95 %


@dataclass(frozen=True)
class Kappa:
    """Cohen's kappa of ``n`` parts: 1 full agreement, 0 what chance gives; ``observed`` share agreed on."""

    n: int
    value: float
    low: float
    high: float
    observed: float


def kappa(pairs: Mapping[tuple[str, str], int]) -> Kappa | None:
    """Of counts by (one judge's answer, the other's); ``None`` where it is not defined.

    J. Cohen, "A coefficient of agreement for nominal scales", 1960; the 95 % interval with the large
    sample variance of Fleiss, Cohen and Everitt, "Large sample standard errors of kappa and weighted
    kappa", Psychological Bulletin 72, 1969, equation 13.
    """
    n = sum(pairs.values())
    if not n:
        return None
    shares = {pair: count / n for pair, count in pairs.items()}
    names = {name for pair in pairs for name in pair}
    rows = {a: sum(share for (one, _), share in shares.items() if one == a) for a in names}
    columns = {a: sum(share for (_, two), share in shares.items() if two == a) for a in names}
    observed = sum(shares.get((a, a), 0.0) for a in names)
    expected = sum(rows[a] * columns[a] for a in names)
    if expected > 1 - 1e-12:
        return None  # both judges only ever gave one and the same answer
    value = (observed - expected) / (1 - expected)
    agreed = sum(shares.get((a, a), 0.0) * (1 - (rows[a] + columns[a]) * (1 - value)) ** 2 for a in names)
    differed = sum(share * (columns[a] + rows[b]) ** 2 for (a, b), share in shares.items() if a != b)
    variance = agreed + (1 - value) ** 2 * differed - (value - expected * (1 - value)) ** 2
    error = sqrt(max(variance, 0.0) / n) / (1 - expected)
    low, high = value - NORMAL * error, value + NORMAL * error
    return Kappa(n, value, max(-1.0, low), min(1.0, high), observed)
