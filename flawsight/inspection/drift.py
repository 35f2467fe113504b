"""Whether recent parts still look like those the model was chosen on. Pure functions of figures.

Each figure of a part is turned into its *place* among reference parts of the same group (the same family,
good or defective by the model's answer): 0 is below all of them, 0.5 in their middle, 1 above. As long as
nothing moves, places are spread evenly from 0 to 1, whatever parts happen to be inspected (the probability
integral transform), so a line that makes other parts than the validation set holds is no drift.

How far they are from even is told by the population stability index, PSI = sum of (a - e) ln(a / e) over
ten bins. It counts as moved from 0.25 on, as usual, or from what chance gives for so few parts, if that is
more: under no change, PSI / (1/n + 1/m) is about chi-square with 9 degrees of freedom (Yurdakul and
Naranjo, "Statistical properties of the population stability index", Journal of Risk Model Validation, 2020).
Since when is told by Pettitt's test ("A non-parametric approach to the change-point problem", 1979), where
the change it finds leads to where the parts lie now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flawsight.taxonomy import describe

KIND = "quantiles/1"
# Figure of a part: where an inspection keeps it. The first two are the model's, the others the photo's.
MEASURES = {
    "confidence": ("confidence",),
    "distance": ("method", "distance"),
    "sharpness": ("quality", "sharpness"),
    "brightest": ("quality", "brightest"),
    "darkest": ("quality", "darkest"),
}
STEPS = 20  # quantiles at 0, 5, ..., 100 %
BINS = 10
FEWEST = 8  # reference parts of a group, below which it is no reference
ENOUGH = 30  # recent parts, below which nothing is said
MOVED, SLIGHTLY = 0.25, 0.1  # PSI
OFF = 0.08  # of a median place from the middle, below which it is neither low nor high
HALF = 0.25  # of a place from the middle, up to which it is in the middle half of the reference
SURE = 0.99  # share of samples without a change whose PSI stays below what counts as chance
POINTS = 24  # of the drawn course

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """What is compared of one inspection; a figure that is not known is left out."""

    class_id: str
    figures: dict[str, float]

    @property
    def group(self) -> str:
        return group_of(self.class_id)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Part:
        """Of ``Inspection.to_dict()``."""
        figures = {name: _dig(data, path) for name, path in MEASURES.items()}
        return cls(data["predicted_class"], {name: float(v) for name, v in figures.items() if v is not None})


@dataclass(frozen=True)
class Shift:
    """How one figure of the recent parts lies to the reference.

    Attributes:
        n: recent parts that could be compared; ``reference``: how many parts they were compared with.
        psi: the index; ``chance``: what chance alone reaches in 1 of 100 cases.
        now: figure of the recent part in the middle, by place; ``then``: median of the reference parts of
            its group. Medians over all groups could lie the other way round than the places do.
        place: median place, 0..1; 0.5 is the middle of the reference.
        since: index of the first part that lies as all do: 0 where they did so from the first on, ``None``
            where that cannot be told.
        shares: (10,) of the recent parts in each tenth of the reference.
        course: median places of parts in a row, oldest first.
    """

    measure: str
    n: int
    reference: int
    psi: float
    chance: float
    now: float
    then: float
    place: float
    since: int | None
    shares: tuple[float, ...]
    course: tuple[float, ...]

    @property
    def state(self) -> str:
        return state_of(self.psi, self.chance)

    @property
    def direction(self) -> int:
        """-1: the recent parts lie lower than the reference, 1: higher, 0: spread otherwise."""
        return direction_of(self.place)


@dataclass(frozen=True)
class Mix:
    """How often each class was answered, recently and in the reference: shares by class."""

    n: int
    reference: int
    psi: float
    chance: float
    shares: dict[str, tuple[float, float]]

    @property
    def state(self) -> str:
        return state_of(self.psi, self.chance)


def group_of(class_id: str) -> str:
    """Family, and good or defective: what differs in these is not to be compared."""
    info = describe(class_id)
    return f"{info.dataset}/{'defect' if info.is_defect else 'good'}"


def reference_of(parts: Iterable[Part]) -> dict[str, Any]:
    """What ``shift_of`` compares with; plain JSON, as it travels in a model file under ``reference``.

    ``{"kind", "n", "classes": {class: count}, "groups": {group: {measure: {"n", "quantiles"}}}}`` with
    the quantiles at 0, 5, ..., 100 % (linear interpolation), to 5 significant digits.
    """
    parts = list(parts)
    values: dict[str, dict[str, list[float]]] = {}
    for part in parts:
        for measure, value in part.figures.items():
            values.setdefault(part.group, {}).setdefault(measure, []).append(value)
    return {
        "kind": KIND,
        "n": len(parts),
        "classes": dict(sorted(Counter(part.class_id for part in parts).items())),
        "groups": {
            group: {
                measure: {"n": len(of), "quantiles": _quantiles(of)}
                for measure, of in measures.items()
                if len(of) >= FEWEST
            }
            for group, measures in sorted(values.items())
        },
    }


def shift_of(measure: str, parts: Sequence[Part], reference: Mapping[str, Any]) -> Shift | None:
    """How ``measure`` of ``parts``, oldest first, lies to ``reference``; ``None`` where too few compare."""
    known = reference.get("groups", {})
    compared = [p for p in parts if measure in p.figures and measure in known.get(p.group, {})]
    if len(compared) < ENOUGH:
        return None
    rng = np.random.default_rng(0)  # only to spread equal values over the places they share
    tables = {group: np.asarray(of[measure]["quantiles"]) for group, of in known.items() if measure in of}
    places = np.array([_place(p.figures[measure], tables[p.group], rng) for p in compared])
    shares = (np.histogram(places, BINS, (0, 1))[0] + 0.5) / (len(places) + BINS / 2)
    groups = Counter(part.group for part in compared)
    middle = _middle_of(places)
    # The error of a mixture of groups is that of each, by the square of its share.
    error = sum((count / len(compared)) ** 2 / known[g][measure]["n"] for g, count in groups.items())
    return Shift(
        measure=measure,
        n=len(compared),
        reference=sum(known[group][measure]["n"] for group in groups),
        psi=_psi(shares, np.full(BINS, 1 / BINS)),
        chance=_chance(BINS, 1 / len(compared) + error),
        now=compared[middle].figures[measure],
        then=float(tables[compared[middle].group][STEPS // 2]),
        place=float(np.median(places)),
        since=_place_in(parts, compared, _began(places)),
        shares=tuple(shares.tolist()),
        course=tuple(float(np.median(run)) for run in np.array_split(places, min(POINTS, len(places) // 5))),
    )


def mix_of(recent: Mapping[str, int], reference: Mapping[str, int]) -> Mix | None:
    """How the classes of recent parts lie to those of the reference; ``None`` where there are too few."""
    n, m = sum(recent.values()), sum(reference.values())
    if n < ENOUGH or m < ENOUGH:
        return None
    names = sorted(set(recent) | set(reference), key=lambda name: (-recent.get(name, 0), name))
    now, then = (
        (np.array([of.get(name, 0) for name in names]) + 0.5) / (total + len(names) / 2)
        for of, total in ((recent, n), (reference, m))
    )
    shares = {name: (recent.get(name, 0) / n, reference.get(name, 0) / m) for name in names}
    return Mix(n, m, _psi(now, then), _chance(len(names), 1 / n + 1 / m), shares)


def state_of(psi: float, chance: float) -> str:
    """``steady``, ``slightly`` or ``moved``."""
    if psi <= chance or psi < SLIGHTLY:
        return "steady"
    return "moved" if psi >= MOVED else "slightly"


def direction_of(place: float) -> int:
    """-1 for a median place below the middle of the reference, 1 above, 0 about in it."""
    return 0 if abs(place - 0.5) < OFF else 1 if place > 0.5 else -1


def change_point(values: Floats, level: float = 0.01) -> int | None:
    """Index of the first value after the one change that stands out; ``None`` if none does (Pettitt)."""
    n = len(values)
    ranks = np.empty(n)
    ranks[np.argsort(values, kind="stable")] = np.arange(1, n + 1)
    steps = np.arange(1, n + 1)
    statistic = np.abs(2 * np.cumsum(ranks) - steps * (n + 1))
    at = int(statistic[:-1].argmax())
    probability = 2 * np.exp(-6 * statistic[at] ** 2 / (n**3 + n**2))
    return at + 1 if probability < level else None


def _began(places: Floats) -> int | None:
    """Index of the first part that lies as all do, see ``Shift.since``.

    A change back towards the reference is no begin of what it ends, and neither is one among parts that
    lay outside the middle half already.
    """
    direction, at = direction_of(float(np.median(places))), change_point(places)
    if not direction or at is None:
        return None
    before, after = (direction * (float(np.median(run)) - 0.5) for run in (places[:at], places[at:]))
    return at if before < min(after, HALF) else 0


def _place(value: float, quantiles: Floats, rng: np.random.Generator) -> float:
    left, right = np.searchsorted(quantiles, value, "left"), np.searchsorted(quantiles, value, "right")
    if right > left + 1:  # a value that many share: any place among them, to half a step on either side
        low, high = max(left - 0.5, 0) / STEPS, min(right - 0.5, STEPS) / STEPS
        return float(rng.uniform(low, high))
    return float(np.interp(value, quantiles, np.linspace(0, 1, STEPS + 1)))


def _middle_of(places: Floats) -> int:
    """Index of the median place; of the two in the middle, the one farther from that of the reference."""
    order = np.argsort(places, kind="stable")
    return int(order[len(order) // 2 if np.median(places) > 0.5 else (len(order) - 1) // 2])


def _place_in(parts: Sequence[Part], compared: Sequence[Part], index: int | None) -> int | None:
    """The index among all parts of that among the compared ones; the first stays the first."""
    if not index:
        return index
    return next(i for i, part in enumerate(parts) if part is compared[index])


def _psi(now: Floats, then: Floats) -> float:
    return float(((now - then) * np.log(now / then)).sum())


def _chance(bins: int, error: float) -> float:
    """What PSI stays below in ``SURE`` of the samples without a change."""
    from scipy.special import chdtri  # here: 20 MB that few requests need

    return float(chdtri(bins - 1, 1 - SURE)) * error if bins > 1 else 0.0


def _quantiles(values: Sequence[float]) -> list[float]:
    return [float(f"{value:.5g}") for value in np.quantile(values, np.linspace(0, 1, STEPS + 1))]


def _dig(data: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = data
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
