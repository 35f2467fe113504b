"""The torch engine. The only module of this room that needs torch; imported on request alone."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch

from flawsight.errors import ModelError
from flawsight.imaging import sha256
from flawsight.inspection.engines import Float, Head
from flawsight.learning.backbones import build
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
        network = build(self.metadata.backbone, len(self.metadata.classes), self.metadata.stride)
        try:
            network.load_state_dict(checkpoint["state_dict"])
        except RuntimeError as error:
            raise ModelError(
                f"The weights in {path} do not fit the network {self.metadata.backbone!r} ({error}). "
                "Train it again with `python training.py`."
            ) from error
        self.network = network.eval()
        state = checkpoint["state_dict"]
        self.head = Head(_numbers(state["head.weight"]), _numbers(state["head.bias"]))

    def run(self, batch: Float) -> tuple[Float, Float]:
        with torch.inference_mode():
            logits, features = self.network(torch.from_numpy(batch))
        return logits.numpy(), features.numpy()


def _unpack(path: Path, data: bytes) -> dict[str, Any]:
    try:
        checkpoint = torch.load(BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and runtime errors alike
        raise ModelError(
            f"{path} is damaged or no model file ({type(error).__name__}). "
            "Copy it again, or run `python training.py`."
        ) from error
    if not isinstance(checkpoint, dict) or not {"metadata", "state_dict"} <= checkpoint.keys():
        raise ModelError(f"{path} is not a Flawsight model. Use one written by training.py.")
    return checkpoint


def _numbers(tensor: torch.Tensor) -> Float:
    return np.asarray(tensor.detach().float().numpy())
