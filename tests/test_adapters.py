"""Adapters: each layout as its publisher ships it, and what they say about a folder that is wrong."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from flawsight.data.adapters import deeppcb, find_samples, magnetic_tile
from flawsight.data.samples import GENERATED, LabelledBox, Sample
from flawsight.errors import DataError
from flawsight.imaging import encode_png, read_image
from flawsight.taxonomy import load_taxonomy

PIXELS = encode_png(np.full((32, 32, 3), 90, np.uint8))


def put(*paths: Path) -> None:
    """A small grey image at each path."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PIXELS)


def classes(samples: list[Sample]) -> dict[str, str]:
    return {sample.path.name: sample.class_id for sample in samples}


def put_dagm(root: Path, mask: str = "0002_label.PNG") -> None:
    put(*(root / "Class3" / split / f"{n:04}.PNG" for split in ("Train", "Test") for n in (1, 2)))
    put(*(root / "Class3" / split / "Label" / mask for split in ("Train", "Test")))


def put_board(root: Path, lines: str, name: str = "20085000") -> Path:
    put(root / "group20085/20085" / f"{name}_test.jpg", root / "group20085/20085" / f"{name}_temp.jpg")
    notes = root / "group20085/20085_not" / f"{name}.txt"
    notes.parent.mkdir(exist_ok=True)
    notes.write_text(lines)
    return notes


# All three families


def test_every_class_of_the_three_families_is_found_in_one_folder(drawn_data: Path) -> None:
    samples = find_samples([drawn_data])
    assert {sample.class_id for sample in samples} == set(load_taxonomy())
    assert {s.dataset for s in samples} == {
        f"{name} {GENERATED}" for name in ("DAGM", "Magnetic Tile", "DeepPCB")
    }


def test_a_family_is_found_whether_its_folder_or_the_one_above_is_named(drawn_data: Path) -> None:
    for family in ("DAGM", "Magnetic-Tile-Defect", "DeepPCB", "DeepPCB/PCBData"):
        paths = {sample.path for sample in find_samples([drawn_data / family])}
        assert paths and paths <= {sample.path for sample in find_samples([drawn_data])}


def test_two_folders_with_the_same_file_names_share_no_group(tmp_path: Path) -> None:
    for name in ("line1", "line2"):
        put_dagm(tmp_path / name / "DAGM")
    first, second = ({s.group for s in find_samples([tmp_path / n])} for n in ("line1", "line2"))
    both = {s.group for s in find_samples([tmp_path / "line1", tmp_path / "line2"])}
    assert first == second
    assert len(both) == len(first) + len(second)


# DAGM


@pytest.mark.parametrize("mask", ["0002_label.PNG", "0002_label.png", "0002_LABEL.PNG"])
def test_a_dagm_image_is_its_textures_defect_only_if_it_has_a_mask(tmp_path: Path, mask: str) -> None:
    put_dagm(tmp_path / "DAGM", mask)
    samples = find_samples([tmp_path])
    assert len(samples) == 4
    for sample in samples:
        defective = sample.path.stem == "0002"
        assert sample.class_id == ("DAGM_Class3" if defective else "DAGM_Free")
        assert (sample.mask is not None) == defective


def test_a_good_dagm_image_is_never_its_textures_defect(drawn_data: Path) -> None:
    samples = find_samples([drawn_data / "DAGM"])
    assert {s.class_id for s in samples if s.mask is None} == {"DAGM_Free"}
    for sample in samples:
        if sample.mask is not None:
            assert sample.class_id == f"DAGM_{sample.path.parts[-3]}"
            assert sample.mask.stem == f"{sample.path.stem}_label"
            assert read_image(sample.mask).shape == read_image(sample.path).shape


def test_dagms_own_division_is_kept(drawn_data: Path) -> None:
    for sample in find_samples([drawn_data / "DAGM"]):
        assert sample.publisher_split == sample.path.parent.name.lower()


def test_dagm_without_any_label_folder_is_refused_since_all_would_pass_for_good(tmp_path: Path) -> None:
    put_dagm(tmp_path)
    for split in ("Train", "Test"):
        shutil.rmtree(tmp_path / "Class3" / split / "Label")
    with pytest.raises(DataError, match=r"Class3: expected PNG images.*masks.*Label/; found Test/, Train/"):
        find_samples([tmp_path])


# Magnetic Tile


@pytest.mark.parametrize("name", ["Magnetic-Tile-Defect", "Magnetic-tile-defect-datasets.", "Magnetic-Tile"])
def test_magnetic_tiles_are_found_under_each_name_they_are_published_by(tmp_path: Path, name: str) -> None:
    crack, free = tmp_path / name / "MT_Crack" / "Imgs", tmp_path / name / "MT_Free" / "Imgs"
    put(crack / "exp1_num_10.jpg", crack / "exp1_num_10.png", free / "exp1_num_900.jpg")
    put(free / "exp1_num_900.png")
    samples = find_samples([tmp_path])
    assert classes(samples) == {"exp1_num_10.jpg": "MT_Crack", "exp1_num_900.jpg": "MT_Free"}
    assert [s.mask for s in samples] == [crack / "exp1_num_10.png", None]


def test_exposures_of_one_tile_are_one_group_also_across_classes() -> None:
    numbers = {"exp1_num_100": 0, "exp2_num_160": 0, "exp3_num_260": 0, "exp1_num_361": 1, "exp1_num_9": 0}
    paths = {Path(f"{stem}.jpg"): burst for stem, burst in numbers.items()}
    groups = magnetic_tile.burst_groups(list(paths))
    for burst in (0, 1):
        assert len({groups[path] for path, own in paths.items() if own == burst}) == 1
    assert len(set(groups.values())) == 2


def test_a_file_name_without_a_number_is_a_group_of_its_own() -> None:
    groups = magnetic_tile.burst_groups([Path("one.jpg"), Path("two.jpg"), Path("exp1_num_5.jpg")])
    assert len(set(groups.values())) == 3


# DeepPCB


@pytest.fixture(scope="module")
def regions(drawn_data: Path) -> list[Sample]:
    return find_samples([drawn_data / "DeepPCB"])


def touches(box: LabelledBox, region: tuple[int, int, int, int]) -> bool:
    return box.x1 < region[2] and box.x2 > region[0] and box.y1 < region[3] and box.y2 > region[1]


def test_a_board_region_is_160_pixels_square_and_inside_the_board(regions: list[Sample]) -> None:
    for sample in regions:
        assert sample.region is not None
        x1, y1, x2, y2 = sample.region
        assert x2 - x1 == y2 - y1 == 160
        assert min(x1, y1) >= 0 and max(x2, y2) <= 640


def test_a_board_region_holds_defects_of_its_own_type_only(regions: list[Sample]) -> None:
    defective = [s for s in regions if s.class_id != "PCB_Free"]
    assert defective
    for sample in defective:
        assert sample.region is not None
        inside = [box for box in sample.boxes if touches(box, sample.region)]
        assert {box.class_id for box in inside} == {sample.class_id}


def test_defects_lie_all_over_their_regions() -> None:
    rng = np.random.default_rng(0)
    box = LabelledBox(300, 300, 330, 320, "PCB_open")
    found = [deeppcb._region_around(box, (box,), rng) for _ in range(200)]
    places = np.array([(box.x1 - region[0], box.y1 - region[1]) for region in found if region])  # (200, 2)
    assert len(places) == 200
    assert places.min() >= 0 and (places.max(axis=0) <= (130, 140)).all()
    assert (places.min(axis=0) < 20).all() and (places.max(axis=0) > 110).all()


def test_no_region_is_cut_where_two_types_cannot_be_parted() -> None:
    one, other = LabelledBox(300, 300, 330, 320, "PCB_open"), LabelledBox(310, 310, 340, 330, "PCB_spur")
    assert deeppcb._region_around(one, (one, other), np.random.default_rng(0)) is None


@pytest.mark.parametrize("corners", [(10, 10, 300, 20), (600, 600, 660, 630)])
def test_a_box_that_fits_no_region_gives_no_sample_and_no_crash(corners: tuple[int, ...]) -> None:
    box = LabelledBox(*corners, "PCB_open")  # type: ignore[arg-type]
    assert deeppcb._region_around(box, (box,), np.random.default_rng(0)) is None


def test_template_regions_are_good_and_hold_no_box(regions: list[Sample]) -> None:
    templates = [s for s in regions if s.path.stem.endswith("_temp")]
    assert {s.class_id for s in templates} == {"PCB_Free"}
    assert not any(s.boxes for s in templates)
    assert not any(s.path.stem.endswith("_temp") for s in regions if s.class_id != "PCB_Free")
    shown = {(s.path.name.removesuffix("_test.jpg"), s.region) for s in regions if s.boxes}
    same = [s for s in templates if (s.path.name.removesuffix("_temp.jpg"), s.region) in shown]
    assert same, "some good regions show the very artwork that elsewhere has the defect"


def test_all_of_one_board_group_is_one_group(regions: list[Sample]) -> None:
    for sample in regions:
        assert sample.group.endswith(next(p for p in sample.path.parts if p.startswith("group")))


def test_the_same_regions_are_cut_in_every_run(drawn_data: Path, regions: list[Sample]) -> None:
    assert find_samples([drawn_data / "DeepPCB"]) == regions


@pytest.mark.parametrize(
    "line", ["1 2 3", "10 10 20 20 7", "10 10 20 20 open", "20 10 10 20 1", "-4 0 9 9 1"]
)
def test_a_bad_box_line_is_named_with_file_and_number(tmp_path: Path, line: str) -> None:
    notes = put_board(tmp_path / "PCBData", f"10 10 20 20 1\n\n{line}\n")
    with pytest.raises(DataError) as caught:
        find_samples([tmp_path])
    assert f"{notes}, line 3" in str(caught.value) and repr(line) in str(caught.value)


def test_boxes_may_be_parted_by_commas(tmp_path: Path) -> None:
    notes = put_board(tmp_path, "10,12,20,24,6")
    assert deeppcb.read_boxes(notes) == (LabelledBox(10, 12, 20, 24, "PCB_pinhole"),)


@pytest.mark.parametrize(
    "missing", ["group20085/20085/20085000_temp.jpg", "group20085/20085_not/20085000.txt"]
)
def test_a_board_without_template_or_boxes_is_named(tmp_path: Path, missing: str) -> None:
    put_board(tmp_path / "DeepPCB/PCBData", "10 10 20 20 1")
    gone = tmp_path / "DeepPCB/PCBData" / missing
    gone.unlink()
    with pytest.raises(DataError, match=r"20085000_test\.jpg: expected") as caught:
        find_samples([tmp_path])
    assert str(gone) in str(caught.value)


# Class folders


@pytest.mark.parametrize("names", [("train", "test"), ("TRAIN", "TEST"), ("training", "valid", "test")])
def test_folders_named_train_and_test_above_the_classes_divide_them(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    root = tmp_path / "castings"
    for split in names:
        put(root / split / "ok" / f"{split}1.png", root / split / "bad" / f"{split}2.jpeg")
    samples = find_samples([root])
    splits = {"training": "train", "valid": "val"}
    assert len(samples) == 2 * len(names)
    for sample in samples:
        folder = sample.path.parent.parent.name.lower()
        assert sample.publisher_split == splits.get(folder, folder)
        assert sample.class_id == sample.path.parent.name
        assert sample.dataset == "castings"


def test_plain_class_folders_leave_the_division_open(tmp_path: Path) -> None:
    put(tmp_path / "ok" / "1.png", tmp_path / "bad" / "1.png")
    samples = find_samples([tmp_path])
    assert {s.class_id for s in samples} == {"ok", "bad"}
    assert {s.publisher_split for s in samples} == {None}
    assert len({s.group for s in samples}) == 2


def test_other_files_and_hidden_ones_are_no_images(tmp_path: Path) -> None:
    put(tmp_path / "ok" / "1.png", tmp_path / "ok" / ".1.png", tmp_path / ".cache" / "2.png")
    (tmp_path / "ok" / "notes.txt").write_text("seen")
    assert [s.path.name for s in find_samples([tmp_path])] == ["1.png"]


# What is wrong with a folder


def no_class_folders(root: Path) -> None:
    put(root / "loose.png")


def empty_root(root: Path) -> None:
    root.mkdir()


def empty_class(root: Path) -> None:
    put(root / "ok" / "1.png")
    (root / "scratch").mkdir()


def split_without_classes(root: Path) -> None:
    put(root / "train" / "ok" / "1.png")
    (root / "test").mkdir()


def dagm_without_classes(root: Path) -> None:
    put(root / "DAGM" / "1.PNG")


def dagm_class_without_images(root: Path) -> None:
    (root / "DAGM" / "Class1" / "Train" / "Label").mkdir(parents=True)


def tiles_without_classes(root: Path) -> None:
    put(root / "Magnetic-Tile-Defect" / "crack" / "1.jpg")


def tile_class_without_imgs(root: Path) -> None:
    put(root / "Magnetic-Tile-Defect" / "MT_Crack" / "exp1_num_1.jpg")


def boards_without_groups(root: Path) -> None:
    put(root / "DeepPCB" / "boards" / "1_test.jpg")


def group_without_boards(root: Path) -> None:
    put(root / "DeepPCB" / "PCBData" / "group1" / "photos" / "1_test.jpg")


@pytest.mark.parametrize(
    ("lay_out", "folder", "expected", "found"),
    [
        (no_class_folders, "", "one folder per class", "found loose.png"),
        (empty_root, "", "one folder per class", "found nothing"),
        (empty_class, "scratch", "images of class 'scratch'", "found none"),
        (split_without_classes, "test", "one folder per class", "found nothing"),
        (dagm_without_classes, "DAGM", "folders Class1 to Class10", "found 1.PNG"),
        (dagm_class_without_images, "DAGM/Class1", "PNG images in Train/ and Test/", "found Train/"),
        (tiles_without_classes, "Magnetic-Tile-Defect", "MT_Blowhole", "found crack/"),
        (tile_class_without_imgs, "Magnetic-Tile-Defect/MT_Crack", "Imgs/expE_num_N.jpg", "found exp1_num_1"),
        (boards_without_groups, "DeepPCB", "groupNNNNN", "found boards/"),
        (group_without_boards, "DeepPCB/PCBData/group1", "1/NAME_test.jpg", "found photos/"),
    ],
)
def test_a_wrong_layout_names_the_folder_what_was_expected_and_what_was_found(
    tmp_path: Path, lay_out: Callable[[Path], None], folder: str, expected: str, found: str
) -> None:
    root = tmp_path / "data"
    lay_out(root)
    with pytest.raises(DataError) as caught:
        find_samples([root])
    message = str(caught.value)
    assert message.startswith(f"{root / folder}: expected ")
    assert expected in message and found in message


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere does not exist\. Name one"):
        find_samples([tmp_path / "nowhere"])
