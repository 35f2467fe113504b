"""One inspection as a PDF of two A4 pages, made from the record alone: nothing is analysed again.

Page one is for the person at the line: what was inspected, the verdict, the pictures. Page two is for
the file: where, how sure, by what method, and who decides. A product that is named and not judged has its
own words: no defect, no place to mark, nothing to be disposed of.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

from reportlab.lib.colors import white
from reportlab.lib.enums import TA_CENTER, TA_RIGHT
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, Frame, KeepInFrame, Spacer, Table

from flawsight.i18n import gettext as _
from flawsight.i18n import language, marked, ngettext
from flawsight.i18n import number as written
from flawsight.inspection.words import identifies, product_of, reason_of, warnings_of
from flawsight.records.links import Head
from flawsight.records.record import Record
from flawsight.records.reviews import DISPOSITIONS as DISPOSITION_LABELS
from flawsight.records.reviews import Review
from flawsight.reporting import style
from flawsight.reporting.drawings import (
    Picture,
    bars,
    fitting_size,
    percent,
    ruled_blank,
    threshold_scale,
    tick_boxes,
)
from flawsight.reporting.layout import Cell, describe_file, footer, heading, moment, table
from flawsight.reporting.style import CONTENT_HEIGHT, CONTENT_WIDTH, paragraph, safe, shown
from flawsight.reporting.words import (
    NOT_RECORDED,
    next_step,
    rate_with_interval,
    severity_words,
    verdict_word,
)
from flawsight.taxonomy import describe

REVISION = 1
MAX_BOX_ROWS = 12
TOP_CLASSES = 5
GAP = 5 * mm
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
RATIONALE_SHOWN = 700  # characters; the page has no room for more, the history keeps all


def build_report(record: Record, review: Review | None = None, head: Head | None = None) -> bytes:
    """The report of ``record`` as PDF bytes: always two pages, the same bytes for the same record.

    ``review`` is the answer of a person that counts: it fills in the disposition, all but the signature.
    ``head`` is the last link of the history's chain: a copy kept elsewhere bears witness to all before it.

    Raises:
        RecordError: a picture of the record is missing or damaged.
    """
    style.register_fonts()
    buffer = BytesIO()
    canvas = Canvas(
        buffer,
        pagesize=(style.PAGE_WIDTH, style.PAGE_HEIGHT),
        pageCompression=1,
        invariant=1,
        lang=language(),
    )
    _describe_file(canvas, record)
    pages = (_first_page(record), _second_page(record, review))
    for number, story in enumerate(pages, start=1):
        # Shrinking is a last resort, for texts of a length nobody foresaw; a third page never comes.
        fitted = KeepInFrame(CONTENT_WIDTH, CONTENT_HEIGHT, story, mode="shrink")
        frame = Frame(
            style.MARGIN, style.FOOTER_HEIGHT, CONTENT_WIDTH, CONTENT_HEIGHT,
            leftPadding=0, rightPadding=0, topPadding=0, bottomPadding=0,
        )  # fmt: skip
        frame.addFromList([fitted], canvas)
        _footer(canvas, record, number, len(pages), head)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def _describe_file(canvas: Canvas, record: Record) -> None:
    describe_file(
        canvas,
        _("Inspection report %(number)s", number=record.number),
        f"{shown(verdict_word(record.data))}: {shown(record.data['image']['name'])}",
        record.created_at,
    )


# --- page one ---------------------------------------------------------------------------------------


def _first_page(record: Record) -> list[Flowable]:
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
    return table(rows, [0.18, 0.82], [("BOTTOMPADDING", (0, 0), (-1, -1), 2)])


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
        return [Picture(name, record.read(name), width, each), Spacer(1, 2), caption]

    with ThreadPoolExecutor(4) as pool:  # decoding leaves the interpreter lock alone
        cells = list(pool.map(cell, captions))
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


# --- page two ---------------------------------------------------------------------------------------


def _second_page(record: Record, review: Review | None) -> list[Flowable]:
    data = record.data
    named = identifies(data)
    where = [] if named else [heading(_("Where")), *_where(data), Spacer(1, GAP)]
    return [
        _continued(record), Spacer(1, 3 * mm), *where,
        heading(_("How sure")), _confidence(data), Spacer(1, GAP),
        heading(_("Method")), _method(data), Spacer(1, GAP),
        heading(_("Answer of a person") if named else _("Disposition")), _disposition(data, review),
    ]  # fmt: skip


def _continued(record: Record) -> Table:
    right = ParagraphStyle("right", parent=style.SMALL, alignment=TA_RIGHT)
    verdict = f"<b>{safe(verdict_word(record.data), 40)}</b> · {safe(record.data['image']['name'], 60)}"
    rows = [
        [
            paragraph(_("Inspection report %(number)s, continued", number=safe(record.number)), style.SMALL),
            paragraph(verdict, right),
        ]
    ]
    return table(rows, [0.5, 0.5], [])


def _where(data: Mapping[str, Any]) -> list[Flowable]:
    """The box table, the highest scores first."""
    if not data["boxes"]:
        none = (
            _("No region is marked.")
            if data["verdict"] == "accept"
            else _("No region stands out clearly enough to be boxed; see the heat map.")
        )
        return [Spacer(1, 2), paragraph(none)]
    image = data["image"]
    boxes = sorted(data["boxes"], key=lambda box: -box["score"])
    head = ("#", _("Class"), "x1", "y1", "x2", "y2", _("Width × height"), _("Area share"), _("Score"))
    rows: list[list[Cell]] = [[paragraph(text, style.LABEL) for text in head]]
    for index, box in enumerate(boxes[:MAX_BOX_ROWS], start=1):
        width, height = box["x2"] - box["x1"], box["y2"] - box["y1"]
        share = width * height / (image["width"] * image["height"])
        corners = (str(box[key]) for key in ("x1", "y1", "x2", "y2"))
        title = paragraph(safe(describe(box["class"]).title, 40))
        size = f"{width} × {height}"
        rows.append([str(index), title, *corners, size, percent(share), percent(box["score"])])
    look = [
        ("LINEBELOW", (0, 0), (-1, -1), 0.3, style.RULE),
        ("TOPPADDING", (0, 0), (-1, -1), 1.2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 1.2),
    ]
    found = table(rows, [0.05, 0.27, 0.08, 0.08, 0.08, 0.08, 0.15, 0.11, 0.10], look)
    note = _("Pixels from the top left corner of the picture; x2 and y2 lie just outside the box.")
    if (more := len(boxes) - MAX_BOX_ROWS) > 0:
        cut = _(
            "The %(shown)s highest of %(all)s are shown; the other %(more)s are in the JSON of this "
            "inspection.",
            shown=MAX_BOX_ROWS,
            all=len(boxes),
            more=more,
        )
        note = f"{cut} {note}"
    return [found, Spacer(1, 1.5 * mm), paragraph(note, style.SMALL)]


def _confidence(data: Mapping[str, Any]) -> Table:
    gutter = 16
    width = CONTENT_WIDTH / 2 - gutter / 2
    top = list(data["probabilities"].items())[:TOP_CLASSES]
    shares = [(shown(describe(class_id).title, 60), share) for class_id, share in top]
    highlight = shown(describe(data["predicted_class"]).title, 60)
    left = [
        paragraph(_("Calibrated probability of the top classes"), style.LABEL),
        Spacer(1, 2),
        bars(shares, width, highlight),
    ]
    if identifies(data):
        title, scale, distance = _how_sure_of_the_name(data, width)
    else:
        title, scale, distance = _how_sure_of_a_defect(data, width)
    right = [paragraph(title, style.LABEL), Spacer(1, 2), scale, paragraph(distance, style.SMALL)]
    return table(
        [[left, right]],
        [0.5, 0.5],
        [("LEFTPADDING", (1, 0), (1, 0), gutter / 2), ("TOPPADDING", (0, 0), (-1, -1), 3)],
    )


def _how_sure_of_a_defect(data: Mapping[str, Any], width: float) -> tuple[str, Flowable, str]:
    """Heading, scale and the words below it."""
    probability = data["defect_probability"]
    accept_below, reject_from = (data["thresholds"][key] for key in ("accept_below", "reject_from"))
    zones = (
        ("accept", _("accept"), accept_below),
        ("review", _("review"), reject_from),
        ("reject", _("reject"), 1.0),
    )
    distance = _distance(probability, accept_below, reject_from)
    if data["verdict"] == "unknown":
        distance += " " + _("The verdict does not rest on them: the image is unlike the known parts.")
    title = _("Calibrated probability of a defect, against the thresholds")
    return title, threshold_scale(probability, zones, width), distance


def _how_sure_of_the_name(data: Mapping[str, Any], width: float) -> tuple[str, Flowable, str]:
    """The same of a product that is named."""
    probability, limit = data["confidence"], data["thresholds"]["sure_from"]
    zones = (("review", _("left to a person"), limit), ("accept", _("named"), 1.0))
    distance = _("%(points)s the limit from which it is named.", points=_points(probability, limit))
    if data["verdict"] == "unknown":
        distance += " " + _("The verdict does not rest on it: the image is unlike those the model knows.")
    title = _("Calibrated probability of the most probable class, against the limit")
    return title, threshold_scale(probability, zones, width), distance


def _points(probability: float, limit: float) -> str:
    """How far a probability lies from a limit."""
    far = written(100 * abs(probability - limit), 1)
    if probability < limit:
        return _("%(far)s points below", far=far)
    return _("%(far)s points above", far=far)


def _distance(probability: float, accept_below: float, reject_from: float) -> str:
    """How far from changing: points of percent to each limit."""

    def points(limit: float) -> str:
        return _points(probability, limit)

    if accept_below == reject_from:
        return _("%(points)s the limit between accept and reject.", points=points(accept_below))
    return _(
        "%(accept)s the limit for acceptance, %(reject)s the limit for rejection.",
        accept=points(accept_below),
        reject=points(reject_from),
    )


def _method(data: Mapping[str, Any]) -> Table:
    model, method = data["model"], data["method"]
    metrics = method.get("metrics") or {}
    preprocessing = method.get("preprocessing") or {}
    facts = (
        (_("Model"), _("%(name)s, version %(version)s", name=model["name"], version=model["version"])),
        (_("Model file SHA-256"), model["sha256"]),
        (_("Training manifest SHA-256"), method.get("manifest_sha256") or _(NOT_RECORDED)),
        (_("Engine"), method.get("engine") or _(NOT_RECORDED)),
        (_("Preprocessing"), _pairs(preprocessing) or _(NOT_RECORDED)),
        (_("Explanation"), data["heatmap"]["method"]),
        *([(_("Thresholds"), method["thresholds"])] if method.get("thresholds") else []),
        *(
            [(_("Validated accuracy"), rate_with_interval(metrics.get("accuracy")))]
            if identifies(data)
            else [
                (_("Validated recall"), rate_with_interval(metrics.get("recall"))),
                (_("Validated overkill"), rate_with_interval(metrics.get("overkill"))),
            ]
        ),
        (_("Last check on known parts"), method.get("last_check") or _("not recorded")),
    )
    rows: list[list[Cell]] = [
        [paragraph(name, style.FACT), paragraph(safe(value, 220))] for name, value in facts
    ]
    return table(rows, [0.24, 0.76], [("TOPPADDING", (0, 0), (-1, -1), 0.8)])


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in values.items())


def _disposition(data: Mapping[str, Any], review: Review | None) -> Table:
    """Who decides what: to be signed. A product that is named is not disposed of."""
    named = identifies(data)
    line = CONTENT_WIDTH - 16
    third = line / 3
    name: Flowable = ruled_blank(third - 12)
    date: Flowable = ruled_blank(third)
    rationale: list[Flowable] = [ruled_blank(line), Spacer(1, 3 * mm), ruled_blank(line)]
    decided: list[Flowable] = []
    labels = [_("It is what the program says"), _("It is something else")]
    if not named:
        labels = [_(label) for label in DISPOSITION_LABELS.values()]
    ticked = ""
    if review:
        ticked = _(DISPOSITION_LABELS.get(review.disposition, ""))
        if named:
            ticked = labels[review.state != "confirmed"]
        name, date = paragraph(safe(review.reviewer, 48)), paragraph(moment(review.created_at))
        if review.rationale:
            rationale = [paragraph(safe(_shortened(review.rationale), len(review.rationale)))]
        decided = [paragraph(_decided(data, review)), Spacer(1, 2 * mm)]
    sign = table(
        [
            [name, ruled_blank(third - 12), date],
            [paragraph(text, style.LABEL) for text in (_("Printed name"), _("Signature"), _("Date"))],
        ],
        [1 / 3] * 3,
        [("VALIGN", (0, 0), (-1, 0), "BOTTOM")],
        width=line,
    )
    meaning = _(
        "By signing, the named person confirms having judged this part, or its pictures, and takes the "
        "decision ticked above. The verdict of the program is advice to that person."
    )
    if named:
        meaning = _(
            "By signing, the named person confirms having looked at the piece, or its pictures, and gives "
            "the answer ticked above. What the program says is advice to that person."
        )
    content: list[Flowable] = [
        *decided, tick_boxes(labels, line, ticked), Spacer(1, 2 * mm),
        paragraph(_("Rationale"), style.LABEL), Spacer(1, 2 * mm), *rationale,
        Spacer(1, (4 if review else 7) * mm), sign, Spacer(1, 1.5 * mm), paragraph(meaning, style.SMALL),
    ]  # fmt: skip
    look = [
        ("BOX", (0, 0), (-1, -1), 0.8, style.INK),
        *(
            (side, (0, 0), (-1, -1), 8)
            for side in ("TOPPADDING", "BOTTOMPADDING", "LEFTPADDING", "RIGHTPADDING")
        ),
    ]
    return table([[content]], [1.0], look)


def _shortened(rationale: str) -> str:
    if len(rationale) <= RATIONALE_SHOWN:
        return rationale
    return rationale[:RATIONALE_SHOWN].rsplit(" ", 1)[0] + " … " + _("(the history has all of it)")


def _decided(data: Mapping[str, Any], review: Review) -> str:
    """What the person decided, and whether that is what the model said."""
    unknown = review.verdict == "unknown"
    verdict = _("NOT A PART FOR THIS MODEL") if unknown else safe(verdict_word(data, review.verdict), 40)
    told = _("as the model said") if review.state == "confirmed" else _("not what the model said")
    return _(
        "<b>Reviewed: %(verdict)s</b>, %(title)s (%(told)s)",
        verdict=verdict,
        title=safe(describe(review.class_id).title, 60),
        told=told,
    )


# --- both -------------------------------------------------------------------------------------------


def _footer(canvas: Canvas, record: Record, page: int, pages: int, head: Head | None) -> None:
    number = _("%(number)s · revision %(revision)s", number=record.number, revision=REVISION)
    hashes = [
        f"{_('SHA-256 of the image')}   {record.data['image']['sha256']}",
        f"{_('SHA-256 of the record')}  {record.record_sha256}",
    ]
    if head:
        hashes.append(f"{_('Head of the chain of the history')}  {head}")
    note = _("AI-assisted; the named person has the last word") if identifies(record.data) else ""
    footer(canvas, number, page, pages, hashes, note)
