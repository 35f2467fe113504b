"""Flaws planted into photos of good parts: where the label says, and never from or into another split."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from flawsight.data.adapters import deeppcb, magnetic_tile
from flawsight.data.generate import generate
from flawsight.data.generate.tiles import draw_onto
from flawsight.data.implants import implant, paste, plant_faults
from flawsight.data.samples import IMPLANTED, Sample, family
from flawsight.imaging import read_image
from flawsight.taxonomy import describe


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """Drawn tiles and boards in the layout of the photographed ones."""
    folder = tmp_path_factory.mktemp("drawn")
    generate(folder, 1, 3)
    tiles = magnetic_tile.find(folder)
    boards = deeppcb.find(folder)
    assert tiles and boards
    return magnetic_tile.samples(tiles) + deeppcb.samples(boards)


def grey(path: Path) -> NDArray[np.uint8]:
    return read_image(path)[..., 0]


def test_every_implant_is_a_defect_with_its_place_and_of_a_family_that_trains(
    train: list[Sample], tmp_path: Path
) -> None:
    found = implant(train, tmp_path, 0, 4, lambda _: None)
    assert {family(s.dataset) for s in found} == {"Magnetic Tile", "DeepPCB"}
    for sample in found:
        assert sample.dataset.endswith(IMPLANTED)
        assert describe(sample.class_id).is_defect
        if sample.mask:
            assert grey(sample.mask).max() == 255
        else:
            assert any(box.class_id == sample.class_id for box in sample.boxes)


def test_a_second_run_reads_the_same_pictures_again(train: list[Sample], tmp_path: Path) -> None:
    first = implant(train, tmp_path, 0, 1, lambda _: None)
    times = {s.path: s.path.stat().st_mtime_ns for s in first}
    assert implant(train, tmp_path, 0, 1, lambda _: None) == first
    assert {s.path: s.path.stat().st_mtime_ns for s in first} == times


def test_without_parts_of_a_known_family_nothing_is_planted(cracked_folder: Sample, tmp_path: Path) -> None:
    assert implant([cracked_folder], tmp_path / "implants", 0, 2, lambda _: None) == []


@pytest.fixture
def cracked_folder(tmp_path: Path) -> Sample:
    return Sample(tmp_path / "a.png", "crack", "castings", "g")


@pytest.mark.parametrize("seed", range(5))
def test_a_pasted_flaw_changes_its_mask_and_hardly_anything_else(seed: int) -> None:
    rng = np.random.default_rng(seed)
    good, donor = (np.clip(rng.normal(level, 5, (120, 160)), 0, 255).astype(np.uint8) for level in (90, 150))
    flaw = np.zeros(donor.shape, np.uint8)
    cv2.circle(flaw, (60, 40), 9, 1, -1)
    donor[flaw > 0] = 100
    pasted = paste(rng, good, donor, flaw > 0, keep_place=False)
    assert pasted is not None
    image, mask = pasted
    changed = np.abs(image.astype(int) - good)
    assert mask.any()
    assert changed[mask].mean() > 20
    far = cv2.dilate(mask.astype(np.uint8), np.ones((13, 13))) == 0
    assert not changed[far].any()
    assert image[mask].mean() < good[far].mean() - 20  # as dark against its ground as it was on the donor


def test_a_flaw_of_the_rim_stays_at_the_rim() -> None:
    rng = np.random.default_rng(0)
    donor = np.full((100, 100), 150, np.uint8)
    flaw = np.zeros((100, 100), bool)
    flaw[40:60, :10] = True
    donor[flaw] = 40
    pasted = paste(rng, np.full((200, 150), 150, np.uint8), donor, flaw, keep_place=True)
    assert pasted is not None
    assert np.flatnonzero(pasted[1].any(0))[0] == 0


def test_a_flaw_as_large_as_the_part_is_not_pasted() -> None:
    whole = np.ones((50, 50), bool)
    picture = np.full((50, 50), 100, np.uint8)
    assert paste(np.random.default_rng(0), picture, picture, whole, keep_place=False) is None


def test_a_planted_board_differs_from_its_template_only_inside_the_boxes(train: list[Sample]) -> None:
    template = grey(next(s.path for s in train if s.class_id == "PCB_Free"))
    board, faults = plant_faults(np.random.default_rng(1), template)
    assert faults
    outside = board != template
    for fault in faults:
        x1, y1, x2, y2 = fault.box
        assert outside[y1:y2, x1:x2].any(), fault
    for fault in faults:
        x1, y1, x2, y2 = fault.box
        outside[y1:y2, x1:x2] = False
    assert not outside.any()


@pytest.mark.parametrize("condition", ["MT_Blowhole", "MT_Break", "MT_Crack", "MT_Fray"])
def test_a_flaw_drawn_onto_a_photo_changes_its_mask_and_nothing_far_from_it(
    train: list[Sample], condition: str
) -> None:
    photo = next(grey(s.path) for s in train if s.class_id == "MT_Free")
    drawn = draw_onto(np.random.default_rng(1), photo, condition)
    change = np.abs(drawn.image.astype(int) - photo)
    near = cv2.dilate(drawn.mask.astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
    assert drawn.image.shape == photo.shape and drawn.mask.any()
    assert change[drawn.mask].mean() > 5 and not change[~near].any()


def test_no_flaw_is_drawn_where_the_condition_has_none(train: list[Sample]) -> None:
    with pytest.raises(KeyError):
        draw_onto(np.random.default_rng(1), grey(train[0].path), "MT_Free")
