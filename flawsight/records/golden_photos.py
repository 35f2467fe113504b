"""Fresh photos of golden parts, held against the stored pictures: do camera and light do what they did?

The check of the stored pictures cannot tell that, since it reads what was photographed long ago. A photo is
filed as a check of its part, with a link of the chain. It neither locks nor unlocks anything.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from flawsight.atomic import write_bytes
from flawsight.errors import NotFound
from flawsight.inspection.drift import Part
from flawsight.records import links
from flawsight.records.checks import Check, check_of
from flawsight.records.golden import Answer, BadGoldenPart, GoldenParts, outcome
from flawsight.records.tables import CheckRow

KIND = "photo"  # of a check


def compare(
    golden: GoldenParts,
    part_id: int,
    photo: bytes,
    name: str,
    inspect: Answer,
    by: str,
    fingerprint: str,
) -> Check:
    """Inspect a fresh photo of a golden part, and its stored picture beside it.

    The result has ``parts``, the one with what came out as in any check, and ``photo``: its ``name``, its
    ``sha256`` and ``figures``, each by name as ``photo`` and ``stored``.

    Raises:
        NotFound: there is no such part, or its stored picture is gone.
        LostTemplate: what it is held against is gone or was altered.
        BadGoldenPart: it is the stored picture itself.
        ImageError: it cannot be inspected.
    """
    started, part = datetime.now(UTC), golden.part(part_id)
    digest = hashlib.sha256(photo).hexdigest()
    if digest == part.image_sha256:
        raise BadGoldenPart("This is the stored picture itself. Photograph the part anew and send that.")
    template = golden.template(part)
    found, stored = (
        inspect(photo, name, template),
        inspect(golden.content(part.image_sha256), part.title, template),
    )
    now, then = (Part.of(one.to_dict()).figures for one in (found, stored))
    result = {
        "parts": [outcome(part, found)],
        "photo": {
            "name": name,
            "sha256": digest,
            "figures": {key: {"photo": now[key], "stored": then.get(key)} for key in now},
        },
    }
    write_bytes(golden.file(digest), photo)
    return _file(golden, started, result, by, fingerprint)


def latest(golden: GoldenParts) -> dict[int, Check]:
    """The latest photo of each golden part, by its id."""
    part = func.json_extract(CheckRow.result, "$.parts[0].id")
    newest = select(func.max(CheckRow.id)).where(CheckRow.kind == KIND).group_by(part)
    with golden.store.transaction("read") as session:
        checks = [check_of(row) for row in session.scalars(select(CheckRow).where(CheckRow.id.in_(newest)))]
    return {check.result["parts"][0]["id"]: check for check in checks}


def picture(golden: GoldenParts, check_id: int) -> Path:
    """The file with the photo as received.

    Raises:
        NotFound: there is no such check, or its photo is gone or not what it was.
    """
    with golden.store.transaction("read") as session:
        row = session.get(CheckRow, check_id)
        if row is None or row.kind != KIND:
            raise NotFound("There is no such photo of a golden part.")
        return golden.checked(row.result["photo"]["sha256"])


def _file(golden: GoldenParts, started: datetime, result: dict[str, Any], by: str, fingerprint: str) -> Check:
    now, passed = datetime.now(UTC), result["parts"][0]["passed"]
    row = CheckRow(
        kind=KIND, fingerprint=fingerprint, by=by, started_at=started, seen_at=now, finished_at=now,
        done=1, total=1, passed=passed, result=result,
    )  # fmt: skip
    with golden.store.transaction("write", write=True) as session:
        session.add(row)
        session.flush()
        said = {"event": KIND, "by": by, "fingerprint": fingerprint, "passed": passed, **result}
        links.append(session.connection(), "golden", row.id, said)
        return check_of(row)
