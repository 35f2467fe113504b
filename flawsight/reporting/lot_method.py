"""By what models and limits the parts of a lot were judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from reportlab.platypus import Flowable, KeepTogether, Spacer

from flawsight.i18n import gettext as _
from flawsight.i18n import ngettext, percent
from flawsight.reporting import style
from flawsight.reporting.layout import Cell, heading, table
from flawsight.reporting.style import paragraph, safe
from flawsight.reporting.validated import validated_facts
from flawsight.reporting.words import NOT_RECORDED

Judged: TypeAlias = tuple[Sequence[Mapping[str, Any]], int]


def method_blocks(judged: Sequence[Judged]) -> list[Flowable]:
    """The heading and a block for each model and its limits.

    Args:
        judged: of each, inspections (``Inspection.to_dict()``) that show what parts it judged, and how many
            inspections there are of it.
    """
    blocks = [_block(some, inspections) for some, inspections in judged]
    story: list[Flowable] = [KeepTogether([heading(_("Method")), Spacer(1, 2), *blocks[:1]])]
    for block in blocks[1:]:
        story += [Spacer(1, 4), KeepTogether([block])]
    return story


def _block(some: Sequence[Mapping[str, Any]], inspections: int) -> Flowable:
    rows: list[list[Cell]] = [
        [paragraph(name, style.FACT), paragraph(safe(value, 220))]
        for name, value in _facts(some, inspections)
    ]
    look = [("TOPPADDING", (0, 0), (-1, -1), 0.8), ("RIGHTPADDING", (0, 0), (0, -1), 6)]
    return table(rows, [0.27, 0.73], look)


def _facts(some: Sequence[Mapping[str, Any]], inspections: int) -> list[tuple[str, str]]:
    data = some[0]
    model, method = data["model"], data["method"]
    named = _("%(name)s, version %(version)s", name=model["name"], version=model["version"])
    count = ngettext("%(num)s inspection", "%(num)s inspections", inspections)
    return [
        (_("Model"), f"{named} · {count}"),
        (_("Model file SHA-256"), model["sha256"]),
        (_("Training manifest SHA-256"), method.get("manifest_sha256") or _(NOT_RECORDED)),
        (_("Engine"), method.get("engine") or _(NOT_RECORDED)),
        (
            _("Thresholds"),
            " ".join(filter(None, (_limits(data["thresholds"]), method.get("thresholds", "")))),
        ),
        *validated_facts(some),
    ]


def _limits(thresholds: Mapping[str, float]) -> str:
    if "sure_from" in thresholds:
        return _("Named from a probability of %(limit)s on.", limit=percent(thresholds["sure_from"]))
    accept, reject = thresholds["accept_below"], thresholds["reject_from"]
    limits = {"accept": percent(accept), "reject": percent(reject)}
    if accept < reject:
        return _(
            "Accepted below %(accept)s probability of a defect, rejected from %(reject)s; "
            "a person decides in between.",
            **limits,
        )
    return _("Accepted below %(accept)s probability of a defect, rejected from %(reject)s.", **limits)
