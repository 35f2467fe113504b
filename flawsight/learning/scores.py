"""Figures of merit, each from probabilities and labels alone."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score, roc_auc_score

from flawsight.metadata import ModelMetadata

DatasetScores = dict[str, dict[str, float]]


def defect_mass(probabilities: NDArray[np.floating], meta: ModelMetadata) -> NDArray[np.floating]:
    """(N, K) class probabilities to (N,) probability of any defect."""
    return np.asarray(probabilities[:, meta.is_defect].sum(axis=1))


def score_by_dataset(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    datasets: Sequence[str],
    meta: ModelMetadata,
) -> DatasetScores:
    """Accuracy and its kin for each dataset.

    ``average_precision`` and ``auroc`` are defect against good; they are left out where a dataset has
    only one of the two.
    """
    names = np.array(datasets)
    return {
        str(name): scores(probabilities[names == name], labels[names == name], meta)
        for name in np.unique(names)
    }


def validation_score(by_dataset: DatasetScores) -> float:
    """What early stopping, the checkpoint and the choice of cells look at: skill, averaged over datasets.

    That is telling the classes (balanced accuracy) and telling defects from good (average precision).
    """
    skills = ("balanced_accuracy", "average_precision")
    return float(np.mean([np.mean([s[m] for m in skills if m in s]) for s in by_dataset.values()]))


def scores(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    meta: ModelMetadata,
    predicted: NDArray[np.integer] | None = None,
) -> dict[str, float]:
    """Figures of one set of answers: (N, K) probabilities against (N,) class positions.

    ``predicted`` (N,) are the classes that were answered; by default the most probable ones.
    """
    if predicted is None:
        predicted = probabilities.argmax(axis=1)
    truth = meta.is_defect[labels]
    mass = defect_mass(probabilities, meta)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a predicted class that is absent from the truth is no surprise
        result = {
            "accuracy": float((predicted == labels).mean()),
            "balanced_accuracy": float(balanced_accuracy_score(labels, predicted)),
            "macro_f1": float(
                f1_score(labels, predicted, labels=np.unique(labels), average="macro", zero_division=0)
            ),
        }
    if 0 < truth.sum() < len(truth):
        result["average_precision"] = float(average_precision_score(truth, mass))
        result["auroc"] = float(roc_auc_score(truth, mass))
    return result


def expected_calibration_error(
    confidence: NDArray[np.floating], right: NDArray[np.bool_], bins: int = 15
) -> float:
    """Mean gap between confidence and accuracy over bins of equal mass (Nguyen and O'Connor, 2015)."""
    order = np.argsort(confidence, kind="stable")
    gaps = [
        abs(confidence[part].mean() - right[part].mean()) * len(part)
        for part in np.array_split(order, min(bins, len(order)))
        if len(part)
    ]
    return float(sum(gaps) / len(order))


def negative_log_likelihood(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Mean over (N, K) probabilities of -log of the true class's; an impossible one counts 16."""
    return float(-np.log(probabilities[np.arange(len(labels)), labels] + 1e-7).mean())
