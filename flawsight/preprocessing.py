"""Pixels to network input and back; the same few lines in training and in serving."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flawsight.metadata import Preprocessing


@dataclass(frozen=True)
class Placement:
    """Where the image lies inside the network's input.

    Attributes:
        original: (height, width) of the image, pixels.
        resized: (height, width) of the image inside the input, top left corner at (0, 0).
        padded: (height, width) of the input.
    """

    original: tuple[int, int]
    resized: tuple[int, int]
    padded: tuple[int, int]

    def cells(self, stride: int) -> tuple[int, int]:
        """(rows, columns) of the class map that lie on the image by half a cell or more."""
        height, width = self.resized
        return max(1, round(height / stride)), max(1, round(width / stride))


def resized_shape(height: int, width: int, pre: Preprocessing) -> tuple[int, int]:
    """(height, width) after scaling, before padding."""
    if pre.fixed_size:
        return pre.fixed_size, pre.fixed_size
    scale = 1.0
    if pre.max_side and max(height, width) > pre.max_side:
        scale = pre.max_side / max(height, width)
    elif min(height, width) < pre.min_side:
        scale = pre.min_side / min(height, width)
        if pre.max_enlargement:
            scale = min(scale, pre.max_enlargement)
        if pre.max_side:  # a sliver must not grow beyond the limit the other way
            scale = max(1.0, min(scale, pre.max_side / max(height, width)))
    return max(1, round(height * scale)), max(1, round(width * scale))


def resize(image: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Scale (H, W, 3) to ``shape``; area averaging downwards, so fine texture gives no moiré."""
    height, width = image.shape[:2]
    if shape == (height, width):
        return image
    shrinking = shape[0] < height or shape[1] < width
    scaled = cv2.resize(
        image, (shape[1], shape[0]), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC
    )
    return np.asarray(scaled, dtype=np.uint8)


def standardise(image: NDArray[np.uint8], pre: Preprocessing) -> NDArray[np.float32]:
    """uint8 (H, W, 3) to float32 with mean 0 and deviation 1 over the whole image."""
    values = image.astype(np.float32)
    if pre.standardise == "image":
        # One mean and one deviation for all channels: colour is kept, exposure and contrast are not.
        mean, deviation = cv2.meanStdDev(image.reshape(-1, 1))
        return (values - np.float32(mean[0, 0])) / np.float32(max(deviation[0, 0], pre.min_std))
    return (values - np.float32(127.5)) / np.float32(64.0)


def pad(values: NDArray[np.float32], multiple: int) -> NDArray[np.float32]:
    """Extend right and bottom by reflection to a multiple of ``multiple``."""
    height, width = values.shape[:2]
    extra_h, extra_w = -height % multiple, -width % multiple
    if not (extra_h or extra_w):
        return values
    padded = cv2.copyMakeBorder(values, 0, extra_h, 0, extra_w, cv2.BORDER_REFLECT)
    return np.asarray(padded, dtype=np.float32)


def prepare(image: NDArray[np.uint8], pre: Preprocessing) -> tuple[NDArray[np.float32], Placement]:
    """RGB uint8 (H, W, 3) to a network input float32 (3, H', W') and where the image lies in it."""
    height, width = image.shape[:2]
    shape = resized_shape(height, width, pre)
    values = pad(standardise(resize(image, shape), pre), pre.multiple)
    placement = Placement((height, width), shape, values.shape[:2])
    return np.ascontiguousarray(values.transpose(2, 0, 1)), placement
