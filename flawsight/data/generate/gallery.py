"""The pictures of the sample gallery: good and defective parts of each family, under speaking names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flawsight.data.generate.artwork import SIDE, draw_style
from flawsight.data.generate.boards import Board, draw_board
from flawsight.data.generate.textures import draw_texture
from flawsight.data.generate.tiles import draw_tile
from flawsight.data.generate.trees import write_image

Rng = np.random.Generator
Picture = NDArray[np.uint8]
REGION = 160  # side of a board region, pixels: what the model is trained on


def _texture(number: int, defective: bool) -> Callable[[Rng], Picture]:
    return lambda rng: draw_texture(rng, number, defective=defective).image


def _tile(condition: str) -> Callable[[Rng], Picture]:
    return lambda rng: draw_tile(rng, condition, exposure=4).image


def _board(rng: Rng, kinds: list[str]) -> Board:
    """A board with exactly these faults; styles that have no room for them are passed over."""
    while True:
        board = draw_board(rng, draw_style(rng), kinds)
        if len(board.faults) == len(kinds):
            return board


def _region(kind: str) -> Callable[[Rng], Picture]:
    """The surroundings of the only fault of a board."""

    def draw(rng: Rng) -> Picture:
        board = _board(rng, [kind])
        x1, y1, x2, y2 = board.faults[0].box
        left = int(np.clip((x1 + x2) // 2 - REGION // 2 + rng.integers(-25, 26), 0, SIDE - REGION))
        top = int(np.clip((y1 + y2) // 2 - REGION // 2 + rng.integers(-25, 26), 0, SIDE - REGION))
        return np.ascontiguousarray(board.test[top : top + REGION, left : left + REGION])

    return draw


def _whole_board(rng: Rng) -> Picture:
    kinds = ["PCB_open", "PCB_short", "PCB_mousebite", "PCB_spur", "PCB_copper", "PCB_pinhole"]
    return _board(rng, kinds).test


def _good_board(rng: Rng) -> Picture:
    return _board(rng, ["PCB_open"]).template


SAMPLES: dict[str, Callable[[Rng], Picture]] = {
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


def write_samples(out: Path, seed: int = 4) -> list[Path]:
    """Draw the gallery into ``out`` (pictures of the same names are replaced) and return its paths."""
    paths = []
    for index, (name, draw) in enumerate(SAMPLES.items()):
        path = out / name
        write_image(path, draw(np.random.default_rng([seed, index])))
        paths.append(path)
    return paths
