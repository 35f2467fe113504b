"""The whole of ``training.py``: fit, decide, export, measure, draw. Leaves files whole or not at all."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import flawsight
from flawsight.atomic import write_text
from flawsight.data.samples import Sample
from flawsight.data.splits import Manifest, counts, describe_split
from flawsight.inspection.engines import Engine, load_engine
from flawsight.inspection.inspector import Inspector
from flawsight.inspection.operating import Costs
from flawsight.learning import charts
from flawsight.learning.backbones import CamNet, build
from flawsight.learning.boards import board_figures
from flawsight.learning.calibrate import calibrate
from flawsight.learning.config import TrainConfig
from flawsight.learning.evaluate import Answers, figures, inspect_samples
from flawsight.learning.export import save_onnx, save_torch
from flawsight.learning.fit import FitResult, fit, real_samples
from flawsight.learning.narrow import pictures_of_each, prune
from flawsight.learning.presets import DEFAULT
from flawsight.learning.reference import validation_reference
from flawsight.learning.templates import choose_rule, template_figures
from flawsight.learning.unknown import known_statistics, measure_unknown
from flawsight.metadata import ModelMetadata

log = logging.getLogger(__name__)

RESULTS = "results_unified.json"  # of the default preset
_VERSIONED = ("torch", "lightning", "efficientnet-pytorch", "timm", "onnx", "onnxruntime", "numpy")
_SHOWN = 8  # rows of the picture grid


Track = Callable[[Sequence[Sample]], Iterable[Sample]]  # shows progress over what it passes on


def train(config: TrainConfig, costs: Costs | None = None, track: Track = iter) -> Path:
    """Train and leave everything that ``training.py`` promises under ``config.out``.

    Returns:
        The ONNX model.
    """
    result = fit(config)
    return finish(result, config, costs or Costs(), track)


def finish(result: FitResult, config: TrainConfig, costs: Costs, track: Track = iter) -> Path:
    """From the best weights to model files, results and charts."""
    draft = config.run_folder / "draft.onnx"
    net = trained_network(result, config)
    metadata = decide_on_validation(net, result, config, costs, draft)
    log.info("Learning what known parts look like ...")
    splits = result.manifest.split
    statistics = known_statistics(Inspector(load_engine(draft)), splits("train"), splits("val"))
    metadata = replace(metadata, feature_stats=statistics)

    save_onnx(net, metadata, draft)
    engine = load_engine(draft)
    log.info("Noting how validation parts look, so that a drift in use can be told ...")
    reference = validation_reference(Inspector(engine), track(real_samples(splits("val"))))
    test = result.manifest.split("test")
    log.info("Measuring on the %d samples of the test split ...", len(test))
    answers = inspect_samples(Inspector(engine), track(test))
    measured = measure(Inspector(engine), answers, test)
    metadata = replace(metadata, reference=reference, metrics=headline(measured))

    target = left_files(config)
    save_torch(net, metadata, target.model.with_suffix(".pth"))
    save_onnx(net, metadata, target.model)
    draft.unlink()
    _leave_results(result, config, metadata, measured)
    _leave_charts(result, config, engine, measured, costs)
    return target.model


@dataclass(frozen=True)
class LeftFiles:
    """Where a run leaves what is asked for."""

    model: Path  # ONNX; the .pth lies beside it
    results: Path
    explanations: Path
    charts: Path


def left_files(config: TrainConfig) -> LeftFiles:
    """The files of the preset; charts of another than the default stay in the run's folder."""
    name = Path(config.preset).stem
    return LeftFiles(
        config.out / f"best_model_{name}.onnx",
        config.out / f"results_{name}.json",
        config.out / f"gradcam_visualization_{name}.png",
        (config.out if name == DEFAULT else config.run_folder) / "charts",
    )


def trained_network(result: FitResult, config: TrainConfig) -> CamNet:
    """The network with the weights that ``fit`` found."""
    net = build(config.backbone, len(result.metadata.classes), config.stride, config.head)
    net.load_state_dict(result.net_state)
    if config.prune:
        log.info("Doing without the channels that matter least ...")
        metadata, train = result.metadata, result.manifest.split("train")
        pictures = pictures_of_each(train, metadata.preprocessing, config.seed)
        prune(net, pictures, config.prune, config.seed)
    return net.eval()


def decide_on_validation(
    net: CamNet, result: FitResult, config: TrainConfig, costs: Costs, draft: Path
) -> ModelMetadata:
    """The metadata with all that is known before the test split, and an ONNX file at ``draft``."""
    metadata = replace(
        result.metadata,
        version=datetime.now(UTC).strftime("%Y.%m.%d"),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        dataset=describe_split(result.manifest),
        versions=_versions(),
    )
    save_onnx(net, metadata, draft)
    log.info("Choosing thresholds on the validation split ...")
    validation, training = (real_samples(result.manifest.split(name)) for name in ("val", "train"))
    engine = load_engine(draft)
    decision = calibrate(engine, validation, costs, training)
    decision = replace(decision, template=choose_rule(engine, validation))
    if config.decide == "threshold":
        decision = replace(decision, accept_below=config.threshold, reject_from=config.threshold)
    elif config.decide == "identify":
        decision = replace(decision, sure_from=config.threshold)
    return replace(metadata, decision=decision)


def measure(
    inspector: Inspector,
    answers: Answers,
    samples: Sequence[Sample],
    foreign: Mapping[str, Iterable[NDArray[np.uint8]]] | None = None,
) -> dict[str, Any]:
    """Every figure: of the samples, of whole boards, and of pictures that are no known part."""
    distances = [item.distance for item in answers.items if item.distance is not None]
    return {
        **figures(answers, inspector.metadata),
        "boards": board_figures(inspector, real_samples(list(samples))),
        "templates": template_figures(inspector, real_samples(list(samples))),
        "unknown": measure_unknown(inspector, distances, foreign),
    }


def headline(measured: dict[str, Any]) -> dict[str, Any]:
    """The figures that travel in the model file and stand in each report: real test parts only."""
    overall = measured["overall"]
    return {
        "accuracy": _value(overall["accuracy"]),
        "balanced_accuracy": _value(overall["balanced_accuracy"]),
        **_decisions(overall),
        "ece": overall["ece"]["value"],
        "datasets": {
            name: {
                **{
                    key: _value(value[key])
                    for key in ("accuracy", "balanced_accuracy", "average_precision")
                    if key in value
                },
                **_decisions(value),
            }
            for name, value in measured["datasets"].items()
        },
        **({"templates": _decisions(held["regions"])} if (held := measured["templates"]) else {}),
    }


def _decisions(measured: dict[str, Any]) -> dict[str, Any]:
    """What a report says of the decisions on the parts of one kind, or of all."""
    return {
        "recall": _complement(measured["escape_rate"]),
        "overkill": _value(measured["overkill_rate"]),
        "review": _value(measured["review_share"]),
        "tested": measured["n"],
    }


def _leave_results(
    result: FitResult, config: TrainConfig, metadata: ModelMetadata, measured: dict[str, Any]
) -> None:
    content = {
        "schema": "flawsight.results/1",
        "model": {"name": metadata.name, "version": metadata.version, "backbone": metadata.backbone},
        "classes": list(metadata.classes),
        "created": metadata.created,
        "config": json.loads((config.run_folder / "config.json").read_text()),
        "manifest_sha256": metadata.manifest_sha256,
        "dataset": metadata.dataset,
        "decision": asdict(metadata.decision),
        "versions": metadata.versions,
        "test": measured,
    }
    write_text(left_files(config).results, json.dumps(content, indent=1) + "\n")
    result.manifest.save(config.run_folder / "manifest.json")


def _leave_charts(
    result: FitResult, config: TrainConfig, engine: Engine, measured: dict[str, Any], costs: Costs
) -> None:
    target, metadata = left_files(config), engine.metadata
    folder = target.charts
    charts.draw_history(charts.read_history(result.history), folder)
    charts.draw_class_distribution(counts(result.manifest), folder)
    charts.draw_confusion(measured["confusion"], folder)
    charts.draw_per_dataset(measured["datasets"], folder)
    curves = measured["curves"]
    if metadata.defects:
        charts.draw_decisions(curves, metadata.decision, costs, folder)
    else:
        confidence, right = np.array(curves["confidence"]), np.array(curves["right"], bool)
        charts.draw_reliability(confidence, right, folder / "reliability.png")
    charts.draw_explanations(Inspector(engine), showcase(result.manifest), target.explanations)


def showcase(manifest: Manifest) -> Sequence[Sample]:
    """A test sample of each of a few classes, real ones first, defects before good parts.

    The first of each class by name: chosen without looking at the answers.
    """
    test = sorted(
        real_samples(manifest.split("test")), key=lambda s: (s.mask is None and not s.boxes, str(s.path))
    )
    first: dict[str, Sample] = {}
    for sample in test:
        first.setdefault(sample.class_id, sample)
    return list(first.values())[:_SHOWN]


def _versions() -> dict[str, str]:
    found = {"flawsight": flawsight.__version__, "python": platform.python_version()}
    return found | {name: importlib.metadata.version(name) for name in _VERSIONED}


def _value(rate: dict[str, Any]) -> dict[str, Any]:
    low, high = rate["interval"] or (None, None)
    return {"value": rate["value"], "low": low, "high": high}


def _complement(rate: dict[str, Any]) -> dict[str, Any]:
    if rate["value"] is None:
        return {"value": None, "low": None, "high": None}
    low, high = rate["interval"]
    return {"value": round(1 - rate["value"], 4), "low": round(1 - high, 4), "high": round(1 - low, 4)}
