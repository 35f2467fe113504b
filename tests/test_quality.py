"""The quality gate tells a poor photo from a good one, whatever is on it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from flask.testing import FlaskClient
from numpy.typing import NDArray
from web_client import encoded, post_file, send_form

from flawsight.i18n import speaking
from flawsight.imaging import read_image
from flawsight.inspection.inspector import Inspector
from flawsight.inspection.quality import SHARP_FROM, TooSmall, assess, check_size
from flawsight.inspection.words import reason_of
from flawsight.settings import PROJECT_ROOT

PARTS = sorted((PROJECT_ROOT / "sample").glob("*.png"))
Picture = NDArray[np.uint8]


def blurred(part: Picture, sigma: float) -> Picture:
    """Out of focus, then seen by a sensor with some noise."""
    soft = cv2.GaussianBlur(part.astype(np.float32), (0, 0), sigma)
    noise = np.random.default_rng(1).normal(0, 1, part.shape[:2])[..., None]
    return np.clip(soft + noise, 0, 255).round().astype(np.uint8)


@pytest.mark.parametrize("path", PARTS, ids=lambda path: path.stem)
def test_a_sharp_well_lit_part_has_no_warning(path: Path) -> None:
    assert assess(read_image(path)).warnings == ()


@pytest.mark.parametrize("path", PARTS, ids=lambda path: path.stem)
def test_a_part_out_of_focus_is_called_blurred_with_the_figure(path: Path) -> None:
    picture = blurred(read_image(path), 5)
    quality = assess(picture)
    if picture.std() < 2:  # half of what is left is the sensor's noise, which looks sharp
        assert path.stem == "texture_good_class1" and quality.sharpness is not None
        return
    assert quality.sharpness is not None and quality.sharpness < SHARP_FROM
    assert f"sharpness is {quality.sharpness:.3f}" in quality.warnings[0]


def test_more_blur_is_less_sharp() -> None:
    part = read_image(PARTS[0])
    found = [assess(blurred(part, sigma)).sharpness for sigma in (0.1, 1, 2, 4)]
    assert found == sorted(found, key=lambda value: -(value or 0)) and len(set(found)) == 4


def test_a_sharp_part_before_a_soft_background_is_sharp() -> None:
    part = read_image(PARTS[0])[:400, :400]
    scene = np.full((1500, 2000, 3), 90, np.uint8)
    scene[:] = np.linspace(60, 140, 2000, dtype=np.uint8)[None, :, None]
    scene[600 : 600 + part.shape[0], 800 : 800 + part.shape[1]] = part
    assert assess(scene).warnings == ()


def test_without_detail_nothing_is_said_about_focus() -> None:
    assert assess(np.full((64, 64, 3), 128, np.uint8)).sharpness is None


def test_too_little_and_too_much_light_are_told_with_the_figure() -> None:
    part = read_image(PARTS[0]).astype(np.float32)
    (dark,) = assess((part * 0.15).astype(np.uint8)).warnings
    assert "under-exposed" in dark and "%" in dark
    bright = assess(np.clip(part * 0.15 + 225, 0, 255).astype(np.uint8)).warnings
    assert any("over-exposed" in warning for warning in bright)


def test_a_board_of_black_and_white_is_no_exposure_fault() -> None:
    board = np.zeros((200, 200, 3), np.uint8)
    board[:, 50:150] = 255
    board[80:90] = 0
    assert assess(board).warnings == ()


@pytest.mark.parametrize("shape", [(16, 16), (17, 900), (1100, 20), (513, 513), (1025, 3000)])
def test_every_shape_can_be_assessed(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert assess(noise).warnings == ()


def test_too_small_is_refused_with_the_figure(inspector: Inspector) -> None:
    check_size(16, 16)
    with pytest.raises(TooSmall, match=r"15 x 400 pixels; at least 16"):
        inspector.inspect_bytes(encoded(np.zeros((400, 15), np.uint8)), "narrow.png")


def test_the_figures_go_with_the_inspection(inspector: Inspector, good_part: Picture) -> None:
    found = inspector.inspect_bytes(encoded(good_part), "a.png").to_dict()
    assert set(found["quality"]) == {"sharpness", "brightest", "darkest", "warnings"}


def test_page_and_program_are_warned_but_not_refused(client: FlaskClient) -> None:
    poor = encoded(blurred(read_image(PARTS[0]), 6))
    page = client.get(send_form(client, poor).location).text
    assert "Mind the photo" in page and "looks blurred" in page
    answer = post_file(client, "/api/v1/inspections", poor, "poor.png")
    assert answer.status_code == 201 and "blurred" in answer.json["quality"]["warnings"][0]  # type: ignore[index]


def test_a_good_part_on_a_poor_photo_is_for_a_person_to_release(
    inspector: Inspector, good_part: Picture, scratched_part: Picture
) -> None:
    assert inspector.inspect_bytes(encoded(good_part), "a.png").verdict == "accept"
    dark = inspector.inspect_bytes(encoded((good_part * 0.3).astype(np.uint8)), "a.png")
    assert dark.defect_probability < dark.thresholds["accept_below"]
    assert dark.verdict == "review" and "too poor to release" in dark.reason
    with speaking("de"):
        assert "zu schlecht" in reason_of(dark.to_dict())
    flawed = inspector.inspect_bytes(encoded((scratched_part * 0.3).astype(np.uint8)), "a.png")
    assert flawed.verdict == "reject", "what is seen even so is not doubted"


def test_a_program_is_told_what_is_too_small(client: FlaskClient) -> None:
    answer = post_file(client, "/api/v1/inspections", encoded(np.zeros((9, 9), np.uint8)), "a.png")
    assert answer.status_code == 400 and answer.json is not None
    assert answer.json["code"] == "too_small"
