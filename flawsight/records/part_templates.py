"""Templates of parts: pictures of good ones that parts of the same number are held against.

A template belongs to a part number, or to one revision of it. What is done with templates is only ever added,
each change a link of the chain; the latest one of a number and revision holds. The pictures lie in the
store's folder ``templates`` under their hashes and stay there: inspections name them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from sqlalchemy import select

from flawsight import imaging
from flawsight.atomic import write_bytes
from flawsight.errors import FlawsightError, NotFound
from flawsight.i18n import marked
from flawsight.inspection.template import Template
from flawsight.records import links
from flawsight.records.catalogue import folded
from flawsight.records.store import Store
from flawsight.records.tables import TemplateChangeRow

FOLDER = "templates"
KEPT, REMOVED = "kept", "removed"  # kinds of changes
GONE = marked("There is no such template; it may have been removed or replaced already.")
IN_MEMORY = 4  # pictures that stay decoded


class BadTemplate(FlawsightError):
    """A template that cannot be meant; the message says why."""

    code = "bad_template"
    status = 400


class DoubtfulTemplate(BadTemplate):
    """A picture that the model takes for no good part that it can compare; a person may know better."""

    code = "doubtful_template"


class LostTemplate(FlawsightError):
    """The picture of a template is gone or was altered, so nothing can be compared with it."""

    code = "template_lost"
    status = 409

    def __init__(self, name: str) -> None:
        message = marked(
            "The template %(name)s of this part is gone or was altered. Keep it anew under Models, Templates."
        )
        super().__init__(message, name=name)


@dataclass(frozen=True)
class PartTemplate:
    """One change, or what holds by it. ``part_revision`` is empty if any revision is meant."""

    id: int
    at: datetime
    by: str
    kind: str
    part_number: str
    part_revision: str
    name: str
    image_sha256: str

    @property
    def key(self) -> tuple[str, str]:
        """Of part and revision; capitals do not matter, as far as the database knows them."""
        return folded(self.part_number), folded(self.part_revision)


class PartTemplates:
    """The templates in ``store``. Safe to share between threads and processes."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._folder = store.instance / FOLDER

    def all(self) -> list[PartTemplate]:
        """Those that hold, by part number and revision."""
        return sorted(_holding(self.log(None)), key=lambda one: one.key)

    def log(self, limit: int | None = 50) -> list[PartTemplate]:
        """Who kept and removed what, latest first."""
        query = select(TemplateChangeRow).order_by(TemplateChangeRow.id.desc()).limit(limit)
        with self.store.transaction("read") as session:
            return [_change(row) for row in session.scalars(query)]

    def of_part(self, part_number: str) -> list[PartTemplate]:
        """Those that hold of this number, by revision."""
        if not part_number:
            return []
        changes = TemplateChangeRow
        query = select(changes).where(changes.part_number == part_number).order_by(changes.id.desc())
        with self.store.transaction("read") as session:
            return sorted(_holding([_change(row) for row in session.scalars(query)]), key=lambda one: one.key)

    def chosen(self, context: Mapping[str, str]) -> PartTemplate | None:
        """What a part of this ``context`` (see ``record.CONTEXT``) is held against; ``None`` without one.

        The template of its revision, if there is one, else that of any revision.
        """
        holding = {one.key[1]: one for one in self.of_part(context.get("part_number", ""))}
        return holding.get(folded(context.get("part_revision", ""))) or holding.get("")

    def template_for(self, context: Mapping[str, str]) -> Template | None:
        """The picture of ``chosen``, ready to be compared with.

        Raises:
            LostTemplate: it is gone or was altered.
        """
        found = self.chosen(context)
        return self.template(found.image_sha256, found.name) if found else None

    def template(self, image_sha256: str, name: str) -> Template:
        """The picture with this hash, ready to be compared with.

        Raises:
            LostTemplate: it is gone or was altered.
        """
        return _decoded(self.checked(image_sha256, name), name)

    def intact(self, image_sha256: str) -> bool:
        """Whether the picture with this hash is there as it was kept."""
        return _read(self.file(image_sha256)) is not None

    def file(self, image_sha256: str) -> Path:
        """Where a picture with this hash lies."""
        return self._folder / image_sha256

    def keep(self, image: bytes, name: str, part_number: str, part_revision: str, by: str) -> PartTemplate:
        """Hold parts of this number, and of this revision unless it is empty, against ``image`` from now on.

        Raises:
            BadTemplate: no part is named.
            RecordError: it could not be stored.
        """
        if not part_number:
            raise BadTemplate("Say which part this is the template of: its part number is missing.")
        digest = imaging.sha256(image)
        write_bytes(self.file(digest), image)
        return self._add(KEPT, by, part_number, part_revision, name, digest)

    def remove(self, template_id: int, by: str) -> PartTemplate:
        """Hold these parts against nothing from now on.

        Raises:
            NotFound: this template does not hold.
        """
        one = self._holding(template_id)
        return self._add(REMOVED, by, one.part_number, one.part_revision, one.name, one.image_sha256)

    def picture(self, template_id: int) -> Path:
        """The file of a template that holds.

        Raises:
            NotFound: it does not.
            LostTemplate: it is gone or was altered.
        """
        one = self._holding(template_id)
        return self.checked(one.image_sha256, one.name)

    def checked(self, image_sha256: str, name: str) -> Path:
        """The file with this hash.

        Raises:
            LostTemplate: it is gone or was altered.
        """
        if not self.intact(image_sha256):
            raise LostTemplate(name)
        return self.file(image_sha256)

    def _holding(self, template_id: int) -> PartTemplate:
        found = next((one for one in self.all() if one.id == template_id), None)
        if found is None:
            raise NotFound(GONE)
        return found

    def _add(self, kind: str, by: str, number: str, revision: str, name: str, digest: str) -> PartTemplate:
        row = TemplateChangeRow(
            created_at=datetime.now(UTC), by=by, kind=kind, part_number=number, part_revision=revision,
            name=name, image_sha256=digest,
        )  # fmt: skip
        with self.store.transaction("write", write=True) as session:
            session.add(row)
            session.flush()
            links.append(session.connection(), "template", row.id, links.template_content(row))
            return _change(row)


def _holding(latest_first: list[PartTemplate]) -> list[PartTemplate]:
    """Of all changes those that hold: the latest of each part and revision, unless it removed."""
    latest: dict[tuple[str, str], PartTemplate] = {}
    for one in latest_first:
        latest.setdefault(one.key, one)
    return [one for one in latest.values() if one.kind == KEPT]


def _change(row: TemplateChangeRow) -> PartTemplate:
    return PartTemplate(
        row.id, row.created_at, row.by, row.kind, row.part_number, row.part_revision, row.name,
        row.image_sha256,
    )  # fmt: skip


@lru_cache(maxsize=IN_MEMORY)
def _decoded(path: Path, name: str) -> Template:
    """The picture ``path``, which is called by its hash and so never changes."""
    data = _read(path)
    if data is None:
        raise LostTemplate(name)
    return Template(imaging.decode(data, max_bytes=len(data), max_pixels=2**40), name, path.name)


def _read(path: Path) -> bytes | None:
    """The bytes of ``path`` if they have the hash that it is called by."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return data if imaging.sha256(data) == path.name else None
