"""The parts of a lot on paper: those to be looked at with a picture, the others in a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest

from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.platypus import Spacer, Table

from flawsight.errors import FlawsightError
from flawsight.i18n import gettext as _
from flawsight.i18n import in_this_language
from flawsight.records.assessment import PART_WORDS, SEVERITY_WORDS, Look, Part
from flawsight.records.record import Record
from flawsight.records.reviews import DISPOSITIONS
from flawsight.reporting import style
from flawsight.reporting.drawings import BoxedPicture, Picture, share_of
from flawsight.reporting.finding import drawn_marks, labels_of
from flawsight.reporting.layout import Cell, table
from flawsight.reporting.style import CONTENT_WIDTH, paragraph, safe, shown
from flawsight.reporting.words import defect_title
from flawsight.taxonomy import describe

SHARES = (0.13, 0.11, 0.26)  # of the columns of one half of the table
PADDING = 5.0  # points between them
TABLE_TEXT = style.SMALL.clone("table text", textColor=style.INK, fontSize=6.4, leading=8.2)


def kinds_of(part: Part) -> list[str]:
    """The defects of a nonconforming part, a line for each severity, worst first."""
    return [
        f"{_(SEVERITY_WORDS[severity])}: {', '.join(shown(defect_title(kind), 40) for kind in kinds)}"
        for severity, kinds in part.by_severity.items()
    ]


def part_pictures(
    parts: Sequence[Part], record: Callable[[str], Record], kind: str, columns: int, height: float
) -> Table:
    """A picture of each part, ``original`` or ``boxes``, with its number, state and defects below."""
    width = CONTENT_WIDTH / columns - 6

    def cell(part: Part) -> Cell:
        words = paragraph("<br/>".join(_caption(part, kind)), style.SMALL)
        look = part.shown_look
        try:
            picture = _picture(record(look.id), look, kind, width, height)
        except FlawsightError:
            return [paragraph(_("This picture is no longer kept."), style.SMALL), words]
        return [picture, Spacer(1, 2), words]

    with ThreadPoolExecutor(2) as pool:  # decoding leaves the interpreter lock alone
        cells = list(pool.map(in_this_language(cell), parts))
    cells += [""] * (-len(cells) % columns)
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    look = [("BOTTOMPADDING", (0, 0), (-1, -1), 7), ("RIGHTPADDING", (0, 0), (-1, -1), 6)]
    return table(rows, [1 / columns] * columns, look)


def boxes_words(parts: Sequence[Part]) -> str:
    """Who drew the boxes in the pictures of ``parts``."""
    if any(part.shown_look.drawn for part in parts):
        return _(
            "Boxes as the model drew them, dashed ones as a person drew them in a review; they show where to "
            "look and measure nothing."
        )
    return _("Boxes as the model drew them; they show where to look and measure nothing.")


def part_table(parts: Sequence[Part]) -> Table:
    """Number, serial and result of each part, two parts a line, to be read across."""
    names = (_("Inspection"), _("Serial number"), _("Result · class · person"))
    head: list[Cell] = [paragraph(name, style.LABEL) for name in names]
    cells = [_cells(part) for part in parts]
    pairs = zip_longest(cells[::2], cells[1::2], fillvalue=[""] * len(names))
    look = [
        ("FONT", (0, 0), (-1, -1), style.REGULAR, TABLE_TEXT.fontSize, TABLE_TEXT.leading),
        ("LINEBELOW", (0, 0), (-1, -1), 0.25, style.RULE),
        ("RIGHTPADDING", (0, 0), (-1, -1), PADDING),
        ("TOPPADDING", (0, 0), (-1, -1), 0.6),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 1.2),
    ]
    return table([head * 2, *([*left, *right] for left, right in pairs)], SHARES * 2, look, repeat=1)


# --- one part -----------------------------------------------------------------------------------------


def _picture(record: Record, look: Look, kind: str, width: float, height: float) -> Picture:
    name, original = f"{kind} {record.id}", record.read("original")
    if kind == "boxes":
        own = [share_of(mark, record.data["image"]) for mark in drawn_marks(look.drawn)]
        return BoxedPicture(name, original, record.data, width, height, own)
    return Picture(name, original, width, height)


def _number(part: Part) -> str:
    first, more = part.looks[0].number, len(part.looks) - 1
    return _("%(number)s and %(more)s more", number=first, more=more) if more else first


def _caption(part: Part, kind: str) -> list[str]:
    words = [f"<b>{safe(_number(part))}</b>"]
    words += [safe(line, 400) for line in kinds_of(part)] or [_(PART_WORDS[part.state])]
    if serial := part.looks[0].serial:
        words.append(_("Serial %(serial)s", serial=safe(serial, 24)))
    if answer := _answer(part):
        words.append(_("Reviewed by %(name)s", name=safe(answer, 60)))
    look = part.shown_look
    if kind == "boxes" and look.drawn:
        labels = labels_of(drawn_marks(look.drawn))
        words.append(_("Dashed, %(labels)s: drawn by %(name)s", labels=labels, name=safe(look.reviewer, 40)))
    return words


def _answer(part: Part) -> str:
    """Who answered last, and what is to become of the part as they said."""
    look = next((look for look in reversed(part.looks) if look.reviewer), None)
    if look is None:
        return ""
    disposition = _(DISPOSITIONS.get(look.disposition, ""))
    return f"{shown(look.reviewer, 24)}: {disposition}" if disposition else shown(look.reviewer, 24)


def _seen(part: Part) -> str:
    if part.state == "nonconforming":
        return "; ".join(kinds_of(part))
    look = part.looks[-1]
    title = shown(describe(look.class_id).title, 60)
    if part.state == "good":
        return title
    if look.verdict == "unknown":
        return _("Unlike the known parts")
    return _("Most probable: %(title)s", title=title)


def _cells(part: Part) -> list[Cell]:
    result = " · ".join(filter(None, (_(PART_WORDS[part.state]), _seen(part), _answer(part))))
    said = (_number(part), shown(part.looks[0].serial), result)
    return [_cell(text, share * CONTENT_WIDTH - PADDING) for text, share in zip(said, SHARES, strict=True)]


def _cell(text: str, width: float) -> Cell:
    """Plain text where it fits, which is several times faster than a paragraph."""
    if stringWidth(text, style.REGULAR, TABLE_TEXT.fontSize) <= width:
        return text
    return paragraph(safe(text, 400), TABLE_TEXT)
