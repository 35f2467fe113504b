"""Copies are found in every disguise that published sets use; look-alikes are left apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from flawsight.data import duplicates
from flawsight.data.duplicates import find_copies, fingerprint, matching_pairs, near_duplicates, read_pictures


def casting(seed: int, size: tuple[int, int] = (200, 200)) -> Image.Image:
    """A disc with its own spots: coarse shape in common, detail not."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0 : size[1], 0 : size[0]] / 200.0
    pixels = 90 + 20 * columns
    for _ in range(12):
        y, x, radius, level = rng.uniform([0.1, 0.1, 0.04, -70], [0.9, 0.9, 0.2, 70])
        pixels = pixels + level * np.exp(-(((rows - y) ** 2 + (columns - x) ** 2) / radius**2))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def stripes(seed: int) -> Image.Image:
    """One texture, another piece of it: what all images of one DAGM class have in common."""
    rng = np.random.default_rng(seed)
    bands = 30 * np.sin(np.arange(256) / 9.0)[None]
    return Image.fromarray(np.clip(128 + bands + rng.normal(0, 40, (256, 256)), 0, 255).astype(np.uint8))


def save(image: Image.Image, path: Path, quality: int = 90) -> Path:
    image.save(path, quality=quality)
    return path


@pytest.mark.parametrize("operation", list(Image.Transpose), ids=lambda operation: operation.name.lower())
def test_a_flipped_or_turned_copy_is_found(operation: Image.Transpose, tmp_path: Path) -> None:
    one = save(casting(1), tmp_path / "one.png")
    other = save(casting(1).transpose(operation), tmp_path / "other.jpg", quality=70)
    assert [pair[:2] for pair in near_duplicates([one, other])] == [(one, other)]


def test_a_re_encoded_brighter_smaller_copy_is_found(tmp_path: Path) -> None:
    one = save(casting(2), tmp_path / "one.png")
    copy = ImageEnhance.Brightness(casting(2)).enhance(1.15).resize((150, 150))
    other = save(copy, tmp_path / "other.jpg", quality=60)
    [(first, second, differing)] = near_duplicates([one, other])
    assert (first, second) == (one, other)
    assert 0 <= differing <= duplicates.DISTANCE


def test_identical_pictures_differ_in_no_bit(tmp_path: Path) -> None:
    one, other = save(casting(3), tmp_path / "a.png"), save(casting(3), tmp_path / "b.bmp")
    assert near_duplicates([one, other]) == [(one, other, 0)]


def test_different_castings_are_left_apart(tmp_path: Path) -> None:
    paths = [save(casting(seed), tmp_path / f"{seed}.png") for seed in range(30)]
    assert near_duplicates(paths) == []


def test_pieces_of_one_texture_are_left_apart(tmp_path: Path) -> None:
    paths = [save(stripes(seed), tmp_path / f"{seed}.png") for seed in range(30)]
    assert near_duplicates(paths) == []


def test_blank_pictures_are_not_taken_for_copies(tmp_path: Path) -> None:
    paths = [save(Image.new("L", (64, 64), level), tmp_path / f"{level}.png") for level in (0, 90, 255)]
    assert near_duplicates(paths) == []


def test_a_path_given_twice_is_no_pair(tmp_path: Path) -> None:
    path = save(casting(4), tmp_path / "a.png")
    assert near_duplicates([path, path]) == []


def test_an_unreadable_file_is_compared_with_nothing(tmp_path: Path) -> None:
    good = save(casting(5), tmp_path / "good.png")
    copy = save(casting(5), tmp_path / "copy.png")
    broken = tmp_path / "broken.png"
    broken.write_bytes(good.read_bytes()[:200])
    assert near_duplicates([broken, good, tmp_path / "missing.png", copy]) == [(good, copy, 0)]


def test_the_result_does_not_depend_on_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [casting(seed // 2) for seed in range(20)]
    prints = [fingerprint(np.asarray(picture.convert("RGB"))) for picture in pictures]
    whole = matching_pairs(prints)
    assert [pair[:2] for pair in whole] == [(2 * k, 2 * k + 1) for k in range(10)]
    monkeypatch.setattr(duplicates, "_BLOCK", 3)
    assert matching_pairs(prints) == whole


def test_the_eight_symmetries_are_all_different() -> None:
    square: NDArray[np.float32] = np.arange(9, dtype=np.float32).reshape(3, 3)
    views = {turn(square).tobytes() for turn in duplicates.SYMMETRIES}
    assert len(views) == 8
    assert np.array_equal(duplicates.SYMMETRIES[0](square), square)


def test_only_equal_bytes_are_exact_copies(tmp_path: Path) -> None:
    one = save(casting(6), tmp_path / "one.png")
    twin = tmp_path / "twin.png"
    twin.write_bytes(one.read_bytes())
    other = save(casting(6), tmp_path / "other.bmp")
    pictures, _ = read_pictures([one, other, twin])
    copies = find_copies(list(pictures.values()))
    assert {(pair.first, pair.second) for pair in copies} == {(one, other), (one, twin), (other, twin)}
    assert [(pair.first, pair.second) for pair in copies if pair.exact] == [(one, twin)]


def test_equal_blank_files_are_copies_though_they_show_nothing(tmp_path: Path) -> None:
    one = save(Image.new("L", (64, 64), 90), tmp_path / "one.png")
    twin = save(Image.new("L", (64, 64), 90), tmp_path / "twin.png")
    assert near_duplicates([one, twin]) == [(one, twin, 0)]


def test_a_picture_is_read_with_its_size_and_an_unreadable_one_with_its_reason(tmp_path: Path) -> None:
    good = save(casting(7, (120, 80)), tmp_path / "good.png")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    pictures, unreadable = read_pictures([good, broken])
    assert (pictures[good].width, pictures[good].height) == (120, 80)
    assert list(unreadable) == [broken] and "not an image" in unreadable[broken]
