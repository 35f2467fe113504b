"""How a report looks: page, colours, type; and how foreign text is made safe to print."""

from __future__ import annotations

import unicodedata
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from xml.sax.saxutils import escape

from reportlab.lib.colors import Color, HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Paragraph

PAGE_WIDTH, PAGE_HEIGHT = A4
MARGIN = 16 * mm
FOOTER_HEIGHT = 20 * mm
CONTENT_WIDTH = PAGE_WIDTH - 2 * MARGIN
CONTENT_HEIGHT = PAGE_HEIGHT - MARGIN - FOOTER_HEIGHT

INK = HexColor("#1c2430")
MUTED = HexColor("#5d6773")
RULE = HexColor("#c3c9d1")
PALE = HexColor("#f2f4f7")
ACCENT = HexColor("#31587f")
PERSON = HexColor("#0a63b8")  # boxes that a person drew; the model's are orange
# Dark enough for white letters, and told apart by the word as well: print may be grey.
VERDICT_COLOURS = {
    "accept": HexColor("#1d7044"),
    "review": HexColor("#a65a00"),
    "reject": HexColor("#ad2323"),
    "unknown": HexColor("#4a5361"),
}

LAST_COPYABLE = 0xFFFF  # reportlab writes no usable text for later characters: they could not be searched
REGULAR, BOLD = "Flawsight-Regular", "Flawsight-Bold"


_registering = Lock()


def register_fonts() -> None:
    """Make ``REGULAR`` and ``BOLD`` known to reportlab, once per process, whatever thread comes first."""
    with _registering:
        _register_fonts()


@cache
def _register_fonts() -> None:
    regular, bold = _font_files()
    pdfmetrics.registerFont(TTFont(REGULAR, str(regular)))
    pdfmetrics.registerFont(TTFont(BOLD, str(bold)))
    pdfmetrics.registerFontFamily(REGULAR, normal=REGULAR, bold=BOLD, italic=REGULAR, boldItalic=BOLD)


def _font_files() -> tuple[Path, Path]:
    """DejaVu Sans covers Latin, Greek, Cyrillic, Arabic and more; Vera, its Latin parent, is always there."""
    folders = [Path("/usr/share/fonts/truetype/dejavu")]
    # Looking the package up does not import it: matplotlib would cost half a second.
    spec = find_spec("matplotlib")
    if spec is not None and spec.origin is not None:
        folders.insert(0, Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf")
    for folder in folders:
        pair = folder / "DejaVuSans.ttf", folder / "DejaVuSans-Bold.ttf"
        if all(file.is_file() for file in pair):
            return pair
    return Path("Vera.ttf"), Path("VeraBd.ttf")  # reportlab finds its own fonts by name


def _style(
    name: str, size: float, leading: float, font: str = REGULAR, colour: Color = INK
) -> ParagraphStyle:
    return ParagraphStyle(
        name, fontName=font, fontSize=size, leading=leading, textColor=colour, splitLongWords=True
    )


BODY = _style("body", 8.2, 11)
STRONG = _style("strong", 8.2, 11, BOLD)
LABEL = _style("label", 6.4, 8, colour=MUTED)
FACT = _style("fact", 7.4, 11, colour=MUTED)
DETAIL = _style("detail", 7.2, 9.2)
SMALL = _style("small", 6.8, 9, colour=MUTED)
TITLE = _style("title", 16, 20, BOLD)
HEADING = _style("heading", 9.4, 12, BOLD, ACCENT)
CLASS_TITLE = _style("class", 12.5, 17, BOLD)


def clip(text: str, longest: int) -> str:
    """``text`` in at most ``longest`` characters; the middle goes, since names differ at both ends."""
    if len(text) <= longest:
        return text
    head = (longest - 1) * 2 // 3
    return f"{text[:head]}…{text[head + 1 - longest :]}"


def printable(text: str) -> str:
    """``text`` with every character that cannot be seen or drawn spelled out as ``\\uXXXX``.

    A character without a glyph would print as an empty box, and invisible ones (such as those that
    turn the writing direction) could make one name look like another.
    """
    register_fonts()
    glyphs = pdfmetrics.getFont(REGULAR).face.charToGlyph
    return "".join(
        char
        if ord(char) in glyphs
        and ord(char) <= LAST_COPYABLE
        and not unicodedata.category(char).startswith("C")
        else char.encode("unicode_escape", "surrogatepass").decode("ascii")
        for char in unicodedata.normalize("NFC", text)
    )


def shown(text: object, longest: int = 120) -> str:
    """Foreign text as it may be drawn: printable and short enough."""
    return clip(printable(clip(str(text), longest)), longest)


def safe(text: object, longest: int = 120) -> str:
    """Foreign text for a Paragraph: printable, short enough, its markup disarmed."""
    return escape(shown(text, longest))


def paragraph(markup: str, style: ParagraphStyle = BODY) -> Paragraph:
    """A Paragraph of our own markup; foreign text in it must have gone through ``safe``."""
    register_fonts()
    return Paragraph(markup, style)
