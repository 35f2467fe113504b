"""From scores to an answer, and from an answer to a verdict. Pure functions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flawsight.errors import ModelError
from flawsight.i18n import ENGLISH, speaking
from flawsight.inspection.engines import Float
from flawsight.inspection.words import reason
from flawsight.metadata import Decision, ModelMetadata

_TINY = 1e-7  # keeps the logarithm of an impossible class finite


@dataclass(frozen=True)
class Judgement:
    """A verdict with the class that goes with it and one plain sentence why."""

    verdict: str
    predicted_class: str
    confidence: float
    defect_probability: float
    reason: str


def answer(logits: Float, cells: Float, metadata: ModelMetadata) -> NDArray[np.float64]:
    """Probabilities (K,) of the whole image, in the order of ``metadata.classes``.

    Pooling ``mean`` is the softmax of the logits. Pooling ``top_cells`` takes the ``cells`` cells with
    the highest probability of any defect: a defect's probability is its mean there, and what remains
    goes to the good classes in proportion to their mean over all cells, so that a defect-free board is
    a defect-free board. Then the answer is calibrated, see ``calibrated``.

    Args:
        logits: (K,) of the network; used by pooling ``mean``.
        cells: (K, h, w) probabilities of the cells on the image, see ``explain.cell_probabilities``.

    Raises:
        ModelError: unknown pooling.
    """
    decision = metadata.decision
    if decision.pooling == "mean":
        return calibrated(logits.astype(np.float64), metadata)
    if decision.pooling == "top_cells":
        pooled = _pool_top_cells(cells, metadata)
        return calibrated(np.log(pooled + _TINY), metadata)
    raise ModelError(
        "Unknown pooling %(pooling)r in the model; known are 'mean' and 'top_cells'.",
        pooling=decision.pooling,
    )


def calibrated(scores: NDArray[np.float64], metadata: ModelMetadata) -> NDArray[np.float64]:
    """Scores (..., K), log-probabilities up to a constant, to probabilities (..., K).

    ``defect_bias`` is added to the scores of the defects, then all are divided by the temperature:
    temperature scaling with one bias (Guo et al., "On calibration of modern neural networks", ICML 2017).
    """
    decision = metadata.decision
    biases = np.where(metadata.is_defect, decision.defect_bias, 0.0)
    return _softmax((scores + biases) / decision.temperature)


def judge(probabilities: Mapping[str, float], defects: Collection[str], decision: Decision) -> Judgement:
    """The verdict on a part from its class probabilities (which sum to 1).

    An accepted part gets its most probable good class, a rejected one its most probable defect, one
    for review the most probable of all: verdict and class never contradict each other.
    """
    defect_probability = min(1.0, sum(p for name, p in probabilities.items() if name in defects))
    if defect_probability < decision.accept_below:
        verdict, pool = "accept", [name for name in probabilities if name not in defects]
    elif defect_probability >= decision.reject_from:
        verdict, pool = "reject", [name for name in probabilities if name in defects]
    else:
        verdict, pool = "review", []
    predicted = max(pool or probabilities, key=lambda name: probabilities[name])
    with speaking(ENGLISH):
        why = reason(verdict, defect_probability, decision.accept_below, decision.reject_from, predicted)
    return Judgement(verdict, predicted, probabilities[predicted], defect_probability, why)


def _pool_top_cells(cells: Float, metadata: ModelMetadata) -> NDArray[np.float64]:
    values = cells.reshape(len(metadata.classes), -1).astype(np.float64)  # (K, cells)
    is_defect = metadata.is_defect
    suspicion = values[is_defect].sum(axis=0)
    count = min(metadata.decision.cells, suspicion.size)
    top = np.argsort(-suspicion, kind="stable")[:count]
    pooled = np.where(is_defect, values[:, top].mean(axis=1), 0)
    if is_defect.all():
        return np.asarray(pooled / pooled.sum())
    good = np.where(is_defect, 0, values.mean(axis=1) + _TINY)  # never all zero
    return np.asarray(pooled + max(0.0, 1 - pooled.sum()) * good / good.sum())


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float64)
