"""Why an inspection ended as it did, in one plain sentence. Stored in English, shown in any language."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from flawsight.i18n import ENGLISH, language, ngettext, number, percent
from flawsight.i18n import gettext as _
from flawsight.inspection.quality import Quality
from flawsight.inspection.strangeness import COLOUR, NOISE
from flawsight.taxonomy import IDENTIFY, describe


def reason(
    verdict: str, defect_probability: float, accept_below: float, reject_from: float, predicted_class: str
) -> str:
    """Why a part of known kind is accepted, rejected or for a person to decide."""
    share, accept, reject = map(percent, (defect_probability, accept_below, reject_from))
    if verdict == "accept":
        return _(
            "The defect probability of %(share)s is below the acceptance limit of %(accept)s.",
            share=share,
            accept=accept,
        )
    if verdict == "reject":
        return _(
            "The defect probability of %(share)s reaches the rejection limit of %(reject)s; the most "
            "probable defect is %(title)s.",
            share=share,
            reject=reject,
            title=describe(predicted_class).title,
        )
    return _(
        "The defect probability of %(share)s is between acceptance (below %(accept)s) and rejection (from "
        "%(reject)s), so a person must decide.",
        share=share,
        accept=accept,
        reject=reject,
    )


def identified_reason(confidence: float, sure_from: float, predicted_class: str) -> str:
    """Why a picture is named, or left to a person, by a model that only tells kinds apart."""
    values = {
        "title": describe(predicted_class).title,
        "share": percent(confidence),
        "limit": percent(sure_from),
    }
    if confidence >= sure_from:
        return _("It is %(title)s with a probability of %(share)s; %(limit)s are asked for.", **values)
    return _(
        "The most probable is %(title)s with %(share)s, which is below the %(limit)s asked for, so a person "
        "must decide.",
        **values,
    )


def poor_photo_reason() -> str:
    """Why a part that looks good is not accepted."""
    return _(
        "The part looks good, but the photo is too poor to release it by (see the warning), so a person must "
        "decide. Take a better photo if you can."
    )


def unknown_reason(distance: float, limit: float, strange: str = "") -> str:
    """Why a picture is not judged at all; ``strange``: see ``Strangeness.why``."""
    if strange == NOISE:
        return _(
            "The picture is nothing but noise: its pixels have nothing to do with their neighbours. It is "
            "not judged. Look after the camera and the light."
        )
    if strange == COLOUR:
        return _(
            "The picture has colours that no part has that the model was trained on, so it is not judged."
        )
    return _(
        "The picture is unlike anything the model was trained on (%(times)s times as far from known parts "
        "as the limit allows), so it is not judged.",
        times=times_as_far(distance, limit),
    )


def template_reason(template: str, unlike: float) -> str:
    """Why a part is not judged whose template shows something else."""
    return _(
        "%(share)s of the picture differ from the template %(template)s: it shows another part, another side "
        "or section, or large damage. So it is not judged.",
        share=percent(unlike),
        template=template,
    )


def doubt_reason(count: int) -> str:
    """Why a part is not accepted that looks good but differs from its template."""
    return ngettext(
        "The part looks good, but at %(num)s place it clearly differs from its template, so a person must "
        "decide.",
        "The part looks good, but at %(num)s places it clearly differs from its template, so a person must "
        "decide.",
        count,
    )


def template_of(data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What a filed inspection says of the template that the part was held against; ``None`` without one."""
    found = data["method"].get("template")
    return found if isinstance(found, Mapping) else None


def doubted(data: Mapping[str, Any]) -> bool:
    """Whether a filed inspection would have been accepted without what differs from the template."""
    template = template_of(data)
    if template is None or data["verdict"] != "review" or not template["doubtful"]:
        return False
    return bool(data["defect_probability"] < data["thresholds"]["accept_below"])


def misfit(data: Mapping[str, Any]) -> bool:
    """Whether a filed inspection ended because the template shows something else than the picture."""
    template = template_of(data)
    return template is not None and not template["fits"]


def times_as_far(distance: float, limit: float) -> str:
    """How many times as far as the ``limit`` a picture of no known kind is, rounded up: always above 1."""
    hundredths = math.ceil(round(100 * distance / limit, 4))  # first rid of what only floats have
    return number(max(hundredths, 101) / 100, 2)


def product_of(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the preset of the model said about its product: task and wording; empty without a preset."""
    product = data["method"].get("product")
    return product if isinstance(product, Mapping) else {}


def identifies(data: Mapping[str, Any]) -> bool:
    """Whether a filed inspection names what it sees, instead of judging it."""
    return "sure_from" in data["thresholds"] or product_of(data).get("task") == IDENTIFY


def reason_of(data: Mapping[str, Any]) -> str:
    """The reason of a filed inspection (``Inspection.to_dict()``), in the reader's language."""
    distance, limit = (data["method"].get(key) for key in ("distance", "distance_limit"))
    template = template_of(data)
    if template and misfit(data) and language() != ENGLISH:
        return template_reason(template["name"], template["unlike"])
    if language() == ENGLISH or (data["verdict"] == "unknown" and None in (distance, limit)):
        return str(data["reason"])  # as filed
    if data["verdict"] == "unknown":
        return unknown_reason(distance, limit, data["method"].get("strange", ""))
    if template and doubted(data):
        return doubt_reason(template["doubtful"])
    if data["verdict"] == "review" and held_back(data):
        return poor_photo_reason()
    if "sure_from" in data["thresholds"]:
        return identified_reason(data["confidence"], data["thresholds"]["sure_from"], data["predicted_class"])
    limits = data["thresholds"]["accept_below"], data["thresholds"]["reject_from"]
    return reason(data["verdict"], data["defect_probability"], *limits, data["predicted_class"])


def held_back(data: Mapping[str, Any]) -> bool:
    """Whether a filed inspection would have been accepted on a better photo."""
    if not (data.get("quality") or {}).get("warnings"):
        return False
    limits = data["thresholds"]
    if "sure_from" in limits:
        return bool(data["confidence"] >= limits["sure_from"])
    return bool(data["defect_probability"] < limits["accept_below"])


def warnings_of(data: Mapping[str, Any]) -> list[str]:
    """What is wrong with the photo of a filed inspection, in the reader's language."""
    filed = data.get("quality")
    if not filed:
        return []
    if language() == ENGLISH:
        return list(filed["warnings"])
    return list(Quality(filed["sharpness"], filed["brightest"], filed["darkest"]).warnings)
