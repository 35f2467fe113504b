"""How well a model did on its test pictures, as far as that speaks for the parts of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flawsight.i18n import gettext as _
from flawsight.i18n import ngettext
from flawsight.inspection.words import identifies, template_of
from flawsight.reporting.words import NOT_RECORDED, elsewhere_words, rate_with_interval
from flawsight.taxonomy import describe, family_of


def validated_facts(judged: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Names and values, for the parts that one model ``judged`` at one pair of thresholds.

    Args:
        judged: inspections (``Inspection.to_dict()``); of parts of one class any one will do.
    """
    family, metrics = _figures(judged)
    if identifies(judged[0]):
        return [(_("Validated accuracy"), rate_with_interval(metrics.get("accuracy")))]
    tested = metrics.get("tested")
    pictures = ngettext("%(num)s test picture", "%(num)s test pictures", tested) if tested else ""
    names = [_("Validated on"), _("Validated recall"), _("Validated overkill"), _("Left to a person")]
    values = [", ".join(filter(None, (family, pictures))) or _(NOT_RECORDED)]
    values += [rate_with_interval(metrics.get(key)) for key in ("recall", "overkill")]
    if "review" in metrics:
        values.append(rate_with_interval(metrics["review"]))
    if not (moved := elsewhere_words(judged[0])):
        return list(zip(names, values, strict=False))
    # Figures of other thresholds prove nothing of these parts, so they are not called validated.
    names = [_("Measured on"), _("Measured recall"), _("Measured overkill"), _("Measured: left to a person")]
    return [(_("Not validated"), moved), *zip(names, values, strict=False)]


def _figures(judged: Sequence[Mapping[str, Any]]) -> tuple[str, Mapping[str, Any]]:
    """The validated figures that apply to some parts: whose they are, and the figures.

    Those of the parts' own family, where all are of one and the model file has them. Else those of all
    families, which is not said of a model that has only one; a part that is unknown is of no family.
    """
    first = judged[0]
    own = dict(_of_family(data) for data in judged if data["verdict"] != "unknown")
    if len(own) == 1 and (found := next(iter(own.items())))[1]:
        return found
    several = len({family_of(one) for one in first["probabilities"]}) > 1
    return _("all families") if several else "", _metrics(first)


def _of_family(data: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The family of a part, and its figures; without a recall there are none."""
    metrics, class_id = _metrics(data), data["predicted_class"]
    family = describe(class_id).dataset
    if template_of(data) and (beside := metrics.get("templates")):
        return _("%(family)s, compared with templates", family=family), beside
    own = metrics.get("datasets", {}).get(family_of(class_id), {})
    return family, own if "recall" in own else {}


def _metrics(data: Mapping[str, Any]) -> Mapping[str, Any]:
    return data["method"].get("metrics") or {}
