"""Is a difference real? Paired tests over repeats, folds or pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import binomtest
from scipy.stats import t as student

LEVEL = 0.05
CORRECTED_T = "corrected resampled t-test (Nadeau and Bengio, 2003), Holm's adjustment"
SIGNS = "exact sign test over groups of pictures (McNemar, 1947), Holm's adjustment"


def corrected_t_test(differences: Sequence[float], test_share: float, tested: int) -> float:
    """Two-sided p-value of paired differences over repeats or folds.

    The runs share most of their training pictures, so their differences vary less than those of independent
    ones would; Nadeau and Bengio, "Inference for the generalization error", Machine Learning 52, 2003,
    widen the variance by the number of test pictures over that of training pictures.

    Args:
        differences: one for each repeat or fold, at least two.
        test_share: test pictures divided by training pictures.
        tested: test pictures. An accuracy moves in steps of one of them, so equal differences prove no more
            precision than that.
    """
    values = np.asarray(differences, float)
    spread = max(float(values.var(ddof=1)), 1 / tested**2)
    statistic = values.mean() / np.sqrt((1 / len(values) + test_share) * spread)
    return float(2 * student.sf(abs(statistic), len(values) - 1))


def sign_test(first: Mapping[str, Sequence[bool]], second: Mapping[str, Sequence[bool]]) -> float:
    """Two-sided p-value of two models over the same pictures, which of a group's are right by either.

    McNemar's exact test with the group as its unit: pictures of one part are not independent.
    """
    better, worse = _ahead(first, second)
    return float(binomtest(better, better + worse).pvalue) if better + worse else 1.0


def lead(first: Mapping[str, Sequence[bool]], second: Mapping[str, Sequence[bool]]) -> int:
    """In how many more groups the first model is ahead of the second; below 0 where it is behind in more.

    One large group may turn the accuracy over all pictures the other way.
    """
    better, worse = _ahead(first, second)
    return better - worse


def _ahead(first: Mapping[str, Sequence[bool]], second: Mapping[str, Sequence[bool]]) -> tuple[int, int]:
    """In how many groups the first has more right than the second, and the other way round."""
    gains = [sum(first[group]) - sum(second[group]) for group in first]
    return sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted for being many (Holm, 1979)."""
    adjusted, worst = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = worst
    return adjusted


def verdicts(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tests ``{a, b, metric, difference, p, method}`` with adjusted p-value, verdict and a sentence.

    Where ``lead``, by groups, contradicts the difference, by pictures, nothing is claimed.
    """
    adjusted = holm([test["p"] for test in found])
    complete = []
    for test, p in zip(found, adjusted, strict=True):
        better, worse = (test["a"], test["b"]) if test["difference"] >= 0 else (test["b"], test["a"])
        contrary = test.get("lead", 0) * test["difference"] < 0
        points = f"{abs(test['difference']) * 100:.1f} points of {test['metric'].replace('_', ' ')}"
        real = p < LEVEL and not contrary
        chance = f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"
        sentence = (
            f"{better} is better than {worse} by {points} ({chance})."
            if real
            else f"No difference between {test['a']} and {test['b']} is shown: {points} ({chance})."
        )
        if contrary:
            sentence += f" {better} is ahead by pictures, {worse} by groups."
        complete.append(
            {**test, "p": round(test["p"], 5), "p_adjusted": round(p, 5), "real": real, "sentence": sentence}
        )
    return complete
