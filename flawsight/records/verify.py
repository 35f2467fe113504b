"""Find whatever was altered, removed, inserted or put in another order since it was filed.

First the records: the chain is walked from its first link to its last, and each link is held against
the row it stands for. Then the files: each picture and each upload is hashed again. Both are streamed,
so that memory stays small at any number of inspections.

What it cannot find: a chain that somebody with write access rebuilt from some point on. Only a head
that was kept elsewhere (printed in a PDF, or exported) tells that; see ``expect``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, TypeAlias

from sqlalchemy import String, and_, case, cast, func, or_, select, type_coerce
from sqlalchemy.orm import Session, aliased

from flawsight.errors import FlawsightError
from flawsight.records import links
from flawsight.records.as_stored import CHUNK, JSON, moment, named, raw
from flawsight.records.catalogue import folded, other_classes, searched, unanswered
from flawsight.records.findings import (
    ANSWER,
    DISPOSITION,
    FINAL,
    GOLDEN_CHECK,
    GOLDEN_PART,
    LOT,
    NAMES,
    NUMBERS,
    OTHER,
    SAME,
    STATE,
    UNREADABLE,
    Finding,
)
from flawsight.records.links import COVERED, GENESIS, Head
from flawsight.records.store import Store
from flawsight.records.tables import (
    CatalogueRow,
    CheckRow,
    DeletionRow,
    GoldenRow,
    InspectionRow,
    LinkRow,
    LotEventRow,
    LotPartRow,
    ModelChangeRow,
    NumberRow,
    OtherClassRow,
    ReviewRow,
    TemplateChangeRow,
)
from flawsight.records.verify_files import check_files, check_kept

LISTED = 1_000  # findings that are named; the rest are counted

Progress: TypeAlias = Callable[[str, int, int], None]  # "records" or "files", done, total
_TABLES: dict[str, Any] = {
    "review": ReviewRow, "deletion": DeletionRow, "lot": LotEventRow, "model": ModelChangeRow,
    "template": TemplateChangeRow,
}  # fmt: skip
# Links of kind "golden" stand for rows of two tables; their event says which.
_GOLDEN: dict[str, tuple[Any, tuple[str, ...]]] = {
    "part": (GoldenRow, (
        "id", "title", "image_sha256", "verdict", "class_id", "source", "template_sha256", "template_name",
        "added_at", "added_by", "removed_at", "removed_by",
    )),
    "check": (CheckRow, ("id", "by", "fingerprint", "passed", "result")),
}  # fmt: skip
# What a link of each such event repeats of the result.
_SAID = {"checked": ("parts",), "photo": ("parts", "photo"), "override": ("rationale",)}
_HEAD = re.compile(r"\s*(\d{1,15})\s*[:\s]\s*([0-9a-f]{64})\s*", re.IGNORECASE)


class BadHead(FlawsightError):
    """What was given as a kept head is none."""

    code = "bad_head"
    status = 400


@dataclass(frozen=True)
class Verification:
    """What a run found.

    Attributes:
        head: the last link there is.
        links, inspections, files: how many were looked at.
        count: of all findings; ``findings`` names the first ``LISTED``.
    """

    head: Head
    links: int
    inspections: int
    files: int
    seconds: float
    count: int
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        return not self.count

    def to_dict(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "head": {"link": self.head.seq, "hash": self.head.hash},
            "links": self.links,
            "inspections": self.inspections,
            "files": self.files,
            "seconds": round(self.seconds, 2),
            "count": self.count,
            "findings": [finding.to_dict() for finding in self.findings],
        }


def parse_head(text: str) -> Head:
    """The inverse of ``str(head)``; spaces do not matter.

    Raises:
        BadHead: it is not written like one.
    """
    found = _HEAD.fullmatch(text)
    if found is None:
        raise BadHead(
            "A kept head is written as its link's number, a colon and 64 hexadecimal digits, as on a report."
        )
    return Head(int(found[1]), found[2].lower())


def head(store: Store) -> Head:
    """The last link of the chain."""
    with store.transaction("read") as session:
        return _head(session)


def holds(store: Store, kept: Head) -> bool:
    """Whether the chain still has the link that was its head once."""
    with store.transaction("read") as session:
        return bool(session.scalar(select(LinkRow.hash).where(LinkRow.seq == kept.seq)) == kept.hash)


def verify(
    store: Store,
    *,
    files: bool = True,
    expect: Head | None = None,
    progress: Progress = lambda phase, done, total: None,
) -> Verification:
    """Hold the whole history against the chain.

    Args:
        files: also hash every picture and upload again, which takes as long as reading them does.
        expect: a head that was kept elsewhere; the chain must hold it.

    Raises:
        RecordError: the database cannot be read.
    """
    start = perf_counter()
    found = _Found()
    walk = _Walk()
    with store.transaction("read") as session:  # one moment, whatever is filed meanwhile
        last = _head(session)
        for finding in _records(session, walk, last, expect, progress):
            found.add(finding)
        total = session.scalar(select(func.count()).select_from(InspectionRow)) or 0
    count = 0
    if files:
        for done, (number_of_files, finding_list) in enumerate(check_files(store, last), start=1):
            count += number_of_files
            for finding in finding_list:
                found.add(finding)
            progress("files", done, max(done, total))
        for hashed, finding_list in check_kept(store):
            count += hashed
            for finding in finding_list:
                found.add(finding)
    return Verification(
        last, walk.links, walk.inspections, count, perf_counter() - start, found.count, tuple(found.first)
    )


class _Found:
    """Counts findings and keeps the first."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[Finding] = []

    def add(self, finding: Finding) -> None:
        self.count += 1
        if self.count <= LISTED:
            self.first.append(finding)


# --- records --------------------------------------------------------------------------------------------


class _Walk:
    """What is carried from one chunk of links to the next."""

    def __init__(self) -> None:
        self.links = self.inspections = 0
        self.seq, self.hash = 0, GENESIS
        # By row: what is gone or differs, until a later link explains it.
        self.pending: dict[str, list[Finding]] = {}
        self.numbers: dict[int, int] = {}  # year to the last running number that a link names
        self.golden: set[tuple[str, str]] = set()  # table and id of the rows that such links stand for
        # Number in small letters to id of the open lots; None once what opened or closed one is in doubt.
        self.lots: dict[str, int] | None = {}


def _head(session: Session) -> Head:
    last = session.execute(
        select(LinkRow.seq, type_coerce(LinkRow.hash, String)).order_by(LinkRow.seq.desc()).limit(1)
    ).one_or_none()
    return Head(*last) if last else Head(0, GENESIS)


def _records(
    session: Session, walk: _Walk, last: Head, expect: Head | None, progress: Progress
) -> Iterator[Finding]:
    if not last.seq:
        yield Finding("empty")
    for chunk in _link_chunks(session):
        rows = _rows_of(session, chunk)
        for link in chunk:
            wrong = list(_check_link(link, walk))
            yield from wrong
            if any(finding.kind == "link_altered" for finding in wrong):
                walk.golden |= {(table, link.ref) for table in _GOLDEN if link.kind == "golden"}
                walk.lots = None if link.kind == "lot" else walk.lots
            else:
                yield from _check_row(link, json.loads(link.content), rows, walk)
        progress("records", walk.seq, last.seq)
    for findings in walk.pending.values():
        yield from findings
    yield from _inserted(session)
    yield from _inserted_golden(session, walk)
    yield from _answers_that_count(session)
    yield from _numbers(session, walk)
    if expect:
        kept = session.scalar(select(LinkRow.hash).where(LinkRow.seq == expect.seq))
        if kept != expect.hash:
            yield Finding("head", expect.seq, {"id": str(expect)})


def _link_chunks(session: Session) -> Iterator[Sequence[Any]]:
    """All links as stored, first to last."""
    columns = (
        LinkRow.seq, LinkRow.kind, LinkRow.ref, LinkRow.previous, LinkRow.hash,
        type_coerce(LinkRow.at, String).label("at"), type_coerce(LinkRow.content, String).label("content"),
    )  # fmt: skip
    seq = -(2**62)
    while chunk := session.execute(
        select(*columns).where(LinkRow.seq > seq).order_by(LinkRow.seq).limit(CHUNK)
    ).all():
        yield chunk
        seq = chunk[-1].seq


def _rows_of(session: Session, chunk: Sequence[Any]) -> dict[tuple[str, str], Any]:
    """The rows that the links of a chunk stand for, by kind and reference, as stored."""
    wanted: dict[str, set[str]] = {}
    for link in chunk:
        wanted.setdefault(link.kind, set()).add(str(link.ref))
    rows: dict[tuple[str, str], Any] = {}
    if refs := wanted.get("inspection"):
        other = OtherClassRow.class_id
        readable = case((func.typeof(other) == "text", other), else_="?")
        others = select(func.json_group_array(readable)).where(OtherClassRow.at == CatalogueRow.at)
        columns = [
            *raw(InspectionRow, ("id", "number", "created_at", "image_sha256", "data", "record_sha256")),
            *(column.label(f"listed_{column.key}") for column in CatalogueRow.__table__.c),
            others.scalar_subquery().label("listed_other_classes"),
            select(LotPartRow.lot_id)
            .where(LotPartRow.inspection_id == InspectionRow.id)
            .scalar_subquery()
            .label("lot_id"),
        ]
        query = select(*columns).outerjoin(CatalogueRow, CatalogueRow.id == InspectionRow.id)
        for row in session.execute(query.where(InspectionRow.id.in_(refs))):
            rows["inspection", row.id] = row
    for kind, table in _TABLES.items():
        if refs := wanted.get(kind):
            ids = [int(ref) for ref in refs if ref.isdecimal()]
            for row in session.execute(select(*raw(table, COVERED[kind])).where(table.id.in_(ids))):
                rows[kind, str(row.id)] = row
    ids = [int(ref) for ref in wanted.get("golden", ()) if ref.isdecimal()]
    for name, (table, covered) in _GOLDEN.items() if ids else ():
        for row in session.execute(select(*raw(table, covered)).where(table.id.in_(ids))):
            rows[name, str(row.id)] = row
    return rows


def _check_link(link: Any, walk: _Walk) -> Iterator[Finding]:
    if link.seq > walk.seq + 1:
        yield Finding("link_missing", link.seq, {"first": str(walk.seq + 1), "last": str(link.seq - 1)})
    elif link.previous != walk.hash or link.seq <= walk.seq:
        yield Finding("link_order", link.seq)
    try:
        content = json.loads(link.content)
        right = links.link_hash(link.seq, moment(link.at), link.kind, link.ref, content, link.previous)
    except (ValueError, TypeError):
        right = ""
    if right != link.hash:
        yield Finding("link_altered", link.seq)
    walk.seq, walk.hash = link.seq, link.hash
    walk.links += 1


def _check_row(
    link: Any, content: dict[str, Any], rows: dict[tuple[str, str], Any], walk: _Walk
) -> Iterator[Finding]:
    """Hold the row against its link; what a later link may explain is put off."""
    row = rows.get((link.kind, link.ref))
    if link.kind == "inspection":
        walk.inspections += 1
        _, year, running = content["number"].split("-")
        walk.numbers[int(year)] = max(walk.numbers.get(int(year), 0), int(running))
        _put_off(walk, link.ref, list(_check_inspection(link, content, row, walk.lots)))
    elif link.kind == "review":  # goes with its inspection
        _put_off(walk, content["inspection"], _check_other(link, content, row))
    elif link.kind == "lot":
        wrong = _check_other(link, content, row)
        walk.lots = None if wrong or walk.lots is None else _open_lots(walk.lots, row)
        yield from wrong
    elif link.kind in ("model", "template"):
        yield from _check_other(link, content, row)
    elif link.kind == "golden":
        table = "part" if content["event"] in ("added", "removed") else "check"
        walk.golden.add((table, link.ref))
        check = _check_golden_part if table == "part" else _check_golden_run
        yield from check(link, content, rows.get((table, link.ref)), walk)
    elif link.kind == "deletion":
        walk.pending.pop(key := f"deletion {link.ref}", None)  # each batch of a run brings the row up to date
        _put_off(walk, key, _check_other(link, content, row))
        for inspection_id in content["inspections"]:
            gone = walk.pending.pop(inspection_id, [])
            if not any(finding.kind == "missing" for finding in gone):
                yield Finding("back", link.seq, named(inspection_id))


def _put_off(walk: _Walk, key: str, findings: list[Finding]) -> None:
    if findings:
        walk.pending.setdefault(key, []).extend(findings)


def _open_lots(lots: dict[str, int], event: Any) -> dict[str, int]:
    """The lots that are open after ``event``, of those that were before it."""
    if event.kind == "opened":
        return {**lots, folded(json.loads(event.data)["terms"]["number"]): event.lot_id}
    return {number: lot_id for number, lot_id in lots.items() if lot_id != event.lot_id}


def _check_inspection(
    link: Any, content: dict[str, Any], row: Any, lots: dict[str, int] | None
) -> Iterator[Finding]:
    what = named(content["number"])
    if row is None:
        yield Finding("missing", link.seq, what)
        return
    now = {name: getattr(row, name) for name in SAME}
    wrong = []
    try:
        data = json.loads(row.data)
        now["created_at"] = moment(row.created_at).isoformat(timespec="microseconds")
        if links.sha256(data) != content["answer_sha256"]:
            wrong.append(ANSWER)
        wrong += [words for name, words in SAME.items() if now[name] != content[name]]
    except (ValueError, TypeError):
        wrong = [UNREADABLE]
    if wrong:
        yield Finding("altered", link.seq, {**what, "how": ", ".join(wrong)})
        return
    since_the_chain = "files" in content  # before it, links do not follow the order of filing
    if since_the_chain and lots is not None:
        named_lot = data.get("context", {}).get("lot", "")
        if row.lot_id != lots.get(folded(named_lot)):
            yield Finding("altered", link.seq, {**what, "how": LOT})
    filed = {**searched(data), "number": row.number}
    if row.listed_review_state == "none":  # else what counts is held against the answers
        filed |= unanswered(filed)
    listed = {name: getattr(row, f"listed_{name}") for name in filed}
    filed["other_classes"] = other_classes(data)
    listed["other_classes"] = sorted(json.loads(row.listed_other_classes))
    if listed["number"] is None:
        yield Finding("unlisted", link.seq, what)
    elif differs := [name.replace("_", " ") for name in listed if listed[name] != filed[name]]:
        yield Finding("search", link.seq, {**what, "how": ", ".join(differs)})


def _check_other(link: Any, content: dict[str, Any], row: Any) -> list[Finding]:
    what = named(link.ref, NAMES[link.kind])
    if row is None:
        return [Finding("missing", link.seq, what)]
    try:
        values = {name: _decoded(name, getattr(row, name)) for name in COVERED[link.kind]}
        if links.sha256(values) == content["row_sha256"]:
            return []
    except (ValueError, TypeError):  # somebody wrote what no row of ours can hold
        pass
    return [Finding("altered", link.seq, {**what, "how": OTHER})]


def _check_golden_part(link: Any, content: dict[str, Any], row: Any, walk: _Walk) -> Iterator[Finding]:
    """What was added must be there as it was; that it was removed must be said by a later link."""
    what, key = named(link.ref, GOLDEN_PART), f"golden {link.ref}"
    altered = Finding("altered", link.seq, {**what, "how": OTHER})
    removal = content["event"] == "removed"
    if row is None:
        if not removal:  # else it was named as missing already
            yield Finding("missing", link.seq, what)
        return
    if removal:
        walk.pending.pop(key, None)
        now = {"by": row.removed_by, "at": row.removed_at}
    else:
        _put_off(walk, key, [altered] if row.removed_at is not None or row.removed_by else [])
        now = {
            "by": row.added_by, "at": row.added_at, "title": row.title, "image_sha256": row.image_sha256,
            "verdict": row.verdict, "class": row.class_id, "source": row.source,
            "template": row.template_sha256, "template_name": row.template_name,
        }  # fmt: skip
    try:
        now["at"] = moment(now["at"]).isoformat(timespec="microseconds")
    except (ValueError, TypeError):
        now["at"] = UNREADABLE
    filed = {"at": now["at"], "template": "", "template_name": "", **content}  # early links lack these
    if now["at"] == UNREADABLE or any(filed[name] != value for name, value in now.items()):
        walk.pending.pop(key, None)
        yield altered


def _check_golden_run(link: Any, content: dict[str, Any], row: Any, walk: _Walk) -> Iterator[Finding]:
    """A run of the golden parts, a fresh photo of one, or leave to go on without."""
    what = named(link.ref, GOLDEN_CHECK)
    if row is None:
        yield Finding("missing", link.seq, what)
        return
    said = _SAID.get(content["event"], ())
    try:
        result = json.loads(row.result)
        now = {"by": row.by, "fingerprint": row.fingerprint, **{name: result[name] for name in said}}
    except (ValueError, TypeError, KeyError):
        now = {"by": None}
    passed = content.get("passed", True)  # leave counts as passed
    if any(content[name] != value for name, value in now.items()) or (row.passed == 1) != passed:
        yield Finding("altered", link.seq, {**what, "how": OTHER})


def _decoded(name: str, value: Any) -> Any:
    """A value read without conversion, as ``links.row_content`` spelled it."""
    if name == "created_at":
        return moment(value).isoformat(timespec="microseconds")
    return json.loads(value) if name in JSON else value


def _inserted(session: Session) -> Iterator[Finding]:
    """Rows that no link stands for."""
    linked = select(LinkRow.seq)
    unknown = select(InspectionRow.number).where(
        ~linked.where(LinkRow.ref == InspectionRow.id, LinkRow.kind == "inspection").exists()
    )
    for number in session.scalars(unknown.order_by(InspectionRow.number)):
        yield Finding("inserted", None, named(number))
    for kind, table in _TABLES.items():
        without = ~linked.where(LinkRow.ref == cast(table.id, String), LinkRow.kind == kind).exists()
        for row_id in session.scalars(select(table.id).where(without).order_by(table.id)):
            yield Finding("inserted", None, named(str(row_id), NAMES[kind]))


def _inserted_golden(session: Session, walk: _Walk) -> Iterator[Finding]:
    """Golden parts that no link stands for, leave to go on that nobody gave, and photos nobody sent."""
    for part_id in session.scalars(select(GoldenRow.id).order_by(GoldenRow.id)):
        if ("part", str(part_id)) not in walk.golden:
            yield Finding("inserted", None, named(str(part_id), GOLDEN_PART))
    told = select(CheckRow.id).where(CheckRow.kind.in_(("override", "photo"))).order_by(CheckRow.id)
    for check_id in session.scalars(told):
        if ("check", str(check_id)) not in walk.golden:
            yield Finding("inserted", None, named(str(check_id), GOLDEN_CHECK))


def _answers_that_count(session: Session) -> Iterator[Finding]:
    """Lines of the history that say otherwise than a person's latest answer."""
    newest = select(func.max(ReviewRow.id)).group_by(ReviewRow.inspection_id)
    latest = aliased(ReviewRow)
    line = CatalogueRow
    checked = {
        STATE: or_(
            func.coalesce(latest.state, "none") != line.review_state,
            and_(latest.id.is_not(None), line.undecided),
        ),
        FINAL: or_(latest.verdict != line.final_verdict, latest.class_id != line.final_class),
        DISPOSITION: latest.disposition != line.disposition,
    }
    differs = (
        select(line.number, *checked.values())
        .outerjoin(latest, (latest.inspection_id == line.id) & latest.id.in_(newest))
        .where(or_(*checked.values()))
    )
    for number, *wrong in session.execute(differs):
        said = ", ".join(name for name, found in zip(checked, wrong, strict=True) if found)
        yield Finding("search", None, {**named(number), "how": said})


def _numbers(session: Session, walk: _Walk) -> Iterator[Finding]:
    """Numbers that were given after the last one the chain knows: its end was cut off."""
    for year, last in session.execute(select(*raw(NumberRow, ("year", "last")))):
        known = walk.numbers.get(year, 0)
        if not isinstance(last, int):
            yield Finding("altered", None, {**named(str(year), NUMBERS), "how": UNREADABLE})
        elif last > known:
            spelled = {"first": f"INSP-{year}-{known + 1:06d}", "last": f"INSP-{year}-{last:06d}"}
            yield Finding("number", None, spelled)
