"""Review: the queue, the page where a person answers, and what was corrected as a dataset."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, flash, jsonify, redirect, render_template, request, send_file, url_for
from werkzeug.wrappers import Response as AnyResponse

from flawsight.i18n import gettext as _
from flawsight.i18n import marked, ngettext, number
from flawsight.records import corrections
from flawsight.records.record import Record
from flawsight.records.reviews import (
    DISPOSITIONS,
    QUEUES,
    VERDICTS,
    Answer,
    BadReview,
    Overtaken,
    Review,
    ReviewBox,
    Reviews,
)
from flawsight.records.search import Filter, History, Key
from flawsight.taxonomy import describe, load_taxonomy
from flawsight.web.asked import is_whole, json_object, known_only, one_of
from flawsight.web.auth import current_user, requires
from flawsight.web.bench import remember, remembered
from flawsight.web.history_address import PLACES, filter_said, parse, spell
from flawsight.web.history_api import page_json
from flawsight.web.security import csrf
from flawsight.web.service import service
from flawsight.web.view import ResultView, ReviewView, badge_word, summary

QUEUE = 48
COUNTED = 10_000
QUEUE_WORDS = {"undecided": marked("Undecided by the model"), "all": marked("All without an answer")}
# Where nothing is good or defective, an answer says which one it is, or that it is none.
NAMED_VERDICTS = {
    "accept": marked("One that this model knows"),
    "unknown": marked("Not one that this model knows"),
}
IN_MEMORY = 32 * 2**20  # bytes of a ZIP file; a larger one goes through the disk

bp = Blueprint("review", __name__, url_prefix="/review")
api = Blueprint("review_api", __name__, url_prefix="/api/v1")
csrf.exempt(api)


@bp.get("")
def queue() -> str | AnyResponse:
    reviews, kind = Reviews(service().store), _kind()
    page = reviews.page(kind, QUEUE, **(place := _place()))
    if place and not page.entries:  # all that stood there was answered meanwhile
        return redirect(_queue_address(kind))
    records = History(reviews.store).records(page.entries)
    counts = {name: reviews.count_queue(name, COUNTED + 1) for name in QUEUES}
    return render_template(
        "queue.html",
        lines=[(entry, *_words(records[entry.id])) for entry in page.entries if entry.id in records],
        least_certain=reviews.queue(kind, 1),
        newer=page.before and _queue_address(kind, before=spell(page.before)),
        older=page.after and _queue_address(kind, after=spell(page.after)),
        count=_at_most(counts[kind]),
        kind=kind,
        shown=[(name, _(QUEUE_WORDS[name]), _at_most(counts[name])) for name in QUEUES],
        count_text=_count_text(kind, counts[kind]),
        nothing=not History(service().store).count(Filter(), 1),
    )


@bp.get("/<inspection_id>")
def show(inspection_id: str) -> str:
    return _page(service().store.get(inspection_id))


@bp.post("/<inspection_id>")
@requires("inspector")
def decide(inspection_id: str) -> AnyResponse | tuple[str, int]:
    reviews, within = Reviews(service().store), _within()
    try:
        answer = _answer(request.form, _sent_boxes(request.form))
        reviews.add(inspection_id, answer, request.form.get("seen", type=int))
    except (BadReview, Overtaken) as error:
        return _page(service().store.get(inspection_id), error.said(), request.form), error.status
    following = _neighbours(inspection_id)[1]
    goes_on = following and request.form.get("then") == "next"
    if within or reviews.queue(_kind(), 1):
        flash(_("The answer was filed."))
    else:
        flash(_("The answer was filed. Nothing else waits for one."))
    target = (
        url_for(".show", inspection_id=following, **dict[str, Any](within))
        if goes_on
        else url_for("inspections.show", inspection_id=inspection_id, **dict[str, Any](within))
    )
    return remember(redirect(target, 303), {**remembered(), "inspector": answer.reviewer})


@bp.get("/corrections.zip")
def download() -> Response:
    """What people corrected; with ``?all=1`` also what they confirmed."""
    archive = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - sent, and closed by the server
    try:
        corrections.write_zip(Reviews(service().store), archive, only_corrected="all" not in request.args)
    except BaseException:
        archive.close()
        raise
    archive.seek(0)
    return send_file(archive, mimetype="application/zip", download_name="corrections.zip", as_attachment=True)


# --- for programs ---------------------------------------------------------------------------------------


@api.get("/inspections/<inspection_id>/reviews")
def listed(inspection_id: str) -> Response:
    """What people answered, first to latest."""
    store = service().store
    store.get(inspection_id)  # an unknown id is not an inspection without reviews
    return jsonify(reviews=[review.to_dict() for review in Reviews(store).of(inspection_id)])


@api.post("/inspections/<inspection_id>/reviews")
@requires("inspector")
def create(inspection_id: str) -> Response:
    """Confirm or correct an inspection. Nothing is overwritten: the latest answer counts."""
    texts = ("reviewer", "verdict", "class", "disposition", "rationale")
    values = json_object(*texts, "boxes")
    boxes = values.get("boxes", [])
    if not isinstance(boxes, list) or any(not isinstance(values.get(key, ""), str) for key in texts):
        raise BadReview("'boxes' is a list, everything else a text.")
    answer = _answer({key: values.get(key, "") for key in texts}, [ReviewBox.from_dict(box) for box in boxes])
    response = jsonify(Reviews(service().store).add(inspection_id, answer).to_dict())
    response.status_code = 201
    response.headers["Location"] = url_for(".listed", inspection_id=inspection_id)
    return response


@api.get("/reviews/queue")
def queue_for_programs() -> Response:
    """A page of what nobody has answered, least certain first, and a link to the next.

    ``show=undecided``: only what the model left to a person.
    """
    known_only(request.args, "show", *PLACES)
    show = one_of(request.args, "show", tuple(QUEUES))
    kind = show or "all"
    reviews = Reviews(service().store)
    page, count = reviews.page(kind, QUEUE, **_place()), reviews.count_queue(kind, COUNTED + 1)
    return page_json(page, count, ".queue_for_programs", {"show": show} if show else {})


@api.get("/reviews/corrections.zip")
def download_for_programs() -> Response:
    """Corrected pictures as class folders with boxes, to train on."""
    return download()


def _kind() -> str:
    """Which queue the address means; the usual one needs no word."""
    return "all" if request.args.get("queue") == "all" else "undecided"


def _place() -> dict[str, Key]:
    """The key to go on from, if the address names one."""
    return parse({name: request.args[name] for name in PLACES if name in request.args})[2]


def _queue_address(kind: str, **place: str) -> str:
    return url_for(".queue", **dict[str, Any]({"queue": "all" if kind == "all" else None, **place}))


def _within() -> dict[str, str]:
    """The list one came from, as an address says it: a filter of the history, or the queue of all."""
    said = filter_said(request.args)
    return said or ({"queue": "all"} if _kind() == "all" else {})


def _at_most(count: int) -> str:
    return f"{number(COUNTED)}+" if count > COUNTED else number(count)


def _count_text(kind: str, count: int) -> str:
    if count > COUNTED:
        return _("More than %(count)s wait for an answer", count=number(COUNTED))
    if kind == "all":
        return ngettext("%(num)s has no answer yet", "%(num)s have no answer yet", count)
    return ngettext("%(num)s waits for an answer", "%(num)s wait for an answer", count)


def _words(record: Record) -> tuple[str, str]:
    """Headline and badge of an inspection that waits for an answer."""
    said = summary(record)
    return said.headline, badge_word(said.verdict, describe(record.data["predicted_class"]))


# --- reading and showing --------------------------------------------------------------------------------


def _answer(values: Mapping[str, str], boxes: list[ReviewBox]) -> Answer:
    user = current_user()
    verdict = values.get("verdict", "")
    return Answer(
        reviewer=user.name if user.id else values.get("reviewer", "").strip(),
        verdict=verdict,
        class_id=values.get("class", ""),
        boxes=tuple(boxes),
        disposition=values.get("disposition", ""),
        rationale=values.get("rationale", "").strip().replace("\r\n", "\n"),
    )


def _sent_boxes(form: Mapping[str, str]) -> list[ReviewBox]:
    """The boxes of the form; without scripts they cannot be removed, so only a rejected part keeps them."""
    return _read_boxes(form.get("boxes", "")) if form.get("verdict") == "reject" else []


def _read_boxes(sent: str) -> list[ReviewBox]:
    try:
        boxes = json.loads(sent or "[]")
    except (ValueError, RecursionError):  # no JSON, or nested without end
        boxes = None
    if not isinstance(boxes, list) or not is_whole(boxes):
        raise BadReview("The boxes did not arrive whole. Load the page again.")
    return [ReviewBox.from_dict(box) for box in boxes]


def _page(record: Record, problem: str = "", form: Mapping[str, str] | None = None) -> str:
    reviews = Reviews(service().store)
    answers = reviews.of(record.id)
    before, after = _neighbours(record.id)
    said = form or _wanted(_preset(record, answers[-1] if answers else None), record)
    view = ResultView.of(record)
    offered = sorted({*load_taxonomy(), *record.data["probabilities"], said["class"]} - {""})
    return render_template(
        "review.html",
        view=view,
        answers=[ReviewView.of(answer, record.data) for answer in answers],
        before=before,
        after=after,
        said=said,
        within=_within(),
        in_history=bool(filter_said(request.args)),
        model_boxes=_model_boxes(record),
        kept_boxes=[] if view.identifies else _kept_boxes(said.get("boxes", "")),
        problem=problem,
        verdicts=NAMED_VERDICTS if view.identifies else VERDICTS,
        dispositions=DISPOSITIONS,
        classes=[describe(class_id) for class_id in offered],
        likely=[describe(class_id) for class_id in list(record.data["probabilities"])[:5]],
        reviewer=said.get("reviewer") or remembered().get("inspector", ""),
    )


def _kept_boxes(sent: str) -> list[dict[str, Any]]:
    """The boxes of the form, told where no script draws them; none where they did not arrive whole."""
    try:
        boxes = _read_boxes(sent)
    except BadReview:
        return []
    return [{**box.to_dict(), "title": describe(box.class_id).title} for box in boxes]


def _neighbours(inspection_id: str) -> tuple[str | None, str | None]:
    """Those before and after it: in the list whose filter the address holds, otherwise in the queue."""
    wanted, order, _place = parse(within := filter_said(request.args))
    if within:
        return History(service().store).neighbours(inspection_id, wanted, order)
    return Reviews(service().store).neighbours(inspection_id, _kind())


def _preset(record: Record, latest: Review | None) -> dict[str, Any]:
    """What the form says at first: the latest answer, or the model's as far as it is one."""
    if latest:
        boxes = [box.to_dict() for box in latest.boxes]
        return {
            "verdict": latest.verdict,
            "class": latest.class_id or record.data["predicted_class"],
            "disposition": latest.disposition,
            "rationale": latest.rationale,
            "boxes": json.dumps(boxes),
        }
    data = record.data
    verdict = data["verdict"] if data["verdict"] in VERDICTS else ""
    return {"verdict": verdict, "class": data["predicted_class"], "boxes": _model_boxes(record)}


def _wanted(preset: dict[str, Any], record: Record) -> dict[str, Any]:
    """``preset`` with the verdict that the address asks for, and a class that goes with it.

    A good part may get the likeliest good class of its kind. A defect is only ever that of the model's own
    answer: without one it is empty, for a person to choose.
    """
    verdict = request.args.get("answer", "")
    if verdict not in VERDICTS or verdict == preset["verdict"]:
        return preset
    own = record.data["predicted_class"]
    classes = [preset["class"], own]
    if verdict == "accept":
        likely = list(record.data["probabilities"])
        classes += sorted(likely, key=lambda name: describe(name).dataset != describe(own).dataset)
    fitting = (name for name in classes if name and _fits(name, verdict))
    return {**preset, "verdict": verdict, "class": next(fitting, "")}


def _fits(class_id: str, verdict: str) -> bool:
    """Whether a class may go with a verdict; a part that is none for this model may be of any."""
    return verdict == "unknown" or describe(class_id).is_defect == (verdict == "reject")


def _model_boxes(record: Record) -> str:
    return json.dumps([ReviewBox.from_dict(box).to_dict() for box in record.data["boxes"]])
