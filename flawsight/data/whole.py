"""Validation items: the whole sample, prepared exactly as serving does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from flawsight.data.samples import Sample
from flawsight.imaging import read_image
from flawsight.metadata import Preprocessing
from flawsight.preprocessing import prepare


def sample_pixels(sample: Sample) -> NDArray[np.uint8]:
    """RGB uint8 (H, W, 3) of the sample: the image, or its region."""
    return _region_of(read_image(sample.path), sample)


def template_pixels(sample: Sample) -> NDArray[np.uint8] | None:
    """RGB uint8 (H, W, 3) of the sample's template, cut as the sample is; ``None`` without one."""
    return _region_of(read_image(sample.template), sample) if sample.template else None


def _region_of(image: NDArray[np.uint8], sample: Sample) -> NDArray[np.uint8]:
    if sample.region is None:
        return image
    x1, y1, x2, y2 = sample.region
    return np.ascontiguousarray(image[y1:y2, x1:x2])


class WholeDataset(Dataset[dict[str, Any]]):
    """Samples one by one.

    An item holds ``image`` float32 (3, H, W); ``label``, the class position; ``cells_high`` and
    ``cells_wide``, how many cells of the class map lie on the image and not on its padding.
    """

    def __init__(
        self, samples: Sequence[Sample], classes: Sequence[str], pre: Preprocessing, stride: int
    ) -> None:
        self.samples = list(samples)
        self.position = {name: i for i, name in enumerate(classes)}
        self.pre, self.stride = pre, stride

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        sample = self.samples[index]
        values, placement = prepare(sample_pixels(sample), self.pre)
        high, wide = placement.cells(self.stride)
        return {
            "image": torch.from_numpy(values),
            "label": self.position[sample.class_id],
            "cells_high": high,
            "cells_wide": wide,
        }


def one_by_one(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Collate a batch of a single whole image, whose size is its own."""
    (item,) = items
    return {**item, "image": item["image"][None]}
