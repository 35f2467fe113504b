"""Model files, their results and comparisons, for tests of several models."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tiny_parts import tiny_onnx

from flawsight.inspection.engines import HEAD_KEY
from flawsight.inspection.tiny import HEAD, METADATA
from flawsight.metadata import ONNX_KEY, ModelMetadata


def model_bytes(metadata: ModelMetadata = METADATA) -> bytes:
    """The tiny engine as an ONNX file that describes itself as ``metadata``."""
    return tiny_onnx({ONNX_KEY: metadata.to_json(), HEAD_KEY: HEAD.to_text()})


def lenient(name: str = "lenient", **fields: Any) -> ModelMetadata:
    """The same network under another name; accepts nearly everything."""
    decision = replace(METADATA.decision, accept_below=0.9999999, reject_from=0.9999999)
    return replace(METADATA, name=name, decision=decision, **fields)


def results_of(metadata: ModelMetadata = METADATA) -> dict[str, Any]:
    """A results file whose scores separate 40 good from 20 defective parts, but for one on each side."""
    rng = np.random.default_rng(1)
    mass = [*rng.uniform(0.0, 0.25, 39).tolist(), 0.8, *rng.uniform(0.75, 1.0, 19).tolist(), 0.1]
    return {
        "schema": "flawsight.results/1",
        "classes": list(metadata.classes),
        "test": {
            "overall": {"n": 60, "escape_rate": {"value": 0.05, "interval": [0.001, 0.249]}},
            "classes": {
                "MT_Crack": {
                    "precision": 1.0, "recall": 0.95, "recall_interval": [0.75, 1], "f1": 0.97, "support": 20
                }
            },
            "confusion": {"classes": ["MT_Free", "MT_Crack"], "matrix": [[39, 1], [1, 19]]},
            "curves": {
                "mass": [round(value, 4) for value in mass],
                "truth": [0] * 40 + [1] * 20,
                "confidence": [round(max(value, 1 - value), 4) for value in mass],
                "right": [1] * 39 + [0] + [1] * 19 + [0],
                "dataset": ["Magnetic Tile"] * 30 + ["Other"] * 30,
            },
        },
    }  # fmt: skip


def furnish(folder: Path) -> None:
    """A shipped model with results, a lenient model beside it."""
    (folder / "model.onnx").write_bytes(model_bytes())
    (folder / "results_unified.json").write_text(json.dumps(results_of()))
    (folder / "models").mkdir()
    (folder / "models" / "lenient.onnx").write_bytes(model_bytes(lenient()))


def write_study(folder: Path) -> dict[str, Any]:
    """A comparison of two networks, written as docs/lab.md says."""
    (folder / "runs" / "tiles" / "a-0").mkdir(parents=True)
    (folder / "runs" / "tiles" / "a-0" / "model.onnx").write_bytes(model_bytes())

    def entry(label: str, accuracy: float) -> dict[str, Any]:
        return {
            "label": label, "baseline": label == "a", "backbone": label, "parameters": 5_300_000,
            "summary": {"accuracy": {"mean": accuracy, "sd": 0.02, "n": 3}, "inference_ms": {"mean": 21.0}},
            "runs": [{
                "name": f"{label}-0", "model": f"{label}-0/model.onnx", "best": True,
                "test": {
                    "n": 30, "accuracy": {"value": accuracy, "low": 0.7, "high": 0.98},
                    "macro": {"precision": 0.9, "recall": 0.91, "f1": 0.9},
                    "classes": {"MT_Crack": {"precision": 0.9, "recall": accuracy, "f1": 0.9, "support": 15}},
                    "confusion": {"classes": ["MT_Free", "MT_Crack"], "matrix": [[14, 1], [2, 13]]}},
                "history": {"val_accuracy": [[1, 0.4], [2, accuracy]], "train_loss": [[1, 1.5], [2, None]]},
            }],
        }  # fmt: skip

    content = {
        "schema": "flawsight.comparison/1", "kind": "compare", "name": "tiles", "title": "Tiles: 2 backbones",
        "created": "2026-01-31T12:00:00+00:00", "complete": True, "factor": "backbone", "repeats": 3,
        "classes": ["MT_Free", "MT_Crack"], "data": {"train": 240, "val": 60, "test": 100},
        "entries": [entry("a", 0.9), entry("b", 0.85)],
        "tests": [{"sentence": "a is better than b by 5.0 points (p = 0.04).", "method": "paired"}],
        "charts": ["../../secret.png"],
    }  # fmt: skip
    (folder / "runs" / "tiles" / "comparison.json").write_text(json.dumps(content))
    return content
