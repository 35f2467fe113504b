"""One run of a study: trained, exported, measured on the exported model, and noted down once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import bootstrap
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from flawsight.atomic import write_text
from flawsight.data.samples import Sample
from flawsight.data.splits import Manifest
from flawsight.data.whole import sample_pixels
from flawsight.errors import FlawsightError
from flawsight.inspection.engines import Engine, load_engine
from flawsight.inspection.inspector import Inspector
from flawsight.inspection.operating import Costs
from flawsight.learning.backbones import build
from flawsight.learning.calibrate import answers, read_samples
from flawsight.learning.charts import read_history
from flawsight.learning.config import TrainConfig
from flawsight.learning.export import save_onnx, save_torch
from flawsight.learning.fit import fit
from flawsight.learning.scores import defect_mass
from flawsight.learning.train import decide_on_validation, trained_network
from flawsight.learning.unknown import known_statistics
from flawsight.metadata import ModelMetadata
from flawsight.preprocessing import prepare

FILE, MODEL = "trial.json", "model.onnx"
CURVES = ("train_accuracy", "val_accuracy", "train_loss", "val_loss")
WARM_UP, TIMED = 3, 20  # passes of the exported model
STEPS = 2  # timed training steps for each batch size, after one that warms up


def run_trial(config: TrainConfig, costs: Costs, manifest: Manifest) -> dict[str, Any]:
    """What the run measured; a run that was noted down is not run again, one cut off goes on.

    Raises:
        FlawsightError: the folder holds a run with other settings.
    """
    file = config.run_folder / FILE
    settings = json.loads(json.dumps({**config.to_dict(), "manifest_sha256": manifest.sha256}))
    if file.is_file():
        noted: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if noted["settings"] != settings:
            raise FlawsightError(
                f"{file.parent} holds a run with other settings or data. Choose another name, or delete it."
            )
        return noted
    result = fit(replace(config, resume=True), manifest)
    net = trained_network(result, config)
    model = config.run_folder / MODEL
    metadata = decide_on_validation(net, result, config, costs, model)
    statistics = known_statistics(Inspector(load_engine(model)), *map(manifest.split, ("train", "val")))
    metadata = replace(metadata, feature_stats=statistics)
    save_onnx(net, metadata, model)
    save_torch(net, metadata, model.with_suffix(".pth"))
    engine = load_engine(model)
    measured, answered = measure(engine, manifest.split("test"))
    noted = {
        "settings": settings,
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "run": {
            "name": config.run_folder.name,
            "seed": config.seed,
            "fold": config.fold if config.folds else None,
            "model": f"{config.run_folder.name}/{MODEL}",
            "batch_size": config.batch_size,
            **course(read_history(result.history)),
            **measured,
        },
        "answers": answered,
    }
    write_text(file, json.dumps(noted))
    return noted


def course(history: Mapping[str, Sequence[tuple[int, float]]]) -> dict[str, Any]:
    """How the training went, and where it was best by validation."""
    scores = dict(history.get("val_score", ()))
    best = max(scores, key=lambda epoch: scores[epoch], default=0)
    seconds = [value for _, value in history.get("epoch_seconds", ())]
    at_best = {name: dict(history.get(name, ())).get(best) for name in CURVES}
    return {
        "epochs": max(scores, default=0),
        "best_epoch": best,
        "val_score": scores.get(best),
        "seconds_per_epoch": round(float(np.median(seconds)), 2) if seconds else None,
        **{name: None if value is None else round(value, 4) for name, value in at_best.items()},
        "history": {name: [[e, round(v, 4)] for e, v in history.get(name, ())] for name in CURVES},
    }


def measure(engine: Engine, tested: Sequence[Sample]) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """The figures of the test split with the milliseconds of one picture, and each single answer."""
    meta = engine.metadata
    probabilities = answers(read_samples(engine, tested), meta, meta.decision)
    labels = np.array([meta.classes.index(sample.class_id) for sample in tested], np.int64)
    groups = [sample.group for sample in tested]
    measured = {
        "test": figures(probabilities, labels, groups, meta),
        "inference_ms": inference_ms(engine, tested[0]),
    }
    answered = {
        "group": groups,
        "right": (probabilities.argmax(1) == labels).tolist(),
        "mass": np.round(defect_mass(probabilities, meta), 5).tolist(),
        "defective": [sample.class_id in meta.defects for sample in tested],
    }
    return measured, answered


def figures(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    groups: Sequence[str],
    meta: ModelMetadata,
) -> dict[str, Any]:
    """Accuracy with its interval over groups, averages, each class and the confusion matrix."""
    predicted = probabilities.argmax(1)
    present = np.unique(labels)
    low, high = accuracy_interval(predicted == labels, groups)
    by_class = precision_recall_fscore_support(labels, predicted, labels=present, zero_division=0)
    shown = np.unique(np.concatenate([labels, predicted]))
    recall = [float((predicted[labels == k] == k).mean()) for k in present]
    return {
        "n": len(labels),
        "accuracy": {"value": round(float((predicted == labels).mean()), 4), "low": low, "high": high},
        "balanced_accuracy": round(float(np.mean(recall)), 4),
        **{way: _averages(labels, predicted, present, way) for way in ("macro", "weighted")},
        "classes": {
            meta.classes[k]: {
                "precision": round(float(precision), 4),
                "recall": round(float(sensitivity), 4),
                "f1": round(float(f1), 4),
                "support": int(support),
            }
            for k, precision, sensitivity, f1, support in zip(present, *by_class, strict=True)
        },
        "confusion": {
            "classes": [meta.classes[k] for k in shown],
            "matrix": confusion_matrix(labels, predicted, labels=shown).tolist(),
        },
    }


def accuracy_interval(right: NDArray[np.bool_], groups: Sequence[str]) -> tuple[float | None, float | None]:
    """95 % interval of the accuracy, groups drawn with replacement; nothing with fewer than two."""
    names, where = np.unique(np.array(groups), return_inverse=True)
    if len(names) < 2:
        return None, None
    hits, sizes = np.bincount(where, right), np.bincount(where)
    drawn = bootstrap(
        (hits, sizes),
        lambda h, n, axis=-1: h.sum(axis) / n.sum(axis),
        paired=True,
        vectorized=True,
        n_resamples=2000,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return round(float(drawn.low), 4), round(float(drawn.high), 4)


def inference_ms(engine: Engine, sample: Sample) -> dict[str, float]:
    """Milliseconds of the network alone for one prepared picture."""
    batch = prepare(sample_pixels(sample), engine.metadata.preprocessing)[0][None]
    times = []
    for _ in range(WARM_UP + TIMED):
        start = perf_counter()
        engine.run(batch)
        times.append((perf_counter() - start) * 1000)
    kept = times[WARM_UP:]
    return {
        "median": round(float(np.median(kept)), 2),
        "p95": round(float(np.quantile(kept, 0.95)), 2),
        "runs": TIMED,
    }


def epoch_seconds(
    config: TrainConfig, classes: int, pictures: int, batch_sizes: Iterable[int]
) -> list[dict[str, float]]:
    """What an epoch over ``pictures`` would take by batch size, from a few steps on noise."""
    net = build(config.backbone, classes, config.stride, config.head).train()
    found = []
    for size in batch_sizes:
        batch = torch.randn(size, 3, config.image_size, config.image_size)
        times = []
        for _ in range(1 + STEPS):
            start = perf_counter()
            net(batch)[0].sum().backward()
            times.append(perf_counter() - start)
        step = float(np.mean(times[1:]))
        found.append({"batch_size": size, "seconds": round(step * pictures / size, 2)})
    return found


def _averages(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], present: NDArray[np.int64], way: str
) -> dict[str, float]:
    values = precision_recall_fscore_support(labels, predicted, labels=present, average=way, zero_division=0)[
        :3
    ]
    return {name: round(float(v), 4) for name, v in zip(("precision", "recall", "f1"), values, strict=True)}
