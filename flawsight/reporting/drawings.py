"""What a report draws: pictures, bars, the threshold scale, tick boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import cv2
import numpy as np
from PIL import Image
from reportlab.graphics.shapes import Drawing, Line, Polygon, PolyLine, Rect, String
from reportlab.lib.colors import HexColor, white
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.platypus import Flowable

from flawsight.errors import RecordError
from flawsight.i18n import percent
from flawsight.reporting.finding import Mark
from flawsight.reporting.style import (
    ACCENT,
    BOLD,
    INK,
    MUTED,
    PALE,
    PERSON,
    REGULAR,
    RULE,
    VERDICT_COLOURS,
    shown,
)
from flawsight.taxonomy import describe

PICTURE_DPI = 200
LABEL_SIZE = 6.0
JPEG_QUALITY = 88
REDUCED = (  # a JPEG can be unpacked smaller, in a fraction of the time
    (8, cv2.IMREAD_REDUCED_COLOR_8),
    (4, cv2.IMREAD_REDUCED_COLOR_4),
    (2, cv2.IMREAD_REDUCED_COLOR_2),
)
BOX_COLOUR = HexColor("#c8340f")  # dark enough for white letters
BOX_LETTERS = 5.6  # points
NAMED_BOXES = 12  # of more boxes than that each has its number only
TICK_GAP = 14.0  # points between a label and the next box to tick
TICK_LINE = 14.0
Area = tuple[float, float, float, float]  # left, bottom, right, top


@dataclass(frozen=True)
class Over:
    """A labelled box over a picture, as shares of its width and height from the top left corner."""

    label: str
    x1: float
    y1: float
    x2: float
    y2: float


def share_of(mark: Mark, image: Mapping[str, Any]) -> Over:
    """A box as shares of the picture's sides: it may be drawn at any size."""
    width, height = image["width"], image["height"]
    return Over(mark.label, mark.x1 / width, mark.y1 / height, mark.x2 / width, mark.y2 / height)


class Picture(Flowable):  # type: ignore[misc]  # reportlab ships no types
    """An encoded image as large as fits ``width`` x ``height`` points, reduced to what print can show.

    The boxes ``over`` it are a person's: blue and dashed, so that they are told from the model's.

    Raises:
        RecordError: the bytes are no image.
    """

    def __init__(
        self, name: str, encoded: bytes, width: float, height: float, over: Sequence[Over] = ()
    ) -> None:
        super().__init__()
        self._over = over
        longest = max(width, height) * PICTURE_DPI / 72
        pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), _how_to_read(encoded, longest))
        if pixels is None:
            raise RecordError(
                "A stored picture is damaged. Restore the instance folder from a backup, or inspect again."
            )
        rows, columns = pixels.shape[:2]
        scale = min(width / columns, height / rows)  # points a pixel
        self.width, self.height = max(1.0, scale * columns), max(1.0, scale * rows)
        reduction = scale * PICTURE_DPI / 72
        if reduction < 1:
            size = max(1, round(columns * reduction)), max(1, round(rows * reduction))
            pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        _, jpeg = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
        self._reader = _NamedJpeg(name, jpeg.tobytes())

    def wrap(self, *_: float) -> tuple[float, float]:
        return self.width, self.height

    def draw(self) -> None:
        self.canv.drawImage(self._reader, 0, 0, self.width, self.height)
        self.canv.setStrokeColor(RULE)  # a white board would have no edge on paper
        self.canv.setLineWidth(0.4)
        self.canv.rect(0, 0, self.width, self.height)
        for box in self._over:
            self._draw_box(box)

    def _draw_box(self, box: Over) -> None:
        left, right = box.x1 * self.width, box.x2 * self.width
        top, bottom = (1 - box.y1) * self.height, (1 - box.y2) * self.height
        for colour, line, dash in ((white, 2.2, ()), (PERSON, 1.1, (3, 2))):  # white: seen on any part
            self.canv.setStrokeColor(colour)
            self.canv.setLineWidth(line)
            self.canv.setDash(dash)
            self.canv.rect(left, bottom, right - left, top - bottom)
        self.canv.setDash()
        across = stringWidth(box.label, BOLD, LABEL_SIZE) + 3
        tall = LABEL_SIZE + 1.5
        x = min(left, self.width - across)
        y = top if top + tall <= self.height else max(0.0, bottom - tall)
        self.canv.setFillColor(PERSON)
        self.canv.rect(x, y, across, tall, stroke=0, fill=1)
        self.canv.setFillColor(white)
        self.canv.setFont(BOLD, LABEL_SIZE)
        self.canv.drawString(x + 1.5, y + 1.8, box.label)


def _how_to_read(encoded: bytes, longest: float) -> int:
    """OpenCV's way to unpack a picture of which ``longest`` pixels a side are needed."""
    try:
        with Image.open(BytesIO(encoded), formats=("JPEG",)) as image:
            factor = max(image.size) / longest
    except Exception:  # as for every header: whatever is wrong, it is read as it is
        factor = 1.0
    return next((how for least, how in REDUCED if factor >= least), cv2.IMREAD_COLOR)


class BoxedPicture(Picture):
    """The original of an inspection with its boxes drawn over it: sharp in print, in the reader's language.

    Args:
        data: the inspection, as ``Inspection.to_dict()`` gives it. Its boxes are numbered in their order
            there, as in the table of the report and in the viewer.
        over: boxes that a person drew.
    """

    def __init__(
        self,
        name: str,
        original: bytes,
        data: Mapping[str, Any],
        width: float,
        height: float,
        over: Sequence[Over] = (),
    ) -> None:
        super().__init__(name, original, width, height, over)
        self._boxes = data["boxes"]
        self._scale = self.width / data["image"]["width"]  # points a pixel

    def draw(self) -> None:
        super().draw()
        areas = [self._area(box) for box in self._boxes]
        for colour, line in ((white, 2.2), (BOX_COLOUR, 1.1)):  # a white rim shows it on a dark part
            self.canv.setStrokeColor(colour)
            self.canv.setLineWidth(line)
            for left, bottom, right, top in areas:
                self.canv.rect(left, bottom, right - left, top - bottom)
        self.canv.setFont(REGULAR, BOX_LETTERS)
        labels: list[Area] = []
        for number, (box, area) in enumerate(zip(self._boxes, areas, strict=True), start=1):
            others = [other for other in areas if other is not area]  # a label must not hide another defect
            labels.append(self._label(self._words(number, box), area, [*labels, *others]))

    def _area(self, box: Mapping[str, Any]) -> Area:
        left, right = box["x1"] * self._scale, box["x2"] * self._scale
        return left, self.height - box["y2"] * self._scale, right, self.height - box["y1"] * self._scale

    def _words(self, number: int, box: Mapping[str, Any]) -> list[str]:
        """What its label says, and what it says where there is no room for that."""
        title = shown(describe(box["class"]).title, 40)
        if len(self._boxes) == 1:
            return [fitted(title, REGULAR, BOX_LETTERS, self.width - 4)]
        named = fitted(f"{number} {title}", REGULAR, BOX_LETTERS, self.width - 4)
        return [named, str(number)] if len(self._boxes) <= NAMED_BOXES else [str(number)]

    def _label(self, words: Sequence[str], around: Area, taken: Sequence[Area]) -> Area:
        """A line of white above the box, below it or inside, wherever it covers no other; its place."""
        places = [(text, place) for text in words for place in self._places(text, around)]
        free = (one for one in places if not any(_overlap(one[1], other) for other in taken))
        text, (left, bottom, right, top) = next(free, places[-1])
        self.canv.setFillColor(BOX_COLOUR)
        self.canv.rect(left, bottom, right - left, top - bottom, stroke=0, fill=1)
        self.canv.setFillColor(white)
        self.canv.drawString(left + 1.5, bottom + 2, text)
        return left, bottom, right, top

    def _places(self, text: str, around: Area) -> list[Area]:
        """Where a label may stand within the picture, the best first."""
        across, tall = stringWidth(text, REGULAR, BOX_LETTERS) + 3, BOX_LETTERS + 2
        left = max(0.0, min(around[0], self.width - across))
        lows = (around[3], around[1] - tall, around[3] - tall)
        places = [(left, low, left + across, low + tall) for low in lows]
        return [place for place in places if place[1] >= 0 and place[3] <= self.height] or places[-1:]


def _overlap(one: Area, other: Area) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


class _NamedJpeg(ImageReader):  # type: ignore[misc]  # reportlab ships no types
    """A JPEG that goes into the file as it is.

    reportlab decodes an image to name it after its pixels. Naming it after its role saves that, and
    keeps four pictures four where two are alike, as on a good part.
    """

    _dataA = None  # noqa: N815  (no transparency; reportlab's name)

    def __init__(self, name: str, jpeg: bytes) -> None:
        super().__init__(BytesIO(jpeg))
        self._identity = name.encode() + jpeg

    def getRGBData(self) -> bytes:  # noqa: N802  (reportlab's name)
        return self._identity


def bars(shares: Sequence[tuple[str, float]], width: float, highlight: str) -> Drawing:
    """One horizontal bar for each (label, probability); the label ``highlight`` stands out."""
    row, value_width = 14.0, 40.0
    longest = max((stringWidth(label, BOLD, 7.2) for label, _ in shares), default=0.0)
    label_width = min(max(longest + 6, 0.3 * width), 0.6 * width)
    full = width - label_width - value_width
    drawing = Drawing(width, row * len(shares))
    for index, (label, share) in enumerate(shares):
        bottom = drawing.height - (index + 1) * row + 3
        strong = label == highlight
        font = BOLD if strong else REGULAR
        drawing.add(
            String(
                0,
                bottom + 1.5,
                fitted(label, font, 7.2, label_width - 6),
                fontName=font,
                fontSize=7.2,
                fillColor=INK,
            )
        )
        drawing.add(Rect(label_width, bottom, full, 8, fillColor=PALE, strokeColor=None))
        drawing.add(
            Rect(
                label_width, bottom, full * share, 8, fillColor=ACCENT if strong else MUTED, strokeColor=None
            )
        )
        drawing.add(
            String(
                width,
                bottom + 1.5,
                percent(share),
                fontName=font,
                fontSize=7.2,
                fillColor=INK,
                textAnchor="end",
            )
        )
    return drawing


def threshold_scale(probability: float, zones: Sequence[tuple[str, str, float]], width: float) -> Drawing:
    """A probability on a line from 0 to 100 % with its zones and a pointer.

    A zone is the verdict whose colour it has, its name and where it ends; the first begins at 0. Names that
    have no room within their zone stand below, each after its colour.
    """
    starts = (0.0, *(end for _, _, end in zones[:-1]))
    seen = [(*zone, start) for zone, start in zip(zones, starts, strict=True) if zone[2] > start]
    outside = [
        (verdict, name)
        for verdict, name, end, start in seen
        if stringWidth(name, REGULAR, 6.4) + 4 > (end - start) * width
    ]
    low = 12.0 if outside else 0.0
    drawing = Drawing(width, 44 + low)
    for verdict, name, end, start in seen:
        left, across, colour = start * width, (end - start) * width, VERDICT_COLOURS[verdict]
        drawing.add(Rect(left, low + 14, across, 12, fillColor=colour, strokeColor=white))
        if (verdict, name) not in outside:
            drawing.add(_word(left + across / 2, low + 17.5, name, white, "middle"))
    for limit, at, anchor in _limit_places(sorted(set(starts[1:])), width):
        drawing.add(Line(limit * width, low + 10, limit * width, low + 26, strokeColor=INK, strokeWidth=0.6))
        drawing.add(_word(at, low + 2.5, percent(limit), MUTED, anchor))
    left = 0.0
    for verdict, name in outside:
        drawing.add(Rect(left, 4, 6, 6, fillColor=VERDICT_COLOURS[verdict], strokeColor=None))
        drawing.add(_word(left + 8.5, 4.6, name, MUTED, "start"))
        left += stringWidth(name, REGULAR, 6.4) + 20
    at = probability * width
    drawing.add(Polygon([at, low + 27, at - 4, low + 34, at + 4, low + 34], fillColor=INK, strokeColor=None))
    at = min(max(at, 17), width - 17)
    drawing.add(
        String(
            at,
            low + 36.5,
            percent(probability),
            fontName=BOLD,
            fontSize=7.2,
            fillColor=INK,
            textAnchor="middle",
        )
    )
    return drawing


def _limit_places(limits: Sequence[float], width: float) -> list[tuple[float, float, str]]:
    """Each limit, where its number stands and how that is aligned; two close ones stand side by side."""
    places = [(limit, min(max(limit * width, 12), width - 12), "middle") for limit in limits]
    if len(places) == 2 and places[1][1] - places[0][1] < 32:
        between = min(max((places[0][1] + places[1][1]) / 2, 30), width - 30)
        return [(limits[0], between - 2, "end"), (limits[1], between + 2, "start")]
    return places


def _word(x: float, y: float, text: str, colour: Any, anchor: str) -> String:
    return String(x, y, text, fontName=REGULAR, fontSize=6.4, fillColor=colour, textAnchor=anchor)


def tick_boxes(labels: Sequence[str], width: float, ticked: str = "") -> Drawing:
    """Boxes in as many rows as they need, each with its label; the one labelled ``ticked`` is ticked."""
    sizes = [13.5 + stringWidth(label, REGULAR, 8.2) for label in labels]
    rows: list[list[int]] = [[]]
    for index, size in enumerate(sizes):
        if rows[-1] and sum(sizes[one] + TICK_GAP for one in rows[-1]) + size > width:
            rows.append([])
        rows[-1].append(index)
    drawing = Drawing(width, TICK_LINE * len(rows) - 1)
    room = width - sum(sizes[index] for index in rows[0])
    gap = min(60.0, room / max(1, len(rows[0]) - 1)) if len(rows) == 1 else TICK_GAP
    for line, row in enumerate(rows, start=1):
        left, bottom = 0.5, TICK_LINE * (len(rows) - line)
        for index in row:
            _tick_box(drawing, left, bottom, labels[index], labels[index] == ticked)
            left += sizes[index] + gap
    return drawing


def _tick_box(drawing: Drawing, left: float, bottom: float, label: str, ticked: bool) -> None:
    drawing.add(Rect(left, bottom + 2, 8.5, 8.5, fillColor=white, strokeColor=INK, strokeWidth=0.8))
    if ticked:
        points = [left + 1.9, bottom + 6.2, left + 3.7, bottom + 4.2, left + 7.1, bottom + 9]
        drawing.add(PolyLine(points, strokeColor=INK, strokeWidth=1.4))
    words = String(left + 13, bottom + 3.4, label, fontName=REGULAR, fontSize=8.2, fillColor=INK)
    drawing.add(words)


def ruled_blank(width: float) -> Drawing:
    """A line to write on."""
    drawing = Drawing(width, 11)
    drawing.add(Line(0, 1.5, width, 1.5, strokeColor=RULE, strokeWidth=0.8))
    return drawing


def fitting_size(text: str, font: str, size: float, width: float) -> float:
    """``size``, or less where the longest word of ``text`` would not fit ``width`` points."""
    longest = max((stringWidth(word, font, size) for word in text.split()), default=0)
    return size * min(1.0, width / longest) if longest else size


def fitted(text: str, font: str, size: float, width: float) -> str:
    """``text`` cut, with an ellipsis, to ``width`` points."""
    if stringWidth(text, font, size) <= width:
        return text
    while text and stringWidth(text + "…", font, size) > width:
        text = text[:-1]
    return text.rstrip() + "…"
