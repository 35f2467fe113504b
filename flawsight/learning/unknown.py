"""What the unknown-detector needs: how far known parts lie from the classes in feature space.

The distance to the nearest class mean with a shared scale per channel is a diagonal form of Lee et
al., "A simple unified framework for detecting out-of-distribution samples", NeurIPS 2018. The limit is
set on validation parts alone; foreign images are only used to measure it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from flawsight.data.generate import draw_foreign
from flawsight.data.samples import Sample
from flawsight.inspection.familiarity import KIND, KnownParts
from flawsight.inspection.inspector import Inspector
from flawsight.learning.calibrate import Reading, read_samples
from flawsight.learning.scores import clopper_pearson

KNOWN_SHARE = 0.995  # of validation parts that must stay within the limit
MARGIN = 1.1  # the limit lies this far above that quantile: other parts vary a little more
PER_CLASS = 40  # training samples of a class that are enough for its mean
FOREIGN = 200  # drawn images that measure the detector


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
    """Class means, channel scales and the limit, as ``familiarity.KnownParts`` reads them.

    Empty where no class has two training samples: one part tells nothing about how parts vary.
    """
    vectors, labels = _stack(train)
    names = sorted(set(labels))
    means = np.stack([vectors[labels == name].mean(axis=0) for name in names])  # (M, C)
    own = means[[names.index(label) for label in labels]]
    scale = (vectors - own).std(axis=0)
    if not scale.any():
        return {}
    # A channel that never moves must not decide alone; the second floor survives the rounding below.
    scale = np.maximum(scale, max(np.median(scale) * 0.1, 1e-4))
    known = KnownParts(means, scale, 0.0)
    far = [known.distance(vector[:, None, None].astype(np.float32)) for vector in _stack(validation)[0]]
    return {
        "kind": KIND,
        "means": np.round(means, 4).tolist(),
        "scale": np.round(scale, 5).tolist(),
        "threshold": round(float(np.quantile(far, KNOWN_SHARE)) * MARGIN, 4),
    }


def measure_unknown(
    inspector: Inspector, known: Sequence[float], foreign: Iterable[NDArray[np.uint8]] | None = None
) -> dict[str, Any]:
    """AUROC of known against foreign pictures by distance, and how many of each are called unknown.

    Args:
        known: distances of test parts.
        foreign: RGB pictures of other things; by default ``FOREIGN`` drawn ones.
    """
    if inspector.known_parts is None:
        return {}
    if foreign is None:
        foreign = (draw_foreign(np.random.default_rng([9, number])) for number in range(FOREIGN))
    far = [inspector.inspect(picture, name="foreign").method["distance"] for picture in foreign]
    limit = inspector.known_parts.limit
    caught, disturbed = sum(d > limit for d in far), sum(d > limit for d in known)
    return {
        "auroc": round(float(roc_auc_score([0] * len(known) + [1] * len(far), [*known, *far])), 4),
        "foreign": len(far),
        "foreign_caught": round(caught / len(far), 4),
        "foreign_caught_interval": [round(v, 4) for v in clopper_pearson(caught, len(far))],
        "known": len(known),
        "known_called_unknown": round(disturbed / len(known), 4),
        "known_called_unknown_interval": [round(v, 4) for v in clopper_pearson(disturbed, len(known))],
    }


def known_statistics(
    inspector: Inspector, train: Iterable[Sample], validation: Iterable[Sample]
) -> dict[str, Any]:
    """``feature_statistics`` of representative samples."""
    engine = inspector.engine
    return feature_statistics(
        read_samples(engine, representative(train)), read_samples(engine, representative(validation))
    )


def _stack(readings: Sequence[Reading]) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """Feature vectors (N, C) and names of their groups (N,)."""
    names = [
        f"{r.sample.dataset} {'board' if r.sample.region is None and r.sample.boxes else r.sample.class_id}"
        for r in readings
    ]
    return np.stack([reading.vector for reading in readings]).astype(np.float64), np.array(names)
