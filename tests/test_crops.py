"""Training crops: labels lie where the flaws lie, and a place in the run decides everything random."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from flawsight.data.adapters import find_samples
from flawsight.data.augment import NO_AUGMENTATION, Augmentation, apply_symmetry, bend, distort_values
from flawsight.data.crops import (
    IGNORE,
    CropDataset,
    CropSampler,
    Draw,
    cell_labels,
    crop_label,
    free_classes,
    sample_weights,
)
from flawsight.data.samples import GENERATED, LabelledBox, Sample
from flawsight.data.whole import WholeDataset, one_by_one, sample_pixels
from flawsight.imaging import encode_png, read_image
from flawsight.metadata import Preprocessing
from flawsight.preprocessing import prepare
from flawsight.taxonomy import load_taxonomy

STRIDE = 16
CLASSES = tuple(load_taxonomy())
CRACK, FREE, BLOWHOLE = (CLASSES.index(name) for name in ("MT_Crack", "MT_Free", "MT_Blowhole"))
PCB_OPEN, PCB_FREE = CLASSES.index("PCB_open"), CLASSES.index("PCB_Free")


def write(path: Path, pixels: NDArray[np.uint8]) -> Path:
    path.write_bytes(encode_png(pixels))
    return path


def surface(side: int = 64) -> NDArray[np.uint8]:
    grey = np.random.default_rng(3).normal(120, 4, (side, side, 1)).round().astype(np.uint8)
    return np.repeat(grey, 3, axis=2)


@pytest.fixture
def cracked(tmp_path: Path) -> Sample:
    """A 64 x 64 tile with a bright square crack in rows and columns 16 to 31: cell (1, 1)."""
    pixels, mask = surface(), np.zeros((64, 64, 3), np.uint8)
    pixels[16:32, 16:32] = 230
    mask[16:32, 16:32] = 255
    image = write(tmp_path / "exp1_num_1.png", pixels)
    return Sample(image, "MT_Crack", "Magnetic Tile", "1", mask=write(tmp_path / "mask.png", mask))


@pytest.fixture
def good(tmp_path: Path) -> Sample:
    return Sample(write(tmp_path / "exp1_num_900.png", surface()), "MT_Free", "Magnetic Tile", "2")


def crops(*samples: Sample, how: Augmentation = NO_AUGMENTATION) -> CropDataset:
    return CropDataset(samples, CLASSES, Preprocessing(min_side=32), STRIDE, how)


def draw(dataset: CropDataset, index: int = 0, size: int = 64, seed: int = 0) -> dict[str, torch.Tensor]:
    return dataset[Draw(index, size, seed)]


# Labels


@pytest.mark.parametrize("seed", range(12))
def test_cells_say_crack_exactly_where_the_crack_is_seen(cracked: Sample, good: Sample, seed: int) -> None:
    item = draw(crops(cracked, good), seed=seed)
    bright = (item["image"][0] > 1).reshape(4, STRIDE, 4, STRIDE).float().mean((1, 3)) > 0.5
    assert bright.sum() == 1
    assert (item["cells"][bright] == CRACK).all()
    assert (item["cells"][~bright] == FREE).all()
    assert item["label"] == CRACK


@pytest.mark.parametrize("seed", range(12))
def test_labels_stay_on_the_crack_when_crops_are_enlarged_and_distorted(
    cracked: Sample, good: Sample, seed: int
) -> None:
    how = replace(Augmentation(), scale_range=(1.2, 1.2), erase=0.0)
    item = draw(crops(cracked, good, how=how), size=64, seed=seed)
    cells = item["cells"]
    values = item["image"].mean(0).reshape(4, STRIDE, 4, STRIDE).mean((1, 3))
    if (cells == CRACK).any() and (cells == FREE).any():
        assert values[cells == CRACK].min() > values[cells == FREE].max()


def test_a_good_part_is_good_in_every_cell(cracked: Sample, good: Sample) -> None:
    item = draw(crops(cracked, good), index=1)
    assert (item["cells"] == FREE).all() and item["label"] == FREE


def test_a_defect_between_two_cells_leaves_lightly_touched_ones_open() -> None:
    labels = np.full((64, 64), FREE, np.int16)
    labels[10:34, 16:32] = CRACK  # all of cell (1, 1), 6 rows of (0, 1), 2 rows of (2, 1)
    cells = cell_labels(labels, STRIDE, FREE)
    assert cells[1, 1] == cells[0, 1] == CRACK
    assert cells[2, 1] == IGNORE
    assert (cells == FREE).sum() == 13


def test_a_hairline_labels_the_cells_it_runs_through() -> None:
    labels = np.full((64, 64), FREE, np.int16)
    labels[:, 20] = CRACK  # covers a sixteenth of any cell
    cells = cell_labels(labels, STRIDE, FREE)
    assert (cells[:, 1] == CRACK).all()
    assert (np.delete(cells, 1, axis=1) == FREE).all()


def test_a_cell_with_two_defects_is_the_one_that_covers_more() -> None:
    labels = np.full((16, 16), FREE, np.int16)
    labels[:6], labels[6:] = BLOWHOLE, CRACK
    assert cell_labels(labels, STRIDE, FREE).tolist() == [[CRACK]]


def test_unknown_pixels_make_no_cell_good() -> None:
    labels = np.full((32, 32), FREE, np.int16)
    labels[0, 0] = IGNORE
    assert cell_labels(labels, STRIDE, FREE).tolist() == [[IGNORE, FREE], [FREE, FREE]]


def test_a_hairline_survives_where_a_large_photograph_is_reduced(tmp_path: Path, good: Sample) -> None:
    pixels, mask = surface(1600), np.zeros((1600, 1600, 3), np.uint8)
    mask[:, 801] = 255
    image, lines = write(tmp_path / "large.png", pixels), write(tmp_path / "line.png", mask)
    sample = Sample(image, "MT_Crack", "Magnetic Tile", "1", mask=lines)
    dataset = CropDataset([sample, good], CLASSES, Preprocessing(max_side=400), STRIDE, NO_AUGMENTATION)
    cells = draw(dataset, size=416)["cells"]
    assert (cells == CRACK).any(dim=0).sum() == 1 or (cells == CRACK).any(dim=1).sum() == 1
    assert (cells == CRACK).sum() >= 24


def test_a_blank_mask_labels_nothing_as_good(tmp_path: Path, cracked: Sample, good: Sample) -> None:
    blank = write(tmp_path / "blank.png", np.zeros((64, 64, 3), np.uint8))
    item = draw(crops(replace(cracked, mask=blank), good))
    assert (item["cells"] == IGNORE).all() and item["label"] == IGNORE


def test_a_defective_part_without_a_mask_keeps_its_label_but_no_cell_has_one(
    cracked: Sample, good: Sample
) -> None:
    item = draw(crops(replace(cracked, mask=None), good))
    assert (item["cells"] == IGNORE).all() and item["label"] == CRACK


def test_beyond_the_image_there_is_no_label(cracked: Sample, good: Sample) -> None:
    item = draw(crops(cracked, good), index=1, size=96)
    flat = item["cells"].numpy()
    assert (flat == FREE).sum() == 16 and (flat == IGNORE).sum() == 20


@pytest.mark.parametrize("seed", range(6))
def test_erased_places_are_neither_good_nor_bad(good: Sample, cracked: Sample, seed: int) -> None:
    how = replace(NO_AUGMENTATION, erase=1.0)
    labels = np.full((96, 96), FREE, np.int16)
    values = np.zeros((96, 96, 3), np.float32)
    changed, known = distort_values(values, labels, how, np.random.default_rng(seed), IGNORE)
    erased = (changed != 0).any(axis=2)
    assert erased.sum() >= 81
    assert (known[erased] == IGNORE).all() and (known[~erased] == FREE).all()
    assert (labels == FREE).all(), "the caller's labels are left alone"


def test_boxes_label_their_board_and_a_region_says_which_type(tmp_path: Path) -> None:
    board = np.zeros((640, 640, 3), np.uint8)
    board[:, ::8] = 255
    path = write(tmp_path / "1_test.png", board)
    boxes = (LabelledBox(320, 320, 352, 352, "PCB_open"), LabelledBox(592, 16, 624, 48, "PCB_spur"))
    region = Sample(path, "PCB_open", "DeepPCB", "g", (256, 256, 416, 416), None, boxes)
    free = Sample(path, "PCB_Free", "DeepPCB", "g", (0, 0, 160, 160))
    item = draw(crops(region, free), size=640)
    cells = item["cells"]
    assert (cells == PCB_OPEN).sum() == 4 and (cells == CLASSES.index("PCB_spur")).sum() == 4
    assert (cells == PCB_FREE).sum() == 40 * 40 - 8 - (cells == IGNORE).sum()
    assert item["label"] == IGNORE, "two types are in sight"
    labels = [int(draw(crops(region, free), size=160, seed=seed)["label"]) for seed in range(30)]
    assert labels.count(PCB_OPEN) > 15


def test_a_box_that_begins_beyond_the_rim_labels_what_of_it_is_seen(cracked: Sample, good: Sample) -> None:
    for corners in ((-1, 16, 16, 32), (16, -1, 32, 16), (-1, -1, 16, 16)):
        box = LabelledBox(*corners, "MT_Crack")
        item = draw(crops(replace(cracked, mask=None, boxes=(box,)), good))
        assert (item["cells"] == CRACK).sum() == 1 and item["label"] == CRACK, corners


def test_a_crop_is_its_one_clear_defect_or_good_or_left_open() -> None:
    whole = np.full((64, 64), FREE, np.int16)
    one, sliver, two, hidden = whole.copy(), whole.copy(), whole.copy(), whole.copy()
    one[10:20, 10:20] = CRACK
    sliver[0:2, 0:4] = CRACK
    two[10:20, 10:20], two[40:50, 40:50] = CRACK, BLOWHOLE
    hidden[:] = IGNORE
    assert crop_label(whole, {}, FREE) == FREE
    assert crop_label(one, {CRACK: 100}, FREE) == CRACK
    assert crop_label(sliver, {CRACK: 100}, FREE) == IGNORE
    assert crop_label(two, {CRACK: 100, BLOWHOLE: 100}, FREE) == IGNORE
    assert crop_label(hidden, {}, FREE) == IGNORE


def test_the_good_class_of_a_dataset_is_known_only_where_there_is_one(cracked: Sample, good: Sample) -> None:
    other = replace(good, class_id="ok", dataset="castings")
    assert free_classes([cracked, good, other]) == {"Magnetic Tile": "MT_Free", "castings": "ok"}
    assert free_classes([good, replace(good, class_id="good")]) == {}


def test_images_and_labels_turn_together() -> None:
    values, labels = np.zeros((32, 32, 3), np.float32), np.zeros((32, 32), np.int16)
    values[2:8, 5:20], labels[2:8, 5:20] = 1, 1
    turned = [apply_symmetry(values, labels, np.random.default_rng(seed)) for seed in range(64)]
    for image, marks in turned:
        assert np.array_equal(image[..., 0] > 0, marks > 0)
    assert len({marks.tobytes() for _, marks in turned}) == 8


def test_a_bent_flaw_has_another_shape_and_its_labels_go_with_it() -> None:
    values, labels = np.zeros((192, 192, 3), np.float32), np.full((192, 192), FREE, np.int16)
    values[80:110, 60:130], labels[80:110, 60:130] = 1, CRACK
    shapes = set()
    for seed in range(12):
        image, marks = bend(values, labels, np.random.default_rng(seed), IGNORE)
        known = marks != IGNORE
        assert known.mean() > 0.6
        # The values are interpolated at the edge of the flaw, the labels are not.
        assert ((image[..., 0] > 0.5) == (marks == CRACK))[known].mean() > 0.995
        rows, columns = np.nonzero(marks == CRACK)
        shapes.add((np.ptp(rows), np.ptp(columns)))
    assert len(shapes) > 9 and (29, 69) not in shapes


def test_boards_keep_their_artwork_straight(tmp_path: Path, cracked: Sample, good: Sample) -> None:
    board = np.zeros((640, 640, 3), np.uint8)
    board[:, 320:] = 255
    part = Sample(write(tmp_path / "1_test.png", board), "PCB_Free", "DeepPCB", "g")
    always = replace(NO_AUGMENTATION, bend=1.0)
    straight = crops(part, cracked, good, how=always)
    for seed in range(8):
        image = draw(straight, size=640, seed=seed)["image"][0]
        edges = (image[:, 1:] != image[:, :-1]).sum() + (image[1:] != image[:-1]).sum()
        assert edges == 640
    bent = [draw(crops(good, cracked, how=how), size=160)["image"] for how in (NO_AUGMENTATION, always)]
    assert not torch.equal(*bent)


def test_the_rim_of_a_good_part_is_seen_as_often_as_flaws_at_the_rim_need(
    tmp_path: Path, cracked: Sample
) -> None:
    pixels = surface(320)
    pixels[:16, :16] = 250  # the corner
    part = Sample(write(tmp_path / "exp1_num_700.png", pixels), "MT_Free", "Magnetic Tile", "2")
    dataset = crops(cracked, part)
    seen = [(draw(dataset, 1, size=96, seed=seed)["image"] > 3).sum() == 3 * 16 * 16 for seed in range(400)]
    assert np.mean(seen) == pytest.approx((48 / 320) ** 2, abs=0.015)


# Randomness


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[key], other[key]) for key in one)


def test_the_same_draw_gives_the_same_crop_and_another_seed_another(drawn_data: Path) -> None:
    samples = find_samples([drawn_data / "Magnetic-Tile-Defect"])
    one, other = (crops(*samples, how=Augmentation()) for _ in range(2))
    for index in (0, 5, 12):
        assert same(draw(one, index, seed=4), draw(other, index, seed=4))
        assert not same(draw(one, index, seed=4), draw(one, index, seed=5))


def epoch(sampler: CropSampler, number: int) -> list[list[Draw]]:
    sampler.set_epoch(number)
    return list(sampler)


def test_an_epoch_repeats_itself_and_differs_from_the_next(cracked: Sample, good: Sample) -> None:
    first, second = (CropSampler([cracked, good], 8, 64, batches=5, seed=1) for _ in range(2))
    assert epoch(first, 3) == epoch(second, 3) != epoch(first, 4)
    assert epoch(first, 3) != epoch(CropSampler([cracked, good], 8, 64, batches=5, seed=2), 3)
    assert len(first) == len(epoch(first, 0)) == 5


def test_wider_batches_have_fewer_crops_of_the_same_area(cracked: Sample) -> None:
    sampler = CropSampler([cracked], 18, 64, batches=60, seed=0, widths={1: 0.5, 2: 0.3, 3: 0.2})
    shapes = {(len(batch), batch[0].size) for batch in islice(sampler, 60)}
    assert shapes == {(18, 64), (4, 128), (2, 192)}


def test_seeds_of_the_crops_do_not_repeat(cracked: Sample) -> None:
    sampler = CropSampler([cracked], 8, 64, batches=20, seed=1)
    seeds = [d.seed for number in range(3) for batch in epoch(sampler, number) for d in batch]
    assert len(set(seeds)) == len(seeds)


def test_classes_weigh_by_the_square_root_of_their_count() -> None:
    def some(count: int, class_id: str, dataset: str) -> list[Sample]:
        return [Sample(Path(f"{n}"), class_id, dataset, "g") for n in range(count)]

    drawn = f"Magnetic Tile {GENERATED}"
    samples = some(1, "MT_Crack", "Magnetic Tile") + some(100, "MT_Free", "Magnetic Tile")
    samples += some(1, "MT_Crack", drawn) + some(100, "MT_Free", drawn)
    weights = sample_weights(samples, {GENERATED: 0.4})
    crack, free, drawn_crack, drawn_free = weights[0], weights[1:101].sum(), weights[101], weights[102:].sum()
    assert weights.sum() == pytest.approx(1)
    assert free / crack == pytest.approx(10)
    assert drawn_free / drawn_crack == pytest.approx(10)
    assert (drawn_crack + drawn_free) / (crack + free) == pytest.approx(0.4)


def test_draws_follow_the_weights(cracked: Sample, good: Sample) -> None:
    sampler = CropSampler([cracked, *[good] * 16], 16, 64, batches=200, seed=0)
    drawn = [d.index for batch in islice(sampler, 200) for d in batch]
    assert drawn.count(0) / len(drawn) == pytest.approx(1 / 5, abs=0.03)


# Whole samples


def test_validation_sees_what_serving_sees(drawn_data: Path) -> None:
    samples = find_samples([drawn_data / "Magnetic-Tile-Defect", drawn_data / "DeepPCB"])
    pre = Preprocessing()
    dataset = WholeDataset(samples, CLASSES, pre, STRIDE)
    for index in (0, len(samples) - 1):
        sample, item = samples[index], dataset[index]
        values, placement = prepare(sample_pixels(sample), pre)
        assert np.array_equal(item["image"].numpy(), values)
        assert (item["cells_high"], item["cells_wide"]) == placement.cells(STRIDE)
        assert CLASSES[item["label"]] == sample.class_id
        assert one_by_one([item])["image"].shape == (1, *values.shape)


def test_a_region_is_cut_from_its_image(drawn_data: Path) -> None:
    sample = find_samples([drawn_data / "DeepPCB"])[0]
    assert sample.region is not None
    x1, y1, x2, y2 = sample.region
    assert np.array_equal(sample_pixels(sample), read_image(sample.path)[y1:y2, x1:x2])


def test_red_stays_red_from_the_file_to_the_network(tmp_path: Path) -> None:
    red = np.full((96, 96, 3), 20, np.uint8)
    red[..., 0] = 220
    path = tmp_path / "red.jpg"
    cv2.imwrite(str(path), cv2.cvtColor(red, cv2.COLOR_RGB2BGR))
    sample = Sample(path, "MT_Free", "Magnetic Tile", "1")
    whole = WholeDataset([sample], CLASSES, Preprocessing(), STRIDE)[0]["image"]
    crop = draw(crops(sample), size=64)["image"]
    for image in (whole, crop):
        means = image.mean((1, 2))
        assert means[0] > 1 and means[1] < -0.5 and means[2] < -0.5
