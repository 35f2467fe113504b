"""Errors as a friendly page, or for programs as problem details (RFC 9457).

Programs get ``type``, ``title``, ``status``, ``detail``, ``instance`` and our stable ``code``. ``type``
is the address of a page of this server that says what the code means and what to do.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from flask import Blueprint, Flask, Response, jsonify, make_response, render_template, request, url_for
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException
from werkzeug.urls import iri_to_uri

from flawsight.errors import FlawsightError, NotFound
from flawsight.web.queue import Busy
from flawsight.web.service import service

log = logging.getLogger(__name__)
bp = Blueprint("problems", __name__, url_prefix="/problems")
MEDIA_TYPE = "application/problem+json"

# code for programs: (status, title, message, what to do next)
PROBLEMS = {
    "bad_request": (400, "That request could not be understood", "Something in it was missing or wrong.",
                    "Go back to the start page and choose the image again."),
    "bad_body": (400, "What was sent does not fit", "The JSON lacks something, or holds what is not meant.",
                 "The message names the place. Correct it and send the request again."),
    "bad_filter": (400, "This filter means nothing", "A value in the address cannot be understood.",
                   "The message names the value. Correct it, or start again without a filter."),
    "bad_review": (400, "This answer cannot be filed", "It contradicts itself or the picture.",
                   "The message says what to change. Change it and send the answer again."),
    "empty_upload": (400, "No image arrived", "The request holds no file, or one of zero bytes.",
                     "Send the image in the form field 'file'."),
    "too_small": (400, "The image is too small", "It has too few pixels to see anything.",
                  "Send the photo in its original size."),
    "csrf": (400, "The form was not ours", "It was not sent from a page of this server, or cookies are off.",
             "Allow cookies for this server, reload the page and send the form again."),
    "sign_in_needed": (401, "Sign in first", "Nobody is signed in, or the session has ended.",
                       "Open the start page and sign in. Programs send a token."),
    "forbidden": (403, "That is not allowed", "The server refused the request.",
                  "Open Flawsight directly in a new tab and try from there."),
    "not_allowed": (403, "Your role does not reach that far", "The request needs a user with a higher role.",
                    "Ask an admin to do it or to change the role."),
    "not_found": (404, "There is nothing here", "The address leads nowhere.",
                  "Check the address, or find the result under Recent inspections."),
    "method_not_allowed": (405, "That does not work here", "This address takes no such request.",
                           "Go back to the start page and begin there. Programs find the methods in Allow."),
    "too_large": (413, "The image is too large", "The upload is over the limit.",
                  "Save the photo smaller, or cut out the part to be inspected, and choose it again."),
    "image_too_large": (413, "The image is too large", "It has more bytes or pixels than are accepted.",
                        "Save the photo smaller, or cut out the part to be inspected, and choose it again."),
    "unsupported": (415, "This is not an image we can read", "The file could not be decoded.",
                    "Choose a PNG, JPEG, WebP, BMP, TIFF or GIF file that opens in an image viewer."),
    "not_an_image": (415, "This is not an image we can read", "The file could not be decoded.",
                     "Choose a PNG, JPEG, WebP, BMP, TIFF or GIF file that opens in an image viewer."),
    "too_many_requests": (429, "That was too much at once", "Too many requests came in a short time.",
                          "Wait a minute, then try again."),
    "internal_error": (500, "Something went wrong on our side", "What you asked for was not finished.",
                       "Try again. If it happens once more, the server's log holds the reason."),
    "unavailable": (503, "Not ready at the moment", "The server cannot do this now.",
                    "Follow the message above, then try again."),
    "bad_model": (503, "There is no model to inspect with", "The model file is missing or cannot be used.",
                  "Train a model with `python training.py`, or set FLAWSIGHT_MODEL to another file."),
    "record_error": (503, "The history cannot be used", "It could not be read or written.",
                     "Look after the disk or the database that the message names, then try again."),
    "busy": (503, "Too many inspections are waiting", "No more are taken on for a moment.",
             "Try again after the seconds that the header Retry-After names."),
}  # fmt: skip
# What an error is called that says no more than its status.
USUAL = {
    400: "bad_request", 401: "sign_in_needed", 403: "forbidden", 404: "not_found", 405: "method_not_allowed",
    413: "too_large", 415: "unsupported", 429: "too_many_requests", 500: "internal_error", 503: "unavailable",
}  # fmt: skip


def register_problems(app: Flask) -> None:
    """Let every error of ``app`` end as a page or a JSON object that says what to do next."""
    app.register_error_handler(FlawsightError, _from_us)
    app.register_error_handler(CSRFError, _from_csrf)
    app.register_error_handler(HTTPException, _from_http)
    app.register_error_handler(Exception, _unexpected)
    app.register_blueprint(bp)


def wants_json() -> bool:
    return request.path.startswith("/api/") or request.path in ("/healthz", "/readyz", "/metrics")


def answer(status: int, message: str | None = None, code: str | None = None) -> Response:
    """The error ``status`` in the form the asker understands."""
    code = code or _usual(status)
    title, usual, next_step = _words(code, status)
    message = message or usual
    if wants_json():
        response = jsonify(
            type=url_for("problems.show", code=code),
            title=title,
            status=status,
            detail=message,
            instance=iri_to_uri(request.path),
            code=code,
        )
        response.mimetype = MEDIA_TYPE
    else:
        page = render_template(
            "problem.html", status=status, title=title, message=message, next_step=next_step
        )
        response = make_response(page)
    response.status_code = status
    return response


@bp.get("/<code>")
def show(code: str) -> str:
    """What ``code`` means and what to do: the page that the ``type`` of a problem leads to."""
    status = known().get(code)
    if status is None:
        raise NotFound("There is no problem of that name.")
    title, message, next_step = _words(code, status)
    return render_template(
        "problem.html", status=status, title=title, message=message, next_step=next_step, code=code
    )


def known() -> dict[str, int]:
    """Every code that an answer may carry, with its status."""
    ours = {error.code: error.status for error in _below(FlawsightError)}
    return ours | {code: status for code, (status, *_) in PROBLEMS.items()}


def _words(code: str, status: int) -> tuple[str, str, str]:
    """Title, message, and what to do next."""
    _, title, message, next_step = PROBLEMS.get(code) or PROBLEMS[_usual(status)]
    return title, message, next_step


def _usual(status: int) -> str:
    return USUAL.get(status, USUAL[500 if status >= 500 else 400])


def _below(kind: type[FlawsightError]) -> Iterator[type[FlawsightError]]:
    yield kind
    for one in kind.__subclasses__():
        yield from _below(one)


def _from_us(error: FlawsightError) -> Response:
    if error.status >= 500 and not isinstance(error, Busy):  # a full queue is counted, not logged
        log.error("%s %s: %s", request.method, request.path, error)
    response = answer(error.status, error.said(), error.code)
    if isinstance(error, Busy):
        response.headers["Retry-After"] = str(error.retry_after)
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _from_csrf(error: CSRFError) -> Response:
    return answer(
        400, "The form was not sent from a page of this server, or cookies are switched off.", "csrf"
    )


def _from_http(error: HTTPException) -> Response:
    status = error.code or 500
    if status < 400:
        return make_response(error.get_response())
    message = None
    if status == 413:
        message = f"The upload is larger than {service().settings.max_upload_mb:g} MiB."
        if (request.content_length or 0) <= service().max_bytes:
            message = "The form has more fields, or longer ones, than any form of this server."
    elif status in (400, 403) and error.description != type(error).description:
        message = error.description
    response = answer(status, message)
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response


def _unexpected(error: Exception) -> Response:
    log.exception("%s %s failed", request.method, request.path, exc_info=error)
    return answer(500)
