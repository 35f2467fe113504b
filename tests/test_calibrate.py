"""The decision chosen on validation parts: cells, thresholds, temperature, boxes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from flawsight.data.samples import LabelledBox, Sample
from flawsight.imaging import encode_png
from flawsight.inspection.decide import answer, calibrated
from flawsight.inspection.explain import cell_probabilities
from flawsight.inspection.operating import Costs, choose_thresholds
from flawsight.inspection.tiny import METADATA, TinyEngine
from flawsight.learning.calibrate import (
    CELLS,
    Reading,
    answers,
    calibrate,
    choose_boxes,
    choose_cells,
    choose_defect_bias,
    choose_temperature,
    read_samples,
)
from flawsight.learning.maps import compare_maps
from flawsight.learning.poolings import compare_poolings, log_sum_exp
from flawsight.learning.scores import negative_log_likelihood
from flawsight.metadata import Decision
from flawsight.preprocessing import Placement

B0 = "efficientnet-b0"


def thresholds(mass: list[float], truth: list[int], **prices: float) -> tuple[float, float]:
    return choose_thresholds(np.array(mass), np.array(truth, bool), Costs(**prices))


def test_scores_that_part_perfectly_need_no_reviewer() -> None:
    mass, truth = [0.1, 0.2, 0.7, 0.9], [0, 0, 1, 1]
    accept, reject = thresholds(mass, truth)
    assert 0.2 < accept <= reject <= 0.7
    assert accept == pytest.approx(reject) or (accept > 0.2 and reject < 0.7)


def test_parts_that_cannot_be_told_apart_are_reviewed() -> None:
    mass, truth = [0.1, 0.6, 0.5, 0.9], [0, 0, 1, 1]
    accept, reject = thresholds(mass, truth, escape=20, overkill=5, review=0.25)
    assert 0.1 < accept < 0.5 and 0.6 < reject < 0.9


def test_where_review_costs_more_than_overkill_nothing_is_reviewed() -> None:
    mass, truth = [0.1, 0.6, 0.5, 0.9], [0, 0, 1, 1]
    accept, reject = thresholds(mass, truth, escape=20, overkill=1, review=50)
    assert accept == reject and 0.1 < accept < 0.5


def test_where_escapes_are_cheap_a_lonely_low_defect_is_let_through() -> None:
    mass, truth = [0.1, 0.2, 0.3, 0.05, 0.9], [0, 0, 0, 1, 1]
    assert thresholds(mass, truth, escape=20, overkill=5, review=5)[0] < 0.05
    assert thresholds(mass, truth, escape=1, overkill=5, review=5)[0] > 0.3


def brute_force(
    mass: NDArray[np.float64], truth: NDArray[np.bool_], accept: float, reject: float, c: Costs
) -> float:
    prevalence = truth.mean() if c.prevalence is None else c.prevalence
    cost = 0.0
    for value, bad in zip(mass, truth, strict=True):
        weight = prevalence / truth.sum() if bad else (1 - prevalence) / (~truth).sum()
        if value < accept:
            cost += weight * c.escape * bad
        elif value >= reject:
            cost += weight * c.overkill * (not bad)
        else:
            cost += weight * c.review
    return cost


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("prevalence", [None, 0.02])
def test_no_other_thresholds_cost_less(seed: int, prevalence: float | None) -> None:
    rng = np.random.default_rng(seed)
    truth = np.arange(40) % 3 == 0
    mass = np.clip(rng.normal(0.4 + 0.25 * truth, 0.15), 0.01, 0.99)
    costs = Costs(prevalence=prevalence)
    accept, reject = choose_thresholds(mass, truth, costs)
    best = brute_force(mass, truth, accept, reject, costs)
    grid = np.concatenate([[0.001], np.sort(mass) + 1e-6, [0.999]])
    for low in grid:
        for high in grid[grid >= low]:
            assert best <= brute_force(mass, truth, low, high, costs) + 1e-9


def test_overconfident_answers_are_cooled_and_calibrated_ones_left_alone() -> None:
    rng = np.random.default_rng(0)
    honest = rng.dirichlet([1, 1, 1], 4000)
    labels = np.array([rng.choice(3, p=p) for p in honest])
    sharp = honest**3 / (honest**3).sum(1, keepdims=True)
    assert choose_temperature(sharp, labels) == pytest.approx(3, rel=0.1)
    assert choose_temperature(honest, labels) == pytest.approx(1, abs=0.1)


def test_what_would_make_confidence_less_honest_is_not_taken_though_it_is_likelier() -> None:
    """The first class is right in six of ten, as it says; only the last one is thought far too improbable."""
    meta = replace(METADATA, classes=("good", "bad", "worse"), defects=("worse",))
    probabilities = np.tile([0.6, 0.39, 0.01], (150, 1))
    labels = np.tile([0, 0, 0, 0, 0, 0, 1, 1, 2, 2], 15)
    softer = probabilities**0.5 / (probabilities**0.5).sum(1, keepdims=True)
    biased = calibrated(np.log(probabilities), replace(meta, decision=Decision(defect_bias=2.0)))
    for other in (softer, biased):
        assert negative_log_likelihood(other, labels) < negative_log_likelihood(probabilities, labels)
    assert choose_temperature(probabilities, labels) == 1
    assert choose_defect_bias(probabilities, labels, meta) == 0


def test_the_defect_bias_brings_back_what_was_taken_from_the_defects() -> None:
    meta = replace(METADATA, classes=("good", "bad"), defects=("bad",))
    rng = np.random.default_rng(3)
    truth = rng.uniform(size=4000)
    labels = (rng.uniform(size=4000) < truth).astype(int)
    honest = np.stack([1 - truth, truth], axis=1)
    shy = calibrated(np.log(honest), replace(meta, decision=Decision(defect_bias=-2.0)))
    assert choose_defect_bias(shy, labels, meta) == pytest.approx(2, abs=0.2)
    assert choose_defect_bias(honest, labels, meta) == pytest.approx(0, abs=0.15)


def test_calibration_parts_good_from_scratched(tmp_path: Path, good_part: Any, scratched_part: Any) -> None:
    samples = []
    for number in range(6):
        for name, pixels, class_id in (("good", good_part, "MT_Free"), ("bad", scratched_part, "MT_Crack")):
            path = tmp_path / f"{name}{number}.png"
            shifted = np.ascontiguousarray(np.roll(pixels, 8 * number, axis=0))
            path.write_bytes(encode_png(shifted))
            boxes = (LabelledBox(150, 40, 200, 150, "MT_Crack"),) if class_id == "MT_Crack" else ()
            samples.append(Sample(path, class_id, "Magnetic Tile", f"{name}{number}", boxes=boxes))
    engine = TinyEngine(replace(METADATA, decision=Decision(cells=8, accept_below=0.01, reject_from=0.02)))
    decision = calibrate(engine, samples, Costs())
    readings = read_samples(engine, samples)
    meta = replace(engine.metadata, decision=decision)
    for reading in readings:
        probabilities = answer(reading.logits, cell_probabilities(reading.scores), meta)
        defect = probabilities[1:].sum()
        if reading.sample.class_id == "MT_Free":
            assert defect < decision.accept_below
        else:
            assert defect >= decision.reject_from
    assert decision.accept_below <= decision.reject_from


def test_boxes_are_chosen_to_cover_the_defect_and_to_spare_good_parts() -> None:
    def reading(class_id: str, strength: float) -> Reading:
        probabilities = np.full((3, 8, 8), 0.005, np.float32)
        probabilities[1, 2:4, 2:4] = strength
        probabilities[0] = 1 - probabilities[1:].sum(axis=0)
        scores = np.log(probabilities)
        boxes = (LabelledBox(32, 32, 64, 64, "MT_Crack"),) if class_id == "MT_Crack" else ()
        sample = Sample(Path("x.png"), class_id, "Magnetic Tile", "g", boxes=boxes)
        placement = Placement((128, 128), (128, 128), (128, 128))
        return Reading(sample, scores.mean((1, 2)), scores, scores, np.zeros(2, np.float32), placement)

    decision = Decision(cells=1, accept_below=0.2)
    both = [reading("MT_Crack", 0.9), reading("MT_Free", 0.5)]
    chosen = choose_boxes(both, METADATA, decision)
    assert chosen.box_score["MT_Crack"] > 0.5  # the good part's box is gone
    # Half of the strength is where the region, blurred at its rim, is as large as the defect.
    assert 0.4 <= max(chosen.box_level / 0.9, chosen.box_outline["MT_Crack"]) <= 0.6
    assert chosen.box_outline["MT_Blowhole"] == chosen.box_outline["MT_Crack"]
    assert choose_boxes(both[1:], METADATA, decision) == decision
    careful = choose_boxes(both, METADATA, decision, [reading("MT_Free", 0.75)])
    assert careful.box_score["MT_Crack"] > 0.75 > chosen.box_score["MT_Crack"]
    # Where every setting shows a box on a good part, those that show the fewest are left.
    hopeless = choose_boxes(both, METADATA, decision, [reading("MT_Free", 0.99), reading("MT_Free", 0.75)])
    assert hopeless.box_score["MT_Crack"] > 0.75


@pytest.mark.parametrize("sharpness", [0.5, 5.0])
def test_log_sum_exp_lies_between_mean_and_maximum(sharpness: float) -> None:
    scores = np.random.default_rng(1).normal(size=(3, 4, 5)).astype(np.float32)
    pooled = log_sum_exp(scores, sharpness)
    by_hand = np.log(np.mean(np.exp(sharpness * scores.astype(float)), axis=(1, 2))) / sharpness
    assert pooled == pytest.approx(by_hand, abs=1e-6)
    assert (pooled >= scores.mean((1, 2))).all() and (pooled <= scores.max((1, 2))).all()


def flawed(class_id: str, cells: int) -> Reading:
    """What a network says that sees a crack in so many cells of 64."""
    scores = np.zeros((3, 8, 8), np.float32)
    scores[0], scores[1, 0, :cells] = 3, 9
    sample = Sample(Path("x.png"), class_id, "Magnetic Tile", "g")
    placement = Placement((128, 128), (128, 128), (128, 128))
    return Reading(sample, scores.mean((1, 2)), scores, scores, np.zeros(2, np.float32), placement)


def test_a_small_defect_is_lost_in_the_mean_but_not_among_the_top_cells() -> None:
    rows = compare_poolings([flawed("MT_Free", 0), flawed("MT_Crack", 2)], METADATA)
    found = {row["way"]: row["datasets"]["Magnetic Tile"]["balanced_accuracy"] for row in rows}
    assert found["mean"] == 0.5
    assert found["top 2 cells"] == found["log-sum-exp, sharpness 5"] == 1


def test_a_flaw_that_two_kinds_share_is_found_by_the_map_of_all_defects() -> None:
    """Half a flaw looks like one kind, the other half like another: no map of one kind shows all of it."""
    scores = np.zeros((3, 8, 8), np.float32)
    scores[0] = 6
    scores[1, 2:6, 2:4] = scores[2, 2:6, 4:6] = 14
    sample = Sample(
        Path("x.png"), "MT_Crack", "Magnetic Tile", "g", boxes=(LabelledBox(32, 32, 96, 96, "MT_Crack"),)
    )
    placement = Placement((128, 128), (128, 128), (128, 128))
    reading = Reading(sample, scores.mean((1, 2)), scores, scores, np.zeros(2, np.float32), placement)
    rows = compare_maps([reading, flawed("MT_Free", 0)], METADATA)
    found = {row["way"]: row["datasets"]["Magnetic Tile"] for row in rows}
    one, every = found["the most probable defect, straight"], found["all defects together, straight"]
    assert one["n"] == every["n"] == 1
    assert one["pointing_game"] == every["pointing_game"] == 1
    assert one["max_box_acc_v2"] < 0.7 and every["max_box_acc_v2"] == 1


def test_of_the_numbers_of_cells_that_tell_equally_well_the_middle_one_is_taken() -> None:
    """Not the fewest: one cell alone is decided by any speck."""
    readings = [flawed("MT_Free", 0), flawed("MT_Crack", 20)]
    labels = np.array([METADATA.classes.index(r.sample.class_id) for r in readings])
    assert (
        choose_cells(readings, labels, METADATA, Decision(pooling="top_cells")).cells
        == CELLS[len(CELLS) // 2]
    )


def test_so_few_cells_decide_that_the_smallest_defect_is_not_outvoted() -> None:
    readings = [flawed("MT_Free", 0), flawed("MT_Crack", 2), flawed("MT_Crack", 20)]
    labels = np.array([METADATA.classes.index(r.sample.class_id) for r in readings])
    chosen = choose_cells(readings, labels, METADATA, Decision(pooling="top_cells", cells=12))
    assert chosen.cells <= 3
    assert (answers(readings, METADATA, chosen).argmax(axis=1) == labels).all()
