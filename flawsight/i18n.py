"""The language a person reads. English is what is stored, logged and sent to programs.

The web room says which language a request is answered in; every room above this one may then say things
in it. Outside a request, and in the threads that inspect, it is English.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from functools import cache, wraps
from gettext import NullTranslations, translation
from pathlib import Path
from typing import ParamSpec, TypeVar

from babel.dates import format_datetime
from babel.numbers import format_decimal

FOLDER = Path(__file__).with_name("translations")
ENGLISH = "en"
LANGUAGES = {ENGLISH: "English", "de": "Deutsch", "id": "Bahasa Indonesia"}

Given = ParamSpec("Given")
Result = TypeVar("Result")

_language: ContextVar[str] = ContextVar("language", default=ENGLISH)


def language() -> str:
    """The language things are said in now; a key of ``LANGUAGES``."""
    return _language.get()


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Say things in ``language`` for a while."""
    before = _language.set(language)
    try:
        yield
    finally:
        _language.reset(before)


def in_this_language(work: Callable[Given, Result]) -> Callable[Given, Result]:
    """``work`` for another thread, which would speak English: there it speaks the present language."""
    here = language()

    @wraps(work)
    def said(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        with speaking(here):
            return work(*args, **kwargs)

    return said


def gettext(message: str, **values: object) -> str:
    """``message`` in the present language, with ``values`` in place of ``%(name)s``."""
    said = _catalog(language()).gettext(message) if message else ""  # "" is the catalog's own head
    return said % values if values else said


def ngettext(one: str, many: str, num: int, **values: object) -> str:
    """``one`` or ``many`` as ``num`` asks for, with ``%(num)s`` and ``values`` put in."""
    return _catalog(language()).ngettext(one, many, num) % {"num": number(num), **values}


def day_and_time(moment: datetime) -> str:
    """Date and time as the present language writes them: 29 Nov 2026, 18:05 or 29. Nov. 2026, 18:05."""
    pattern = {"de": "d. MMM y, HH:mm", "id": "d MMM y, HH.mm"}.get(language(), "d MMM y, HH:mm")
    return format_datetime(moment, pattern, locale=language())


def marked(message: str) -> str:
    """``message`` itself: marks a constant that is translated where it is shown, by ``gettext``."""
    return message


def number(value: float, digits: int = 0) -> str:
    """``value`` with ``digits`` decimals as the present language writes it: 1,234.5 or 1.234,5."""
    pattern = "#,##0" + ("." + "0" * digits if digits else "")
    return format_decimal(value, pattern, locale=language())


@dataclass(frozen=True)
class Figure:
    """A number in a message that is said later, maybe in another language: only then it is written."""

    value: float
    digits: int = 0

    def __str__(self) -> str:
        return number(self.value, self.digits)


def percent(share: float) -> str:
    """0.0314 to ``3.1 %``, which no line end divides; never 0 % or 100 % for what is only nearly so."""
    if 0 < share <= 0.0005:
        said = f"< {number(0.1, 1)} %"
    elif 0.9995 <= share < 1:
        said = f"> {number(99.9, 1)} %"
    else:
        said = f"{number(100 * share, 1)} %"
    return said.replace(" ", "\N{NO-BREAK SPACE}")


@cache
def _catalog(language: str) -> NullTranslations:
    return translation("messages", FOLDER, [language], fallback=True)
