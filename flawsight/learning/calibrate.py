"""The decision, chosen on validation data alone: pooling, temperature, thresholds, box level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from flawsight.data.samples import Sample
from flawsight.data.whole import sample_pixels
from flawsight.inspection import explain
from flawsight.inspection.decide import answer, calibrated
from flawsight.inspection.engines import Engine, Float
from flawsight.inspection.operating import Costs, choose_thresholds
from flawsight.learning.localisation import as_tuple, iou, mask_boxes, truth_mask
from flawsight.learning.scores import defect_mass, expected_calibration_error
from flawsight.metadata import Decision, ModelMetadata
from flawsight.preprocessing import Placement, prepare

CELLS = (1, 2, 3, 5, 8, 12)
BOX_LEVELS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


@dataclass(frozen=True)
class Reading:
    """What the network says of one sample, before any decision."""

    sample: Sample
    logits: Float  # (K,)
    scores: Float  # (K, h, w), real cells only
    full_scores: Float  # (K, h', w'), padding included
    vector: Float  # (C,) mean-pooled features
    placement: Placement


def read_samples(engine: Engine, samples: Sequence[Sample]) -> list[Reading]:
    """Run the network over each whole sample once."""
    meta = engine.metadata
    readings = []
    for sample in samples:
        values, placement = prepare(sample_pixels(sample), meta.preprocessing)
        logits, features = (output[0] for output in engine.run(values[None]))
        scores = explain.class_map(features, engine.head)
        readings.append(
            Reading(
                sample,
                logits,
                explain.real_cells(scores, placement, meta.stride),
                scores,
                features.mean((1, 2)),
                placement,
            )
        )
    return readings


def calibrate(engine: Engine, samples: Sequence[Sample], costs: Costs) -> Decision:
    """Choose how cells become the answer and where to accept and reject.

    ``samples`` are those of the validation split that decide (see ``fit.real_samples``).
    """
    readings = read_samples(engine, samples)
    meta = engine.metadata
    labels = np.array([meta.classes.index(r.sample.class_id) for r in readings])
    decision = replace(meta.decision, temperature=1.0, defect_bias=0.0)
    if decision.pooling == "top_cells":
        losses = {n: _nll(answers(readings, meta, replace(decision, cells=n)), labels) for n in CELLS}
        decision = replace(decision, cells=min(losses, key=lambda n: losses[n]))
    bias = choose_defect_bias(answers(readings, meta, decision), labels, meta)
    decision = replace(decision, defect_bias=bias)
    decision = replace(decision, temperature=choose_temperature(answers(readings, meta, decision), labels))
    probabilities = answers(readings, meta, decision)
    truth = np.isin(np.array(meta.classes)[labels], meta.defects)
    accept, reject = choose_thresholds(defect_mass(probabilities, meta), truth, costs)
    decision = replace(decision, accept_below=accept, reject_from=reject)
    return replace(decision, box_level=choose_box_level(readings, meta, decision))


def answers(readings: Sequence[Reading], meta: ModelMetadata, decision: Decision) -> NDArray[np.float64]:
    """Probabilities (N, K) under ``decision``."""
    deciding = replace(meta, decision=decision)
    return np.stack([answer(r.logits, r.scores, deciding) for r in readings])


def choose_temperature(probabilities: NDArray[np.float64], labels: NDArray[np.integer]) -> float:
    """The temperature with the least negative log-likelihood, or 1 where it does not lower the ECE too.

    Guo et al., "On calibration of modern neural networks", ICML 2017.
    """
    logs = np.log(probabilities + 1e-7)

    def scaled(temperature: float) -> NDArray[np.float64]:
        powers = np.exp((logs - logs.max(1, keepdims=True)) / temperature)
        return np.asarray(powers / powers.sum(1, keepdims=True))

    found = minimize_scalar(lambda t: _nll(scaled(t), labels), bounds=(0.3, 5.0), method="bounded")
    best = float(found.x)
    before, after = (_ece(values, labels) for values in (probabilities, scaled(best)))
    return round(best, 3) if after < before else 1.0


def choose_defect_bias(
    probabilities: NDArray[np.float64], labels: NDArray[np.integer], meta: ModelMetadata
) -> float:
    """The bias of the defects with the least negative log-likelihood, or 0 where it raises the ECE."""
    logs = np.log(probabilities + 1e-7)

    def shifted(bias: float) -> NDArray[np.float64]:
        return calibrated(logs, replace(meta, decision=Decision(defect_bias=bias)))

    found = minimize_scalar(lambda b: _nll(shifted(b), labels), bounds=(-6.0, 6.0), method="bounded")
    best = round(float(found.x), 3)
    return best if _ece(shifted(best), labels) < _ece(probabilities, labels) else 0.0


def choose_box_level(readings: Sequence[Reading], meta: ModelMetadata, decision: Decision) -> float:
    """The level whose boxes agree best with the truth: mean IoU of the matched, less for false boxes."""
    gains: dict[float, list[float]] = {level: [] for level in BOX_LEVELS}
    for reading in readings:
        if reading.sample.class_id not in meta.defects:
            continue
        mask = truth_mask(reading.sample, reading.placement.original)
        if mask is None:
            continue
        truth = mask_boxes(mask)
        cells = explain.cell_probabilities(reading.full_scores)
        for level in BOX_LEVELS:
            found = explain.boxes_from_cells(
                cells,
                meta.classes,
                meta.defects,
                reading.placement,
                meta.stride,
                replace(decision, box_level=level),
            )
            hits = sum(max((iou(as_tuple(b), t) for b in found), default=0.0) for t in truth)
            gains[level].append(2 * hits / (len(truth) + len(found)))
    if not any(gains.values()):
        return decision.box_level
    return max(BOX_LEVELS, key=lambda level: float(np.mean(gains[level])))


def _nll(probabilities: NDArray[np.float64], labels: NDArray[np.integer]) -> float:
    return float(-np.log(probabilities[np.arange(len(labels)), labels] + 1e-7).mean())


def _ece(probabilities: NDArray[np.float64], labels: NDArray[np.integer]) -> float:
    return expected_calibration_error(probabilities.max(1), probabilities.argmax(1) == labels)
