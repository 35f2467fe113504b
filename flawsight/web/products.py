"""Which product is on the bench, where more than one model answers; remembered by the browser."""

from __future__ import annotations

from types import SimpleNamespace

from flask import Blueprint, make_response, request
from werkzeug.wrappers import Response

from flawsight.i18n import gettext as _
from flawsight.web.fleet import AUTO
from flawsight.web.service import service

COOKIE = "flawsight_product"
KEPT_S = 365 * 24 * 3600

bp = Blueprint("products", __name__, url_prefix="/bench")


@bp.post("/product")
def keep() -> Response:
    """Remember the choice; the page sends it as soon as it is changed."""
    return remember_product(make_response("", 204))


def choices() -> list[SimpleNamespace]:
    """The products on the bench, and to let the program choose; none where there is but one."""
    bench = service().fleet.bench()
    if len(bench) < 2:
        return []
    remembered = request.cookies.get(COOKIE, "")
    names, titles = [_(model.product) for model in bench], [model.title for model in bench]
    offered = []
    for model, name in zip(bench, names, strict=True):
        title = f"{name} ({model.title})" if titles.count(model.title) == 1 else model.label
        offered.append((model.key, name if names.count(name) == 1 else title))
    offered.append((AUTO, _("Let the program choose")))
    chosen = remembered if remembered in dict(offered) else bench[0].key
    return [SimpleNamespace(key=key, title=title, chosen=key == chosen) for key, title in offered]


def sent_product() -> str:
    """The product that the form names, else the remembered one, if it is still on the bench."""
    if sent := request.form.get("product", ""):
        return sent
    return next((choice.key for choice in choices() if choice.chosen), "")


def remember_product(response: Response) -> Response:
    """Let the browser of ``response`` remember what its form says."""
    product = request.form.get("product", "")
    if product == AUTO or product in {model.key for model in service().fleet.bench()}:
        response.set_cookie(
            COOKIE, product, max_age=KEPT_S, httponly=True, samesite="Lax", secure=request.is_secure
        )
    return response
