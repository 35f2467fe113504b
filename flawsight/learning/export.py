"""Model files: ``.pth`` for torch and its ``.onnx`` twin, with the same metadata block."""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from flawsight.atomic import replacing
from flawsight.inspection.engines import HEAD_KEY, Outputs
from flawsight.learning.backbones import CamNet, head_of
from flawsight.learning.narrow import without_silent
from flawsight.learning.slices import in_slices
from flawsight.metadata import ONNX_KEY, ModelMetadata

OPSET = 18


def save_torch(net: CamNet, metadata: ModelMetadata, path: Path) -> None:
    """Write weights and metadata; loads with ``torch.load(path, weights_only=True)``."""
    state = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    with replacing(path) as temporary:
        torch.save({"metadata": metadata.to_json(), "state_dict": state}, temporary)


def save_onnx(net: CamNet, metadata: ModelMetadata, path: Path) -> None:
    """Write the graph ``image (N, 3, H, W) -> logits (N, K), features (N, C, h, w), class_map (N, K, h, w)``.

    N, H and W are free; H and W must be multiples of 32. It carries its metadata, and beside it the head's
    weights, so that whoever has the file can tell how the features become the answer. Wide blocks are
    written as ``slices`` computes them, without the channels that ``narrow`` silenced.
    """
    side = 4 * metadata.preprocessing.multiple
    with replacing(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about its own internals
        torch.onnx.export(
            _Plain(in_slices(without_silent(net))).eval(),
            (torch.zeros(2, 3, side, side),),
            str(temporary),
            input_names=["image"],
            output_names=list(Outputs._fields),
            dynamic_axes={"image": {0: "n", 2: "height", 3: "width"}},
            opset_version=OPSET,
            dynamo=False,
        )
        model = onnx.load(str(temporary))
        head = head_of(net).to_text()
        onnx.helper.set_model_props(model, {ONNX_KEY: metadata.to_json(), HEAD_KEY: head})
        onnx.checker.check_model(model)
        onnx.save(model, str(temporary))


class _Plain(nn.Module):
    """The network without what only training needs."""

    def __init__(self, net: CamNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, features = self.net(image)
        return logits, features, self.net.class_map(features)
