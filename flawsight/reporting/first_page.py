"""Page one, for the person at the line: what was inspected, the verdict, the pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from reportlab.lib.colors import white
from reportlab.lib.enums import TA_CENTER, TA_RIGHT
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.platypus import Flowable, Spacer, Table

from flawsight.i18n import gettext as _
from flawsight.i18n import in_this_language, marked, ngettext, percent
from flawsight.inspection.words import identifies, misfit, product_of, reason_of, warnings_of
from flawsight.records.record import Record
from flawsight.records.reviews import Review
from flawsight.reporting import style
from flawsight.reporting.drawings import (
    BoxedPicture,
    Picture,
    fitting_size,
    ruled_blank,
    share_of,
)
from flawsight.reporting.finding import Finding, Kind, Mark, finding, labels_of, marks, model_finding
from flawsight.reporting.layout import Cell, moment, table
from flawsight.reporting.style import CONTENT_HEIGHT, CONTENT_WIDTH, paragraph, safe, shown
from flawsight.reporting.words import (
    causes_words,
    decided_headline,
    decided_words,
    heat_title,
    kinds_words,
    next_step,
    severity_words,
    verdict_word,
)

GUTTER = 8.0
CAPTION_PADDING = 7.5  # above and below it, points
MAX_KINDS = 6  # kinds of defect that are described; there is no room for more
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


def first_page(record: Record, review: Review | None) -> list[Flowable]:
    found = finding(record.data, review)
    above: list[Flowable] = [_header(record), Spacer(1, 3 * mm), _fields(record), Spacer(1, 4 * mm)]
    above += [_verdict(record.data, found), Spacer(1, 3 * mm), *_doubts(record.data)]
    above += [_words(record.data, found), Spacer(1, 4 * mm)]
    used = sum(flowable.wrap(CONTENT_WIDTH, CONTENT_HEIGHT)[1] for flowable in above)
    return [*above, _pictures(record, review, CONTENT_HEIGHT - used)]


def _header(record: Record) -> Table:
    right = ParagraphStyle("right", parent=style.BODY, alignment=TA_RIGHT)
    number = ParagraphStyle("number", parent=style.CLASS_TITLE, alignment=TA_RIGHT)
    filed = "" if record.number.startswith("INSP-") else _("not kept in a history")
    date = " · ".join(filter(None, (moment(record.created_at), filed)))
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


def _verdict(data: Mapping[str, Any], found: Finding) -> Table:
    word, width = shown(verdict_word(data, found.verdict), 40), 0.28 * CONTENT_WIDTH - 14
    size = fitting_size(word, style.TITLE.fontName, 19, width)
    look_of_word = ParagraphStyle(
        "word", parent=style.TITLE, fontSize=size, leading=1.2 * size, textColor=white, alignment=TA_CENTER
    )
    said = _decided(data, found, found.review) if found.review else _judged(data)
    colour = style.VERDICT_COLOURS[found.verdict]
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
    return table([[paragraph(safe(word), look_of_word), said]], [0.28, 0.72], look)


def _judged(data: Mapping[str, Any]) -> list[Flowable]:
    """What the model says and why, as long as nobody has decided."""
    return [
        paragraph(safe(_headline(data), 200), style.CLASS_TITLE),
        paragraph(safe(reason_of(data), 300)),
        Spacer(1, 1.5),
        paragraph(safe(_criterion(data["thresholds"]), 300), style.SMALL),
    ]


def _decided(data: Mapping[str, Any], found: Finding, review: Review) -> list[Flowable]:
    """What a person decided; below it the model's own answer, as filed."""
    model = _(
        "The model’s own answer, unchanged: <b>%(verdict)s</b>, %(headline)s.",
        verdict=safe(verdict_word(data), 40),
        headline=safe(_headline(data), 200),
    )
    why = safe(f"{reason_of(data)} {_criterion(data['thresholds'])}", 600)
    return [
        paragraph(safe(decided_headline(data, found), 200), style.CLASS_TITLE),
        paragraph(safe(decided_words(data, review, moment(review.created_at)), 240)),
        Spacer(1, 2.5),
        paragraph(f"{model} {why}", style.SMALL),
    ]


def _headline(data: Mapping[str, Any]) -> str:
    """What the model's verdict is about. Only a rejection states a defect."""
    found = model_finding(data)
    verdict, info, confidence = found.verdict, found.info, percent(data["confidence"])
    title = kinds_words(found.kinds) or info.title
    # Several kinds have no confidence in common: that of the class is of the picture as a whole.
    named = title if len(found.kinds) > 1 else f"{title} · {confidence}"
    if misfit(data):
        return _("Not decided: not the part that its template shows")
    if identifies(data) and verdict == "unknown":
        return _("Not one that this model knows")
    if verdict == "accept":
        return _("Good part") if info.is_defect and not identifies(data) else named
    if verdict == "review":
        return _("Not decided. Most probable: %(title)s", title=named)
    if verdict == "unknown":
        return _("Not decided: unlike the known parts")
    return named if found.kinds else _("Defect of uncertain type")


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


def _words(data: Mapping[str, Any], found: Finding) -> Table:
    """Description, causes and next step. Causes are named only where a defect may be."""
    rows: list[list[Cell]] = []
    if found.kinds:
        rows += _defects(found)
    elif found.verdict != "unknown" and (identifies(data) or not found.info.is_defect):
        rows += _good_or_named(data, found)
    if found.verdict != "unknown":
        rows += [_row(safe(name, 40), safe(text, 200)) for name, text in found.info.facts]
    if step := next_step(data, found):
        rows.append(_row(_("Next step"), safe(step, 400)))
    if not rows:
        return table([[""]], [1.0], [])
    return table(rows, [0.2, 0.8], [("BOTTOMPADDING", (0, 0), (-1, -1), 2)])


def _row(name: str, text: str) -> list[Cell]:
    return [paragraph(name, style.STRONG), paragraph(text)]


def _good_or_named(data: Mapping[str, Any], found: Finding) -> list[list[Cell]]:
    name = _("What is seen") if found.verdict != "review" else _("Looks like")
    described = _row(name, safe(found.info.description, 400))
    subject = (product_of(data).get("wording") or {}).get("subject")
    if not subject:
        return [described]
    return [_row(safe(_capital(_(str(subject))), 40), safe(found.info.title, 80)), described]


def _defects(found: Finding) -> list[list[Cell]]:
    """What is seen, how grave it is and where it comes from: of one kind in rows, of several a row each."""
    worst = found.kinds[0].info
    severity = _row(_("Severity"), safe(severity_words(found.kinds), 200))
    rows: list[list[Cell]]
    if len(found.kinds) == 1:
        seen = _("What is seen") if found.verdict != "review" else _("Looks like")
        rows = [_row(seen, safe(worst.description, 400)), severity]
        if worst.likely_causes:
            causes = _(
                "To be checked, none is established: %(causes)s.", causes=safe(causes_words(worst), 800)
            )
            rows.append(_row(_("Likely causes"), causes))
        return rows
    rows = [
        [paragraph(safe(kind.info.title, 40), style.STRONG), paragraph(_kind_words(kind), style.DETAIL)]
        for kind in found.kinds[:MAX_KINDS]
    ]
    if (more := len(found.kinds) - MAX_KINDS) > 0:
        rows.append(_row("…", ngettext("%(num)s more kind.", "%(num)s more kinds.", more)))
    return [*rows, severity]


def _kind_words(kind: Kind) -> str:
    causes = causes_words(kind.info)
    return " ".join(
        filter(
            None,
            (
                ngettext("<b>%(num)s box.</b>", "<b>%(num)s boxes.</b>", kind.boxes) if kind.boxes else "",
                safe(kind.info.description, 250),
                _("Causes to be checked: %(causes)s.", causes=safe(causes, 300)) if causes else "",
            ),
        )
    )


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _pictures(record: Record, review: Review | None, height: float) -> Table:
    """The pictures, as large as the ``height`` that is left allows; in that of the boxes also a person's."""
    own = [mark for mark in marks(record.data, review) if mark.score is None]
    captions = _captions(record.data, own, review)
    columns, width, each = _arrangement(record.data["image"], height, list(captions.values()))
    places = [share_of(mark, record.data["image"]) for mark in own]

    def cell(name: str) -> Cell:
        caption = paragraph(captions[name], style.SMALL)
        if name not in record.pictures:
            return [paragraph(_("This picture was not recorded."), style.SMALL), caption]
        if name != "boxes":
            return [Picture(name, record.read(name), width, each), Spacer(1, 2), caption]
        if "original" not in record.pictures:
            return [Picture(name, record.read(name), width, each, places), Spacer(1, 2), caption]
        # Drawn anew: sharp in print, and its lettering in the reader's language.
        boxes = BoxedPicture(name, record.read("original"), record.data, width, each, places)
        return [boxes, Spacer(1, 2), caption]

    with ThreadPoolExecutor(4) as pool:  # decoding leaves the interpreter lock alone
        cells = list(pool.map(in_this_language(cell), captions))
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    # Padding that grows to the right spreads the gutters so that both outer edges stay flush.
    look = [("LEFTPADDING", (i, 0), (i, -1), GUTTER * i / columns) for i in range(columns)]
    return table(rows, [1 / columns] * columns, [*look, ("BOTTOMPADDING", (0, 0), (-1, -1), 5)])


def _arrangement(image: Mapping[str, Any], height: float, captions: list[str]) -> tuple[int, float, float]:
    """Columns of a picture for each caption, and the room of each: whichever shows the part largest."""
    count = len(captions)

    def room(columns: int) -> tuple[float, float]:
        width = (CONTENT_WIDTH - GUTTER * (columns - 1)) / columns
        lines = max(paragraph(caption, style.SMALL).wrap(width, height)[1] for caption in captions)
        return width, max(12 * mm, height * columns / count - lines - CAPTION_PADDING)

    def scale(columns: int) -> float:
        width, each = room(columns)
        clear_gain = 1.0 if columns == 2 else 0.8  # two in a row reads best, unless much is lost
        return clear_gain * min(width / float(image["width"]), each / float(image["height"]))

    columns = max((number for number in (2, 4, 1) if number <= count), key=scale)
    return columns, *room(columns)


def _captions(data: Mapping[str, Any], own: Sequence[Mark], review: Review | None) -> dict[str, str]:
    """What is said under each picture; where nothing is looked for, there are no boxes and edges to show."""
    named = identifies(data)
    accepted = data["verdict"] == "accept" and not named
    explained = {
        "original": _("<b>1 Original</b>, as inspected"),
        "heatmap": _("<b>2 Heat map</b>: an explanation, not a measurement")
        if accepted
        else _(
            "<b>2 Heat map</b> for %(title)s: an explanation, not a measurement",
            title=safe(heat_title(data), 60),
        ),
    }
    if named:
        return explained
    return {
        **explained,
        "boxes": _boxes_caption(len(data["boxes"]), own, review),
        "edges": _("<b>4 Sobel edges</b>: nothing is marked")
        if accepted
        else _("<b>4 Sobel edges</b> inside the hot region"),
    }


def _boxes_caption(count: int, own: Sequence[Mark], review: Review | None) -> str:
    regions = ngettext("%(num)s region", "%(num)s regions", count) if count else _("no region is marked")
    if not review:
        return _("<b>3 Boxes</b>: %(regions)s", regions=regions)
    if not own:
        return _("<b>3 Boxes</b> of the model: %(regions)s", regions=regions)
    return _(
        "<b>3 Boxes</b> of the model: %(regions)s; dashed, %(labels)s: drawn by %(name)s",
        regions=regions,
        labels=labels_of(own),
        name=safe(review.reviewer, 40),
    )
