"""The stored inspection as a value, and the hash that seals it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flawsight.errors import RecordError
from flawsight.i18n import marked
from flawsight.inspection.result import Inspection

PICTURES = ("original", "heatmap", "heat_layer", "boxes", "edges")

# What may be known about the part, under ``data["context"]``: key and name for people.
CONTEXT = {
    "part_number": marked("Part number"),
    "part_revision": marked("Revision"),
    "lot": marked("Lot"),
    "serial": marked("Serial number"),
    "site": marked("Site"),
    "line": marked("Line"),
    "station": marked("Station"),
    "inspector": marked("Inspector"),
    "inspection_type": marked("Inspection type"),
}


@dataclass(frozen=True)
class Record:
    """One inspection as filed.

    Attributes:
        id: 32 hexadecimal digits, safe in a URL and as a folder name.
        number: the running number of its year, e.g. ``INSP-2026-000001``.
        created_at: when it was filed, aware, UTC.
        data: ``Inspection.to_dict()``.
        upload: the bytes as received: a file of the store, or the bytes themselves.
        pictures: name (one of ``PICTURES``) to an encoded image: a file of the store, or bytes.
        record_sha256: the seal, see ``seal``.
    """

    id: str
    number: str
    created_at: datetime
    data: dict[str, Any]
    upload: Path | bytes = field(repr=False)
    pictures: dict[str, Path | bytes] = field(repr=False)
    record_sha256: str

    @classmethod
    def unfiled(
        cls,
        inspection: Inspection,
        upload: Path | bytes,
        pictures: Mapping[str, bytes],
        created_at: datetime | None = None,
    ) -> Record:
        """A record that no store keeps, for a report straight from the command line.

        Its number is ``UNFILED-`` and the start of the image's hash: it belongs to no series.
        """
        data = inspection.to_dict()
        created_at = created_at or datetime.now(UTC)
        digest = inspection.image.sha256
        number = f"UNFILED-{digest[:8].upper()}"
        return cls(
            id=digest[:32],
            number=number,
            created_at=created_at,
            data=data,
            upload=upload,
            pictures=dict(pictures),
            record_sha256=seal(data, number, created_at, picture_hashes(pictures)),
        )

    def received(self) -> bytes:
        """The image as it was received.

        Raises:
            RecordError: its file is gone.
        """
        if isinstance(self.upload, bytes):
            return self.upload
        try:
            return self.upload.read_bytes()
        except OSError as error:
            raise RecordError(
                "The image of inspection %(number)s cannot be read (%(strerror)s). "
                "Restore the instance folder from a backup, or inspect the part again.",
                number=self.number,
                strerror=error.strerror,
            ) from None

    def read(self, name: str) -> bytes:
        """The encoded picture ``name``.

        Raises:
            RecordError: the record has no such picture, or its file is gone.
        """
        picture = self.pictures.get(name)
        if picture is None:
            raise RecordError(
                "Inspection %(number)s has no picture %(name)r. It has: %(known)s.",
                number=self.number,
                name=name,
                known=", ".join(self.pictures),
            )
        if isinstance(picture, bytes):
            return picture
        try:
            return picture.read_bytes()
        except OSError as error:
            raise RecordError(
                "The picture %(name)r of inspection %(number)s cannot be read (%(strerror)s). "
                "Restore the instance folder from a backup, or inspect the part again.",
                name=name,
                number=self.number,
                strerror=error.strerror,
            ) from None


def picture_hashes(pictures: Mapping[str, bytes]) -> dict[str, str]:
    """Name to SHA-256 of the encoded picture."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in pictures.items()}


def canonical_json(value: object) -> str:
    """The one spelling of ``value``: sorted keys, no spaces, ASCII; NaN is refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def seal(data: dict[str, Any], number: str, created_at: datetime, hashes: Mapping[str, str]) -> str:
    """SHA-256 over everything a record states; ``hashes`` stand for the pictures.

    The image as received is covered too: ``data["image"]["sha256"]`` names it.
    """
    stated = {
        "number": number,
        "created_at": created_at.astimezone(UTC).isoformat(timespec="microseconds"),
        "data": data,
        "pictures": dict(hashes),
    }
    return hashlib.sha256(canonical_json(stated).encode("ascii")).hexdigest()
