"""The value objects of one inspection: what page, API, history, PDF and command line share."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flawsight.inspection.quality import Quality

SCHEMA = "flawsight.inspection/1"
VERDICTS = ("accept", "review", "reject", "unknown")


@dataclass(frozen=True)
class Box:
    """Where one defect is: half-open pixel ``xyxy`` in the original image.

    ``score`` is the highest probability of ``class_id`` among the cells inside, 0..1.
    """

    x1: int
    y1: int
    x2: int
    y2: int
    score: float
    class_id: str

    def __post_init__(self) -> None:
        if not (0 <= self.x1 < self.x2 and 0 <= self.y1 < self.y2):
            raise ValueError(f"Box needs 0 <= x1 < x2 and 0 <= y1 < y2, got {self}")

    def to_dict(self) -> dict[str, Any]:
        return {
            "x1": self.x1, "y1": self.y1, "x2": self.x2, "y2": self.y2,
            "score": round(self.score, 6), "class": self.class_id,
        }  # fmt: skip


@dataclass(frozen=True)
class Heatmap:
    """Why: the evidence for ``class_id`` over the original image. An explanation, not a measurement.

    Attributes:
        class_id: the class that is explained; of a ``defect-map``, which is of all defects together, the
            most probable defect.
        values: float32 (H, W) in [0, 1], original pixels; the map over its own maximum.
        peak: (x, y) of the maximum, original pixels.
        peak_score: the raw score at the peak, before scaling to [0, 1]; 0 for an empty map.
        method: how it was computed, e.g. ``cam`` or ``grad-cam``.
    """

    class_id: str
    values: NDArray[np.float32]
    peak: tuple[int, int]
    peak_score: float
    method: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "class": self.class_id,
            "peak": list(self.peak),
            "peak_score": round(self.peak_score, 6),
            "method": self.method,
        }


@dataclass(frozen=True)
class ImageInfo:
    """``sha256`` is of the bytes as received; ``width`` and ``height`` after EXIF turning, pixels."""

    name: str
    path: str | None
    sha256: str
    width: int
    height: int


@dataclass(frozen=True)
class ModelInfo:
    name: str
    version: str
    sha256: str


@dataclass(frozen=True)
class Inspection:
    """One answer.

    Attributes:
        verdict: one of ``VERDICTS``.
        reason: one plain sentence: why this verdict.
        confidence: probability of ``predicted_class``, 0..1.
        defect_probability: probability that the part has any defect, 0..1.
        probabilities: class id to probability, sums to 1, highest first.
        boxes: defects found; empty on an accepted part.
        thresholds: ``accept_below`` and ``reject_from`` that were in force; ``sure_from`` beside them if
            the model tells kinds apart of which none is a defect.
        method: what a report must say about how this was computed: ``engine``, ``manifest_sha256``,
            ``preprocessing`` (a dict), ``metrics`` (the model's validated figures) and the thresholds they
            were ``measured_at``, ``distance`` from known parts and the ``distance_limit`` of the unknown
            answer (``None`` where not known).
        timing_ms: step name to milliseconds.
        quality: how good the photo is; ``None`` if that was not looked at.
        pixels: RGB uint8 (H, W, 3) as inspected; not part of ``to_dict``.
    """

    image: ImageInfo
    verdict: str
    reason: str
    predicted_class: str
    confidence: float
    defect_probability: float
    probabilities: dict[str, float]
    boxes: tuple[Box, ...]
    heatmap: Heatmap
    thresholds: dict[str, float]
    model: ModelInfo
    method: dict[str, Any]
    timing_ms: dict[str, float]
    pixels: NDArray[np.uint8] = field(repr=False, compare=False)
    quality: Quality | None = None

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ValueError(f"verdict must be one of {VERDICTS}, got {self.verdict!r}")

    @property
    def identifies(self) -> bool:
        """Whether the model tells kinds apart instead of good parts from defects."""
        return "sure_from" in self.thresholds

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of schema ``flawsight.inspection/1``."""
        return {
            "schema": SCHEMA,
            "image": asdict(self.image),
            "verdict": self.verdict,
            "reason": self.reason,
            "predicted_class": self.predicted_class,
            "confidence": round(self.confidence, 6),
            "defect_probability": round(self.defect_probability, 6),
            "probabilities": {key: round(value, 6) for key, value in self.probabilities.items()},
            "boxes": [box.to_dict() for box in self.boxes],
            "heatmap": self.heatmap.to_dict(),
            "thresholds": dict(self.thresholds),
            "model": asdict(self.model),
            "method": self.method,
            "timing_ms": {key: round(value, 3) for key, value in self.timing_ms.items()},
            **({"quality": self.quality.to_dict()} if self.quality else {}),
        }
