"""One inspection as a PDF of two A4 pages, made from the record alone: nothing is analysed again.

Page one is for the person at the line: what was inspected, the verdict, the pictures. Page two is for
the file: where, how sure, by what method, and who decides. A product that is named and not judged has its
own words: no defect, no place to mark, nothing to be disposed of.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from flawsight.reporting.finding import finding
from flawsight.reporting.first_page import first_page
from flawsight.reporting.layout import describe_file, footer, hash_lines
from flawsight.reporting.second_page import second_page
from flawsight.reporting.style import CONTENT_HEIGHT, CONTENT_WIDTH, shown
from flawsight.reporting.words import verdict_word


def build_report(record: Record, answers: Sequence[Review] = (), head: Head | None = None) -> bytes:
    """The report of ``record`` as PDF bytes: always two pages, the same bytes for the same record.

    ``answers`` are those of people, first to latest. The latest counts: its verdict is the headline, and it
    fills in the disposition, all but the signature. Each makes a new revision of the report.
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
    review = answers[-1] if answers else None
    _describe_file(canvas, record, review)
    pages = (first_page(record, review), second_page(record, review))
    number = _("%(number)s · revision %(revision)s", number=record.number, revision=1 + len(answers))
    for page, story in enumerate(pages, start=1):
        # Shrinking is a last resort, for texts of a length nobody foresaw; a third page never comes.
        fitted = KeepInFrame(CONTENT_WIDTH, CONTENT_HEIGHT, story, mode="shrink")
        frame = Frame(
            style.MARGIN, style.FOOTER_HEIGHT, CONTENT_WIDTH, CONTENT_HEIGHT,
            leftPadding=0, rightPadding=0, topPadding=0, bottomPadding=0,
        )  # fmt: skip
        frame.addFromList([fitted], canvas)
        _footer(canvas, record, number, (page, len(pages)), head)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def _describe_file(canvas: Canvas, record: Record, review: Review | None) -> None:
    word = verdict_word(record.data, finding(record.data, review).verdict)
    describe_file(
        canvas,
        _("Inspection report %(number)s", number=record.number),
        f"{shown(word)}: {shown(record.data['image']['name'])}",
        record.created_at,
    )


def _footer(canvas: Canvas, record: Record, number: str, page: tuple[int, int], head: Head | None) -> None:
    image = _("SHA-256 of the image")
    hashes = [f"{image}   {record.data['image']['sha256']}", *hash_lines(record.record_sha256, head)]
    note = _("AI-assisted; the named person has the last word") if identifies(record.data) else ""
    footer(canvas, number, *page, hashes, note)
