"""How well a heat map and boxes say where: Choe et al., "Evaluating weakly supervised object
localization methods right", CVPR 2020, and the pointing game of Zhang et al., IJCV 2018."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from flawsight.data.samples import Sample
from flawsight.imaging import read_image
from flawsight.inspection.result import Box

IOU_LEVELS = (0.3, 0.5, 0.7)
MAP_LEVELS = tuple(np.linspace(0.05, 0.95, 19))
_PIXELS_KEPT = 4096  # pixels of one image that enter PxAP, drawn evenly


@dataclass(frozen=True)
class Localisation:
    """One defective sample's figures.

    Attributes:
        pointed: whether the peak of the heat map lies inside the truth, no tolerance.
        centre_pointed: the same for the middle of the picture, as a baseline.
        best_iou: per level of ``MAP_LEVELS``, the best IoU between a map box and a truth box.
        centre_iou: IoU of a centred box of half the picture's sides, as a baseline.
        inside: share of the heat that lies inside the truth, 0..1.
    """

    pointed: bool
    centre_pointed: bool
    best_iou: tuple[float, ...]
    centre_iou: float
    inside: float


def truth_mask(sample: Sample, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    """Defect pixels (H, W) of the sample, region cut out; ``None`` if they are not known."""
    if sample.mask is not None:
        mask = read_image(sample.mask).max(axis=2) > 127
        if sample.region is not None:
            x1, y1, x2, y2 = sample.region
            mask = mask[y1:y2, x1:x2]
        if mask.shape != shape:
            resized = cv2.resize(mask.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST)
            mask = resized.astype(bool)
        return mask if mask.any() else None
    if not sample.boxes:
        return None
    mask = np.zeros(shape, bool)
    left, top = (sample.region[0], sample.region[1]) if sample.region else (0, 0)
    for box in sample.boxes:
        mask[max(0, box.y1 - top) : max(0, box.y2 - top), max(0, box.x1 - left) : max(0, box.x2 - left)] = (
            True
        )
    return mask if mask.any() else None


def localise(heat: NDArray[np.float32], mask: NDArray[np.bool_]) -> Localisation:
    """Compare a heat map (H, W) in [0, 1] with the truth (H, W)."""
    truth = mask_boxes(mask)
    y, x = np.unravel_index(int(np.argmax(heat)), heat.shape)
    height, width = heat.shape
    centre = (width // 4, height // 4, width - width // 4, height - height // 4)
    total = float(heat.sum())
    return Localisation(
        pointed=total > 0 and bool(mask[y, x]),
        centre_pointed=bool(mask[height // 2, width // 2]),
        best_iou=tuple(
            max((iou(a, b) for a in mask_boxes(heat >= level) for b in truth), default=0.0)
            for level in MAP_LEVELS
        ),
        centre_iou=max(iou(centre, box) for box in truth),
        inside=float(heat[mask].sum()) / total if total > 0 else 0.0,
    )


def pixel_scores(
    heat: NDArray[np.float32], mask: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """An even sample of (score, truth) pixels of one picture, for ``pixel_average_precision``."""
    chosen = rng.choice(heat.size, size=min(_PIXELS_KEPT, heat.size), replace=False)
    return heat.ravel()[chosen], mask.ravel()[chosen]


def pixel_average_precision(
    scores: Sequence[NDArray[np.float32]], truth: Sequence[NDArray[np.bool_]]
) -> float:
    """PxAP: average precision over all pixels of all defective pictures."""
    return float(average_precision_score(np.concatenate(truth), np.concatenate(scores)))


def max_box_acc_v2(results: Sequence[Localisation]) -> float:
    """MaxBoxAccV2: mean over IoU 0.3, 0.5, 0.7 of the best share of hits over map thresholds."""
    ious = np.array([r.best_iou for r in results])  # (N, levels)
    return float(np.mean([(ious >= level).mean(axis=0).max() for level in IOU_LEVELS]))


def mask_boxes(mask: NDArray[np.bool_]) -> list[tuple[int, int, int, int]]:
    """Half-open ``xyxy`` of each connected region."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return [(int(x), int(y), int(x + w), int(y + h)) for x, y, w, h, _ in stats[1:count]]


def iou(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> float:
    """Intersection over union of two half-open ``xyxy`` boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    inter = width * height
    areas = (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1])
    return inter / (areas - inter)


def as_tuple(box: Box) -> tuple[int, int, int, int]:
    """``xyxy`` of a found box."""
    return box.x1, box.y1, box.x2, box.y2
