"""What can be found of filed things that were altered, and how it is said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flawsight.i18n import gettext, marked

TEXTS = {
    "empty": marked("The chain is gone: it has no link at all."),
    "link_missing": marked("Links %(first)s to %(last)s of the chain are missing."),
    "link_altered": marked("Link %(link)s of the chain was altered: its hash does not fit what it says."),
    "link_order": marked(
        "Link %(link)s does not follow the one before it: links were exchanged or rewritten."
    ),
    "altered": marked("%(noun)s %(id)s was altered: %(how)s."),
    "missing": marked("%(noun)s %(id)s is missing, and no rule removed it."),
    "inserted": marked("%(noun)s %(id)s was inserted: the chain has no link for it."),
    "back": marked("%(noun)s %(id)s was deleted by a rule, but it is there again."),
    "unlisted": marked("%(noun)s %(id)s is filed, but the history does not list it."),
    "search": marked("%(noun)s %(id)s is listed with something else than was filed: %(how)s."),
    "number": marked("%(first)s to %(last)s were given as numbers, but the chain does not know them."),
    "file_altered": marked("%(noun)s %(id)s: the file %(how)s was altered."),
    "file_missing": marked("%(noun)s %(id)s: the file %(how)s is missing."),
    "files_altered": marked(
        "%(noun)s %(id)s: one of its pictures or its answer was altered. It was filed before the chain "
        "began, so which one is not known."
    ),
    "head": marked(
        "The chain does not hold the head %(id)s: it was cut off or rebuilt since that head was kept."
    ),
}
INSPECTION = marked("Inspection")
NAMES = {
    "review": marked("Answer"), "deletion": marked("Record of deletion"), "lot": marked("Entry of a lot"),
    "model": marked("Change of models"), "template": marked("Change of templates"),
}  # fmt: skip
NUMBERS = marked("Running number of the year")
GOLDEN_PART = marked("Golden part")
GOLDEN_CHECK = marked("Check of golden parts")
ANSWER = marked("the answer of the model")
UNREADABLE = marked("what was filed cannot be read")
PICTURES = marked("the list of its pictures")
LOT = marked("the lot it counts in")
OTHER = marked("it does not say what was filed")
STATE = marked("state of review")
FINAL = marked("answer that counts")
DISPOSITION = marked("disposition")
SAME = {
    "number": marked("its number"),
    "created_at": marked("the moment of filing"),
    "image_sha256": marked("the hash of the image"),
    "record_sha256": marked("the seal of the record"),
}


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it was filed; ``kind`` is a key of ``TEXTS``, ``link`` the link concerned."""

    kind: str
    link: int | None = None
    values: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """In English."""
        return TEXTS[self.kind] % {"link": self.link, **self.values}

    def said(self) -> str:
        """In the reader's language."""
        values = {
            key: ", ".join(gettext(part) for part in value.split(", ")) if key in ("noun", "how") else value
            for key, value in self.values.items()
        }
        return gettext(TEXTS[self.kind]) % {"link": self.link, **values}

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "link": self.link, "text": self.text, **self.values}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Finding:
        """The inverse of ``to_dict``."""
        said = {key: text for key, text in value.items() if key not in ("kind", "link", "text")}
        return cls(value["kind"], value["link"], said)
