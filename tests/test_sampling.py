"""The sampling plans are those of ISO 2859-1: known plans, the pattern of the tables, the arrows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flawsight.records.sampling import (
    AQLS,
    CODE_LETTERS,
    LARGEST_LOT,
    LETTERS,
    LEVELS,
    LIMITS,
    MASTER_TABLE,
    BadPlan,
    code_letter,
    plan,
)

SIZES = (2, 3, 5, 8, 13, 20, 32, 50, 80, 125, 200, 315, 500, 800, 1250, 2000)


def lot_of(letter: str) -> int:
    """A lot that has this letter at level II, or at level III for R."""
    return next((largest for largest, letters in CODE_LETTERS if letters[1] == letter), LARGEST_LOT)


def level_of(letter: str) -> str:
    return "III" if letter == "R" else "II"


@pytest.mark.parametrize(
    ("size", "level", "letter"),
    [
        (1, "II", "A"), (8, "III", "B"), (9, "I", "A"), (9, "II", "B"), (25, "III", "D"), (51, "I", "C"),
        (90, "II", "E"), (91, "II", "F"), (150, "III", "G"), (280, "II", "G"), (281, "II", "H"),
        (1_200, "II", "J"), (1_201, "II", "K"), (5_000, "II", "L"), (10_000, "I", "J"), (10_001, "III", "N"),
        (500_000, "II", "P"), (500_001, "I", "N"), (500_001, "II", "Q"), (LARGEST_LOT, "III", "R"),
    ],
)  # fmt: skip
def test_size_and_level_give_the_code_letter(size: int, level: str, letter: str) -> None:
    assert code_letter(size, level) == letter


@pytest.mark.parametrize(
    ("letter", "aql", "n", "ac"),
    [
        ("L", "2.5", 200, 10), ("K", "1.0", 125, 3), ("J", "0.65", 80, 1), ("N", "0.15", 500, 2),
        ("A", "6.5", 2, 0), ("D", "10", 8, 2), ("H", "1.5", 50, 2), ("M", "4.0", 315, 21),
        ("Q", "0.010", 1250, 0), ("R", "0.65", 2000, 21),
    ],
)  # fmt: skip
def test_known_plans_come_out(letter: str, aql: str, n: int, ac: int) -> None:
    found = plan(lot_of(letter), level_of(letter), aql)
    assert (found.letter, found.n, found.ac, found.re) == (letter, n, ac, ac + 1)


@pytest.mark.parametrize(
    ("size", "level", "aql", "line", "n", "ac"),
    [
        (8, "II", "10", "C", 5, 1),  # A, down over two lines
        (1_000, "II", "0.25", "H", 50, 0),  # J, up: a smaller sample
        (1_000, "II", "0.40", "K", 125, 1),  # J, down: a larger one
        (5_000, "II", "10", "K", 125, 21),  # L, up
        (1_000_000, "III", "0.010", "Q", 1250, 0),  # R, the last line
        (1_000_000, "III", "0.015", "P", 800, 0),  # R, up over two lines
        (1_000_000, "III", "10", "K", 125, 21),  # R, up over six lines
    ],
)
def test_an_arrow_changes_the_sample_size_too(
    size: int, level: str, aql: str, line: str, n: int, ac: int
) -> None:
    found = plan(size, level, aql)
    assert (found.letter, found.n, found.ac, found.every_part) == (line, n, ac, False)


def test_the_table_follows_the_pattern_of_the_standard() -> None:
    """One AQL step a letter; along a line 0, up, down, 1, 2, 3, 5, 7, 10, 14, 21 with arrows around."""
    series = ["0", "^", "v", "1", "2", "3", "5", "7", "10", "14", "21"]
    lines = [line.split() for line in MASTER_TABLE.strip().splitlines()]
    assert [line[0] for line in lines] == list(LETTERS) == list("ABCDEFGHJKLMNPQR")
    assert tuple(int(line[1]) for line in lines) == SIZES
    for row, (letter, _, *cells) in enumerate(lines):
        zero = len(LETTERS) - 2 - row  # the column of Ac 0; before the first for R
        for column, cell in enumerate(cells):
            place = column - zero
            expected = "v" if place < 0 else series[place] if place < len(series) else "^"
            if letter == "A" and expected == "^":
                expected = "v"  # there is no line above
            if letter == "R" and expected == "v":
                expected = "^"  # there is no line below
            assert cell == expected, (letter, AQLS[column])


@given(size=st.integers(1, LARGEST_LOT), level=st.sampled_from(LEVELS), limit=st.sampled_from(LIMITS))
def test_every_lot_has_a_plan_that_can_be_carried_out(size: int, level: str, limit: str) -> None:
    found = plan(size, level, limit)
    assert 1 <= found.n <= size and found.ac >= 0
    assert found.every_part == (found.n == size)


def test_a_sample_as_large_as_the_lot_means_every_part() -> None:
    small, larger = plan(13, "II", "1.0"), plan(14, "II", "1.0")  # both lead to letter E, n = 13
    assert (small.n, small.every_part) == (13, True)
    assert (larger.n, larger.every_part) == (13, False)


def test_where_none_is_allowed_one_part_rejects_and_the_letter_gives_the_sample() -> None:
    found = plan(5_000, "II", "none")
    assert (found.letter, found.n, found.ac, found.re) == ("L", 200, 0, 1)


@pytest.mark.parametrize(
    ("size", "level", "limit", "message"),
    [
        (0, "II", "1.0", "A lot has 1 to"),
        (LARGEST_LOT + 1, "II", "1.0", "A lot has 1 to"),
        (100, "IV", "1.0", "Choose one of: I, II, III"),
        (100, "II", "1", "no AQL '1'. Choose one of: none, 0.010"),
    ],
)
def test_what_the_tables_lack_is_refused_with_what_they_have(
    size: int, level: str, limit: str, message: str
) -> None:
    with pytest.raises(BadPlan, match=message):
        plan(size, level, limit)
