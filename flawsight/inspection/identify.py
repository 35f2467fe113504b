"""The answer of a model that tells kinds apart, none of which is a defect."""

from __future__ import annotations

from collections.abc import Mapping

from flawsight.i18n import ENGLISH, speaking
from flawsight.inspection.decide import Judgement
from flawsight.inspection.words import identified_reason


def identify(probabilities: Mapping[str, float], sure_from: float) -> Judgement:
    """The most probable class: ``accept`` if its probability reaches ``sure_from``, else ``review``."""
    predicted = max(probabilities, key=lambda name: probabilities[name])
    confidence = probabilities[predicted]
    with speaking(ENGLISH):
        why = identified_reason(confidence, sure_from, predicted)
    return Judgement("accept" if confidence >= sure_from else "review", predicted, confidence, 0.0, why)
