"""An inspection as pictures: what page, PDF and command line show."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import cache
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from flawsight import imaging
from flawsight.errors import RecordError
from flawsight.i18n import percent
from flawsight.inspection.beside import BESIDE
from flawsight.inspection.explain import edges
from flawsight.inspection.result import Box, Heatmap, Inspection
from flawsight.preprocessing import resize
from flawsight.taxonomy import describe

COLORMAP = cv2.COLORMAP_INFERNO  # dark to bright in even steps, also for colour-blind eyes
HOTTEST = 0.85  # share of the map in use: its pale yellow end would vanish on a white board
HALF_PEAK = 0.5  # the hot region is where the evidence is at least this share of its maximum
CONTEXT = 0.35  # brightness of the part around the edges
EDGE_COLOUR = (255, 225, 0)
BOX_COLOUR = (230, 60, 30)
LABEL_COLOUR = (255, 255, 255)
OPACITY = 0.7  # of the heat layer in the blended picture
REVIEW_GLOW = 0.6  # least opacity of the hottest place where a person must look, however faint the evidence
TRUTH_COLOUR = (0, 200, 255)
TRUTH_FILL = 70  # of 255, opacity inside the outline of a known defect
UNSEEN = 2  # heat up to this level of 255 changes no pixel that anyone could tell; the part stays itself
JPEG_QUALITY = 92  # of pictures that are there to be looked at
LOSSLESS_PIXELS = 4_000_000  # above this a PNG takes seconds and tens of megabytes
LARGEST_SIDE = 2048  # of drawn pictures; the original keeps its size
SMALLEST_SIDE = 480  # pictures with lettering are enlarged to about this, or it could not be read

Pixels = NDArray[np.uint8]
Area: TypeAlias = tuple[int, int, int, int]  # half-open pixels x1, y1, x2, y2


def draw_pictures(inspection: Inspection) -> dict[str, Pixels]:
    """All pictures of one inspection, by name.

    ``original``, ``heatmap`` (blended), ``boxes`` and ``edges`` are RGB (H, W, 3), ``heat_layer`` is RGBA
    (H, W, 4) to be laid over ``original``. All have the size of the image, but ``boxes`` of a small
    image is enlarged by a whole factor so that its lettering can be read.
    """
    return {
        "original": inspection.pixels,
        "heatmap": draw_heatmap(inspection),
        "heat_layer": draw_heat_layer(inspection),
        "boxes": draw_boxes(inspection.pixels, inspection.boxes),
        "edges": draw_edges(inspection),
    }


def encode_pictures(inspection: Inspection, upload: bytes = b"") -> dict[str, bytes]:
    """All pictures of one inspection as PNG or JPEG files, by name; what is stored and sent."""
    return {name: picture.result() for name, picture in start_pictures(inspection, upload).items()}


def start_pictures(inspection: Inspection, upload: bytes = b"") -> dict[str, Future[bytes]]:
    """The files of ``encode_pictures``, being made: each can be on its way while others are drawn.

    ``original`` is ``upload`` itself where any viewer shows those bytes as they were inspected,
    otherwise it is lossless unless it is very large. The others are JPEG, for they are looked at and
    not measured, and ``heat_layer`` is PNG, for it is transparent; none of them is larger than
    ``LARGEST_SIDE``. One that would show the part alone, as the boxes of a good part, is ``original`` again.
    """
    shown = reduced(inspection)
    levels = _heat_levels(shown)
    original = BESIDE.submit(
        lambda: upload if imaging.shows_as_is(upload) else _encode_original(inspection.pixels)
    )
    encoders: dict[str, Callable[[], bytes]] = {
        "boxes": lambda: imaging.encode_jpeg(draw_boxes(shown.pixels, shown.boxes), JPEG_QUALITY),
        # Beside the one before: Pillow lets nothing else run, OpenCV hardly ever minds.
        "heat_layer": lambda: imaging.encode_indexed_png(levels, _palette()),
        "heatmap": lambda: imaging.encode_jpeg(_blend(shown.pixels, levels), JPEG_QUALITY),
        "edges": lambda: imaging.encode_jpeg(draw_edges(shown), JPEG_QUALITY),
    }
    as_large = shown is inspection
    bare = {
        "boxes": as_large and not shown.boxes and _enlarged(shown.pixels) == 1,
        "heatmap": as_large and not levels.any(),
    }
    return {"original": original} | {
        name: original if bare.get(name) else BESIDE.submit(encode) for name, encode in encoders.items()
    }


def reduced(inspection: Inspection) -> Inspection:
    """``inspection`` of a picture of at most ``LARGEST_SIDE`` pixels a side, to draw it in.

    A phone's photo has twelve million pixels; four pictures of that size take seconds and tens of megabytes,
    and no screen shows them.
    """
    height, width = inspection.pixels.shape[:2]
    values = _reduced_values(inspection.heatmap)
    down, across = values.shape[0] / height, values.shape[1] / width
    if down == across == 1:
        return inspection
    return replace(
        inspection,
        pixels=resize(inspection.pixels, (values.shape[0], values.shape[1])),
        heatmap=replace(inspection.heatmap, values=values),
        boxes=tuple(_scaled(box, across, down) for box in inspection.boxes),
    )


def _reduced_values(heatmap: Heatmap) -> NDArray[np.float32]:
    height, width = heatmap.values.shape
    scale = LARGEST_SIDE / max(height, width)
    if scale >= 1:
        return heatmap.values
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(heatmap.values, size, interpolation=cv2.INTER_AREA), np.float32)


def _scaled(box: Box, across: float, down: float) -> Box:
    """``box`` times the factors, outwards to whole pixels."""
    return replace(
        box,
        x1=math.floor(box.x1 * across),
        y1=math.floor(box.y1 * down),
        x2=math.ceil(box.x2 * across),
        y2=math.ceil(box.y2 * down),
    )


def encode_layer(heatmap: Heatmap) -> bytes:
    """``heatmap`` over its own peak as a transparent PNG to lay over the image, no larger than those."""
    return imaging.encode_indexed_png(_levels(_reduced_values(heatmap), 1.0), _palette())


def blend_heat(image: Pixels, heatmap: Heatmap) -> Pixels:
    """``heatmap`` over its own peak, laid over RGB ``image`` (H, W, 3)."""
    return _blend(image, _levels(heatmap.values, 1.0))


def edge_layer(original: bytes, heat_layer: bytes) -> bytes:
    """The Sobel edges inside the hot region of a filed inspection as a transparent PNG.

    Args:
        original, heat_layer: the encoded pictures of those names; a layer that is all clear, as of a
            part without evidence, has no hot region.
    """
    levels = _alpha(heat_layer)
    pixels = resize(imaging.decode(original, max_bytes=len(original)), (levels.shape[0], levels.shape[1]))
    strength = edges(pixels, (levels > UNSEEN) & (levels >= HALF_PEAK * levels.max()))
    colours = np.tile(np.array([*EDGE_COLOUR, 0], np.uint8), (256, 1))
    colours[:, 3] = np.arange(256)
    return imaging.encode_indexed_png(strength, colours)


def truth_layer(mask: bytes) -> bytes:
    """A known defect's mask, a grey picture file, as a transparent PNG: outlined and lightly filled."""
    inside = (imaging.decode(mask, max_bytes=len(mask))[..., 0] > 127).astype(np.uint8)
    reach = 2 * max(1, round(max(inside.shape) / 400)) + 1
    around = cv2.dilate(inside, np.ones((reach, reach), np.uint8))
    colours = np.zeros((256, 4), np.uint8)
    colours[1:] = (*TRUTH_COLOUR, TRUTH_FILL)
    colours[2, 3] = 255
    return imaging.encode_indexed_png(np.where(inside, inside, 2 * around), colours)


def draw_heat_layer(inspection: Inspection) -> Pixels:
    """RGBA (H, W, 4): colour and opacity both say how suspicious a pixel is."""
    return np.asarray(_palette()[_heat_levels(inspection)], np.uint8)


def draw_heatmap(inspection: Inspection) -> Pixels:
    """The heat layer over the image, RGB (H, W, 3)."""
    return _blend(inspection.pixels, _heat_levels(inspection))


def draw_boxes(image: Pixels, boxes: tuple[Box, ...], named: bool = False) -> Pixels:
    """Boxes with their numbers, the first is 1, over the image, RGB; line and digits grow with its size.

    Numbers are the same in every language and cover little; ``named`` writes class title and score beside
    them, for a picture that has to stand alone.
    """
    factor = _enlarged(image)
    size = (image.shape[1] * factor, image.shape[0] * factor)
    canvas = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    width = max(2, round(max(canvas.shape[:2]) / 300))
    places = [(box.x1 * factor, box.y1 * factor, box.x2 * factor, box.y2 * factor) for box in boxes]
    for x1, y1, x2, y2 in reversed(places):  # the surest last, so on top
        cv2.rectangle(canvas, (x1, y1), (x2 - 1, y2 - 1), BOX_COLOUR, width)
    taken = list(places)
    for number, (box, place) in enumerate(zip(boxes, places, strict=True), start=1):
        name = f" {describe(box.class_id).title} {_ascii_percent(box.score)}" if named else ""
        taken.append(_label(canvas, f"{number}{name}", place, taken, width))
    return canvas


def _enlarged(image: Pixels) -> int:
    """How many times a small image is enlarged to be written on."""
    side: int = max(image.shape[:2])
    return max(1, math.ceil(SMALLEST_SIDE / side))


def draw_edges(inspection: Inspection) -> Pixels:
    """Sobel edges inside the hot region, bright over the darkened grey part, RGB (H, W, 3).

    An accepted part has no hot region.
    """
    heat = inspection.heatmap
    hot = heat.values >= HALF_PEAK
    good = inspection.verdict == "accept" and not inspection.identifies
    if good or heat.peak_score <= 0:
        hot = np.zeros_like(hot)
    grey = cv2.convertScaleAbs(cv2.cvtColor(inspection.pixels, cv2.COLOR_RGB2GRAY), alpha=CONTEXT)
    picture = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)
    window = _window(hot.astype(np.uint8))
    around, inside = grey[window], hot[window]
    context = np.where(inside, around // 3, around)  # the region itself steps back behind its edges
    lines = np.maximum(context, edges(inspection.pixels, hot)[window])
    blue = np.where(inside, lines // 2, lines)  # edges are yellow
    picture[window] = np.stack((lines, lines, blue), axis=2)
    return picture


def _heat_levels(inspection: Inspection) -> Pixels:
    """Heat (H, W), 0..255.

    The heat map is relative to its own maximum, so it would glow on every part; times the defect
    probability it fades where there is nothing to show. A part for review never fades beyond what can be
    seen: a person has to look, and this is where.
    """
    share = inspection.confidence if inspection.identifies else inspection.defect_probability
    if inspection.verdict == "review":
        share = max(share, REVIEW_GLOW)
    return _levels(inspection.heatmap.values, share)


def _levels(values: NDArray[np.float32], strength: float) -> Pixels:
    """Values (H, W) in [0, 1], times ``strength``, as 0..255."""
    levels = cv2.convertScaleAbs(values, alpha=255 * strength)
    return np.asarray(cv2.threshold(levels, UNSEEN, 255, cv2.THRESH_TOZERO)[1], np.uint8)


def _alpha(layer: bytes) -> Pixels:
    """The opacity (H, W), 0..255, of a transparent PNG."""
    pixels = cv2.imdecode(np.frombuffer(layer, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.ndim != 3 or pixels.shape[2] != 4:
        raise RecordError(
            "A stored picture is damaged. Restore the instance folder from a backup, or inspect again."
        )
    return np.ascontiguousarray(pixels[..., 3])


def _blend(image: Pixels, levels: Pixels) -> Pixels:
    """The colours of ``levels`` (H, W) over RGB ``image`` (H, W, 3); in bytes, so large images stay lean.

    Where the level is 0 the image stays as it is.
    """
    blended, window = image.copy(), _window(levels)
    if not levels[window].size:
        return blended
    palette = _palette()
    opacity = np.repeat(palette[:, 3:].astype(np.float32) * np.float32(OPACITY / 255), 3, axis=1)  # (256, 3)
    shares, colours = ((1 - opacity) * 255, palette[:, :3] * opacity)
    rest, glow = (
        cv2.applyColorMap(levels[window], np.round(table).astype(np.uint8).reshape(256, 1, 3))
        for table in (shares, colours)
    )
    blended[window] = cv2.add(cv2.multiply(image[window], rest, scale=1 / 255), glow)
    return blended


def _window(values: Pixels) -> tuple[slice, slice]:
    """The part of ``values`` (H, W) outside of which all are 0."""
    left, top, width, height = cv2.boundingRect(values)
    return slice(top, top + height), slice(left, left + width)


def _encode_original(pixels: Pixels) -> bytes:
    large = pixels.shape[0] * pixels.shape[1] > LOSSLESS_PIXELS
    return imaging.encode_jpeg(pixels) if large else imaging.encode_png(pixels)


@cache
def _palette() -> Pixels:
    """RGBA (256, 4): a colour for each level, as opaque as the level is high."""
    levels = np.arange(256, dtype=np.uint8)
    bgr = cv2.applyColorMap(np.round(levels * HOTTEST).astype(np.uint8), COLORMAP).reshape(256, 3)
    return np.column_stack([bgr[:, ::-1], levels]).astype(np.uint8)


def _label(canvas: Pixels, text: str, box: Area, taken: Sequence[Area], line: int) -> Area:
    """A line of white on the box's colour outside of ``box``; where it lies.

    It is put where it fits and hides the fewest of the areas that are ``taken``, at best above the box. A box
    that leaves no room around it has it in its corner.
    """
    x1, y1, x2, y2 = box
    height, width = canvas.shape[:2]
    scale, thickness, gap = max(0.5, max(height, width) / 800), max(1, line // 2), 2 * line
    (letters, up), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    across, tall = letters + gap, up + below + gap
    x, y = max(0, min(x1, width - across)), max(0, min(y1, height - tall))
    corners = ((x, y1 - tall), (x, y2), (x2, y), (x1 - across, y))
    around = [(left, top, left + across, top + tall) for left, top in corners]
    fitting = [one for one in around if _overlap(one, (0, 0, width, height)) == across * tall]
    inside = (x, y, x + across, y + tall)
    area = min(fitting, key=lambda one: sum(_overlap(one, other) for other in taken), default=inside)
    left, top, right, bottom = area
    cv2.rectangle(canvas, (left, top), (right, bottom), BOX_COLOUR, cv2.FILLED)
    origin = (left + gap // 2, top + gap // 2 + up)
    cv2.putText(canvas, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, LABEL_COLOUR, thickness, cv2.LINE_AA)
    return area


def _overlap(one: Area, other: Area) -> int:
    """Pixels that two areas share."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0, width) * max(0, height)


def _ascii_percent(share: float) -> str:
    """``percent`` as the drawn letters can write it: they have no space but the plain one."""
    return percent(share).replace("\N{NO-BREAK SPACE}", " ")
