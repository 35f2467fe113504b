"""95 % intervals of figures that are no plain rates, by the bootstrap over groups of pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

TIMES = 300
Rows = NDArray[np.intp]


def intervals(
    groups: Sequence[str],
    pictures: Sequence[Hashable],
    figures: Callable[[Rows], Mapping[str, float]],
) -> dict[str, tuple[float, float]]:
    """The 95 % percentile interval of each of the ``figures`` of drawn rows.

    Pictures of one part are not independent, so whole groups are drawn with replacement. Where there are few,
    that alone would say little of what other pictures of them show, so in each drawn group its pictures are
    drawn with replacement as well (the two-stage bootstrap of Davison and Hinkley, "Bootstrap methods and
    their application", 1997, section 3.8). Samples of one picture stay together.

    Args:
        groups, pictures: of each row.
    """
    drawn: dict[str, list[float]] = defaultdict(list)
    for rows in _draws(groups, pictures):
        for name, value in figures(rows).items():
            drawn[name].append(value)
    return {
        name: (float(np.quantile(values, 0.025)), float(np.quantile(values, 0.975)))
        for name, values in drawn.items()
    }


def _draws(groups: Sequence[str], pictures: Sequence[Hashable]) -> Iterator[Rows]:
    rng = np.random.default_rng(0)
    rows: dict[str, dict[Hashable, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row, (group, picture) in enumerate(zip(groups, pictures, strict=True)):
        rows[group][picture].append(row)
    members = [[np.array(of_one) for of_one in rows[group].values()] for group in sorted(rows)]

    def again(count: int) -> NDArray[np.int64]:
        return rng.integers(0, count, count)

    for _ in range(TIMES):
        chosen = [members[i] for i in again(len(members))]
        yield np.concatenate([of_group[i] for of_group in chosen for i in again(len(of_group))])
