"""Trust: the chain over all that is filed, golden parts, agreement with people, and drift."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from flawsight.errors import ImageError, NotFound, RecordError
from flawsight.i18n import gettext as _
from flawsight.inspection.result import VERDICTS
from flawsight.inspection.words import template_of
from flawsight.records import golden_photos as photos
from flawsight.records.agreement import PEOPLE, Agreement, agreement
from flawsight.records.checks import Check, Checks
from flawsight.records.drift import MOST, RECENT, Drift, drift
from flawsight.records.golden import BadGoldenPart, GoldenPart, outcome
from flawsight.records.part_templates import LostTemplate
from flawsight.records.record import Record
from flawsight.records.reviews import Reviews
from flawsight.records.search import Filter, History
from flawsight.records.verify import BadHead, head, holds, parse_head
from flawsight.taxonomy import describe
from flawsight.web.answer import uploaded
from flawsight.web.asked import BadFilter
from flawsight.web.auth import current_user, requires
from flawsight.web.background import golden_inspect, start_golden_check, start_verification
from flawsight.web.history_address import midnight, parse_day
from flawsight.web.service import service
from flawsight.web.thumbnails import send_thumbnail
from flawsight.web.trust_view import (
    CheckView,
    ShiftView,
    agreement_warnings,
    came_out,
    golden_lines,
    kappa_text,
    locked_text,
    mix_sentence,
    rate_text,
)
from flawsight.web.view import NOBODY, spoken_time

DAYS = 30  # of agreement, unless other days are asked for
TITLE_LENGTH = 80
KEEP_S = 3600

bp = Blueprint("trust", __name__, url_prefix="/trust")


# --- the chain --------------------------------------------------------------------------------------------


@bp.get("")
def index() -> str:
    store = service().store
    kept, problem, held = request.args.get("head", ""), "", None
    try:
        held = holds(store, parse_head(kept)) if kept else None
    except BadHead as error:
        problem = error.said()
    checks = Checks(store)
    return render_template(
        "trust.html",
        head=head(store),
        last=CheckView.of(checks.latest("records")),
        kept=kept,
        held=held,
        problem=problem,
    )


@bp.post("/check")
@requires("inspector")
def check() -> AnyResponse:
    start_verification(service(), signed())
    return redirect(url_for(".index"), 303)


@bp.get("/head.txt")
def head_file() -> Response:
    """The head, to be filed where nobody of this computer can change it."""
    now = datetime.now().astimezone()
    text = _("Head of the chain of Flawsight's history on %(when)s:", when=now.isoformat(timespec="seconds"))
    last = head(service().store)
    said = f"{text}\n\n{last}\n\n" + _(
        "Check it later: %(command)s", command=f"python -m flawsight verify --head {last}"
    )
    response = Response(said + "\n", mimetype="text/plain")
    response.headers["Content-Disposition"] = f'attachment; filename="flawsight-head-{now:%Y-%m-%d}.txt"'
    return response


# --- golden parts -----------------------------------------------------------------------------------------


@bp.get("/golden")
def golden() -> str:
    return _golden_page()


@bp.post("/golden/check")
def check_golden() -> AnyResponse:
    start_golden_check(service(), signed())
    return redirect(url_for(".golden"), 303)


@bp.post("/golden/parts")
@requires("admin")
def add_golden() -> AnyResponse | tuple[str, int]:
    try:
        part, found = add_part()
    except (BadGoldenPart, LostTemplate, NotFound, ImageError, RecordError) as error:
        return _golden_page(error.said()), error.status
    if found["passed"]:
        flash(_("%(title)s is a golden part now. It is checked at the next run.", title=part.title))
    else:
        flash(
            _(
                "%(title)s is a golden part now, but it would not pass: it comes out as %(found)s. Remove "
                "it, unless the model or its thresholds will be changed before the next check.",
                title=part.title,
                found=came_out(found),
            ),
            "problem",
        )
    return redirect(url_for(".golden"), 303)


@bp.post("/golden/parts/<int:part_id>/photos")
def compare_golden(part_id: int) -> AnyResponse | tuple[str, int]:
    try:
        check = compare_photo(part_id)
    except (BadGoldenPart, LostTemplate, NotFound, ImageError) as error:
        return _golden_page(error.said()), error.status
    title = check.result["parts"][0]["title"]
    right = _(
        "The photo of %(title)s came out right. How it differs from the stored picture is said below.",
        title=title,
    )
    wrong = _(
        "The photo of %(title)s came out wrong. See below how it differs from the stored picture.",
        title=title,
    )
    flash(right if check.passed else wrong, "message" if check.passed else "problem")
    return redirect(url_for(".golden", _anchor=f"part-{part_id}"), 303)


@bp.get("/golden/photos/<int:check_id>/picture")
def golden_photo(check_id: int) -> AnyResponse:
    return send_thumbnail(photos.picture(service().golden, check_id), KEEP_S)


@bp.post("/golden/parts/<int:part_id>/remove")
@requires("admin")
def remove_golden(part_id: int) -> AnyResponse | tuple[str, int]:
    try:
        part = service().golden.remove(part_id, signed(), request.form.get("why", ""))
    except (BadGoldenPart, NotFound) as error:
        return _golden_page(error.said()), error.status
    flash(_("%(title)s is no golden part any more.", title=part.title))
    return redirect(url_for(".golden"), 303)


@bp.post("/golden/override")
@requires("admin")
def override() -> AnyResponse | tuple[str, int]:
    it = service()
    try:
        it.golden.override(it.fingerprint(), signed(), request.form.get("rationale", ""))
    except BadGoldenPart as error:
        return _golden_page(error.said()), error.status
    flash(_("Inspection is unlocked until the next check is due. The reason is on record."))
    return redirect(url_for(".golden"), 303)


@bp.get("/golden/parts/<int:part_id>/picture")
def golden_picture(part_id: int) -> AnyResponse:
    return send_thumbnail(service().golden.picture(part_id), KEEP_S)


def add_part() -> tuple[GoldenPart, dict[str, Any]]:
    """The golden part that a form describes, and how it comes out now.

    It is an uploaded picture, or one from the history with the template that it was held against.

    Raises:
        BadGoldenPart, NotFound: it cannot be meant.
        ImageError: what cannot be read can never pass.
        LostTemplate: what the part was held against is gone.
        Busy: too many are waiting.
    """
    form, it = request.form, service()
    verdict, class_id = form.get("verdict", ""), form.get("class", "")
    title = " ".join(form.get("title", "").split())[:TITLE_LENGTH]
    if wanted := form.get("inspection", "").strip():
        if (sent := request.files.get("file")) and sent.filename:
            raise BadGoldenPart("Name an inspection of the history or choose a picture, not both.")
        record = of_history(wanted)
        image, name, number = record.received(), record.data["image"]["name"], record.number
        used, template = template_of(record.data), it.fleet.template_of(record)
    else:
        (image, name), number, used, template = uploaded(), "", None, None
        if not image:
            raise BadGoldenPart("Choose a picture, or name an inspection of the history.")
    with it.queue.place():
        found = golden_inspect(it)(image, name, template)
    part = it.golden.add(image, title or name, verdict, class_id, signed(), number, used)
    return part, outcome(part, found)


def compare_photo(part_id: int) -> Check:
    """The check of a golden part by the fresh photo that a form sends.

    Raises:
        NotFound: there is no such part.
        BadGoldenPart, ImageError: the photo cannot be used.
        Busy: too many are waiting.
    """
    it = service()
    image, name = uploaded()
    with it.queue.place():
        return photos.compare(it.golden, part_id, image, name, golden_inspect(it), signed(), it.fingerprint())


def of_history(wanted: str) -> Record:
    """The inspection of that number, or of that id.

    Raises:
        NotFound: there is none.
    """
    store = service().store
    named = [e.id for e in History(store).page(Filter(text=wanted)).entries if e.number == wanted.upper()]
    return store.get(named[0] if named else wanted)


def _proposed() -> dict[str, str]:
    """The form for an inspection of the address: as people answered, else as the model did."""
    if not (wanted := request.args.get("inspection", "").strip()):
        return {}
    record = of_history(wanted)
    said = Reviews(service().store).latest([record.id]).get(record.id)
    return {
        "inspection": record.number,
        "verdict": said.verdict if said else record.data["verdict"],
        "class": said.class_id if said else record.data["predicted_class"],
    }


def _golden_page(problem: str = "") -> str:
    it = service()
    model_problem = it.model_problem()
    last = it.golden.checks.latest("golden")  # before the state, which then knows a check that has finished
    state = None if model_problem else it.golden.state(it.fingerprint())
    classes = [] if model_problem else [describe(name) for name in it.inspector().metadata.classes]
    return render_template(
        "trust_golden.html",
        schedule=it.golden.schedule,
        starts=[f"{start // 60:02}:{start % 60:02}" for start in it.golden.schedule.starts]
        if it.golden.schedule
        else [],
        state=state,
        locked=locked_text(state) if state else "",
        valid=CheckView.of(state.last) if state else None,
        last=CheckView.of(last),
        lines=golden_lines(it.golden, last),
        log=[CheckView.of(one) for one in it.golden.checks.log("golden", "photo", "override")],
        removed=[(one, spoken_time(one.at)) for one in it.golden.removals()],
        verdicts=VERDICTS,
        classes=classes,
        problem=problem,
        model_problem=model_problem,
        form=request.form or _proposed(),
    )


# --- agreement and drift ----------------------------------------------------------------------------------


@bp.get("/agreement")
def agreement_page() -> str:
    since, until, found = asked_agreement()
    return render_template(
        "trust_agreement.html",
        since=since.date(),
        until=(until - timedelta(days=1)).date(),
        found=found,
        warnings=agreement_warnings(found),
        verdicts=VERDICTS,
        people=PEOPLE,
        kappa_text=kappa_text,
        rate_text=rate_text,
        classes=[(describe(one.class_id).title, one) for one in found.by_class],
    )


@bp.get("/drift")
def drift_page() -> str:
    problem = service().model_problem()
    found = None if problem else asked_drift()
    return render_template(
        "trust_drift.html",
        model_problem=problem,
        found=found,
        shifts=[ShiftView.of(shift, found.since.get(name)) for name, shift in found.shifts.items()]
        if found
        else [],
        mix_text=mix_sentence(found.mix) if found and found.mix else "",
        mix=[(describe(name).title, *shares) for name, shares in found.mix.shares.items()][:12]
        if found and found.mix
        else [],
        span=[spoken_time(moment) for moment in (found.first, found.last) if moment] if found else [],
        recent=recent_wanted(),
        sizes=(100, RECENT, 1000, MOST),
    )


def asked_agreement() -> tuple[datetime, datetime, Agreement]:
    """Begin, end and figures of the days in the address; by default the last ``DAYS``."""
    last = parse_day(request.args, "to") or date.today()
    first = parse_day(request.args, "from") or last - timedelta(days=DAYS - 1)
    since, until = midnight(first), midnight(last + timedelta(days=1))
    return since, until, agreement(service().store, since, until)


def asked_drift() -> Drift:
    """Of as many recent inspections as the address says, with the model in use."""
    metadata = service().inspector().metadata
    return drift(service().store, f"{metadata.name} {metadata.version}", metadata.reference, recent_wanted())


def recent_wanted() -> int:
    text = request.args.get("n", str(RECENT))
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= MOST):
        raise BadFilter(
            "%(text)r is no number of inspections. Write a whole number from 1 to %(most)s.",
            text=text[:20],
            most=MOST,
        )
    return int(text)


def signed() -> str:
    """Who is on record for what is done here."""
    return current_user().name or NOBODY
