"""What the unified model is meant to reach on test parts, and how far it has come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Figure = dict[str, Any]  # {"value", "interval"}
DAGM, TILE, BOARD = "DAGM", "Magnetic Tile", "DeepPCB"


@dataclass(frozen=True)
class Goal:
    """One limit.

    Attributes:
        title: what is measured.
        limit: to be reached, or, where less is better, not to be passed.
        where: keys that lead to the figure in the ``test`` section of the results; ``mean`` instead of a
            data set stands for the mean over the three.
        beside: the same for parts held against their templates.
        most: whether less is better.
    """

    title: str
    limit: float
    where: tuple[str, ...]
    beside: tuple[str, ...] = ()
    most: bool = False

    def kept(self, value: float) -> bool:
        """Whether ``value`` reaches the limit."""
        return value <= self.limit if self.most else value >= self.limit


def _of(dataset: str, *keys: str) -> tuple[str, ...]:
    return "datasets", dataset, *keys


_BOX = ("localisation", "max_box_acc_v2")
_POINTING = ("localisation", "pointing_game")
GOALS = (
    Goal("DAGM, defect against good, AP", 0.999, _of(DAGM, "average_precision")),
    Goal("Magnetic Tile, six classes, balanced accuracy", 0.93, _of(TILE, "balanced_accuracy")),
    Goal("Magnetic Tile, defect against good, AP", 0.98, _of(TILE, "average_precision")),
    Goal("DeepPCB regions, accuracy", 0.97, _of(BOARD, "accuracy"), ("templates", "regions", "accuracy")),
    Goal("DeepPCB whole boards, mAP", 0.90, ("boards", "map"), ("templates", "boards", "map")),
    Goal("DeepPCB whole boards, F", 0.90, ("boards", "f"), ("templates", "boards", "f")),
    Goal("pointing game, DAGM", 0.97, _of(DAGM, *_POINTING)),
    Goal("pointing game, Magnetic Tile", 0.85, _of(TILE, *_POINTING)),
    Goal("pointing game, DeepPCB", 0.97, _of(BOARD, *_POINTING)),
    Goal("MaxBoxAccV2, mean over the three", 0.72, ("datasets", "mean", *_BOX)),
    Goal("good parts that show a box", 0.03, ("overall", "localisation", "good_with_box"), most=True),
    Goal("ECE", 0.03, ("overall", "ece"), most=True),
    Goal("overkill at zero escapes", 0.10, ("overall", "overkill_at_zero_escapes"), most=True),
    Goal("unknown against known, AUROC", 0.97, ("unknown", "auroc")),
)


def against_goals(test: Mapping[str, Any]) -> list[tuple[Goal, Figure, Figure | None]]:
    """Each goal with its figure, and that with templates; without those that were not measured."""
    found = [(goal, _figure(test, goal.where), _figure(test, goal.beside)) for goal in GOALS]
    return [(goal, figure, beside) for goal, figure, beside in found if figure is not None]


def _figure(test: Mapping[str, Any], where: tuple[str, ...]) -> Figure | None:
    if not where:
        return None
    if where[:2] == ("datasets", "mean"):
        return _mean(test, where[2:])
    *way, last = where
    section: Any = test
    for key in way:
        section = section.get(key) or {}
    found = section.get(last)
    if isinstance(found, dict):
        return found if found["value"] is not None else None
    return None if found is None else {"value": found, "interval": section.get(f"{last}_interval")}


def _mean(test: Mapping[str, Any], keys: tuple[str, ...]) -> Figure | None:
    """Of the three families, whose errors are independent: their squares add up."""
    parts = [_figure(test, _of(dataset, *keys)) for dataset in (DAGM, TILE, BOARD)]
    measured = [part for part in parts if part is not None]
    if len(measured) < len(parts):
        return None
    values = np.array([part["value"] for part in measured])
    mean, intervals = float(values.mean()), [part["interval"] for part in measured]
    if None in intervals:
        return {"value": mean, "interval": None}
    below, above = np.linalg.norm(values[:, None] - intervals, axis=0) / len(values)
    return {"value": mean, "interval": [mean - float(below), mean + float(above)]}
