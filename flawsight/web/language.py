"""In which language a page is shown: as chosen on a page, else as the browser asks, else English.

A program that asks for no language is answered in English. What is stored is English in any case.
"""

from __future__ import annotations

from contextlib import ExitStack

from flask import Blueprint, Flask, Response, g, redirect, request
from flask_babel import Babel
from werkzeug.wrappers import Response as AnyResponse

from flawsight import i18n
from flawsight.web.auth import safe_target

COOKIE = "flawsight_language"
KEPT_S = 365 * 24 * 3600

bp = Blueprint("language", __name__)


def install(app: Flask) -> None:
    """Let every request of ``app`` be answered in its reader's language. Comes before all that answers."""
    Babel(app, locale_selector=i18n.language, default_translation_directories=str(i18n.FOLDER))
    app.jinja_env.filters["number"] = i18n.number
    app.jinja_env.globals.update(languages=i18n.LANGUAGES, language=i18n.language, came_from=came_from)
    app.before_request(_listen)
    app.after_request(_remember)
    app.teardown_request(_forget)
    app.register_blueprint(bp)


@bp.post("/language")
def choose() -> AnyResponse:
    """The choice at the foot of every page."""
    language = request.form.get("language", "")
    response = redirect(safe_target(request.form.get("next", "")), 303)
    if language in i18n.LANGUAGES:
        _keep(response, language, KEPT_S)
    return response


def came_from() -> str:
    """Address of the page of this server whose form was sent, as the browser names it; else empty."""
    sent_from, host = request.referrer or "", request.host_url
    return f"/{sent_from.removeprefix(host)}" if sent_from.startswith(host) else ""


def _listen() -> None:
    g.speaking = ExitStack()
    g.speaking.enter_context(i18n.speaking(_wanted()))


def _forget(_: BaseException | None) -> None:
    if speaking := g.pop("speaking", None):
        speaking.close()


def _wanted() -> str:
    chosen = request.cookies.get(COOKIE, "")
    if chosen in i18n.LANGUAGES:
        return chosen
    if "text/html" in request.headers.get("Accept", ""):  # a person with a browser
        return request.accept_languages.best_match(list(i18n.LANGUAGES), i18n.ENGLISH)
    return i18n.ENGLISH


def _remember(response: Response) -> Response:
    """What a browser asked for counts for the scripts of its pages, too: they send the cookie along."""
    if response.mimetype == "text/html":
        response.vary.update(("Cookie", "Accept-Language"))
        if i18n.language() != i18n.ENGLISH and COOKIE not in request.cookies:
            _keep(response, i18n.language(), None)
    return response


def _keep(response: AnyResponse, language: str, seconds: int | None) -> None:
    response.set_cookie(
        COOKIE, language, max_age=seconds, httponly=True, samesite="Lax", secure=request.is_secure
    )
