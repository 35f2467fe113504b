"""Single sampling plans for normal inspection, as ISO 2859-1 and ANSI/ASQ Z1.4 tabulate them.

A lot's size and the inspection level give a code letter (table 1); letter and acceptance quality limit
(AQL) give the sample size n, the acceptance number Ac and the rejection number Re = Ac + 1 (table 2-A).
The lot is accepted if at most Ac of the n parts are nonconforming, else rejected.

Parts are counted, not flaws on a part, so that the tables end at AQL 10: higher ones are for flaws per
hundred parts only.
"""

from __future__ import annotations

from dataclasses import dataclass

from flawsight.errors import FlawsightError
from flawsight.i18n import Figure

LEVELS = ("I", "II", "III")  # general inspection levels; II is the usual one
LARGEST_LOT = 100_000_000  # parts; what is larger is a slip of the finger

# Table 1: up to this lot size, the letter for the levels I, II, III; the last line has no end.
CODE_LETTERS = (
    (8, "AAB"),
    (15, "ABC"),
    (25, "BCD"),
    (50, "CDE"),
    (90, "CEF"),
    (150, "DFG"),
    (280, "EGH"),
    (500, "FHJ"),
    (1_200, "GJK"),
    (3_200, "HKL"),
    (10_000, "JLM"),
    (35_000, "KMN"),
    (150_000, "LNP"),
    (500_000, "MPQ"),
    (LARGEST_LOT, "NQR"),
)

# Table 2-A: code letter, sample size, and Ac for each AQL. An arrow leads to the next line that has a
# number in the same column, down (v) or up (^), and that line's sample size goes with it.
AQLS = (
    "0.010", "0.015", "0.025", "0.040", "0.065", "0.10", "0.15", "0.25",
    "0.40", "0.65", "1.0", "1.5", "2.5", "4.0", "6.5", "10",
)  # fmt: skip
MASTER_TABLE = """
A    2   v   v   v   v   v   v   v   v   v   v   v   v   v   v   0   v
B    3   v   v   v   v   v   v   v   v   v   v   v   v   v   0   ^   v
C    5   v   v   v   v   v   v   v   v   v   v   v   v   0   ^   v   1
D    8   v   v   v   v   v   v   v   v   v   v   v   0   ^   v   1   2
E   13   v   v   v   v   v   v   v   v   v   v   0   ^   v   1   2   3
F   20   v   v   v   v   v   v   v   v   v   0   ^   v   1   2   3   5
G   32   v   v   v   v   v   v   v   v   0   ^   v   1   2   3   5   7
H   50   v   v   v   v   v   v   v   0   ^   v   1   2   3   5   7  10
J   80   v   v   v   v   v   v   0   ^   v   1   2   3   5   7  10  14
K  125   v   v   v   v   v   0   ^   v   1   2   3   5   7  10  14  21
L  200   v   v   v   v   0   ^   v   1   2   3   5   7  10  14  21   ^
M  315   v   v   v   0   ^   v   1   2   3   5   7  10  14  21   ^   ^
N  500   v   v   0   ^   v   1   2   3   5   7  10  14  21   ^   ^   ^
P  800   v   0   ^   v   1   2   3   5   7  10  14  21   ^   ^   ^   ^
Q 1250   0   ^   v   1   2   3   5   7  10  14  21   ^   ^   ^   ^   ^
R 2000   ^   ^   1   2   3   5   7  10  14  21   ^   ^   ^   ^   ^   ^
"""
_LINES = tuple(
    (letter, int(size), tuple(cells))
    for letter, size, *cells in (line.split() for line in MASTER_TABLE.strip().splitlines())
)
LETTERS = "".join(letter for letter, _, _ in _LINES)

NONE_ALLOWED = "none"  # in place of an AQL: one such part rejects. The standard has no AQL of 0.
LIMITS = (NONE_ALLOWED, *AQLS)


class BadPlan(FlawsightError):
    """No sampling plan belongs to these values."""

    code = "bad_plan"
    status = 400


@dataclass(frozen=True)
class Plan:
    """A single sampling plan.

    Attributes:
        limit: the AQL as the tables write it, or ``NONE_ALLOWED``.
        letter: of the line that holds, which an arrow may have led to.
        n: parts to inspect; all of the lot if that has no more.
        ac: a lot with at most so many nonconforming parts in the sample is accepted.
    """

    limit: str
    letter: str
    n: int
    ac: int
    every_part: bool

    @property
    def re(self) -> int:
        """A lot with at least so many nonconforming parts in the sample is rejected."""
        return self.ac + 1


def code_letter(size: int, level: str) -> str:
    """The letter of table 1 for a lot of ``size`` parts.

    Raises:
        BadPlan: there is no such lot or level; the message says what there is.
    """
    if level not in LEVELS:
        raise BadPlan(
            "There is no general inspection level '%(level)s'. Choose one of: %(levels)s.",
            level=level,
            levels=", ".join(LEVELS),
        )
    if not 1 <= size <= LARGEST_LOT:
        raise BadPlan(
            "A lot has 1 to %(most)s parts, not %(size)s.", most=Figure(LARGEST_LOT), size=Figure(size)
        )
    letters = next(letters for largest, letters in CODE_LETTERS if size <= largest)
    return letters[LEVELS.index(level)]


def plan(size: int, level: str, limit: str) -> Plan:
    """The plan for a lot of ``size`` parts at inspection ``level`` and AQL ``limit``.

    Raises:
        BadPlan: the tables have no such lot, level or AQL; the message says what there is.
    """
    letter = code_letter(size, level)
    if limit == NONE_ALLOWED:
        n, ac = _LINES[LETTERS.index(letter)][1], 0
    elif limit in AQLS:
        letter, n, ac = _line(letter, AQLS.index(limit))
    else:
        raise BadPlan(
            "The tables have no AQL '%(limit)s'. Choose one of: %(limits)s.",
            limit=limit,
            limits=", ".join(LIMITS),
        )
    return Plan(limit, letter, min(n, size), ac, every_part=n >= size)


def _line(letter: str, column: int) -> tuple[str, int, int]:
    """Letter, sample size and Ac, once the arrows are followed."""
    at = LETTERS.index(letter)
    while (cell := _LINES[at][2][column]) in "v^":
        at += 1 if cell == "v" else -1
    return _LINES[at][0], _LINES[at][1], int(cell)
