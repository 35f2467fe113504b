"""The files of the history against their hashes: each picture and each upload is read again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256 as hasher
from pathlib import Path
from typing import Any

from sqlalchemy import String, select, type_coerce

from flawsight.records.as_stored import CHUNK, moment, named, raw
from flawsight.records.findings import GOLDEN_CHECK, GOLDEN_PART, NAMES, PICTURES, Finding
from flawsight.records.folder import UPLOAD, UPLOAD_NAME
from flawsight.records.golden import GoldenParts
from flawsight.records.golden_photos import KIND as PHOTO
from flawsight.records.links import Head
from flawsight.records.part_templates import PartTemplates
from flawsight.records.record import seal
from flawsight.records.store import Store
from flawsight.records.tables import CheckRow, GoldenRow, InspectionRow, LinkRow, TemplateChangeRow

HASHING = 2  # files hashed at once
_BLOCK = 2**20
_SHA256 = re.compile(r"[0-9a-f]{64}")


def check_files(store: Store, last: Head) -> Iterator[tuple[int, list[Finding]]]:
    """For each inspection that is there: how many files were hashed, and what is wrong with them."""
    with ThreadPoolExecutor(HASHING) as pool:
        seq = 0
        while chunk := _file_chunk(store, seq, last):
            yield from pool.map(lambda row: _check_files(store, row), chunk)
            seq = chunk[-1].seq


def check_kept(store: Store) -> Iterator[tuple[int, list[Finding]]]:
    """For each picture that no retention rule takes: how many files were hashed, and what is wrong with them.

    These are the pictures of templates, those of golden parts, and the photos compared with them.
    """
    seen = set()
    for path, digest, what in _kept(store):
        if path in seen or not _SHA256.fullmatch(digest):
            continue
        seen.add(path)
        now = _file_hash(path)
        if now is None:
            yield 0, [Finding("file_missing", None, what)]
        else:
            yield 1, [] if now == digest else [Finding("file_altered", None, what)]


def _kept(store: Store) -> Iterator[tuple[Path, str, dict[str, str]]]:
    """Each file with its SHA-256 and what it is; rows that say none were named as altered already."""
    templates, golden = PartTemplates(store), GoldenParts(store, None)
    change, part, check = TemplateChangeRow, GoldenRow, CheckRow
    with store.transaction("read") as session:
        changes = session.execute(select(change.id, change.name, change.image_sha256)).all()
        parts = session.execute(select(part.id, part.title, part.image_sha256)).all()
        result = type_coerce(check.result, String)
        photos = session.execute(select(check.id, result).where(check.kind == PHOTO)).all()
    kept = [(templates, NAMES["template"], row) for row in changes] + [
        (golden, GOLDEN_PART, row) for row in parts
    ]
    for folder, noun, (key, name, digest) in kept:
        yield folder.file(str(digest)), str(digest), {**named(str(key), noun), "how": str(name)}
    for key, said in photos:
        try:
            photo = json.loads(said)["photo"]
            digest, name = str(photo["sha256"]), str(photo["name"])
        except (ValueError, TypeError, KeyError):
            continue
        yield golden.file(digest), digest, {**named(str(key), GOLDEN_CHECK), "how": name}


def _file_chunk(store: Store, after: int, last: Head) -> Sequence[Any]:
    columns = raw(InspectionRow, ("id", "number", "created_at", "data", "pictures", "record_sha256"))
    content = type_coerce(LinkRow.content, String).label("content")
    query = (
        select(LinkRow.seq, content, *columns)
        .join(InspectionRow, (InspectionRow.id == LinkRow.ref) & (LinkRow.kind == "inspection"))
        .where(LinkRow.seq > after, LinkRow.seq <= last.seq)
    )
    with store.transaction("read") as session:
        return session.execute(query.order_by(LinkRow.seq).limit(CHUNK)).all()


def _check_files(store: Store, row: Any) -> tuple[int, list[Finding]]:
    what = named(row.number)
    try:
        names = _listed(row.pictures)
    except (ValueError, TypeError, AttributeError):
        return 0, [Finding("altered", row.seq, {**what, "how": PICTURES})]
    try:
        expected = json.loads(row.content).get("files")
        hashes = {name: _file_hash(store.folder / row.id / file) for name, file in names.items()}
        data, created_at = json.loads(row.data), moment(row.created_at)
    except (ValueError, TypeError, AttributeError):
        return 0, []  # the row was named as altered already
    if not (store.folder / row.id).is_dir() and not _still_filed(store, row.id):
        return 0, []  # removed by a rule while this was running
    count = sum(value is not None for value in hashes.values())
    missing = [name for name in expected or names if hashes.get(name) is None]
    findings = [Finding("file_missing", row.seq, {**what, "how": name}) for name in missing]
    if expected is not None:
        findings += [
            Finding("file_altered", row.seq, {**what, "how": name})
            for name in expected
            if name not in missing and hashes[name] != expected[name]
        ]
    elif not missing:
        upload = hashes.pop(UPLOAD_NAME)
        kept = {name: value for name, value in hashes.items() if value is not None}
        if upload != data["image"]["sha256"]:
            findings.append(Finding("file_altered", row.seq, {**what, "how": UPLOAD_NAME}))
        if seal(data, row.number, created_at, kept) != row.record_sha256:
            findings.append(Finding("files_altered", row.seq, what))
    return count, findings


def _listed(pictures: str) -> dict[str, str]:
    """Name to file of what an inspection has, by its row.

    Raises:
        ValueError, TypeError, AttributeError: somebody wrote into the row what is no such list.
    """
    listed = json.loads(pictures)
    if not all(isinstance(file, str) and "/" not in file for file in listed.values()):
        raise TypeError
    return {UPLOAD_NAME: UPLOAD, **listed}


def _file_hash(path: Path) -> str | None:
    """SHA-256 of a file; ``None`` if it cannot be read."""
    digest = hasher()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError:
        return None
    return digest.hexdigest()


def _still_filed(store: Store, record_id: str) -> bool:
    with store.transaction("read") as session:
        return session.scalar(select(InspectionRow.id).where(InspectionRow.id == record_id)) is not None
