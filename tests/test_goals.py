"""Intervals of figures that are no rates, and the goals that figures are held against."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flawsight.learning.card import _goals
from flawsight.learning.goals import GOALS, against_goals
from flawsight.learning.resample import TIMES, Rows, intervals


def _mean_of(values: list[float]) -> Any:
    array = np.array(values)
    return lambda rows: {"mean": float(array[rows].mean())}


def test_the_interval_of_a_mean_of_single_pictures_is_that_of_the_textbook() -> None:
    values = np.random.default_rng(1).normal(5, 2, 400).tolist()
    alone = [str(row) for row in range(400)]
    low, high = intervals(alone, alone, _mean_of(values))["mean"]
    error = np.std(values) / 20
    assert low == pytest.approx(np.mean(values) - 1.96 * error, abs=0.3 * error)
    assert high == pytest.approx(np.mean(values) + 1.96 * error, abs=0.3 * error)


def test_pictures_of_one_group_are_no_independent_evidence() -> None:
    of_group = [0.0] * 30 + [1.0] * 30  # two groups that agree within themselves
    groups, pictures = ["a"] * 30 + ["b"] * 30, [str(row) for row in range(60)]
    low, high = intervals(groups, pictures, _mean_of(of_group))["mean"]
    assert (low, high) == (0, 1)


def test_few_groups_still_say_how_their_pictures_differ() -> None:
    alternating = [0.0, 1.0] * 30
    low, high = intervals(["a"] * 60, [str(row) for row in range(60)], _mean_of(alternating))["mean"]
    assert 0.3 < low < 0.45 and 0.55 < high < 0.7


def test_samples_of_one_picture_are_drawn_together() -> None:
    drawn: list[Rows] = []

    def keep(rows: Rows) -> dict[str, float]:
        drawn.append(rows)
        return {}

    assert intervals(["a"] * 4, ["one", "one", "other", "other"], keep) == {}
    assert len(drawn) == TIMES
    for rows in drawn:
        assert np.array_equal(rows[::2] + 1, rows[1::2])


def _test_section(tiles: float, regions: float, held: float) -> dict[str, Any]:
    def family(value: float) -> dict[str, Any]:
        figure = {"value": value, "interval": [value - 0.1, value + 0.2]}
        places = {"pointing_game": figure, "max_box_acc_v2": figure}
        names = ("average_precision", "balanced_accuracy", "accuracy")
        return {**dict.fromkeys(names, figure), "localisation": places}

    return {
        "datasets": {"DAGM": family(1.0), "Magnetic Tile": family(tiles), "DeepPCB": family(regions)},
        "overall": {"ece": 0.04, "localisation": {}},
        "boards": {"map": regions, "map_interval": [0.1, 0.9], "f": 0.95},
        "templates": {"regions": {"accuracy": {"value": held, "interval": None}}, "boards": {}},
        "unknown": {},
    }


def test_each_goal_is_held_against_its_figure_and_that_with_templates() -> None:
    said = {line.split(" | ")[0][2:]: line for line in _goals(_test_section(0.7, 0.9, 0.98)).splitlines()}
    assert said["DAGM, defect against good, AP"].endswith("| kept |")
    assert said["Magnetic Tile, defect against good, AP"].endswith("0.700 (0.600–0.900) | – | **missed** |")
    assert said["DeepPCB regions, accuracy"].endswith("| 0.980 | **missed**, kept with its template |")
    assert said["DeepPCB whole boards, mAP"].endswith("0.900 (0.100–0.900) | – | kept |")
    assert said["ECE"] == "| ECE | ≤ 0.03 | 0.040 | – | **missed** |"
    mean, above, below = 2.6 / 3, 0.2 / 3**0.5, 0.1 / 3**0.5
    assert f"{mean:.3f} ({mean - below:.3f}–{mean + above:.3f})" in said["MaxBoxAccV2, mean over the three"]
    assert "unknown against known, AUROC" not in said, "it was not measured"


def test_every_goal_is_of_a_figure_that_the_shipped_results_have() -> None:
    results = Path(__file__).resolve().parent.parent / "results_unified.json"
    test = json.loads(results.read_text(encoding="utf-8"))["test"]
    assert [goal for goal, _, _ in against_goals(test)] == list(GOALS)
