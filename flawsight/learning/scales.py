"""The same weights read the same parts in other ways: larger, squeezed to a square, coarser, or mirrored.

Shows what native scale and fine cells are worth, how far to enlarge small pictures, and what test-time flips
would add. The thresholds were chosen for one way, so figures that they touch are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from flawsight.data.samples import Sample
from flawsight.data.whole import sample_pixels
from flawsight.inspection.engines import Engine, Float, Head, Outputs, load_engine
from flawsight.inspection.inspector import Inspector
from flawsight.inspection.torch_engine import TorchEngine
from flawsight.learning.backbones import build
from flawsight.learning.evaluate import figures, inspect_samples
from flawsight.learning.export import save_onnx
from flawsight.metadata import ModelMetadata, Preprocessing

SQUARES = (224, 320, 448)  # pixels
ENLARGED = (96, 192, 256, 320)  # pixels of the shorter side that small pictures are enlarged to
_TIMED = 24  # samples whose forward pass is timed


def compare_scales(model: TorchEngine, samples: Sequence[Sample], folder: Path) -> list[dict[str, Any]]:
    """One row for each way of reading ``samples``; the engines are written into ``folder``."""
    return [{"way": way, **_row(engine, samples)} for way, engine in _engines(model, folder)]


def _engines(model: TorchEngine, folder: Path) -> Iterator[tuple[str, Engine]]:
    meta = replace(model.metadata, feature_stats={})
    own = meta.preprocessing.min_side
    for stride in (16, 32):
        net = build(meta.backbone, len(meta.classes), stride)
        net.load_state_dict(model.network.state_dict())
        path = folder / f"stride{stride}.onnx"
        save_onnx(net.eval(), replace(meta, stride=stride), path)
        engine = load_engine(path)
        yield _native(own, stride), engine
        if stride != meta.stride:
            continue
        yield f"{_native(own, stride)}, flips averaged", OtherWay(engine, engine.metadata, flips=True)
        sides = [side for side in ENLARGED if side != own]
        ways = {_native(side, stride): replace(meta.preprocessing, min_side=side) for side in sides}
        ways |= {f"{side} × {side}, stride {stride}": Preprocessing(fixed_size=side) for side in SQUARES}
        for way, preprocessing in ways.items():
            yield way, OtherWay(engine, replace(engine.metadata, preprocessing=preprocessing))


def _native(min_side: int, stride: int) -> str:
    return f"native scale, at least {min_side} px, stride {stride}"


@dataclass(frozen=True)
class OtherWay:
    """An engine that reads pictures as ``metadata`` says, with ``flips`` the mean of all mirror images."""

    engine: Engine
    metadata: ModelMetadata
    flips: bool = False

    @property
    def name(self) -> str:
        return self.engine.name

    @property
    def head(self) -> Head:
        return self.engine.head

    @property
    def sha256(self) -> str:
        return self.engine.sha256

    def run(self, batch: Float) -> Outputs:
        """See ``Engine.run``; with flips it takes four times as long."""
        if not self.flips:
            return self.engine.run(batch)
        answers = []
        for axes in ((), (2,), (3,), (2, 3)):
            logits, *maps = self.engine.run(np.ascontiguousarray(np.flip(batch, axes)))
            answers.append((logits, *(np.flip(values, axes) for values in maps)))
        return Outputs(*(np.stack(values).mean(axis=0) for values in zip(*answers, strict=True)))


def _row(engine: Engine, samples: Sequence[Sample]) -> dict[str, Any]:
    inspector = Inspector(engine)
    measured = figures(inspect_samples(inspector, samples), engine.metadata)
    pictures = [sample_pixels(sample) for sample in samples[:: max(1, len(samples) // _TIMED)]]
    inspector.inspect(pictures[0], name="warm")
    forward = [inspector.inspect(picture, name="timed").timing_ms["forward"] for picture in pictures]
    return {
        "datasets": {
            name: {
                "average_precision": found.get("average_precision"),
                "pointing_game": found["localisation"].get("pointing_game"),
                "max_box_acc_v2": found["localisation"].get("max_box_acc_v2"),
            }
            for name, found in measured["datasets"].items()
        },
        "forward_ms": round(float(np.median(forward)), 1),
    }
