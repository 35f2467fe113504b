"""What thresholds cost: escapes, overkill and reviews with exact intervals, and the cheapest pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flawsight.i18n import ngettext, percent

FEW_DEFECTS = 100  # below this, a perfect recall still proves less than about 96 %
BINS = 10  # of the reliability diagram
UNKNOWN, POOR_PHOTO = "unknown", "poor_photo"  # what ``Curves.held`` says


@dataclass(frozen=True)
class Costs:
    """Prices of being wrong, in any one unit, and how many parts are defective.

    Attributes:
        escape: a defective part is accepted.
        overkill: a good part is rejected.
        review: a person has to look.
        prevalence: share of defective parts on the line, 0..1; ``None`` takes that of the data.
    """

    escape: float = 20.0
    overkill: float = 1.0
    review: float = 0.25
    prevalence: float | None = None


def clopper_pearson(successes: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Exact interval of a rate (Clopper and Pearson, 1934); (0, 1) without trials."""
    from scipy.special import betaincinv  # here: 20 MB that few requests need

    if trials == 0:
        return 0.0, 1.0
    tail = (1 - level) / 2
    low = 0.0 if successes == 0 else float(betaincinv(successes, trials - successes + 1, tail))
    high = 1.0 if successes == trials else float(betaincinv(successes + 1, trials - successes, 1 - tail))
    return low, high


def few_defects_warning(figures: Mapping[str, Any]) -> str:
    """What the ``defective`` parts of some figures can prove; empty where they are enough, or none."""
    count = figures.get("defective")
    if not isinstance(count, int) or not 0 < count < FEW_DEFECTS:
        return ""
    return ngettext(
        "Only %(num)s defective part was tested: even a perfect result proves no more than a recall above "
        "%(low)s.",
        "Only %(num)s defective parts were tested: even a perfect result proves no more than a recall above "
        "%(low)s.",
        count,
        low=percent(clopper_pearson(count, count)[0]),
    )


@dataclass(frozen=True)
class Rate:
    """``hits`` of ``n``, with its exact 95 % interval."""

    hits: int
    n: int

    @property
    def value(self) -> float | None:
        return self.hits / self.n if self.n else None

    @cached_property
    def interval(self) -> tuple[float, float]:
        return clopper_pearson(self.hits, self.n)

    def to_dict(self) -> dict[str, Any]:
        return {"value": self.value, "interval": list(self.interval), "hits": self.hits, "n": self.n}


@dataclass(frozen=True)
class OperatingPoint:
    """What a pair of thresholds does to the parts that were tested.

    ``cost`` is expected per part; ``recall_floor`` the least recall that the interval leaves open.
    """

    accept_below: float
    reject_from: float
    escape: Rate
    overkill: Rate
    review: Rate
    cost: float

    @property
    def recall_floor(self) -> float:
        return 1 - self.escape.interval[1]

    @property
    def few_defects(self) -> bool:
        """Whether too few defects were tested to promise a recall."""
        return self.escape.n < FEW_DEFECTS

    def to_dict(self) -> dict[str, Any]:
        return {
            "accept_below": self.accept_below,
            "reject_from": self.reject_from,
            "escape_rate": self.escape.to_dict(),
            "overkill_rate": self.overkill.to_dict(),
            "review_share": self.review.to_dict(),
            "cost_per_part": round(self.cost, 6),
            "recall_at_least": round(self.recall_floor, 4),
            "few_defects": self.few_defects,
        }


@dataclass(frozen=True)
class Bin:
    """Parts of about the same confidence, and how often they were right."""

    confidence: float
    right: Rate


@dataclass(frozen=True)
class Curves:
    """What a model said of parts that training never saw.

    Attributes:
        mass: (N,) probability of any defect.
        truth: (N,) whether the part is defective.
        confidence: (N,) probability of the answered class.
        right: (N,) whether that class was right.
        dataset: (N,) where the part comes from.
        held: (N,) why a person looks at the part whatever the thresholds say: ``UNKNOWN``, or ``POOR_PHOTO``
            where it would be accepted; else empty. Results of before do not tell.
    """

    mass: NDArray[np.float64]
    truth: NDArray[np.bool_]
    confidence: NDArray[np.float64]
    right: NDArray[np.bool_]
    dataset: NDArray[np.str_]
    held: NDArray[np.str_]

    @classmethod
    def of(cls, results: Mapping[str, Any]) -> Curves | None:
        """From the content of a results file; ``None`` where it carries no scores that fit together."""
        try:
            raw = results["test"]["curves"]
            curves = cls(
                np.asarray(raw["mass"], np.float64),
                np.asarray(raw["truth"], np.float64) == 1,
                np.asarray(raw["confidence"], np.float64),
                np.asarray(raw["right"], np.float64) == 1,
                np.asarray(raw["dataset"], np.str_),
                np.asarray(raw.get("held", [""] * len(raw["mass"])), np.str_),
            )
        except (KeyError, TypeError, ValueError):
            return None
        arrays = [getattr(curves, name) for name in cls.__dataclass_fields__]
        shares = np.concatenate([curves.mass.ravel(), curves.confidence.ravel()])
        fits = len({array.shape for array in arrays}) == 1 and curves.mass.ndim == 1 and curves.mass.size > 0
        return curves if fits and bool(((shares >= 0) & (shares <= 1)).all()) else None

    @property
    def datasets(self) -> list[str]:
        return [str(name) for name in np.unique(self.dataset)]

    @property
    def prevalence(self) -> float:
        """Share of defective parts among those tested."""
        return float(self.truth.mean())

    def only(self, dataset: str) -> Curves:
        """The parts of one dataset."""
        keep = self.dataset == dataset
        return Curves(*(getattr(self, name)[keep] for name in self.__dataclass_fields__))

    def at(self, accept_below: float, reject_from: float, costs: Costs) -> OperatingPoint:
        """What becomes of the parts under these thresholds."""
        accepted = (self.mass < accept_below) & (self.held == "")
        rejected = (self.mass >= reject_from) & (self.held != UNKNOWN)
        between = ~accepted & ~rejected
        bad, good = int(self.truth.sum()), int((~self.truth).sum())
        prevalence = self.prevalence if costs.prevalence is None else costs.prevalence
        of_bad, of_good = prevalence / max(1, bad), (1 - prevalence) / max(1, good)
        escaped, refused = int((accepted & self.truth).sum()), int((rejected & ~self.truth).sum())
        seen_bad, seen_good = int((between & self.truth).sum()), int((between & ~self.truth).sum())
        cost = of_bad * (costs.escape * escaped + costs.review * seen_bad)
        cost += of_good * (costs.overkill * refused + costs.review * seen_good)
        return OperatingPoint(
            accept_below,
            reject_from,
            Rate(escaped, bad),
            Rate(refused, good),
            Rate(seen_bad + seen_good, len(self.mass)),
            cost,
        )

    def sweep(self, costs: Costs, steps: int = 100) -> list[OperatingPoint]:
        """One threshold for both, without review, from 0 to 1."""
        return [self.at(step / steps, step / steps, costs) for step in range(steps + 1)]

    def cheapest(self, costs: Costs) -> tuple[float, float]:
        """The pair with the least expected cost on these parts."""
        judged = self.held != UNKNOWN  # the others cost the same under any pair
        if not judged.any():
            judged = ~judged
        prevalence = self.prevalence if costs.prevalence is None else costs.prevalence
        bad = prevalence * float(judged[self.truth].mean()) if self.truth.any() else 0.0
        good = (1 - prevalence) * float(judged[~self.truth].mean()) if not self.truth.all() else 0.0
        share = bad / (bad + good) if bad + good else prevalence
        return choose_thresholds(self.mass[judged], self.truth[judged], replace(costs, prevalence=share))

    def reliability(self) -> list[Bin]:
        """Bins of equal size, least confident first."""
        order = np.argsort(self.confidence, kind="stable")
        return [
            Bin(float(self.confidence[part].mean()), Rate(int(self.right[part].sum()), len(part)))
            for part in np.array_split(order, min(BINS, len(order)))
        ]


def choose_thresholds(
    mass: NDArray[np.floating], truth: NDArray[np.bool_], costs: Costs
) -> tuple[float, float]:
    """(accept_below, reject_from) with the least expected cost per part.

    Candidates lie half-way (in log-odds) between neighbouring scores, so a threshold keeps its distance
    from the parts that chose it. Equal costs are settled in favour of the wider band of review.

    Args:
        mass: (N,) defect probabilities.
        truth: (N,) whether the part is defective.
    """
    odds = np.sort(np.unique(np.clip(mass, 1e-6, 1 - 1e-6)))
    odds = np.log(odds / (1 - odds))
    middles = np.concatenate([[odds[0] - 1], (odds[1:] + odds[:-1]) / 2, [odds[-1] + 1]])
    if len(middles) > 300:
        middles = np.quantile(middles, np.linspace(0, 1, 300))
    candidates = np.clip(1 / (1 + np.exp(-middles)), 1e-4, 1 - 1e-4)
    prevalence = truth.mean() if costs.prevalence is None else costs.prevalence
    bad, good = mass[truth], mass[~truth]
    weight_bad = prevalence / max(1, len(bad))
    weight_good = (1 - prevalence) / max(1, len(good))
    bad_below = (bad[None, :] < candidates[:, None]).sum(1) * weight_bad  # (T,)
    good_below = (good[None, :] < candidates[:, None]).sum(1) * weight_good
    escape = costs.escape * bad_below[:, None]  # accept threshold along rows
    overkill = costs.overkill * (weight_good * len(good) - good_below)[None, :]  # reject along columns
    review = costs.review * ((bad_below + good_below)[None, :] - (bad_below + good_below)[:, None])
    total = escape + overkill + review
    total[np.tril_indices(len(candidates), -1)] = np.inf  # accept must not lie above reject
    near = np.argwhere(total <= total.min() + 1e-12)
    row, column = max(near, key=lambda pair: pair[1] - pair[0])
    return round(float(candidates[row]), 4), round(float(candidates[column]), 4)
