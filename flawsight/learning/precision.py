"""Smaller and faster twins of an ONNX model: half precision, 8-bit integers, OpenVINO.

In each the pooling and the head stay as they are, in 32 bits, so that the head's weights beside the
metadata still explain exactly what the graph computes.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from flawsight.data.samples import Sample
from flawsight.data.whole import sample_pixels
from flawsight.inspection.engines import HEAD_KEY
from flawsight.inspection.openvino_engine import HEAD_INFO, METADATA_INFO, import_openvino
from flawsight.metadata import ONNX_KEY, ModelMetadata, Preprocessing
from flawsight.preprocessing import prepare

CALIBRATION_IMAGES = 64
# All that lies between convolutions as well: going to 32 bits and back costs more than eight bits spare.
EIGHT_BITS = ["Conv", "Sigmoid", "Mul", "Add", "Concat", "GlobalAveragePool"]
# Pixels of the picture to one of a map, each way, from which on it is rounded to 8 bits. Rounding the finer
# maps of the first layers would change more answers than all else, and they hold few of the multiplications.
COARSE = 8
IMAGE, FEATURES = "image", "features"


def half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Half precision inside; inputs, outputs and the head stay in 32 bits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it names every tiny weight that becomes zero
        converted = convert_float_to_float16(model, keep_io_types=True, node_block_list=head_nodes(model))
    ordered = OnnxModel(converted)
    ordered.topological_sort()  # the converter puts its casts last
    return cast(onnx.ModelProto, ordered.model)


def quantise(source: Path, target: Path, samples: Sequence[Sample], pre: Preprocessing) -> None:
    """8-bit integers from coarse maps up to the features, their ranges taken from training ``samples``."""
    calm = logging.getLogger()
    level = calm.level
    calm.setLevel(logging.ERROR)  # the quantiser recommends itself at length
    try:
        with tempfile.TemporaryDirectory() as folder:
            plain = Path(folder) / "plain.onnx"  # what can be computed beforehand has been
            quant_pre_process(source, plain, skip_symbolic_shape=True)
            model = onnx.load(plain)
            quantize_static(
                plain,
                target,
                _Calibration(samples, pre),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=EIGHT_BITS,
                nodes_to_exclude=[*fine_nodes(model), *head_nodes(model)],
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                extra_options={"CalibMovingAverage": True},
            )
    finally:
        calm.setLevel(level)


def calibration_samples(train: Sequence[Sample], seed: int) -> list[Sample]:
    """A few of the training split, drawn evenly from all of it."""
    chosen = np.random.default_rng(seed).permutation(len(train))[:CALIBRATION_IMAGES]
    return [train[i] for i in sorted(chosen)]


def label(path: Path, metadata: ModelMetadata, head: str) -> None:
    """Write the metadata and the head's weights (``Head.to_text``) into the ONNX file ``path``."""
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {ONNX_KEY: metadata.to_json(), HEAD_KEY: head})
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def save_openvino(source: Path, target: Path, metadata: ModelMetadata, head: str, compress: bool) -> None:
    """The ONNX file ``source`` as OpenVINO's ``target`` (.xml) and its .bin, with the same metadata.

    Args:
        compress: keep the weights in half precision.
    """
    openvino = import_openvino()
    model = openvino.convert_model(source)
    model.set_rt_info(metadata.to_json(), list(METADATA_INFO))
    model.set_rt_info(head, list(HEAD_INFO))
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        draft = Path(folder) / target.name
        openvino.save_model(model, draft, compress_to_fp16=compress)
        for suffix in (".bin", ".xml"):  # the one that is named to the program comes last
            draft.with_suffix(suffix).replace(target.with_suffix(suffix))


def head_nodes(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes between the feature map and the other outputs."""
    producers = {output: node for node in model.graph.node for output in node.output}
    names, waiting = [], [output.name for output in model.graph.output if output.name != FEATURES]
    while waiting:
        tensor = waiting.pop()
        if tensor != FEATURES and tensor in producers:
            names.append(producers[tensor].name)
            waiting += producers[tensor].input
    return names


def fine_nodes(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes that read a map finer than ``COARSE``."""
    names, coarseness = [], {IMAGE: 1}
    for node in model.graph.node:  # each comes after those it reads from
        at = max((coarseness[tensor] for tensor in node.input if tensor in coarseness), default=0)
        if at < COARSE:
            names.append(node.name)
        steps = [step for one in node.attribute if one.name == "strides" for step in one.ints]
        coarseness |= dict.fromkeys(node.output, at * max(steps, default=1))
    return names


class _Calibration(CalibrationDataReader):  # type: ignore[misc]  # untyped
    """The samples one after another, prepared as for serving."""

    def __init__(self, samples: Sequence[Sample], pre: Preprocessing) -> None:
        self._inputs: Iterator[dict[str, NDArray[Any]]] = (
            {"image": prepare(sample_pixels(sample), pre)[0][None]} for sample in samples
        )

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next(self._inputs, None)
