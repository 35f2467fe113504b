"""Whatever is altered, removed, inserted or exchanged since it was filed is found and named."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path

import pytest
from click.testing import CliRunner
from factories import encode, make_inspection, make_pictures
from pypdf import PdfReader

from flawsight.cli import main
from flawsight.i18n import speaking
from flawsight.inspection.library import Library
from flawsight.records import Record, Store, links
from flawsight.records.catalogue import moment
from flawsight.records.golden import GoldenParts
from flawsight.records.issued import issue
from flawsight.records.links import GENESIS, Head
from flawsight.records.lot import DEFAULT_LIMITS, Terms
from flawsight.records.lots import Lots
from flawsight.records.models import Models
from flawsight.records.part_templates import PartTemplates
from flawsight.records.retention import Retention, Rule
from flawsight.records.reviews import Answer, Reviews
from flawsight.records.tables import GoldenRow
from flawsight.records.verify import BadHead, Verification, head, parse_head, verify
from flawsight.reporting.report import build_report

ROOT = Path(__file__).resolve().parent.parent
UPLOAD = encode(make_inspection().pixels)
INSPECTION = make_inspection(upload=UPLOAD)
PICTURES = make_pictures(INSPECTION)
FAR = moment(2**52)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "instance")) as store:
        yield store


def add(store: Store) -> Record:
    return store.add(INSPECTION, UPLOAD, PICTURES, {"lot": "L1"})


def filled(store: Store) -> list[Record]:
    """Three inspections, an answer to each of two, and a PDF."""
    records = [add(store) for _ in range(3)]
    for record in records[:2]:
        Reviews(store).add(record.id, Answer("A. Kern", "accept", "MT_Free", rationale="dust"))
    issue(store, records[0].id, records[0].number, lambda head: build_report(records[0], (), head))
    return records


def tamper(store: Store, *statements: str) -> None:
    """Change the database as somebody with a tool of their own would."""
    with closing(sqlite3.connect(store.database)) as connection, connection:
        for verb in ("update", "delete"):
            connection.execute(f"DROP TRIGGER IF EXISTS chain_no_{verb}")
        for statement in statements:
            connection.execute(statement)


def texts(result: Verification) -> list[str]:
    return [finding.text for finding in result.findings]


def test_what_was_filed_and_left_alone_is_found_so(store: Store) -> None:
    filled(store)
    result = verify(store)
    assert (texts(result), result.ok) == ([], True)
    assert (result.links, result.inspections, result.files) == (1 + 3 + 2 + 1, 3, 3 * 6)
    assert result.head == head(store) and result.head.seq == 7


def test_a_new_history_begins_with_a_first_link(store: Store) -> None:
    assert verify(store).links == 1 and head(store).hash != GENESIS


# --- each kind of change, and the words it is named with ----------------------------------------------

CHANGES = {
    "the answer": (
        "UPDATE inspections SET data = json_set(data, '$.verdict', 'accept') WHERE number LIKE '%2'",
        "000002 was altered: the answer of the model",
    ),
    "a threshold": (
        "UPDATE inspections SET data = json_set(data, '$.thresholds.reject_from', 1) WHERE number LIKE '%2'",
        "000002 was altered: the answer of the model",
    ),
    "the model": (
        "UPDATE inspections SET data = json_set(data, '$.model.sha256', 'x') WHERE number LIKE '%2'",
        "000002 was altered: the answer of the model",
    ),
    "the hash of the image": (
        "UPDATE inspections SET image_sha256 = 'x' WHERE number LIKE '%2'",
        "000002 was altered: the hash of the image",
    ),
    "the moment": (
        "UPDATE inspections SET created_at = '2020-01-01 00:00:00.000000' WHERE number LIKE '%2'",
        "000002 was altered: the moment of filing",
    ),
    "a moment that is none": (
        "UPDATE inspections SET created_at = 'x' WHERE number LIKE '%2'",
        "000002 was altered: what was filed cannot be read",
    ),
    "an answer that is none": (
        "UPDATE inspections SET data = '{' WHERE number LIKE '%2'",
        "000002 was altered: what was filed cannot be read",
    ),
    "the seal": (
        "UPDATE inspections SET record_sha256 = 'x' WHERE number LIKE '%2'",
        "000002 was altered: the seal of the record",
    ),
    "the number": (
        "UPDATE inspections SET number = 'INSP-2020-000002' WHERE number LIKE '%2'",
        "000002 was altered: its number",
    ),
    "what the list says": (
        "UPDATE catalogue SET verdict = 'accept' WHERE number LIKE '%2'",
        "000002 is listed with something else than was filed: verdict.",
    ),
    "the state of review": (
        "UPDATE catalogue SET review_state = 'none' WHERE number LIKE '%2'",
        "000002 is listed with something else than was filed: state of review",
    ),
    "the answer that counts": (
        "UPDATE catalogue SET final_verdict = 'unknown' WHERE number LIKE '%2'",
        "000002 is listed with something else than was filed: answer that counts.",
    ),
    "what counts without an answer": (
        "UPDATE catalogue SET final_verdict = 'unknown', undecided = 1 WHERE number LIKE '%3'",
        "000003 is listed with something else than was filed: final verdict, undecided.",
    ),
    "the class that counts": (
        "UPDATE catalogue SET final_class = 'MT_Fray' WHERE number LIKE '%2'",
        "000002 is listed with something else than was filed: answer that counts.",
    ),
    "a disposition that is listed": (
        "UPDATE catalogue SET disposition = 'return' WHERE number LIKE '%2'",
        "000002 is listed with something else than was filed: disposition.",
    ),
    "who inspected, as listed": (
        "UPDATE catalogue SET inspector = 'Eve' WHERE number LIKE '%2'",
        "000002 is listed with something else than was filed: inspector.",
    ),
    "a disposition": ("UPDATE reviews SET disposition = 'use_as_is' WHERE id = 2", "Answer 2 was altered"),
    "a rationale": ("UPDATE reviews SET rationale = 'scratch' WHERE id = 1", "Answer 1 was altered"),
    "a removed answer": ("DELETE FROM reviews WHERE id = 2", "Answer 2 is missing"),
    "a removed inspection": ("DELETE FROM inspections WHERE number LIKE '%2'", "000002 is missing"),
    "a removed line of the list": ("DELETE FROM catalogue WHERE number LIKE '%2'", "does not list it"),
    "an inserted answer": (
        "INSERT INTO reviews SELECT 9, inspection_id, created_at, reviewer, verdict, class_id, boxes, state, "
        "disposition, rationale FROM reviews WHERE id = 1",
        "Answer 9 was inserted",
    ),
    "an inserted inspection": (
        "INSERT INTO inspections SELECT lower(hex(zeroblob(16))), 'INSP-2026-000099', created_at, "
        "verdict, predicted_class, image_sha256, data, pictures, record_sha256 FROM inspections "
        "WHERE number LIKE '%2'",
        "Inspection INSP-2026-000099 was inserted",
    ),
    "a link": ("UPDATE chain SET content = json_set(content, '$.number', 'x') WHERE seq = 3", "Link 3"),
    "a link that is none": ("UPDATE chain SET content = 'x' WHERE seq = 3", "Link 3"),
    "the time of a link": ("UPDATE chain SET at = '2020-01-01 00:00:00.000000' WHERE seq = 3", "Link 3"),
    "a removed link": ("DELETE FROM chain WHERE seq = 3", "Links 3 to 3 of the chain are missing"),
    "the last number": ("UPDATE numbers SET last = 5", "000004 to INSP-"),
    "all links": ("DELETE FROM chain", "The chain is gone"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_record_is_found_and_named(store: Store, name: str) -> None:
    filled(store)
    statement, expected = CHANGES[name]
    tamper(store, "PRAGMA foreign_keys = ON", statement)
    result = verify(store, files=False)
    assert any(expected in text for text in texts(result)), texts(result)
    if name != "all links":
        assert result.count <= 3, "one change is not the whole history"


@pytest.mark.parametrize(
    "garbled",
    [
        "UPDATE template_changes SET created_at = 'x'",
        "INSERT INTO other_classes SELECT x'00ff', at FROM catalogue WHERE number LIKE '%3'",
        "UPDATE template_changes SET part_number = x'00ff'",
        "UPDATE reviews SET rationale = x'00ff' WHERE id = 1",
        "UPDATE numbers SET last = 'x'",
    ],
)
def test_a_garbled_row_hides_no_other_alteration(store: Store, garbled: str) -> None:
    filled(store)
    PartTemplates(store).keep(UPLOAD, "good.png", "PCB-7", "", "A. Kern")
    tamper(store, CHANGES["the answer"][0], garbled)
    found = texts(verify(store))
    assert len(found) == 2 and CHANGES["the answer"][1] in "".join(found)


# --- what counts in which lot ------------------------------------------------------------------------

LOT_CHANGES = {
    "taken out": "DELETE FROM lot_parts WHERE inspection_id = '{first}'",
    "put into another": "UPDATE lot_parts SET lot_id = 2 WHERE inspection_id = '{first}'",
    "put in": "INSERT INTO lot_parts (lot_id, inspection_id) VALUES (1, '{after}')",
}


def in_lots(store: Store) -> tuple[Record, Record]:
    """Two lots, a part filed into the first of them, and one that names it when it is closed."""
    lots = Lots(store)
    for number in ("L1", "L2"):
        lots.open(Terms(number, 100, "II", DEFAULT_LIMITS), "A. Kern")
    first = store.add(INSPECTION, UPLOAD, PICTURES, {"lot": "l1"})
    lots.close(1, "withdraw", "A. Kern", "The wrong parts were delivered.")
    return first, add(store)


@pytest.mark.parametrize("name", LOT_CHANGES)
def test_a_part_that_counts_in_a_lot_it_was_not_filed_into_is_found(store: Store, name: str) -> None:
    first, after = in_lots(store)
    add(store)
    assert texts(verify(store)) == [], "also of parts that name a lot which is not open"
    tamper(store, LOT_CHANGES[name].format(first=first.id, after=after.id))
    (found,) = texts(verify(store))
    number = after.number if name == "put in" else first.number
    assert found == f"Inspection {number} was altered: the lot it counts in."


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE lot_events SET data = '{}' WHERE id = 1",
        "DELETE FROM lot_events WHERE kind = 'closed'",
        "UPDATE chain SET content = json_set(content, '$.event', 'x') WHERE seq = 2",
    ],
)
def test_an_altered_event_of_a_lot_is_one_finding_and_casts_no_doubt_on_parts(
    store: Store, statement: str
) -> None:
    in_lots(store)
    tamper(store, statement)
    (found,) = texts(verify(store))
    assert "Entry of a lot" in found or "Link 2" in found


# --- golden parts and changes of models -----------------------------------------------------------------

GOLDEN_CHANGES = {
    "what must come out": (
        "UPDATE golden_parts SET verdict = 'accept' WHERE id = 1",
        "Golden part 1 was altered",
    ),
    "the class": ("UPDATE golden_parts SET class_id = 'MT_Fray' WHERE id = 1", "Golden part 1 was altered"),
    "the picture": ("UPDATE golden_parts SET image_sha256 = 'x' WHERE id = 2", "Golden part 2 was altered"),
    "its template": (
        "UPDATE golden_parts SET template_sha256 = 'x' WHERE id = 2",
        "Golden part 2 was altered",
    ),
    "who added it": ("UPDATE golden_parts SET added_by = 'nobody' WHERE id = 2", "Golden part 2 was altered"),
    "when": ("UPDATE golden_parts SET added_at = '2020-01-01' WHERE id = 1", "Golden part 1 was altered"),
    "when, unreadable": ("UPDATE golden_parts SET added_at = 'x' WHERE id = 1", "Golden part 1 was altered"),
    "a removal": (
        "UPDATE golden_parts SET removed_at = added_at, removed_by = 'A. Kern' WHERE id = 1",
        "Golden part 1 was altered",
    ),
    "a removal undone": (
        "UPDATE golden_parts SET removed_at = NULL, removed_by = '' WHERE id = 2",
        "Golden part 2 was altered",
    ),
    "who removed it": ("UPDATE golden_parts SET removed_by = 'x' WHERE id = 2", "Golden part 2 was altered"),
    "a part gone": ("DELETE FROM golden_parts WHERE id = 2", "Golden part 2 is missing"),
    "a part put in": (
        "INSERT INTO golden_parts SELECT 9, title, 'y', verdict, class_id, source, added_at, added_by, NULL, "
        "'', template_sha256, template_name FROM golden_parts WHERE id = 1",
        "Golden part 9 was inserted",
    ),
    "an outcome": ("UPDATE checks SET passed = 0 WHERE id = 1", "Check of golden parts 1 was altered"),
    "what came out": (
        "UPDATE checks SET result = '{\"parts\": [1]}' WHERE id = 1",
        "golden parts 1 was altered",
    ),
    "no outcome": ("UPDATE checks SET result = '{' WHERE id = 1", "golden parts 1 was altered"),
    "the rationale of a leave": (
        "UPDATE checks SET result = json_set(result, '$.rationale', 'x') WHERE id = 2",
        "golden parts 2 was altered",
    ),
    "a leave for another model": (
        "UPDATE checks SET fingerprint = 'x' WHERE id = 2",
        "golden parts 2 was altered",
    ),
    "a leave put in": (
        "INSERT INTO checks SELECT 9, kind, 'x', by, started_at, seen_at, finished_at, done, total, passed, "
        "result FROM checks WHERE id = 2",
        "Check of golden parts 9 was inserted",
    ),
    "why the model was changed": (
        "UPDATE model_changes SET why = 'better' WHERE id = 2",
        "Change of models 2 was altered",
    ),
    "who changed the model": (
        "UPDATE model_changes SET by = 'x' WHERE id = 1",
        "Change of models 1 was altered",
    ),
    "moved thresholds": (
        "UPDATE model_changes SET setup = json_set(setup, '$.limits.b.reject_from', 0.9) WHERE id = 2",
        "Change of models 2 was altered",
    ),
    "a setup that is none": (
        "UPDATE model_changes SET setup = '{' WHERE id = 2",
        "Change of models 2 was altered",
    ),
    "a change gone": ("DELETE FROM model_changes WHERE id = 2", "Change of models 2 is missing"),
    "a change put in": (
        "INSERT INTO model_changes SELECT 9, created_at, by, why, kind, model, sha256, setup "
        "FROM model_changes WHERE id = 1",
        "Change of models 9 was inserted",
    ),
    "a part of a template": (
        "UPDATE template_changes SET part_number = 'x' WHERE id = 1",
        "Change of templates 1 was altered",
    ),
    "a template gone": ("DELETE FROM template_changes WHERE id = 1", "Change of templates 1 is missing"),
    "a link of a part": (
        "UPDATE chain SET content = json_set(content, '$.verdict', 'x') WHERE seq = 3",
        "Link 3",
    ),
}


def guarded(store: Store, folder: Path) -> None:
    """Two golden parts, the second removed again, a check and leave without one, two changes of models."""
    golden = GoldenParts(store, None)
    golden.add(UPLOAD, "crack", "reject", "MT_Crack", "A. Kern")
    golden.remove(golden.add(b"another", "smooth", "accept", "", "A. Kern").id, "B. Roth", "worn")
    golden.check(golden.checks.begin("golden", "A. Kern", "f"), lambda *_: INSPECTION)
    golden.override("f", "B. Roth", "The camera is being changed.")
    for key in "ab":
        (folder / f"{key}.onnx").write_bytes(key.encode())
    library, models = Library(folder / "a.onnx", folder), Models(store)
    models.switch(library.get("b"), "A. Kern", "newer")
    models.move(library.get("b"), 0.2, 0.7, "A. Kern", "too strict")


@pytest.mark.parametrize("name", GOLDEN_CHANGES)
def test_a_changed_golden_part_or_change_of_models_or_templates_is_found_and_named(
    store: Store, tmp_path: Path, name: str
) -> None:
    guarded(store, tmp_path)
    PartTemplates(store).keep(UPLOAD, "good.png", "PCB-7", "", "A. Kern")
    result = verify(store)
    assert (texts(result), result.links) == ([], 1 + 3 + 2 + 2 + 1)
    statement, expected = GOLDEN_CHANGES[name]
    tamper(store, statement)
    (found,) = texts(verify(store))  # one change, one finding
    assert expected in found


def test_links_of_golden_parts_from_before_say_no_time_and_still_hold(store: Store, tmp_path: Path) -> None:
    with store.transaction("write", write=True) as session:
        row = GoldenRow(
            title="crack", image_sha256="x", verdict="reject", class_id="", source="", added_at=moment(0),
            added_by="A. Kern", removed_at=None, removed_by="",
        )  # fmt: skip
        session.add(row)
        session.flush()
        content = links.golden_content(row, "added", "A. Kern", row.added_at)
        for later in ("at", "template", "template_name"):
            del content[later]
        links.append(session.connection(), "golden", row.id, content)
    assert texts(verify(store)) == []
    tamper(store, "UPDATE golden_parts SET title = 'smooth'")
    assert texts(verify(store)) == ["Golden part 1 was altered: it does not say what was filed."]


def test_changes_of_models_from_before_their_links_are_linked_on_opening(tmp_path: Path) -> None:
    with closing(Store(tmp_path / "instance")) as store:
        guarded(store, tmp_path)
        # As the program before left it: without the last two links.
        tamper(
            store, "DELETE FROM chain WHERE kind = 'model'", "DROP TABLE lot_deletions",
            "UPDATE alembic_version SET version_num = '0006'",
        )  # fmt: skip
        assert len(texts(verify(store))) == 2
        tamper(
            store, "DROP TABLE template_changes", "DROP TABLE other_classes",
            "ALTER TABLE golden_parts DROP COLUMN template_sha256",
            "ALTER TABLE golden_parts DROP COLUMN template_name",
        )  # fmt: skip
    with closing(Store(tmp_path / "instance")) as store:
        result = verify(store)
        assert (texts(result), result.links) == ([], 1 + 3 + 2 + 2)
        tamper(store, "UPDATE model_changes SET why = 'x' WHERE id = 1")
        assert len(texts(verify(store))) == 1


def test_exchanged_links_are_found(store: Store) -> None:
    filled(store)
    exchange = "UPDATE chain SET seq = {} WHERE seq = {}"
    tamper(store, exchange.format(99, 2), exchange.format(2, 3), exchange.format(3, 99))
    assert any("Link 2" in text for text in texts(verify(store, files=False)))


def test_exchanged_inspections_are_found(store: Store) -> None:
    """Two rows swap all they say: each is sound in itself, but not the one that was filed there."""
    first, second, _ = filled(store)
    swap = "UPDATE inspections SET number = '{}' WHERE id = '{}'"
    tamper(
        store,
        swap.format("x", first.id),
        swap.format(first.number, second.id),
        swap.format(second.number, first.id),
    )
    found = texts(verify(store, files=False))
    assert any(first.number in text for text in found) and any(second.number in text for text in found)


def test_an_end_that_was_cut_off_is_found(store: Store) -> None:
    """The last inspection and its links are removed without a trace, but for the number it had."""
    filled(store)
    last = add(store)
    tamper(store, f"DELETE FROM inspections WHERE id = '{last.id}'", "DELETE FROM chain WHERE seq = 8")
    tamper(store, f"DELETE FROM catalogue WHERE id = '{last.id}'")
    assert [one.kind for one in verify(store, files=False).findings] == ["number"]


@pytest.mark.parametrize("name", ["upload.bin", "original.png", "heatmap.png", "boxes.png"])
def test_a_changed_file_is_found_and_named(store: Store, name: str) -> None:
    record = filled(store)[1]
    path = store.folder / record.id / name
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.unlink()  # upload and original may be one file with two names
    path.write_bytes(content)
    assert texts(verify(store)) == [f"Inspection {record.number}: the file {path.stem} was altered."]
    path.unlink()
    assert texts(verify(store)) == [f"Inspection {record.number}: the file {path.stem} is missing."]
    assert verify(store, files=False).ok


def test_a_file_with_two_names_is_found_under_both(store: Store) -> None:
    record = filled(store)[1]
    assert record.upload.samefile(record.pictures["original"])
    record.upload.write_bytes(b"something else")
    found = {f"Inspection {record.number}: the file {name} was altered." for name in ("upload", "original")}
    assert set(texts(verify(store))) == found


def test_a_thumbnail_made_later_is_no_change(store: Store) -> None:
    (store.folder / filled(store)[0].id / "thumbnail.png").write_bytes(b"x")
    assert verify(store).ok


def test_the_database_itself_refuses_to_change_a_link(store: Store) -> None:
    with closing(sqlite3.connect(store.database)) as connection:
        for statement in ("UPDATE chain SET hash = 'x'", "DELETE FROM chain"):
            with pytest.raises(sqlite3.IntegrityError, match="only ever added to"):
                connection.execute(statement)


# --- deletions ------------------------------------------------------------------------------------------


def test_what_a_rule_removed_is_not_missing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flawsight.records.retention.BATCH", 2)
    filled(store)
    Retention(store).apply(Rule(0, only_accepted=False), "A. Kern", FAR)
    record = add(store)
    Reviews(store).add(record.id, Answer("A. Kern", "accept", "MT_Free"))  # takes the id of a removed answer
    assert texts(verify(store)) == []
    tamper(store, "UPDATE deletions SET by = 'nobody'")
    assert texts(verify(store)) == ["Record of deletion 1 was altered: it does not say what was filed."]
    tamper(store, "DELETE FROM deletions")
    assert texts(verify(store)) == ["Record of deletion 1 is missing, and no rule removed it."]


def test_a_deleted_inspection_that_is_there_again_is_found(store: Store) -> None:
    record = add(store)
    with closing(sqlite3.connect(store.database)) as connection:
        row = connection.execute("SELECT * FROM inspections").fetchone()
    Retention(store).apply(Rule(0, only_accepted=False), "A. Kern", FAR)
    with closing(sqlite3.connect(store.database)) as connection, connection:
        connection.execute(f"INSERT INTO inspections VALUES ({','.join('?' * len(row))})", row)
    assert any(one.kind == "back" and record.id in one.text for one in verify(store, files=False).findings)


# --- PDFs and heads -------------------------------------------------------------------------------------


def test_each_pdf_prints_the_head_and_is_a_link_and_a_copy_is_the_same(store: Store) -> None:
    record, before = add(store), head(store)
    made: list[Head] = []

    def render(kept: Head) -> bytes:
        made.append(kept)
        return build_report(record, Reviews(store).of(record.id), kept)

    def ask() -> bytes:
        return issue(store, record.id, record.number, render)

    pdf = ask()
    assert made == [before] and head(store).seq == before.seq + 1
    text = PdfReader(BytesIO(pdf)).pages[0].extract_text()
    assert str(before) in text
    add(store)
    again = head(store)
    assert ask() == pdf and head(store) == again
    with speaking("de"):
        assert ask() != pdf and ask() != pdf and head(store).seq == again.seq + 1
    assert ask() == pdf
    Reviews(store).add(record.id, Answer("A. Kern", "accept", "MT_Free"))
    assert ask() != pdf and head(store).seq == again.seq + 3
    assert verify(store).ok


def test_a_kept_head_tells_that_the_chain_was_rebuilt(store: Store) -> None:
    records = filled(store)
    kept = head(store)
    assert verify(store, files=False, expect=kept).ok
    add(store)
    assert verify(store, files=False, expect=parse_head(f" {str(kept).upper()}\n")).ok
    # Somebody changes an answer, throws the chain away and has it made anew: in itself all fits.
    tamper(
        store,
        f"UPDATE inspections SET data = json_set(data, '$.reason', 'x') WHERE id = '{records[0].id}'",
        "DROP TABLE chain",
    )
    rebuild(store)
    assert verify(store, files=False).ok
    assert [one.kind for one in verify(store, files=False, expect=kept).findings] == ["head"]


def rebuild(store: Store) -> None:
    with store.transaction("write", write=True) as session:
        connection = session.connection()
        links.LinkRow.__table__.create(connection)  # type: ignore[attr-defined]
        links.adopt(connection)


@pytest.mark.parametrize("text", ["", "12", "12:zz", f"{'1' * 16}:{'0' * 64}", f"1:{'0' * 63}"])
def test_a_head_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadHead, match="64 hexadecimal digits"):
        parse_head(text)


# --- from before the chain ------------------------------------------------------------------------------


def test_a_history_from_before_the_chain_is_chained_and_checked(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as store:
        records = filled(store)
        database = store.database
    with closing(sqlite3.connect(database)) as connection, connection:
        for table in ("chain", "checks", "golden_parts"):
            connection.execute(f"DROP TABLE {table}")
        later = [name for (name,) in connection.execute(LATER)]
        for table in later:
            connection.execute(f"DROP TABLE {table}")
        connection.execute("UPDATE alembic_version SET version_num = '0004'")
    with closing(Store(tmp_path)) as store:
        result = verify(store)
        assert (texts(result), result.links, result.files) == ([], 6, 18)
        path = store.folder / records[0].id / "edges.png"
        path.write_bytes(b"x")
        records[1].upload.unlink()  # its picture of the original may be the same file
        records[1].upload.write_bytes(b"x")
        first, second = texts(verify(store))
        assert records[0].number in first and "one of its pictures" in first
        assert records[1].number in second and "the file upload was altered" in second


LATER = """SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN ('inspections', 'numbers',
'users', 'tokens', 'sessions', 'attempts', 'catalogue', 'reviews', 'deletions', 'lots', 'lot_parts',
'lot_events', 'alembic_version', 'sqlite_sequence')"""


# --- several processes ----------------------------------------------------------------------------------


def test_processes_that_file_at_once_make_one_chain(store: Store) -> None:
    code = textwrap.dedent(
        """
        import sys
        from contextlib import closing
        from pathlib import Path
        sys.path.insert(0, "tests")
        from factories import make_inspection
        from flawsight.records import Store
        from flawsight.records.reviews import Answer, Reviews
        inspection = make_inspection(width=64, height=48, boxes=())
        with closing(Store(Path(sys.argv[1]))) as store:
            for _ in range(12):
                record = store.add(inspection, b"upload", {"original": b"picture"})
                Reviews(store).add(record.id, Answer("A. Kern", "accept", "MT_Free"))
        """
    )
    command = [sys.executable, "-c", code, str(store.instance)]
    running = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    while any(process.poll() is None for process in running):
        assert verify(store, files=False).ok, "looked at while others write"
    for process in running:
        _, said = process.communicate()
        assert process.returncode == 0, said
    result = verify(store)
    assert (texts(result), result.links) == ([], 1 + 2 * 12 * 2)


# --- the command ----------------------------------------------------------------------------------------


def run(store: Store, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["verify", "--instance", str(store.instance), *arguments])
    return result.exit_code, result.output


def test_a_folder_without_a_history_is_no_history_that_is_in_order(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["verify", "--instance", str(tmp_path)])
    assert done.exit_code == 1 and "There is no history in" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_yes_or_names_what_is_wrong(store: Store) -> None:
    record = filled(store)[2]
    code, said = run(store)
    assert code == 0 and "All is as it was filed (7 links, 3 inspections, 18 files" in said
    assert str(head(store)) in said
    code, said = run(store, "--head", f"3:{'0' * 64}")
    assert code == 1 and "does not hold the head" in said
    (store.folder / record.id / "boxes.png").unlink()
    assert run(store, "--quick")[0] == 0
    code, said = run(store, "--json")
    found = json.loads(said)
    assert code == 1 and found["ok"] is False and found["count"] == 1
    assert record.number in found["findings"][0]["text"] and found["head"]["hash"] == head(store).hash
    assert run(store, "--head", "nonsense")[0] == 1


def test_progress_is_told_to_the_end(store: Store) -> None:
    filled(store)
    told: list[tuple[str, int, int]] = []
    note: Callable[[str, int, int], None] = lambda *step: told.append(step)  # noqa: E731
    verify(store, progress=note)
    assert ("records", 7, 7) in told and told[-1] == ("files", 3, 3)


@pytest.mark.parametrize("garbled", ["x", "[]", "{}"])
def test_a_garbled_list_of_pictures_hides_no_altered_file(store: Store, garbled: str) -> None:
    record = filled(store)[0]
    (store.folder / record.id / "original.png").write_bytes(b"another")
    tamper(store, f"UPDATE inspections SET pictures = '{garbled}' WHERE id = '{record.id}'")
    assert not verify(store).ok
