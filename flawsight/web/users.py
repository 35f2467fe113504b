"""For admins: who may use this server, and the tokens of their programs."""

from __future__ import annotations

from functools import partial

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from flawsight.i18n import gettext as _
from flawsight.i18n import marked
from flawsight.records import ROLES
from flawsight.records.accounts import AccountError
from flawsight.web.auth import check, gate

bp = Blueprint("users", __name__, url_prefix="/users")
bp.before_request(partial(check, "admin"))

ROLE_WORDS = {
    "operator": marked("inspects parts and reads results"),
    "inspector": marked("also reviews and decides what becomes of a part"),
    "admin": marked("also manages models and users"),
}


@bp.get("")
def index() -> str:
    return _list(None)


@bp.post("")
def add() -> Response:
    form = request.form
    try:
        user = gate().accounts.add(form.get("name", ""), form.get("role", ""), form.get("password") or None)
    except AccountError as error:
        return make_response(_list(error.said()), error.status)
    flash(_("%(name)s was added.", name=user.name))
    return redirect(url_for(".show", user_id=user.id), 303)


@bp.get("/<int:user_id>")
def show(user_id: int) -> str:
    return _page(user_id)


@bp.post("/<int:user_id>")
def change(user_id: int) -> Response:
    """One form of the page: ``do`` says which."""
    form, accounts, said = request.form, gate().accounts, ""
    try:
        match form.get("do"):
            case "role":
                said = _(
                    "The role is now %(role)s.",
                    role=_(accounts.change(user_id, role=form.get("role", "")).role),
                )
            case "disable":
                said = _("%(name)s can no longer sign in.", name=accounts.change(user_id, enabled=False).name)
            case "enable":
                said = _("%(name)s can sign in again.", name=accounts.change(user_id, enabled=True).name)
            case "password":
                said = _(
                    "%(name)s has a new password.",
                    name=accounts.set_password(user_id, form.get("password", "")).name,
                )
            case "token":
                return _shown_once(user_id, accounts.add_token(user_id, form.get("title", "")))
            case "remove_token":
                accounts.remove_token(user_id, form.get("token", 0, int))
                said = _("The token no longer works.")
            case "remove":
                name = accounts.get(user_id).name
                if not form.get("sure"):
                    raise AccountError("Tick the box first if %(name)s shall really be removed.", name=name)
                accounts.remove(user_id)
                flash(_("%(name)s was removed.", name=name))
                return redirect(url_for(".index"), 303)
            case _:
                raise AccountError("The form did not say what to change. Reload the page and try again.")
    except AccountError as error:
        return make_response(_page(user_id, problem=error.said()), error.status)
    flash(said)
    return redirect(url_for(".show", user_id=user_id), 303)


def _list(problem: str | None) -> str:
    accounts = gate().accounts
    users = [(user, len(accounts.tokens(user.id))) for user in accounts.users()]
    return render_template(
        "users.html", users=users, roles=ROLES, role_words=ROLE_WORDS, problem=problem, form=request.form
    )


def _page(user_id: int, problem: str | None = None, new_token: str | None = None) -> str:
    accounts = gate().accounts
    return render_template(
        "user.html",
        it=accounts.get(user_id),
        tokens=accounts.tokens(user_id),
        roles=ROLES,
        role_words=ROLE_WORDS,
        problem=problem,
        new_token=new_token,
    )


def _shown_once(user_id: int, token: str) -> Response:
    """Not redirected: what may be seen once must not travel in an address or a cookie."""
    response = make_response(_page(user_id, new_token=token))
    response.headers["Cache-Control"] = "no-store"
    return response
