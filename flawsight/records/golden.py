"""Golden parts: known good and known bad ones that must come out right before a shift may inspect.

Their pictures are kept apart from the history, in the store's folder ``golden`` under their hashes, so
that no retention rule takes them away. What is done with them is a link of the chain.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select, text

from flawsight.atomic import write_bytes
from flawsight.errors import FlawsightError, NotFound, SettingsError
from flawsight.i18n import marked
from flawsight.inspection.result import VERDICTS, Inspection
from flawsight.inspection.template import Template
from flawsight.records import links
from flawsight.records.checks import Check, Checks, finished
from flawsight.records.part_templates import PartTemplates
from flawsight.records.store import Store
from flawsight.records.tables import CheckRow, GoldenRow, LinkRow

FOLDER = "golden"
MOST = 200  # parts; more would keep the line waiting
RATIONALE_LENGTH = 500
# What a model says of a picture, by its name, held against a template or none.
Answer = Callable[[bytes, str, Template | None], Inspection]
GONE = marked("There is no such golden part; it may have been removed already.")
_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_EVERY = re.compile(r"(?:every\s+)?(\d+(?:\.\d+)?)\s*(?:h|hours?)?", re.IGNORECASE)


class BadGoldenPart(FlawsightError):
    """A golden part, or leave to go on without, that cannot be meant."""

    code = "bad_golden_part"
    status = 400


class Locked(FlawsightError):
    """The golden parts have not passed, so nothing may be inspected."""

    code = "golden_check_needed"
    status = 423


# Why inspection is locked.
REASONS = {
    "no_parts": marked(
        "Inspection is locked: golden parts must pass first, but there are none. An admin adds them under "
        "Trust, Golden parts."
    ),
    "never": marked(
        "Inspection is locked until the golden parts have passed with the model and the thresholds that are "
        "in use now. Run the check under Trust, Golden parts."
    ),
    "over": marked(
        "Inspection is locked: the golden parts last passed before this shift. Run the check under Trust, "
        "Golden parts."
    ),
    "failed": marked(
        "Inspection is locked: %(failed)s of %(total)s golden parts failed. See under Trust, Golden parts, "
        "what to do."
    ),
}


@dataclass(frozen=True)
class Schedule:
    """When the golden parts must pass again: so many ``hours`` after they did, or at each start of a shift.

    Attributes:
        starts: minutes after midnight where this computer stands.
    """

    hours: float = 0.0
    starts: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str | None) -> Schedule | None:
        """``every 8 h``, or starts of shifts as ``06:00, 14:00, 22:00``; ``None`` if nothing is asked for.

        Raises:
            SettingsError: it is neither.
        """
        text = (text or "").strip()
        if not text:
            return None
        if (every := _EVERY.fullmatch(text)) and float(every[1]) > 0:
            return cls(hours=float(every[1]))
        times = [_TIME.fullmatch(part) for part in re.split(r"[,\s]+", text)]
        if not all(times):
            raise SettingsError(
                "FLAWSIGHT_GOLDEN is %(text)r. Write 'every 8 h', or when shifts start: "
                "'06:00, 14:00, 22:00'.",
                text=text,
            )
        return cls(starts=tuple(sorted(60 * int(time[1]) + int(time[2]) for time in times if time)))

    def valid_from(self, now: datetime) -> datetime:
        """A check from before this moment counts no more."""
        if not self.starts:
            return now - timedelta(hours=self.hours)
        today = now.astimezone().date()
        starts = [  # each by the clock of its own day: summer time may begin or end in between
            datetime.combine(today - timedelta(days=day), time(start // 60, start % 60)).astimezone(UTC)
            for day in (0, 1)
            for start in self.starts
        ]
        return max(start for start in starts if start <= now)


@dataclass(frozen=True)
class GoldenPart:
    """A part of known state.

    Attributes:
        class_id: empty if any class will do.
        source: number of the inspection that it was taken from, or empty.
        template_sha256: picture among the store's templates that it is held against; empty without one.
    """

    id: int
    title: str
    image_sha256: str
    verdict: str
    class_id: str
    source: str
    template_sha256: str
    template_name: str
    added_at: datetime
    added_by: str


@dataclass(frozen=True)
class Removal:
    """A part that is checked no more. Removals of early versions have no ``why``."""

    part: GoldenPart
    by: str
    at: datetime
    why: str


@dataclass(frozen=True)
class State:
    """Where things stand.

    Attributes:
        required: whether there is a schedule at all.
        reason: key of ``REASONS`` if inspection is locked, else empty.
        last: the latest run or leave that counts for the model in use; ``None`` if there is none.
    """

    required: bool
    reason: str
    last: Check | None

    @property
    def locked(self) -> bool:
        return bool(self.reason)

    @property
    def values(self) -> dict[str, int]:
        """What the reason's sentence is filled with."""
        if self.reason != "failed" or self.last is None:
            return {}
        outcomes = self.last.result["parts"]
        return {"failed": sum(not one["passed"] for one in outcomes), "total": len(outcomes)}


class GoldenParts:
    """The golden parts of ``store``. Safe to share between threads and processes.

    Args:
        schedule: when they must pass; ``None``: never.
    """

    def __init__(self, store: Store, schedule: Schedule | None) -> None:
        self.store, self.schedule = store, schedule
        self.checks = Checks(store)
        self._templates = PartTemplates(store)
        self._folder = store.instance / FOLDER

    def parts(self) -> list[GoldenPart]:
        """Those in use, in the order they were added."""
        with self.store.transaction("read") as session:
            return [_part(row) for row in session.scalars(_in_use())]

    def add(
        self,
        image: bytes,
        title: str,
        verdict: str,
        class_id: str,
        by: str,
        source: str = "",
        template: Mapping[str, Any] | None = None,
    ) -> GoldenPart:
        """Keep a picture that must come out as ``verdict``, and as ``class_id`` if that is given.

        Args:
            template: ``sha256`` and ``name`` of the kept template that it is held against.

        Raises:
            BadGoldenPart: the verdict is none, or there are too many parts.
        """
        if verdict not in VERDICTS:
            raise BadGoldenPart("The expected verdict is one of: %(verdicts)s.", verdicts=", ".join(VERDICTS))
        digest = hashlib.sha256(image).hexdigest()
        write_bytes(self._folder / digest, image)
        with self.store.transaction("write", write=True) as session:
            rows = list(session.scalars(_in_use()))
            if any(row.image_sha256 == digest for row in rows):
                raise BadGoldenPart("This picture is a golden part already. Remove that one first.")
            if len(rows) >= MOST:
                raise BadGoldenPart("There are %(most)s golden parts. Remove one first.", most=MOST)
            row = GoldenRow(
                title=title, image_sha256=digest, verdict=verdict, class_id=class_id, source=source,
                template_sha256=template["sha256"] if template else "",
                template_name=template["name"] if template else "",
                added_at=(now := datetime.now(UTC)), added_by=by, removed_at=None, removed_by="",
            )  # fmt: skip
            session.add(row)
            session.flush()
            links.append(session.connection(), "golden", row.id, links.golden_content(row, "added", by, now))
            return _part(row)

    def part(self, part_id: int) -> GoldenPart:
        """The one in use with this id.

        Raises:
            NotFound: there is no such part.
        """
        for part in self.parts():
            if part.id == part_id:
                return part
        raise NotFound(GONE)

    def remove(self, part_id: int, by: str, why: str) -> GoldenPart:
        """Check this part no more. Its picture is kept, for the runs of before; ``why`` goes on record.

        Raises:
            NotFound: there is no such part.
            BadGoldenPart: no reason was given.
        """
        why = why.strip()
        if not 1 <= len(why) <= RATIONALE_LENGTH:
            raise BadGoldenPart(
                "Say in up to %(most)s characters why this part is not to be checked any more.",
                most=RATIONALE_LENGTH,
            )
        with self.store.transaction("write", write=True) as session:
            row = session.get(GoldenRow, part_id)
            if row is None or row.removed_at:
                raise NotFound(GONE)
            row.removed_at, row.removed_by = (now := datetime.now(UTC)), by
            said = {**links.golden_content(row, "removed", by, now), "why": why}
            links.append(session.connection(), "golden", row.id, said)
            return _part(row)

    def removals(self, limit: int = 10) -> list[Removal]:
        """What was removed last, latest first."""
        gone = select(GoldenRow).where(GoldenRow.removed_at.is_not(None))
        with self.store.transaction("read") as session:
            rows = list(session.scalars(gone.order_by(GoldenRow.removed_at.desc()).limit(limit)))
            kept = select(LinkRow).where(
                LinkRow.kind == "golden", LinkRow.ref.in_([str(row.id) for row in rows])
            )
            said = {
                one.ref: one.content for one in session.scalars(kept) if one.content["event"] == "removed"
            }
            why = {row.id: said.get(str(row.id), {}).get("why", "") for row in rows}
            return [
                Removal(_part(row), row.removed_by, row.removed_at, why[row.id])
                for row in rows
                if row.removed_at
            ]

    def picture(self, part_id: int) -> Path:
        """The file with the picture as received.

        Raises:
            NotFound: there is no such part, or its picture is gone or not what it was.
        """
        with self.store.transaction("read") as session:
            row = session.get(GoldenRow, part_id)
        if row is None:
            raise NotFound(GONE)
        return self.checked(row.image_sha256)

    def file(self, digest: str) -> Path:
        """Where the picture of this SHA-256 is kept."""
        return self._folder / digest

    def state(self, fingerprint: str, now: datetime | None = None) -> State:
        """Whether a model and thresholds of this ``fingerprint`` may inspect."""
        if self.schedule is None:
            return State(False, "", self._last(fingerprint))
        last = self._last(fingerprint)
        if last is None:
            return State(True, "never" if self.parts() else "no_parts", None)
        if last.finished_at and last.finished_at < self.schedule.valid_from(now or datetime.now(UTC)):
            return State(True, "over", last)
        return State(True, "" if last.passed else "failed", last)

    def require(self, fingerprint: str) -> str:
        """Stop here unless inspection is unlocked; what a report says of the last check.

        Raises:
            Locked: the message says why, and what to do.
        """
        state = self.state(fingerprint)
        if state.locked:
            raise Locked(REASONS[state.reason], **state.values)
        if state.last is None or state.last.finished_at is None:
            return ""
        when = f"{state.last.finished_at:%Y-%m-%d %H:%M} UTC"
        if state.last.kind == "override":
            return f"{when}, set aside by {state.last.by}: {state.last.result['rationale']}"
        if wrong := sum(not one["passed"] for one in state.last.result["parts"]):
            return f"{when}, {wrong} of {len(state.last.result['parts'])} golden parts came out wrong"
        return f"{when}, all {len(state.last.result['parts'])} golden parts came out right"

    def check(self, check_id: int, inspect: Answer) -> Check:
        """Inspect every part and note what came out; ``check_id`` is of ``checks.begin("golden", ...)``.

        What cannot be inspected has failed. A run that ends in an error says so and unlocks nothing.
        """
        parts, outcomes = self.parts(), list[dict[str, Any]]()
        for part in parts:
            self.checks.tell(check_id, len(outcomes), len(parts), {"parts": outcomes})
            outcomes.append(self._outcome(part, inspect))
        passed = bool(parts) and all(one["passed"] for one in outcomes)
        self.checks.tell(check_id, len(outcomes), len(parts), {"parts": outcomes})
        with self.store.transaction("write", write=True) as session:
            check = finished(session, check_id, passed, {"parts": outcomes})
            said = {"fingerprint": check.fingerprint, "passed": passed, "parts": outcomes}
            links.append(
                session.connection(), "golden", check.id, {"event": "checked", "by": check.by, **said}
            )
        return check

    def override(self, fingerprint: str, by: str, rationale: str) -> Check:
        """Let inspection go on without a passed check, until the next one is due.

        Raises:
            BadGoldenPart: no rationale was given.
        """
        rationale = rationale.strip()
        if not 10 <= len(rationale) <= RATIONALE_LENGTH:
            raise BadGoldenPart(
                "Say in 10 to %(most)s characters why inspection may go on without a passed check.",
                most=RATIONALE_LENGTH,
            )
        now, said = datetime.now(UTC), {"rationale": rationale}
        row = CheckRow(
            kind="override", fingerprint=fingerprint, by=by, started_at=now, seen_at=now, finished_at=now,
            done=0, total=0, passed=True, result=said,
        )  # fmt: skip
        with self.store.transaction("write", write=True) as session:
            session.add(row)
            session.flush()
            content = {"event": "override", "by": by, "fingerprint": fingerprint, **said}
            links.append(session.connection(), "golden", row.id, content)
        found = self._last(fingerprint)
        assert found is not None
        return found

    def _last(self, fingerprint: str) -> Check | None:
        """The latest run that was finished, or leave, for the model in use."""
        return self.checks.latest_finished(fingerprint, "golden", "override")

    def ever_right(self) -> set[int]:
        """Ids of the parts that came out right in any check so far."""
        right = text(
            "SELECT DISTINCT part.value ->> '$.id' FROM checks, json_each("
            "CASE WHEN json_valid(checks.result) THEN checks.result ELSE '{}' END, '$.parts') part "
            "WHERE checks.kind = 'golden' AND part.value ->> '$.passed'"
        )
        with self.store.transaction("read") as session:
            return set(session.scalars(right))

    def _outcome(self, part: GoldenPart, inspect: Answer) -> dict[str, Any]:
        try:
            return outcome(part, inspect(self.content(part.image_sha256), part.title, self.template(part)))
        except FlawsightError as error:
            return {**_expected(part), "passed": False, "error": str(error)}

    def template(self, part: GoldenPart) -> Template | None:
        """What ``part`` is held against.

        Raises:
            LostTemplate: its picture is gone or was altered.
        """
        if not part.template_sha256:
            return None
        return self._templates.template(part.template_sha256, part.template_name)

    def checked(self, digest: str) -> Path:
        """The file with this SHA-256.

        Raises:
            NotFound: it is gone, or not what it was.
        """
        self.content(digest)
        return self.file(digest)

    def content(self, digest: str) -> bytes:
        """What was kept with this SHA-256.

        Raises:
            NotFound: it is gone, or not what it was.
        """
        try:
            content = self.file(digest).read_bytes()
        except OSError:
            content = b""
        if hashlib.sha256(content).hexdigest() != digest:
            raise NotFound(
                "The picture of this golden part is gone or was altered. Remove the part and add it anew, or "
                "restore the instance folder from a backup."
            )
        return content


def outcome(part: GoldenPart, found: Inspection) -> dict[str, Any]:
    """What came out of a part, and whether that is right; plain JSON."""
    return {
        **_expected(part),
        "passed": found.verdict == part.verdict and part.class_id in ("", found.predicted_class),
        "found_verdict": found.verdict,
        "found_class": found.predicted_class,
        "defect_probability": round(found.defect_probability, 4),
    }


def _expected(part: GoldenPart) -> dict[str, Any]:
    return {"id": part.id, "title": part.title, "verdict": part.verdict, "class": part.class_id}


def fingerprint(models: list[tuple[str, Any]]) -> str:
    """Of what answers: the hash of each model file on the bench, with its ``Decision``."""
    return links.sha256([[sha256, asdict(decision)] for sha256, decision in models])


def _in_use() -> Any:
    return select(GoldenRow).where(GoldenRow.removed_at.is_(None)).order_by(GoldenRow.id)


def _part(row: GoldenRow) -> GoldenPart:
    return GoldenPart(
        row.id, row.title, row.image_sha256, row.verdict, row.class_id, row.source, row.template_sha256,
        row.template_name, row.added_at, row.added_by,
    )  # fmt: skip
