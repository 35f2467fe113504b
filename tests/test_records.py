"""The store keeps every acknowledged inspection whole, and nothing else."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from factories import encode, make_inspection, make_pictures
from sqlalchemy import create_engine

from flawsight.errors import NotFound, RecordError
from flawsight.records import Record, Store
from flawsight.records.record import picture_hashes, seal
from flawsight.records.tables import Base

ROOT = Path(__file__).resolve().parent.parent
INSPECTION = make_inspection()
PICTURES = make_pictures(INSPECTION)
UPLOAD = encode(INSPECTION.pixels)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "instance")) as store:
        yield store


def add(store: Store) -> Record:
    return store.add(INSPECTION, UPLOAD, PICTURES)


def folders(store: Store) -> list[str]:
    return sorted(path.name for path in store.folder.iterdir())


def test_what_is_filed_comes_back_whole(store: Store) -> None:
    filed = add(store)
    found = store.get(filed.id)
    assert found == filed
    assert found.data == INSPECTION.to_dict()
    assert list(found.data["probabilities"]) == list(INSPECTION.probabilities), "highest first"
    assert found.upload.read_bytes() == UPLOAD
    assert {name: found.read(name) for name in found.pictures} == PICTURES
    assert found.created_at.tzinfo is not None
    assert abs((datetime.now(UTC) - found.created_at).total_seconds()) < 60


@pytest.mark.parametrize("links", [True, False], ids=["second names", "a disk without them"])
def test_an_upload_that_is_its_own_picture_is_stored_once(
    store: Store, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    record = store.add(INSPECTION, UPLOAD, {**PICTURES, "original": UPLOAD})
    original = record.pictures["original"]
    assert original.read_bytes() == record.upload.read_bytes() == UPLOAD
    assert original.samefile(record.upload) == links


def test_pictures_still_being_made_are_filed_as_they_come(store: Store) -> None:
    allowed = threading.Event()

    def late(picture: bytes) -> bytes:
        assert allowed.wait(10)
        return picture

    with ThreadPoolExecutor(1) as drawing, ThreadPoolExecutor(1) as filing:
        pictures = {name: drawing.submit(late, picture) for name, picture in PICTURES.items()}
        filed = filing.submit(store.add, INSPECTION, UPLOAD, pictures)
        while not list(store.folder.glob("*/upload.bin")):
            time.sleep(0.01)
        assert store.count() == 0, "nothing is acknowledged, and others may write, while pictures are made"
        allowed.set()
        record = filed.result()
    assert {name: store.get(record.id).read(name) for name in record.pictures} == PICTURES
    assert record.record_sha256 == seal(
        record.data, record.number, record.created_at, picture_hashes(PICTURES)
    )


def test_a_picture_that_cannot_be_made_leaves_nothing_behind(store: Store) -> None:
    broken: Future[bytes] = Future()
    broken.set_exception(MemoryError("no room for it"))
    with pytest.raises(MemoryError, match="no room"):
        store.add(INSPECTION, UPLOAD, {**PICTURES, "boxes": broken})
    assert folders(store) == [] and store.count() == 0
    assert add(store).number.endswith("000001")


def test_numbers_run_through_the_year(store: Store) -> None:
    numbers = [add(store).number for _ in range(3)]
    year = datetime.now(UTC).year
    assert numbers == [f"INSP-{year}-00000{n}" for n in (1, 2, 3)]


def test_recent_is_newest_first(store: Store) -> None:
    numbers = [add(store).number for _ in range(4)]
    assert [record.number for record in store.recent(3)] == numbers[:0:-1]
    assert store.count() == 4


def test_a_restart_keeps_everything(store: Store) -> None:
    filed = add(store)
    store.close()
    with closing(Store(store.instance, orphan_age_s=0)) as again:
        assert again.get(filed.id) == filed
        assert again.get(filed.id).read("edges") == PICTURES["edges"]
        assert add(again).number > filed.number


def test_the_seal_covers_data_number_time_and_pictures(store: Store) -> None:
    record = add(store)
    hashes = picture_hashes(PICTURES)
    arguments = (record.data, record.number, record.created_at, hashes)
    assert seal(*arguments) == record.record_sha256
    changed = (
        ({**record.data, "verdict": "accept"}, *arguments[1:]),
        (record.data, "INSP-2026-000099", *arguments[2:]),
        (*arguments[:2], record.created_at.replace(year=2020), hashes),
        (*arguments[:3], {**hashes, "boxes": "0" * 64}),
    )
    assert record.record_sha256 not in {seal(*other) for other in changed}


@pytest.mark.parametrize(
    "name", ["../../evil.png", "/etc/passwd", "a\0b.png", "部品.png", "\udcff.jpg", "x" * 5000]
)
def test_a_clients_file_name_never_reaches_the_disk(store: Store, name: str) -> None:
    inspection = replace(INSPECTION, image=replace(INSPECTION.image, name=name))
    record = store.add(inspection, UPLOAD, PICTURES)
    assert store.get(record.id).data["image"]["name"] == name
    names = {path.name for path in (store.folder / record.id).iterdir()}
    assert names == {"upload.bin", *(f"{picture}.png" for picture in PICTURES)}
    assert folders(store) == [record.id]


@pytest.mark.parametrize(
    "wrong", ["", "..", "../../etc/passwd", "%", "A" * 32, "0" * 31, "0" * 33, "0" * 32, "٠" * 32]
)
def test_an_id_that_is_none_is_not_found(store: Store, wrong: str) -> None:
    with pytest.raises(NotFound, match="no such inspection"):
        store.get(wrong)


def test_a_picture_of_another_name_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="named as in"):
        store.add(INSPECTION, UPLOAD, {"../x": b""})
    assert folders(store) == []


def test_a_lost_picture_is_reported_by_name(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    record = add(store)
    shutil.rmtree(store.folder / record.id)
    with pytest.raises(RecordError, match=r"'boxes' of inspection INSP-.* cannot be read .*backup"):
        record.read("boxes")
    with closing(Store(store.instance)):
        assert "has lost its files" in caplog.text


# --- schema -----------------------------------------------------------------------------------------


def test_the_migrated_schema_is_the_one_in_the_code(store: Store) -> None:
    engine = create_engine(f"sqlite:///{store.database}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_searched_columns_have_an_index(store: Store) -> None:
    with closing(sqlite3.connect(store.database)) as database:
        names = {row[1] for row in database.execute("PRAGMA index_list(inspections)")}
    assert names >= {
        f"ix_inspections_{column}" for column in ("created_at", "verdict", "predicted_class", "image_sha256")
    }


def test_a_newer_database_is_left_alone_with_a_clear_message(store: Store) -> None:
    add(store)
    store.close()
    with closing(sqlite3.connect(store.database)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(RecordError, match=r"newer version .* Update the program"):
        Store(store.instance)


# --- several at once --------------------------------------------------------------------------------


def test_threads_never_share_a_number(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        records = list(pool.map(lambda _: add(store), range(40)))
    numbers = sorted(record.number for record in records)
    assert numbers == [f"{numbers[0][:-6]}{n:06d}" for n in range(1, 41)]
    by_time = sorted(records, key=lambda record: record.created_at)
    assert [record.number for record in by_time] == numbers, "numbers follow time"


WRITER = """
    import sys
    from pathlib import Path
    from flawsight.records import Store
    from tests.factories import encode, make_inspection, make_pictures

    inspection = make_inspection()
    print("ready", flush=True)
    sys.stdin.readline()
    store = Store(Path(sys.argv[1]))
    for _ in range(int(sys.argv[2])):
        print(store.add(inspection, encode(inspection.pixels), make_pictures(inspection)).id, flush=True)
"""


def start_writer(instance: Path, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), str(instance), str(count)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def release(writer: subprocess.Popen[str]) -> None:
    assert writer.stdin is not None and writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    writer.stdin.write("go\n")
    writer.stdin.flush()


def test_processes_that_start_at_once_on_a_new_folder_work_side_by_side(tmp_path: Path) -> None:
    writers = [start_writer(tmp_path / "new", 6) for _ in range(3)]
    for writer in writers:
        release(writer)
    ids = [line for writer in writers for line in writer.communicate(timeout=60)[0].split()]
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    with closing(Store(tmp_path / "new", orphan_age_s=0)) as store:
        assert sorted(record.id for record in store.recent(100)) == sorted(ids) == folders(store)
        assert len({record.number for record in store.recent(100)}) == 18


# --- what goes wrong --------------------------------------------------------------------------------


def test_a_killed_writer_leaves_only_whole_inspections(tmp_path: Path) -> None:
    writer = start_writer(tmp_path, 10_000)
    release(writer)
    assert writer.stdout is not None
    acknowledged = [writer.stdout.readline().strip() for _ in range(10)]
    writer.kill()
    acknowledged += writer.communicate(timeout=30)[0].split()
    with closing(Store(tmp_path, orphan_age_s=0)) as store:
        stored = store.recent(10_000)
        assert {record.id for record in stored} >= {name for name in acknowledged if len(name) == 32}
        for record in stored:
            assert hashlib.sha256(record.upload.read_bytes()).hexdigest() == record.data["image"]["sha256"]
            hashes = picture_hashes({name: record.read(name) for name in record.pictures})
            assert seal(record.data, record.number, record.created_at, hashes) == record.record_sha256
        assert folders(store) == sorted(record.id for record in stored), "no leftovers after the start"


def test_a_crash_between_files_and_row_leaves_nothing_visible(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    kept = add(store)
    crashed, writing = store.folder / ("a" * 32), store.folder / ("b" * 32 + ".writing")
    for folder in (crashed, writing):
        shutil.copytree(store.folder / kept.id, folder)
        (folder / "pending").touch()
    assert [record.id for record in store.recent()] == [kept.id]
    with closing(Store(store.instance)):
        assert len(folders(store)) == 3, "young ones may belong to another process"
    old = time.time() - 3600
    for folder in (crashed, writing):
        os.utime(folder, (old, old))
    with caplog.at_level(logging.WARNING), closing(Store(store.instance)):
        assert folders(store) == [kept.id]
    assert "never finished" in caplog.text


def test_files_once_filed_are_never_removed_when_the_database_is_replaced(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    record = add(store)
    store.close()
    store.database.unlink()
    with closing(Store(store.instance, orphan_age_s=-60)) as fresh:
        assert fresh.count() == 0
        assert folders(fresh) == [record.id]
    assert "left alone" in caplog.text


def test_a_full_disk_says_so_and_keeps_nothing(store: Store) -> None:
    """The kernel's own limit on the size of a file stands in for the end of the disk."""
    kept = add(store)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(UPLOAD) // 2, limits[1]))
    try:
        with pytest.raises(RecordError, match=r"is full; nothing was stored\. Free some space"):
            add(store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert folders(store) == [kept.id]
    assert store.count() == 1
    assert add(store).number.endswith("000002"), "the failed one took no number"


def test_a_full_database_says_so_and_takes_the_files_back(store: Store) -> None:
    """SQLite's page limit makes it answer as on a full disk, after the files are in place."""
    store.close()
    with closing(sqlite3.connect(store.database)) as database:
        pages = database.execute("PRAGMA page_count").fetchone()[0]
    with store._engine.connect() as connection:  # the pool hands this one out again
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    huge = replace(INSPECTION, reason="x" * 200_000)
    with pytest.raises(RecordError, match="is full; nothing was stored"):
        store.add(huge, UPLOAD, PICTURES)
    assert folders(store) == []
    assert store.count() == 0


def test_a_damaged_database_is_named(store: Store) -> None:
    add(store)
    store.close()
    store.database.write_bytes(b"this is not a database, not at all" * 200)
    with pytest.raises(RecordError, match=r"flawsight\.db is damaged .* Restore it from a backup"):
        Store(store.instance)


def test_damage_while_running_makes_the_store_unhealthy(store: Store) -> None:
    add(store)
    assert store.healthy()
    store.close()
    store.database.write_bytes(b"\xff" * 8192)
    assert not store.healthy()
    with pytest.raises(RecordError, match="is damaged"):
        store.recent()


def test_a_read_only_database_is_named(store: Store) -> None:
    add(store)
    with store._engine.connect() as connection:  # the driver's own switch: root ignores file modes
        connection.exec_driver_sql("PRAGMA query_only = ON")
    with pytest.raises(RecordError, match=r"may not be written to\. Give this user write access"):
        add(store)
    assert store.count() == 1
    assert len(folders(store)) == 1


def test_a_file_in_the_folders_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "instance").write_text("in the way")
    with pytest.raises(RecordError, match=r"instance.*Check the folder, or set FLAWSIGHT_INSTANCE"):
        Store(tmp_path / "instance")


def test_a_busy_database_is_waited_for(store: Store) -> None:
    with closing(sqlite3.connect(store.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(add, store)
            time.sleep(0.3)
            assert not waiting.done()
            assert store.count() == 0, "readers do not wait"
            other.execute("ROLLBACK")
            assert waiting.result(timeout=10).number.endswith("000001")


def test_the_data_is_plain_json(store: Store) -> None:
    record = add(store)
    with closing(sqlite3.connect(store.database)) as database:
        (text,) = database.execute("SELECT data FROM inspections").fetchone()
    assert json.loads(text) == record.data
