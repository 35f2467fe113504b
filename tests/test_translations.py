"""The catalogs are complete: nothing of the pages is left in English, nothing is fuzzy, all is compiled."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from io import BytesIO

import catalogs
import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import read_mo, write_mo

from flawsight.settings import PROJECT_ROOT

PLACEHOLDER = re.compile(r"%\(\w+\)[sr]|\{\w+\}|</?\w+>")


def strings(text: str | Sequence[str]) -> tuple[str, ...]:
    """A text, or its forms for one and for many."""
    return (text,) if isinstance(text, str) else tuple(text)


@pytest.fixture(scope="module")
def texts() -> list[Message]:
    found = [message for message in catalogs.fresh() if message.id]
    assert len(found) > 1000
    return found


def test_no_marked_text_is_overlooked(texts: list[Message]) -> None:
    """Not even one inside an f-string."""
    found = {text.id for text in texts}
    marked = {
        (file.name, text)
        for file in (PROJECT_ROOT / "flawsight").rglob("*.py")
        for text in catalogs.marked_in(ast.parse(file.read_text(encoding="utf-8")))
    }
    assert len(marked) > 500
    assert [text for _, text in marked if text and text not in found] == []


@pytest.mark.parametrize("language", catalogs.TRANSLATED)
def test_every_text_of_the_code_is_translated(language: str, texts: list[Message]) -> None:
    catalog = catalogs.read(language)
    for text in texts:
        said = catalog.get(text.id, text.context)
        usable = said is not None and said.string and not said.fuzzy
        assert usable, f"{text.id!r}: run `make messages` and translate it"
        wanted = 1 if isinstance(text.id, str) else catalog.num_plurals
        assert len(strings(said.string)) == wanted and all(strings(said.string)), f"{text.id!r} lacks words"


def test_no_text_hides_in_an_f_string() -> None:
    """There the extraction does not see it, and it stays English."""
    hidden = [
        f"{path.relative_to(PROJECT_ROOT)}:{call.lineno}"
        for path in (PROJECT_ROOT / "flawsight").rglob("*.py")
        for text in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(text, ast.JoinedStr)
        for call in ast.walk(text)
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") in ("_", "ngettext")
        if call.args and isinstance(call.args[0], ast.Constant)
    ]
    assert not hidden, f"Take the text out of the f-string: {hidden}"


@pytest.mark.parametrize("language", catalogs.TRANSLATED)
def test_a_translation_says_the_same_values_and_marks(language: str) -> None:
    for message in catalogs.read(language):
        if not message.id:
            continue
        expected = set(PLACEHOLDER.findall(strings(message.id)[-1]))
        for said in strings(message.string):
            assert set(PLACEHOLDER.findall(said)) == expected, f"{message.id!r}: {said!r}"


@pytest.mark.parametrize("language", catalogs.TRANSLATED)
def test_the_compiled_catalog_is_in_step(language: str) -> None:
    compiled, expected = BytesIO(catalogs.catalog_file(language).with_suffix(".mo").read_bytes()), BytesIO()
    write_mo(expected, catalogs.read(language))
    expected.seek(0)
    assert spoken(read_mo(compiled)) == spoken(read_mo(expected))


def spoken(catalog: Catalog) -> dict[tuple[str | None, ...], tuple[str, ...]]:
    return {
        (message.context, *strings(message.id)): strings(message.string) for message in catalog if message.id
    }
