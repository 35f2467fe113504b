"""The division: nothing of one origin on both sides, every class everywhere, the same wherever it lies."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from flawsight.data.adapters import find_samples, magnetic_tile
from flawsight.data.duplicates import near_duplicates
from flawsight.data.samples import Sample
from flawsight.data.splits import SPLITS, Manifest, counts, describe_split, join_groups, make_manifest
from flawsight.errors import DataError
from flawsight.settings import PROJECT_ROOT

REAL = Path(os.environ.get("FLAWSIGHT_REAL_DATA", PROJECT_ROOT.parent / "shared" / "data"))


def divide(*roots: Path, seed: int = 0) -> Manifest:
    """Samples of ``roots``, near copies joined, divided as a training run does."""
    samples = find_samples(roots)
    return make_manifest(samples, seed, roots, copies(frozenset(s.path for s in samples)))


@cache
def copies(paths: frozenset[Path]) -> list[tuple[Path, Path]]:
    return [(one, other) for one, other, _ in near_duplicates(sorted(paths))]


@pytest.fixture(scope="module")
def drawn(drawn_data: Path) -> Manifest:
    return divide(drawn_data)


@pytest.fixture(scope="module")
def real() -> Manifest:
    if not REAL.is_dir():
        pytest.skip(f"real images are not at {REAL}; name their folder with FLAWSIGHT_REAL_DATA")
    return divide(REAL)


def splits_by(manifest: Manifest, key: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for entry in manifest.entries:
        found[getattr(entry, key)].add(entry.split)
    return found


def assert_nothing_is_in_two_splits(manifest: Manifest) -> None:
    for key in ("group", "path", "sha256"):
        for name, splits in splits_by(manifest, key).items():
            assert len(splits) == 1, f"{key} {name} is in {splits}"
    of = {s.path: entry.split for s, entry in zip(manifest.samples, manifest.entries, strict=True)}
    for one, other in copies(frozenset(of)):
        assert of[one] == of[other], f"{one} and {other} show the same"


class Parts:
    """Makes samples with a file of their own each; only their labels matter."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made = 0

    def __call__(self, group: str, class_id: str, publisher: str | None = None) -> Sample:
        self.made += 1
        path = self.folder / f"{self.made}.png"
        path.write_text(str(self.made))
        return Sample(path, class_id, "castings", group, publisher_split=publisher)


@pytest.fixture
def part(tmp_path: Path) -> Parts:
    return Parts(tmp_path)


def placed(samples: Sequence[Sample], seed: int = 0) -> dict[str, set[str]]:
    """Class to the splits it is in."""
    return {
        name: {k for k, n in row.items() if n} for name, row in counts(make_manifest(samples, seed)).items()
    }


# Nothing leaks


def test_no_group_is_in_two_splits_on_real_data(real: Manifest) -> None:
    assert len(real.entries) > 1000
    assert_nothing_is_in_two_splits(real)


def test_no_burst_of_real_tiles_is_in_two_splits(real: Manifest) -> None:
    numbered = sorted(
        (int(number[1]), entry.split)
        for entry in real.entries
        if entry.dataset == magnetic_tile.DATASET and (number := re.search(r"num_(\d+)", entry.path))
    )
    assert len(numbered) > 500
    for (before, split), (number, own) in pairwise(numbered):
        assert number - before > 100 or split == own


def test_no_real_board_group_is_in_two_splits(real: Manifest) -> None:
    boards = defaultdict(set)
    for entry in real.entries:
        if entry.dataset == "DeepPCB":
            boards[re.search(r"group\d+", entry.path)[0]].add(entry.split)  # type: ignore[index]
    assert len(boards) >= 3 and all(len(splits) == 1 for splits in boards.values())


def test_every_real_class_is_in_every_split(real: Manifest) -> None:
    for label, row in counts(real).items():
        assert all(row[split] > 0 for split in SPLITS), f"{label}: {row}"


def test_no_group_is_in_two_splits_on_generated_data(drawn: Manifest) -> None:
    assert_nothing_is_in_two_splits(drawn)


def test_a_division_by_file_would_be_caught(drawn: Manifest) -> None:
    """The check above can fail: hand it a division that ignores the groups."""
    torn = tuple(
        Sample(s.path, s.class_id, s.dataset, f"{s.group}/{number}") for number, s in enumerate(drawn.samples)
    )
    with pytest.raises(AssertionError):
        assert_nothing_is_in_two_splits(make_manifest(torn, seed=0))


def test_near_copies_join_their_groups_and_those_they_are_joined_with(part: Parts) -> None:
    samples = [part(name, "ok") for name in "abcd"]
    a, b, c, d = (sample.path for sample in samples)
    joined = {sample.path: sample.group for sample in join_groups(samples, [(d, c), (c, a)])}
    assert joined[a] == joined[c] == joined[d] != joined[b]


def test_a_flipped_copy_goes_where_its_original_goes(drawn_data: Path, tmp_path: Path) -> None:
    root = tmp_path / "castings"
    for number, picture in enumerate(sorted((drawn_data / "DAGM").glob("Class[1-4]/T*/*.PNG"))):
        (root / "ok").mkdir(parents=True, exist_ok=True)
        with Image.open(picture) as image:
            image.save(root / "ok" / f"{number:02}.png")
            ImageOps.mirror(image).save(root / "ok" / f"{number:02}-copy.png")
    manifest = divide(root)
    of = {Path(entry.path).stem: entry for entry in manifest.entries}
    assert set(splits_by(manifest, "split")) == set(SPLITS)
    for stem, entry in of.items():
        assert of[stem.removesuffix("-copy")].group == entry.group


def test_one_folder_named_twice_or_above_itself_leaks_nothing(drawn_data: Path) -> None:
    manifest = make_manifest(find_samples([drawn_data, drawn_data / "DAGM"]), 0, [drawn_data])
    assert all(len(splits) == 1 for splits in splits_by(manifest, "path").values())


# Every class everywhere


@pytest.mark.parametrize("groups", [3, 4, 5, 9, 40])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_class_with_three_groups_or_more_is_in_every_split(part: Parts, groups: int, seed: int) -> None:
    samples = [
        part(f"{kind}{n}", kind) for kind, count in (("rare", groups), ("ok", 200)) for n in range(count)
    ]
    assert placed(samples, seed) == {"rare": set(SPLITS), "ok": set(SPLITS)}


def test_two_groups_of_a_class_are_learned_from_and_tested(part: Parts) -> None:
    samples = [part(f"ok{n}", "ok") for n in range(30)] + [part("r1", "rare"), part("r2", "rare")]
    assert placed(samples)["rare"] == {"train", "test"}


def test_a_single_group_of_a_class_is_learned_from(part: Parts) -> None:
    assert placed([part("r1", "rare"), *(part(f"ok{n}", "ok") for n in range(30))])["rare"] == {"train"}


def test_large_classes_are_divided_60_15_25(part: Parts) -> None:
    row = counts(make_manifest([part(f"g{n}", "ok") for n in range(400)], 0))["ok"]
    assert row == {"train": 240, "val": 60, "test": 100}


def test_large_groups_count_as_many_as_they_hold(part: Parts) -> None:
    samples = [part(f"g{n}", "ok") for n in range(10) for _ in range(1 + 9 * (n == 0))]
    row = counts(make_manifest(samples, 0))["ok"]
    assert row["train"] >= 10 and row["val"] > 0 and row["test"] > 0


# The publisher's division


def test_the_publishers_test_images_stay_test_and_no_other_joins_them(part: Parts) -> None:
    samples = [part(f"{split}{n}", "ok", split) for split in ("train", "test") for n in range(20)]
    for sample, entry in zip(samples, make_manifest(samples, 0).entries, strict=True):
        assert (entry.split == "test") == (sample.publisher_split == "test")
    assert {entry.split for entry in make_manifest(samples, 0).entries} == set(SPLITS)


def test_a_copy_on_both_sides_of_the_publishers_border_is_not_tested(part: Parts) -> None:
    samples = [part(f"{split}{n}", "ok", split) for split in ("train", "test") for n in range(20)]
    manifest = make_manifest([*samples, part("train0", "ok", "test")], 0)
    assert manifest.entries[-1].split == manifest.entries[0].split != "test"


def test_a_publishers_validation_images_stay_validation(part: Parts) -> None:
    samples = [part(f"{split}{n}", "ok", split) for split in SPLITS for n in range(10)]
    manifest = make_manifest(samples, 0)
    assert [entry.split for entry in manifest.entries] == [s.publisher_split for s in samples]


# The manifest


def test_the_same_images_elsewhere_have_the_same_manifest(drawn_data: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "another place" / "data"
    shutil.copytree(drawn_data, elsewhere)
    assert divide(elsewhere).sha256 == divide(drawn_data).sha256


def test_the_manifest_is_another_for_another_seed_image_or_label(drawn: Manifest) -> None:
    first, *rest = drawn.entries
    changed = [
        divide_again(drawn, seed=1),
        replace(drawn, entries=(replace(first, sha256="0" * 64), *rest)),
        replace(drawn, entries=(replace(first, label="MT_Crack"), *rest)),
        replace(drawn, entries=(replace(first, split="nowhere"), *rest)),
    ]
    assert len({drawn.sha256, *(manifest.sha256 for manifest in changed)}) == 5


def divide_again(manifest: Manifest, seed: int) -> Manifest:
    return make_manifest(manifest.samples, seed)


def test_the_saved_manifest_holds_every_row_and_no_place(
    drawn: Manifest, drawn_data: Path, tmp_path: Path
) -> None:
    drawn.save(tmp_path / "manifest.json")
    text = (tmp_path / "manifest.json").read_text()
    saved = json.loads(text)
    assert saved["sha256"] == drawn.sha256 and len(saved["entries"]) == len(drawn.samples)
    assert str(drawn_data) not in text
    for entry in saved["entries"]:
        assert (drawn_data / entry["path"]).is_file()


def test_the_description_counts_samples_groups_and_images(drawn: Manifest) -> None:
    described = describe_split(drawn)
    assert sum(sum(row.values()) for row in described["counts"].values()) == len(drawn.samples)
    assert sum(described["groups"].values()) == len({sample.group for sample in drawn.samples})
    assert described["images"] == len({sample.path for sample in drawn.samples})


def test_nothing_to_divide_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(DataError, match="data audit"):
        make_manifest([], 0)
