"""Why: class maps, CAM, boxes and edges, in NumPy and OpenCV alone.

The network ends in global average pooling and one ``Linear`` head (W, b). For such a head the class
activation map ``W[k] · A`` of Zhou et al., "Learning deep features for discriminative localization",
CVPR 2016, is what Grad-CAM (Selvaraju et al., ICCV 2017) gives at the last feature map A, up to a
positive factor: the gradient of logit k with respect to every cell of channel c is W[k, c] / cells.
So no backward pass is needed.

Names of sizes: K classes, C channels, (h, w) cells; one cell covers ``stride`` x ``stride`` pixels of
the network's input, cell i the half-open range [i * stride, (i + 1) * stride).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flawsight.inspection.engines import Float, Head
from flawsight.inspection.result import Box, Heatmap
from flawsight.metadata import Decision
from flawsight.preprocessing import Placement

DEFECT_MAP = "defect-map"
CLASS_MAP = "class-map"
CAM = "cam"
# Methods of the grad-cam package, by key; ``learning.cams`` runs them.
GRAD_CAM_METHODS = {
    "grad-cam": "Grad-CAM",
    "grad-cam++": "Grad-CAM++",
    "layer-cam": "LayerCAM",
    "eigen-cam": "Eigen-CAM",
    "score-cam": "Score-CAM (32 strongest channels)",
}
SOFTNESS = 0.5  # cells, standard deviation
CURVE_POINTS = 8  # to a cell
OUTLINE = 0.5  # of a class that ``Decision.box_outline`` does not name
PROBABILITIES = (DEFECT_MAP, CLASS_MAP)  # the methods whose scores are probabilities
TITLES = {
    DEFECT_MAP: "Defect map",
    CLASS_MAP: "Class map",
    CAM: "Class activation map (CAM)",
    **GRAD_CAM_METHODS,
}


def cam(features: Float, head: Head, index: int) -> Float:
    """Class activation map of class ``index``, (h, w), >= 0: ``ReLU(W[index] · A)``."""
    weight = head.at(features).weight[index]
    return np.maximum(np.tensordot(weight, features, axes=1), 0).astype(np.float32)


def cell_probabilities(scores: Float) -> Float:
    """Softmax over the classes in every cell: (K, h, w) to (K, h, w), sums to 1 along axis 0."""
    powers = np.exp(scores - scores.max(axis=0, keepdims=True))
    return np.asarray(powers / powers.sum(axis=0, keepdims=True), np.float32)


def real_cells(cells: Float, placement: Placement, stride: int) -> Float:
    """The cells (..., h', w') of ``cells`` (..., h, w) that lie on the image, not on padding."""
    rows, columns = placement.cells(stride)
    return cells[..., :rows, :columns]


def on_input(cells: Float, placement: Placement, stride: int, *, smooth: bool = False) -> Float:
    """Cells (h, w) to pixels of the resized image, padding cut off; bilinear between cell centres.

    With ``smooth``, for probabilities, what lies across several cells is hottest in its middle, see
    ``_smoothed``.

    Raises:
        ValueError: the number of cells does not fit the placement.
    """
    expected = tuple(math.ceil(side / stride) for side in placement.padded)
    if cells.shape != expected:
        raise ValueError(f"Expected {expected} cells for an input of {placement.padded}, got {cells.shape}")
    rows, columns = (math.ceil(side / stride) for side in placement.resized)  # what has a share of the image
    spread = _smoothed(cells[:rows, :columns], stride) if smooth else _spread(cells, stride)
    return spread[: placement.resized[0], : placement.resized[1]]


def on_image(cells: Float, placement: Placement, stride: int, *, smooth: bool = False) -> Float:
    """Cells (h, w) to pixels (H, W) of the original image; ``smooth`` as in :func:`on_input`."""
    spread = on_input(cells, placement, stride, smooth=smooth)
    if placement.original == placement.resized:
        return np.ascontiguousarray(spread)
    shrinking = placement.original[0] < placement.resized[0]
    method = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(spread, placement.original[::-1], interpolation=method), np.float32)


def heatmap(cells: Float, class_id: str, method: str, placement: Placement, stride: int) -> Heatmap:
    """Non-negative evidence (h, w) as a heat map over the original image.

    ``peak_score`` is the evidence of the strongest cell at the peak, see ``_cell_at``. Probabilities are
    spread smoothly. A map without any evidence is all zero.
    """
    values = on_image(cells, placement, stride, smooth=method in PROBABILITIES)
    y, x = (int(i) for i in np.unravel_index(np.argmax(values), values.shape))
    top = float(values[y, x])
    if top <= 0:
        return Heatmap(class_id, np.zeros_like(values), (x, y), 0.0, method)
    score = _cell_at(real_cells(cells, placement, stride), x, y, placement, stride)
    values /= np.float32(top)
    return Heatmap(class_id, values, (x, y), score, method)


def boxes_from_cells(
    probabilities: Float,
    classes: tuple[str, ...],
    defects: tuple[str, ...],
    placement: Placement,
    stride: int,
    decision: Decision,
) -> tuple[Box, ...]:
    """Boxes around the places that are probably defective.

    A region is where the probability of any defect is at least ``decision.box_level``. What in it comes near
    its highest probability (``decision.box_outline``) gets a box, more than one where the region has several
    such parts. A box is named by the class that has the most probability inside, so a place that six classes
    share has one box, not six. Its score is that class's probability in its strongest cell; below
    the class's ``decision.box_score`` it is left out.

    Args:
        probabilities: (K, h, w) per cell, over all classes.

    Returns:
        Boxes in pixels of the original image, highest score first.
    """
    names = [name for name in classes if name in defects]
    cells = probabilities[[classes.index(name) for name in names]]  # (D, h, w)
    hot = cells.sum(axis=0) >= decision.box_level
    if not hot.any():
        return ()
    rows, columns = _around(hot)
    cells = cells[:, rows, columns]
    first_row, first_column = rows.start * stride, columns.start * stride  # pixels of the input
    spread = _spread(cells.sum(axis=0), stride)
    spread = spread[: placement.resized[0] - first_row, : placement.resized[1] - first_column]
    smallest = decision.min_box_area * placement.original[0] * placement.original[1]
    boxes = []
    for region in _components(spread >= decision.box_level):
        values = region.keep(spread)
        own, _ = _class_of(cells, region, values, stride)
        level = float(values.max()) * decision.box_outline.get(names[own], OUTLINE)
        for part in _components(values >= max(level, decision.box_level), region.top, region.left):
            own, score = _class_of(cells, part, part.keep(spread), stride)
            box = _box(part, first_row, first_column, placement, score, names[own])
            wanted = decision.box_score.get(names[own], 0.0)
            if score >= wanted and (box.x2 - box.x1) * (box.y2 - box.y1) >= smallest:
                boxes.append(box)
    return tuple(sorted(boxes, key=lambda box: -box.score))


def edges(image: NDArray[np.uint8], hot: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Sobel edge strength (H, W) of RGB (H, W, 3) inside ``hot`` (H, W), 0 elsewhere.

    255 is the strongest edge inside; without an edge or a hot pixel everything is 0.
    """
    found = np.zeros(hot.shape, np.uint8)
    left, top, width, height = cv2.boundingRect(hot.astype(np.uint8))
    if not width:
        return found
    # One pixel more on each side where there is one, so that the region's rim has true neighbours.
    window = np.s_[max(0, top - 1) : top + height + 1, max(0, left - 1) : left + width + 1]
    grey = cv2.cvtColor(np.ascontiguousarray(image[window]), cv2.COLOR_RGB2GRAY)
    slopes = (cv2.Sobel(grey, cv2.CV_32F, *axis, ksize=3) for axis in ((1, 0), (0, 1)))
    strength = np.where(hot[window], cv2.magnitude(*slopes), 0)
    strongest = float(strength.max())
    if strongest > 0:
        found[window] = np.round(strength * (255 / strongest))
    return found


@dataclass(frozen=True)
class _Part:
    """Pixels that hang together: ``inside`` (h, w) of a window whose corner is (``top``, ``left``)."""

    top: int
    left: int
    inside: NDArray[np.bool_]

    def keep(self, values: Float) -> Float:
        """The window of ``values``, 0 outside of the part."""
        height, width = self.inside.shape
        window = values[self.top : self.top + height, self.left : self.left + width]
        return np.where(self.inside, window, np.float32(0))


def _components(mask: NDArray[np.bool_], top: int = 0, left: int = 0) -> Iterator[_Part]:
    """The connected parts of ``mask``, whose corner is (``top``, ``left``)."""
    binary = mask.astype(np.uint8)
    # 16 bits take half the time; a map that is spread from cells has no more parts than cells.
    way: Any = {"connectivity": 8, "ltype": cv2.CV_16U}
    count, labels = cv2.connectedComponents(binary, **way)
    if count == 2:  # beside the background one part, as mostly: far sooner framed than by the figures of all
        frames = [cv2.boundingRect(binary)]
    else:
        frames = cv2.connectedComponentsWithStats(binary, **way)[2][1:, :4].tolist()
    for label, (x, y, width, height) in enumerate(frames, 1):
        yield _Part(top + y, left + x, labels[y : y + height, x : x + width] == label)


def _class_of(cells: Float, part: _Part, values: Float, stride: int) -> tuple[int, float]:
    """Which of the classes (D, h, w) is strongest in the part, and its value in the strongest cell."""
    y, x = np.unravel_index(np.argmax(values), values.shape)
    peak = cells[:, (part.top + int(y)) // stride, (part.left + int(x)) // stride]
    # A cell is in the part if its middle is. A small part may hold no middle: its peak counts anyway.
    middle = stride // 2
    row, column = (max(0, -((middle - start) // stride)) for start in (part.top, part.left))
    offset_y, offset_x = row * stride + middle - part.top, column * stride + middle - part.left
    members = part.inside[offset_y::stride, offset_x::stride]
    window = cells[:, row : row + members.shape[0], column : column + members.shape[1]]
    own = int(np.argmax(window[:, members].sum(axis=1) + peak))
    return own, float(peak[own])


def _box(part: _Part, row: int, column: int, placement: Placement, score: float, class_id: str) -> Box:
    """The part's box on the original image; its window lies (row, column) pixels into the input."""
    (height, width), (input_height, input_width) = placement.original, placement.resized
    top, left = part.top + row, part.left + column
    down, across = part.inside.shape
    return Box(
        x1=left * width // input_width,
        y1=top * height // input_height,
        x2=min(width, -(-(left + across) * width // input_width)),
        y2=min(height, -(-(top + down) * height // input_height)),
        score=score,
        class_id=class_id,
    )


def _spread(cells: Float, stride: int) -> Float:
    """Cells (h, w) to pixels (h * stride, w * stride), bilinear."""
    height, width = cells.shape
    # OpenCV aligns pixel borders, not centres of corner pixels: cell i lands on its own pixels.
    spread = cv2.resize(cells, (width * stride, height * stride), interpolation=cv2.INTER_LINEAR)
    return np.asarray(spread, np.float32)


def _smoothed(cells: Float, stride: int) -> Float:
    """Probabilities (h, w) to pixels (h * stride, w * stride), each place as high as its strongest cell.

    Probabilities near 1 do not rank the cells that share a flaw: one wins by a hair, and the peak would lie
    in its middle, though the flaw may only cross its rim. So the cells are softened, which raises what has
    hot neighbours, and lifted again to what they were.
    """
    soft = cv2.GaussianBlur(cells, (3, 3), SOFTNESS, borderType=cv2.BORDER_CONSTANT)
    around = np.ones((3, 3), np.uint8)
    lift = cv2.dilate(cells, around) / np.maximum(cv2.dilate(soft, around), np.finfo(np.float32).tiny)
    # The curve needs few points; straight lines between these are as good and much sooner drawn.
    height, width = cells.shape
    points = (width * CURVE_POINTS, height * CURVE_POINTS)
    curve = np.asarray(cv2.resize(soft * lift, points, interpolation=cv2.INTER_CUBIC), np.float32)
    np.maximum(curve, np.float32(0), out=curve)
    return _spread(curve, stride // CURVE_POINTS)


def _around(hot: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Rows and columns of the hot cells, and two more on each side.

    A pixel lies between at most two cells each way, so inside these every pixel near a hot cell is what
    it would be without the cut.
    """
    spans = (np.flatnonzero(hot.any(axis=axis)) for axis in (1, 0))
    rows, columns = (slice(max(0, int(span[0]) - 2), int(span[-1]) + 3) for span in spans)
    return rows, columns


def _cell_at(cells: Float, x: int, y: int, placement: Placement, stride: int) -> float:
    """The value of the strongest cell whose middle is within a cell of pixel (x, y) of the original image."""
    row = (y + 0.5) * placement.resized[0] / placement.original[0] / stride - 0.5
    column = (x + 0.5) * placement.resized[1] / placement.original[1] / stride - 0.5
    rows, columns = (slice(max(0, math.ceil(at - 1)), math.floor(at + 1) + 1) for at in (row, column))
    return float(cells[rows, columns].max())
