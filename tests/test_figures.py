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
from flawsight.inspection.result import Box
from flawsight.inspection.tiny import METADATA, TinyEngine
from flawsight.learning import scales
from flawsight.learning.boards import Match, _Board, _points, board_figures, match
from flawsight.learning.calibrate import (
    read_samples,
)
from flawsight.learning.card import _classes
from flawsight.learning.evaluate import Answer, Answers, figures, inspect_samples, per_class
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
from flawsight.learning.unknown import _against, feature_statistics, measure_unknown, reach

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


def _answered(class_id: str, mass: float, verdict: str, dataset: str = "Magnetic Tile") -> Answer:
    """A part of its own, called defective with a probability of ``mass``."""
    sample = Sample(Path(f"{class_id} {mass} {dataset}.png"), class_id, dataset, f"{class_id} {mass}")
    return Answer(sample, verdict, 0, mass, None, None, poor_photo=mass == 0.1)


def test_drawn_parts_are_no_part_of_the_figures_that_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flawsight.learning.resample.TIMES", 3)
    meta = replace(METADATA, classes=("MT_Free", "MT_Crack"), defects=("MT_Crack",))
    good = [
        _answered("MT_Free", *said)
        for said in ((0.1, "accept"), (0.4, "review"), (0.6, "review"), (0.9, "reject"))
    ]
    bad = [_answered("MT_Crack", *said) for said in ((0.2, "accept"), (0.5, "unknown"), (0.8, "reject"))]
    drawn = [
        _answered("MT_Free", 0.7, "reject", "DAGM (generated)"),
        _answered("MT_Crack", 0.3, "accept", "DAGM (generated)"),
    ]
    items = (*good, *bad, *drawn)
    mass = np.array([item.distance for item in items], float)
    labels = np.array([int(item.sample.class_id == "MT_Crack") for item in items])
    answers = Answers(items, np.stack([1 - mass, mass], 1), labels, (mass >= 0.5).astype(int))
    found = figures(answers, meta)
    overall = found["overall"]
    assert (overall["n"], overall["defective"], found["datasets"]["DAGM (generated)"]["n"]) == (7, 3, 2)
    rates = ("escape_rate", "overkill_rate", "review_share", "unknown_share", "overkill_at_zero_escapes")
    # A limit that lets no defect escape lies at 0.2, and rejects all good parts but that at 0.1.
    assert [(overall[r]["hits"], overall[r]["n"]) for r in rates] == [(1, 3), (1, 4), (3, 7), (1, 7), (3, 4)]
    assert overall["accuracy"]["value"] == round(4 / 7, 4)
    assert found["curves"]["mass"] == [0.1, 0.4, 0.6, 0.9, 0.2, 0.5, 0.8]
    assert found["curves"]["held"] == ["poor_photo", "", "", "", "", "unknown", ""]
    assert figures(answers.at(np.array([7, 8])), meta)["overall"]["n"] == 2, "where there are no others"


def test_a_rejected_part_counts_as_the_defect_it_was_called_though_good_is_more_probable(
    tmp_path: Path, good_part: Any
) -> None:
    (tmp_path / "part.png").write_bytes(encode_png(good_part))
    sample = Sample(tmp_path / "part.png", "MT_Free", "Magnetic Tile", "a")
    strict = replace(METADATA, decision=replace(METADATA.decision, accept_below=1e-4, reject_from=2e-4))
    found = inspect_samples(Inspector(TinyEngine(strict)), [sample])
    assert found.items[0].verdict == "reject" and found.probabilities[0].argmax() == 0
    assert [strict.classes[k] for k in found.predicted] == ["MT_Crack"] and not found.right.any()


def test_a_photo_that_is_too_bright_counts_as_held(tmp_path: Path, good_part: Any) -> None:
    samples = []
    for name, pixels in (("good", good_part), ("bright", np.full((192, 256, 3), 255, np.uint8))):
        (tmp_path / f"{name}.png").write_bytes(encode_png(pixels))
        samples.append(Sample(tmp_path / f"{name}.png", "MT_Free", "Magnetic Tile", name))
    found = inspect_samples(Inspector(TinyEngine()), samples).items
    assert [(one.verdict, one.held) for one in found] == [("accept", ""), ("review", "poor_photo")]


def test_where_nothing_was_seen_no_pixel_counts_as_hot(tmp_path: Path, good_part: Any) -> None:
    """A heat map is drawn over its own maximum; the pixels of all pictures are ranked by what they weigh."""
    inspector, samples, peaks = Inspector(TinyEngine()), [], []
    for name, dark in (("seen", 40), ("overlooked", 140)):
        pixels = good_part[:64, :64].copy()  # small enough that all its pixels count
        pixels[24:40, 30:32] = dark
        (tmp_path / f"{name}.png").write_bytes(encode_png(pixels))
        boxes = (LabelledBox(30, 24, 32, 40, "MT_Crack"),)
        samples.append(Sample(tmp_path / f"{name}.png", "MT_Crack", "Magnetic Tile", name, boxes=boxes))
        peaks.append(inspector.inspect(pixels, name=name).heatmap.peak_score)
    hottest = [item.pixels[0].max() for item in inspect_samples(inspector, samples).items if item.pixels]
    assert hottest == pytest.approx(peaks) and hottest[1] < 0.5 < hottest[0], peaks


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


def test_each_true_box_of_a_board_counts_once_for_the_surest_box_of_its_type_on_it() -> None:
    truth = [LabelledBox(5, 0, 15, 10, "MT_Crack"), LabelledBox(0, 0, 10, 10, "MT_Crack")]
    found = [
        Box(0, 0, 10, 9, 0.8, "MT_Crack"),  # the left one again; the right one by 45 of 145 alone
        Box(4, 0, 14, 10, 0.6, "MT_Crack"),  # the right one
        Box(0, 0, 10, 10, 0.9, "MT_Crack"),  # the left one, and by a third the right one
        Box(0, 0, 10, 10, 0.7, "MT_Fray"),
    ]
    assert [m.hit for m in match(found, truth)] == [True, False, False, True], "the surest first"
    whole = LabelledBox(0, 0, 10, 100, "MT_Crack")
    overlaps = [match([Box(0, 0, 10, high, 0.5, "MT_Crack")], [whole])[0].hit for high in (33, 34)]
    assert overlaps == [False, True], "from an IoU above 0.33 on"


def test_boxes_that_were_never_found_lower_the_average_precision_of_boards() -> None:
    crack, fray = (LabelledBox(0, 0, 9, 9, name) for name in ("MT_Crack", "MT_Fray"))
    cracks = [Match("MT_Crack", score, hit) for score, hit in ((0.9, True), (0.8, False), (0.7, True))]
    boards = [_Board(cracks, (crack, crack, crack)), _Board([Match("MT_Fray", 0.4, True)], (crack, fray))]
    found = _points(boards, {"MT_Crack": 0.75, "MT_Fray": 0.4})
    # Of four cracks the first is found with precision 1, the second with 2/3, two never; the fray with 1.
    assert found["map"] == pytest.approx(((1 + 2 / 3) / 4 + 1) / 2)
    # Shown are the cracks at 0.9 and 0.8 and the fray: two of three are right, of five that there are.
    assert (found["precision"], found["recall"]) == (2 / 3, 2 / 5)
    assert found["f"] == pytest.approx(2 * 2 / (3 + 5))


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


def test_a_large_picture_is_known_where_any_window_of_it_is() -> None:
    flat = Plane(np.zeros(2, np.float32), np.array([[1, 0]], np.float32))
    known = KnownParts((replace(flat, reach=10.0), flat), limit=0.5)
    foreign = np.ones((2, 40, 40), np.float32)  # at half a right angle to the plane, everywhere
    assert known.distance(Look.at(foreign)) == pytest.approx(2**-0.5)
    assert known.distance(Look.at(foreign[:, :36, :36])) == pytest.approx(2**-0.5)
    foreign[1, :4, :4] = 0  # one field lies in the plane
    assert known.distance(Look.at(foreign)) == pytest.approx(0.07, abs=0.001), "by its mean alone"


def test_foreign_pictures_are_caught_beyond_the_limit_and_known_ones_called_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flawsight.learning.resample.TIMES", 3)
    found = _against([0.1, 0.2, 0.6], [0.3, 0.5, 0.7, 0.9], limit=0.5)
    assert (found["foreign"], found["foreign_caught"]) == (4, 0.5)
    assert found["foreign_caught_interval"] == pytest.approx(clopper_pearson(2, 4), abs=1e-4)
    assert found["auroc"] == round((2 + 2 + 3 + 3) / 12, 4)  # pairs in which the foreign one lies farther
    nothing = KnownParts((Plane(np.zeros(2, np.float32), np.empty((0, 2), np.float32)),), limit=0.5)
    inspector = Inspector(TinyEngine(replace(METADATA, feature_stats=nothing.to_dict())))
    said = measure_unknown(inspector, [0.1, 0.2, 0.9])
    assert (said["known"], said["known_called_unknown"]) == (3, 0.3333)
    assert said["foreign"] == 20 + 5, "every fourth drawn picture counts enlarged as well"


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
