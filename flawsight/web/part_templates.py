"""Templates: pictures of good parts that parts of their number are held against; a page, and for programs."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, flash, jsonify, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from flawsight.errors import FlawsightError, ImageError, NotFound
from flawsight.i18n import gettext as _
from flawsight.inspection.inspector import Inspector
from flawsight.inspection.result import Inspection
from flawsight.inspection.template import learned
from flawsight.records.catalogue import folded
from flawsight.records.part_templates import BadTemplate, DoubtfulTemplate, PartTemplate
from flawsight.taxonomy import describe
from flawsight.web.answer import uploaded
from flawsight.web.asked import known_only
from flawsight.web.auth import requires
from flawsight.web.bench import LENGTH, BadContext, checked
from flawsight.web.models import who
from flawsight.web.security import csrf
from flawsight.web.service import Service, service
from flawsight.web.thumbnails import send_thumbnail
from flawsight.web.trust import of_history

KEEP_S = 300  # seconds; then it is looked at again whether the picture is as it was kept
BLANK = 4.0  # deviation of the pixels of a picture, in steps of 255, that shows nothing

bp = Blueprint("part_templates", __name__, url_prefix="/templates")
api = Blueprint("part_templates_api", __name__, url_prefix="/api/v1/templates")
csrf.exempt(api)


# --- the page -------------------------------------------------------------------------------------------


@bp.get("")
def index() -> str:
    return _page()


@bp.post("")
@requires("inspector")
def keep() -> AnyResponse | tuple[str, int]:
    try:
        one, before = keep_sent()
    except (BadTemplate, BadContext, ImageError, NotFound) as error:
        return _page(error.said(), isinstance(error, DoubtfulTemplate)), error.status
    said = _("Parts %(part)s are compared with %(name)s from now on.", part=_part(one), name=one.name)
    flash(" ".join((said, _("It takes the place of %(name)s.", name=before.name))) if before else said)
    return redirect(url_for(".index"), 303)


@bp.post("/<int:template_id>/remove")
@requires("inspector")
def remove(template_id: int) -> AnyResponse | tuple[str, int]:
    try:
        one = service().fleet.templates.remove(template_id, who())
    except NotFound as error:
        return _page(error.said()), error.status
    flash(_("Parts %(part)s are compared with no template any more.", part=_part(one)))
    return redirect(url_for(".index"), 303)


@bp.get("/<int:template_id>/picture")
def picture(template_id: int) -> AnyResponse:
    return send_thumbnail(service().fleet.templates.picture(template_id), KEEP_S)


def keep_sent() -> tuple[PartTemplate, PartTemplate | None]:
    """The template that a form describes, a picture with part number and revision, and the one it replaces.

    Raises:
        BadTemplate: no part is named, or no model on the bench can compare.
        DoubtfulTemplate: the model doubts that it is a good part, and nobody has said that it is.
        BadContext: a field is too long.
        ImageError: the picture cannot be used.
        NotFound: there is no such inspection.
    """
    it, context = service(), checked(request.form)
    image, name = _sent_picture()
    inspector = next((one for one in it.fleet.inspectors() if one.compares), None)
    if inspector is None:
        raise BadTemplate(
            "No model on the bench was taught to compare a part with a template. Put one there first."
        )
    if not image:
        raise BadTemplate("Choose a picture of a good part.")
    pixels = inspector.template(image, name).pixels  # what cannot be read could never be compared with
    if float(pixels.std()) < BLANK:
        raise BadTemplate("This picture is blank: there is nothing on it to compare a part with.")
    number, revision = context.get("part_number", ""), context.get("part_revision", "")
    if not request.form.get("anyway"):
        _doubt(inspector.inspect_bytes(image, name), inspector)
    of_part = it.fleet.templates.of_part(number)
    before = next((one for one in of_part if folded(one.part_revision) == folded(revision)), None)
    return it.fleet.templates.keep(image, name, number, revision, who()), before


def _doubt(inspection: Inspection, inspector: Inspector) -> None:
    """Raise what speaks against the picture as a template: its own defects would be taken for the part."""
    info = describe(inspection.predicted_class)
    if inspection.verdict == "reject":
        raise DoubtfulTemplate(
            "The model finds a defect on this picture: %(title)s. What a template shows is never a defect "
            "again. Look at it; if the part is good, say so (programs: anyway=1) and send the file again.",
            title=info.title,
        )
    if inspection.verdict == "unknown" or not learned(inspector.metadata, info.id):
        raise DoubtfulTemplate(
            "This picture is unlike those that the model learned to compare, so parts may come out wrong. If "
            "you have tried that, say so (programs: anyway=1) and send the file again."
        )


def _sent_picture() -> tuple[bytes, str]:
    """The picture that a form sends, or that of the inspection it names, with its name."""
    if not (wanted := request.form.get("inspection", "").strip()):
        return uploaded()
    record = of_history(wanted)
    upload = record.received()
    return upload, record.data["image"]["name"]


def _proposed() -> dict[str, str]:
    """The form for an inspection of the address."""
    if not (wanted := request.args.get("inspection", "").strip()):
        return {}
    record = of_history(wanted)
    context = record.data.get("context", {})
    known = {key: context.get(key, "") for key in ("part_number", "part_revision")}
    return {"inspection": record.number, **known}


def _page(problem: str = "", doubt: bool = False) -> str:
    it = service()
    return render_template(
        "part_templates.html",
        section="models",
        templates=[(one, it.fleet.templates.intact(one.image_sha256)) for one in it.fleet.templates.all()],
        log=it.fleet.templates.log(),
        cannot=_cannot_compare(it),
        model_problem=it.model_problem(),
        problem=problem,
        doubt=doubt,
        form=request.form or _proposed(),
        length=LENGTH,
        max_mb=f"{it.settings.max_upload_mb:g}",
    )


def _cannot_compare(it: Service) -> list[str]:
    """The models on the bench that inspect a part without its template."""
    try:
        known = it.fleet.metadata()
    except FlawsightError:
        return []
    return [f"{one.name} {one.version}" for one in known if not one.decision.template]


def _part(one: PartTemplate) -> str:
    return " ".join(filter(None, (one.part_number, one.part_revision)))


# --- for programs ---------------------------------------------------------------------------------------


@api.get("")
def listed() -> Response:
    """The templates that hold, and who kept and removed what."""
    templates = service().fleet.templates
    return jsonify(
        templates=[_json(one) for one in templates.all()], changes=[_change(one) for one in templates.log()]
    )


@api.post("")
@requires("inspector")
def create() -> Response:
    """Hold parts of a ``part_number``, or of its ``part_revision`` alone, against a picture from now on.

    The picture shows a good part as the parts will be photographed: a ``file``, or the photo of an
    ``inspection`` of the history, by its number. It takes the place of an earlier one. ``anyway=1`` keeps
    also a picture that the model does not take for a good part that it can compare.
    """
    known_only(request.form, "part_number", "part_revision", "inspection", "anyway")
    response = jsonify(_json(keep_sent()[0]))
    response.status_code = 201
    response.headers["Location"] = url_for(".listed")
    return response


@api.delete("/<int:template_id>")
@requires("inspector")
def delete(template_id: int) -> tuple[str, int]:
    """Hold these parts against nothing from now on. The picture is kept: inspections name it."""
    service().fleet.templates.remove(template_id, who())
    return "", 204


@api.get("/<int:template_id>/picture")
def small_picture(template_id: int) -> AnyResponse:
    """A small picture of a template."""
    return picture(template_id)


def _json(one: PartTemplate) -> dict[str, Any]:
    return {**_change(one), "picture": url_for("part_templates_api.small_picture", template_id=one.id)}


def _change(one: PartTemplate) -> dict[str, Any]:
    return {
        "id": one.id,
        "at": one.at.isoformat(),
        "by": one.by,
        "kind": one.kind,
        "part_number": one.part_number,
        "part_revision": one.part_revision,
        "name": one.name,
        "image_sha256": one.image_sha256,
    }
