"""The synthetic generator: three product families drawn with their defects, masks and boxes.

It feeds the sample gallery, the tests and the demonstration training; no image is copied from anywhere.
"""

from flawsight.data.generate.artwork import Style, draw_style
from flawsight.data.generate.boards import Board, Fault, draw_board
from flawsight.data.generate.brushes import Drawn
from flawsight.data.generate.foreign import draw_foreign
from flawsight.data.generate.gallery import write_samples
from flawsight.data.generate.textures import draw_texture
from flawsight.data.generate.tiles import draw_tile
from flawsight.data.generate.trees import generate

__all__ = [
    "Board",
    "Drawn",
    "Fault",
    "Style",
    "draw_board",
    "draw_foreign",
    "draw_style",
    "draw_texture",
    "draw_tile",
    "generate",
    "write_samples",
]
