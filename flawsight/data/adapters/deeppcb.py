"""DeepPCB: ``PCBData/groupG/G/NAME_test.jpg`` beside ``NAME_temp.jpg``, boxes in ``G_not/NAME.txt``.

Tang, He, Huang, Yang, "Online PCB defect detector on a new PCB defect dataset", arXiv 1902.06197.

A sample is a 160 x 160 region around defects of one type only, moved about so that the defect is
not always in the middle; regions of the defect-free template are ``PCB_Free``.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flawsight.data.adapters.listing import folders_in, wrong_layout
from flawsight.data.samples import LabelledBox, Sample
from flawsight.errors import DataError

DATASET = "DeepPCB"
TYPES = {1: "PCB_open", 2: "PCB_short", 3: "PCB_mousebite", 4: "PCB_spur", 5: "PCB_copper", 6: "PCB_pinhole"}
REGION = 160  # pixels
BOARD = 640  # pixels
FREE_REGIONS = 4  # template regions taken from one board
_TRIES = 24


@dataclass(frozen=True)
class Board:
    """One tested board, its template and its defects."""

    test: Path
    template: Path
    group: str
    boxes: tuple[LabelledBox, ...]


def find(root: Path) -> Path | None:
    """The folder that holds ``groupNNNNN``: ``DeepPCB/PCBData``, ``PCBData`` or ``root`` itself."""
    for place in (root / "DeepPCB" / "PCBData", root / "PCBData", root):
        if place.is_dir() and any(p.name.startswith("group") for p in folders_in(place)):
            return place
    return root / "DeepPCB" if (root / "DeepPCB").is_dir() else None


def boards(folder: Path) -> list[Board]:
    """All boards below ``folder``, by name.

    Raises:
        DataError: no ``groupNNNNN``, a board without template or boxes, or an unreadable box line.
    """
    groups = [p for p in folders_in(folder) if p.name.startswith("group")]
    if not groups:
        raise wrong_layout(folder, "folders groupNNNNN (the PCBData folder)")
    found = []
    for group in groups:
        number = group.name.removeprefix("group")
        tests = sorted((group / number).glob("*_test.jpg")) if (group / number).is_dir() else []
        if not tests:
            raise wrong_layout(group, f"{number}/NAME_test.jpg with NAME_temp.jpg, and {number}_not/NAME.txt")
        for test in tests:
            name = test.name.removesuffix("_test.jpg")
            template = test.with_name(f"{name}_temp.jpg")
            notes = group / f"{number}_not" / f"{name}.txt"
            for needed in (template, notes):
                if not needed.is_file():
                    raise DataError(f"{test}: expected {needed} beside it; it is missing.")
            found.append(Board(test, template, f"PCB/{group.name}", read_boxes(notes)))
    return found


def read_boxes(notes: Path) -> tuple[LabelledBox, ...]:
    """Boxes of one board from lines ``x1 y1 x2 y2 type``.

    Raises:
        DataError: a line has another form; the message names file and line.
    """
    boxes = []
    for number, line in enumerate(notes.read_text().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            x1, y1, x2, y2, kind = (int(part) for part in line.replace(",", " ").split())
            if not (0 <= x1 < x2 and 0 <= y1 < y2):
                raise ValueError("the corners are swapped or outside")
            boxes.append(LabelledBox(x1, y1, x2, y2, TYPES[kind]))
        except (ValueError, KeyError):
            raise DataError(
                f"{notes}, line {number}: expected `x1 y1 x2 y2 type` with x1 < x2, y1 < y2 "
                f"and type 1 to 6; found {line!r}."
            ) from None
    return tuple(boxes)


def samples(folder: Path) -> list[Sample]:
    """Regions with one type of defect, and template regions; the same ones in every run."""
    return [sample for board in boards(folder) for sample in _regions(board)]


def _regions(board: Board) -> list[Sample]:
    rng = np.random.default_rng(zlib.crc32(board.test.name.encode()))
    found = []
    for box in board.boxes:
        region = _region_around(box, board.boxes, rng)
        if region is not None:
            found.append(
                Sample(
                    board.test, box.class_id, DATASET, board.group, region, None, board.boxes,
                    template=board.template,
                )
            )  # fmt: skip
    corners = rng.integers(0, BOARD - REGION + 1, size=(FREE_REGIONS, 2))
    free = [(int(x), int(y), int(x) + REGION, int(y) + REGION) for x, y in corners]
    # Half of the good regions lie where this board's test image has a defect: same artwork, no flaw.
    taken = [sample.region for sample in found if sample.region is not None][: FREE_REGIONS // 2]
    free[: len(taken)] = taken
    found += [Sample(board.template, "PCB_Free", DATASET, board.group, region) for region in free]
    return found


def _region_around(
    box: LabelledBox, others: tuple[LabelledBox, ...], rng: np.random.Generator
) -> tuple[int, int, int, int] | None:
    """A region that holds ``box`` whole and touches no box of another type; ``None`` if there is none."""
    if max(box.x2, box.y2) > BOARD or max(box.x2 - box.x1, box.y2 - box.y1) > REGION:
        return None
    for _ in range(_TRIES):
        x = int(rng.integers(max(0, box.x2 - REGION), min(box.x1, BOARD - REGION) + 1))
        y = int(rng.integers(max(0, box.y2 - REGION), min(box.y1, BOARD - REGION) + 1))
        touched = {
            other.class_id
            for other in others
            if other.x1 < x + REGION and other.x2 > x and other.y1 < y + REGION and other.y2 > y
        }
        if touched == {box.class_id}:
            return x, y, x + REGION, y + REGION
    return None
