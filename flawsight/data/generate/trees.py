"""Writes the generated images in the folder layouts of the real publishers.

Every image has a generator of its own, ``default_rng([seed, family, class, index])``: the bytes depend on the
seed and on nothing else, neither on the number of workers nor on how many other images are drawn.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from flawsight.atomic import write_text
from flawsight.data.generate.artwork import draw_style
from flawsight.data.generate.boards import draw_board
from flawsight.data.generate.textures import TEXTURES, draw_texture
from flawsight.data.generate.tiles import CONDITIONS, draw_tile
from flawsight.data.samples import GENERATED_MARK
from flawsight.errors import DataError

Progress = Callable[[int, int], None]
Job = Callable[[], dict[str, int]]  # draws and writes one item, returns what it added to the counts

DAGM, TILES, BOARDS, NUMBERING = range(4)  # family part of an image's seed
FOLDERS = ("DAGM", "Magnetic-Tile-Defect", "DeepPCB")
BOARDS_PER_GROUP = 4
JPEG_QUALITY = 95


def generate(
    out: Path, per_class: int, seed: int, progress: Progress | None = None, workers: int | None = None
) -> dict[str, int]:
    """Draw all three families under ``out`` in their real layouts.

    ``per_class`` defective and as many good images of each texture, ``per_class`` tiles of each condition,
    ``per_class`` boards with their templates. ``progress`` is called with (done, total) after each item.

    Returns:
        How many were written by class id: images for DAGM and tiles, faults for boards, templates for
        ``PCB_Free``.

    Raises:
        DataError: ``per_class`` is below 1, or ``out`` already holds one of the families.
    """
    if per_class < 1:
        raise DataError(f"--per-class is {per_class}; give 1 or more.")
    present = [name for name in FOLDERS if (out / name).exists()]
    if present:
        raise DataError(
            f"{out} already holds {', '.join(present)}. Name an empty folder, or delete these first, "
            "so that old and new images do not mix."
        )
    jobs = [
        *_texture_jobs(out, per_class, seed),
        *_tile_jobs(out, per_class, seed),
        *_board_jobs(out, per_class, seed),
    ]
    # First of all, so that drawn images are never taken for real ones, not even by halves.
    write_text(out / GENERATED_MARK, json.dumps({"per_class": per_class, "seed": seed}))
    counts: Counter[str] = Counter()
    # Threads are enough: NumPy and OpenCV release the interpreter while they draw.
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        for done, added in enumerate(pool.map(lambda job: job(), jobs), start=1):
            counts.update(added)
            if progress is not None:
                progress(done, len(jobs))
    _write_board_lists(out, per_class, seed)
    return dict(sorted(counts.items()))


def write_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Write a grey (H, W) or RGB (H, W, 3) picture; the ending of ``path`` decides the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    suffix = path.suffix.lower()
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if suffix == ".jpg" else []
    ok, data = cv2.imencode(suffix, pixels, options)
    if not ok:
        raise DataError(f"{path} could not be encoded as {suffix}; use .png or .jpg.")
    path.write_bytes(data.tobytes())


def _as_picture(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return mask.astype(np.uint8) * np.uint8(255)


# --- DAGM ----------------------------------------------------------------------------------------


def _texture_jobs(out: Path, per_class: int, seed: int) -> Iterator[Job]:
    for number in TEXTURES:
        # Shuffled, so that an image's number says nothing about what it shows.
        names = np.random.default_rng([seed, NUMBERING, DAGM, number]).permutation(2 * per_class) + 1
        for index in range(2 * per_class):
            yield partial(_write_texture, out, number, index, int(names[index]), seed)


def _write_texture(out: Path, number: int, index: int, name: int, seed: int) -> dict[str, int]:
    """Even indices are defective; of each kind every second goes to Test."""
    defective = index % 2 == 0
    drawn = draw_texture(np.random.default_rng([seed, DAGM, number, index]), number, defective=defective)
    folder = out / "DAGM" / f"Class{number}" / ("Test" if index // 2 % 2 else "Train")
    write_image(folder / f"{name:04d}.PNG", drawn.image)
    if defective:
        write_image(folder / "Label" / f"{name:04d}_label.PNG", _as_picture(drawn.mask))
    return {f"DAGM_Class{number}" if defective else "DAGM_Free": 1}


# --- Magnetic Tile -------------------------------------------------------------------------------


def _tile_jobs(out: Path, per_class: int, seed: int) -> Iterator[Job]:
    # Numbers of two tiles lie more than 100 apart, those of one burst are consecutive, as in the real set.
    starts = (
        np.random.default_rng([seed, NUMBERING, TILES]).permutation(len(CONDITIONS) * per_class) + 1
    ) * 137
    for kind, condition in enumerate(CONDITIONS):
        for index in range(per_class):
            first = index - 1 if index % 6 == 5 else index  # one tile in six is photographed twice
            start = int(starts[kind * per_class + first])
            yield partial(_write_tile, out, condition, kind, index, first, start, seed)


def _write_tile(
    out: Path, condition: str, kind: int, index: int, first: int, start: int, seed: int
) -> dict[str, int]:
    exposure = int(np.random.default_rng([seed, TILES, kind, first, 1]).integers(1, 6)) + index - first
    drawn = draw_tile(np.random.default_rng([seed, TILES, kind, first]), condition, exposure)
    stem = out / "Magnetic-Tile-Defect" / condition / "Imgs" / f"exp{exposure}_num_{start + index - first}"
    write_image(stem.with_suffix(".jpg"), drawn.image)
    write_image(stem.with_suffix(".png"), _as_picture(drawn.mask))
    return {condition: 1}


# --- DeepPCB -------------------------------------------------------------------------------------


def _board_name(index: int, seed: int) -> tuple[str, str]:
    """(group, name) of a board: five digits, and the group's digits with three more."""
    group = index // BOARDS_PER_GROUP
    start = int(np.random.default_rng([seed, NUMBERING, BOARDS]).integers(0, 97))
    digits = f"{(10000 + 97 * group + start) % 100000:05d}"
    return digits, f"{digits}{(index % BOARDS_PER_GROUP) * 11 + 3:03d}"


def _board_jobs(out: Path, per_class: int, seed: int) -> Iterator[Job]:
    for index in range(per_class):
        yield partial(_write_board, out, index, seed)


def _write_board(out: Path, index: int, seed: int) -> dict[str, int]:
    style = draw_style(np.random.default_rng([seed, BOARDS, 0, index // BOARDS_PER_GROUP]))
    board = draw_board(np.random.default_rng([seed, BOARDS, 1, index]), style)
    group, name = _board_name(index, seed)
    folder = out / "DeepPCB" / "PCBData" / f"group{group}"
    write_image(folder / group / f"{name}_test.jpg", board.test)
    write_image(folder / group / f"{name}_temp.jpg", board.template)
    lines = "".join(f"{' '.join(map(str, fault.box))} {fault.type_number}\n" for fault in board.faults)
    boxes = folder / f"{group}_not" / f"{name}.txt"
    boxes.parent.mkdir(parents=True, exist_ok=True)
    boxes.write_text(lines, encoding="ascii")
    return {"PCB_Free": 1} | Counter(fault.class_id for fault in board.faults)


def _write_board_lists(out: Path, per_class: int, seed: int) -> None:
    """``trainval.txt`` and ``test.txt``, two boards to one, as the publisher divides them."""
    lists: dict[str, list[str]] = {"trainval.txt": [], "test.txt": []}
    for index in range(per_class):
        group, name = _board_name(index, seed)
        line = f"group{group}/{group}/{name}.jpg group{group}/{group}_not/{name}.txt\n"
        lists["test.txt" if index % 3 == 2 else "trainval.txt"].append(line)
    for file, lines in lists.items():
        (out / "DeepPCB" / "PCBData" / file).write_text("".join(lines), encoding="ascii")
