"""What page and report say of a verdict, in the same words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flawsight.i18n import gettext as _
from flawsight.i18n import marked, ngettext, number, percent
from flawsight.inspection.explain import DEFECT_MAP, PROBABILITIES
from flawsight.inspection.words import identifies, misfit, product_of, template_of, times_as_far
from flawsight.records.reviews import DISPOSITIONS, VERDICTS, Review
from flawsight.reporting.finding import Finding, Kind, Mark
from flawsight.taxonomy import NAMED_PERSON_DECIDES, ClassInfo, describe

NOT_RECORDED = marked("not recorded in this model file")
NBSP = "\N{NO-BREAK SPACE}"
KINDS_NAMED = 5  # of the defects of one part, in a headline
DISPOSITION_STEPS = {
    "use_as_is": marked("Use the part as it is, as decided."),
    "rework": marked("Rework the part, then inspect it again."),
    "repair": marked("Repair the part, then inspect it again."),
    "scrap": marked("Scrap the part; keep it apart and marked until then."),
    "return": marked("Return the part; keep it apart and marked until then."),
}


def verdict_word(data: Mapping[str, Any], verdict: str = "") -> str:
    """The verdict of a filed inspection, or another, in capitals: as its product calls it, else as all do."""
    words = {"accept": _("ACCEPT"), "review": _("REVIEW"), "reject": _("REJECT"), "unknown": _("UNKNOWN")}
    verdict = verdict or data["verdict"]
    own = (product_of(data).get("wording") or {}).get(verdict)
    return _(str(own)).upper() if own else words[verdict]


def defect_title(class_id: str) -> str:
    """Of a class of defect of a part in a lot, or of ``UNNAMED``."""
    return describe(class_id).title if class_id else _("Defect without a name")


def severity_words(kinds: Sequence[Kind]) -> str:
    """How grave the taxonomy takes the defects to be: the worst of them counts. Empty where there is none."""
    if not kinds:
        return ""
    worst = kinds[0].info
    if len(kinds) == 1:
        return _("%(severity)s (a starting point; your own criterion decides)", severity=_(worst.severity))
    return _(
        "%(severity)s, as the worst of them: %(title)s (a starting point; your own criterion decides)",
        severity=_(worst.severity),
        title=worst.title,
    )


def kinds_words(kinds: Sequence[Kind]) -> str:
    """The kinds of defect by name, those that several boxes show with their number."""
    named = [
        f"{kind.boxes}{NBSP}×{NBSP}{kind.info.title}" if kind.boxes > 1 else kind.info.title
        for kind in kinds[:KINDS_NAMED]
    ]
    if (more := len(kinds) - KINDS_NAMED) > 0:
        named.append(_("%(num)s more", num=more))
    return ", ".join(named)


def causes_words(info: ClassInfo) -> str:
    """The likely causes of a defect in a line; empty where none are known."""
    return "; ".join(info.likely_causes[:5])


def next_step(data: Mapping[str, Any], found: Finding) -> str:
    """What to do now. May be empty where a product is only named."""
    if found.review:
        return _decided_step(found, found.review.disposition, identifies(data))
    if identifies(data):
        accepted = found.verdict == "accept"
        return found.info.recommended_action if accepted else _("Let a person who knows decide.")
    match found.verdict:
        case "accept":
            return _released(found.info)
        case "unknown" if misfit(data):
            return _(
                "Hold the part. Check its part number and its template, and that the right side and section "
                "were in the picture. If they were, it is damaged over a large area: let a person decide."
            )
        case "unknown":
            return _(
                "Hold the part. Check that the right part, the right side and the usual light were in the "
                "picture, take it again, and let a person decide if the answer stays the same."
            )
        case "review":
            return _("Hold the part until a person has looked at it and decided.")
        case _:
            return _worst_action(found.kinds)


def _decided_step(found: Finding, disposition: str, named: bool) -> str:
    """What follows from a person's answer: the disposition, if one was given."""
    if disposition:
        return _(DISPOSITION_STEPS[disposition])
    if found.verdict == "reject":
        return _worst_action(found.kinds)
    if named:
        return found.info.recommended_action if found.verdict == "accept" else ""
    if found.verdict == "accept":
        return _released(found.info)
    return _("Judge the part in another way: this model does not know it.")


def _released(info: ClassInfo) -> str:
    return _("Release to the next step.") if info.is_defect else info.recommended_action


def _worst_action(kinds: Sequence[Kind]) -> str:
    """The action that fits the worst of the defects; it is named where there are several."""
    if not kinds:
        return _(NAMED_PERSON_DECIDES)
    worst = kinds[0].info
    return f"{worst.title}: {worst.recommended_action}" if len(kinds) > 1 else worst.recommended_action


def decided_headline(data: Mapping[str, Any], found: Finding) -> str:
    """What a person's verdict is about."""
    if found.verdict == "unknown":
        named = identifies(data)
        return _("Not one that this model knows") if named else _(VERDICTS["unknown"])
    return kinds_words(found.kinds) or found.info.title


def decided_words(data: Mapping[str, Any], review: Review, at: str) -> str:
    """Who decided, when (``at``), what becomes of the part, and whether the model had said the same."""
    said = _("Decided by %(name)s, %(when)s", name=review.reviewer, when=at)
    disposition = _(DISPOSITIONS.get(review.disposition, ""))
    return " · ".join(filter(None, (said, disposition, told_words(data, review))))


def told_words(data: Mapping[str, Any], review: Review) -> str:
    """What the model had to say to it: one that is not certain has said no verdict."""
    if data["verdict"] == "review":
        return _("the model was not certain")
    if review.state == "confirmed":
        return _("as the model said")
    if (review.verdict, review.class_id) == (data["verdict"], data["predicted_class"]):
        return _("as the model said, boxes corrected")
    return _("not what the model said")


def template_words(data: Mapping[str, Any]) -> str:
    """What the part was held against, and what came of it; empty without a template."""
    template = template_of(data)
    if template is None:
        return ""
    if misfit(data):
        return _(
            "%(name)s, which shows something else (%(share)s of it differs)",
            name=template["name"],
            share=percent(template["unlike"]),
        )
    places = template["differences"]
    return _(
        "%(name)s (places that differ: %(places)s, boxed: %(boxes)s)",
        name=template["name"],
        places=places,
        boxes=template.get("boxed", min(places, len(data["boxes"]))),  # records of before do not say
    )


def heat_words(data: Mapping[str, Any]) -> str:
    """What the heat map shows, and how strong it is at its peak: its colours alone do not tell."""
    if data["verdict"] == "accept" and not identifies(data):
        return _("Faint traces at most: nothing speaks clearly for a defect.")
    heat = data["heatmap"]
    x, y = heat["peak"]
    if heat["method"] == DEFECT_MAP:
        if heat["peak_score"] <= 0:
            return _("Nothing in the picture speaks for a defect.")
        return _(
            "What speaks for a defect of any kind, spread smoothly: hottest at x %(x)s, y %(y)s, where the "
            "model gives it %(score)s; single spots may get more. An explanation, not a measurement.",
            score=percent(heat["peak_score"]),
            x=x,
            y=y,
        )
    values = {"title": describe(heat["class"]).title, "x": x, "y": y}
    if heat["peak_score"] <= 0:
        return _("Nothing in the picture speaks for “%(title)s”.", **values)
    if heat["method"] not in PROBABILITIES:  # others have scores that are no probabilities
        return _(
            "What speaks for “%(title)s”, most at x %(x)s, y %(y)s. An explanation, not a measurement.",
            **values,
        )
    return _(
        "What speaks for “%(title)s”, spread smoothly: hottest at x %(x)s, y %(y)s, where the model gives it "
        "%(score)s; single spots may get more. An explanation, not a measurement.",
        score=percent(heat["peak_score"]),
        **values,
    )


def heat_subject(data: Mapping[str, Any]) -> str:
    """What the heat map explains: one class, or all defects together."""
    heat = data["heatmap"]
    return _("Any defect") if heat["method"] == DEFECT_MAP else describe(heat["class"]).title


def heat_title(data: Mapping[str, Any]) -> str:
    """What the heat map explains, with its score at the peak where that is a probability."""
    heat = data["heatmap"]
    title = heat_subject(data)
    if heat["method"] not in PROBABILITIES or heat["peak_score"] <= 0:
        return title
    return _("%(title)s (at its peak %(score)s)", title=title, score=percent(heat["peak_score"]))


def no_boxes_words(data: Mapping[str, Any], review: Review | None = None) -> str:
    """Why no box is shown."""
    if identifies(data):
        return _("None. This model names what it sees and looks for no defects.")
    verdict = review.verdict if review else data["verdict"]
    if verdict == "accept":
        return _("None. The part was judged good.")
    if verdict == "unknown" and misfit(data):
        return _("None are marked, since the part was not judged.")
    if verdict == "unknown":
        return _("None are marked, since the model does not know this kind of part.")
    if review:
        return _("Neither the model nor %(name)s marked a place.", name=review.reviewer)
    if data["heatmap"]["peak_score"] <= 0:
        return _("No place stood out at all. Look at the whole part.")
    x, y = data["heatmap"]["peak"]
    return _(
        "No single place stood out clearly enough for a box. Look at the heat map, first at x %(x)s, "
        "y %(y)s.",
        x=x,
        y=y,
    )


def kept_words(mark: Mark) -> str:
    """What the person who answered made of a box; empty if nobody answered."""
    if mark.score is None:
        return _("drawn")
    if mark.kept is None:
        return ""
    return _("kept") if mark.kept else _("removed")


def whole_picture_words() -> str:
    """Why the shares of the classes and the scores of the boxes are different numbers."""
    return _("Of the picture as a whole: one class for all of it. Each box has a class and score of its own.")


def far_words(data: Mapping[str, Any]) -> str:
    """How far an unknown part is from known ones; empty where that is not why, or not known."""
    method = data["method"]
    distance, limit = method.get("distance"), method.get("distance_limit")
    if distance is None or not limit or method.get("strange") or misfit(data):
        return ""
    return _("%(times)s times the limit", times=times_as_far(distance, limit))


def none_fits_words(data: Mapping[str, Any]) -> str:
    """Why an unknown part has no confidence."""
    if misfit(data):
        return _(
            "It was not judged, so there is no confidence. The shares are what the model sees in the picture "
            "alone."
        )
    return _(
        "It has no class, and no confidence in one. The shares are among the classes that the model knows, "
        "of which none fits."
    )


def elsewhere_words(data: Mapping[str, Any]) -> str:
    """At what other thresholds the figures of the model file were measured; empty if at those in force.

    Inspections of before do not tell at which, only that somebody had moved them.
    """
    own = data["method"].get("measured_at")
    if own is None and data["method"].get("thresholds"):
        return _("The figures were measured at the model's own thresholds, not at these.")
    if own is None or own == data["thresholds"] or identifies(data):
        return ""
    return limits_elsewhere(own["accept_below"], own["reject_from"])


def limits_elsewhere(accept_below: float, reject_from: float) -> str:
    """The same of a model whose thresholds somebody has moved."""
    return _(
        "The figures were measured at accept below %(accept)s, reject from %(reject)s, not at these "
        "thresholds.",
        accept=percent(accept_below),
        reject=percent(reject_from),
    )


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


def preprocessing_words(told: Mapping[str, Any]) -> str:
    """How the picture was prepared for the network, as ``Preprocessing`` was filed; empty if nothing was."""
    if not told:
        return ""
    words = []
    if told.get("fixed_size"):
        words.append(_("squeezed to %(side)s × %(side)s px", side=told["fixed_size"]))
    else:
        if told.get("max_side"):
            words.append(_("longer side at most %(side)s px", side=told["max_side"]))
        if told.get("min_side"):
            words.append(_("shorter side at least %(side)s px", side=told["min_side"]))
        if told.get("max_enlargement"):
            words.append(_("enlarged at most %(times)s times", times=number(told["max_enlargement"], 1)))
    if told.get("standardise") == "image":
        words.append(_("brightness and contrast of each picture evened out"))
    return ", ".join(words)
