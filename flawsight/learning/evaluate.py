"""Every figure about a model, measured through the same ``Inspector`` that serves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from flawsight.data.samples import GENERATED, Sample
from flawsight.data.whole import sample_pixels, template_pixels
from flawsight.inspection.inspector import Inspector
from flawsight.inspection.operating import POOR_PHOTO, UNKNOWN, clopper_pearson
from flawsight.inspection.result import Inspection
from flawsight.inspection.template import Template
from flawsight.learning.localisation import (
    IOU_LEVELS,
    Localisation,
    localise,
    max_box_acc_v2,
    pixel_average_precision,
    pixel_scores,
    truth_mask,
)
from flawsight.learning.resample import Rows, intervals
from flawsight.learning.scores import (
    defect_mass,
    expected_calibration_error,
    scores,
)
from flawsight.metadata import ModelMetadata

PIXELS = 50_000  # of all pictures that enter PxAP where its interval is drawn


@dataclass(frozen=True)
class Answer:
    """One inspected sample, reduced to what the figures need."""

    sample: Sample
    verdict: str
    boxes: int
    distance: float | None
    place: Localisation | None
    pixels: tuple[NDArray[np.float32], NDArray[np.bool_]] | None
    poor_photo: bool

    @property
    def held(self) -> str:
        """As in ``Curves.held``."""
        return UNKNOWN if self.verdict == UNKNOWN else POOR_PHOTO if self.poor_photo else ""


@dataclass(frozen=True)
class Answers:
    """All answers.

    Attributes:
        items: one for each sample.
        probabilities: (N, K) of the classes.
        labels: (N,) class positions, the truth.
        predicted: (N,) class positions that were answered. A rejected part is answered with its most
            probable defect, also where six defects share a mass that none of them has alone.
    """

    items: tuple[Answer, ...]
    probabilities: NDArray[np.float64]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]

    @property
    def confidence(self) -> NDArray[np.float64]:
        """(N,) probability of the class that was answered."""
        return np.asarray(self.probabilities[np.arange(len(self.labels)), self.predicted])

    @property
    def right(self) -> NDArray[np.bool_]:
        """(N,) whether the class that was answered is the true one."""
        return np.asarray(self.predicted == self.labels)

    def of(self, keep: NDArray[np.bool_]) -> Answers:
        """The answers where ``keep`` (N,) is true."""
        return self.at(np.flatnonzero(keep))

    def at(self, rows: Rows) -> Answers:
        """The answers of ``rows``, which may name some more than once."""
        items = tuple(self.items[row] for row in rows)
        return Answers(items, self.probabilities[rows], self.labels[rows], self.predicted[rows])


def inspect_samples(inspector: Inspector, samples: Iterable[Sample], *, templates: bool = False) -> Answers:
    """Inspect each sample, region by region where it has one; with ``templates`` beside its own, if any."""
    meta = inspector.metadata
    rng = np.random.default_rng(0)
    items, probabilities, labels, predicted = [], [], [], []
    for sample in samples:
        template = sample_template(sample) if templates else None
        inspection = inspector.inspect(sample_pixels(sample), name=sample.path.name, template=template)
        probabilities.append([inspection.probabilities[name] for name in meta.classes])
        items.append(_reduce(sample, inspection, meta, rng))
        labels.append(meta.classes.index(sample.class_id))
        predicted.append(meta.classes.index(inspection.predicted_class))
    return Answers(
        tuple(items), np.array(probabilities), np.array(labels, np.int64), np.array(predicted, np.int64)
    )


def sample_template(sample: Sample) -> Template | None:
    """The template of the sample, cut as the sample is; ``None`` without one."""
    pixels = template_pixels(sample)
    return None if pixels is None or sample.template is None else Template(pixels, sample.template.name)


def figures(answers: Answers, meta: ModelMetadata) -> dict[str, Any]:
    """All figures per dataset and overall, each with its 95 % interval.

    ``overall`` is of real samples, unless all are generated.
    """
    names = np.array([item.sample.dataset for item in answers.items])
    decisive = real_answers(answers)
    return {
        "overall": _figures(decisive, meta),
        "datasets": {str(name): _figures(answers.of(names == name), meta) for name in np.unique(names)},
        "classes": per_class(answers, meta),
        "confusion": confusion(answers, meta),
        "curves": curves(decisive, meta),
    }


def real_answers(answers: Answers) -> Answers:
    """Without those of drawn parts, unless there are no others."""
    real = np.array([not item.sample.dataset.endswith(GENERATED) for item in answers.items])
    return answers.of(real) if real.any() else answers


def curves(answers: Answers, meta: ModelMetadata) -> dict[str, list[Any]]:
    """What reliability and cost curves are drawn from, one entry a sample.

    ``mass`` is the defect probability, ``truth`` 1 for a defective part; ``confidence`` is that of the
    class that was answered, ``right`` 1 where it is the true one; ``held`` as in ``Curves``.
    """
    truth = meta.is_defect[answers.labels]
    return {
        "mass": np.round(defect_mass(answers.probabilities, meta), 4).tolist(),
        "truth": truth.astype(int).tolist(),
        "confidence": np.round(answers.confidence, 4).tolist(),
        "right": answers.right.astype(int).tolist(),
        "dataset": [item.sample.dataset for item in answers.items],
        "held": [item.held for item in answers.items],
    }


def per_class(answers: Answers, meta: ModelMetadata) -> dict[str, dict[str, Any]]:
    """Precision, recall with interval, F1 and support of each class that occurs.

    ``precision`` is ``None`` for a class that was never answered; ``drawn`` are those of the support that are
    no photos.
    """
    present = np.unique(answers.labels)
    generated = np.array([item.sample.dataset.endswith(GENERATED) for item in answers.items])
    predicted = answers.predicted
    precision, recall, f1, support = precision_recall_fscore_support(
        answers.labels, predicted, labels=present, zero_division=0
    )
    return {
        meta.classes[k]: {
            "precision": round(float(precision[i]), 4) if (predicted == k).any() else None,
            "recall": round(float(recall[i]), 4),
            "recall_interval": _rounded(
                clopper_pearson(int(((predicted == k) & (answers.labels == k)).sum()), int(support[i]))
            ),
            "f1": round(float(f1[i]), 4),
            "support": int(support[i]),
            "drawn": int((generated & (answers.labels == k)).sum()),
        }
        for i, k in enumerate(present)
    }


def confusion(answers: Answers, meta: ModelMetadata) -> dict[str, Any]:
    """Rows are truth, columns the answer; only classes that occur on either side."""
    predicted = answers.predicted
    present = np.unique(np.concatenate([answers.labels, predicted]))
    matrix = confusion_matrix(answers.labels, predicted, labels=present)
    return {"classes": [meta.classes[k] for k in present], "matrix": matrix.tolist()}


def _reduce(sample: Sample, inspection: Inspection, meta: ModelMetadata, rng: np.random.Generator) -> Answer:
    place = pixels = None
    if sample.class_id in meta.defects:
        heat = inspection.heatmap.values
        mask = truth_mask(sample, heat.shape)
        if mask is not None:
            place = localise(heat, mask)
            pixels = pixel_scores(heat * np.float32(inspection.heatmap.peak_score), mask, rng)
    distance = inspection.method["distance"]
    poor = bool(inspection.quality and inspection.quality.warnings)
    return Answer(sample, inspection.verdict, len(inspection.boxes), distance, place, pixels, poor)


def _figures(answers: Answers, meta: ModelMetadata) -> dict[str, Any]:
    samples = [item.sample for item in answers.items]
    groups, truth = [sample.group for sample in samples], meta.is_defect[answers.labels]
    most = PIXELS // max(1, sum(item.place is not None for item in answers.items))

    def drawn(rows: Rows) -> dict[str, float]:
        some = answers.at(rows)
        return {**_skill(some, meta), **_places(some, most)}

    found = intervals(groups, [sample.path for sample in samples], drawn)

    def with_interval(values: dict[str, float]) -> dict[str, Any]:
        return {
            name: {"value": round(value, 4), "interval": _rounded(found[name]) if name in found else None}
            for name, value in values.items()
        }

    return {
        "n": len(samples),
        "groups": len(set(groups)),
        "defective": int(truth.sum()),
        **with_interval(_skill(answers, meta)),
        **_decisions(answers, truth, meta),
        "localisation": {**_pointing(answers, truth), **with_interval(_places(answers))},
    }


def _decisions(answers: Answers, truth: NDArray[np.bool_], meta: ModelMetadata) -> dict[str, Any]:
    verdicts = np.array([item.verdict for item in answers.items])
    defective, good = int(truth.sum()), int((~truth).sum())
    mass = defect_mass(answers.probabilities, meta)
    result: dict[str, Any] = {
        "escape_rate": _rate(int((truth & (verdicts == "accept")).sum()), defective),
        "overkill_rate": _rate(int((~truth & (verdicts == "reject")).sum()), good),
        "review_share": _rate(int(np.isin(verdicts, ("review", UNKNOWN)).sum()), len(verdicts)),
        "unknown_share": _rate(int((verdicts == "unknown").sum()), len(verdicts)),
    }
    if defective and good:
        result["overkill_at_zero_escapes"] = _rate(int((mass[~truth] >= mass[truth].min()).sum()), good)
    return result


def _skill(answers: Answers, meta: ModelMetadata) -> dict[str, float]:
    """What is told right, and how well the probabilities say so."""
    onehot = np.eye(answers.probabilities.shape[1])[answers.labels]
    return {
        **scores(answers.probabilities, answers.labels, meta, answers.predicted),
        "ece": expected_calibration_error(answers.confidence, answers.right),
        "brier": float(((answers.probabilities - onehot) ** 2).sum(1).mean()),
    }


def _pointing(answers: Answers, truth: NDArray[np.bool_]) -> dict[str, Any]:
    """The rates of localisation."""
    places = [item.place for item in answers.items if item.place is not None]
    good = [item for item, bad in zip(answers.items, truth, strict=True) if not bad]
    result: dict[str, Any] = {"good_with_box": _rate(sum(item.boxes > 0 for item in good), len(good))}
    if places:
        result |= {
            "n": len(places),
            "pointing_game": _rate(sum(p.pointed for p in places), len(places)),
            "pointing_game_centre": _rate(sum(p.centre_pointed for p in places), len(places)),
        }
    return result


def _places(answers: Answers, most: int | None = None) -> dict[str, float]:
    """The figures of localisation that are no rates, with at most so many pixels of each picture."""
    places = [item.place for item in answers.items if item.place is not None]
    if not places:
        return {}
    pixels = [item.pixels for item in answers.items if item.pixels is not None]
    shown, true = ([values[:most] for values in of_all] for of_all in zip(*pixels, strict=True))
    return {
        "max_box_acc_v2": max_box_acc_v2(places),
        "max_box_acc_v2_centre": float(
            np.mean([[p.centre_iou >= level for p in places] for level in IOU_LEVELS])
        ),
        "heat_inside": float(np.mean([p.inside for p in places])),
        **({"px_ap": pixel_average_precision(shown, true)} if any(map(np.any, true)) else {}),
    }


def _rate(hits: int, trials: int) -> dict[str, Any]:
    """A rate with its exact interval, or ``None`` where nothing was tried."""
    if not trials:
        return {"value": None, "interval": None, "n": 0}
    return {
        "value": round(hits / trials, 4),
        "interval": _rounded(clopper_pearson(hits, trials)),
        "hits": hits,
        "n": trials,
    }


def _rounded(interval: tuple[float, float]) -> list[float]:
    return [round(interval[0], 4), round(interval[1], 4)]
