"""What the unknown-detector needs: how the features of known parts differ from each other.

The limit is set on validation parts alone; foreign images are only used to measure it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from flawsight.data.generate import draw_foreign
from flawsight.data.samples import Sample
from flawsight.data.whole import sample_pixels
from flawsight.inspection.engines import Float
from flawsight.inspection.familiarity import KnownParts, Plane
from flawsight.inspection.inspector import Inspector
from flawsight.inspection.operating import clopper_pearson
from flawsight.inspection.strangeness import usual
from flawsight.learning.calibrate import Reading, read_samples
from flawsight.learning.resample import Rows, intervals
from flawsight.preprocessing import resize

KNOWN_SHARE = 0.99  # of validation parts that must stay within the limit
DIRECTIONS = 64  # in which the means of known parts may differ, and half as many for their fields
PER_CLASS = 40  # training samples of a class that are enough to know it
ENLARGED, LARGE = 4, 768  # each fourth drawn picture also with so many pixels on its shorter side
FEWEST, FOREIGN = 20, 200  # drawn pictures that measure the detector, as many as there are parts


def representative(samples: Iterable[Sample]) -> list[Sample]:
    """At most ``PER_CLASS`` samples of each class of each dataset, and some of their whole boards."""
    chosen: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    for sample in samples:
        # A board is inspected by the region or as a whole; to the network the two look different.
        views = [sample] if sample.region is None else [sample, replace(sample, region=None)]
        for view in views:
            key = (view.dataset, view.class_id if view.region or not view.boxes else "whole board")
            if len(chosen[key]) < PER_CLASS:
                chosen[key].append(view)
    return [sample for group in chosen.values() for sample in group]


def feature_statistics(train: Sequence[Reading], validation: Sequence[Reading]) -> dict[str, Any]:
    """Mean, directions and limit of known parts, as ``familiarity.KnownParts`` reads them.

    Empty where there are too few training samples or channels, or all parts look the same to the network: a
    plane through every point tells nothing.
    """
    channels = train[0].summaries.shape[1]
    directions = min(DIRECTIONS, len(train) // 4, channels // 2)
    if directions < 1:
        return {}
    planes = []
    for kind, most in enumerate((directions, max(1, directions // 2))):
        learned, checked = (
            [r.summaries[kind] for r in readings if kind < len(r.summaries)]
            for readings in (train, validation)
        )
        if len(learned) < 4 * most or not checked:
            break  # most pictures are too large for fields
        plane = _plane(np.stack(learned), np.stack(checked), most)
        if plane is None:
            return {}
        planes.append(plane)
    known = KnownParts(tuple(planes), 1.0)
    far = np.array([known.farthest(reading.summaries) for reading in validation])
    return replace(known, limit=float(reach(far))).to_dict()


def _plane(train: Float, validation: Float, directions: int) -> Plane | None:
    """The plane of vectors (N, C); ``None`` where all of them look the same."""
    fitted = PCA(directions, random_state=0).fit(train)
    plane = Plane(fitted.mean_.astype(np.float32), fitted.components_.astype(np.float32))
    angle, residual = reach(np.array([plane.measures(vector) for vector in validation]))
    if angle > 0:  # both measures reach as far for equally many known parts
        plane = replace(plane, scale=float(residual / angle))
    far = float(reach(np.array([plane.distance(vector) for vector in validation])))
    return replace(plane, reach=far) if far > 1e-5 else None


def reach(far: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far known parts may lie, from the distances (N, ...) of some.

    A quantile of few is hardly more than the farthest of them, and the next part lies farther; three standard
    deviations over their mean leave it room.
    """
    quantile = np.quantile(far, KNOWN_SHARE, axis=0)
    if len(far) * (1 - KNOWN_SHARE) >= 1:
        return np.asarray(quantile)
    return np.asarray(np.maximum(quantile, far.mean(axis=0) + 3 * far.std(axis=0)))


def measure_unknown(
    inspector: Inspector,
    known: Sequence[float],
    foreign: Mapping[str, Iterable[NDArray[np.uint8]]] | None = None,
) -> dict[str, Any]:
    """AUROC of known against foreign pictures by distance, and how many of each are called unknown.

    Args:
        known: distances of test parts.
        foreign: more RGB pictures of other things, by kind; drawn ones, ``drawn KIND``, are always tried, and
            some of them enlarged as well.
    """
    if inspector.known_parts is None:
        return {}
    limit = inspector.known_parts.limit
    count = min(FOREIGN, max(FEWEST, len(known)))
    drawn = (draw_foreign(np.random.default_rng([9, number])) for number in range(count))
    others = ((kind, picture) for kind, pictures in (foreign or {}).items() for picture in pictures)
    named = (one for number, picture in enumerate(drawn) for one in _sizes(number, *picture))
    far: dict[str, list[float]] = defaultdict(list)
    for kind, picture in chain(named, others):
        far[kind].append(inspector.inspect(picture, name=kind).method["distance"])
    disturbed = sum(d > limit for d in known)
    return {
        **_against(known, [d for distances in far.values() for d in distances], limit),
        "known": len(known),
        "known_called_unknown": round(disturbed / len(known), 4),
        "known_called_unknown_interval": [round(v, 4) for v in clopper_pearson(disturbed, len(known))],
        "kinds": {kind: _against(known, distances, limit) for kind, distances in far.items()},
    }


def _sizes(number: int, kind: str, picture: NDArray[np.uint8]) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """A drawn picture, and of some also a large copy, which is looked at in other fields."""
    yield f"drawn {kind}", picture
    if number % ENLARGED == 0:
        scale = LARGE / min(picture.shape[:2])
        height, width = (round(side * scale) for side in picture.shape[:2])
        yield "drawn enlarged", resize(picture, (height, width))


def _against(known: Sequence[float], foreign: Sequence[float], limit: float) -> dict[str, Any]:
    caught = sum(d > limit for d in foreign)
    far, truth = np.array([*known, *foreign]), np.repeat([False, True], [len(known), len(foreign)])

    def drawn(rows: Rows) -> dict[str, float]:
        both = 0 < truth[rows].sum() < len(rows)
        return {"auroc": float(roc_auc_score(truth[rows], far[rows]))} if both else {}

    alone = [str(row) for row in range(len(far))]
    return {
        "auroc": round(float(roc_auc_score(truth, far)), 4),
        "auroc_interval": [round(end, 4) for end in intervals(alone, alone, drawn)["auroc"]],
        "foreign": len(foreign),
        "foreign_caught": round(caught / len(foreign), 4),
        "foreign_caught_interval": [round(v, 4) for v in clopper_pearson(caught, len(foreign))],
    }


def known_statistics(
    inspector: Inspector, train: Iterable[Sample], validation: Iterable[Sample]
) -> dict[str, Any]:
    """``feature_statistics`` of representative samples, and how far they go by themselves."""
    engine, learned, checked = inspector.engine, representative(train), representative(validation)
    statistics = feature_statistics(read_samples(engine, learned), read_samples(engine, checked))
    if not statistics:
        return {}
    return {**statistics, "reaches": usual(sample_pixels(sample) for sample in learned + checked)}
