"""A lot as it is known: its terms, what happened to it in order, and the words for both."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from flawsight.errors import FlawsightError
from flawsight.i18n import gettext as _
from flawsight.i18n import marked
from flawsight.records.assessment import Figures
from flawsight.records.record import canonical_json

STATES = {
    "open": marked("Open"),
    "accepted": marked("Accepted"),
    "rejected": marked("Rejected"),
    "withdrawn": marked("Withdrawn"),
}
DECISIONS = {"accept": "accepted", "reject": "rejected", "withdraw": "withdrawn"}  # to the state
DISPOSITIONS = {
    "accept": marked("Accept"),
    "reject": marked("Reject"),
    "rework": marked("Rework"),
    "sort": marked("Sort all parts"),
}
DRAWN = {"random": marked("At random from the whole lot"), "other": marked("Not at random")}
DEFAULT_LIMITS = {"critical": "none", "major": "2.5", "unknown": "2.5", "minor": "4.0"}
LENGTH = 80  # characters of a number or name
TEXT_LENGTH = 2000
TREND = 50  # latest lots of a p-chart


class BadLot(FlawsightError):
    """Something about the lot is missing or contradicts itself."""

    code = "bad_lot"
    status = 400


class LotConflict(FlawsightError):
    """Somebody else was faster, or the lot is no longer in a state for this."""

    code = "lot_conflict"
    status = 409


@dataclass(frozen=True)
class Terms:
    """What a lot is held against, fixed when it is opened.

    Attributes:
        limits: severity (``assessment.SEVERITIES``) to AQL or ``sampling.NONE_ALLOWED``.
        drawn: one of ``DRAWN``: how the parts to inspect are picked.
    """

    number: str
    size: int
    level: str
    limits: dict[str, str]
    part_number: str = ""
    part_revision: str = ""
    supplier: str = ""
    drawn: str = "random"


@dataclass(frozen=True)
class Event:
    """What somebody did: ``opened``, ``closed`` or ``disposed``; ``decision`` says how it ended."""

    created_at: datetime
    by: str
    kind: str
    decision: str
    rationale: str
    data: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "created_at": self.created_at.isoformat()}


@dataclass(frozen=True)
class Disposal:
    """What becomes of a closed lot; ``containment`` and ``reference`` may stay empty.

    Attributes:
        disposition: one of ``DISPOSITIONS``.
        containment: what was done at once so that nothing bad goes on.
        reference: of the corrective action, e.g. the number of an 8D report.
    """

    disposition: str
    rationale: str
    containment: str = ""
    reference: str = ""


@dataclass(frozen=True)
class Lot:
    """A lot as filed; ``events`` first to latest, ``state`` one of ``STATES``."""

    id: int
    terms: Terms
    state: str
    events: tuple[Event, ...]

    @property
    def opened(self) -> Event:
        return self.events[0]

    @property
    def closed(self) -> Event | None:
        return next((event for event in self.events if event.kind == "closed"), None)

    @property
    def disposed(self) -> Event | None:
        """The disposition that counts: the latest."""
        return next((event for event in reversed(self.events) if event.kind == "disposed"), None)

    @property
    def revision(self) -> int:
        """Of its reports: 1 at its closing, and one more for each disposition; 0 as long as it is open."""
        return len(self.events) - 1

    @property
    def report_number(self) -> str:
        return f"LOT-{self.opened.created_at.year}-{self.id:06d}"

    @property
    def ncr_number(self) -> str:
        return f"NCR-{self.opened.created_at.year}-{self.id:06d}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": "flawsight.lot/1",
            "id": self.id,
            "report_number": self.report_number,
            "state": self.state,
            **asdict(self.terms),
            "events": [event.to_dict() for event in self.events],
        }

    @property
    def sha256(self) -> str:
        """Over everything that is stated of the lot, printed on its reports."""
        return hashlib.sha256(canonical_json(self.to_dict()).encode("ascii")).hexdigest()


@dataclass(frozen=True)
class Summary:
    """One line of the list."""

    lot: Lot
    figures: Figures


@dataclass(frozen=True)
class LotFilter:
    """What to look for; ``text`` is what lot number, part number or supplier begins with."""

    text: str = ""
    state: str = ""
    part_number: str = ""

    def is_empty(self) -> bool:
        return not (self.text or self.state or self.part_number)


@dataclass(frozen=True)
class LotPage:
    """Some lots, newest first, and the ids from which to go on; ``None`` at an end."""

    lines: tuple[Summary, ...]
    before: int | None
    after: int | None


def event_words(event: Event) -> str:
    """What was done, in the reader's language."""
    if event.kind == "opened":
        return _("Opened")
    if event.kind == "closed":
        return _("Closed: %(decision)s", decision=_(STATES[DECISIONS[event.decision]]))
    return _("Disposition: %(disposition)s", disposition=_(DISPOSITIONS[event.decision]))
