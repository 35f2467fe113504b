"""Training batches: native-scale crops with a label for every cell of the class map.

Which image, which size and which random numbers belong to a place in the run is decided by
``CropSampler`` from the seed and the epoch alone, and where to cut good parts also from the network as it is
at the start of the epoch (``learning/mining.py``); the dataset only carries it out. A run is resumed at the
start of an epoch.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from flawsight.data.augment import Augmentation, apply_symmetry, bend, distort_values
from flawsight.data.samples import GENERATED, IMPLANTED, Sample, family
from flawsight.imaging import read_image
from flawsight.metadata import Preprocessing
from flawsight.preprocessing import resize, resized_shape
from flawsight.taxonomy import describe

IGNORE = -1
_CACHED_IMAGES = 4096
WIDTHS = {1: 0.4, 2: 0.25, 3: 0.15, 4: 0.1, 6: 0.1}
# Drawn parts teach the classes that have no photos; photos with a planted flaw add to the others.
# Tiles are few and vary much, the textures of DAGM are learned soon. The first ending that fits counts.
WEIGHTS = {
    GENERATED: 0.2,
    f"Magnetic Tile {IMPLANTED}": 1.0,
    IMPLANTED: 0.5,
    "Magnetic Tile": 2.0,
    "DeepPCB": 1.4,
    "DAGM": 0.45,
}
BENT = ("Magnetic Tile",)  # families whose parts have no artwork: a bent track would be a fault


@dataclass(frozen=True)
class Draw:
    """One crop to be cut: which sample, how large (pixels), with which random numbers.

    ``centre`` is a place (y, x) of the scaled image that it shows, ``None`` for the dataset to choose.
    """

    index: int
    size: int
    seed: int
    centre: tuple[int, int] | None = None


class CropSampler(Sampler[list[Draw]]):
    """Batches of draws: classes weighted by the square root of their count, some batches of wide crops.

    Args:
        samples: training samples.
        batch: crops of ``size`` in a batch; one of crops ``n`` times as wide has ``1 / n**2`` of them, so
            every batch has about the same number of pixels.
        size: side of a crop, pixels, a multiple of 32.
        batches: batches in an epoch.
        seed: of the run.
        widths: multiple of ``size`` to the share of batches with crops so wide. Narrow ones show many
            defects in little time, wide ones what surrounds a defect on a whole part.
        weights: weight of a dataset against a real one, by how its name ends.
        mine: called once in each epoch, at its start; for some good samples, by index, the places (N, 2) as
            (y, x) of the scaled image that look most like a defect. Half of the crops of these are cut there.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        batch: int,
        size: int,
        batches: int,
        seed: int,
        widths: Mapping[int, float] = WIDTHS,
        weights: Mapping[str, float] = WEIGHTS,
        mine: Callable[[], Mapping[int, NDArray[np.int64]]] | None = None,
    ) -> None:
        self._mine, self._mined = mine, -1  # of which epoch the suspects are
        self._suspects: Mapping[int, NDArray[np.int64]] = {}
        self.weights = sample_weights(samples, weights)
        self.batch, self.size, self.batches, self.seed, self.widths = batch, size, batches, seed, widths
        self.epoch = 0

    @property
    def sampler(self) -> CropSampler:
        """Itself: Lightning calls ``set_epoch`` on the ``sampler`` of a batch sampler only."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[Draw]]:
        # On several devices each process draws its own crops.
        rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
        rng = np.random.default_rng([self.seed, self.epoch, rank])
        if self._mine and self._mined != self.epoch:  # the trainer also asks for an iterator just to try it
            self._suspects, self._mined = self._mine(), self.epoch
        for _ in range(self.batches):
            width = int(rng.choice(list(self.widths), p=list(self.widths.values())))
            count = max(2, self.batch // width**2)
            indices = rng.choice(len(self.weights), size=count, p=self.weights)
            seeds = rng.integers(0, 2**63, size=count)
            yield [
                Draw(int(i), self.size * width, int(seed), _suspect(self._suspects.get(int(i)), int(seed)))
                for i, seed in zip(indices, seeds, strict=True)
            ]


def _suspect(places: NDArray[np.int64] | None, seed: int) -> tuple[int, int] | None:
    """One of the ``places`` (N, 2) for half of the seeds."""
    if places is None or seed % 2:
        return None
    y, x = places[seed // 2 % len(places)]
    return int(y), int(x)


def sample_weights(samples: Sequence[Sample], kinds: Mapping[str, float]) -> NDArray[np.float64]:
    """Probability of each sample: square-root balanced over datasets' class counts and over classes."""
    per_class = Counter((s.dataset, s.class_id) for s in samples)
    classes: dict[str, int] = defaultdict(int)
    roots: dict[str, float] = defaultdict(float)
    for (dataset, _), count in per_class.items():
        classes[dataset] += 1
        roots[dataset] += count**0.5
    weights = np.array(
        [
            classes[s.dataset] ** 0.5
            * next((weight for end, weight in kinds.items() if s.dataset.endswith(end)), 1.0)
            / roots[s.dataset]
            / per_class[s.dataset, s.class_id] ** 0.5
            for s in samples
        ]
    )
    return np.asarray(weights / weights.sum(), np.float64)


class CropDataset(Dataset[dict[str, torch.Tensor]]):
    """Cuts and distorts the crops that ``CropSampler`` draws.

    An item holds ``image`` float32 (3, S, S); ``cells`` int64 (S/stride, S/stride), the class of each
    cell or ``IGNORE``; ``label`` int64, the class of the crop or ``IGNORE`` where that is unclear.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        classes: Sequence[str],
        pre: Preprocessing,
        stride: int,
        augmentation: Augmentation,
    ) -> None:
        self.samples = list(samples)
        self.position = {name: i for i, name in enumerate(classes)}
        self.pre, self.stride, self.augmentation = pre, stride, augmentation
        self.free = free_classes(self.samples)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, draw: Draw) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng(draw.seed)
        sample = self.samples[draw.index]
        image, mean, deviation = _pixels(sample.path, self.pre)
        truth = self._truth(sample, image.shape[:2])
        total = {int(k): int((truth == k).sum()) for k in np.unique(truth) if k != IGNORE}

        side = round(draw.size / self.augmentation.scale(rng))
        if draw.centre:
            y, x = _around(draw.centre, truth.shape, side, rng)
        else:
            y, x = _corner(sample, truth, self._free_index(sample), side, rng)
        crop, labels = _cut(image, y, x, side), _cut(truth, y, x, side, fill=IGNORE)
        if side != draw.size:
            crop = resize(crop, (draw.size, draw.size))
            labels = cv2.resize(labels, (draw.size, draw.size), interpolation=cv2.INTER_NEAREST)
            total = {k: round(n * (draw.size / side) ** 2) for k, n in total.items()}

        if rng.random() < self.augmentation.own_statistics:
            mean, deviation = float(crop.mean()), max(float(crop.std()), self.pre.min_std)
        values = (crop.astype(np.float32) - np.float32(mean)) / np.float32(deviation)
        if family(sample.dataset) in BENT and rng.random() < self.augmentation.bend:
            values, labels = bend(values, labels, rng, IGNORE)
        values, labels = apply_symmetry(values, labels, rng)
        values, labels = distort_values(values, labels, self.augmentation, rng, IGNORE)

        free = self._free_index(sample)
        label = (
            crop_label(labels, total, free) if self._supervised(sample) else self.position[sample.class_id]
        )
        return {
            "image": torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1))),
            "cells": torch.from_numpy(cell_labels(labels, self.stride, free)),
            "label": torch.tensor(label, dtype=torch.int64),
        }

    def _free_index(self, sample: Sample) -> int:
        return self.position.get(self.free.get(family(sample.dataset), ""), IGNORE)

    def _supervised(self, sample: Sample) -> bool:
        """Whether the place of every defect in the image is known."""
        return sample.mask is not None or bool(sample.boxes) or not describe(sample.class_id).is_defect

    def _truth(self, sample: Sample, shape: tuple[int, int]) -> NDArray[np.int16]:
        """Class position of every pixel of the scaled image; ``IGNORE`` where it is not known."""
        if not self._supervised(sample):
            return np.full(shape, IGNORE, np.int16)
        if not describe(sample.class_id).is_defect:
            return np.full(shape, self.position[sample.class_id], np.int16)
        truth = np.full(shape, self._free_index(sample), np.int16)
        if sample.mask is not None:
            mask = _mask(sample.mask, shape)
            if not mask.any():  # a published mask may be blank: the defect is there, its place unknown
                return np.full(shape, IGNORE, np.int16)
            truth[mask > 0] = self.position[sample.class_id]
        scale_y, scale_x = _scale(sample.path, shape, self.pre)
        for box in sample.boxes:
            # Below zero a slice would count from the far side.
            rows = slice(max(0, round(box.y1 * scale_y)), max(0, round(box.y2 * scale_y)))
            columns = slice(max(0, round(box.x1 * scale_x)), max(0, round(box.x2 * scale_x)))
            truth[rows, columns] = self.position[box.class_id]
        return truth


def free_classes(samples: Sequence[Sample]) -> dict[str, str]:
    """Family of parts to the class of its good ones, where it has exactly one."""
    good: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        if not describe(sample.class_id).is_defect:
            good[family(sample.dataset)].add(sample.class_id)
    return {name: next(iter(classes)) for name, classes in good.items() if len(classes) == 1}


def crop_label(labels: NDArray[np.int16], total: dict[int, int], free: int) -> int:
    """Class of a crop: its one clearly visible defect, or good; ``IGNORE`` if cut off, mixed or hidden.

    A defect is clear when a quarter of it, or 400 pixels, is inside.
    """
    found, counts = np.unique(labels, return_counts=True)
    visible = {int(k): int(n) for k, n in zip(found, counts, strict=True) if k not in (IGNORE, free)}
    if not visible:
        return free if (labels == free).mean() > 0.25 else IGNORE
    clear = [k for k, n in visible.items() if n >= max(6, min(400, 0.25 * total.get(k, n)))]
    return clear[0] if len(clear) == 1 and len(visible) == 1 else IGNORE


def cell_labels(labels: NDArray[np.int16], stride: int, free: int) -> NDArray[np.int64]:
    """Pixel classes (S, S) to cell classes (S/stride, S/stride).

    A cell is a defect when a fifth of it is covered, or half as much as the most covered cell has (a
    hairline covers little of any cell); good when nothing is; ``IGNORE`` in between.
    """
    rows = labels.shape[0] // stride
    blocks = labels.reshape(rows, stride, rows, stride)
    cells = np.where((blocks == free).all(axis=(1, 3)), np.int64(free), np.int64(IGNORE))
    best = np.zeros((rows, rows))
    for k in np.unique(labels):
        if k in (IGNORE, free):
            continue
        cover = (blocks == k).mean(axis=(1, 3))
        enough = (cover >= min(0.2, 0.5 * cover.max())) & (cover > best)
        cells[enough] = k
        best[enough] = cover[enough]
    return cells


@lru_cache(maxsize=_CACHED_IMAGES)
def _pixels(path: Path, pre: Preprocessing) -> tuple[NDArray[np.uint8], float, float]:
    """The scaled image with its mean and standard deviation."""
    image = read_image(path)
    image = resize(image, resized_shape(image.shape[0], image.shape[1], pre))
    return image, float(image.mean()), max(float(image.std()), pre.min_std)


@lru_cache(maxsize=_CACHED_IMAGES)
def _original_shape(path: Path) -> tuple[int, int]:
    height, width = read_image(path).shape[:2]
    return height, width


def _scale(path: Path, shape: tuple[int, int], pre: Preprocessing) -> tuple[float, float]:
    height, width = _original_shape(path)
    return shape[0] / height, shape[1] / width


@lru_cache(maxsize=_CACHED_IMAGES)
def _mask(path: Path, shape: tuple[int, int]) -> NDArray[np.uint8]:
    mask = (read_image(path).max(axis=2) > 127).astype(np.float32)
    # A pixel that has any share of the flaw is the flaw: picking the nearest would drop hairlines.
    way = cv2.INTER_AREA if mask.shape[0] > shape[0] else cv2.INTER_NEAREST
    share = cv2.resize(mask, (shape[1], shape[0]), interpolation=way)
    return np.asarray(share > 0, np.uint8)


def _corner(
    sample: Sample, truth: NDArray[np.int16], free: int, side: int, rng: np.random.Generator
) -> tuple[int, int]:
    """(y, x) of the crop: around the sample's defect four times in five, anywhere otherwise."""
    height, width = truth.shape
    x1, y1, x2, y2 = sample.region or (0, 0, width, height)
    if rng.random() < 0.8:
        here = truth[y1:y2, x1:x2]
        rows, columns = np.nonzero((here != free) & (here != IGNORE))
        if rows.size:
            pick = int(rng.integers(rows.size))
            return _around((y1 + rows[pick], x1 + columns[pick]), truth.shape, side, rng)
    return _anywhere(height, side, rng), _anywhere(width, side, rng)


def _around(
    centre: tuple[int, int], shape: tuple[int, ...], side: int, rng: np.random.Generator
) -> tuple[int, int]:
    """(y, x) of a crop that shows ``centre`` (y, x), not always in its middle."""
    shift_y, shift_x = rng.uniform(-0.4, 0.4, 2) * side
    return (
        _inside(centre[0] + shift_y - side / 2, shape[0], side),
        _inside(centre[1] + shift_x - side / 2, shape[1], side),
    )


def _inside(start: float, length: int, side: int) -> int:
    return int(min(max(0, round(start)), max(0, length - side)))


def _anywhere(length: int, side: int, rng: np.random.Generator) -> int:
    # The middle of the crop may lie anywhere, so that borders are seen as often as everything else. If the
    # corner of the crop were drawn, the rim of good parts would hardly ever be seen, and be taken for a flaw.
    return _inside(rng.uniform(0, length) - side / 2, length, side)


def _cut(values: NDArray[Any], y: int, x: int, side: int, fill: int | None = None) -> NDArray[Any]:
    """A (side, side) window; beyond the border the image is reflected, labels are ``fill``."""
    window = values[y : y + side, x : x + side]
    missing = side - window.shape[0], side - window.shape[1]
    if missing == (0, 0):
        return window
    if fill is None:
        return cv2.copyMakeBorder(window, 0, missing[0], 0, missing[1], cv2.BORDER_REFLECT)
    return cv2.copyMakeBorder(window, 0, missing[0], 0, missing[1], cv2.BORDER_CONSTANT, value=fill)
