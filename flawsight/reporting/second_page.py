"""Page two, for the file: where, how sure, by what method, and who decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.platypus import Flowable, Spacer, Table

from flawsight.i18n import gettext as _
from flawsight.i18n import number, percent
from flawsight.inspection.words import identifies, reason_of, template_of
from flawsight.records.record import Record
from flawsight.records.reviews import DISPOSITIONS as DISPOSITION_LABELS
from flawsight.records.reviews import Review
from flawsight.reporting import style
from flawsight.reporting.drawings import (
    bars,
    ruled_blank,
    threshold_scale,
    tick_boxes,
)
from flawsight.reporting.finding import Mark, finding, marks
from flawsight.reporting.layout import Cell, heading, moment, table, written
from flawsight.reporting.style import CONTENT_WIDTH, paragraph, safe, shown
from flawsight.reporting.validated import validated_facts
from flawsight.reporting.words import (
    NOT_RECORDED,
    far_words,
    kept_words,
    no_boxes_words,
    none_fits_words,
    preprocessing_words,
    template_words,
    told_words,
    verdict_word,
    whole_picture_words,
)
from flawsight.taxonomy import describe

MAX_BOX_ROWS = 12
TOP_CLASSES = 5
GAP = 5 * mm


def second_page(record: Record, review: Review | None) -> list[Flowable]:
    data = record.data
    named = identifies(data)
    where = [] if named else [heading(_("Where")), *_where(data, review), Spacer(1, GAP)]
    sure = _("How sure the model is") if review else _("How sure")
    return [
        _continued(record, review), Spacer(1, 3 * mm), *where,
        heading(sure), _confidence(data), Spacer(1, GAP),
        heading(_("Method")), _method(data), Spacer(1, GAP),
        heading(_("Answer of a person") if named else _("Disposition")), _disposition(data, review),
    ]  # fmt: skip


def _continued(record: Record, review: Review | None) -> Table:
    right = ParagraphStyle("right", parent=style.SMALL, alignment=TA_RIGHT)
    word = verdict_word(record.data, finding(record.data, review).verdict)
    verdict = f"<b>{safe(word, 40)}</b> · {safe(record.data['image']['name'], 60)}"
    rows = [
        [
            paragraph(_("Inspection report %(number)s, continued", number=safe(record.number)), style.SMALL),
            paragraph(verdict, right),
        ]
    ]
    return table(rows, [0.5, 0.5], [])


def _where(data: Mapping[str, Any], review: Review | None) -> list[Flowable]:
    """The box table, a person's own first, then the model's by their scores, as filed."""
    found = marks(data, review)
    if not found:
        return [Spacer(1, 2), paragraph(safe(no_boxes_words(data, review), 200))]
    head = ["#", _("Class"), "x1", "y1", "x2", "y2", _("Width × height"), _("Area share"), _("Score")]
    shares = [0.05, 0.27, 0.08, 0.08, 0.08, 0.08, 0.15, 0.11, 0.10]
    if review:
        head.append(_("Person"))
        shares = [0.05, 0.25, 0.07, 0.07, 0.07, 0.07, 0.14, 0.10, 0.08, 0.10]
    rows: list[list[Cell]] = [[paragraph(text, style.LABEL) for text in head]]
    rows += [_box_row(mark, data["image"]) for mark in found[:MAX_BOX_ROWS]]
    look = [
        ("LINEBELOW", (0, 0), (-1, -1), 0.3, style.RULE),
        ("TOPPADDING", (0, 0), (-1, -1), 1.2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 1.2),
    ]
    note = _("Pixels from the top left corner of the picture; x2 and y2 lie just outside the box.")
    if (more := len(found) - MAX_BOX_ROWS) > 0:
        cut = _(
            "The first %(shown)s of %(all)s are shown; the other %(more)s are in the JSON of this "
            "inspection.",
            shown=MAX_BOX_ROWS,
            all=len(found),
            more=more,
        )
        note = f"{cut} {note}"
    return [table(rows, shares, look), Spacer(1, 1.5 * mm), paragraph(note, style.SMALL)]


def _box_row(mark: Mark, image: Mapping[str, Any]) -> list[Cell]:
    share = mark.width * mark.height / (image["width"] * image["height"])
    row: list[Cell] = [
        mark.label, paragraph(safe(describe(mark.class_id).title, 40)),
        *(str(corner) for corner in (mark.x1, mark.y1, mark.x2, mark.y2)), f"{mark.width} × {mark.height}",
        percent(share), "–" if mark.score is None else percent(mark.score),
    ]  # fmt: skip
    if said := kept_words(mark):
        row.append(said)
    return row


def _confidence(data: Mapping[str, Any]) -> Table:
    gutter = 16
    width = CONTENT_WIDTH / 2 - gutter / 2
    unknown = data["verdict"] == "unknown"
    top = list(data["probabilities"].items())[:TOP_CLASSES]
    shares = [(shown(describe(class_id).title, 60), share) for class_id, share in top]
    highlight = "" if unknown else shown(describe(data["predicted_class"]).title, 60)
    title = _("Closest classes, not an answer") if unknown else _("Calibrated probability of the top classes")
    left = [paragraph(title, style.LABEL), Spacer(1, 2), bars(shares, width, highlight)]
    if data["boxes"]:
        left.append(paragraph(whole_picture_words(), style.SMALL))
    if unknown:
        right = _how_foreign(data)
    else:
        title, scale, distance = _how_sure(data, width)
        right = [paragraph(title, style.LABEL), Spacer(1, 2), scale, paragraph(distance, style.SMALL)]
    return table(
        [[left, right]],
        [0.5, 0.5],
        [("LEFTPADDING", (1, 0), (1, 0), gutter / 2), ("TOPPADDING", (0, 0), (-1, -1), 3)],
    )


def _how_foreign(data: Mapping[str, Any]) -> list[Flowable]:
    """What an unknown part rests on: it has no class, so no confidence in one."""
    why = paragraph(none_fits_words(data), style.SMALL)
    if not (far := far_words(data)):
        return [paragraph(_("Why it is not judged"), style.LABEL), paragraph(safe(reason_of(data), 300)), why]
    return [paragraph(_("Distance from known parts"), style.LABEL), paragraph(far, style.CLASS_TITLE), why]


def _how_sure(data: Mapping[str, Any], width: float) -> tuple[str, Flowable, str]:
    return _how_sure_of_the_name(data, width) if identifies(data) else _how_sure_of_a_defect(data, width)


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
    title = _("Calibrated probability of a defect, against the thresholds")
    return title, threshold_scale(probability, zones, width), distance


def _how_sure_of_the_name(data: Mapping[str, Any], width: float) -> tuple[str, Flowable, str]:
    """The same of a product that is named."""
    probability, limit = data["confidence"], data["thresholds"]["sure_from"]
    zones = (("review", _("left to a person"), limit), ("accept", _("named"), 1.0))
    distance = _("%(points)s the limit from which it is named.", points=_points(probability, limit))
    title = _("Calibrated probability of the most probable class, against the limit")
    return title, threshold_scale(probability, zones, width), distance


def _points(probability: float, limit: float) -> str:
    """How far a probability lies from a limit."""
    far = number(100 * abs(probability - limit), 1)
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
    facts = (
        (_("Model"), _("%(name)s, version %(version)s", name=model["name"], version=model["version"])),
        (_("SHA-256 of the model"), model["sha256"]),
        (_("SHA-256 of the training manifest"), method.get("manifest_sha256") or _(NOT_RECORDED)),
        (_("Engine"), method.get("engine") or _(NOT_RECORDED)),
        (_("Preprocessing"), preprocessing_words(method.get("preprocessing") or {}) or _(NOT_RECORDED)),
        *_template(data),
        (_("Explanation"), data["heatmap"]["method"]),
        *([(_("Thresholds"), method["thresholds"])] if method.get("thresholds") else []),
        *validated_facts([data]),
        (_("Last check on known parts"), method.get("last_check") or _("not recorded")),
    )
    rows: list[list[Cell]] = [
        [paragraph(name, style.FACT), paragraph(safe(value, 220))] for name, value in facts
    ]
    return table(
        rows, [0.27, 0.73], [("TOPPADDING", (0, 0), (-1, -1), 0.8), ("RIGHTPADDING", (0, 0), (0, -1), 6)]
    )


def _template(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    template = template_of(data)
    if template is None:
        return []
    held = (_("Compared with the template"), template_words(data))
    return [held, (_("SHA-256 of the template"), template["sha256"])]


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
            rationale = [paragraph(written(review.rationale))]
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


def _decided(data: Mapping[str, Any], review: Review) -> str:
    """What the person decided, and whether that is what the model said."""
    told = told_words(data, review)
    if review.verdict == "unknown":
        return _("<b>Reviewed: %(verdict)s</b> (%(told)s)", verdict=_("NOT A PART FOR THIS MODEL"), told=told)
    return _(
        "<b>Reviewed: %(verdict)s</b>, %(title)s (%(told)s)",
        verdict=safe(verdict_word(data, review.verdict), 40),
        title=safe(describe(review.class_id).title, 60),
        told=told,
    )
