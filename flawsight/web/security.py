"""Who may ask what: headers, trusted names, forms that were really ours, requests from other sites."""

from __future__ import annotations

import ipaddress
import os
import secrets
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from flask import Flask, Response, abort, current_app, request
from flask_wtf.csrf import CSRFProtect
from werkzeug.middleware.proxy_fix import ProxyFix

from flawsight.errors import RecordError
from flawsight.i18n import gettext as _
from flawsight.records import Accounts
from flawsight.settings import Settings
from flawsight.web import auth

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
HTTPS_ONLY = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
# No form of ours has more fields, nor longer ones; the file itself has its own limit.
FORM_PARTS = 40
FORM_TEXT = 256 * 1024  # bytes of all text fields together

csrf = CSRFProtect()


def protect(app: Flask, settings: Settings, accounts: Accounts) -> None:
    """Turn all protections on for ``app``.

    Raises:
        SettingsError: strangers could use the server, see :class:`flawsight.web.auth.Gate`.
        RecordError: the secret key can be neither read nor made.
    """
    local = _is_loopback(settings.host) and not settings.behind_https
    app.config.update(
        SECRET_KEY=settings.secret_key or _kept_secret(settings.instance),
        # The prefix makes browsers refuse a cookie of that name from anybody but this very server.
        SESSION_COOKIE_NAME="__Host-flawsight" if settings.behind_https else "flawsight",
        SESSION_COOKIE_SECURE=settings.behind_https,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_HTTPONLY=True,
        WTF_CSRF_TIME_LIMIT=None,  # a page left open over night must still work in the morning
        WTF_CSRF_SSL_STRICT=False,  # asks for a Referer; _refuse_other_sites asks for better
        MAX_FORM_PARTS=FORM_PARTS,
        MAX_FORM_MEMORY_SIZE=FORM_TEXT,
        FLAWSIGHT_LOCAL=local,
        FLAWSIGHT_HEADERS=HEADERS | (HTTPS_ONLY if settings.behind_https else {}),
    )
    if settings.behind_https:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1)  # type: ignore[method-assign]
    app.before_request(_refuse_foreign_names)
    app.before_request(_refuse_other_sites)
    auth.install(app, settings, accounts, local)  # before the form's token: strangers are told to sign in
    app.after_request(_add_headers)
    csrf.init_app(app)


def _refuse_foreign_names() -> None:
    """A server bound to this computer answers this computer only, and to its own names only.

    Otherwise any web page could point a name of its own at 127.0.0.1 and read what is here (DNS
    rebinding), and another server program could open to the network what was meant for one bench.
    """
    if not current_app.config["FLAWSIGHT_LOCAL"]:
        return
    if not _is_loopback(_hostname(request.host)):
        name = request.host
        abort(400, _("This server is not called %(name)r. Open it as http://localhost instead.", name=name))
    if request.remote_addr and not _is_loopback(request.remote_addr):
        abort(403, _("This server answers the computer it runs on only. Its host setting can change that."))


def _refuse_other_sites() -> None:
    """Nothing is changed on behalf of a page from another site. Programs send neither header."""
    if request.method in SAFE_METHODS:
        return
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    foreign = site not in ("same-origin", "none") if site else origin and _netloc(origin) != request.host
    if foreign:
        abort(403, _("This request came from another site, so nothing was done."))


def _add_headers(response: Response) -> Response:
    for name, value in current_app.config["FLAWSIGHT_HEADERS"].items():
        response.headers.setdefault(name, value)
    if response.mimetype in ("text/html", "application/json", "application/problem+json"):
        response.headers.setdefault(
            "Cache-Control", "no-store" if response.status_code >= 400 else "no-cache"
        )
    return response


def _netloc(origin: str) -> str:
    """``http://localhost:5000`` as ``localhost:5000``; empty if it makes no sense."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _hostname(host: str) -> str:
    """``[::1]:5000`` as ``::1``; empty if it makes no sense."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _kept_secret(instance: Path) -> str:
    """The key in ``instance``, made once, so that open pages survive a restart and workers agree."""
    path = instance / "secret_key"
    try:
        if not path.is_file():
            handle, temporary = tempfile.mkstemp(dir=instance)  # readable by its owner only
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_hex(32))
            _put(Path(temporary), path)
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise RecordError(
            f"The key file {path} cannot be used ({error.strerror}). "
            "Give this user access to the instance folder, or set FLAWSIGHT_INSTANCE."
        ) from error


def _put(temporary: Path, path: Path) -> None:
    """The file as ``path``, whole or not at all, unless another worker was faster: its key then counts."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    except OSError:  # a disk that knows no links
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
