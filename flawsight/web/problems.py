"""Errors as a friendly page, or for programs as ``{"error": {"code", "message"}}``."""

from __future__ import annotations

import logging

from flask import Flask, Response, jsonify, make_response, render_template, request
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

from flawsight.errors import FlawsightError
from flawsight.web.queue import Busy
from flawsight.web.service import service

log = logging.getLogger(__name__)

# status: (code for programs, title, message, what to do next)
PROBLEMS = {
    400: ("bad_request", "That request could not be understood", "Something in it was missing or wrong.",
          "Go back to the start page and choose the image again."),
    401: ("sign_in_needed", "Sign in first", "Nobody is signed in, or the session has ended.",
          "Open the start page and sign in. Programs send a token."),
    403: ("forbidden", "That is not allowed", "The server refused the request.",
          "Open Flawsight directly in a new tab and try from there."),
    404: ("not_found", "There is nothing here", "The address leads nowhere.",
          "Check the address, or find the result under Recent inspections."),
    405: ("method_not_allowed", "That does not work here", "This address takes no such request.",
          "Go back to the start page and begin there."),
    413: ("too_large", "The image is too large", "The upload is over the limit.",
          "Save the photo smaller, or cut out the part to be inspected, and choose it again."),
    415: ("unsupported", "This is not an image we can read", "The file could not be decoded.",
          "Choose a PNG, JPEG, WebP, BMP, TIFF or GIF file that opens in an image viewer."),
    429: ("too_many_requests", "That was too much at once", "Too many requests came in a short time.",
          "Wait a minute, then try again."),
    500: ("internal_error", "Something went wrong on our side", "What you asked for was not finished.",
          "Try again. If it happens once more, the server's log holds the reason."),
    503: ("unavailable", "Not ready at the moment", "The server cannot do this now.",
          "Follow the message above, then try again."),
}  # fmt: skip


def register_problems(app: Flask) -> None:
    """Let every error of ``app`` end as a page or a JSON object that says what to do next."""
    app.register_error_handler(FlawsightError, _from_us)
    app.register_error_handler(CSRFError, _from_csrf)
    app.register_error_handler(HTTPException, _from_http)
    app.register_error_handler(Exception, _unexpected)


def wants_json() -> bool:
    return request.path.startswith("/api/") or request.path in ("/healthz", "/readyz", "/metrics")


def answer(status: int, message: str | None = None, code: str | None = None) -> Response:
    """The error ``status`` in the form the asker understands."""
    known_code, title, usual, next_step = PROBLEMS.get(status, PROBLEMS[500 if status >= 500 else 400])
    message = message or usual
    if wants_json():
        response = jsonify(error={"code": code or known_code, "message": message})
    else:
        page = render_template(
            "problem.html", status=status, title=title, message=message, next_step=next_step
        )
        response = make_response(page)
    response.status_code = status
    return response


def _from_us(error: FlawsightError) -> Response:
    if error.status >= 500 and not isinstance(error, Busy):  # a full queue is counted, not logged
        log.error("%s %s: %s", request.method, request.path, error)
    response = answer(error.status, str(error), error.code)
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
