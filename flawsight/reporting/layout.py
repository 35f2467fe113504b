"""What all reports are put together from: tables, headings, moments, and pages that know their number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, TypeAlias

from reportlab import rl_config
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, PageTemplate, Table

from flawsight.i18n import gettext as _
from flawsight.i18n import language
from flawsight.records.links import Head
from flawsight.reporting import style
from flawsight.reporting.style import CONTENT_HEIGHT, CONTENT_WIDTH, paragraph, safe

# Plain binary streams: spelling them out in ASCII85 costs more time than all the rest, and a quarter of size.
rl_config.useA85 = 0

ALL_SIDES = ("TOPPADDING", "BOTTOMPADDING", "LEFTPADDING", "RIGHTPADDING")
TEXT_SHOWN = 700  # characters of what a person wrote; the history keeps all
LINES_SHOWN = 12  # more are written one behind the other: a column of numbers would fill the page
Cell: TypeAlias = Flowable | list[Flowable] | str


def table(
    rows: Sequence[Sequence[Cell]],
    shares: Sequence[float],
    look: Sequence[tuple[Any, ...]],
    width: float = CONTENT_WIDTH,
    repeat: int = 0,
) -> Table:
    """A table of ``width`` points in columns of ``shares``, without padding unless ``look`` adds some.

    Its first ``repeat`` rows are printed again on every page it reaches.
    """
    bare = [(side, (0, 0), (-1, -1), 0) for side in ALL_SIDES]
    text: list[tuple[Any, ...]] = [
        ("FONT", (0, 0), (-1, -1), style.REGULAR, style.BODY.fontSize, style.BODY.leading)
    ]
    text += [("TEXTCOLOR", (0, 0), (-1, -1), style.INK), ("VALIGN", (0, 0), (-1, -1), "TOP")]
    return Table(
        rows,
        colWidths=[share * width for share in shares],
        style=[*bare, *text, *look],
        hAlign="LEFT",
        repeatRows=repeat,
    )


def heading(text: str) -> Table:
    look = [("LINEBELOW", (0, 0), (-1, -1), 0.6, style.RULE), ("BOTTOMPADDING", (0, 0), (-1, -1), 2)]
    return table([[paragraph(text, style.HEADING)]], [1.0], look)


def written(text: str) -> str:
    """What a person wrote, for a Paragraph."""
    if len(text) > TEXT_SHOWN:
        text = text[:TEXT_SHOWN].rsplit(" ", 1)[0] + " … " + _("(the history has all of it)")
    lines = text.splitlines()
    between = " / " if len(lines) > LINES_SHOWN else "<br/>"
    return between.join(safe(line, TEXT_SHOWN + 40) for line in lines)


def moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} {at.tzname()}"


def describe_file(canvas: Canvas, title: str, subject: str, at: datetime) -> None:
    """Title, subject and date of the file.

    It is dated like what it reports, not like the moment of printing, so that its bytes stay the same.
    """
    canvas.setTitle(title)
    canvas.setSubject(subject)
    canvas.setAuthor("Flawsight")
    canvas.setCreator("Flawsight")
    stamp = canvas._doc._timeStamp
    stamp.t = at.timestamp()
    stamp.YMDhms = at.astimezone(UTC).utctimetuple()[:6]


def footer(canvas: Canvas, number: str, page: int, pages: int, hashes: Sequence[str], note: str = "") -> None:
    """The foot of a page; ``hashes`` are lines of small print, ``note`` says who decides."""
    left, right = style.MARGIN, style.PAGE_WIDTH - style.MARGIN
    canvas.setStrokeColor(style.RULE)
    canvas.line(left, 16 * mm, right, 16 * mm)
    canvas.setFont(style.BOLD, 6.8)
    canvas.setFillColor(style.INK)
    canvas.drawString(left, 12.6 * mm, number)
    canvas.setFont(style.REGULAR, 6.8)
    note = note or _("AI-assisted; disposition by the named person")
    canvas.drawCentredString((left + right) / 2, 12.6 * mm, note)
    canvas.drawRightString(right, 12.6 * mm, _("Page %(page)s of %(pages)s", page=page, pages=pages))
    canvas.setFillColor(style.MUTED)
    canvas.setFont(style.REGULAR, 6)
    for line, text in enumerate(hashes):
        canvas.drawString(left, (9.4 - 2.6 * line) * mm, text)


def hash_lines(record_sha256: str, head: Head | None) -> list[str]:
    """Lines of a foot: the seal of what is reported, and the chain's head that a copy bears witness to."""
    seal, chain = _("SHA-256 of the record"), _("Head of the chain of the history")
    return [f"{seal}  {record_sha256}", *([f"{chain}  {head}"] if head else [])]


def print_pages(
    story: Sequence[Flowable],
    title: str,
    subject: str,
    at: datetime,
    foot: Callable[[Canvas, int, int], None],
) -> bytes:
    """``story`` on as many A4 pages as it needs; ``foot`` draws page so-and-so of so many."""
    style.register_fonts()
    buffer = BytesIO()
    frame = Frame(
        style.MARGIN, style.FOOTER_HEIGHT, CONTENT_WIDTH, CONTENT_HEIGHT,
        leftPadding=0, rightPadding=0, topPadding=0, bottomPadding=0,
    )  # fmt: skip
    document = BaseDocTemplate(
        buffer,
        pagesize=(style.PAGE_WIDTH, style.PAGE_HEIGHT),
        pageTemplates=[PageTemplate(frames=[frame])],
        pageCompression=1,
        invariant=1,
        lang=language(),
    )

    def canvas(*args: Any, **kwargs: Any) -> Canvas:
        made = _CountingCanvas(foot, *args, **kwargs)
        describe_file(made, title, subject, at)
        return made

    document.build(list(story), canvasmaker=canvas)
    return buffer.getvalue()


class _CountingCanvas(Canvas):  # type: ignore[misc]  # reportlab ships no types
    """Keeps every page until the last is known, so that each can say how many there are."""

    def __init__(self, foot: Callable[[Canvas, int, int], None], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._foot = foot
        self._kept: list[dict[str, Any]] = []

    def showPage(self) -> None:  # noqa: N802  (reportlab's name)
        self._kept.append(dict(vars(self)))
        self._startPage()

    def save(self) -> None:
        for number, page in enumerate(self._kept, start=1):
            self.__dict__.update(page)
            self._foot(self, number, len(self._kept))
            super().showPage()
        super().save()
