"""The pictures of the sample gallery: good and defective parts of each family, under speaking names.

Beside them, under ``truth``, lies a mask for each that has a defect: white is where it was drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flawsight.data.generate.artwork import SIDE, draw_style
from flawsight.data.generate.boards import Board, Fault, draw_board
from flawsight.data.generate.textures import draw_texture
from flawsight.data.generate.tiles import draw_tile
from flawsight.data.generate.trees import write_image

Rng = np.random.Generator
Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]
REGION = 160  # side of a board region, pixels: what the model is trained on
TRUTH = "truth"  # folder of the masks


def _texture(number: int, defective: bool) -> Callable[[Rng], tuple[Picture, Mask]]:
    def draw(rng: Rng) -> tuple[Picture, Mask]:
        drawn = draw_texture(rng, number, defective=defective)
        return drawn.image, drawn.mask

    return draw


def _tile(condition: str) -> Callable[[Rng], tuple[Picture, Mask]]:
    def draw(rng: Rng) -> tuple[Picture, Mask]:
        drawn = draw_tile(rng, condition, exposure=4)
        return drawn.image, drawn.mask

    return draw


def _board(rng: Rng, kinds: list[str]) -> Board:
    """A board with exactly these faults; styles that have no room for them are passed over."""
    while True:
        board = draw_board(rng, draw_style(rng), kinds)
        if len(board.faults) == len(kinds):
            return board


def _boxed(faults: tuple[Fault, ...], shape: tuple[int, ...]) -> Mask:
    """Of a board's fault only the box around it is known."""
    mask = np.zeros(shape[:2], bool)
    for fault in faults:
        x1, y1, x2, y2 = fault.box
        mask[y1:y2, x1:x2] = True
    return mask


def _region(kind: str) -> Callable[[Rng], tuple[Picture, Mask]]:
    """The surroundings of the only fault of a board."""

    def draw(rng: Rng) -> tuple[Picture, Mask]:
        board = _board(rng, [kind])
        x1, y1, x2, y2 = board.faults[0].box
        left = int(np.clip((x1 + x2) // 2 - REGION // 2 + rng.integers(-25, 26), 0, SIDE - REGION))
        top = int(np.clip((y1 + y2) // 2 - REGION // 2 + rng.integers(-25, 26), 0, SIDE - REGION))
        window = np.s_[top : top + REGION, left : left + REGION]
        mask = _boxed(board.faults, board.test.shape)
        return np.ascontiguousarray(board.test[window]), np.ascontiguousarray(mask[window])

    return draw


def _whole_board(rng: Rng) -> tuple[Picture, Mask]:
    kinds = ["PCB_open", "PCB_short", "PCB_mousebite", "PCB_spur", "PCB_copper", "PCB_pinhole"]
    board = _board(rng, kinds)
    return board.test, _boxed(board.faults, board.test.shape)


def _good_board(rng: Rng) -> tuple[Picture, Mask]:
    template = _board(rng, ["PCB_open"]).template
    return template, np.zeros(template.shape[:2], bool)


SAMPLES: dict[str, Callable[[Rng], tuple[Picture, Mask]]] = {
    "texture_good_class1.png": _texture(1, False),
    "texture_defect_class1.png": _texture(1, True),
    "texture_good_class8.png": _texture(8, False),
    "texture_defect_class8.png": _texture(8, True),
    "texture_defect_class4.png": _texture(4, True),
    "tile_good.jpg": _tile("MT_Free"),
    "tile_blowhole.jpg": _tile("MT_Blowhole"),
    "tile_crack.jpg": _tile("MT_Crack"),
    "tile_uneven.jpg": _tile("MT_Uneven"),
    "board_good.png": _good_board,
    "board_six_defects.png": _whole_board,
    "board_region_open.png": _region("PCB_open"),
    "board_region_short.png": _region("PCB_short"),
}


def write_samples(out: Path, seed: int = 0) -> list[Path]:
    """Draw the gallery into ``out`` (pictures of the same names are replaced) and return its paths."""
    paths = []
    for index, (name, draw) in enumerate(SAMPLES.items()):
        path = out / name
        picture, mask = draw(np.random.default_rng([seed, index]))
        write_image(path, picture)
        if mask.any():
            write_image(out / TRUTH / f"{path.stem}.png", mask.astype(np.uint8) * np.uint8(255))
        paths.append(path)
    return paths
