"""A lot as a PDF: what it was held against, what was found, who decided what, and its parts.

Page one is enough for the file; then come the parts with their pictures, those with a defect first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from reportlab.graphics.shapes import Drawing, Rect, String
from reportlab.lib.colors import white
from reportlab.lib.enums import TA_CENTER, TA_RIGHT
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import CondPageBreak, Flowable, KeepTogether, Spacer, Table

from flawsight.i18n import gettext as _
from flawsight.i18n import marked, number, percent
from flawsight.records.assessment import (
    PART_WORDS,
    ROW_WORDS,
    SEVERITY_WORDS,
    Assessment,
    Bar,
    Figures,
    Row,
)
from flawsight.records.links import Head
from flawsight.records.lot import DISPOSITIONS, STATES, Event, Lot, event_words
from flawsight.records.record import Record
from flawsight.records.sampling import NONE_ALLOWED
from flawsight.reporting import style
from flawsight.reporting.drawings import fitted, fitting_size, ruled_blank, tick_boxes
from flawsight.reporting.layout import (
    ALL_SIDES,
    Cell,
    footer,
    hash_lines,
    heading,
    moment,
    print_pages,
    table,
    written,
)
from flawsight.reporting.lot_method import Judged, method_blocks
from flawsight.reporting.lot_parts import part_pictures, part_table
from flawsight.reporting.style import CONTENT_WIDTH, paragraph, safe, shown
from flawsight.reporting.words import defect_title, deleted_words

GAP = 4 * mm
MAX_PICTURES = 60  # parts shown with a picture; those with a defect come first
COLUMNS = 5
PICTURE_HEIGHT = 24 * mm
MAX_BARS = 8
WORD_MARGIN = 6.0  # points beside the word of the banner
STATE_COLOURS = {"accepted": "accept", "rejected": "reject", "open": "review", "withdrawn": "unknown"}
STANDARD = marked("ISO 2859-1 (ANSI/ASQ Z1.4), single sampling, normal inspection")


def build_lot_report(
    lot: Lot,
    assessment: Assessment,
    judged_with: Sequence[tuple[Sequence[str], int]],
    record: Callable[[str], Record],
    head: Head | None = None,
) -> bytes:
    """The report of ``lot``: the same bytes for the same lot, parts and ``head`` of the history's chain.

    ``judged_with`` is what ``Lots.judged_with`` gives; ``record`` gives the inspection of an id.
    """
    at = dated(lot, assessment)
    story: list[Flowable] = [
        header(_("Lot report"), lot.report_number, at),
        Spacer(1, 3 * mm), facts(lot), Spacer(1, GAP),
        _verdict(lot, assessment), Spacer(1, GAP),
        heading(_("Sampling plan and result")), Spacer(1, 1 * mm), *_plan(lot, assessment.figures),
        Spacer(1, GAP),
        *_defects(assessment.figures),
        KeepTogether([heading(_("Disposition")), Spacer(1, 2 * mm), disposition(lot)]), Spacer(1, GAP),
        *_events(lot), Spacer(1, GAP),
        *_method([([record(one).data for one in some], count) for some, count in judged_with]),
        *_parts(assessment, record),
    ]  # fmt: skip
    title = _("Lot report %(number)s", number=lot.report_number)
    return print_lot(story, lot, lot.report_number, title, at, head)


# --- what lot report and NCR share ------------------------------------------------------------------


def dated(lot: Lot, assessment: Assessment) -> datetime:
    """The moment a report speaks of: that of the latest event, inspection or answer it contains."""
    looks = [*assessment.left_out, *(look for part in assessment.parts for look in part.looks)]
    moments = [lot.events[-1].created_at, *(look.created_at for look in looks)]
    return max(moments + [look.answered_at for look in looks if look.answered_at])


def print_lot(
    story: Sequence[Flowable], lot: Lot, report: str, title: str, at: datetime, head: Head | None = None
) -> bytes:
    """``story`` on pages that carry the number ``report``, the hash of the lot's record and the ``head``."""

    def foot(canvas: Canvas, page: int, pages: int) -> None:
        said = _("%(number)s · interim", number=report)  # as long as parts are added to it
        if lot.closed:
            said = _("%(number)s · revision %(revision)s", number=report, revision=lot.revision)
        footer(canvas, said, page, pages, hash_lines(lot.sha256, head))

    subject = f"{_(STATES[lot.state]).upper()}: {shown(lot.terms.number)}"
    return print_pages(story, title, subject, at, foot)


def header(title: str, report: str, at: datetime) -> Table:
    right = ParagraphStyle("right", parent=style.BODY, alignment=TA_RIGHT)
    large = ParagraphStyle("number", parent=style.CLASS_TITLE, alignment=TA_RIGHT)
    left = [
        paragraph(title, style.TITLE),
        paragraph("Flawsight · " + _("visual inspection of a lot"), style.SMALL),
    ]
    return table(
        [[left, [paragraph(safe(report), large), paragraph(moment(at), right)]]],
        [0.6, 0.4],
        [("LINEBELOW", (0, 0), (-1, -1), 1.2, style.INK), ("BOTTOMPADDING", (0, 0), (-1, -1), 5)],
    )


def facts(lot: Lot) -> Table:
    """What the lot is, four facts a line."""
    terms, closed = lot.terms, lot.closed
    part = ", ".join(filter(None, (terms.part_number, terms.part_revision)))
    known = (
        (_("Lot"), terms.number),
        (_("Part number, revision"), part),
        (_("Supplier or origin"), terms.supplier),
        (_("Lot size"), _("%(num)s parts", num=number(terms.size))),
        (_("Opened by"), lot.opened.by),
        (_("Opened"), moment(lot.opened.created_at)),
        (_("Closed by"), closed.by if closed else ""),
        (_("Closed"), moment(closed.created_at) if closed else _("still open")),
    )
    cells = [[paragraph(label, style.LABEL), paragraph(safe(value, 60) or "–")] for label, value in known]
    rows = [cells[:4], cells[4:]]
    return table(
        rows, [0.25] * 4, [("BOTTOMPADDING", (0, 0), (-1, -1), 3), ("RIGHTPADDING", (0, 0), (-1, -1), 6)]
    )


def limit_words(limit: str) -> str:
    return _("none allowed") if limit == NONE_ALLOWED else f"AQL {limit}"


def disposition(lot: Lot) -> Table:
    """The block for the named person: filled in as far as somebody decided, all but the signature."""
    line = CONTENT_WIDTH - 16
    disposed = lot.disposed
    ticked = _(DISPOSITIONS[disposed.decision]) if disposed else ""
    rationale: list[Flowable] = [ruled_blank(line), Spacer(1, 3 * mm), ruled_blank(line)]
    if disposed:
        rationale = [paragraph(written(disposed.rationale))]
    content: list[Flowable] = [
        tick_boxes([_(word) for word in DISPOSITIONS.values()], line, ticked), Spacer(1, 2 * mm),
        paragraph(_("Rationale"), style.LABEL), Spacer(1, 1.5 * mm), *rationale, Spacer(1, 5 * mm),
        signature(disposed, line), Spacer(1, 1.5 * mm),
        paragraph(
            _(
                "By signing, the named person takes the decision ticked above about the whole lot. The "
                "verdicts of the program and the plans are advice to that person."
            ),
            style.SMALL,
        ),
    ]  # fmt: skip
    look = [("BOX", (0, 0), (-1, -1), 0.8, style.INK), *((side, (0, 0), (-1, -1), 8) for side in ALL_SIDES)]
    return table([[content]], [1.0], look)


def signature(event: Event | None, line: float) -> Table:
    """Printed name, signature and date, to be filled in by hand where no ``event`` names them."""
    third = line / 3
    name: Flowable = paragraph(safe(event.by, 48)) if event else ruled_blank(third - 12)
    date: Flowable = paragraph(moment(event.created_at)) if event else ruled_blank(third)
    words = [paragraph(text, style.LABEL) for text in (_("Printed name"), _("Signature"), _("Date"))]
    return table(
        [[name, ruled_blank(third - 12), date], words],
        [1 / 3] * 3,
        [("VALIGN", (0, 0), (-1, 0), "BOTTOM")],
        line,
    )


# --- the lot report ---------------------------------------------------------------------------------


def _verdict(lot: Lot, assessment: Assessment) -> Table:
    state = _(STATES[lot.state]).upper()
    size = fitting_size(state, style.TITLE.fontName, 15, 0.28 * CONTENT_WIDTH - 2 * WORD_MARGIN)
    word = ParagraphStyle("word", parent=style.TITLE, textColor=white, alignment=TA_CENTER, fontSize=size)
    colour = style.VERDICT_COLOURS[STATE_COLOURS[lot.state]]
    look = [
        ("BACKGROUND", (0, 0), (0, 0), colour),
        ("BOX", (0, 0), (-1, -1), 1, colour),
        ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
        ("TOPPADDING", (0, 0), (-1, -1), 7),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 7),
        *((side, (0, 0), (0, 0), WORD_MARGIN) for side in ("LEFTPADDING", "RIGHTPADDING")),
        ("LEFTPADDING", (1, 0), (1, 0), 10),
        ("RIGHTPADDING", (1, 0), (1, 0), 8),
    ]
    said = [paragraph(text) for text in _said(lot, assessment)]
    return table([[paragraph(state, word), said]], [0.28, 0.72], look)


def _said(lot: Lot, assessment: Assessment) -> list[str]:
    """The decision and what it rests on, in sentences."""
    figures = assessment.figures
    undecided = figures.parts - figures.good - figures.nonconforming
    said = [
        _(
            "<b>%(inspected)s of %(sample)s</b> parts of the sample were inspected, %(parts)s parts "
            "altogether: %(good)s good, %(nonconforming)s nonconforming, %(undecided)s not decided.",
            inspected=number(figures.inspected),
            sample=number(figures.sample),
            parts=number(figures.parts),
            good=number(figures.good),
            nonconforming=number(figures.nonconforming),
            undecided=number(undecided),
        )
    ]
    if others := assessment.astray(lot.terms.part_number):
        numbers = safe(", ".join(others), 300)
        said.append(_("Some parts carry another part number: %(numbers)s.", numbers=numbers))
    if lot.closed is None:
        said.append(_("The lot is still open: these are interim figures."))
    elif lot.closed.decision != figures.decision:
        said.append(
            {
                "accept": _("The decision is that of the named person; the plans accept the lot."),
                "reject": _("The decision is that of the named person; the plans reject the lot."),
                "open": _("The decision is that of the named person; the plans had not decided yet."),
            }[figures.decision]
        )
    if lot.closed and lot.closed.rationale:
        why = _("Rationale")
        said.append(f"{why}: {written(lot.closed.rationale)}")
    return said


def _plan(lot: Lot, figures: Figures) -> list[Flowable]:
    terms = lot.terms
    head = (
        _("Severity"), _("Limit"), _("Code letter"), _("Sample n"), "Ac", "Re", _("Found"), _("Result"),
    )  # fmt: skip
    rows: list[list[Cell]] = [[paragraph(text, style.LABEL) for text in head]]
    look = [
        ("LINEBELOW", (0, 0), (-1, -1), 0.3, style.RULE),
        ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
        ("RIGHTPADDING", (0, 0), (-2, -1), 5),
    ]
    for row in figures.rows:
        found = str(row.found) + (_(" (+%(num)s beyond)", num=row.beyond) if row.beyond else "")
        sample = number(row.plan.n) + (_(" (all)") if row.plan.every_part else "")
        words = (
            limit_words(row.plan.limit),
            row.plan.letter,
            sample,
            str(row.plan.ac),
            str(row.plan.re),
            found,
        )
        result = paragraph(_(ROW_WORDS[row.state]), style.STRONG if row.state == "reject" else style.BODY)
        severity = paragraph(_(SEVERITY_WORDS[row.severity]), style.STRONG)
        rows.append([severity, *(paragraph(text) for text in words), result])
    notes = [
        _(
            "%(standard)s, general level %(level)s, lot of %(size)s. Nonconforming parts are counted, by the "
            "worst severity of their defects; a person's answer counts instead of the model's.",
            standard=_(STANDARD),
            level=terms.level,
            size=number(terms.size),
        )
    ]
    if any(row.beyond for row in figures.rows):
        notes.append(_("Parts inspected beyond a sample are told, but do not count for the decision."))
    return [
        table(rows, [0.16, 0.14, 0.13, 0.12, 0.06, 0.06, 0.19, 0.14], look),
        Spacer(1, 1.5 * mm),
        paragraph(" ".join(notes), style.SMALL),
        Spacer(1, 1 * mm),
        paragraph(drawn_words(lot, figures), style.SMALL),
    ]


def drawn_words(lot: Lot, figures: Figures) -> str:
    """Whether the figures allow a conclusion about the whole lot."""
    if all(row.plan.every_part for row in figures.rows):
        return _("Every part of the lot is to be inspected; nothing is inferred from a sample.")
    if lot.terms.drawn == "random":
        return _(
            "The sample was to be drawn at random from the whole lot, as %(name)s stated on opening.",
            name=safe(lot.opened.by, 48),
        )
    return _(
        "<b>The sample is not random</b>: the figures describe the parts inspected and allow no conclusion "
        "about the rest of the lot."
    )


def _defects(figures: Figures) -> list[Flowable]:
    if not figures.pareto:
        return []
    chart = pareto(figures.pareto[:MAX_BARS], CONTENT_WIDTH)
    note = _(
        "Parts that show the defect; a part with two kinds counts in both. At the right the running share."
    )
    if (more := len(figures.pareto) - MAX_BARS) > 0:
        note += " " + _("%(num)s rarer kinds are in the data of the lot.", num=more)
    return [
        KeepTogether(
            [
                heading(_("Defects, most frequent first")),
                Spacer(1, 2 * mm),
                chart,
                paragraph(note, style.SMALL),
            ]
        ),
        Spacer(1, GAP),
    ]


def pareto(bars: Sequence[Bar], width: float) -> Drawing:
    """One bar a kind of defect, its number of parts, and the running share."""
    row, label_width, value_width = 14.0, 0.34 * width, 86.0
    full, most = width - label_width - value_width, max(bar.parts for bar in bars)
    drawing = Drawing(width, row * len(bars) + 2)
    for index, bar in enumerate(bars):
        bottom = drawing.height - (index + 1) * row + 3
        label = shown(f"{defect_title(bar.class_id)} ({_(SEVERITY_WORDS[bar.severity])})", 60)
        drawing.add(_text(0, bottom, fitted(label, style.REGULAR, 7.2, label_width - 6)))
        drawing.add(Rect(label_width, bottom, full, 8, fillColor=style.PALE, strokeColor=None))
        length = full * bar.parts / most
        drawing.add(Rect(label_width, bottom, length, 8, fillColor=style.ACCENT, strokeColor=None))
        drawing.add(_text(label_width + full + 28, bottom, str(bar.parts), "end"))
        drawing.add(_text(width, bottom, percent(bar.running), "end"))
    return drawing


def _text(x: float, y: float, text: str, anchor: str = "start") -> String:
    return String(
        x, y + 1.5, text, fontName=style.REGULAR, fontSize=7.2, fillColor=style.INK, textAnchor=anchor
    )


def _events(lot: Lot) -> list[Flowable]:
    head = (_("When"), _("Who"), _("What"), _("Rationale"))
    rows: list[list[Cell]] = [[paragraph(text, style.LABEL) for text in head]]
    for event in lot.events:
        rows.append([
            paragraph(moment(event.created_at)), paragraph(safe(event.by, 48)), paragraph(event_words(event)),
            paragraph(written(event.rationale) or "–"),
        ])  # fmt: skip
    look = [
        ("LINEBELOW", (0, 0), (-1, -1), 0.3, style.RULE),
        ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
        ("RIGHTPADDING", (0, 0), (-1, -1), 6),
    ]
    return [
        heading(_("Who did what")),
        Spacer(1, 1 * mm),
        table(rows, [0.245, 0.16, 0.25, 0.345], look, repeat=1),
    ]


def _method(judged: Sequence[Judged]) -> list[Flowable]:
    return [*method_blocks(judged), Spacer(1, GAP)] if judged else []


def _parts(assessment: Assessment, record: Callable[[str], Record]) -> list[Flowable]:
    gone = [
        paragraph(deleted_words(taken.inspections, moment(taken.at) if taken.at else ""))
        for taken in assessment.deleted
    ]
    if not assessment.parts:
        none = [paragraph(_("No part was inspected yet."))]
        return [heading(_("Parts")), Spacer(1, 2), *(gone or none)]
    ordered = sorted(assessment.parts, key=lambda part: list(PART_WORDS).index(part.state))
    title = _("Parts, nonconforming and undecided first (%(num)s)", num=number(len(ordered)))
    story: list[Flowable] = [
        CondPageBreak(2 * PICTURE_HEIGHT), heading(title), Spacer(1, 2 * mm), *gone,
        Spacer(1, 2 * mm if gone else 0),
        part_pictures(ordered[:MAX_PICTURES], record, "original", COLUMNS, PICTURE_HEIGHT),
    ]  # fmt: skip
    if more := ordered[MAX_PICTURES:]:
        title = _("The other parts, without a picture here (%(num)s)", num=number(len(more)))
        story += [CondPageBreak(20 * mm), heading(title), Spacer(1, 1 * mm), part_table(more), Spacer(1, GAP)]
    if left := assessment.left_out:
        numbers = ", ".join(f"{safe(look.number)} ({safe(look.reviewer, 24)})" for look in left)
        why = _("Left out, since a person saw no part that can be judged")
        story.append(paragraph(f"<b>{why}:</b> {numbers}", style.SMALL))
    return story


def violated(rows: Sequence[Row]) -> list[str]:
    """What the lot was held against and failed, a sentence a severity."""
    return [_violated(row) for row in rows if row.state == "reject"]


def _violated(row: Row) -> str:
    severity = _(SEVERITY_WORDS[row.severity])
    if row.plan.limit == NONE_ALLOWED:
        return _(
            "%(severity)s: no such part is allowed; %(found)s found.", severity=severity, found=row.found
        )
    return _(
        "%(severity)s: at most %(ac)s of %(n)s parts allowed (%(limit)s, %(standard)s); %(found)s found.",
        severity=severity,
        ac=row.plan.ac,
        n=number(row.plan.n),
        limit=limit_words(row.plan.limit),
        standard=_(STANDARD),
        found=row.found,
    )
