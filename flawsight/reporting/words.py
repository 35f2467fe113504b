"""What page and report say of a verdict, in the same words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flawsight.i18n import gettext as _
from flawsight.i18n import marked, ngettext, percent
from flawsight.inspection.words import identifies, product_of
from flawsight.taxonomy import ClassInfo

NOT_RECORDED = marked("not recorded in this model file")


def verdict_word(data: Mapping[str, Any], verdict: str = "") -> str:
    """The verdict of a filed inspection, or another, in capitals: as its product calls it, else as all do."""
    words = {"accept": _("ACCEPT"), "review": _("REVIEW"), "reject": _("REJECT"), "unknown": _("UNKNOWN")}
    verdict = verdict or data["verdict"]
    own = (product_of(data).get("wording") or {}).get(verdict)
    return _(str(own)).upper() if own else words[verdict]


def severity_words(info: ClassInfo) -> str:
    """How grave the taxonomy takes a defect to be."""
    return _("%(severity)s (a starting point; your own criterion decides)", severity=_(info.severity))


def next_step(data: Mapping[str, Any], info: ClassInfo) -> str:
    """What to do now. May be empty where a product is only named."""
    if identifies(data):
        return info.recommended_action if data["verdict"] == "accept" else _("Let a person who knows decide.")
    match data["verdict"]:
        case "accept":
            return _("Release to the next step.") if info.is_defect else info.recommended_action
        case "unknown":
            return _(
                "Hold the part. Check that the right part, the right side and the usual light were in the "
                "picture, take it again, and let a person decide if the answer stays the same."
            )
        case "review":
            return _("Hold the part until a person has looked at it and decided.")
        case _:
            return info.recommended_action if info.is_defect else _("Hold the part and have it reviewed.")


def deleted_words(inspections: int, when: str) -> str:
    """What a retention rule took of a closed lot, so that nobody wonders at parts that are not listed."""
    if when:
        return ngettext(
            "The record of %(num)s inspection of this lot was deleted by a retention rule (%(when)s). The "
            "figures are those of the closing; that part is no longer listed.",
            "The records of %(num)s inspections of this lot were deleted by a retention rule (%(when)s). The "
            "figures are those of the closing; those parts are no longer listed.",
            inspections,
            when=when,
        )
    return ngettext(
        "The record of %(num)s part of this lot was deleted by a retention rule. The figures are those of "
        "the closing; that part is no longer listed.",
        "The records of %(num)s parts of this lot were deleted by a retention rule. The figures are those of "
        "the closing; those parts are no longer listed.",
        inspections,
    )


def rate_with_interval(metric: Any) -> str:
    """A rate as ``97.1 % (95 % interval 94.0 % to 98.9 %)``.

    ``metric`` is ``{"value", "low", "high"}``, a bare number, or ``None`` when the model file has none.
    """
    match metric:
        case {
            "value": float() | int() as value,
            "low": float() | int() as low,
            "high": float() | int() as high,
        }:
            return _(
                "%(value)s (95 %% interval %(low)s to %(high)s)",
                value=percent(value),
                low=percent(low),
                high=percent(high),
            )
        case {"value": float() | int() as value} | (float() | int() as value):
            return _("%(value)s (interval not recorded)", value=percent(value))
        case _:
            return _(NOT_RECORDED)
