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
from flawsight.i18n import gettext as _
from flawsight.i18n import marked
from flawsight.web.incoming import FULL, NoRoom
from flawsight.web.models import INSTALLING
from flawsight.web.queue import Busy
from flawsight.web.service import service

log = logging.getLogger(__name__)
bp = Blueprint("problems", __name__, url_prefix="/problems")
MEDIA_TYPE = "application/problem+json"

# code for programs: (status, title, message, what to do next)
PROBLEMS = {
    "bad_request": (
        400,
        marked("That request could not be understood"),
        marked("Something in it was missing or wrong."),
        marked("Go back to the start page and choose the image again."),
    ),
    "bad_body": (
        400,
        marked("What was sent does not fit"),
        marked("The JSON lacks something, or holds what is not meant."),
        marked("The message names the place. Correct it and send the request again."),
    ),
    "bad_filter": (
        400,
        marked("This filter means nothing"),
        marked("A value in the address cannot be understood."),
        marked("The message names the value. Correct it, or start again without a filter."),
    ),
    "bad_review": (
        400,
        marked("This answer cannot be filed"),
        marked("It contradicts itself or the picture."),
        marked("The message says what to change. Change it and send the answer again."),
    ),
    "bad_lot": (
        400,
        marked("This lot cannot be kept like that"),
        marked("Something is missing or contradicts itself."),
        marked("The message says what to change. Change it and send the lot again."),
    ),
    "bad_plan": (
        400,
        marked("There is no sampling plan for that"),
        marked("The tables of ISO 2859-1 lack these values."),
        marked("The message names the values there are. Choose one of them."),
    ),
    "bad_context": (
        400,
        marked("That cannot be kept about the part"),
        marked("A field is longer than any that is kept."),
        marked("The message names the field and its limit. Shorten it and send the image again."),
    ),
    "empty_upload": (
        400,
        marked("No image arrived"),
        marked("The request holds no file, or one of zero bytes."),
        marked("Send the image in the form field 'file'."),
    ),
    "too_small": (
        400,
        marked("The image is too small"),
        marked("It has too few pixels to see anything."),
        marked("Send the photo in its original size."),
    ),
    "csrf": (
        400,
        marked("The form was not ours"),
        marked("It was not sent from a page of this server, or cookies are off."),
        marked("Allow cookies for this server, reload the page and send the form again."),
    ),
    "sign_in_needed": (
        401,
        marked("Sign in first"),
        marked("Nobody is signed in, or the session has ended."),
        marked("Open the start page and sign in. Programs send a token."),
    ),
    "forbidden": (
        403,
        marked("That is not allowed"),
        marked("The server refused the request."),
        marked("Open Flawsight directly in a new tab and try from there."),
    ),
    "not_allowed": (
        403,
        marked("Your role does not reach that far"),
        marked("The request needs a user with a higher role."),
        marked("Ask an admin to do it or to change the role."),
    ),
    "not_found": (
        404,
        marked("There is nothing here"),
        marked("The address leads nowhere."),
        marked("Check the address, or find the result under Recent inspections."),
    ),
    "method_not_allowed": (
        405,
        marked("That does not work here"),
        marked("This address takes no such request."),
        marked("Go back to the start page and begin there. Programs find the methods in Allow."),
    ),
    "conflict": (
        409,
        marked("That is no longer possible"),
        marked("Somebody else was faster, or it is in no state for this."),
        marked("Load it again, look at how it stands now, and decide anew."),
    ),
    "lot_conflict": (
        409,
        marked("The lot is in another state"),
        marked("Somebody was faster, or it is too early for this."),
        marked("Load the lot again, look at what was done, then decide."),
    ),
    "too_large": (
        413,
        marked("The image is too large"),
        marked("The upload is over the limit."),
        marked("Save the photo smaller, or cut out the part to be inspected, and choose it again."),
    ),
    "model_too_large": (
        413,
        marked("The model file is too large"),
        marked("It has more bytes than are accepted."),
        marked("Install a smaller model, or let the server accept larger ones: FLAWSIGHT_MAX_MODEL_MB."),
    ),
    "image_too_large": (
        413,
        marked("The image is too large"),
        marked("It has more bytes or pixels than are accepted."),
        marked("Save the photo smaller, or cut out the part to be inspected, and choose it again."),
    ),
    "unsupported": (
        415,
        marked("This is not an image we can read"),
        marked("The file could not be decoded."),
        marked("Choose a PNG, JPEG, WebP, BMP, TIFF or GIF file that opens in an image viewer."),
    ),
    "not_an_image": (
        415,
        marked("This is not an image we can read"),
        marked("The file could not be decoded."),
        marked("Choose a PNG, JPEG, WebP, BMP, TIFF or GIF file that opens in an image viewer."),
    ),
    "locked": (
        423,
        marked("Inspection is locked"),
        marked("A check has to pass first."),
        marked("Check the golden parts under Trust, then inspect."),
    ),
    "too_many_requests": (
        429,
        marked("That was too much at once"),
        marked("Too many requests came in a short time."),
        marked("Wait a minute, then try again."),
    ),
    "golden_check_needed": (
        423,
        marked("Inspection is locked"),
        marked("The golden parts have not passed."),
        marked("Open Trust, Golden parts, and run the check."),
    ),
    "check_running": (
        409,
        marked("That is running already"),
        marked("The same check was started before."),
        marked("Wait until it has finished."),
    ),
    "bad_template": (
        400,
        marked("This template cannot be kept"),
        marked("Something in it does not fit."),
        marked("The message says what to change."),
    ),
    "template_lost": (
        409,
        marked("The template of this part cannot be used"),
        marked("Its picture is gone or was altered since it was kept."),
        marked("Keep the template anew, or remove it to inspect these parts without."),
    ),
    "no_comparison": (
        400,
        marked("The part cannot be compared"),
        marked("The model was not taught to compare a part with a template."),
        marked("Inspect without a template, or with another model."),
    ),
    "bad_golden_part": (
        400,
        marked("This golden part cannot be kept"),
        marked("Something in it does not fit."),
        marked("The message says what to change."),
    ),
    "bad_head": (
        400,
        marked("This is no head of a chain"),
        marked("It is not written like one."),
        marked("Copy it from a report: the number of a link, a colon, and 64 digits."),
    ),
    "internal_error": (
        500,
        marked("Something went wrong on our side"),
        marked("What you asked for was not finished."),
        marked("Try again. If it happens once more, the server's log holds the reason."),
    ),
    "unavailable": (
        503,
        marked("Not ready at the moment"),
        marked("The server cannot do this now."),
        marked("Follow the message above, then try again."),
    ),
    "bad_model": (
        503,
        marked("There is no model to inspect with"),
        marked("The model file is missing or cannot be used."),
        marked("Train a model with `python training.py`, or set FLAWSIGHT_MODEL to another file."),
    ),
    "record_error": (
        503,
        marked("The history cannot be used"),
        marked("It could not be read or written."),
        marked("Look after the disk or the database that the message names, then try again."),
    ),
    "busy": (
        503,
        marked("Too many inspections are waiting"),
        marked("No more are taken on for a moment."),
        marked("Try again after the seconds that the header Retry-After names."),
    ),
}
# What an error is called that says no more than its status.
USUAL = {
    400: "bad_request", 401: "sign_in_needed", 403: "forbidden", 404: "not_found", 405: "method_not_allowed",
    409: "conflict", 413: "too_large", 415: "unsupported", 423: "locked", 429: "too_many_requests",
    500: "internal_error", 503: "unavailable",
}  # fmt: skip


def register_problems(app: Flask) -> None:
    """Let every error of ``app`` end as a page or a JSON object that says what to do next."""
    app.register_error_handler(FlawsightError, _from_us)
    app.register_error_handler(CSRFError, _from_csrf)
    app.register_error_handler(HTTPException, _from_http)
    app.register_error_handler(OSError, _from_disk)
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
    texts = (PROBLEMS.get(code) or PROBLEMS[_usual(status)])[1:]
    title, message, next_step = (_(text) for text in texts)
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
        400, _("The form was not sent from a page of this server, or cookies are switched off."), "csrf"
    )


def _from_http(error: HTTPException) -> Response:
    status = error.code or 500
    if status < 400:
        return make_response(error.get_response())
    message = code = None
    if status == 413 and request.endpoint in INSTALLING:
        limit, code = f"{service().settings.max_model_mb:g}", "model_too_large"
        message = _("The model file is larger than %(limit)s MiB.", limit=limit)
    elif status == 413:
        limit = f"{service().settings.max_upload_mb:g}"
        message = _("The upload is larger than %(limit)s MiB.", limit=limit)
        if (request.content_length or 0) <= service().max_bytes:
            message = _("The form has more fields, or longer ones, than any form of this server.")
    elif status in (400, 403) and error.description != type(error).description:
        message = error.description
    response = answer(status, message, code)
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response


def _from_disk(error: OSError) -> Response:
    """What is filed has its own errors: here an upload found no room on its way in."""
    return _from_us(NoRoom()) if error.errno in FULL else _unexpected(error)


def _unexpected(error: Exception) -> Response:
    log.exception("%s %s failed", request.method, request.path, exc_info=error)
    return answer(500)
