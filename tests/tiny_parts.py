"""What the fixtures of the tiny engine are made of, for tests that need a variant."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from flawsight.inspection.tiny import BLURS, HEAD, STRIDE

SCRATCH = (150, 40, 200, 150)  # half-open xyxy of the mark on ``scratched_part``


def tiny_onnx(properties: dict[str, str]) -> bytes:
    """The steps of ``TinyEngine`` as an ONNX model that carries ``properties``."""
    cell = {"kernel_shape": [STRIDE, STRIDE], "strides": [STRIDE, STRIDE]}
    nodes = [
        helper.make_node("ReduceMean", ["image", "channel_axis"], ["grey"]),
        helper.make_node("Neg", ["grey"], ["dark"]),
    ]
    for size in BLURS:
        blur = {"kernel_shape": [size, size], "pads": [size // 2] * 4, "count_include_pad": 1}
        nodes += [
            helper.make_node("AveragePool", ["dark"], [f"blurred{size}"], **blur),
            helper.make_node("Relu", [f"blurred{size}"], [f"positive{size}"]),
            helper.make_node("MaxPool", [f"positive{size}"], [f"cells{size}"], **cell),
        ]
    nodes += [
        helper.make_node("Concat", [f"cells{size}" for size in BLURS], ["features"], axis=1),
        helper.make_node("GlobalAveragePool", ["features"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["vector"]),
        helper.make_node("Gemm", ["vector", "weight", "bias"], ["logits"], transB=1),
        helper.make_node("Conv", ["features", "by_cell", "bias"], ["class_map"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", len(HEAD.bias)]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", len(BLURS), "h", "w"]),
            helper.make_tensor_value_info("class_map", TensorProto.FLOAT, ["N", len(HEAD.bias), "h", "w"]),
        ],
        [
            numpy_helper.from_array(np.array([1], np.int64), "channel_axis"),
            numpy_helper.from_array(HEAD.weight, "weight"),
            numpy_helper.from_array(HEAD.bias, "bias"),
            numpy_helper.from_array(HEAD.weight[:, :, None, None].copy(), "by_cell"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, properties)
    onnx.checker.check_model(model)
    serialised: bytes = model.SerializeToString()
    return serialised
