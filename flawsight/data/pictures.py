"""Training on whole pictures, squeezed to the fixed size at which the model will see them.

The counterpart of ``data.crops`` for sets where a picture as a whole is one of several things. What is
random is decided by seed and epoch alone, as there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from flawsight.data.crops import Draw
from flawsight.data.samples import Sample
from flawsight.data.whole import sample_pixels
from flawsight.metadata import Preprocessing
from flawsight.preprocessing import resize, standardise

# Each can be switched on by its name. Strengths are those under which a part stays the part it is.
SWITCHES = ("flip", "turn", "shift", "shear", "zoom", "hue", "contrast", "brightness")
TURN = 15.0  # degrees
SHIFT = 0.1  # of the side
SHEAR = 0.1  # pixels a pixel
ZOOM = 0.15  # of the size
HUE = 9.0  # of the 180 steps of OpenCV's colour circle
CONTRAST = 0.25
BRIGHTNESS = 25.0  # grey levels


class PictureSampler(Sampler[list[Draw]]):
    """Batches in which each picture comes once an epoch, in another order each time.

    Args:
        count: number of pictures.
        batch: pictures in a batch; the last one may hold fewer, but never a single one.
        size: side of the input, pixels.
        seed: of the run.
        batches: in an epoch; 0 for each picture once.
    """

    def __init__(self, count: int, batch: int, size: int, seed: int, batches: int = 0) -> None:
        self.count, self.batch, self.size, self.seed = count, batch, size, seed
        whole, rest = divmod(count, batch)
        self.batches = batches or max(1, whole + (rest > 1))
        self.epoch = 0

    @property
    def sampler(self) -> PictureSampler:
        """Itself: Lightning calls ``set_epoch`` on the ``sampler`` of a batch sampler only."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[Draw]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        order: list[int] = []
        for _ in range(self.batches):
            if len(order) < 2:  # batch norm needs two
                order = rng.permutation(self.count).tolist()
            now, order = order[: self.batch], order[self.batch :]
            yield [Draw(index, self.size, int(rng.integers(0, 2**63))) for index in now]


class PictureDataset(Dataset[dict[str, torch.Tensor]]):
    """Whole pictures with the changes that are switched on.

    An item holds ``image`` float32 (3, S, S) and ``label`` int64, the position of its class.
    """

    def __init__(
        self, samples: Sequence[Sample], classes: Sequence[str], pre: Preprocessing, augment: Collection[str]
    ) -> None:
        self.samples = list(samples)
        self.position = {name: i for i, name in enumerate(classes)}
        self.pre, self.augment = pre, frozenset(augment)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, draw: Draw) -> dict[str, torch.Tensor]:
        sample = self.samples[draw.index]
        image = resize(sample_pixels(sample), (draw.size, draw.size))
        image = change(image, self.augment, np.random.default_rng(draw.seed))
        values = standardise(image, self.pre)
        return {
            "image": torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1))),
            "label": torch.tensor(self.position[sample.class_id], dtype=torch.int64),
        }


def change(
    image: NDArray[np.uint8], switches: Collection[str], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """RGB (S, S, 3) with the changes named in ``switches``, each of a random strength."""
    # Drawn even where they are switched off: a switch changes nothing but itself.
    left, up, turn, across, down, shear, zoom, hue, contrast, brightness = rng.uniform(-1, 1, 10)
    if "flip" in switches:
        image = image[:: -1 if up < 0 else 1, :: -1 if left < 0 else 1]
    if {"turn", "shift", "shear", "zoom"} & set(switches):
        image = _move(
            image,
            turn * TURN * ("turn" in switches),
            (across * SHIFT * ("shift" in switches), down * SHIFT * ("shift" in switches)),
            shear * SHEAR * ("shear" in switches),
            1 + zoom * ZOOM * ("zoom" in switches),
        )
    if "hue" in switches:
        colours = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2HSV)
        colours[..., 0] = (colours[..., 0] + np.int16(round(hue * HUE))) % 180
        image = np.asarray(cv2.cvtColor(colours, cv2.COLOR_HSV2RGB), np.uint8)
    if {"contrast", "brightness"} & set(switches):
        factor = 1 + contrast * CONTRAST * ("contrast" in switches)
        middle = float(image.mean())
        shift = middle * (1 - factor) + brightness * BRIGHTNESS * ("brightness" in switches)
        image = np.clip(image * np.float32(factor) + np.float32(shift), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(image)


def _move(
    image: NDArray[np.uint8], degrees: float, shift: tuple[float, float], shear: float, zoom: float
) -> NDArray[np.uint8]:
    """Turned, sheared and enlarged about the centre, then shifted by shares of the side; borders mirrored."""
    side = image.shape[0]
    centre = (side - 1) / 2
    turned = cv2.getRotationMatrix2D((centre, centre), degrees, zoom)  # (2, 3)
    sheared = np.array([[1, shear, -shear * centre], [0, 1, 0]])
    matrix = sheared @ np.vstack([turned, [0, 0, 1]])
    matrix[:, 2] += np.array(shift) * side
    moved = cv2.warpAffine(np.ascontiguousarray(image), matrix, (side, side), borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved, np.uint8)
