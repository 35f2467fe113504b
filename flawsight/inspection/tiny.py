"""A toy engine without a model file: finds dark marks on plain surfaces.

It is a real, deterministic network of three fixed steps, small enough to read, for tests and for
trying the program out. It answers ``MT_Crack`` for thin or small dark marks, ``MT_Blowhole`` for
wide ones and ``MT_Free`` otherwise. It knows nothing else and is no substitute for a trained model.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from flawsight.imaging import sha256
from flawsight.inspection.engines import Float, Head, Outputs
from flawsight.metadata import Decision, ModelMetadata

STRIDE = 16
BLURS = (3, 15)  # pixels; a thin mark fades under the wide one, a wide mark does not

METADATA = ModelMetadata(
    name="tiny",
    version="1",
    backbone="tiny",
    classes=("MT_Free", "MT_Crack", "MT_Blowhole"),
    defects=("MT_Crack", "MT_Blowhole"),
    stride=STRIDE,
    decision=Decision(cells=1, accept_below=0.3, reject_from=0.7),
)
HEAD = Head(
    weight=np.array([[0, 0], [3, -3], [0, 3]], np.float32),  # columns: thin darkness, wide darkness
    bias=np.array([4, -3, -3], np.float32),
)


@dataclass(frozen=True)
class TinyEngine:
    """Darkness under two box blurs, greatest in each 16 x 16 cell, then a linear head set by hand."""

    metadata: ModelMetadata = METADATA
    head: Head = HEAD
    name: str = "tiny"
    sha256: str = field(default_factory=lambda: sha256(METADATA.to_json().encode()))

    def run(self, batch: Float) -> Outputs:
        features = np.stack([_features(image) for image in batch])  # (N, 2, H/16, W/16)
        logits = features.mean(axis=(2, 3)) @ self.head.weight.T + self.head.bias
        return Outputs.of(logits, features, self.head)


def _features(image: Float) -> Float:
    grey = image.mean(axis=0)
    return np.stack([_cell_maximum(_darkness(grey, size)) for size in BLURS])


def _darkness(grey: Float, size: int) -> Float:
    blurred = cv2.blur(grey, (size, size), borderType=cv2.BORDER_CONSTANT)
    return np.maximum(-np.asarray(blurred, np.float32), 0)


def _cell_maximum(values: Float) -> Float:
    height, width = values.shape
    cells = values.reshape(height // STRIDE, STRIDE, width // STRIDE, STRIDE)
    maximum: Float = cells.max(axis=(1, 3))
    return maximum
