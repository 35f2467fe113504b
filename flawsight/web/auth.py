"""Signing in and out, and who may do what.

Whoever comes must be signed in, except where the server answers this computer only and nobody has made
an account: one person at one bench needs none. A view that needs more than an operator says so with
``requires``; everything else is closed to strangers without saying anything.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import ParamSpec, TypeVar, cast
from urllib.parse import urlencode

from flask import (
    Blueprint,
    Flask,
    current_app,
    flash,
    g,
    make_response,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from werkzeug.wrappers import Response

from flawsight.errors import FlawsightError, SettingsError
from flawsight.i18n import gettext as _
from flawsight.records import Accounts, User
from flawsight.records.accounts import AccountError, TooManyAttempts, WrongPassword
from flawsight.settings import Settings

SIGN_IN = {"auth.sign_in_form", "auth.sign_in"}
# Strangers may ask; nobody is told apart.
PUBLIC = {"static", "health.healthz", "health.readyz", "problems.show", "language.choose"}
BENCH = User(0, "", "admin")  # whoever sits at this computer, while there are no accounts
GUEST = User(0, "", "inspector")  # whoever comes to an insecure server: may not take it over
PROGRAM = User(0, "token", "operator")  # whoever knows FLAWSIGHT_TOKEN
PASSWORD_USER = "admin"  # whose password FLAWSIGHT_PASSWORD is
SECRET = "sid"  # key in the signed cookie
WATCHING = "X-Flawsight-Watch"  # a page asks by itself; that must not keep the session of somebody who left

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

log = logging.getLogger(__name__)
bp = Blueprint("auth", __name__)


class SignInNeeded(FlawsightError):
    """Nobody is signed in, or the session has ended."""

    code = "sign_in_needed"
    status = 401


class NotAllowed(FlawsightError):
    """The user's role does not reach that far."""

    code = "not_allowed"
    status = 403


class Gate:
    """Decides who a request comes from.

    Args:
        local: the server is reached from this computer only.

    Raises:
        SettingsError: other computers would reach a server that asks nobody who they are.
    """

    def __init__(self, settings: Settings, accounts: Accounts, local: bool) -> None:
        self.accounts = accounts
        self.idle = timedelta(minutes=settings.session_idle_min)
        self.longest = timedelta(hours=settings.session_max_h)
        self._token = settings.token.get_secret_value().encode() if settings.token else None
        self._without_accounts = BENCH if local else GUEST if settings.insecure else None
        if settings.password:
            try:
                accounts.ensure_admin(PASSWORD_USER, settings.password.get_secret_value())
            except AccountError as error:
                raise SettingsError("FLAWSIGHT_PASSWORD cannot be used: %(error)s", error=error) from None
        if not (self._without_accounts or self._token or accounts.any()):
            raise SettingsError(
                "Other computers could reach this server (%(host)s) and use it without signing in. "
                "Add a user first with `python -m flawsight users add NAME`, or set FLAWSIGHT_PASSWORD, or "
                "FLAWSIGHT_TOKEN for programs alone. To let everybody in all the same: --insecure.",
                host=settings.host,
            )

    def everybody(self) -> User | None:
        """Who anybody is, as long as nobody has to sign in; else ``None``."""
        if self._without_accounts is None or self._token or self.accounts.any():
            return None
        return self._without_accounts

    def identify(self) -> User | None:
        """Who sent this request; ``None`` if that is not known."""
        if request.headers.get("Authorization"):
            return self._bearer()  # a wrong token is refused even where a cookie would do
        if secret := session.get(SECRET):
            used = WATCHING not in request.headers
            if user := self.accounts.session_user(str(secret), self.idle, self.longest, used):
                return user
            session.pop(SECRET)
        return self.everybody()

    def _bearer(self) -> User | None:
        scheme, _, token = request.headers["Authorization"].partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            return None
        if self._token and hmac.compare_digest(token.encode("utf-8", "replace"), self._token):
            return PROGRAM
        return self.accounts.token_user(token)


def install(app: Flask, settings: Settings, accounts: Accounts, local: bool) -> None:
    """Ask every request of ``app`` who it is.

    Raises:
        SettingsError: as for :class:`Gate`.
    """
    app.extensions["flawsight.gate"] = Gate(settings, accounts, local)
    app.before_request(_let_in)
    app.context_processor(lambda: {"user": g.get("user")})
    app.register_blueprint(bp)


def gate() -> Gate:
    """The gate of the app that answers this request."""
    return cast(Gate, current_app.extensions["flawsight.gate"])


def current_user() -> User:
    """Who sent this request; ``name`` is empty where nobody has to sign in.

    Raises:
        SignInNeeded: nobody knows.
    """
    user = g.get("user")
    if user is None:
        raise SignInNeeded("Sign in first; your session may have ended.")
    return cast(User, user)


def check(role: str) -> None:
    """Stop here unless the user may do what ``role`` may; also for ``before_request`` of a blueprint.

    Raises:
        SignInNeeded: nobody is signed in.
        NotAllowed: somebody is, whose role does not reach that far.
    """
    user = current_user()
    if not user.may(role):
        needed = {"role": _(role), "present": _(user.role), "name": user.name}
        if not user.name:
            raise NotAllowed("This needs an %(role)s; nobody is signed in.", **needed)
        raise NotAllowed("This needs an %(role)s; %(name)s is an %(present)s.", **needed)


def requires(role: str) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Decorates a view that only ``role`` and those above may use."""

    def decorate(view: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        @wraps(view)
        def guarded(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            check(role)
            return view(*args, **kwargs)

        guarded.role = role  # type: ignore[attr-defined]  # for the description of the API
        return guarded

    return decorate


def _let_in() -> Response | None:
    if request.endpoint in PUBLIC:
        return None
    g.user = gate().identify()
    if g.user or request.endpoint in SIGN_IN:
        return None
    if request.method == "GET" and "text/html" in request.headers.get("Accept", ""):
        return redirect(_sign_in_address(), 303)
    if request.headers.get("Authorization"):
        raise SignInNeeded("The token of this request is not known here. An admin makes one under Users.")
    raise SignInNeeded("Sign in first; your session may have ended. Programs send a token.")


def _sign_in_address() -> str:
    here = request.full_path.rstrip("?")
    query = {} if here == "/" else {"next": here}
    return url_for("auth.sign_in_form") + (f"?{urlencode(query)}" if query else "")


def safe_target(address: str) -> str:
    """``address`` if it is a path of this server, else the start page."""
    inside = address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()
    return address if inside else url_for("pages.start")


@bp.get("/sign-in")
def sign_in_form() -> Response | str:
    target = request.args.get("next", "")
    if g.user is not None:
        return redirect(safe_target(target), 303)
    return render_template("sign_in.html", target=target, name="", problem=None)


@bp.post("/sign-in")
def sign_in() -> Response:
    name, target = request.form.get("name", ""), request.form.get("next", "")
    address = request.remote_addr or ""
    try:
        user = gate().accounts.check_password(name, request.form.get("password", ""), address)
    except (WrongPassword, TooManyAttempts) as error:
        log.warning("Sign-in of %r from %s refused: %s", name[:64], address, error)
        page = make_response(
            render_template("sign_in.html", target=target, name=name[:64], problem=error.said())
        )
        page.status_code = error.status
        if isinstance(error, TooManyAttempts):
            page.headers["Retry-After"] = str(error.retry_after)
        return page
    log.info("%s signed in from %s", user.name, address)
    begin_session(user)
    return redirect(safe_target(target), 303)


@bp.post("/sign-out")
def sign_out() -> Response:
    if secret := session.get(SECRET):
        gate().accounts.end_session(str(secret))
    session.clear()
    response = redirect(url_for(".sign_in_form"), 303)
    response.headers["Clear-Site-Data"] = '"cache"'  # pictures stay with no one else at this computer
    return response


@bp.get("/account")
def account() -> str:
    return render_template("account.html", problem=None)


@bp.post("/account")
def change_password() -> Response:
    user = current_user()
    if not user.id:
        raise NotAllowed("There is no account to change. Add users first.")
    form, problem, status = request.form, None, 303
    try:
        if form.get("new") != form.get("again"):
            raise AccountError("The two new passwords differ. Type them again.")
        gate().accounts.check_password(user.name, form.get("password", ""), request.remote_addr or "")
        gate().accounts.set_password(user.id, form.get("new", ""))
    except WrongPassword:
        problem, status = _("The present password is wrong."), 400
    except (AccountError, TooManyAttempts) as error:
        problem, status = error.said(), error.status
    if problem:
        return make_response(render_template("account.html", problem=problem), status)
    begin_session(user)  # the others were ended
    flash(_("The password was changed. Other browsers have to sign in again."))
    return redirect(url_for(".account"), status)


def begin_session(user: User) -> None:
    """This browser is ``user`` from now on; nothing of an earlier session is taken over."""
    session.clear()
    session[SECRET] = gate().accounts.start_session(user)
