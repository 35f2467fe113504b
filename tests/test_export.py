"""Other forms of a model: half precision, 8 bits, OpenVINO; each certified against its origin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from flawsight.cli import main
from flawsight.imaging import encode_png
from flawsight.inspection.engines import HEAD_KEY, load_engine
from flawsight.inspection.inspector import Inspector
from flawsight.inspection.tiny import BLURS, HEAD, METADATA, STRIDE, TinyEngine
from flawsight.learning.backbones import build
from flawsight.learning.export import save_torch
from flawsight.learning.parity import box_iou, compare
from flawsight.learning.precision import fine_nodes, head_nodes, label
from flawsight.metadata import ONNX_KEY, ModelMetadata

KINDS = {"plate_good": 0, "plate_crack": 2, "plate_hole": 22}  # class to width of the dark mark
META = replace(METADATA, classes=tuple(KINDS), defects=("plate_crack", "plate_hole"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny engine as an ONNX file whose blurs are convolutions, as in any real network."""
    path = tmp_path_factory.mktemp("origin") / "tiny.onnx"
    onnx.save(_network(), path)
    label(path, META, HEAD.to_text())
    return path


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder: 8 parts of each class, every one different."""
    folder = tmp_path_factory.mktemp("data")
    for class_id, width in KINDS.items():
        (folder / class_id).mkdir()
        for number in range(8):
            image = _part(width, seed=100 * width + number)
            (folder / class_id / f"{class_id}_{number}.png").write_bytes(encode_png(image))
    return folder


def test_half_precision_gives_the_same_answers_at_half_the_weights(
    model: Path, parts: Path, tmp_path: Path
) -> None:
    target = tmp_path / "half.onnx"
    result = run(model, "--precision", "fp16", "--data", parts, "--out", target)
    assert result.exit_code == 0, result.output
    assert "other verdict or class: 0" in result.output
    certificate = load_engine(target).metadata.export
    assert certificate["precision"] == "fp16"
    assert certificate["from_sha256"] == load_engine(model).sha256
    assert certificate["parity"]["flips"] == 0 < certificate["parity"]["images"]
    assert 0 < certificate["parity"]["largest_logit_difference"] < 0.1  # other numbers, same answers
    kinds = {tensor.data_type for tensor in onnx.load(target).graph.initializer}
    assert TensorProto.FLOAT16 in kinds


def test_eight_bits_are_calibrated_certified_and_explain_themselves(
    model: Path, parts: Path, tmp_path: Path
) -> None:
    target = tmp_path / "small.onnx"
    result = run(model, "--precision", "int8", "--data", parts, "--max-flips", "8", "--out", target)
    assert result.exit_code == 0, result.output
    operations = {node.op_type for node in onnx.load(target).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= operations
    engine = load_engine(target)
    noise = np.random.default_rng(3).normal(size=(1, 3, 64, 96)).astype(np.float32)
    said = engine.run(noise)
    explained = said.features[0].mean(axis=(1, 2)) @ engine.head.weight.T + engine.head.bias
    assert np.allclose(said.logits[0], explained, atol=1e-4)
    assert np.allclose(said.class_map[0], engine.head.class_map(said.features[0]), atol=1e-4)
    assert (engine.head.weight == HEAD.weight).all()


def test_a_form_that_answers_otherwise_is_refused_and_nothing_is_kept(
    model: Path, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(graph: onnx.ModelProto) -> onnx.ModelProto:
        for tensor in graph.graph.initializer:
            if tensor.name == "blur3":
                tensor.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(tensor), "blur3"))
        return graph

    monkeypatch.setattr("flawsight.cli.export.half", spoil)
    target = tmp_path / "half.onnx"
    target.write_bytes(b"the old one")
    result = run(model, "--precision", "fp16", "--data", parts, "--out", target)
    assert result.exit_code == 1
    assert "answers changed and 0 may (--max-flips)" in result.output
    assert target.read_bytes() == b"the old one"
    assert [path.name for path in tmp_path.iterdir()] == ["half.onnx"]


def test_a_head_that_does_not_explain_the_answer_is_refused(model: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.onnx"
    wrong.write_bytes(model.read_bytes())
    label(wrong, META, type(HEAD)(HEAD.weight[::-1].copy(), HEAD.bias).to_text())
    result = run(wrong, "--precision", "fp16", "--out", tmp_path / "half.onnx")
    assert result.exit_code == 1 and "not what its explanation adds up to" in result.output


def test_a_network_whose_head_is_not_its_backbone_s_own_is_exported(tmp_path: Path) -> None:
    source = tmp_path / "linear.pth"
    save_torch(
        build("compact", len(KINDS), STRIDE, "linear").eval(), replace(META, backbone="compact"), source
    )
    result = run(source)
    assert result.exit_code == 0, result.output
    assert load_engine(tmp_path / "linear.onnx").head.hidden is None


def test_openvino_gives_the_same_answers(model: Path, parts: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    target = tmp_path / "tiny.xml"
    result = run(model, "--data", parts, "--out", target)
    assert result.exit_code == 0, result.output
    engine = load_engine(target)
    assert engine.name == "openvino" and engine.metadata.export["parity"]["flips"] == 0
    part = _part(KINDS["plate_crack"], seed=1)
    theirs, ours = (Inspector(load_engine(path)).inspect(part, name="x") for path in (target, model))
    assert theirs.predicted_class == ours.predicted_class == "plate_crack"
    assert theirs.boxes == ours.boxes or box_iou(theirs, ours) > 0.95  # type: ignore[operator]


def test_openvino_that_is_not_installed_is_asked_for(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    result = run(model, "--out", tmp_path / "tiny.xml")
    assert result.exit_code == 1 and "pip install openvino" in result.output


def test_a_damaged_openvino_model_is_refused_with_a_reason(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    (tmp_path / "bad.xml").write_text("<net/>")
    (tmp_path / "bad.bin").write_bytes(b"")
    result = CliRunner().invoke(main, ["inspect", "x.png", "--model", str(tmp_path / "bad.xml")])
    assert result.exit_code == 1 and "no readable OpenVINO model" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--precision", "int8"], "name their folder with --data"),
        ([], "is an ONNX model already"),
        (["--out", "model.bin"], "must end in .onnx"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_done(
    model: Path, arguments: list[str], message: str
) -> None:
    result = run(model, *arguments)
    assert result.exit_code == 1 and message in result.output


def test_a_model_is_the_same_as_itself(parts: Path) -> None:
    from flawsight.data.adapters import find_samples

    parity = compare(TinyEngine(META), TinyEngine(META), find_samples((parts,)))
    assert (parity.images, parity.flips, parity.largest_peak_shift, parity.mean_box_iou) == (24, 0, 0, 1)


def test_overlap_of_boxes_is_measured_by_area() -> None:
    inspector = Inspector(TinyEngine(META))
    crack = inspector.inspect(_part(KINDS["plate_crack"], seed=1), name="a")
    hole = inspector.inspect(_part(KINDS["plate_hole"], seed=1), name="b")
    good = inspector.inspect(_part(0, seed=1), name="c")
    assert box_iou(good, good) is None
    assert box_iou(good, crack) == 0
    assert box_iou(crack, crack) == 1
    assert 0 < box_iou(crack, hole) < 1  # type: ignore[operator]


def test_a_model_file_of_before_has_no_certificate() -> None:
    import json

    old = json.loads(META.to_json())
    del old["export"]
    assert ModelMetadata.from_json(json.dumps(old)).export == {}


def test_head_is_what_lies_between_the_features_and_the_other_outputs() -> None:
    assert set(head_nodes(_network())) == {"pool", "flatten", "head", "map"}


def test_only_layers_that_read_coarse_maps_are_rounded_to_eight_bits() -> None:
    blurs = {f"{kind}{size}" for kind in ("conv", "relu", "max") for size in BLURS}
    assert set(fine_nodes(_network())) == blurs  # the last of them makes cells of STRIDE pixels


def run(model: Path, *arguments: object) -> Result:
    return CliRunner().invoke(main, ["export", str(model), *map(str, arguments)])


def _part(width: int, seed: int) -> NDArray[np.uint8]:
    """A grainy grey part, RGB (160, 192, 3), with a dark mark of that width in the middle."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(170, 4, (160, 192)).round().clip(0, 255).astype(np.uint8)
    if width:
        x, y = (int(value) for value in rng.integers(60, 90, 2))
        cv2.line(pixels, (x, y), (x + 40, y + 25), 20, width)
    return np.repeat(pixels[:, :, None], 3, axis=2)


def _network() -> onnx.ModelProto:
    cell = {"kernel_shape": [STRIDE, STRIDE], "strides": [STRIDE, STRIDE]}
    nodes = []
    weights = [
        numpy_helper.from_array(HEAD.weight, "weight"),
        numpy_helper.from_array(HEAD.bias, "bias"),
        numpy_helper.from_array(HEAD.weight[:, :, None, None].copy(), "by_cell"),
    ]
    for size in BLURS:
        kernel = np.full((1, 3, size, size), -1 / (3 * size * size), np.float32)
        weights.append(numpy_helper.from_array(kernel, f"blur{size}"))
        nodes += [
            helper.make_node(
                "Conv", ["image", f"blur{size}"], [f"dark{size}"], f"conv{size}", pads=[size // 2] * 4
            ),
            helper.make_node("Relu", [f"dark{size}"], [f"positive{size}"], f"relu{size}"),
            helper.make_node("MaxPool", [f"positive{size}"], [f"cells{size}"], f"max{size}", **cell),
        ]
    nodes += [
        helper.make_node("Concat", [f"cells{size}" for size in BLURS], ["features"], "join", axis=1),
        helper.make_node("GlobalAveragePool", ["features"], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["vector"], "flatten"),
        helper.make_node("Gemm", ["vector", "weight", "bias"], ["logits"], "head", transB=1),
        helper.make_node("Conv", ["features", "by_cell", "bias"], ["class_map"], "map"),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, "H", "W"])
    outputs = [
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", len(HEAD.bias)]),
        helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", len(BLURS), "h", "w"]),
        helper.make_tensor_value_info("class_map", TensorProto.FLOAT, ["N", len(HEAD.bias), "h", "w"]),
    ]
    graph = helper.make_graph(nodes, "tiny", [image], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {ONNX_KEY: META.to_json(), HEAD_KEY: HEAD.to_text()})
    return model
