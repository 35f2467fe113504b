"""Figures of a model, each against a second way to get the same number, and what is unknown to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from flawsight.data.samples import LabelledBox, Sample
from flawsight.imaging import encode_png
from flawsight.inspection.familiarity import KnownParts, Look, Plane, summaries, windows
from flawsight.inspection.inspector import Inspector
from flawsight.inspection.operating import clopper_pearson
from flawsight.inspection.tiny import METADATA, TinyEngine
from flawsight.learning import scales
from flawsight.learning.boards import board_figures
from flawsight.learning.calibrate import (
    read_samples,
)
from flawsight.learning.card import _classes
from flawsight.learning.evaluate import Answer, Answers, per_class
from flawsight.learning.localisation import (
    Localisation,
    iou,
    localise,
    mask_boxes,
    max_box_acc_v2,
    pixel_average_precision,
    pixel_scores,
    truth_mask,
)
from flawsight.learning.scores import expected_calibration_error, scores, validation_score
from flawsight.learning.unknown import feature_statistics, reach

B0 = "efficientnet-b0"


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(26, 26, 0.8677, 1), (0, 26, 0, 0.1323), (5, 10, 0.1871, 0.8129), (1, 20, 0.0013, 0.2487), (0, 0, 0, 1)],
)
def test_intervals_of_rates_are_the_published_ones(
    successes: int, trials: int, low: float, high: float
) -> None:
    assert clopper_pearson(successes, trials) == pytest.approx((low, high), abs=1e-4)


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    sure, half = np.full(30, 0.9), np.arange(30) % 2 == 0
    assert expected_calibration_error(sure, half, bins=1) == pytest.approx(0.4)
    assert expected_calibration_error(np.ones(30), np.ones(30, bool)) == 0
    two = np.concatenate([np.full(10, 0.2), np.full(10, 0.8)])
    right = np.concatenate([np.zeros(10, bool), np.ones(10, bool)])
    assert expected_calibration_error(two, right, bins=2) == pytest.approx(0.2)


def test_scores_of_a_small_table() -> None:
    meta = replace(METADATA, classes=("MT_Free", "MT_Crack"), defects=("MT_Crack",))
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    found = scores(probabilities, np.array([0, 0, 1, 1]), meta)
    assert found["accuracy"] == 0.75 and found["balanced_accuracy"] == 0.75
    assert found["average_precision"] == found["auroc"] == 1
    assert found["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert "auroc" not in scores(probabilities[:2], np.array([0, 0]), meta)


def test_a_class_that_was_never_answered_has_no_precision_and_drawn_pictures_are_counted() -> None:
    meta = replace(METADATA, classes=("MT_Free", "MT_Crack", "MT_Fray"), defects=("MT_Crack", "MT_Fray"))
    truth = [("MT_Free", "Magnetic Tile"), ("MT_Crack", "Magnetic Tile"), ("MT_Crack", "DAGM (generated)")]
    truth += [("MT_Fray", "Magnetic Tile (generated)")]
    items = tuple(
        Answer(Sample(Path("a.png"), class_id, dataset, "1"), "accept", 0, None, None, None, False)
        for class_id, dataset in truth
    )
    labels, predicted = np.array([0, 1, 1, 2]), np.array([0, 1, 1, 0])
    found = per_class(Answers(items, np.eye(3)[predicted], labels, predicted), meta)
    assert [one["precision"] for one in found.values()] == [0.5, 1.0, None]
    assert [(one["drawn"], one["support"]) for one in found.values()] == [(0, 1), (1, 2), (1, 1)]
    assert "| MT_Fray | – | 0.000 " in _classes(found) and "| 1 (1 drawn) |" in _classes(found)


def test_every_dataset_counts_the_same_for_the_checkpoint() -> None:
    by_dataset = {"a": {"balanced_accuracy": 1.0, "average_precision": 0.5}, "b": {"balanced_accuracy": 0.25}}
    assert validation_score(by_dataset) == pytest.approx((0.75 + 0.25) / 2)


def heat_and_mask() -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    mask = np.zeros((40, 40), bool)
    mask[10:20, 10:30] = True
    heat = np.zeros((40, 40), np.float32)
    heat[10:20, 10:20], heat[10:20, 20:30], heat[0, 0] = 1, 0.5, 0.25
    return heat, mask


def test_a_map_on_the_flaw_points_at_it_and_its_best_box_fits() -> None:
    heat, mask = heat_and_mask()
    found = localise(heat, mask)
    assert found.pointed and not found.centre_pointed
    assert max(found.best_iou) == 1 and found.best_iou[-1] == pytest.approx(0.5)
    assert found.inside == pytest.approx(150 / 150.25)
    assert max_box_acc_v2([found]) == 1


def test_a_map_beside_the_flaw_misses() -> None:
    heat, mask = heat_and_mask()
    found = localise(np.ascontiguousarray(heat[::-1, ::-1]), mask)
    assert not found.pointed and max(found.best_iou) == 0 and found.inside == 0
    assert max_box_acc_v2([found]) == 0


def test_a_cold_map_points_nowhere_even_if_its_first_pixel_is_flawed() -> None:
    found = localise(np.zeros((8, 8), np.float32), np.ones((8, 8), bool))
    assert not found.pointed and found.inside == 0


def test_box_accuracy_is_the_best_share_over_thresholds_averaged_over_overlaps() -> None:
    def with_ious(*ious: float) -> Localisation:
        return Localisation(True, True, ious, 0.0, 0.0)

    # Level 1 hits both at 0.3, level 2 one of two at 0.5 and at 0.7.
    assert max_box_acc_v2([with_ious(0.4, 0.8), with_ious(0.35, 0.1)]) == pytest.approx((1 + 0.5 + 0.5) / 3)


def test_pixel_precision_is_perfect_for_a_map_that_is_the_mask() -> None:
    _, mask = heat_and_mask()
    rng = np.random.default_rng(0)
    kept = pixel_scores(mask.astype(np.float32), mask, rng)
    assert pixel_average_precision([kept[0]], [kept[1]]) == 1
    flat = pixel_scores(np.zeros(mask.shape, np.float32), mask, rng)
    assert pixel_average_precision([flat[0]], [flat[1]]) == pytest.approx(mask.mean())


def test_boxes_of_a_mask_and_their_overlap() -> None:
    mask = np.zeros((20, 20), bool)
    mask[2:5, 3:9] = mask[10:12, 10:12] = True
    assert mask_boxes(mask) == [(3, 2, 9, 5), (10, 10, 12, 12)]
    assert iou((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert iou((0, 0, 10, 10), (10, 0, 20, 10)) == 0


def test_whole_boards_are_scored_good_ones_among_them(tmp_path: Path) -> None:
    plain, marked = (np.full((192, 256, 3), 150, np.uint8) for _ in range(2))
    marked[60:90, 40:120] = 30
    region, box = (0, 0, 160, 160), LabelledBox(40, 60, 120, 90, "MT_Blowhole")
    samples = []
    for name, pixels, boxes in (("flawed", marked, (box,)), ("good", plain, ()), ("held", marked, ())):
        path = tmp_path / f"{name}.png"
        path.write_bytes(encode_png(pixels))
        class_id = "MT_Blowhole" if boxes else "MT_Free"
        samples.append(Sample(path, class_id, "DeepPCB", name, boxes=boxes, region=region))
    samples.append(replace(samples[0], class_id="MT_Free", boxes=()))  # a good region of the flawed board
    found = board_figures(Inspector(TinyEngine()), samples)
    assert (found["boards"], found["true_boxes"], found["map"], found["f"]) == (1, 1, 1.0, 1.0)
    assert found["map_interval"] == found["f_interval"] == [1.0, 1.0]
    counted = [found[key] for key in ("good", "good_rejected", "good_to_a_person", "good_with_box")]
    assert counted == [2, 1, 0, 1]
    assert board_figures(Inspector(TinyEngine()), samples[1:3]) == {}


def test_the_truth_of_a_region_is_cut_from_its_board(tmp_path: Path) -> None:
    path = tmp_path / "board.png"
    boxes = (LabelledBox(90, 120, 130, 130, "PCB_open"),)
    sample = Sample(path, "PCB_open", "DeepPCB", "g", (100, 100, 260, 260), None, boxes)
    mask = truth_mask(sample, (160, 160))
    assert mask is not None and mask_boxes(mask) == [(0, 20, 30, 30)]
    assert truth_mask(replace(sample, boxes=()), (160, 160)) is None


def test_a_vector_is_foreign_by_its_direction_or_by_its_distance() -> None:
    mean, basis = np.zeros(4, np.float32), np.eye(4, dtype=np.float32)[:2]
    known = KnownParts((Plane(mean, basis, scale=4.0),), limit=0.5)

    def distance(*vector: float) -> float:
        return known.distance(Look.at(np.array(vector, np.float32)[:, None, None]))

    assert distance(3, 4, 0, 0) == 0
    assert distance(0, 0, 0, 0) == 0
    assert distance(0.3, 0, 0.4, 0) == pytest.approx(0.8)  # points away, though not far
    assert distance(300, 0, 4, 0) == pytest.approx(1.0)  # far away, though nearly along the plane
    again = KnownParts.of(replace(METADATA, feature_stats=known.to_dict()))
    assert again is not None and again.limit == 0.5 and again.planes[0].scale == 4


def test_a_part_is_summed_up_by_its_mean_and_its_quietest_field() -> None:
    features = np.random.default_rng(4).normal(size=(3, 9, 6)).astype(np.float32)
    mean, quietest = summaries(features)
    assert mean == pytest.approx(features.mean(axis=(1, 2)), abs=1e-6)
    rows, columns = [(0, 2), (2, 4), (4, 6), (6, 9)], [(0, 1), (1, 3), (3, 4), (4, 6)]
    fields = [features[:, a:b, c:d].mean(axis=(1, 2)) for a, b in rows for c, d in columns]
    assert quietest == pytest.approx(np.min(fields, axis=0), abs=1e-6)
    assert summaries(np.zeros((3, 4, 40), np.float32)).shape == (1, 3)  # too large for fields
    one_cell = summaries(features[:, :1, :1])
    assert one_cell[0] == pytest.approx(one_cell[1])


def test_windows_of_a_large_picture_hold_the_least_of_their_fields() -> None:
    features = np.random.default_rng(0).normal(size=(3, 40, 40)).astype(np.float32)
    fields = features.reshape(3, 10, 4, 10, 4).mean(axis=(2, 4))
    starts = range(0, 7, 2)  # of windows of four fields each way
    expected = [fields[:, y : y + 4, x : x + 4].min(axis=(1, 2)) for y in starts for x in starts]
    np.testing.assert_allclose(windows(features), expected, rtol=1e-5, atol=1e-6)


def test_a_picture_is_as_foreign_as_its_most_foreign_summary() -> None:
    flat = Plane(np.zeros(2, np.float32), np.array([[1, 0]], np.float32))
    known = KnownParts((flat, replace(flat, reach=0.5)), limit=1.0)
    even = np.zeros((2, 4, 4), np.float32)
    even[0] = 1
    assert known.distance(Look.at(even)) == 0
    even[1, 0, 0] = -1  # hardly seen in the mean, plain in its own field
    assert known.distance(Look.at(even)) == pytest.approx(2 * 2**-0.5, rel=0.01)


def test_few_known_parts_leave_room_for_the_next_one() -> None:
    rng = np.random.default_rng(2)
    few, many = rng.normal(0.4, 0.05, 12), rng.normal(0.4, 0.05, 1000)
    assert reach(few) > few.max()
    assert reach(many) == np.quantile(many, 0.99)


def test_single_parts_make_no_detector_of_the_unknown(
    tmp_path: Path, good_part: Any, scratched_part: Any
) -> None:
    samples = []
    for name, pixels, class_id in (("good", good_part, "MT_Free"), ("bad", scratched_part, "MT_Crack")):
        (tmp_path / f"{name}.png").write_bytes(encode_png(pixels))
        samples.append(Sample(tmp_path / f"{name}.png", class_id, "Magnetic Tile", name))
    readings = read_samples(TinyEngine(), samples)
    assert feature_statistics(readings, readings) == {}


def test_a_mirrored_part_is_read_alike_by_an_engine_that_averages_flips(scratched_part: Any) -> None:
    engine = scales.OtherWay(TinyEngine(), TinyEngine().metadata, flips=True)
    batch = np.ascontiguousarray(scratched_part.transpose(2, 0, 1)[None].astype(np.float32)) / 255 - 0.6
    said, of_mirrored = engine.run(batch), engine.run(batch[..., ::-1])
    assert of_mirrored.logits == pytest.approx(said.logits, abs=1e-5)
    for mirrored, own, alone in zip(of_mirrored[1:], said[1:], engine.engine.run(batch)[1:], strict=True):
        assert mirrored[..., ::-1] == pytest.approx(own, abs=1e-5)
        assert own.shape == alone.shape
    assert (engine.name, engine.sha256) == ("tiny", engine.engine.sha256)
