"""The history: whatever was inspected is found again, page by page, and goes only by a rule."""

from __future__ import annotations

import csv
import json
import re
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta, tzinfo
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from factories import make_inspection, make_pictures
from flask.testing import FlaskClient
from sqlalchemy import Connection, event, text
from web_client import token

from flawsight.inspection.result import VERDICTS, Box
from flawsight.records import Store
from flawsight.records.assessment import Taken
from flawsight.records.catalogue import moment
from flawsight.records.lot import Terms
from flawsight.records.lots import Lots
from flawsight.records.retention import Preview, Retention, Rule
from flawsight.records.reviews import QUEUES, Answer, Reviews
from flawsight.records.search import ORDERS, Filter, History
from flawsight.records.store import MIGRATIONS, PENDING
from flawsight.records.tables import CatalogueRow, OtherClassRow
from flawsight.records.verify import verify

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
import history as benchmark

CLASSES = {"accept": "MT_Free", "reject": "MT_Crack", "review": "PCB_open", "unknown": "MT_Fray"}


ACCEPTED = Answer("A. Kern", "accept", "MT_Free")
SCRAPPED = Answer("B. Roth", "reject", "MT_Fray", disposition="scrap", rationale="=1+1\nTorn.")


def file(
    store: Store, verdict: str = "accept", confidence: float = 0.9, name: str = "a.png", **context: str
) -> str:
    """The number of a filed inspection."""
    inspection = make_inspection(
        verdict, CLASSES[verdict], confidence=confidence, name=name, width=64, height=48, boxes=()
    )
    return store.add(inspection, b"upload", make_pictures(inspection), context).number


def numbers(store: Store, wanted: Filter = Filter(), order: str = "newest", size: int = 50) -> list[str]:  # noqa: B008
    return [entry.number for entry in History(store).page(wanted, order, size).entries]


# --- search ---------------------------------------------------------------------------------------------


def test_every_filter_finds_its_own_and_nothing_else(store: Store) -> None:
    good = file(store, "accept", 0.95, "shaft.png", part_number="P-1", lot="L1", serial="S77")
    bad = file(store, "reject", 0.55, "tile.png", part_number="P-2", lot="L2")
    odd = file(store, "unknown", 0.30, "100%_wood.png")
    moments = [entry.created_at for entry in History(store).page(Filter(), "oldest").entries]
    for wanted, expected in [
        (Filter(), [odd, bad, good]),
        (Filter(text="shaft"), [good]),
        (Filter(text="SHAFT"), [good]),
        (Filter(text="haft"), []),
        (Filter(text="s77"), [good]),
        (Filter(text="l2"), [bad]),
        (Filter(text="P-"), [bad, good]),
        (Filter(text="100%_"), [odd]),
        (Filter(text=bad), [bad]),
        (Filter(text=bad[:9].lower()), [odd, bad, good]),
        (Filter(text="INSP-1999"), []),
        (Filter(part_number="p-2"), [bad]),
        (Filter(lot="L1"), [good]),
        (Filter(class_id="MT_Crack"), [bad]),
        (Filter(verdict="unknown"), [odd]),
        (Filter(confidence_from=0.55), [bad, good]),
        (Filter(confidence_to=0.55), [bad]),
        (Filter(verdict="unknown", confidence_to=0.55), []),
        (Filter(confidence_from=0.4, confidence_to=0.6), [bad]),
        (Filter(since=moments[1]), [odd, bad]),
        (Filter(until=moments[1]), [good]),
        (Filter(model="flawsight-unified 1.0.0"), [odd, bad, good]),
        (Filter(model="another 2"), []),
        (Filter(numbers=((good, bad),)), [bad, good]),
        (Filter(numbers=((odd, odd), (good, good))), [odd, good]),
        (Filter(numbers=((good[:-1], odd + "0"),)), []),
        (Filter(numbers=((good, odd),), verdict="reject"), [bad]),
        (Filter(review="none"), [odd, bad, good]),
        (Filter(review="corrected"), []),
        (Filter(class_id="MT_Crack", verdict="accept"), []),
        (Filter(lot="L2", verdict="reject", confidence_to=0.9, text="tile"), [bad]),
    ]:
        assert numbers(store, wanted) == expected, wanted
        assert History(store).count(wanted) == len(expected), wanted


def test_the_answer_that_counts_is_found_beside_that_of_the_model(store: Store) -> None:
    unsure, good, plain = file(store, "review"), file(store, "accept"), file(store, "accept")
    answer(store, unsure, SCRAPPED)
    answer(store, unsure, ACCEPTED)  # the latest counts
    answer(store, good, SCRAPPED)
    for wanted, expected in [
        (Filter(final="accept"), [plain, unsure]),
        (Filter(final="review"), []),
        (Filter(verdict="review"), [unsure]),
        (Filter(final="reject"), [good]),
        (Filter(verdict="accept", final="reject"), [good]),
        (Filter(disposition="scrap"), [good]),
        (Filter(class_id="MT_Free", final="accept"), [plain]),
    ]:
        assert numbers(store, wanted) == expected, wanted
        assert History(store).count(wanted) == len(expected), wanted
    entry = History(store).page(Filter(text=good)).entries[0]
    assert (entry.verdict, entry.predicted_class) == ("accept", "MT_Free")
    assert (entry.final_verdict, entry.final_class, entry.disposition) == ("reject", "MT_Fray", "scrap")


def answer(store: Store, number: str, said: Answer) -> None:
    Reviews(store).add(History(store).page(Filter(text=number)).entries[0].id, said)


def test_inspector_and_station_are_filters(store: Store) -> None:
    first = file(store, inspector="A. Kern", station="Bench 1")
    second = file(store, inspector="B. Roth", station="Bench 1")
    assert numbers(store, Filter(inspector="a. kern")) == [first]
    assert numbers(store, Filter(station="bench 1")) == [second, first]
    assert numbers(store, Filter(station="Bench 1", inspector="B. Roth")) == [second]


def test_the_beginning_of_a_number_finds_all_of_them_also_after_the_clock_was_set_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [file(store) for _ in range(2)]

    class SetBack(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.now(tz) - timedelta(minutes=1)

    monkeypatch.setattr("flawsight.records.store.datetime", SetBack)
    after = [file(store) for _ in range(2)]
    for beginning in ("INSP-", after[0][:-1]):
        assert numbers(store, Filter(text=beginning)) == before[::-1] + after[::-1]


def test_the_beginning_of_a_number_finds_more_than_a_million_of_a_year(store: Store) -> None:
    filed = [file(store)]
    with store.transaction("write", write=True) as session:
        session.execute(text("UPDATE numbers SET last = 999998"))
    filed += [file(store) for _ in range(3)]
    year = filed[0][:10]
    assert [number.removeprefix(year) for number in filed] == ["000001", "999999", "1000000", "1000001"]
    for beginning, found in ((year, filed), (f"{year}1", filed[2:]), (f"{year}9", filed[1:2])):
        assert numbers(store, Filter(text=beginning)) == found[::-1]


def test_what_is_written_like_a_number_and_is_none_is_looked_for_everywhere(store: Store) -> None:
    named = file(store, name="INSP-0001.png")
    marked = file(store, serial="insp-77", lot="INSP-L1")
    assert numbers(store, Filter(text="INSP-0001")) == [named]
    assert numbers(store, Filter(text="insp-0001.PNG")) == [named]
    for beginning in ("INSP-7", "insp-l"):
        assert numbers(store, Filter(text=beginning)) == [marked]
    assert numbers(store, Filter(text=f"{named}.png")) == []


def test_digits_find_the_running_number_of_every_year(store: Store) -> None:
    first, second = file(store), file(store, serial="1000")
    with store.transaction("write", write=True) as session:
        session.execute(text("INSERT INTO numbers VALUES (2020, 7)"))
        session.execute(
            text("UPDATE catalogue SET number = 'INSP-2020-000002' WHERE number = :n"), {"n": first}
        )
    assert numbers(store, Filter(text="000002")) == [second, "INSP-2020-000002"]
    assert numbers(store, Filter(text="2")) == [second, "INSP-2020-000002"]
    assert numbers(store, Filter(text="1")) == [second]  # its serial number begins so
    assert numbers(store, Filter(text="00002")) == [second, "INSP-2020-000002"]
    for nothing in ("0", "٢", "9" * 20, "2."):
        assert numbers(store, Filter(text=nothing)) == []


def plans(store: Store, action: Callable[[], object]) -> list[list[str]]:
    """How SQLite goes about each question that ``action`` asks of the catalogue."""
    found: list[list[str]] = []

    def explain(
        connection: Connection, cursor: object, statement: str, values: tuple[object, ...], *_: object
    ) -> None:
        if "FROM catalogue" in statement:
            raw = connection.connection.driver_connection
            assert raw is not None
            steps = raw.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
            found.append([step[3] for step in steps])

    event.listen(store._engine, "before_cursor_execute", explain)
    action()
    event.remove(store._engine, "before_cursor_execute", explain)
    return found


@pytest.mark.parametrize("name", benchmark.filters())
def test_every_condition_is_counted_and_every_page_walked_along_an_index(
    store: Store, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """At a million lines, a look at each of them or a sorting of many takes too long."""
    wanted = benchmark.filters()[name]
    for order in ORDERS:
        *counts, _ = plans(store, lambda by=order: History(store).page(wanted, by))  # type: ignore[misc]
        assert not [step for steps in counts for step in steps if step == "SCAN catalogue"], counts
        with monkeypatch.context() as patch:
            patch.setattr("flawsight.records.search.FEW", -1)  # as if all had many
            pages = plans(store, lambda by=order: History(store).page(wanted, by))  # type: ignore[misc]
        assert not [step for steps in pages for step in steps if "TEMP B-TREE" in step], pages


@pytest.mark.parametrize("kind", QUEUES)
def test_every_queue_is_walked_along_its_index(store: Store, kind: str) -> None:
    benchmark.seed(store.database, 50)
    reviews = Reviews(store)
    for action in (
        lambda: reviews.queue(kind), lambda: reviews.count_queue(kind),
        lambda: reviews.neighbours(f"{3:032x}", kind),
    ):  # fmt: skip
        for steps in plans(store, action):
            assert not [step for step in steps if step == "SCAN catalogue" or "TEMP B-TREE" in step], steps


def test_every_order_and_filter_gives_each_line_once_whatever_leads(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages forth and back against plain Python, with few lines leading and with none."""
    benchmark.seed(store.database, 600)
    history = History(store)
    everything = history.page(Filter(), "oldest", 1000).entries
    assert len(everything) == 600
    for few in (20_000, 0):
        monkeypatch.setattr("flawsight.records.search.FEW", few)
        for wanted in (
            Filter(),
            Filter(verdict="accept"),
            Filter(verdict="unknown"),
            Filter(final="unknown"),
            Filter(class_id="MT_Free", verdict="reject"),
            Filter(class_id="MT_Free", verdict="accept"),
            Filter(text="IMG_00000", confidence_from=0.9),
            Filter(lot="L000001", review="none"),
            Filter(final="reject"),
            Filter(final="accept", verdict="reject"),
            Filter(class_id="MT_Free", final="accept"),
            Filter(final="accept", confidence_from=0.9),
            Filter(disposition="scrap"),
            Filter(inspector="B. ROTH", station="Bench 2"),
            Filter(since=everything[100].created_at, until=everything[400].created_at),
        ):
            matching = [entry for entry in everything if matches(entry, wanted)]
            for name, order in ORDERS.items():
                expected = sorted(matching, key=lambda e: e.created_at, reverse=order.descending)
                if order.column == "confidence":
                    known = [entry for entry in expected if entry.verdict != "unknown"]
                    known.sort(key=lambda e: e.confidence, reverse=order.descending)
                    expected = known + [entry for entry in expected if entry.verdict == "unknown"]
                assert walked(history, wanted, name) == [entry.number for entry in expected], (
                    wanted,
                    name,
                    few,
                )
            assert history.count(wanted) == len(matching)


def matches(entry: object, wanted: Filter) -> bool:
    value = vars(entry)
    return (
        wanted.verdict in ("", value["verdict"])
        and wanted.class_id in ("", value["predicted_class"])
        and wanted.lot in ("", value["lot"])
        and wanted.review in ("", value["review_state"])
        and wanted.final in ("", value["final_verdict"])
        and wanted.disposition in ("", value["disposition"])
        and wanted.inspector.lower() in ("", value["inspector"].lower())
        and wanted.station in ("", value["station"])
        and value["name"].startswith(wanted.text)
        and (wanted.confidence_from is None or value["verdict"] != "unknown")
        and value["confidence"] >= (wanted.confidence_from or 0)
        and (wanted.since is None or value["created_at"] >= wanted.since)
        and (wanted.until is None or value["created_at"] < wanted.until)
    )


def walked(history: History, wanted: Filter, order: str) -> list[str]:
    """All numbers, page by page to the end; on the way back the pages must be the same."""
    forth, page = [], history.page(wanted, order, 70)
    assert page.before is None
    while True:
        forth.append(page)
        if page.after is None:
            break
        page = history.page(wanted, order, 70, after=page.after)
    for earlier in reversed(forth[:-1]):
        assert page.before is not None
        page = history.page(wanted, order, 70, before=page.before)
        assert page.entries == earlier.entries
    assert page.before is None
    return [entry.number for part in forth for entry in part.entries]


def test_parts_without_a_confidence_come_last_and_lead_back_to_those_with_one(
    client: FlaskClient, store: Store
) -> None:
    odd = [file(store, "unknown", share) for share in (0.99, 0.2)]
    sure, unsure = file(store, "accept", 0.9), file(store, "reject", 0.6)
    for order, expected in [
        ("most_confident", [sure, unsure, *odd[::-1]]),
        ("least_confident", [unsure, sure, *odd]),
    ]:
        assert numbers(store, order=order) == expected
        listed = client.get(f"/history?order={order}").text
        page = client.get(address_of(listed, expected[0])).text
        seen = [shown(page)]
        while 'rel="next"' in page:
            page = client.get(link(page, "next")).text
            seen.append(shown(page))
        assert seen == expected
        while 'rel="prev"' in page:
            page = client.get(link(page, "prev")).text
            seen.append(shown(page))
        assert seen[len(expected) :] == expected[-2::-1]


def test_no_confidence_is_printed_of_a_part_that_the_model_does_not_know(
    client: FlaskClient, store: Store
) -> None:
    number = file(store, "unknown", 0.8765)
    page = client.get("/history").text
    assert number in page and "87.6" not in page and "87.7" not in page
    assert '<td data-label="Confidence" class="number blank">–</td>' in page
    table = client.get("/history/history.csv").data.decode("utf-8-sig")
    [row] = csv.DictReader(StringIO(table))
    assert (row["verdict"], row["confidence"]) == ("unknown", "")
    answered = client.get("/api/v1/inspections").json
    assert answered and answered["inspections"][0]["confidence"] == 0.8765  # the shape of the API stays


def test_a_line_names_every_kind_of_defect_as_the_result_does(client: FlaskClient, store: Store) -> None:
    boxes = Box(4, 4, 12, 12, 0.9, "PCB_open"), Box(30, 20, 40, 30, 0.8, "PCB_spur")
    board = make_inspection("reject", "PCB_open", boxes=boxes, name="board.png", width=64, height=48)
    filed = store.add(board, b"upload", make_pictures(board), {})
    assert "<span>Open, Spur</span>" in client.get("/history").text
    doubtful = make_inspection("review", "PCB_spur", boxes=boxes, name="board.png", width=64, height=48)
    store.add(doubtful, b"upload", make_pictures(doubtful), {})
    assert "<strong>Possibly: Open, Spur</strong>" in client.get("/review").text
    Reviews(store).add(filed.id, Answer("A. Kern", "accept", "PCB_Free", disposition="use_as_is"))
    page = client.get("/history?verdict=reject").text
    assert "Open, Spur" not in page and "A person decided" in page


def file_board(
    store: Store, main: str, *others: str, verdict: str = "reject", confidence: float = 0.9
) -> str:
    """The number of a filed board with one box of each class."""
    boxes = tuple(Box(4 + 9 * i, 4, 12 + 9 * i, 12, 0.9, name) for i, name in enumerate((main, *others)))
    board = make_inspection(verdict, main, boxes=boxes, confidence=confidence, width=64, height=48)
    return store.add(board, b"upload", make_pictures(board), {}).number


def test_a_part_is_found_by_each_class_that_is_boxed_on_it(store: Store, client: FlaskClient) -> None:
    both = file_board(store, "PCB_open", "PCB_spur", "PCB_spur", confidence=0.8)
    spur, short = file_board(store, "PCB_spur"), file_board(store, "PCB_open", "PCB_short")
    doubtful = file_board(store, "PCB_short", "PCB_spur", verdict="review", confidence=0.5)
    for wanted, expected in [
        (Filter(class_id="PCB_spur"), [doubtful, spur, both]),
        (Filter(class_id="PCB_short"), [doubtful, short]),
        (Filter(class_id="PCB_open"), [short, both]),
        (Filter(class_id="PCB_spur", verdict="review"), [doubtful]),
        (Filter(class_id="PCB_spur", confidence_from=0.7), [spur, both]),
        (Filter(class_id="PCB_pinhole"), []),
    ]:
        assert numbers(store, wanted) == expected, wanted
        assert History(store).count(wanted) == len(expected), wanted
        assert numbers(store, wanted, "oldest") == expected[::-1]
    assert numbers(store, Filter(class_id="PCB_spur"), "least_confident") == [doubtful, both, spur]
    middle = History(store).page(Filter(text=spur)).entries[0].id
    around = History(store).neighbours(middle, Filter(class_id="PCB_spur"))
    assert [store.get(str(one)).number for one in around] == [both, doubtful]
    assert History(store).choices().classes == ("PCB_open", "PCB_short", "PCB_spur")
    assert "3 inspections" in client.get("/history?class=PCB_spur").text
    table = StringIO(client.get("/history/history.csv?class=PCB_spur").data.decode("utf-8-sig"))
    assert [row["box_classes"] for row in csv.DictReader(table)] == [
        "PCB_short PCB_spur", "PCB_spur", "PCB_open PCB_spur",
    ]  # fmt: skip
    assert History(store).count(Filter(class_id="PCB_spur"), 2) == 2


def test_a_class_beside_the_main_one_goes_with_its_inspection(store: Store) -> None:
    file_board(store, "PCB_open", "PCB_spur")
    newest = History(store).page(Filter()).entries[0].created_at
    Retention(store).apply(Rule(1, only_accepted=False), "A. Kern", newest + timedelta(days=2))
    with store.transaction("read") as session:
        assert session.query(OtherClassRow).count() == 0


def test_the_check_of_the_records_names_a_line_that_hides_a_class(store: Store) -> None:
    number = file_board(store, "PCB_open", "PCB_spur")
    assert not verify(store).findings
    with closing(sqlite3.connect(store.database)) as database, database:
        database.execute("DELETE FROM other_classes")
    [found] = verify(store).findings
    assert found.said() == (
        f"Inspection {number} is listed with something else than was filed: other classes."
    )


def test_a_history_from_before_other_classes_is_found_by_them(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as store:
        board, damaged = (file_board(store, "PCB_open", "PCB_spur") for _ in range(2))
        with closing(sqlite3.connect(store.database)) as database, database:
            database.execute("DROP TABLE other_classes")
            for later in ("template_sha256", "template_name"):
                database.execute(f"ALTER TABLE golden_parts DROP COLUMN {later}")
            database.execute("UPDATE alembic_version SET version_num = '0009'")
            database.execute(
                """UPDATE inspections SET data = json_set(data, '$.boxes', json('["x", {"class": 7}, {}]'))
                WHERE number = ?""",
                [damaged],
            )
    with closing(Store(tmp_path)) as store:
        assert numbers(store, Filter(class_id="PCB_spur")) == [board]
        assert not [one for one in verify(store).findings if "other classes" in one.said()]


def test_a_count_stops_at_its_limit(store: Store) -> None:
    benchmark.seed(store.database, 300)
    assert History(store).count(Filter(), 200) == 200
    assert History(store).count(Filter(), 1000) == 300


def test_choices_are_the_values_that_occur(store: Store) -> None:
    for verdict in VERDICTS:
        file(store, verdict)
    choices = History(store).choices()
    assert choices.classes == tuple(sorted(CLASSES.values()))
    assert choices.models == ("flawsight-unified 1.0.0",)


def test_two_inspections_of_one_microsecond_both_stay_in_the_catalogue(store: Store) -> None:
    first, second = file(store), file(store)
    with store.transaction("read") as session:
        moments = [row.at for row in session.query(CatalogueRow).order_by(CatalogueRow.at)]
    assert len(set(moments)) == 2 and numbers(store, order="oldest") == [first, second]


def test_a_history_from_before_the_catalogue_is_found_too(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as store:
        kept = [file(store, "reject", part_number="P-9", name="ä.png"), file(store, "unknown")]
        expected = History(store).page(Filter()).entries
        database = store.database
    with closing(sqlite3.connect(database)) as connection, connection:
        before = ("inspections", "numbers", "users", "tokens", "sessions", "attempts", "alembic_version")
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for [table] in tables:
            if table not in before and not table.startswith("sqlite_"):
                connection.execute(f"DROP TABLE {table}")
        connection.execute("UPDATE alembic_version SET version_num = '0002'")
        connection.execute("UPDATE inspections SET created_at = (SELECT min(created_at) FROM inspections)")
    with closing(Store(tmp_path)) as store:
        found = History(store).page(Filter()).entries
        assert [entry.number for entry in found] == kept[::-1]
        assert {e.id: (e.part_number, e.name, e.confidence) for e in found} == {
            e.id: (e.part_number, e.name, e.confidence) for e in expected
        }


def test_a_history_from_before_final_verdicts_gets_them_from_what_people_answered(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as store:
        unsure, good = file(store, "review", inspector="A. Kern", station="Bench 3"), file(store, "accept")
        answer(store, unsure, ACCEPTED)
        answer(store, unsure, SCRAPPED)
        unread = file(store, "unknown")
        expected = History(store).page(Filter()).entries
        engine = store._engine.execution_options(flawsight_write=True)
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.downgrade(config, "0007")
        with closing(sqlite3.connect(store.database)) as database, database:
            database.execute("UPDATE inspections SET data = '{' WHERE number = ?", [unread])
    with closing(Store(tmp_path)) as store:
        assert History(store).page(Filter()).entries == expected
        assert numbers(store, Filter(final="reject", inspector="A. Kern", disposition="scrap")) == [unsure]
        assert [entry.number for entry in Reviews(store).queue()] == [unread]
        assert numbers(store, Filter(final="accept")) == [good]


# --- retention ------------------------------------------------------------------------------------------


def test_a_rule_removes_what_is_old_and_accepted_and_says_so(store: Store) -> None:
    old_good, old_bad = file(store, "accept"), file(store, "reject")
    new_good = file(store, "accept")
    newest = History(store).page(Filter()).entries[0]
    now = newest.created_at + timedelta(days=30)
    retention = Retention(store)
    assert retention.preview(Rule(30), now) == Preview(1, 0, 0, 0)
    assert retention.preview(Rule(30, only_accepted=False), now) == Preview(2, 0, 0, 0)
    gone = History(store).page(Filter(text=old_good)).entries[0]
    done = retention.apply(Rule(30), "A. Kern", now)
    assert numbers(store) == [new_good, old_bad]
    assert not (store.folder / gone.id).exists()
    assert retention.log() == [done]
    assert (done.by, done.inspections, done.first_number, done.last_number) == (
        "A. Kern",
        1,
        old_good,
        old_good,
    )


def test_a_rule_removes_more_than_one_batch_and_records_one_run(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flawsight.records.retention.BATCH", 2)
    filed = [file(store) for _ in range(5)]
    now = moment(2**52)
    done = Retention(store).apply(Rule(0, only_accepted=False), "x", now)
    assert done.inspections == 5 and (done.first_number, done.last_number) == (filed[0], filed[-1])
    assert [deletion.inspections for deletion in Retention(store).log()] == [5]
    assert list(store.folder.iterdir()) == []


def test_no_rule_takes_what_an_open_lot_is_to_be_decided_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flawsight.records.retention.BATCH", 2)
    lots, limits = Lots(store), {"critical": "none", "major": "2.5", "unknown": "2.5", "minor": "4.0"}
    closed = [lots.open(Terms(f"C-{index}", 3, "I", limits), "Olga") for index in range(2)]
    lots.open(Terms("O-1", 3, "I", limits), "Olga")
    for number in ("C-0", "C-1", "C-0", "O-1", "C-0", "O-1"):
        file(store, lot=number)
    plain, kept = file(store), numbers(store, Filter(lot="O-1"))
    closed = [lots.close(lot.id, "withdraw", "Ines", "Recalled.") for lot in closed]
    retention, now = Retention(store), moment(2**52)
    assert retention.preview(Rule(0), now) == Preview(inspections=5, of_lots=4, lots=2, kept=2)
    done = retention.apply(Rule(0), "Ada", now)
    assert (done.inspections, done.last_number) == (5, plain) and numbers(store) == kept
    assert retention.preview(Rule(0), now) == Preview(0, 0, 0, kept=2)
    taken = [lots.assess(lot).deleted for lot in closed]
    assert taken == [(Taken(3, "Ada", now),), (Taken(1, "Ada", now),)]
    assert verify(store, files=False).ok


def test_a_part_that_a_person_corrects_while_a_rule_is_applied_stays(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    file(store, "accept"), file(store, "accept")
    retention = Retention(store)
    look_up, spared = retention._next, History(store).page(Filter(), "oldest").entries[0]

    def answered_meanwhile(rule: Rule, now: datetime) -> list[tuple[str, str]]:
        found = look_up(rule, now)
        if found:
            Reviews(store).add(spared.id, SCRAPPED)
        return found

    monkeypatch.setattr(retention, "_next", answered_meanwhile)
    assert retention.apply(Rule(0), "Ada", moment(2**52)).inspections == 1
    assert numbers(store) == [spared.number] and not (store.folder / spared.id / PENDING).exists()
    assert store.get(spared.id).read("original") and verify(store).ok


def test_parts_that_were_deleted_before_that_was_recorded_are_missed_all_the_same(store: Store) -> None:
    lots = Lots(store)
    lot = lots.open(
        Terms("L-1", 3, "I", {"critical": "none", "major": "2.5", "unknown": "2.5", "minor": "4.0"}), "Olga"
    )
    file(store, lot="L-1", serial="1"), file(store, lot="L-1", serial="2")
    lot = lots.close(lot.id, "withdraw", "Ines", "Recalled.")
    assert lots.assess(lot).deleted == ()
    Retention(store).apply(Rule(0), "Ada", moment(2**52))
    with store.transaction("write", write=True) as session:
        session.execute(text("DELETE FROM lot_deletions"))
    assert lots.assess(lot).deleted == (Taken(2),)


def test_a_rule_that_finds_nothing_leaves_no_record(store: Store) -> None:
    file(store)
    assert Retention(store).apply(Rule(1), "x").inspections == 0
    assert Retention(store).log() == []


def test_a_number_is_never_given_again_after_a_deletion(store: Store) -> None:
    first = file(store)
    Retention(store).apply(Rule(0), "x", moment(2**52))
    assert file(store) > first


# --- the page -------------------------------------------------------------------------------------------


def test_the_page_shows_what_the_address_asks_for(client: FlaskClient, store: Store) -> None:
    good = file(store, "accept", name="shaft.png", part_number="P-1", lot="L1")
    bad = file(store, "reject", name="<b>tile.png", part_number="P-2")
    page = client.get("/history").text
    assert page.index(bad) < page.index(good) and "2 inspections" in page
    assert "<b>tile.png" not in page and "&lt;b&gt;tile.png" in page
    page = client.get("/history?lot=L1&verdict=accept&min=50&max=99.5&from=2020-01-01&order=oldest").text
    assert good in page and bad not in page and "1 inspection<" in page
    assert 'value="L1"' in page and 'value="99.5"' in page
    assert "Nothing matches" in client.get("/history?q=zebra").text


def test_an_empty_history_says_what_to_do(client: FlaskClient) -> None:
    assert "Inspect a part" in client.get("/history").text


def test_a_part_that_a_person_decided_shows_the_decision_and_what_the_model_said(
    client: FlaskClient, store: Store
) -> None:
    number = file(store, "review")
    page = client.get("/history").text
    assert 'class="badge review"' in page and "A person decided" not in page
    answer(store, number, SCRAPPED)
    page = client.get("/history").text
    assert 'class="badge reject"' in page and 'class="badge review"' not in page and "Fray" in page
    assert "A person decided; the model said REVIEW." in page and "· Scrap" in page
    assert number in client.get("/history?final=reject&disposition=scrap").text
    assert number not in client.get("/history?final=review").text
    listed = client.get("/api/v1/inspections?final=reject&verdict=review").json
    assert listed is not None
    [entry] = listed["inspections"]
    assert (entry["verdict"], entry["final_verdict"], entry["disposition"]) == ("review", "reject", "scrap")


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        ("from=2026-11-20&to=2026-11-19", "from 2026-11-20 back to 2026-11-19"),
        ("min=60&max=59.5", "from 60 % down to 59.5 %"),
    ],
)
def test_ends_that_are_exchanged_are_said_to_be(client: FlaskClient, query: str, hint: str) -> None:
    for address in (f"/history?{query}", f"/api/v1/inspections?{query}"):
        answered = client.get(address)
        assert answered.status_code == 400 and hint in answered.text
    assert client.get("/history?from=2026-11-20&to=2026-11-20&min=60&max=60").status_code == 200


@pytest.mark.parametrize(
    "address",
    ["inspections", "inspections/history.csv", "inspections/history.json", "reviews/queue", "lots",
     "lots/trend", "retention", "retention/matching", "trust/agreement", "trust/drift"],
)  # fmt: skip
def test_a_parameter_that_a_program_misspelled_is_named(client: FlaskClient, address: str) -> None:
    answered = client.get(f"/api/v1/{address}?verdikt=reject&days=1")
    assert answered.status_code == 400 and answered.json is not None
    assert answered.json["code"] == "bad_filter" and "'verdikt'. It takes: " in answered.json["detail"]


def test_empty_fields_do_not_stay_in_the_address(client: FlaskClient) -> None:
    response = client.get("/history?q=&lot=L+1&verdict=&from=")
    assert (response.status_code, response.location) == (302, "/history?lot=L+1")


@pytest.mark.parametrize(
    "query",
    [
        "from=yesterday",
        "verdict=bad",
        "min=a",
        "max=101",
        "min=nan",
        "order=x",
        "after=x",
        "review=x",
        "numbers=12",
        "numbers=000012",
        "numbers=INSP-2026-000012..7",
        "numbers=INSP-2026-000012..INSP-2027-000013",
        "numbers=INSP-2026-000001" + ",000001" * 300,
    ],
)
def test_a_filter_that_means_nothing_is_refused_with_a_hint(client: FlaskClient, query: str) -> None:
    response = client.get(f"/history?{query}")
    assert response.status_code == 400 and "There is nothing" not in response.text
    assert client.get(f"/api/v1/inspections?{query}").json["code"] == "bad_filter"  # type: ignore[index]


def test_a_filter_that_means_nothing_is_said_beside_the_form_as_it_was_filled_in(
    client: FlaskClient, store: Store
) -> None:
    number = file(store)
    page = client.get("/history?q=IMG&lot=L1&min=80&max=20&numbers=12-15&verdict=reject&order=oldest")
    assert page.status_code == 400
    assert re.search(r'<p class="problem" role="alert">[^<]*from 80 % down to', page.text)
    for name, value in (("q", "IMG"), ("lot", "L1"), ("min", "80"), ("max", "20"), ("numbers", "12-15")):
        assert re.search(rf'<input [^>]*name="{name}"[^>]* value="{value}"', page.text), name
    assert '<option value="reject" selected>' in page.text and "<details open>" in page.text
    assert number not in page.text and "Save these as" not in page.text and "problem-page" not in page.text
    page = client.get("/history?numbers=12-15", headers={"Accept": "text/html", "Accept-Language": "de"})
    assert page.status_code == 400 and "sind keine Nummern von Prüfungen" in page.text


def test_numbers_of_inspections_are_listed_and_exported_whatever_lies_between(
    client: FlaskClient, store: Store
) -> None:
    filed = [file(store) for _ in range(6)]
    series, digits = filed[0][:-6], [number[-6:] for number in filed]
    for said, expected in [
        (f"{filed[0]}..{digits[1]},{digits[3]},{digits[5]}", [0, 1, 3, 5]),
        (f"{filed[4].lower()}..{filed[5]} , {filed[0]}", [0, 4, 5]),
        (f"{series}900000..900100", []),
    ]:
        asked = client.get(
            "/api/v1/inspections", query_string={"numbers": said, "order": "oldest"}
        ).get_json()
        assert [one["number"] for one in asked["inspections"]] == [filed[i] for i in expected]
        table = client.get("/history/history.csv", query_string={"numbers": said}).text
        assert [number in table for number in filed] == [i in expected for i in range(6)]
    page = client.get("/history", query_string={"numbers": filed[2]}).text
    assert f'name="numbers" value="{filed[2]}"' in page and "1 inspection<" in page


def test_recent_inspections_are_also_had_as_a_part_of_a_page(client: FlaskClient, store: Store) -> None:
    assert "Nothing inspected yet" in client.get("/recent").text
    number = file(store)
    part = client.get("/recent").text
    assert number in part and "<html" not in part and part.strip() in client.get("/").text


def test_pages_link_forth_and_back_with_the_filter(client: FlaskClient, store: Store) -> None:
    benchmark.seed(store.database, 130)
    first = client.get("/history?order=most_confident&review=none")
    assert 'rel="next"' in first.text and 'rel="prev"' not in first.text
    second = client.get(link(first.text, "next"))
    assert "review=none" in link(second.text, "prev") and "order=most_confident" in link(second.text, "next")
    assert 'rel="prev"' in second.text


def link(page: str, rel: str) -> str:
    return page.split(f'rel="{rel}" href="')[1].split('"')[0].replace("&amp;", "&")


def test_next_and_previous_stay_within_the_filter_one_came_from(client: FlaskClient, store: Store) -> None:
    # Confidences out of the order of filing; only the rejected ones are to be walked.
    bad = {file(store, "reject", share): share for share in (0.7, 0.9, 0.8)}
    file(store, "accept", 0.75)
    bad[file(store, "reject", 0.6)] = 0.6
    pages = {
        "verdict=reject": list(bad),
        "verdict=reject&order=oldest": list(bad),
        "verdict=reject&order=most_confident": sorted(bad, key=lambda number: -bad[number]),
        "verdict=reject&min=65&order=least_confident": sorted(bad, key=lambda number: bad[number])[1:],
    }
    for query, expected in pages.items():
        listed = client.get(f"/history?{query}").text
        page = client.get(address_of(listed, expected[0])).text
        assert 'rel="prev"' not in page
        seen = [shown(page)]
        while 'rel="next"' in page:
            page = client.get(link(page, "next")).text
            seen.append(shown(page))
        assert seen == expected, query
        assert shown(client.get(link(page, "prev")).text) == expected[-2], query
        back = page.split("/history?")[1].split('"')[0].replace("&amp;", "&")
        assert sorted(back.split("&")) == sorted(query.split("&"))


def test_an_inspection_that_left_the_filter_still_leads_on(client: FlaskClient, store: Store) -> None:
    first, reviewed, last = (file(store, "reject") for _ in range(3))
    entries = {entry.number: entry.id for entry in History(store).page(Filter()).entries}
    Reviews(store).add(entries[reviewed], Answer("A. Kern", "reject", "MT_Crack"))
    page = client.get(f"/inspections/{entries[reviewed]}?review=none").text
    assert entries[first] in link(page, "prev") and entries[last] in link(page, "next")
    assert "review=none" in link(page, "next")
    assert "Back to the list" not in client.get(f"/inspections/{entries[first]}").text
    assert client.get(f"/inspections/{entries[first]}?min=x").status_code == 400


def address_of(listed: str, number: str) -> str:
    """Where the line of the history with this number leads."""
    before = listed.split(f">{number}<")[0]
    return before.rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")


def shown(page: str) -> str:
    """The number of the inspection on its page."""
    return re.search(r"<title>[^<]*(INSP-[0-9-]+)", page)[1]  # type: ignore[index]


def test_the_csv_holds_the_filtered_rows_and_no_formula(client: FlaskClient, store: Store) -> None:
    file(store, "accept")
    bad = file(store, "reject", name="=cmd()", part_number="P-2", inspector="Müller")
    response = client.get("/history/history.csv?verdict=reject")
    assert response.mimetype == "text/csv" and ".csv" in response.headers["Content-Disposition"]
    rows = list(csv.DictReader(StringIO(response.data.decode("utf-8-sig"))))
    assert [(row["number"], row["image"], row["part_number"], row["inspector"]) for row in rows] == [
        (bad, "'=cmd()", "P-2", "Müller")
    ]
    assert client.get("/history/history.csv?q=zebra").status_code == 200


def test_both_exports_hold_what_people_decided(
    client: FlaskClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flawsight.web.history_export.CHUNK", 2)
    plain, decided, _ = file(store, "accept"), file(store, "review"), file(store, "accept")
    answer(store, decided, ACCEPTED)
    answer(store, decided, SCRAPPED)
    response = client.get("/api/v1/inspections/history.csv?order=oldest")
    rows = {row["number"]: row for row in csv.DictReader(StringIO(response.data.decode("utf-8-sig")))}
    assert list(rows[plain])[-11:] == [
        "id", "review_state", "review_verdict", "review_class", "review_boxes", "reviewer", "reviewed_at",
        "disposition", "rationale", "box_classes", "template",
    ]  # fmt: skip
    assert list(rows[plain].values())[-10:] == ["none", *[""] * 9]
    said = rows[decided]
    assert (said["verdict"], said["review_verdict"], said["review_class"]) == ("review", "reject", "MT_Fray")
    assert (said["reviewer"], said["disposition"], said["review_boxes"]) == ("B. Roth", "scrap", "0")
    assert said["rationale"] == "'=1+1\nTorn." and said["reviewed_at"].startswith("20")
    found = json.loads(client.get("/history/history.json?order=oldest").data)["inspections"]
    assert [len(one["reviews"]) for one in found] == [0, 2, 0]
    assert [one["verdict"] for one in found[1]["reviews"]] == ["accept", "reject"]
    assert found[1]["reviews"][1]["rationale"] == "=1+1\nTorn."


def test_the_json_holds_whole_inspections(
    client: FlaskClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flawsight.records.search.CHUNK", 2)
    filed = [file(store, "accept") for _ in range(5)]
    found = json.loads(client.get("/history/history.json").data)["inspections"]
    assert [one["number"] for one in found] == filed[::-1]
    assert found[0]["context"] if "context" in found[0] else found[0]["links"]["pdf"]
    assert json.loads(client.get("/history/history.json?q=zebra").data)["inspections"] == []


def test_old_inspections_are_counted_before_they_are_deleted(client: FlaskClient, store: Store) -> None:
    file(store, "accept")
    kept = file(store, "reject")
    assert "1 inspection falls" in client.get("/history/retention?days=0&which=accepted").text
    form = {"days": "0", "which": "accepted", "csrf_token": token(client)}
    page = client.post("/history/retention", data=form, follow_redirects=True).text
    assert "1 inspection was deleted" in page
    assert numbers(store) == [kept]
    for days in ("-1", "x", "99999999999", ""):
        assert client.post("/history/retention", data={**form, "days": days}).status_code == 400


def test_the_count_before_a_deletion_says_what_becomes_of_lots(client: FlaskClient, store: Store) -> None:
    lots, limits = Lots(store), {"critical": "none", "major": "2.5", "unknown": "2.5", "minor": "4.0"}
    for number in ("C-1", "O-1"):
        lot = lots.open(Terms(number, 3, "I", limits), "Olga")
        file(store, lot=number)
        if number == "C-1":
            lots.close(lot.id, "withdraw", "Ines", "Recalled.")
    page = client.get("/history/retention").text
    assert "What belongs to an open lot is never removed by a rule." in page
    page = client.get("/history/retention?days=0&which=all").text
    assert "1 inspection falls" in page and "1 more is old enough, but belongs to an open lot" in page
    assert "Among them are parts of 1 closed lot: 1." in page
    asked = client.get("/api/v1/retention/matching?days=0&which=all").json
    assert asked == {
        "days": 0, "which": "all", "inspections": 1, "in_closed_lots": 1, "closed_lots": 1,
        "kept_in_open_lots": 1,
    }  # fmt: skip
    form = {"days": "0", "which": "all", "csrf_token": token(client)}
    page = client.post("/history/retention", data=form, follow_redirects=True).text
    assert "1 inspection was deleted" in page and "1 belongs to an open lot and stays" in page


def test_thumbnails_are_made_once_and_kept(client: FlaskClient, store: Store) -> None:
    file(store)
    entry = History(store).page(Filter()).entries[0]
    first = client.get(f"/inspections/{entry.id}/thumbnail")
    assert first.mimetype == "image/png"
    assert (store.folder / entry.id / "thumbnail.png").read_bytes() == first.data
    assert client.get(f"/inspections/{entry.id}/thumbnail").data == first.data
