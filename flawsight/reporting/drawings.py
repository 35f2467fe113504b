"""What a report draws: pictures, bars, the threshold scale, tick boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import cv2
import numpy as np
from reportlab.graphics.shapes import Drawing, Line, Polygon, PolyLine, Rect, String
from reportlab.lib.colors import white
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.platypus import Flowable

from flawsight.errors import RecordError
from flawsight.i18n import percent
from flawsight.reporting.style import ACCENT, BOLD, INK, MUTED, PALE, PERSON, REGULAR, RULE, VERDICT_COLOURS

PICTURE_DPI = 200
LABEL_SIZE = 6.0
TICK_WIDTH = 18.0  # of a box to tick and the space around it, points
JPEG_QUALITY = 88


@dataclass(frozen=True)
class Over:
    """A labelled box over a picture, as shares of its width and height from the top left corner."""

    label: str
    x1: float
    y1: float
    x2: float
    y2: float


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
        pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
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
    row, label_width, value_width = 14.0, 0.42 * width, 40.0
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

    A zone is the verdict whose colour it has, its name and where it ends; the first begins at 0.
    """
    drawing = Drawing(width, 44)
    limits = [end for _, _, end in zones[:-1]]
    for (verdict, name, end), start in zip(zones, (0.0, *limits), strict=True):
        if end <= start:
            continue
        drawing.add(
            Rect(
                start * width,
                14,
                (end - start) * width,
                12,
                fillColor=VERDICT_COLOURS[verdict],
                strokeColor=white,
            )
        )
        if stringWidth(name, REGULAR, 6.4) + 4 < (end - start) * width:
            middle = (start + end) / 2 * width
            drawing.add(
                String(
                    middle, 17.5, name, fontName=REGULAR, fontSize=6.4, fillColor=white, textAnchor="middle"
                )
            )
    for limit in sorted(set(limits)):
        at = min(max(limit * width, 12), width - 12)
        drawing.add(Line(limit * width, 10, limit * width, 26, strokeColor=INK, strokeWidth=0.6))
        drawing.add(
            String(
                at, 2.5, percent(limit), fontName=REGULAR, fontSize=6.4, fillColor=MUTED, textAnchor="middle"
            )
        )
    at = probability * width
    drawing.add(Polygon([at, 27, at - 4, 34, at + 4, 34], fillColor=INK, strokeColor=None))
    at = min(max(at, 17), width - 17)
    drawing.add(
        String(
            at, 36.5, percent(probability), fontName=BOLD, fontSize=7.2, fillColor=INK, textAnchor="middle"
        )
    )
    return drawing


def tick_boxes(labels: Sequence[str], width: float, ticked: str = "") -> Drawing:
    """Boxes in a row, each with its label, to be ticked by hand; the one labelled ``ticked`` is."""
    drawing = Drawing(width, 13)
    size, words = 8.2, [stringWidth(label, REGULAR, 8.2) for label in labels]
    room = width - TICK_WIDTH * len(labels)
    shrunk = min(1.0, room / sum(words))
    gap = (room - shrunk * sum(words)) / len(labels)
    left = 0.0
    for label, wide in zip(labels, words, strict=True):
        drawing.add(Rect(left + 0.5, 2, 8.5, 8.5, fillColor=white, strokeColor=INK, strokeWidth=0.8))
        if label == ticked:
            tick = [left + x if i % 2 == 0 else x for i, x in enumerate((2.4, 6.2, 4.2, 4.2, 7.6, 9))]
            drawing.add(PolyLine(tick, strokeColor=INK, strokeWidth=1.4))
        drawing.add(String(left + 13.5, 3.4, label, fontName=REGULAR, fontSize=shrunk * size, fillColor=INK))
        left += TICK_WIDTH + shrunk * wide + gap
    return drawing


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
