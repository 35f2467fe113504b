"""The torch engine. The only module of this room that needs torch; imported on request alone."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from flawsight.errors import ModelError
from flawsight.imaging import sha256
from flawsight.inspection.engines import Float, Outputs
from flawsight.learning.backbones import build, head_in, head_of
from flawsight.metadata import ModelMetadata


class TorchEngine:
    """A ``.pth`` file, a dict with ``metadata`` (JSON text) and ``state_dict``, run by torch on the CPU."""

    name = "torch"

    def __init__(self, path: Path, data: bytes, threads: int = 0) -> None:
        self.sha256 = sha256(data)
        checkpoint = _unpack(path, data)
        self.metadata = ModelMetadata.from_json(checkpoint["metadata"], str(path))
        if threads:
            torch.set_num_threads(threads)
        state, meta = checkpoint["state_dict"], self.metadata
        network = build(meta.backbone, len(meta.classes), meta.stride, head_in(state))
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise ModelError(
                "The weights in %(path)s do not fit the network %(backbone)r (%(error)s). Train it "
                "again with `python training.py`.",
                path=path,
                backbone=self.metadata.backbone,
                error=error,
            ) from error
        self.network = network.eval()
        self.head = head_of(network)

    def run(self, batch: Float) -> Outputs:
        with torch.inference_mode():
            logits, features = self.network(torch.from_numpy(batch))
            return Outputs(logits.numpy(), features.numpy(), self.network.class_map(features).numpy())


def _unpack(path: Path, data: bytes) -> dict[str, Any]:
    try:
        checkpoint = torch.load(BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and runtime errors alike
        raise ModelError(
            "%(path)s is damaged or no model file (%(kind)s). Copy it again, or run `python training.py`.",
            path=path,
            kind=type(error).__name__,
        ) from error
    if not isinstance(checkpoint, dict) or not {"metadata", "state_dict"} <= checkpoint.keys():
        raise ModelError("%(path)s is not a Flawsight model. Use one written by training.py.", path=path)
    return checkpoint
