"""Photos of good parts with a flaw planted into them: more flaws, and in more places, than were photographed.

Only training images give and take, so nothing crosses into validation or test. Tiles get a real flaw that
is cut from another tile along its mask and a drawn one, by turns: a burst is one piece, so few shapes of each
flaw were photographed. Boards get drawn faults in their own artwork, which looks like the real ones since a
board's scan is black and white. The pictures stay on disk, for people to look at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from flawsight.atomic import write_text
from flawsight.data.adapters import deeppcb, magnetic_tile
from flawsight.data.generate.artwork import SHAPE, Artwork
from flawsight.data.generate.boards import Fault, choose_kinds, edge_and_normal, plant
from flawsight.data.generate.brushes import Grey, Mask, smooth_noise
from flawsight.data.generate.tiles import draw_onto
from flawsight.data.samples import IMPLANTED, Sample
from flawsight.imaging import encode_jpeg, encode_png, read_image
from flawsight.taxonomy import describe

Rng = np.random.Generator

# Flaws that lie anywhere on a tile, and those of its rim, which stay where they were cut out.
ANYWHERE, AT_THE_RIM = ("MT_Blowhole", "MT_Crack"), ("MT_Break", "MT_Fray")
_MARGIN = 8  # pixels around a flaw that show what it lies on
_LARGEST = 0.5  # of the tile's height or width; a larger flaw is the tile
_RUNS = 40  # pieces of track offered to an open circuit


def implant(
    train: Sequence[Sample], folder: Path, seed: int, copies: int, progress: Callable[[str], None]
) -> list[Sample]:
    """``copies`` pictures of each good training tile and board with flaws planted into them.

    They are written below ``folder`` in the layout of their family, or only read again if a run with the
    same samples has done so.
    """
    done = folder / "complete"
    if not done.is_file():
        tiles = _implant_tiles(train, folder / "tiles", seed, copies)
        boards = _implant_boards(train, folder / "boards", seed, copies)
        progress(f"Planted flaws into {tiles} pictures of good tiles and {boards} of good boards: {folder}")
        write_text(done, f"{tiles} tiles, {boards} boards\n")
    found: list[Sample] = []
    if (folder / "tiles").is_dir():
        found += magnetic_tile.samples(folder / "tiles")
    if (folder / "boards").is_dir():
        found += deeppcb.samples(folder / "boards")
    return [
        replace(s, dataset=f"{s.dataset} {IMPLANTED}", group=f"implanted/{s.group}")
        for s in found
        if describe(s.class_id).is_defect
    ]


def _implant_tiles(train: Sequence[Sample], folder: Path, seed: int, copies: int) -> int:
    tiles = [s for s in train if s.dataset == magnetic_tile.DATASET]
    good = [s for s in tiles if not describe(s.class_id).is_defect]
    donors = {
        name: [s for s in tiles if s.class_id == name and s.mask is not None]
        for name in ANYWHERE + AT_THE_RIM
    }
    classes = [name for name, samples in donors.items() if samples]
    if not classes:
        return 0
    count = 0
    for number, sample in enumerate(good):
        grey = _grey(sample.path)
        for copy in range(copies):
            rng = np.random.default_rng([seed, number, copy])
            name = classes[int(rng.integers(len(classes)))]
            if copy % 2:
                drawn = draw_onto(rng, grey, name)
                image, mask = drawn.image, drawn.mask
            else:
                donor = donors[name][int(rng.integers(len(donors[name])))]
                assert donor.mask is not None
                pasted = paste(rng, grey, _grey(donor.path), _grey(donor.mask) > 127, name in AT_THE_RIM)
                if pasted is None:
                    continue
                image, mask = pasted
            stem = folder / name / "Imgs" / f"exp{copy + 1}_num_{number}"
            _write(stem.with_suffix(".jpg"), encode_jpeg(np.repeat(image[..., None], 3, axis=2), 95))
            _write(stem.with_suffix(".png"), encode_png(mask.astype(np.uint8) * 255))
            count += 1
    return count


def paste(rng: Rng, good: Grey, donor: Grey, flaw: Mask, keep_place: bool) -> tuple[Grey, Mask] | None:
    """``good`` with the ``flaw`` of ``donor`` and its mask; ``None`` where it is too large for the picture.

    The flaw keeps its contrast to what surrounds it, in units of its picture's standard deviation.

    Args:
        good: (H, W).
        donor: (H', W').
        flaw: (H', W') where the donor is flawed.
        keep_place: whether the flaw stays at its place on the part, as at a rim.
    """
    rows, columns = np.flatnonzero(flaw.any(1)), np.flatnonzero(flaw.any(0))
    if rows.size == 0:
        return None
    top, left = max(0, rows[0] - _MARGIN), max(0, columns[0] - _MARGIN)
    patch = donor[top : rows[-1] + _MARGIN, left : columns[-1] + _MARGIN].astype(np.float32)
    mask = flaw[top : rows[-1] + _MARGIN, left : columns[-1] + _MARGIN]
    if not keep_place:
        turns = int(rng.integers(4))
        patch, mask = np.rot90(patch, turns), np.rot90(mask, turns)
        if rng.random() < 0.5:
            patch, mask = patch[:, ::-1], mask[:, ::-1]
        factor = float(rng.uniform(0.75, 1.3))
        size = max(3, round(mask.shape[1] * factor)), max(3, round(mask.shape[0] * factor))
        patch = np.asarray(cv2.resize(np.ascontiguousarray(patch), size, interpolation=cv2.INTER_AREA))
        mask = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.3
    high, wide = mask.shape
    if high > _LARGEST * good.shape[0] or wide > _LARGEST * good.shape[1] or not mask.any():
        return None
    if keep_place:
        y = round(top / donor.shape[0] * good.shape[0])
        x = round(left / donor.shape[1] * good.shape[1])
        y, x = min(y, good.shape[0] - high), min(x, good.shape[1] - wide)
    else:
        y, x = int(rng.integers(good.shape[0] - high + 1)), int(rng.integers(good.shape[1] - wide + 1))
    around = patch[~mask]
    if around.size == 0:
        return None
    contrast = float(np.clip(good.std() / max(1.0, float(donor.std())), 0.6, 1.6) * rng.uniform(0.8, 1.25))
    place = np.s_[y : y + high, x : x + wide]
    ground = good[place].astype(np.float32)
    level = np.asarray(cv2.GaussianBlur(ground, (0, 0), 4))  # what lies there, without its grain
    grown = cv2.dilate(np.ascontiguousarray(mask, np.float32), np.ones((3, 3), np.float32))
    share = np.asarray(cv2.GaussianBlur(grown, (0, 0), 1.0))
    mixed = ground * (1 - share) + share * (level + contrast * (patch - np.median(around)))
    image, truth = good.copy(), np.zeros(good.shape, bool)
    image[place] = np.clip(mixed.round(), 0, 255).astype(np.uint8)
    truth[place] = mask
    return image, truth


def _implant_boards(train: Sequence[Sample], folder: Path, seed: int, copies: int) -> int:
    templates = sorted(
        {s.path for s in train if s.dataset == deeppcb.DATASET and not describe(s.class_id).is_defect}
    )
    count = 0
    for number, path in enumerate(templates):
        template = _grey(path)
        if template.shape != SHAPE:
            continue
        for copy in range(copies):
            rng = np.random.default_rng([seed, number, copy])
            board, faults = plant_faults(rng, template)
            if faults:
                _write_board(folder, f"{number:05}{copy:03}", board, template, faults)
                count += 1
    return count


def plant_faults(rng: Rng, template: Grey) -> tuple[Grey, tuple[Fault, ...]]:
    """A tested board (640, 640) made of its real template, and the faults drawn into it."""
    copper = template < 128
    art = Artwork(copper.copy(), runs=list(_runs(rng, copper)))
    after, faults = plant(rng, art, choose_kinds(rng))
    board = template.copy()
    for change, value in ((after & ~copper, 0), (copper & ~after, 255)):
        # A scanner leaves ragged edges, a brush does not.
        soft = cv2.GaussianBlur(change.astype(np.float32), (0, 0), 1.0)
        board[(soft > 0.05) & (soft + 0.15 * smooth_noise(rng, SHAPE, 0.7, 0.7) > 0.5)] = value
    return board, faults


def _runs(rng: Rng, copper: Mask) -> Iterable[tuple[float, float, float, float, float]]:
    """Short pieces of track (x1, y1, x2, y2, width): where two edges face each other along a way."""
    letters = np.zeros(SHAPE, bool)
    for _ in range(_RUNS * 4):
        found = edge_and_normal(rng, copper, letters)
        if found is None:
            continue
        x, y, heading = found
        inward = np.array([-np.cos(heading), -np.sin(heading)])
        width = _reach(copper, (x, y), inward, 45)
        if not 5 <= width <= 40:
            continue
        middle = np.array([x, y]) + inward * width / 2
        along = np.array([-inward[1], inward[0]])
        half = 18.0
        if min(_reach(copper, middle, along, 30), _reach(copper, middle, -along, 30)) < half:
            continue
        x1, y1 = middle - along * half
        x2, y2 = middle + along * half
        yield float(x1), float(y1), float(x2), float(y2), float(width)


def _reach(
    copper: Mask, start: tuple[int, int] | NDArray[np.float64], step: NDArray[np.float64], most: int
) -> int:
    """How many steps of one pixel from ``start`` (x, y) stay on copper."""
    for n in range(1, most + 1):
        x, y = (int(v) for v in np.round(np.asarray(start) + n * step))
        if not (0 <= x < copper.shape[1] and 0 <= y < copper.shape[0] and copper[y, x]):
            return n - 1
    return most


def _write_board(folder: Path, name: str, board: Grey, template: Grey, faults: tuple[Fault, ...]) -> None:
    group = folder / "group00000"
    for kind, grey in (("test", board), ("temp", template)):
        pixels = np.repeat(grey[..., None], 3, axis=2)
        _write(group / "00000" / f"{name}_{kind}.jpg", encode_jpeg(pixels, 95))
    lines = (" ".join(map(str, (*fault.box, fault.type_number))) for fault in faults)
    _write(group / "00000_not" / f"{name}.txt", ("\n".join(lines) + "\n").encode())


def _grey(path: Path) -> Grey:
    return np.ascontiguousarray(read_image(path)[..., 0])


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
