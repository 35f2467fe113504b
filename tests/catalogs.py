"""The texts to be translated, as they stand in the code now. Run it to bring the catalogs up to date.

    python tests/catalogs.py

New texts then stand in ``flawsight/translations/*/LC_MESSAGES/messages.po`` without a translation; what
is translated there is compiled beside it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

import flawsight.web  # noqa: F401 - so that every error of a page is known below
from flawsight.errors import FlawsightError
from flawsight.i18n import ENGLISH, FOLDER, LANGUAGES
from flawsight.settings import PROJECT_ROOT

PLAIN_WORDS = ("Undecided", "Nonconforming", "Rejected", "Critical", "Major", "Disposition", "Rationale")
TRANSLATED = tuple(language for language in LANGUAGES if language != ENGLISH)


def catalog_file(language: str) -> Path:
    return FOLDER / language / "LC_MESSAGES" / "messages.po"


def fresh() -> Catalog:
    """Every text marked in the code; the first argument of an error is one by being said by it."""
    keywords = {
        **DEFAULT_KEYWORDS,
        "marked": None,
        **{kind.__name__: None for kind in _below(FlawsightError)},
    }
    with (PROJECT_ROOT / "babel.cfg").open(encoding="utf-8") as file:
        methods, options = parse_mapping_cfg(file)
    catalog = Catalog(project="Flawsight", charset="utf-8")
    for folder in ("flawsight", "templates"):
        found = extract_from_dir(
            PROJECT_ROOT / folder,
            [(pattern.removeprefix(f"{folder}/"), method) for pattern, method in methods],
            options,
            keywords,
        )
        for name, line, message, comments, context in found:
            place = [(f"{folder}/{name}", line)]
            catalog.add(message, None, place, auto_comments=comments, context=context)
    for file in sorted((PROJECT_ROOT / "flawsight").rglob("*.py")):
        for hidden in _in_f_strings(file):
            catalog.add(hidden, None, [(file.relative_to(PROJECT_ROOT).as_posix(), 1)])
    return catalog


def marked_in(code: ast.AST) -> Iterator[str | tuple[str, str]]:
    """The texts that ``code`` marks by calls."""
    for node in ast.walk(code):
        match node:
            case ast.Call(ast.Name("_" | "marked"), [ast.Constant(str() as text), *_]):
                yield text
            case ast.Call(ast.Name("ngettext"), [ast.Constant(one), ast.Constant(many), *_]):
                yield one, many


def _in_f_strings(file: Path) -> Iterator[str | tuple[str, str]]:
    """What Babel overlooks: before Python 3.12 an f-string is a single word to it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            yield from marked_in(node)


def read(language: str) -> Catalog:
    path = catalog_file(language)
    if not path.is_file():
        return Catalog(locale=language, project="Flawsight", charset="utf-8")
    with path.open("rb") as file:
        return read_po(file, locale=language)


def english_in(text: str, language: str) -> list[str]:
    """English texts that ``text``, said in ``language``, still holds; single words may be names."""
    return [
        message.id
        for message in read(language)
        if isinstance(message.id, str)
        and (len(message.id.split()) > 1 or message.id in PLAIN_WORDS)
        and "%" not in message.id
        and message.string != message.id
        and re.search(rf"(?<!\w){re.escape(message.id)}(?!\w)", text)
    ]


def update(language: str) -> int:
    """Bring the catalog of ``language`` up to date and compile it; how many texts lack a translation."""
    catalog = read(language)
    catalog.update(fresh(), no_fuzzy_matching=True)
    catalog.obsolete.clear()
    path = catalog_file(language)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_po(file, catalog, width=110, sort_output=True, omit_header=False, include_lineno=False)
    with path.with_suffix(".mo").open("wb") as file:
        write_mo(file, catalog)
    said = ((message.id, message.string or "") for message in catalog)
    return sum(1 for text, string in said if text and not all(_strings(string)))


def _strings(string: str | Sequence[str]) -> tuple[str, ...]:
    return (string,) if isinstance(string, str) else tuple(string)


def _below(kind: type[Exception]) -> Iterator[type[Exception]]:
    yield kind
    for one in kind.__subclasses__():
        yield from _below(one)


if __name__ == "__main__":
    for language in TRANSLATED:
        print(f"{language}: {update(language)} texts lack a translation")  # noqa: T201
