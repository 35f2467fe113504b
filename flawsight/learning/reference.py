"""How the validation parts look to the finished model: what a drift in use is told by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flawsight.data.samples import Sample
from flawsight.data.whole import sample_pixels
from flawsight.inspection.drift import Part, reference_of
from flawsight.inspection.inspector import Inspector


def validation_reference(inspector: Inspector, samples: Iterable[Sample]) -> dict[str, Any]:
    """``drift.reference_of`` the samples, each inspected as the web app inspects a photo.

    ``samples`` are real ones of the validation split; ``inspector`` decides as the finished model does.
    """
    return reference_of(_part(inspector, sample) for sample in samples)


def _part(inspector: Inspector, sample: Sample) -> Part:
    return Part.of(inspector.inspect(sample_pixels(sample), name=sample.path.name).to_dict())
