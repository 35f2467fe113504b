"""What the heat map of an inspection may show, compared on the same readings.

One kind of defect or all, and how it goes from cell to cell: in straight lines or smoothly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from flawsight.inspection import explain
from flawsight.inspection.engines import Float
from flawsight.learning.calibrate import Reading, answers
from flawsight.learning.localisation import Localisation, localise, max_box_acc_v2, truth_mask
from flawsight.metadata import ModelMetadata


def compare_maps(readings: Sequence[Reading], meta: ModelMetadata) -> list[dict[str, Any]]:
    """One row for each map: pointing game and MaxBoxAccV2 by dataset, of the parts whose flaw has a place."""
    found: dict[str, dict[str, list[Localisation]]] = defaultdict(lambda: defaultdict(list))
    for reading, probabilities in zip(readings, answers(readings, meta, meta.decision), strict=True):
        mask = truth_mask(reading.sample, reading.placement.original)
        if mask is None or reading.sample.class_id not in meta.defects:
            continue
        for way, evidence in _maps(reading, probabilities, meta):
            for spread, smooth in (("straight", False), ("smooth", True)):
                heat = explain.on_image(evidence, reading.placement, meta.stride, smooth=smooth)
                found[f"{way}, {spread}"][reading.sample.dataset].append(localise(heat / heat.max(), mask))
    return [
        {
            "way": way,
            "datasets": {
                name: {
                    "n": len(places),
                    "pointing_game": float(np.mean([place.pointed for place in places])),
                    "max_box_acc_v2": max_box_acc_v2(places),
                }
                for name, places in by_dataset.items()
            },
        }
        for way, by_dataset in found.items()
    ]


def _maps(reading: Reading, probabilities: Float, meta: ModelMetadata) -> Iterator[tuple[str, Float]]:
    cells = explain.cell_probabilities(reading.full_scores)
    defects = meta.is_defect
    yield "the most probable defect", cells[int(np.where(defects, probabilities, -1).argmax())]
    yield "all defects together", cells[defects].sum(axis=0)
