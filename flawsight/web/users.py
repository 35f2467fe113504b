"""For admins: who may use this server, and the tokens of their programs."""

from __future__ import annotations

from functools import partial

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from flawsight.records import ROLES
from flawsight.records.accounts import AccountError
from flawsight.web.auth import check, gate

bp = Blueprint("users", __name__, url_prefix="/users")
bp.before_request(partial(check, "admin"))

ROLE_WORDS = {
    "operator": "inspects parts and reads results",
    "inspector": "also reviews and decides what becomes of a part",
    "admin": "also manages models and users",
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
    flash(f"{user.name} was added.")
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
                said = f"The role is now {accounts.change(user_id, role=form.get('role', '')).role}."
            case "disable":
                said = f"{accounts.change(user_id, enabled=False).name} can no longer sign in."
            case "enable":
                said = f"{accounts.change(user_id, enabled=True).name} can sign in again."
            case "password":
                said = f"{accounts.set_password(user_id, form.get('password', '')).name} has a new password."
            case "token":
                return _shown_once(user_id, accounts.add_token(user_id, form.get("title", "")))
            case "remove_token":
                accounts.remove_token(user_id, form.get("token", 0, int))
                said = "The token no longer works."
            case "remove":
                name = accounts.get(user_id).name
                if not form.get("sure"):
                    raise AccountError("Tick the box first if %(name)s shall really be removed.", name=name)
                accounts.remove(user_id)
                flash(f"{name} was removed.")
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
