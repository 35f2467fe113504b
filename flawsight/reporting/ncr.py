"""A non-conformance report of a lot: what is known is filled in, the rest is left to be written by hand.

A cause is never given: the pictures show what is wrong, not why.
"""

from __future__ import annotations

from collections.abc import Callable

from reportlab.lib.units import mm
from reportlab.platypus import Flowable, KeepTogether, Spacer, Table

from flawsight.i18n import gettext as _
from flawsight.i18n import marked, ngettext, number
from flawsight.records.assessment import SEVERITY_WORDS, Assessment, Part
from flawsight.records.links import Head
from flawsight.records.lot import Lot
from flawsight.records.record import Record
from flawsight.reporting import style
from flawsight.reporting.drawings import ruled_blank
from flawsight.reporting.layout import Cell, heading, moment, table, written
from flawsight.reporting.lot_parts import boxes_words, part_pictures, part_table
from flawsight.reporting.lot_report import (
    GAP,
    dated,
    disposition,
    drawn_words,
    facts,
    header,
    print_lot,
    violated,
)
from flawsight.reporting.style import CONTENT_WIDTH, paragraph, safe
from flawsight.reporting.words import defect_title, deleted_words
from flawsight.taxonomy import describe

MAX_PICTURES = 12
COLUMNS = 4
PICTURE_HEIGHT = 30 * mm
ROLES = (marked("Reported by"), marked("Cause and action by"), marked("Closed by"))


def build_ncr(
    lot: Lot, assessment: Assessment, record: Callable[[str], Record], head: Head | None = None
) -> bytes:
    """The non-conformance report of ``lot``, with the ``head`` of the history's chain.

    ``record`` gives the inspection of an id, for its picture.
    """
    bad = [part for part in assessment.parts if part.state == "nonconforming"]
    disposed, at = lot.disposed, dated(lot, assessment)
    said = disposed.data if disposed else {}
    story: list[Flowable] = [
        header(_("Non-conformance report"), lot.ncr_number, at),
        Spacer(1, 3 * mm), facts(lot), Spacer(1, 2 * mm), _quantity(lot, assessment, bad), Spacer(1, GAP),
        heading(_("Requirement violated")), Spacer(1, 1 * mm), *_requirement(lot, assessment), Spacer(1, GAP),
        heading(_("Description")), Spacer(1, 1 * mm), *_description(assessment, bad, record), Spacer(1, GAP),
        KeepTogether(_to_write(_("Containment: what was done at once"), said.get("containment", ""))),
        Spacer(1, GAP),
        KeepTogether([heading(_("Disposition")), Spacer(1, 2 * mm), disposition(lot)]), Spacer(1, GAP),
        KeepTogether(_to_write(_("Cause: not established by this report"), "", lines=3)), Spacer(1, GAP),
        KeepTogether([
            *_to_write(_("Corrective action, reference"), said.get("reference", "")), Spacer(1, GAP),
            *_sign_off(),
        ]),
    ]  # fmt: skip
    title = _("Non-conformance report %(number)s", number=lot.ncr_number)
    return print_lot(story, lot, lot.ncr_number, title, at, head)


def _quantity(lot: Lot, assessment: Assessment, bad: list[Part]) -> Table:
    figures = assessment.figures
    quantity = _(
        "%(bad)s of %(parts)s parts inspected; lot of %(size)s",
        bad=number(figures.nonconforming),
        parts=number(figures.parts),
        size=number(lot.terms.size),
    )
    known = (
        (_("Detected by"), _detected_by(lot, bad)),
        (_("Quantity nonconforming"), quantity),
    )
    cells: list[Cell] = [[paragraph(label, style.LABEL), paragraph(value)] for label, value in known]
    return table([cells], [0.5, 0.5], [("RIGHTPADDING", (0, 0), (-1, -1), 6)])


def _detected_by(lot: Lot, bad: list[Part]) -> str:
    """Who found the nonconforming parts: those who rejected them against the model or instead of it first.

    Of a lot without such a part, or whose parts were deleted since, only who closed it is known.
    """
    found = [look for part in bad for look in part.looks if look.verdict == "reject"]
    names = [look.reviewer for look in found if look.model_verdict != "reject"]
    names += [name for look in found for name in (look.inspector, look.reviewer)]
    if lot.closed and not bad:
        names = [lot.closed.by]
    if by := ", ".join(dict.fromkeys(safe(name, 40) for name in names if name)):
        return _("%(name)s, with the model; answers of persons count first", name=by)
    return _("The model; nobody was named who inspected these parts")


def _requirement(lot: Lot, assessment: Assessment) -> list[Flowable]:
    figures = assessment.figures
    said = violated(figures.rows)
    if not said:
        said = [_("No acceptance number was passed; the parts below are nonconforming each for itself.")]
    if lot.closed and lot.closed.rationale:
        wrote = _("On closing, %(name)s wrote:", name=safe(lot.closed.by, 48))
        said.append(f"{wrote} {written(lot.closed.rationale)}")
    said.append(drawn_words(lot, figures))
    return [paragraph(text) for text in said]


def _description(assessment: Assessment, bad: list[Part], record: Callable[[str], Record]) -> list[Flowable]:
    story: list[Flowable] = []
    for bar in assessment.figures.pareto:
        text = (
            describe(bar.class_id).description
            if bar.class_id
            else _("A part was rejected without a named defect.")
        )
        count = ngettext("%(num)s part", "%(num)s parts", bar.parts)
        title = f"{safe(defect_title(bar.class_id), 60)} ({_(SEVERITY_WORDS[bar.severity])}), {count}"
        story.append(paragraph(f"<b>{title}:</b> {safe(text, 300)}"))
    if bad:
        some = bad[:MAX_PICTURES]
        story += [Spacer(1, 2 * mm), part_pictures(some, record, "boxes", COLUMNS, PICTURE_HEIGHT)]
        story.append(paragraph(boxes_words(some), style.SMALL))
    if more := bad[MAX_PICTURES:]:
        words = _("Nonconforming as well (%(num)s)", num=number(len(more)))
        story += [Spacer(1, 2 * mm), paragraph(words, style.STRONG), Spacer(1, 1 * mm), part_table(more)]
    for taken in assessment.deleted:
        when = moment(taken.at) if taken.at else ""
        story.append(paragraph(deleted_words(taken.inspections, when), style.SMALL))
    if not story:
        story.append(paragraph(_("No inspected part is nonconforming.")))
    return story


def _to_write(title: str, text: str, lines: int = 2) -> list[Flowable]:
    """What is known, or room to write it."""
    blanks: list[Flowable] = []
    for _line in range(lines):
        blanks += [Spacer(1, 3 * mm), ruled_blank(CONTENT_WIDTH)]
    return [heading(title), Spacer(1, 1 * mm), *([paragraph(written(text))] if text else blanks)]


def _sign_off() -> list[Flowable]:
    """A line for each role, to be signed by hand."""
    head: list[Cell] = [
        paragraph(text, style.LABEL) for text in ("", _("Printed name"), _("Signature"), _("Date"))
    ]
    shares = (0.25, 0.27, 0.3, 0.18)
    rows: list[list[Cell]] = [
        [paragraph(_(role), style.STRONG), *(ruled_blank(share * CONTENT_WIDTH - 12) for share in shares[1:])]
        for role in ROLES
    ]
    look = [("TOPPADDING", (0, 1), (-1, -1), 4 * mm), ("VALIGN", (0, 1), (-1, -1), "BOTTOM")]
    return [heading(_("Sign-off")), Spacer(1, 1 * mm), table([head, *rows], shares, look)]
