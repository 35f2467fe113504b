"""Trust for programs, under ``/api/v1/trust``."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from flawsight.records import golden_photos as photos
from flawsight.records.checks import Check, Checks
from flawsight.records.golden import BadGoldenPart, GoldenPart
from flawsight.records.verify import head
from flawsight.web import trust as pages
from flawsight.web.asked import json_object, known_only
from flawsight.web.auth import requires
from flawsight.web.background import start_golden_check, start_verification
from flawsight.web.security import csrf
from flawsight.web.service import service
from flawsight.web.trust_view import agreement_json, check_json, drift_json, locked_text

bp = Blueprint("trust_api", __name__, url_prefix="/api/v1/trust")
csrf.exempt(bp)


@bp.get("/chain")
def chain() -> Response:
    """The head of the chain, to be kept elsewhere, and the latest check of the history."""
    store = service().store
    last = head(store)
    return jsonify(
        head={"link": last.seq, "hash": last.hash}, check=check_json(Checks(store).latest("records"))
    )


@bp.post("/chain/check")
@requires("inspector")
def check_chain() -> Response:
    """Start to hold the whole history against the chain; its progress is told at the address in Location."""
    start_verification(service(), pages.signed())
    return _accepted(chain(), ".chain")


@bp.get("/golden")
def golden() -> Response:
    """Whether inspection is locked and why, the golden parts, and the latest check of them."""
    it = service()
    check = it.golden.checks.latest("golden")  # before the state, which then knows a check that has finished
    state, latest = it.golden.state(it.fingerprint()), photos.latest(it.golden)
    return jsonify(
        required=state.required,
        locked=state.locked,
        reason=locked_text(state),
        parts=[
            {**_part_json(part), "photo": _photo_json(latest[part.id]) if part.id in latest else None}
            for part in it.golden.parts()
        ],
        removed=[
            {"title": one.part.title, "by": one.by, "at": one.at.isoformat(), "why": one.why}
            for one in it.golden.removals()
        ],
        check=check_json(check),
    )


@bp.post("/golden/check")
def check_golden() -> Response:
    """Start to inspect the golden parts; the outcome is told at the address in Location."""
    start_golden_check(service(), pages.signed())
    return _accepted(golden(), ".golden")


@bp.post("/golden/parts")
@requires("admin")
def add() -> Response:
    """Keep a golden part: a picture as ``file``, or the number of an ``inspection``, with its ``verdict``."""
    part, found = pages.add_part()
    response = jsonify({**_part_json(part), "comes_out": found})
    response.status_code = 201
    return response


@bp.get("/golden/parts/<int:part_id>/picture")
def picture(part_id: int) -> AnyResponse:
    """A small picture of a golden part."""
    return pages.golden_picture(part_id)


@bp.post("/golden/parts/<int:part_id>/photos")
def compare(part_id: int) -> Response:
    """Compare a fresh photo of a golden part, sent as ``file``, with what is expected and what is stored.

    It neither locks nor unlocks anything.
    """
    response = jsonify(_photo_json(pages.compare_photo(part_id)))
    response.status_code = 201
    return response


@bp.get("/golden/photos/<int:check_id>/picture")
def photo(check_id: int) -> AnyResponse:
    """A small picture of a fresh photo of a golden part."""
    return pages.golden_photo(check_id)


@bp.delete("/golden/parts/<int:part_id>")
@requires("admin")
def remove(part_id: int) -> tuple[str, int]:
    """Check a golden part no more; ``why`` goes on record."""
    service().golden.remove(part_id, pages.signed(), request.args.get("why", ""))
    return "", 204


@bp.post("/golden/override")
@requires("admin")
def override() -> Response:
    """Let inspection go on without a passed check until the next is due; ``rationale`` goes on record."""
    rationale = json_object().get("rationale", "")
    if not isinstance(rationale, str):
        raise BadGoldenPart("'rationale' is a text.")
    it = service()
    it.golden.override(it.fingerprint(), pages.signed(), rationale)
    return golden()


@bp.get("/agreement")
def agreement() -> Response:
    """How far the model and people agree on the inspections of the days ``from`` to ``to``."""
    known_only(request.args, "from", "to")
    since, until, found = pages.asked_agreement()
    return jsonify({"from": since.isoformat(), "to": until.isoformat(), **agreement_json(found)})


@bp.get("/drift")
def drift() -> Response:
    """Whether the ``n`` latest inspections look like the validation set, and since when they do not."""
    known_only(request.args, "n")
    return jsonify(drift_json(pages.asked_drift()))


def _accepted(response: Response, endpoint: str) -> Response:
    response.status_code = 202
    response.headers["Location"] = url_for(endpoint)
    return response


def _photo_json(check: Check) -> dict[str, Any]:
    return {
        **(check_json(check) or {}),
        "id": check.id,
        "picture": url_for(".photo", check_id=check.id),
    }


def _part_json(part: GoldenPart) -> dict[str, Any]:
    return {
        "id": part.id,
        "title": part.title,
        "verdict": part.verdict,
        "class": part.class_id,
        "image_sha256": part.image_sha256,
        "source": part.source,
        "template": part.template_name,
        "added_at": part.added_at.isoformat(),
        "added_by": part.added_by,
    }
