"""The OpenVINO engine: ``.xml`` with its ``.bin``. OpenVINO is an extra; imported on request alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flawsight.errors import ModelError
from flawsight.imaging import sha256
from flawsight.inspection.engines import Float, Head, Outputs
from flawsight.metadata import ONNX_KEY, ModelMetadata

METADATA_INFO = (ONNX_KEY, "metadata")  # where in the model's runtime information
HEAD_INFO = (ONNX_KEY, "head")


class OpenVinoEngine:
    """An OpenVINO model written by ``python -m flawsight export``; it carries the same metadata as an ONNX.

    Raises:
        ModelError: OpenVINO is not installed, or the files are missing, damaged or foreign.
    """

    name = "openvino"

    def __init__(self, path: Path, threads: int = 0) -> None:
        openvino = import_openvino()
        try:
            self.sha256 = sha256(path.read_bytes() + path.with_suffix(".bin").read_bytes())
            core = openvino.Core()
            model = core.read_model(path)
            self.metadata = ModelMetadata.from_json(_info(model, METADATA_INFO), str(path))
            self.head = Head.from_text(_info(model, HEAD_INFO), len(self.metadata.classes))
            # Without the second, the plug-in may run in bfloat16 on its own account.
            config = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
            self._compiled = core.compile_model(model, "CPU", config)
        except OSError as error:
            raise ModelError(
                "The model %(path)s cannot be read (%(strerror)s). Both .xml and .bin are needed.",
                path=path,
                strerror=error.strerror,
            ) from error
        except (RuntimeError, ValueError) as error:
            raise ModelError(
                "%(path)s is no readable OpenVINO model (%(error)s). Export it again.", path=path, error=error
            ) from error

    def run(self, batch: Float) -> Outputs:
        answer = self._compiled.create_infer_request().infer({"image": batch})  # one each: threads may share
        if len(answer) < len(Outputs._fields):  # files of before
            return Outputs.of(answer["logits"], answer["features"], self.head)
        return Outputs(*(answer[name] for name in Outputs._fields))


def import_openvino() -> Any:
    """The library.

    Raises:
        ModelError: it is not installed.
    """
    try:
        import openvino
    except ImportError:
        raise ModelError(
            "An .xml model needs OpenVINO. Install it with `pip install openvino`, or use the .onnx model."
        ) from None
    return openvino


def _info(model: Any, path: tuple[str, str]) -> str:
    keys = list(path)
    return str(model.get_rt_info(keys).astype(str)) if model.has_rt_info(keys) else "{}"
