"""The decision, chosen on validation data alone: pooling, temperature, thresholds, box level."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from flawsight.data.samples import Sample
from flawsight.data.whole import sample_pixels
from flawsight.inspection import explain
from flawsight.inspection.decide import answer, calibrated
from flawsight.inspection.engines import Engine, Float
from flawsight.inspection.familiarity import summaries
from flawsight.inspection.operating import Costs, choose_thresholds
from flawsight.learning.boards import whole_boards
from flawsight.learning.localisation import as_tuple, iou, mask_boxes, truth_mask
from flawsight.learning.scores import (
    defect_mass,
    expected_calibration_error,
    negative_log_likelihood,
    score_by_dataset,
    validation_score,
)
from flawsight.metadata import Decision, ModelMetadata
from flawsight.preprocessing import Placement, prepare
from flawsight.taxonomy import describe

Gains = NDArray[np.float64]  # (outlines, box levels, box scores)

CELLS = (1, 2, 3, 4, 5, 8, 12)
BOX_LEVELS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
OUTLINES = (0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93)
HARDLY = 0.01  # of the validation score: a handful of tiles moves it as far
BOXED_GOOD = 0.03  # most good parts that may show a box
BOX_SCORES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)


@dataclass(frozen=True)
class Reading:
    """What the network says of one sample, before any decision."""

    sample: Sample
    logits: Float  # (K,)
    scores: Float  # (K, h, w), real cells only
    full_scores: Float  # (K, h', w'), padding included
    summaries: Float  # (1 or 2, C) of the features, see ``familiarity.summaries``
    placement: Placement


def read_samples(engine: Engine, samples: Sequence[Sample]) -> list[Reading]:
    """Run the network over each whole sample once."""
    meta = engine.metadata
    readings = []
    for sample in samples:
        values, placement = prepare(sample_pixels(sample), meta.preprocessing)
        said = engine.run(values[None]).first
        readings.append(
            Reading(
                sample,
                said.logits,
                explain.real_cells(said.class_map, placement, meta.stride),
                said.class_map,
                summaries(said.features),
                placement,
            )
        )
    return readings


def calibrate(
    engine: Engine, samples: Sequence[Sample], costs: Costs, learned: Sequence[Sample] = ()
) -> Decision:
    """Choose how cells become the answer and where to accept and reject.

    ``samples`` are those of the validation split that decide (see ``fit.real_samples``); the good ones
    among ``learned``, of the training split, only say which box settings spare good parts.
    """
    readings = read_samples(engine, samples)
    meta = engine.metadata
    labels = np.array([meta.classes.index(r.sample.class_id) for r in readings])
    decision = replace(meta.decision, temperature=1.0, defect_bias=0.0)
    if decision.pooling == "top_cells":
        decision = choose_cells(readings, labels, meta, decision)
    decision = _calibrated(readings, labels, meta, decision)
    probabilities = answers(readings, meta, decision)
    truth = meta.is_defect[labels]
    accept, reject = choose_thresholds(defect_mass(probabilities, meta), truth, costs)
    decision = replace(decision, accept_below=accept, reject_from=reject)
    good = read_samples(engine, [s for s in learned if s.class_id not in meta.defects])
    return choose_boxes([*readings, *read_samples(engine, whole_boards(samples))], meta, decision, good)


def choose_cells(
    readings: Sequence[Reading], labels: NDArray[np.integer], meta: ModelMetadata, decision: Decision
) -> Decision:
    """``decision`` with a number of cells that tells the classes about best in every family.

    The likelihood would choose otherwise: it likes many cells, which outvote a flaw of two or three and are
    all the more careful for it. How sure an answer is, is calibrated afterwards; a missed flaw stays missed.
    Of the numbers that come near the best one the middle is taken: the fewest may be one cell alone, which
    any speck decides, and the most are near to outvoting small flaws.
    """
    datasets = [reading.sample.dataset for reading in readings]

    def skill(trial: Decision) -> float:
        probabilities = answers(readings, meta, trial)
        return validation_score(score_by_dataset(probabilities, labels, datasets, meta))

    trials = [replace(decision, cells=n) for n in CELLS]
    skills = [skill(trial) for trial in trials]
    near = [trial for trial, it in zip(trials, skills, strict=True) if it >= max(skills) - HARDLY]
    return near[(len(near) - 1) // 2]


def _calibrated(
    readings: Sequence[Reading], labels: NDArray[np.integer], meta: ModelMetadata, decision: Decision
) -> Decision:
    bias = choose_defect_bias(answers(readings, meta, decision), labels, meta)
    decision = replace(decision, defect_bias=bias)
    return replace(decision, temperature=choose_temperature(answers(readings, meta, decision), labels))


def answers(readings: Sequence[Reading], meta: ModelMetadata, decision: Decision) -> NDArray[np.float64]:
    """Probabilities (N, K) under ``decision``."""
    deciding = replace(meta, decision=decision)
    return np.stack([answer(r.logits, explain.cell_probabilities(r.scores), deciding) for r in readings])


def choose_temperature(probabilities: NDArray[np.float64], labels: NDArray[np.integer]) -> float:
    """The temperature with the least negative log-likelihood, or 1 where it does not lower the ECE too.

    Guo et al., "On calibration of modern neural networks", ICML 2017.
    """
    logs = np.log(probabilities + 1e-7)

    def scaled(temperature: float) -> NDArray[np.float64]:
        powers = np.exp((logs - logs.max(1, keepdims=True)) / temperature)
        return np.asarray(powers / powers.sum(1, keepdims=True))

    found = minimize_scalar(
        lambda t: negative_log_likelihood(scaled(t), labels), bounds=(0.3, 5.0), method="bounded"
    )
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

    found = minimize_scalar(
        lambda b: negative_log_likelihood(shifted(b), labels), bounds=(-6.0, 6.0), method="bounded"
    )
    best = round(float(found.x), 3)
    return best if _ece(shifted(best), labels) < _ece(probabilities, labels) else 0.0


def choose_boxes(
    readings: Sequence[Reading], meta: ModelMetadata, decision: Decision, spared: Sequence[Reading] = ()
) -> Decision:
    """``decision`` with the box settings that agree best with the truth.

    A defective part gains the mean IoU of its best boxes, less for boxes too many; a good one gains 1 if it
    shows none. Every family weighs the same, and in it good parts, defective ones and whole boards.
    Outline and least score are chosen for each family by itself, from those that spare nearly all good parts
    (``BOXED_GOOD``), or as many as can be: whoever sees boxes on good parts soon looks at none. They must
    spare the good parts ``spared`` as well, of which there are more than validation has.
    """
    kinds: dict[str, dict[str, list[Gains]]] = defaultdict(lambda: defaultdict(list))
    for reading, value in zip(spared, _masses(spared, meta, decision), strict=True):
        shown = value >= decision.accept_below
        kinds[reading.sample.dataset]["spared"].append(_gains(reading, [], meta, decision, shown))
    for reading, value in zip(readings, _masses(readings, meta, decision), strict=True):
        sample = reading.sample
        whole = sample.region is None and len(sample.boxes) > 1
        kind = "whole" if whole else "defective" if sample.class_id in meta.defects else "good"
        mask = truth_mask(sample, reading.placement.original) if kind != "good" else None
        if kind != "good" and mask is None:
            continue
        truth = [] if mask is None else mask_boxes(mask)
        shown = value >= decision.accept_below  # an accepted part shows no boxes
        kinds[sample.dataset][kind].append(_gains(reading, truth, meta, decision, shown))
    gains = {
        name: _family_gains(of_family)
        for name, of_family in kinds.items()
        if not set(of_family) <= {"good", "spared"}
    }
    if not gains:
        return decision
    total = np.sum([values.max(axis=(0, 2)) for values in gains.values()], axis=0)  # (levels,)
    level = int(total.argmax())
    families = {name: describe(name).dataset for name in meta.defects}
    families |= {r.sample.class_id: r.sample.dataset for r in readings if r.sample.class_id in meta.defects}
    outlines, scores = {}, {}
    for name, family in families.items():
        if family in gains:
            best = gains[family][:, level]
            outline, score = np.unravel_index(int(best.argmax()), best.shape)
            outlines[name], scores[name] = OUTLINES[outline], BOX_SCORES[score]
    return replace(decision, box_level=BOX_LEVELS[level], box_outline=outlines, box_score=scores)


def _family_gains(kinds: dict[str, list[Gains]]) -> Gains:
    """Mean gain of a family's settings; nothing where too many good parts show a box."""
    means = {kind: np.mean(of_kind, axis=0) for kind, of_kind in kinds.items()}
    mean = np.mean([of_kind for kind, of_kind in means.items() if kind != "spared"], axis=0)
    good = [means[kind] for kind in ("good", "spared") if kind in means]
    without_box = np.min(good, axis=0) if good else np.ones_like(mean)
    return np.asarray(np.where(without_box >= min(1 - BOXED_GOOD, without_box.max()), mean, 0.0))


def _masses(readings: Sequence[Reading], meta: ModelMetadata, decision: Decision) -> NDArray[np.float64]:
    """Defect probability (N,) of each part."""
    if not readings:
        return np.empty(0)
    return np.asarray(defect_mass(answers(readings, meta, decision), meta), np.float64)


def _gains(
    reading: Reading,
    truth: list[tuple[int, int, int, int]],
    meta: ModelMetadata,
    decision: Decision,
    shown: bool,
) -> Gains:
    """What ``choose_boxes`` gains by one part."""
    gains = np.full((len(OUTLINES), len(BOX_LEVELS), len(BOX_SCORES)), 0.0 if truth else 1.0)
    if not shown:
        return gains
    cells = explain.cell_probabilities(reading.full_scores)
    for (i, outline), (j, level) in product(enumerate(OUTLINES), enumerate(BOX_LEVELS)):
        outlines = dict.fromkeys(meta.defects, outline)
        trial = replace(decision, box_level=level, box_outline=outlines, box_score={})
        boxes = explain.boxes_from_cells(
            cells, meta.classes, meta.defects, reading.placement, meta.stride, trial
        )
        for k, score in enumerate(BOX_SCORES):
            found = [as_tuple(box) for box in boxes if box.score >= score]
            hits = sum(max((iou(box, true) for box in found), default=0.0) for true in truth)
            gains[i, j, k] = 2 * hits / (len(truth) + len(found)) if truth else float(not found)
    return gains


def _ece(probabilities: NDArray[np.float64], labels: NDArray[np.integer]) -> float:
    return expected_calibration_error(probabilities.max(1), probabilities.argmax(1) == labels)
