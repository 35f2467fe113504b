"""Engine, explanation, decision: is the answer right, and does the picture point at the right place?"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from factories import make_inspection
from numpy.typing import NDArray
from tiny_parts import SCRATCH, tiny_onnx

from flawsight.errors import ModelError, NotAnImage
from flawsight.i18n import percent
from flawsight.imaging import encode_png, sha256
from flawsight.inspection import explain
from flawsight.inspection.decide import answer, judge
from flawsight.inspection.engines import HEAD_KEY, Float, Head, Outputs, load_engine
from flawsight.inspection.familiarity import KnownParts, Look, Plane
from flawsight.inspection.inspector import Inspector
from flawsight.inspection.pictures import draw_boxes, draw_heat_layer, draw_heatmap, draw_pictures
from flawsight.inspection.result import Box
from flawsight.inspection.tiny import HEAD, METADATA, TinyEngine
from flawsight.inspection.words import identified_reason, reason, unknown_reason
from flawsight.metadata import ONNX_KEY, Decision, Preprocessing
from flawsight.preprocessing import Placement, prepare, resized_shape

Image = NDArray[np.uint8]


def iou(box: Box, other: tuple[int, int, int, int]) -> float:
    across = max(0, min(box.x2, other[2]) - max(box.x1, other[0]))
    down = max(0, min(box.y2, other[3]) - max(box.y1, other[1]))
    areas = (box.x2 - box.x1) * (box.y2 - box.y1) + (other[2] - other[0]) * (other[3] - other[1])
    return across * down / (areas - across * down)


def placed(height: int, width: int) -> Placement:
    """An image of native scale, padded to a multiple of 32."""
    return Placement((height, width), (height, width), (height + -height % 32, width + -width % 32))


# --- the whole way ----------------------------------------------------------------------------------


def test_box_covers_the_planted_scratch(inspector: Inspector, scratched_part: Image) -> None:
    found = inspector.inspect(scratched_part, name="part.png")
    assert found.verdict == "reject"
    assert found.predicted_class == "MT_Crack"
    (box,) = found.boxes
    assert box.x1 <= SCRATCH[0] and box.y1 <= SCRATCH[1]
    assert box.x2 >= SCRATCH[2] and box.y2 >= SCRATCH[3]
    assert iou(box, SCRATCH) > 0.5
    x, y = found.heatmap.peak
    assert SCRATCH[0] - 16 <= x < SCRATCH[2] + 16 and SCRATCH[1] - 16 <= y < SCRATCH[3] + 16


def test_two_defects_of_two_classes_get_a_box_each(inspector: Inspector, scratched_part: Image) -> None:
    cv2.circle(scratched_part, (60, 90), 14, (50, 50, 50), -1)
    boxes = {box.class_id: box for box in inspector.inspect(scratched_part, name="part.png").boxes}
    assert boxes.keys() == {"MT_Crack", "MT_Blowhole"}
    assert iou(boxes["MT_Blowhole"], (46, 76, 75, 105)) > 0.3


@pytest.mark.parametrize("size", [(2400, 1600), (300, 2000), (61, 47), (20, 400), (33, 33)])
def test_box_covers_a_blob_at_any_image_size(inspector: Inspector, size: tuple[int, int]) -> None:
    height, width = size
    part = np.full((height, width, 3), 180, np.uint8)
    x1, y1 = width // 2, height // 4
    x2, y2 = x1 + max(4, width // 10), y1 + max(4, height // 5)
    part[y1:y2, x1:x2] = 30
    found = inspector.inspect(part, name="part.png")
    assert found.heatmap.values.shape == (height, width)
    box = found.boxes[0]
    assert box.x1 <= x1 and box.y1 <= y1 and box.x2 >= x2 and box.y2 >= y2
    assert box.x2 <= width and box.y2 <= height


def test_good_part_is_accepted_and_shows_no_defect(inspector: Inspector, good_part: Image) -> None:
    found = inspector.inspect(good_part, name="part.png")
    assert found.verdict == "accept"
    assert found.predicted_class == "MT_Free"
    assert found.boxes == ()
    pictures = draw_pictures(found)
    assert pictures["heat_layer"][..., 3].max() < 0.1 * 255
    assert np.abs(pictures["heatmap"].astype(int) - good_part).max() < 0.1 * 255
    assert len(np.unique(pictures["edges"].reshape(-1, 3), axis=0)) < 60  # a dimmed part, no bright edge
    assert pictures["edges"].max() < 0.4 * 255


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (96, 96)])
@pytest.mark.parametrize(("value", "verdict"), [(0, "review"), (127, "accept"), (255, "review")])
def test_blank_images_are_answered_without_a_division_by_zero(
    inspector: Inspector, shape: tuple[int, int], value: int, verdict: str
) -> None:
    found = inspector.inspect(np.full((*shape, 3), value, np.uint8), name="blank.png")
    assert found.verdict == verdict, "what is all black or all white is no photo to release a part by"
    assert np.isfinite(found.heatmap.values).all()
    assert draw_pictures(found)["edges"].shape[:2] == shape


def test_answer_has_the_documented_shape(inspector: Inspector, scratched_part: Image) -> None:
    data = encode_png(scratched_part)
    found = inspector.inspect_bytes(data, "part.png", path="parts/part.png").to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["image"] == {
        "name": "part.png", "path": "parts/part.png", "sha256": sha256(data), "width": 256, "height": 192,
    }  # fmt: skip
    assert set(found["probabilities"]) == set(METADATA.classes)
    assert list(found["probabilities"].values()) == sorted(found["probabilities"].values(), reverse=True)
    assert sum(found["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    steps = {"decode", "quality", "preprocess", "forward", "decide", "explain"}
    assert found["timing_ms"].keys() == steps | {"total"}
    assert found["timing_ms"]["total"] >= sum(found["timing_ms"].values()) / 2 - 0.01
    assert found["method"].keys() == {
        "engine",
        "manifest_sha256",
        "preprocessing",
        "metrics",
        "distance",
        "distance_limit",
        "measured_at",
    }


def test_red_stays_red_on_the_way_to_the_network() -> None:
    seen = []

    class Watching(TinyEngine):
        def run(self, batch: Any) -> Any:
            seen.append(batch)
            return super().run(batch)

    red = np.zeros((96, 96, 3), np.uint8)
    red[..., 0] = 200
    found = Inspector(Watching()).inspect_bytes(encode_png(red), "red.png")
    red_channel, green, blue = seen[0][0].mean(axis=(1, 2))
    assert red_channel > green and red_channel > blue
    assert (draw_pictures(found)["original"] == red).all()


def test_bad_bytes_raise_and_the_inspector_goes_on(inspector: Inspector, good_part: Image) -> None:
    with pytest.raises(NotAnImage):
        inspector.inspect_bytes(b"no image", "x.png")
    assert inspector.inspect_bytes(encode_png(good_part), "y.png").verdict == "accept"


@pytest.mark.parametrize("shape", [(5, 5), (5, 5, 4), (0, 5, 3)])
def test_wrong_arrays_are_told_what_was_expected(inspector: Inspector, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"Expected RGB uint8 \(H, W, 3\)"):
        inspector.inspect(np.zeros(shape, np.uint8), name="x.png")


def test_a_network_that_gives_no_numbers_is_an_error(good_part: Image) -> None:
    broken = TinyEngine(head=Head(np.full((3, 2), np.nan, np.float32), HEAD.bias))
    with pytest.raises(ModelError, match="no finite numbers"):
        Inspector(broken).inspect(good_part, name="x.png")


def test_threads_share_one_inspector(inspector: Inspector, good_part: Image, scratched_part: Image) -> None:
    parts = [good_part, scratched_part] * 8
    with ThreadPoolExecutor(4) as pool:
        verdicts = list(pool.map(lambda part: inspector.inspect(part, name="x").verdict, parts))
    assert verdicts == ["accept", "reject"] * 8


def test_rejected_part_without_a_hot_cell_still_shows_where_to_look(scratched_part: Image) -> None:
    strict = Decision(cells=1, accept_below=0.001, reject_from=0.001, box_level=1.1)
    found = Inspector(TinyEngine(), strict).inspect(scratched_part, name="x")
    assert found.verdict == "reject"
    assert iou(found.boxes[0], SCRATCH) > 0.3


class HalfAndHalf(TinyEngine):
    """One flaw of 4 x 4 cells, its left half like a crack, its right half like a blowhole."""

    def run(self, batch: Float) -> Outputs:
        features = np.zeros((len(batch), 2, 8, 8), np.float32)
        features[:, 0, 2:6, 2:4] = 6
        features[:, 1, 2:6, 4:6] = 4
        logits = features.mean(axis=(2, 3)) @ self.head.weight.T + self.head.bias
        return Outputs.of(logits, features, self.head)


def test_a_place_too_faint_for_a_box_is_outlined_by_all_defects_together() -> None:
    timid = replace(METADATA.decision, box_score=dict.fromkeys(METADATA.defects, 1.1))
    found = Inspector(HalfAndHalf(), timid).inspect(np.full((128, 128, 3), 90, np.uint8), name="x")
    assert found.verdict == "reject"
    (box,) = found.boxes
    assert iou(box, (32, 32, 96, 96)) > 0.8


def test_model_with_mean_pooling_is_explained_by_cam(scratched_part: Image) -> None:
    mean = Decision(pooling="mean", accept_below=0.0, reject_from=0.0)
    found = Inspector(TinyEngine(), mean).inspect(scratched_part, name="x")
    assert found.heatmap.method == "cam"
    assert found.heatmap.peak_score > 1  # a raw score, not a probability
    x, _ = found.heatmap.peak
    assert SCRATCH[0] - 16 <= x < SCRATCH[2] + 16


# --- explanation ------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("index", [0, 1, 2])
def test_cam_equals_grad_cam(index: int) -> None:
    import torch
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    torch.manual_seed(index)
    features = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 5, 4, 2), torch.nn.ReLU(), torch.nn.Conv2d(8, 16, 5, 4, 2), torch.nn.SiLU()
    )
    linear = torch.nn.Linear(16, 3)
    network = torch.nn.Sequential(features, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), linear).eval()
    image = torch.randn(1, 3, 96, 128)

    expected = GradCAM(network, [features])(image, [ClassifierOutputTarget(index)])[0]
    with torch.no_grad():
        maps = features(image)[0].numpy()
        logits = network(image)[0].numpy()
    head = Head(linear.weight.detach().numpy(), linear.bias.detach().numpy())

    own = explain.heatmap(explain.cam(maps, head, index), "x", "cam", placed(96, 128), 16).values
    assert expected.max() > 0
    assert np.corrcoef(own.ravel(), expected.ravel())[0, 1] > 0.999
    assert head.class_map(maps).mean(axis=(1, 2)) == pytest.approx(logits, abs=1e-5)


def test_cell_probabilities_sum_to_one_for_huge_scores() -> None:
    cells = explain.cell_probabilities(np.array([[[1e4, -1e4]], [[-1e4, 1e4]]], np.float32))
    assert cells.sum(axis=0) == pytest.approx(1)


def test_a_hot_cell_lies_on_its_own_pixels() -> None:
    cells = np.zeros((4, 6), np.float32)
    cells[1, 4] = 0.9
    spread = explain.on_image(cells, placed(50, 90), 16)  # padded to 64 x 96
    assert spread.shape == (50, 90)
    rows, columns = np.nonzero(spread > 0.45)
    assert (rows.min() + rows.max()) / 2 == 16 + 7.5
    assert (columns.min() + columns.max()) / 2 == 64 + 7.5


@pytest.mark.parametrize("stronger", [(3, 3), (3, 4), (4, 3), (4, 4)])
def test_a_flaw_across_cells_is_hottest_in_its_middle_whichever_cell_wins_by_a_hair(
    stronger: tuple[int, int],
) -> None:
    cells = np.zeros((8, 8), np.float32)
    cells[3:5, 3:5] = 0.999
    cells[stronger] = 1
    found = explain.heatmap(cells, "x", explain.DEFECT_MAP, placed(128, 128), 16)
    assert np.hypot(found.peak[0] - 63.5, found.peak[1] - 63.5) < 5
    assert found.peak_score == 1
    straight = explain.on_image(cells, placed(128, 128), 16)
    y, x = np.unravel_index(straight.argmax(), straight.shape)
    assert np.hypot(x - 63.5, y - 63.5) > 8  # in the middle of the one cell


def test_smoothing_keeps_the_order_of_places() -> None:
    """A speck of one cell stays above a wide place that is less probable, also at the rim."""
    cells = np.zeros((8, 8), np.float32)
    cells[5:, :4] = 0.8
    cells[2, 6] = 0.9
    values = explain.on_image(cells, placed(128, 120), 16, smooth=True)
    assert values[40, 104] == pytest.approx(0.9, abs=0.02)
    assert values[:40].max() > values[80:].max() == pytest.approx(0.8, abs=0.06)
    assert values.min() == 0


def test_a_reduced_image_gets_its_map_back_in_original_pixels() -> None:
    placement = Placement((400, 800), (100, 200), (128, 224))
    cells = np.zeros((8, 14), np.float32)
    cells[2, 5] = 1
    found = explain.heatmap(cells, "x", "cam", placement, 16)
    assert found.values.shape == (400, 800)
    assert abs(found.peak[0] - 4 * 88) <= 8 and abs(found.peak[1] - 4 * 40) <= 8
    assert found.peak_score == 1
    (box,) = explain.boxes_from_cells(cells[None], ("x",), ("x",), placement, 16, Decision())
    assert box.x1 <= 4 * 84 and box.x2 >= 4 * 92 and box.y1 <= 4 * 36 and box.y2 >= 4 * 44
    assert (box.x2 - box.x1, box.y2 - box.y1) <= (80, 80)


@pytest.mark.parametrize(
    ("shape", "resized"),
    [
        ((160, 160), (256, 256)),  # no further than 1.6 times
        ((220, 300), (320, 436)),
        ((113, 632), (181, 1011)),
        ((120, 900), (137, 1024)),  # a sliver must not grow beyond the limit the other way
        ((512, 512), (512, 512)),
        ((640, 2048), (320, 1024)),
    ],
)
def test_small_pictures_are_enlarged_within_limits(shape: tuple[int, int], resized: tuple[int, int]) -> None:
    assert resized_shape(*shape, Preprocessing(min_side=320, max_enlargement=1.6)) == resized


@pytest.mark.parametrize("method", [explain.CAM, explain.DEFECT_MAP])
def test_padding_is_never_on_the_map(method: str) -> None:
    cells = np.zeros((4, 4), np.float32)
    cells[3, 3] = 1  # pixels 48..64, all padding
    found = explain.heatmap(cells, "x", method, placed(34, 34), 16)
    assert found.values.max() == 0
    assert explain.boxes_from_cells(cells[None], ("x",), ("x",), placed(34, 34), 16, Decision()) == ()


def test_cells_on_padding_do_not_count() -> None:
    cells = np.zeros((2, 4, 4), np.float32)
    assert explain.real_cells(cells, placed(34, 41), 16).shape == (2, 2, 3)
    assert explain.real_cells(cells, placed(3, 3), 16).shape == (2, 1, 1)


def test_wrong_number_of_cells_is_told() -> None:
    with pytest.raises(ValueError, match=r"Expected \(4, 4\) cells"):
        explain.on_image(np.zeros((2, 2), np.float32), placed(64, 64), 16)


def test_empty_map_gives_an_empty_heatmap() -> None:
    found = explain.heatmap(np.zeros((4, 4), np.float32), "x", "cam", placed(64, 64), 16)
    assert found.peak_score == 0
    assert (found.values == 0).all()


def test_boxes_are_sorted_small_ones_dropped_and_good_classes_ignored() -> None:
    cells = np.zeros((3, 8, 8), np.float32)
    cells[0, :, :] = 0.9  # a good class
    cells[1, 1, 1] = 0.6
    cells[1, 4:7, 4:7] = 0.8
    cells[2, 6, 1] = 0.95
    arguments = (cells, ("Free", "A", "B"), ("A", "B"), placed(128, 128), 16)
    boxes = explain.boxes_from_cells(*arguments, Decision(box_level=0.5))
    assert [(box.class_id, round(box.score, 2)) for box in boxes] == [("B", 0.95), ("A", 0.8), ("A", 0.6)]
    large = explain.boxes_from_cells(*arguments, Decision(box_level=0.5, min_box_area=0.05))
    assert [round(box.score, 2) for box in large] == [0.8]


def test_classes_that_share_a_place_make_one_box_named_by_the_strongest_there() -> None:
    cells = np.zeros((3, 8, 8), np.float32)
    cells[0] = 1.0
    cells[:, 2:4, 2:5] = np.array([0.1, 0.35, 0.55], np.float32)[:, None, None]
    cells[:, 3, 4] = 0.1, 0.5, 0.4
    arguments = (cells, ("Free", "A", "B"), ("A", "B"), placed(128, 128), 16)
    (box,) = explain.boxes_from_cells(*arguments, Decision(box_level=0.5))
    assert (box.class_id, round(box.score, 2)) == ("B", 0.55)
    assert [round(side / 16) for side in (box.x1, box.y1, box.x2, box.y2)] == [2, 2, 5, 4]
    assert explain.boxes_from_cells(*arguments, Decision(box_level=0.5, box_score={"B": 0.6})) == ()


def test_edges_lie_inside_the_hot_region_only() -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, 10:] = 200
    image[:, 40:] = 90
    hot = np.zeros((40, 60), bool)
    hot[:, :30] = True
    found = explain.edges(image, hot)
    assert found[:, 9:11].min() == 255
    assert found[:, 30:].max() == 0
    assert explain.edges(image, np.zeros_like(hot)).max() == 0


# --- decision ---------------------------------------------------------------------------------------


def test_answer_of_top_cells_is_the_mean_of_the_most_suspicious_ones() -> None:
    cells = np.array([[0.9, 0.05, 0.05], [0.1, 0.7, 0.2], [0.3, 0.1, 0.6], [0.9, 0.1, 0.0]]).T  # Free, A, B
    metadata = replace(METADATA, decision=Decision(cells=2))
    found = answer(np.zeros(3, np.float32), cells.reshape(3, 2, 2).astype(np.float32), metadata)
    assert found == pytest.approx([0.2, 0.4, 0.4], abs=1e-5)


def test_what_is_no_defect_goes_to_the_family_seen_in_all_cells() -> None:
    metadata = replace(
        METADATA, classes=("T_Free", "P_Free", "Flaw"), defects=("Flaw",), decision=Decision(cells=1)
    )
    cells = np.array([[0.1, 0.85, 0.05], [0.5, 0.1, 0.4], [0.1, 0.85, 0.05]]).T  # the odd cell looks like T
    found = answer(np.zeros(3, np.float32), cells.reshape(3, 1, 3).astype(np.float32), metadata)
    assert found[2] == pytest.approx(0.4, abs=1e-4)
    assert found[1] == pytest.approx(0.6 * 1.8 / 2.5, abs=1e-4)


@pytest.mark.parametrize("defects", [(), ("MT_Crack",), METADATA.classes])
@pytest.mark.parametrize("pooling", ["mean", "top_cells"])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_answer_is_a_distribution(defects: tuple[str, ...], pooling: str, temperature: float) -> None:
    rng = np.random.default_rng(3)
    decision = Decision(pooling=pooling, cells=99, temperature=temperature)
    metadata = replace(METADATA, defects=defects, decision=decision)
    scores = rng.normal(0, 20, (3, 5, 4)).astype(np.float32)
    found = answer(scores.mean(axis=(1, 2)), explain.cell_probabilities(scores), metadata)
    assert found.sum() == pytest.approx(1)
    assert found.min() >= 0


def test_temperature_softens_the_answer() -> None:
    scores = np.array([4, 1, 0], np.float32)
    cells = explain.cell_probabilities(scores[:, None, None])
    sharp, soft = (
        answer(scores, cells, replace(METADATA, decision=Decision(pooling="mean", temperature=t)))
        for t in (1, 4)
    )
    assert soft.max() < sharp.max()
    assert soft.argmax() == sharp.argmax()


def test_unknown_pooling_is_told() -> None:
    with pytest.raises(ModelError, match="Unknown pooling 'median'"):
        answer(
            np.zeros(3, np.float32),
            np.zeros((3, 1, 1), np.float32),
            replace(METADATA, decision=Decision(pooling="median")),
        )


@pytest.mark.parametrize(
    ("free", "crack", "verdict", "predicted"),
    [
        (0.71, 0.29, "accept", "MT_Free"),
        (0.70, 0.30, "review", "MT_Free"),
        (0.31, 0.69, "review", "MT_Crack"),
        (0.30, 0.70, "reject", "MT_Crack"),
    ],
)
def test_verdict_follows_the_limits(free: float, crack: float, verdict: str, predicted: str) -> None:
    found = judge(
        {"MT_Free": free, "MT_Crack": crack}, {"MT_Crack"}, Decision(accept_below=0.3, reject_from=0.7)
    )
    assert (found.verdict, found.predicted_class) == (verdict, predicted)
    assert percent(crack) in found.reason and found.reason.endswith(".")


def test_predicted_class_never_contradicts_the_verdict() -> None:
    spread = {"MT_Free": 0.4, "MT_Crack": 0.35, "MT_Fray": 0.25}
    rejected = judge(spread, {"MT_Crack", "MT_Fray"}, Decision())
    assert (rejected.verdict, rejected.predicted_class, rejected.confidence) == ("reject", "MT_Crack", 0.35)
    torn = {"A_Free": 0.3, "B_Free": 0.25, "MT_Crack": 0.45}
    assert judge(torn, {"MT_Crack"}, Decision()).predicted_class == "A_Free"


def test_foreign_picture_is_unknown_and_gets_no_box(good_part: Image) -> None:
    engine = TinyEngine()
    known = engine.run(prepare(good_part, METADATA.preprocessing)[0][None]).features[0].mean(axis=(1, 2))
    direction = known / np.linalg.norm(known)
    stats = KnownParts((Plane(np.zeros_like(known), direction[None]),), 0.2).to_dict()
    inspector = Inspector(replace(engine, metadata=replace(METADATA, feature_stats=stats)))
    assert inspector.inspect(good_part, name="x").verdict == "accept"
    stripes = np.zeros_like(good_part)
    stripes[:, np.arange(256) // 32 % 2 == 0] = 255
    strange = inspector.inspect(stripes, name="x")
    assert strange.verdict == "unknown"
    assert strange.boxes == ()
    assert "unlike anything" in strange.reason


@pytest.mark.parametrize(
    ("distance", "said"),
    [(1.0000001, "1.01"), (1.043, "1.05"), (1.05, "1.05"), (1.0, "1.01"), (12.3, "12.30")],
)
def test_what_is_over_the_limit_reads_as_over_it(distance: float, said: str) -> None:
    assert f"({said} times as far" in unknown_reason(distance, 1.0)


def test_a_reason_says_percent_as_all_else_does() -> None:
    assert f"of {percent(0.0001)} is below" in reason("accept", 0.0001, 0.024, 0.78, "MT_Free")
    assert f"of {percent(0.9999)} reaches" in reason("reject", 0.9999, 0.024, 0.78, "MT_Crack")
    assert f"with {percent(0.4)}, which is below the {percent(0.6)} asked" in identified_reason(0.4, 0.6, "x")


def test_statistics_of_a_model_from_before_mean_what_they_meant() -> None:
    plane = Plane(np.zeros(2, np.float32), np.array([[1, 0]], np.float32), scale=4.0)
    before = {**plane.to_dict(), "kind": "subspace", "threshold": 0.5}
    known = KnownParts.of(replace(METADATA, feature_stats=before))
    assert known is not None
    picture = np.array([3, 4], np.float32)[:, None, None]
    assert known.distance(Look.at(picture)) / known.limit == pytest.approx(
        plane.distance(picture[:, 0, 0]) / 0.5
    )


def test_statistics_of_an_unknown_kind_are_refused() -> None:
    with pytest.raises(ModelError, match="'magic'"):
        KnownParts.of(replace(METADATA, feature_stats={"kind": "magic"}))


# --- pictures ---------------------------------------------------------------------------------------


def test_five_different_pictures_of_a_defect(inspector: Inspector, scratched_part: Image) -> None:
    pictures = draw_pictures(inspector.inspect(scratched_part, name="x"))
    assert list(pictures) == ["original", "heatmap", "heat_layer", "boxes", "edges"]
    assert len({picture.tobytes() for picture in pictures.values()}) == 5
    for name in ("original", "heatmap", "edges"):
        assert pictures[name].shape == scratched_part.shape
        assert pictures[name].dtype == np.uint8
    assert pictures["heat_layer"].shape == (192, 256, 4)
    x1, y1, x2, y2 = SCRATCH
    assert pictures["edges"][y1:y2, x1:x2].max() == 255
    far = np.s_[:, :100]
    assert pictures["edges"][far].max() < 128
    assert np.array_equal(pictures["heatmap"][far], scratched_part[far])


@pytest.mark.parametrize("shape", [(12, 12), (480, 640), (3000, 2000)])
def test_boxes_are_legible_at_any_size(shape: tuple[int, int]) -> None:
    image = np.zeros((*shape, 3), np.uint8)
    box = Box(shape[1] // 2, shape[0] // 2, shape[1] // 2 + 4, shape[0] // 2 + 4, 0.9, "PCB_mousebite")
    drawn = draw_boxes(image, (box,))
    assert max(drawn.shape) >= 480
    assert (drawn.max(axis=2) > 200).sum() >= 0.001 * drawn[..., 0].size
    assert not image.any()  # the inspected pixels are left alone


@pytest.mark.parametrize(
    "corner", [(0, 0, 60, 50), (420, 0, 480, 50), (0, 270, 60, 320), (420, 270, 480, 320), (200, 0, 260, 320)]
)
def test_the_number_of_a_box_never_covers_what_the_box_encloses(corner: tuple[int, int, int, int]) -> None:
    x1, y1, x2, y2 = corner
    drawn = draw_boxes(np.zeros((320, 480, 3), np.uint8), (Box(*corner, 0.9, "PCB_mousebite"),), named=True)
    assert not drawn[y1 + 3 : y2 - 3, x1 + 3 : x2 - 3].any()
    assert (drawn.min(axis=2) > 200).any()  # white letters stand somewhere


def test_boxes_are_numbered_in_their_order_and_numbers_keep_off_other_boxes() -> None:
    image = np.zeros((320, 480, 3), np.uint8)
    above, below = Box(100, 100, 140, 140, 0.9, "PCB_open"), Box(100, 145, 140, 180, 0.8, "PCB_short")
    drawn = draw_boxes(image, (above, below))
    for box in (above, below):
        assert not drawn[box.y1 + 3 : box.y2 - 3, box.x1 + 3 : box.x2 - 3].any()
    changed = np.argwhere((drawn != draw_boxes(image, (below, above))).any(axis=2))
    assert (
        len(changed) and changed[:, 1].max() < 125
    )  # only the numbers at their left corners say which is first
    renamed = (replace(above, class_id="MT_Crack", score=0.1), below)
    assert np.array_equal(drawn, draw_boxes(image, renamed))  # as they are in any language


@pytest.mark.parametrize(("verdict", "glows"), [("accept", False), ("review", True)])
def test_the_heat_of_a_part_for_review_is_seen_and_that_of_a_good_part_is_not(
    verdict: str, glows: bool
) -> None:
    faint = make_inspection(
        verdict, confidence=0.97, defect_probability=0.03, boxes=(Box(60, 40, 120, 100, 0.9, "MT_Crack"),)
    )
    assert (draw_heat_layer(faint)[..., 3].max() > 100) == glows
    changed = cv2.absdiff(draw_heatmap(faint), faint.pixels).max()
    assert (changed > 50) == glows


# --- engines ----------------------------------------------------------------------------------------


def test_onnx_and_tiny_engine_agree(tiny_model: Path, scratched_part: Image) -> None:
    tensor, _ = prepare(scratched_part, Preprocessing())
    engine, tiny = load_engine(tiny_model, threads=1), TinyEngine()
    for found, expected in zip(engine.run(tensor[None]), tiny.run(tensor[None]), strict=True):
        assert found == pytest.approx(expected, abs=1e-4)
    assert engine.name == "onnxruntime"
    assert engine.metadata == METADATA


def test_a_model_file_of_before_leaves_the_class_map_to_its_head(
    tiny_model: Path, tmp_path: Path, scratched_part: Image
) -> None:
    model = onnx.load(tiny_model)
    del model.graph.node[-1], model.graph.output[-1]
    onnx.save(model, str(tmp_path / "before.onnx"))
    tensor, _ = prepare(scratched_part, Preprocessing())
    old, new = (load_engine(path).run(tensor[None]) for path in (tmp_path / "before.onnx", tiny_model))
    assert old.class_map == pytest.approx(new.class_map, abs=1e-5)


def test_head_and_hash_of_an_engine_are_those_of_its_file(tiny_model: Path) -> None:
    engine = load_engine(tiny_model, threads=1)
    assert np.array_equal(engine.head.weight, HEAD.weight) and np.array_equal(engine.head.bias, HEAD.bias)
    assert engine.sha256 == sha256(tiny_model.read_bytes())


def test_head_survives_its_text() -> None:
    again = Head.from_text(HEAD.to_text(), 3)
    assert np.array_equal(again.weight, HEAD.weight) and np.array_equal(again.bias, HEAD.bias)


@pytest.mark.parametrize(("suffix", "words"), [(".onnx", "ONNX"), (".pth", "damaged")])
def test_damaged_model_file_is_told(tmp_path: Path, tiny_model: Path, suffix: str, words: str) -> None:
    path = tmp_path / f"half{suffix}"
    path.write_bytes(tiny_model.read_bytes()[:300])
    with pytest.raises(ModelError, match=words):
        load_engine(path)


@pytest.mark.parametrize("name", ["none.onnx", "none.pth"])
def test_missing_model_says_how_to_make_one(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match=r"python training\.py"):
        load_engine(tmp_path / name)


def test_other_files_are_no_models(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"must end in \.onnx, \.xml or \.pth"):
        load_engine(tmp_path / "model.h5")


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({}, "no readable Flawsight metadata"),
        ({ONNX_KEY: METADATA.to_json()}, "cannot explain"),
        ({ONNX_KEY: METADATA.to_json(), HEAD_KEY: "AAAA"}, "cannot explain"),
        ({ONNX_KEY: METADATA.to_json(), HEAD_KEY: "not base64"}, "cannot explain"),
        ({ONNX_KEY: json.dumps({**asdict(METADATA), "format": "flawsight.model/9"})}, "update the program"),
    ],
    ids=["foreign", "no head", "short head", "garbled head", "newer"],
)
def test_foreign_and_newer_models_are_told_apart(
    tmp_path: Path, properties: dict[str, str], words: str
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(tiny_onnx(properties))
    with pytest.raises(ModelError, match=words):
        load_engine(path)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network as ``training.py`` would save it."""
    import torch

    from flawsight.learning.backbones import build

    torch.manual_seed(0)
    metadata = replace(METADATA, backbone="efficientnet-b0", decision=Decision(cells=3))
    network = build("efficientnet-b0", 3, 16)
    path: Path = tmp_path_factory.mktemp("torch") / "model.pth"
    torch.save({"metadata": metadata.to_json(), "state_dict": network.state_dict()}, path)
    return path


def test_torch_features_and_head_make_the_logits(checkpoint: Path, scratched_part: Image) -> None:
    engine = load_engine(checkpoint)
    tensor, placement = prepare(scratched_part, engine.metadata.preprocessing)
    said = engine.run(tensor[None])
    assert engine.name == "torch"
    assert said.features.shape[2:] == (placement.padded[0] // 16, placement.padded[1] // 16)
    assert engine.head.class_map(said.features[0]) == pytest.approx(said.class_map[0], abs=1e-4)
    assert said.class_map[0].mean(axis=(1, 2)) == pytest.approx(said.logits[0], abs=1e-4)


def test_inspector_runs_on_torch(checkpoint: Path, scratched_part: Image) -> None:
    found = Inspector(load_engine(checkpoint)).inspect(scratched_part, name="x")
    assert sum(found.probabilities.values()) == pytest.approx(1)


def test_foreign_checkpoint_is_told(tmp_path: Path) -> None:
    import torch

    torch.save({"weights": torch.zeros(3)}, tmp_path / "foreign.pth")
    with pytest.raises(ModelError, match="not a Flawsight model"):
        load_engine(tmp_path / "foreign.pth")
