"""Page one, for the person at the line: what was inspected, the verdict, the pictures."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from reportlab.lib.colors import white
from reportlab.lib.enums import TA_CENTER, TA_RIGHT
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.platypus import Flowable, Spacer, Table

from flawsight.i18n import gettext as _
from flawsight.i18n import in_this_language, marked, ngettext, percent
from flawsight.inspection.words import identifies, product_of, reason_of, warnings_of
from flawsight.records.record import Record
from flawsight.reporting import style
from flawsight.reporting.drawings import (
    BoxedPicture,
    Picture,
    fitting_size,
    ruled_blank,
)
from flawsight.reporting.layout import Cell, table
from flawsight.reporting.style import CONTENT_HEIGHT, CONTENT_WIDTH, paragraph, safe, shown
from flawsight.reporting.words import (
    next_step,
    severity_words,
    verdict_word,
)
from flawsight.taxonomy import describe

GUTTER = 8.0
FIELDS = (
    (marked("Site"), ("site",)),
    (marked("Line"), ("line",)),
    (marked("Station"), ("station",)),
    (marked("Inspection type"), ("inspection_type",)),
    (marked("Part number, revision"), ("part_number", "part_revision")),
    (marked("Lot"), ("lot",)),
    (marked("Serial number"), ("serial",)),
    (marked("Inspector"), ("inspector",)),
)


def first_page(record: Record) -> list[Flowable]:
    above: list[Flowable] = [_header(record), Spacer(1, 3 * mm), _fields(record), Spacer(1, 4 * mm)]
    above += [_verdict(record.data), Spacer(1, 3 * mm), *_doubts(record.data)]
    above += [_words(record.data), Spacer(1, 4 * mm)]
    used = sum(flowable.wrap(CONTENT_WIDTH, CONTENT_HEIGHT)[1] for flowable in above)
    return [*above, _pictures(record, CONTENT_HEIGHT - used)]


def _header(record: Record) -> Table:
    right = ParagraphStyle("right", parent=style.BODY, alignment=TA_RIGHT)
    number = ParagraphStyle("number", parent=style.CLASS_TITLE, alignment=TA_RIGHT)
    filed = "" if record.number.startswith("INSP-") else f" · {_('not kept in a history')}"
    date = f"{record.created_at:%Y-%m-%d %H:%M:%S} {record.created_at.tzname()}{filed}"
    left = [
        paragraph(_("Inspection report"), style.TITLE),
        paragraph(_subject(record.data), style.SMALL),
    ]
    rows = [[left, [paragraph(safe(record.number), number), paragraph(date, right)]]]
    return table(
        rows,
        [0.5, 0.5],
        [("LINEBELOW", (0, 0), (-1, -1), 1.2, style.INK), ("BOTTOMPADDING", (0, 0), (-1, -1), 5)],
    )


def _subject(data: Mapping[str, Any]) -> str:
    """What the report is about."""
    if not identifies(data):
        return _("Flawsight · visual inspection of one part")
    title = safe(_(str(product_of(data).get("title") or "")) or _("what one picture shows"), 60)
    return f"Flawsight · {title}"


def _fields(record: Record) -> Table:
    context = record.data.get("context") or {}
    image = record.data["image"]
    width = CONTENT_WIDTH / 4 - 10
    cells: list[Cell] = []
    for label, keys in FIELDS:
        known = ", ".join(str(context[key]) for key in keys if context.get(key))
        value = paragraph(safe(known, 48)) if known else ruled_blank(width)
        cells.append([paragraph(_(label), style.LABEL), value])
    size = _(
        "%(width)s × %(height)s pixels; not calibrated, lengths are in pixels",
        width=image["width"],
        height=image["height"],
    )
    cells += [
        [paragraph(_("Image file"), style.LABEL), paragraph(safe(image["name"], 110))], "",
        [paragraph(_("Image size and scale"), style.LABEL), paragraph(size)], "",
    ]  # fmt: skip
    rows = [cells[start : start + 4] for start in range(0, len(cells), 4)]
    spans = [("SPAN", (0, 2), (1, 2)), ("SPAN", (2, 2), (3, 2)), ("RIGHTPADDING", (0, 0), (-1, -1), 10)]
    return table(rows, [0.25] * 4, [*spans, ("BOTTOMPADDING", (0, 0), (-1, -1), 3)])


def _verdict(data: Mapping[str, Any]) -> Table:
    word, width = shown(verdict_word(data), 40), 0.28 * CONTENT_WIDTH - 14
    size = fitting_size(word, style.TITLE.fontName, 19, width)
    look_of_word = ParagraphStyle(
        "word", parent=style.TITLE, fontSize=size, leading=1.2 * size, textColor=white, alignment=TA_CENTER
    )
    found = [
        paragraph(_headline(data), style.CLASS_TITLE),
        paragraph(safe(reason_of(data), 300)),
        Spacer(1, 1.5),
        paragraph(_criterion(data["thresholds"]), style.SMALL),
    ]
    colour = style.VERDICT_COLOURS[data["verdict"]]
    look = [
        ("BACKGROUND", (0, 0), (0, 0), colour),
        ("BACKGROUND", (1, 0), (1, 0), style.PALE),
        ("BOX", (0, 0), (-1, -1), 1, colour),
        ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
        *(
            (side, (0, 0), (-1, -1), 7)
            for side in ("TOPPADDING", "BOTTOMPADDING", "LEFTPADDING", "RIGHTPADDING")
        ),
    ]
    return table([[paragraph(safe(word), look_of_word), found]], [0.28, 0.72], look)


def _headline(data: Mapping[str, Any]) -> str:
    """What the verdict is about. Only a rejection states a defect."""
    info = describe(data["predicted_class"])
    title, confidence = safe(info.title, 80), percent(data["confidence"])
    if identifies(data):
        if data["verdict"] == "unknown":
            return _("Not one that this model knows")
        named = f"{title} · {confidence}"
        return named if data["verdict"] == "accept" else f"{_('Not decided. Most probable:')} {named}"
    match data["verdict"]:
        case "accept":
            return _("Good part") if info.is_defect else f"{title} · {confidence}"
        case "review":
            return f"{_('Not decided. Most probable:')} {title} · {confidence}"
        case "unknown":
            return _("Not decided: unlike the known parts")
        case _:
            return f"{title} · {confidence}" if info.is_defect else _("Defect of uncertain type")


def _criterion(thresholds: Mapping[str, float]) -> str:
    if "sure_from" in thresholds:
        return _(
            "Criterion: named from a probability of %(limit)s on, else left to a person.",
            limit=percent(thresholds["sure_from"]),
        )
    accept, reject = thresholds["accept_below"], thresholds["reject_from"]
    if accept == reject:
        return _(
            "Criterion: probability of a defect below %(accept)s is accepted, from there on rejected.",
            accept=percent(accept),
        )
    return _(
        "Criterion: probability of a defect below %(accept)s is accepted, from %(reject)s on rejected, in "
        "between reviewed by a person.",
        accept=percent(accept),
        reject=percent(reject),
    )


def _doubts(data: Mapping[str, Any]) -> list[Flowable]:
    """What is wrong with the photo, between verdict and words: whoever reads the one must see it."""
    warnings = [paragraph(safe(warning, 240)) for warning in warnings_of(data)]
    if not warnings:
        return []
    look = [
        ("LINEBEFORE", (0, 0), (0, -1), 3, style.VERDICT_COLOURS["review"]),
        ("BACKGROUND", (0, 0), (-1, -1), style.PALE),
        *((side, (0, 0), (-1, -1), 5) for side in ("TOPPADDING", "BOTTOMPADDING", "LEFTPADDING")),
    ]
    rows = [[paragraph(_("Mind the photo"), style.STRONG), warnings]]
    return [table(rows, [0.18, 0.82], look), Spacer(1, 3 * mm)]


def _words(data: Mapping[str, Any]) -> Table:
    """Description, causes and next step. Causes are named only where a defect may be."""
    verdict, info = data["verdict"], describe(data["predicted_class"])
    suspected = verdict in ("review", "reject") and info.is_defect and not identifies(data)
    rows: list[list[Cell]] = []
    if verdict != "unknown" and (suspected or not info.is_defect):
        name = _("What is seen") if verdict != "review" else _("Looks like")
        if subject := (product_of(data).get("wording") or {}).get("subject"):
            rows.append(
                [
                    paragraph(safe(_capital(_(str(subject))), 40), style.STRONG),
                    paragraph(safe(info.title, 80)),
                ]
            )
        rows.append([paragraph(name, style.STRONG), paragraph(safe(info.description, 400))])
    if suspected:
        rows.append(
            [
                paragraph(_("Severity"), style.STRONG),
                paragraph(severity_words(info)),
            ]
        )
    if suspected and info.likely_causes:
        causes = "; ".join(safe(cause, 160) for cause in info.likely_causes[:5])
        rows.append(
            [
                paragraph(_("Likely causes"), style.STRONG),
                paragraph(_("To be checked, none is established: %(causes)s.", causes=causes)),
            ]
        )
    if verdict != "unknown":
        rows += [
            [paragraph(safe(name, 40), style.STRONG), paragraph(safe(text, 200))] for name, text in info.facts
        ]
    if step := next_step(data, info):
        rows.append([paragraph(_("Next step"), style.STRONG), paragraph(safe(step, 400))])
    if not rows:
        return table([[""]], [1.0], [])
    return table(rows, [0.2, 0.8], [("BOTTOMPADDING", (0, 0), (-1, -1), 2)])


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _pictures(record: Record, height: float) -> Table:
    """The pictures, as large as the ``height`` that is left allows."""
    captions = _captions(record.data)
    columns, width, each = _arrangement(record.data["image"], height, len(captions))

    def cell(name: str) -> Cell:
        caption = paragraph(captions[name], style.SMALL)
        if name not in record.pictures:
            return [paragraph(_("This picture was not recorded."), style.SMALL), caption]
        if (
            name == "boxes" and "original" in record.pictures
        ):  # drawn anew: the lettering of the filed one is English
            boxes = BoxedPicture(name, record.read("original"), record.data, width, each)
            return [boxes, Spacer(1, 2), caption]
        return [Picture(name, record.read(name), width, each), Spacer(1, 2), caption]

    with ThreadPoolExecutor(4) as pool:  # decoding leaves the interpreter lock alone
        cells = list(pool.map(in_this_language(cell), captions))
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    # Padding that grows to the right spreads the gutters so that both outer edges stay flush.
    look = [("LEFTPADDING", (i, 0), (i, -1), GUTTER * i / columns) for i in range(columns)]
    return table(rows, [1 / columns] * columns, [*look, ("BOTTOMPADDING", (0, 0), (-1, -1), 5)])


def _arrangement(image: Mapping[str, Any], height: float, count: int) -> tuple[int, float, float]:
    """Columns of ``count`` pictures, and the room of each in points: whichever shows the part largest."""

    def room(columns: int) -> tuple[float, float]:
        caption = 36 if columns == 4 else 16  # narrow columns need up to three lines
        width = (CONTENT_WIDTH - GUTTER * (columns - 1)) / columns
        return width, max(12 * mm, height * columns / count - caption)

    def scale(columns: int) -> float:
        width, each = room(columns)
        clear_gain = 1.0 if columns == 2 else 0.8  # two in a row reads best, unless much is lost
        return clear_gain * min(width / float(image["width"]), each / float(image["height"]))

    columns = max((number for number in (2, 4, 1) if number <= count), key=scale)
    return columns, *room(columns)


def _captions(data: Mapping[str, Any]) -> dict[str, str]:
    """What is said under each picture; where nothing is looked for, there are no boxes and edges to show."""
    named = identifies(data)
    accepted, boxes = data["verdict"] == "accept" and not named, len(data["boxes"])
    title = safe(describe(data["heatmap"]["class"]).title, 40)
    regions = ngettext("%(num)s region", "%(num)s regions", boxes) if boxes else _("no region is marked")
    explained = {
        "original": _("<b>1 Original</b>, as inspected"),
        "heatmap": _("<b>2 Heat map</b>: an explanation, not a measurement")
        if accepted
        else _("<b>2 Heat map</b> for %(title)s: an explanation, not a measurement", title=title),
    }
    if named:
        return explained
    return {
        **explained,
        "boxes": _("<b>3 Boxes</b>: %(regions)s", regions=regions),
        "edges": _("<b>4 Sobel edges</b>: nothing is marked")
        if accepted
        else _("<b>4 Sobel edges</b> inside the hot region"),
    }
