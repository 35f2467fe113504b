"""Does a converted model still give the same answers? The certificate that travels in its file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from math import dist, hypot
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flawsight.data.samples import Sample
from flawsight.data.whole import sample_pixels
from flawsight.errors import ModelError
from flawsight.inspection.engines import Engine, Outputs
from flawsight.inspection.inspector import Inspector
from flawsight.inspection.result import Box, Inspection

NOISE_SHAPE = (1, 3, 256, 192)
SELF_TOLERANCE = 1e-2  # of logits: the model's own against those its explanation adds up to
_LISTED = 20  # flipped images named in the certificate


@dataclass(frozen=True)
class Parity:
    """How far a model's answers are from those of the one it was made from.

    Attributes:
        images: how many of the test split were compared; 0 if only noise was.
        flips: how many got another verdict or class.
        flipped: names of the first of them.
        largest_logit_difference: on standardised noise, where ``largest_logit`` is the reference's largest.
        largest_probability_difference: of any class on any image.
        mean_peak_shift: how far the peak of the heat map moved on parts not accepted, as a share of the
            image's diagonal.
        largest_peak_shift: the same, the farthest.
        mean_box_iou: overlap of the areas boxed by either, over images where either has a box; 1 if none.
    """

    images: int
    flips: int
    flipped: tuple[str, ...]
    largest_logit_difference: float
    largest_logit: float
    largest_probability_difference: float
    mean_peak_shift: float
    largest_peak_shift: float
    mean_box_iou: float

    def to_dict(self) -> dict[str, Any]:
        return {
            key: round(value, 6) if isinstance(value, float) else value for key, value in asdict(self).items()
        }


def compare(reference: Engine, other: Engine, samples: Iterable[Sample] = ()) -> Parity:
    """Compare two engines on noise and on ``samples``, through the same inspector that serves.

    Raises:
        ModelError: the other's head does not explain its own answers.
    """
    noise = np.random.default_rng(0).normal(size=NOISE_SHAPE).astype(np.float32)
    theirs, ours = reference.run(noise).logits, other.run(noise)
    _check_head(other, ours)
    pairs = [_pair(Inspector(reference), Inspector(other), sample) for sample in samples]
    flipped = [a.image.name for a, b in pairs if _verdict(a) != _verdict(b)]
    shifts = [_peak_shift(a, b) for a, b in pairs if a.verdict in ("review", "reject")] or [0.0]
    overlaps = [iou for a, b in pairs if (iou := box_iou(a, b)) is not None] or [1.0]
    return Parity(
        images=len(pairs),
        flips=len(flipped),
        flipped=tuple(flipped[:_LISTED]),
        largest_logit_difference=float(np.abs(theirs - ours.logits).max()),
        largest_logit=float(np.abs(theirs).max()),
        largest_probability_difference=max((_difference(a, b) for a, b in pairs), default=0.0),
        mean_peak_shift=float(np.mean(shifts)),
        largest_peak_shift=max(shifts),
        mean_box_iou=float(np.mean(overlaps)),
    )


def box_iou(a: Inspection, b: Inspection) -> float | None:
    """Overlap of the areas that either boxes, 0..1; ``None`` where neither has a box."""
    if not a.boxes and not b.boxes:
        return None
    first, second = (_boxed(one.boxes, one.pixels.shape[:2]) for one in (a, b))
    return float((first & second).sum() / (first | second).sum())


def _check_head(engine: Engine, said: Outputs) -> None:
    explained = engine.head.class_map(said.features[0])
    gap = max(
        float(np.abs(explained.mean(axis=(1, 2)) - said.logits[0]).max()),
        float(np.abs(explained - said.class_map[0]).max()),
    )
    if gap > SELF_TOLERANCE * max(1.0, float(np.abs(said.class_map).max())):
        raise ModelError(
            f"The model's answer is not what its explanation adds up to (logits differ by {gap:.2g}). "
            "It is not kept."
        )


def _pair(first: Inspector, second: Inspector, sample: Sample) -> tuple[Inspection, Inspection]:
    pixels, name = sample_pixels(sample), sample.path.name
    return first.inspect(pixels, name=name), second.inspect(pixels, name=name)


def _verdict(inspection: Inspection) -> tuple[str, str]:
    return inspection.verdict, inspection.predicted_class


def _difference(a: Inspection, b: Inspection) -> float:
    return max(abs(value - b.probabilities[name]) for name, value in a.probabilities.items())


def _peak_shift(a: Inspection, b: Inspection) -> float:
    return dist(a.heatmap.peak, b.heatmap.peak) / hypot(a.image.width, a.image.height)


def _boxed(boxes: tuple[Box, ...], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, bool)
    for box in boxes:
        mask[box.y1 : box.y2, box.x1 : box.x2] = True
    return mask
