"""Noise and foreign colours are told before any network has looked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from flawsight.data.adapters import find_samples
from flawsight.data.generate.foreign import noise, scenery
from flawsight.data.whole import sample_pixels
from flawsight.i18n import speaking
from flawsight.inspection.familiarity import KnownParts, Plane
from flawsight.inspection.inspector import Inspector
from flawsight.inspection.strangeness import COLOUR, NOISE, colourfulness, strangeness, usual, whiteness
from flawsight.inspection.tiny import METADATA, TinyEngine
from flawsight.inspection.words import reason_of

Image = NDArray[np.uint8]


def as_picture(values: NDArray[np.float32]) -> Image:
    return np.clip(values.round(), 0, 255).astype(np.uint8)


def tinted(image: Image, *factors: float) -> Image:
    return as_picture(image * np.array(factors, np.float32))


@pytest.mark.parametrize("seed", range(8))
def test_noise_of_any_kind_is_noise(seed: int) -> None:
    rng = np.random.default_rng(seed)
    assert whiteness(as_picture(noise(rng))) >= 1
    for grain in (rng.normal(90, 12, (200, 300, 1)), rng.exponential(60, (300, 200, 1))):
        assert whiteness(as_picture(np.repeat(grain, 3, axis=2))) >= 1


def test_no_part_is_noise_nor_colourful(drawn_data: Path) -> None:
    pictures = [sample_pixels(sample) for sample in find_samples([drawn_data])]
    assert max(strangeness(picture, {NOISE: 1.0, COLOUR: 1.0}).value for picture in pictures) < 0.6
    assert usual(pictures) == {NOISE: 1.0, COLOUR: 1.0}


def test_a_picture_too_small_or_too_even_to_tell_is_not_called_noise() -> None:
    assert whiteness(np.full((300, 300, 3), 127, np.uint8)) == 0
    assert whiteness(as_picture(np.random.default_rng(0).uniform(0, 255, (15, 15, 3)))) == 0


def test_a_tint_over_everything_is_no_colour(good_part: Image) -> None:
    assert colourfulness(good_part) == 0
    assert colourfulness(as_picture(good_part.astype(np.float32) + np.array([12, 0, -12], np.float32))) < 0.1
    assert colourfulness(tinted(good_part, 1.15, 1.0, 0.85)) < 0.3
    assert colourfulness(as_picture(scenery(np.random.default_rng(1)))) > 1


def inspector(**reaches: float) -> Inspector:
    """Knows every part by its features, so that only the picture itself can be foreign."""
    engine = TinyEngine()
    channels = engine.head.channels
    plane = Plane(np.zeros(channels, np.float32), np.eye(channels, dtype=np.float32))
    stats = KnownParts((plane,), 0.5, reaches).to_dict()
    return Inspector(replace(engine, metadata=replace(METADATA, feature_stats=stats)))


def test_noise_is_unknown_and_the_reason_says_what_to_look_after() -> None:
    picture = as_picture(noise(np.random.default_rng(5)))
    answer = inspector(noise=1.0).inspect(picture, name="x")
    assert (answer.verdict, answer.method["strange"]) == ("unknown", NOISE)
    assert "nothing but noise" in answer.reason and "camera" in answer.reason
    with speaking("de"):
        assert "Rauschen" in reason_of(answer.to_dict())


def test_a_smooth_part_with_a_cameras_grain_is_known_where_parts_look_so(good_part: Image) -> None:
    assert inspector(noise=1.0).inspect(good_part, name="x").verdict == "unknown"
    assert inspector(**usual([good_part])).inspect(good_part, name="x").verdict != "unknown"


def test_colours_are_foreign_only_where_parts_have_none(good_part: Image) -> None:
    picture = good_part.copy()
    picture[::16, :, 0] = 255
    picture[8::16, :, 2] = 255
    answer = inspector(colour=1.0).inspect(picture, name="x")
    assert (answer.verdict, answer.method["strange"]) == ("unknown", COLOUR)
    assert "colours" in answer.reason
    assert inspector(**usual([picture])).inspect(picture, name="x").verdict != "unknown"
    assert inspector().inspect(picture, name="x").verdict != "unknown", "a model of before"
    assert "strange" not in inspector(colour=1.0).inspect(good_part, name="x").method
