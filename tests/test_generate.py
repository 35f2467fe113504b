"""The generator: layouts, exact masks and boxes, faults that are what they say, the same bytes again."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from flawsight.data.generate import (
    draw_board,
    draw_foreign,
    draw_style,
    draw_texture,
    draw_tile,
    generate,
    write_samples,
)
from flawsight.data.generate.artwork import draw_artwork
from flawsight.data.generate.boards import FAULTS, PLANTERS
from flawsight.data.generate.foreign import FOREIGN
from flawsight.data.generate.textures import TEXTURES
from flawsight.data.generate.tiles import CONDITIONS
from flawsight.errors import DataError
from flawsight.taxonomy import load_taxonomy

PER_CLASS = 6


def rng(*key: int) -> np.random.Generator:
    return np.random.default_rng(list(key))


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None and image.dtype == np.uint8 and image.ndim == 2, path
    return image


@dataclass
class Tree:
    root: Path
    counts: dict[str, int]
    progress: list[tuple[int, int]]


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    root = tmp_path_factory.mktemp("generated")
    seen: list[tuple[int, int]] = []
    counts = generate(
        root, PER_CLASS, seed=4, progress=lambda done, total: seen.append((done, total)), workers=2
    )
    return Tree(root, counts, seen)


@pytest.fixture(scope="module")
def tree(generated: Tree) -> Path:
    return generated.root


def test_the_same_seed_gives_the_same_bytes_whatever_the_number_of_workers(tmp_path: Path) -> None:
    for name, workers in (("one", 1), ("three", 3)):
        generate(tmp_path / name, 1, seed=9, workers=workers)
    generate(tmp_path / "other", 1, seed=10)
    assert files(tmp_path / "one") == files(tmp_path / "three")
    assert set(files(tmp_path / "one").values()).isdisjoint(
        content for name, content in files(tmp_path / "other").items() if name.endswith((".jpg", ".PNG"))
    )


def test_every_class_of_the_taxonomy_is_drawn_and_counted(generated: Tree) -> None:
    counts, seen = generated.counts, generated.progress
    assert set(counts) == set(load_taxonomy())
    assert counts["DAGM_Free"] == 10 * PER_CLASS and counts["PCB_Free"] == PER_CLASS
    assert all(counts[name] == PER_CLASS for name in counts if name.startswith("MT_") or "Class" in name)
    assert seen == [(i + 1, len(seen)) for i in range(len(seen))]


def test_a_texture_has_a_label_exactly_when_it_is_defective(tree: Path) -> None:
    for number in TEXTURES:
        folder = tree / "DAGM" / f"Class{number}"
        images = sorted(folder.glob("T*/*.PNG"))
        labels = sorted(folder.glob("T*/Label/*_label.PNG"))
        assert len(images) == 2 * PER_CLASS and len(labels) == PER_CLASS
        assert {path.parent.name for path in images} == {"Train", "Test"}
        assert len({path.name for path in images}) == len(images)
        for label in labels:
            mask = read(label)
            image = label.parent.parent / label.name.replace("_label", "")
            assert read(image).shape == mask.shape == (512, 512)
            assert set(np.unique(mask)) == {0, 255} and 0.0005 < (mask > 0).mean() < 0.08


def test_a_texture_number_says_nothing_about_the_defect(tree: Path) -> None:
    numbers = [int(p.name[:4]) for p in (tree / "DAGM").glob("Class*/T*/Label/*")]
    assert len(numbers) == 10 * PER_CLASS
    assert abs(np.mean(numbers) - (2 * PER_CLASS + 1) / 2) < 1.5
    assert 0.3 < np.mean([number % 2 for number in numbers]) < 0.7


def test_tiles_lie_beside_their_masks_and_numbers_keep_their_distance(tree: Path) -> None:
    numbers = []
    for condition in CONDITIONS:
        pictures = sorted((tree / "Magnetic-Tile-Defect" / condition / "Imgs").glob("exp*_num_*.jpg"))
        assert len(pictures) == PER_CLASS
        for picture in pictures:
            mask = read(picture.with_suffix(".png"))
            assert mask.shape == read(picture).shape
            assert (mask > 0).any() == (condition != "MT_Free")
            assert set(np.unique(mask)) <= {0, 255}
            numbers.append(int(picture.stem.rsplit("_", 1)[1]))
    gaps = np.diff(sorted(numbers))
    assert ((gaps == 1) | (gaps > 100)).all()
    assert (gaps > 100).sum() == 5 * len(CONDITIONS) - 1


def test_a_burst_has_consecutive_numbers_and_shows_the_same_tile(tree: Path) -> None:
    pictures = (tree / "Magnetic-Tile-Defect/MT_Crack/Imgs").glob("*.jpg")
    by_number = {int(p.stem.rsplit("_", 1)[1]): p for p in pictures}
    pairs = [(by_number[n], by_number[n + 1]) for n in by_number if n + 1 in by_number]
    assert len(pairs) == 1
    one, two = pairs[0]
    assert one.with_suffix(".png").read_bytes() == two.with_suffix(".png").read_bytes()
    assert read(one).mean() < read(two).mean(), "the later exposure is the longer one"


def test_boards_lie_beside_templates_and_boxes_and_are_listed(tree: Path) -> None:
    root = tree / "DeepPCB" / "PCBData"
    listed = [
        line.split()
        for name in ("trainval.txt", "test.txt")
        for line in (root / name).read_text().splitlines()
    ]
    assert len(listed) == PER_CLASS
    for pair, boxes in listed:
        test = read(root / pair.replace(".jpg", "_test.jpg"))
        template = read(root / pair.replace(".jpg", "_temp.jpg"))
        assert test.shape == template.shape == (640, 640)
        rows = [list(map(int, line.split())) for line in (root / boxes).read_text().splitlines()]
        assert 3 <= len(rows) <= 12
        for x1, y1, x2, y2, kind in rows:
            assert 0 <= x1 < x2 <= 640 and 0 <= y1 < y2 <= 640 and 1 <= kind <= 6
            assert (np.abs(test[y1:y2, x1:x2].astype(int) - template[y1:y2, x1:x2]) > 100).any()


@pytest.mark.parametrize("number", TEXTURES)
def test_a_texture_defect_changes_pixels_inside_its_mask_and_none_outside(number: int) -> None:
    for key in range(3):
        good = draw_texture(rng(key, number), number, defective=False)
        bad = draw_texture(rng(key, number), number, defective=True)
        changed = good.image != bad.image
        assert not good.mask.any()
        assert (changed & bad.mask).sum() >= 20
        assert not (changed & ~bad.mask).any()


@pytest.mark.parametrize("condition", [name for name, flaw in CONDITIONS.items() if flaw is not None])
def test_a_tile_flaw_changes_pixels_inside_its_mask_and_none_outside(condition: str) -> None:
    for key in range(6):
        good = draw_tile(rng(key, 1), "MT_Free")
        bad = draw_tile(rng(key, 1), condition)
        changed = good.image != bad.image
        assert not good.mask.any()
        assert (changed & bad.mask).sum() >= 10
        assert not (changed & ~bad.mask).any()


def test_a_board_differs_from_its_template_only_inside_its_boxes_and_in_each() -> None:
    for key in range(6):
        board = draw_board(rng(key, 2), draw_style(rng(key)))
        changed = board.test != board.template
        for fault in board.faults:
            x1, y1, x2, y2 = fault.box
            assert changed[y1:y2, x1:x2].any(), fault
            changed[y1:y2, x1:x2] = False
        assert not changed.any()


def test_boxes_are_as_large_as_the_publishers_and_types_come_equally_often() -> None:
    faults = [
        fault for key in range(24) for fault in draw_board(rng(key, 3), draw_style(rng(key // 4))).faults
    ]
    sides = [(f.box[2] - f.box[0] + f.box[3] - f.box[1]) / 2 for f in faults]
    assert 30 < np.mean(sides) < 50
    counts = Counter(fault.class_id for fault in faults)
    assert set(counts) == set(FAULTS)
    assert min(counts.values()) >= 24 and max(counts.values()) < 1.5 * min(counts.values())


def parts(conductor: np.ndarray) -> np.ndarray:
    return cv2.connectedComponents(conductor.astype(np.uint8), connectivity=4)[1]


def planted(kind: str, wanted: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Copper before and after each of ``wanted`` faults of ``kind``."""
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for key in range(100):
        draw = rng(key, 4)
        art = draw_artwork(draw, draw_style(draw))
        for _ in range(40):
            after = PLANTERS[kind](draw, art.copper, art)
            if after is not None:
                found.append((art.copper, after))
                break
        if len(found) == wanted:
            break
    assert len(found) == wanted
    return found


def around(changed: np.ndarray, reach: int) -> tuple[slice, slice]:
    rows, cols = np.nonzero(changed)
    return (
        slice(max(0, rows.min() - reach), rows.max() + 1 + reach),
        slice(max(0, cols.min() - reach), cols.max() + 1 + reach),
    )


def test_an_open_parts_a_track() -> None:
    for before, after in planted("PCB_open", 12):
        near = around(before & ~after, 6)
        pieces = [
            len(np.unique(parts(after[near])[before[near] & (parts(before[near]) == k)]))
            for k in range(1, parts(before[near]).max() + 1)
        ]
        assert not (after & ~before).any()
        assert max(np.asarray(pieces)) >= 3, "background and two ends: the track is in two"


def test_a_short_joins_two_conductors() -> None:
    for before, after in planted("PCB_short", 12):
        touched = set(np.unique(parts(before)[parts(after) == parts(after)[after & ~before][0]])) - {0}
        assert not (before & ~after).any()
        assert len(touched) >= 2


def test_a_mousebite_and_a_spur_leave_the_wiring_as_it_was() -> None:
    for kind in ("PCB_mousebite", "PCB_spur"):
        for before, after in planted(kind, 8):
            assert parts(after).max() == parts(before).max()
            assert parts(~after).max() == parts(~before).max()
            assert bool((after & ~before).any()) == (kind == "PCB_spur")


def test_spurious_copper_stands_alone_and_a_pinhole_reaches_no_edge() -> None:
    for kind in ("PCB_copper", "PCB_pinhole"):
        for before, after in planted(kind, 8):
            new = before ^ after
            rim = (cv2.dilate(new.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & ~new
            assert (before[rim] == (kind == "PCB_pinhole")).all()


def test_images_of_one_class_differ_in_size_brightness_and_content() -> None:
    tiles = [draw_tile(rng(key, 6), "MT_Blowhole", 1 + key % 6) for key in range(12)]
    assert len({tile.image.shape for tile in tiles}) >= 10
    assert np.ptp([tile.image.mean() for tile in tiles]) > 30
    shares = [tile.mask.mean() for tile in tiles]
    assert max(shares) > 3 * min(shares)


def test_foreign_pictures_are_colour_images_of_many_kinds() -> None:
    for draw in FOREIGN.values():
        assert draw(rng(1)).shape[2] == 3
    kinds, pictures = zip(*(draw_foreign(rng(key)) for key in range(20)), strict=True)
    assert set(kinds) <= set(FOREIGN) and len(set(kinds)) > 3
    assert all(p.dtype == np.uint8 and p.ndim == 3 and p.shape[2] == 3 for p in pictures)
    assert len({p.tobytes() for p in pictures}) == 20


def test_generated_data_is_never_mixed_with_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "DAGM").mkdir()
    with pytest.raises(DataError, match=r"already holds DAGM.*empty folder"):
        generate(tmp_path, 1, seed=0)
    with pytest.raises(DataError, match="1 or more"):
        generate(tmp_path / "new", 0, seed=0)


def test_the_sample_gallery_is_what_the_generator_draws(tmp_path: Path) -> None:
    paths = write_samples(tmp_path)
    shipped = Path(__file__).parent.parent / "sample"
    assert {p.name for p in paths} == {p.name for p in shipped.iterdir() if p.suffix in {".jpg", ".png"}}
    assert sum(p.stat().st_size for p in shipped.iterdir()) < 2_000_000
    for path in paths:  # other builds of OpenCV may round a pixel differently
        ours, theirs = read(path).astype(int), read(shipped / path.name).astype(int)
        assert ours.shape == theirs.shape and np.abs(ours - theirs).mean() < 1


def test_every_defective_sample_has_its_truth_and_no_good_one(tmp_path: Path) -> None:
    paths = write_samples(tmp_path)
    shipped = Path(__file__).parent.parent / "sample" / "truth"
    masks = {path.stem: path for path in (tmp_path / "truth").iterdir()}
    assert set(masks) == {path.stem for path in paths if "good" not in path.stem}
    assert {path.name for path in shipped.iterdir()} == {path.name for path in masks.values()}
    for path in paths:
        if path.stem in masks:
            mask, theirs = read(masks[path.stem]), read(shipped / f"{path.stem}.png")
            assert mask.shape[:2] == read(path).shape[:2] and 0 < (mask > 0).mean() < 0.6
            assert (mask != theirs).mean() < 0.01
