"""Any class is explained, by the model's own map and by other methods, and shown as layers."""

from __future__ import annotations

import base64
import re
import warnings
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from flask.testing import FlaskClient
from numpy.typing import NDArray
from PIL import Image
from tiny_parts import SCRATCH
from web_client import close, cracked, encoded, send_to_api, settings_in, surface, tiny_app

from flawsight.inspection.inspector import Inspector
from flawsight.inspection.pictures import (
    TRUTH_COLOUR,
    edge_layer,
    encode_layer,
    encode_pictures,
    reduced,
    truth_layer,
)
from flawsight.inspection.result import Inspection
from flawsight.inspection.tiny import METADATA, TinyEngine
from flawsight.web import create_app, explanations

Pixels = NDArray[np.uint8]


def inspected(client: FlaskClient, pixels: Pixels, name: str = "part.png") -> str:
    """The id of a fresh inspection."""
    return str(send_to_api(client, encoded(pixels), name).get_json()["id"])


def layer_of(one: dict[str, Any]) -> Pixels:
    return opened(base64.b64decode(one["layer"]))


def opened(png: bytes) -> Pixels:
    return np.asarray(Image.open(BytesIO(png)).convert("RGBA"))


# --- the model's own map --------------------------------------------------------------------------------


def test_an_inspection_shows_all_defects_together_and_any_class_is_explained_by_itself(
    inspector: Inspector, scratched_part: Pixels
) -> None:
    found = inspector.inspect(scratched_part, name="x").heatmap
    assert found.method == "defect-map"
    own = inspector.explain(scratched_part, found.class_id)
    assert own.method == "class-map" and own.peak == found.peak
    assert (found.values >= own.values - 0.05).all() and found.values.sum() > own.values.sum()
    good = inspector.explain(scratched_part, "MT_Free")
    x1, y1, x2, y2 = SCRATCH
    assert good.class_id == "MT_Free" and good.values[y1:y2, x1:x2].min() < 0.5 * good.values.max()
    with pytest.raises(ValueError, match="no class 'PCB_open'"):
        inspector.explain(scratched_part, "PCB_open")


def test_the_page_asks_for_any_class_and_gets_a_layer_of_the_pictures_size(client: FlaskClient) -> None:
    address = f"/api/v1/inspections/{inspected(client, cracked())}/explanations/MT_Blowhole"
    answer = client.get(address)
    said = answer.get_json()
    assert (said["class"], said["title"], said["note"]) == ("MT_Blowhole", "Blowhole", "")
    [one] = said["maps"]
    assert one["method"] == "class-map" and one["took_ms"] > 0
    assert f"x {one['peak'][0]}, y {one['peak'][1]}" in one["said"]
    assert layer_of(one).shape == (128, 160, 4)
    assert client.get(address, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304


def test_a_class_that_the_model_does_not_know_is_not_found(client: FlaskClient) -> None:
    answer = client.get(f"/api/v1/inspections/{inspected(client, cracked())}/explanations/PCB_open")
    assert answer.status_code == 404 and "knows no class PCB_open" in answer.get_json()["detail"]
    assert client.get("/api/v1/inspections/none/explanations/MT_Crack").status_code == 404


# --- the methods of the grad-cam package ----------------------------------------------------------------


def test_without_the_torch_model_page_and_api_say_what_is_missing(client: FlaskClient) -> None:
    number = inspected(client, cracked())
    answer = client.get(f"/api/v1/inspections/{number}/explanations/MT_Crack/grad-cam")
    assert answer.status_code == 503 and "there is no model.pth" in answer.get_json()["detail"]
    page = client.get(f"/inspections/{number}").text
    assert "there is no model.pth" in page and 'id="others"' not in page


@pytest.fixture(scope="module")
def torch_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained EfficientNet-B0, with its ``.onnx`` beside it."""
    import torch

    from flawsight.learning.backbones import build
    from flawsight.learning.export import save_onnx, save_torch

    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("torch") / "model.pth"
    network = build("efficientnet-b0", len(METADATA.classes), METADATA.stride).eval()
    metadata = replace(METADATA, backbone="efficientnet-b0")
    save_torch(network, metadata, path)
    save_onnx(network, metadata, path.with_suffix(".onnx"))
    return path


def test_grad_cam_of_the_package_is_our_cam(torch_model: Path, scratched_part: Pixels) -> None:
    from flawsight.inspection.torch_engine import TorchEngine

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package imports what its own dependencies deprecate
        from flawsight.learning.cams import second_explanations

    engine = TorchEngine(torch_model, torch_model.read_bytes())
    by_mean = replace(METADATA.decision, pooling="mean")
    for class_id in METADATA.classes:
        ours = Inspector(engine, by_mean).explain(scratched_part, class_id)
        [(theirs, took_ms)] = second_explanations(engine, scratched_part, class_id, ["grad-cam"])
        assert ours.method == "cam" and theirs.method == "grad-cam" and took_ms > 0
        assert np.corrcoef(ours.values.ravel(), theirs.values.ravel())[0, 1] > 0.999
        assert theirs.values.shape == scratched_part.shape[:2] and theirs.values.max() == 1


def test_five_methods_come_from_one_process_with_their_times(tmp_path: Path, torch_model: Path) -> None:
    app = create_app(settings_in(tmp_path, model=torch_model.with_suffix(".onnx"), threads=1))
    client = app.test_client()
    number = inspected(client, cracked())
    assert 'id="others"' in client.get(f"/inspections/{number}").text
    answer = client.get(f"/api/v1/inspections/{number}/explanations/MT_Crack/grad-cam")
    assert answer.status_code == 200, answer.text
    maps = answer.get_json()["maps"]
    titles = [one["title"] for one in maps]
    assert titles == ["Grad-CAM", "Grad-CAM++", "LayerCAM", "Eigen-CAM", "Score-CAM (32 strongest channels)"]
    layers = [layer_of(one) for one in maps]
    assert all(layer.shape == (128, 160, 4) for layer in layers)
    assert all(one["took_ms"] > 0 for one in maps)
    assert "asks for no class" in maps[3]["said"]
    close(app)


def test_a_process_that_takes_too_long_is_stopped_and_said(
    tmp_path: Path, torch_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explanations, "TIME_LIMIT_S", 0.05)
    app = tiny_app(tmp_path, model=torch_model.with_suffix(".onnx"))
    client = app.test_client()
    answer = client.get(f"/api/v1/inspections/{inspected(client, cracked())}/explanations/MT_Crack/grad-cam")
    assert answer.status_code == 503 and "were stopped" in answer.get_json()["detail"]
    close(app)


def test_another_network_of_the_same_division_is_not_explained_by_the_torch_model(
    tmp_path: Path, torch_model: Path
) -> None:
    other = Inspector(TinyEngine(replace(METADATA, backbone="efficientnet-b0")))  # of another head
    app = create_app(settings_in(tmp_path, model=torch_model.with_suffix(".onnx"), threads=1), other)
    client = app.test_client()
    answer = client.get(f"/api/v1/inspections/{inspected(client, cracked())}/explanations/MT_Crack/grad-cam")
    assert answer.status_code == 503, answer.text
    assert "another training run than the model in use" in answer.get_json()["detail"]
    close(app)


# --- layers ---------------------------------------------------------------------------------------------


def test_the_edge_layer_marks_the_scratch_and_nothing_far_from_it(
    inspector: Inspector, scratched_part: Pixels, good_part: Pixels
) -> None:
    filed = encode_pictures(inspector.inspect(scratched_part, name="x"))
    shown = opened(edge_layer(filed["original"], filed["heat_layer"]))[..., 3]
    x1, y1, x2, y2 = SCRATCH
    assert shown[y1:y2, x1:x2].max() == 255
    assert not shown[:, :80].any()
    nothing = np.zeros((*good_part.shape[:2], 4), np.uint8)
    clear = encoded(nothing)
    assert not opened(edge_layer(encoded(good_part), clear))[..., 3].any()


def test_pictures_of_a_large_photo_are_reduced_and_show_the_same_place(
    inspector: Inspector, scratched_part: Pixels
) -> None:
    large = cv2.resize(scratched_part, (3072, 2304), interpolation=cv2.INTER_NEAREST)
    found = inspector.inspect(large, name="x")
    assert found.boxes and found.heatmap.values.shape == (2304, 3072)
    filed = encode_pictures(found)
    assert opened(filed["original"]).shape == (2304, 3072, 4)
    sizes = {name: opened(filed[name]).shape[:2] for name in ("heatmap", "heat_layer", "boxes", "edges")}
    assert set(sizes.values()) == {(1536, 2048)}
    scratch = [round(side * 2048 / 256) for side in SCRATCH]
    y, x = np.unravel_index(opened(filed["heat_layer"])[..., 3].argmax(), (1536, 2048))
    assert scratch[0] <= x < scratch[2] and scratch[1] <= y < scratch[3]
    edges = opened(edge_layer(filed["original"], filed["heat_layer"]))
    assert edges.shape == (1536, 2048, 4) and edges[scratch[1] : scratch[3], scratch[0] : scratch[2], 3].any()
    for box, whole in zip(reduced(found).boxes, found.boxes, strict=True):
        assert box.x1 * 1.5 <= whole.x1 < whole.x2 <= box.x2 * 1.5
        assert box.y1 * 1.5 <= whole.y1 < whole.y2 <= box.y2 * 1.5
    assert opened(encode_layer(found.heatmap)).shape == (1536, 2048, 4)


def test_a_picture_of_a_good_part_that_would_show_the_part_alone_is_its_original(
    inspector: Inspector, good_part: Pixels, scratched_part: Pixels
) -> None:
    found = _without_heat(inspector.inspect(np.tile(good_part, (2, 2, 1)), name="x"))
    filed = encode_pictures(found)
    assert found.verdict == "accept" and filed["boxes"] == filed["heatmap"] == filed["original"]
    assert filed["edges"] != filed["original"] != filed["heat_layer"]
    photo = encode_pictures(_without_heat(replace(found, pixels=np.tile(good_part, (9, 9, 1)))))
    assert photo["boxes"] != photo["original"] != photo["heatmap"]  # they are smaller
    small = encode_pictures(inspector.inspect(good_part, name="x"))
    assert opened(small["boxes"]).shape[0] > good_part.shape[0]  # enlarged, as every other of these parts
    marked = encode_pictures(inspector.inspect(scratched_part, name="x"))
    assert len(set(marked.values())) == len(marked)


def _without_heat(found: Inspection) -> Inspection:
    height, width = found.pixels.shape[:2]
    return replace(found, heatmap=replace(found.heatmap, values=np.zeros((height, width), np.float32)))


def test_the_truth_layer_covers_the_mask_and_a_line_around_it() -> None:
    mask = np.zeros((60, 80), np.uint8)
    mask[20:40, 30:50] = 255
    shown = opened(truth_layer(encoded(mask)))
    assert (shown[20:40, 30:50, :3] == TRUTH_COLOUR).all() and 0 < shown[30, 40, 3] < 255
    assert shown[19, 40, 3] == 255 and not shown[:17, :, 3].any()


def test_the_truth_of_a_sample_is_shown_and_of_nothing_else(tmp_path: Path) -> None:
    settings_in(tmp_path)
    mask = np.zeros((128, 160), np.uint8)
    cv2.line(mask, (40, 30), (90, 80), 255, 3)
    (tmp_path / "sample" / "truth").mkdir()
    (tmp_path / "sample" / "truth" / "MT_Crack_1.png").write_bytes(encoded(mask))
    app = tiny_app(tmp_path)
    client = app.test_client()
    sample = inspected(client, cracked(), "MT_Crack_1.png")
    namesake = inspected(client, surface(), "MT_Crack_1.png")
    assert 'data-layer="truth"' in client.get(f"/inspections/{sample}").text
    assert opened(client.get(f"/inspections/{sample}/layers/truth").data).shape == (128, 160, 4)
    assert 'data-layer="truth"' not in client.get(f"/inspections/{namesake}").text
    assert client.get(f"/inspections/{namesake}/layers/truth").status_code == 404
    assert opened(client.get(f"/inspections/{sample}/layers/edges").data).shape == (128, 160, 4)
    close(app)


def test_a_picture_whose_name_is_longer_than_a_file_s_can_be_is_shown(tmp_path: Path) -> None:
    samples = settings_in(tmp_path).samples
    (samples / "truth").mkdir()
    app = tiny_app(tmp_path)
    client = app.test_client()
    number = inspected(client, cracked(), "検査" * 60 + ".png")
    assert "検査" * 60 in client.get(f"/inspections/{number}").text
    assert client.get(f"/inspections/{number}/layers/truth").status_code == 404
    close(app)


# --- the page -------------------------------------------------------------------------------------------


def test_the_page_leads_to_its_neighbours_and_to_the_review(client: FlaskClient) -> None:
    first, second, third = (inspected(client, cracked()) for _ in range(3))
    page = client.get(f"/inspections/{second}").text
    assert (
        f'rel="prev" href="/inspections/{first}"' in page
        and f'rel="next" href="/inspections/{third}"' in page
    )
    assert 'rel="prev"' not in client.get(f"/inspections/{first}").text
    accept = client.get(f"/review/{second}?answer=accept").text
    assert 'value="accept" required checked' in accept
    assert re.search('<option value="MT_Free"[^>]* selected>', accept)


def test_the_boxes_of_a_person_are_a_layer_of_their_own(client: FlaskClient) -> None:
    number = inspected(client, cracked())
    assert "layer-marks" not in client.get(f"/inspections/{number}").text
    box = {"x1": 30, "y1": 20, "x2": 100, "y2": 90, "class": "MT_Crack"}
    said = {"reviewer": "A. Kern", "verdict": "reject", "class": "MT_Crack", "boxes": [box]}
    assert client.post(f"/api/v1/inspections/{number}/reviews", json=said).status_code == 201
    page = client.get(f"/inspections/{number}").text
    assert "Boxes of A. Kern" in page
    assert '<rect class="box" x="30" y="20" width="70" height="70"/>' in page.split('id="layer-marks"')[1]
