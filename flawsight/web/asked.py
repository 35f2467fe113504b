"""What a request may ask: known parameters, one of some words, a JSON object; else an error that says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flask import request

from flawsight.errors import FlawsightError
from flawsight.i18n import marked


class BadFilter(FlawsightError):
    """A filter in the address means nothing."""

    code = "bad_filter"
    status = 400


class BadBody(FlawsightError):
    """What a program sent is no JSON object, or holds a value that means nothing."""

    code = "bad_body"
    status = 400


def json_object(*names: str) -> dict[str, Any]:
    """The JSON object of the request, with none but these ``names`` if there are any.

    Raises:
        BadBody: there is none.
        BadFilter: it holds another name.
    """
    try:
        value = request.get_json(silent=True)
    except RecursionError:  # nested without end
        value = None
    if not isinstance(value, dict):
        raise BadBody("Send a JSON object, with the header Content-Type: application/json.")
    if not is_whole(value):
        raise BadBody("A text holds half of a sign, as of an emoji that was cut. Send it whole.")
    if names:
        known_only(value, *names)
    return value


def is_whole(value: Any) -> bool:
    """Whether no text in ``value`` holds half a sign: JSON can spell one, and no page could ever show it."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def known_only(args: Mapping[str, Any], *names: str) -> None:
    """Refuse what a program misspelled.

    A filter that is passed over would show everything, and what was said of a part would be lost.

    Raises:
        BadFilter: there is a parameter or field that is none of ``names``.
    """
    if unknown := sorted(set(args) - set(names)):
        raise BadFilter(
            "This address has no parameter %(unknown)s. It takes: %(known)s.",
            unknown=", ".join(f"'{name}'" for name in unknown),
            known=", ".join(names) or "–",
        )


def texts_of(values: Mapping[str, Any], *names: str, wrong: type[FlawsightError] = BadBody) -> dict[str, str]:
    """What a program sent under ``names``; empty where it said nothing.

    Raises:
        wrong: one is no text.
    """
    texts = {name: values.get(name, "") for name in names}
    if any(not isinstance(text, str) for text in texts.values()):
        raise wrong(marked("Each of these is a text: %(names)s."), names=", ".join(names))
    return texts


def one_of(
    args: Mapping[str, str], name: str, allowed: tuple[str, ...], wrong: type[FlawsightError] = BadFilter
) -> str:
    """The value ``name`` if it is one of ``allowed``; empty if it is not said.

    Raises:
        wrong: it is another.
    """
    value = args.get(name, "")
    if value and value not in allowed:
        raise wrong(
            marked("%(value)r is no value for '%(name)s'. Choose one of: %(known)s."),
            value=value,
            name=name,
            known=", ".join(allowed),
        )
    return value
