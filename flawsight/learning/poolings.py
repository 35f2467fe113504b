"""How the cells of the class map become the answer for the whole part, compared on the same readings.

``mean`` is the softmax of the mean scores, ``log-sum-exp`` a mean that strong cells dominate (Pinheiro and
Collobert, "From image-level to pixel-level labeling with convolutional networks", CVPR 2015), ``top n cells``
the mean of the most suspicious cells (see ``inspection.decide.answer``). Temperature and bias are left out,
so that the ways stand beside each other as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

from flawsight.inspection.engines import Float
from flawsight.learning.calibrate import CELLS, Reading, answers
from flawsight.learning.scores import (
    expected_calibration_error,
    negative_log_likelihood,
    score_by_dataset,
)
from flawsight.metadata import Decision, ModelMetadata

SHARPNESS = (1.0, 5.0)  # of log-sum-exp: 0 would be the mean, infinity the maximum


def compare_poolings(readings: Sequence[Reading], meta: ModelMetadata) -> list[dict[str, Any]]:
    """One row for each way: scores by dataset, calibration error and negative log-likelihood."""
    labels = np.array([meta.classes.index(r.sample.class_id) for r in readings])
    datasets = [r.sample.dataset for r in readings]
    rows = []
    for way, probabilities in _ways(readings, meta):
        right = probabilities.argmax(axis=1) == labels
        rows.append(
            {
                "way": way,
                "datasets": score_by_dataset(probabilities, labels, datasets, meta),
                "ece": expected_calibration_error(probabilities.max(axis=1), right),
                "nll": negative_log_likelihood(probabilities, labels),
            }
        )
    return rows


def log_sum_exp(scores: Float, sharpness: float) -> NDArray[np.float64]:
    """Cell scores (K, h, w) to class scores (K,)."""
    flat = scores.reshape(len(scores), -1).astype(np.float64) * sharpness
    return np.asarray((logsumexp(flat, axis=1) - np.log(flat.shape[1])) / sharpness)


def _ways(readings: Sequence[Reading], meta: ModelMetadata) -> Iterator[tuple[str, NDArray[np.float64]]]:
    yield "mean", answers(readings, meta, Decision(pooling="mean"))
    for sharpness in SHARPNESS:
        pooled = np.stack([log_sum_exp(reading.scores, sharpness) for reading in readings])
        yield f"log-sum-exp, sharpness {sharpness:g}", np.asarray(softmax(pooled, axis=1))
    for cells in CELLS:
        yield (
            f"top {cells} cells",
            answers(readings, meta, replace(Decision(pooling="top_cells"), cells=cells)),
        )
