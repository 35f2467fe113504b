"""One inspection as a PDF of two A4 pages, made from the record alone: nothing is analysed again.

Page one is for the person at the line: what was inspected, the verdict, the pictures. Page two is for
the file: where, how sure, by what method, and who decides. A product that is named and not judged has its
own words: no defect, no place to mark, nothing to be disposed of.
"""

from __future__ import annotations

from io import BytesIO

from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Frame, KeepInFrame

from flawsight.i18n import gettext as _
from flawsight.i18n import language
from flawsight.inspection.words import identifies
from flawsight.records.links import Head
from flawsight.records.record import Record
from flawsight.records.reviews import Review
from flawsight.reporting import style
from flawsight.reporting.first_page import first_page
from flawsight.reporting.layout import describe_file, footer
from flawsight.reporting.second_page import second_page
from flawsight.reporting.style import CONTENT_HEIGHT, CONTENT_WIDTH, shown
from flawsight.reporting.words import verdict_word

REVISION = 1


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
    pages = (first_page(record), second_page(record, review))
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
