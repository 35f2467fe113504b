"""Faults that will happen: each is provoked for real, and then nothing is lost and the reason is said."""

from __future__ import annotations

import json
import logging
import os
import pickle
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import onnx
import pytest
import torch
from click.testing import CliRunner
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image
from tiny_parts import tiny_onnx
from web_client import close, cracked, encoded, send_form, send_to_api, settings_in, tiny_app

from flawsight.cli import main
from flawsight.errors import ModelError, RecordError
from flawsight.inspection.engines import HEAD_KEY, load_engine
from flawsight.inspection.tiny import HEAD, METADATA
from flawsight.metadata import ONNX_KEY
from flawsight.records import Store, store
from flawsight.settings import PROJECT_ROOT
from flawsight.web import create_app

PART = encoded(cracked())


def instance_of(app: Flask) -> Path:
    return app.extensions["flawsight"].store.instance


def everything_is_whole(client: FlaskClient, created: dict) -> bool:
    """The inspection is as it was acknowledged, with every picture, page and report."""
    links = created["links"]
    assert client.get(links["self"]).get_json() == created
    for link in links["pictures"].values():
        with Image.open(BytesIO(client.get(link).data)) as picture:
            picture.load()
    assert client.get(links["page"]).status_code == 200
    return client.get(links["pdf"]).data.rstrip().endswith(b"%%EOF")


def refused(client: FlaskClient) -> str:
    """The reason for which an inspection is refused with 503, for programs and for people."""
    answer = send_to_api(client, PART)
    assert answer.status_code == 503
    message = answer.get_json()["detail"]
    page = send_form(client, PART)
    assert page.status_code == 503 and "Traceback" not in page.text
    return message


def start(folder: Path, *arguments: str) -> str:
    """What the real command says when it cannot start."""
    result = CliRunner().invoke(main, ["serve", "--instance", str(folder), "--port", "0", *arguments])
    assert result.exit_code == 1 and "Traceback" not in result.output
    return result.output


# --- killed -------------------------------------------------------------------------------------------


def test_killed_again_and_again_under_load_it_keeps_all_it_acknowledged(tiny_model: Path) -> None:
    command = [sys.executable, "benchmarks/kill.py", "--kills", "5", "--clients", "3", "--longest", "0.3"]
    done = subprocess.run(
        [*command, "--model", str(tiny_model)], cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    acknowledged = re.search(r"5 kills, (\d+) acknowledged, .* 0 wrong", done.stdout)
    assert acknowledged and int(acknowledged[1]) > 0


STOPPED_WRITER = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, "tests")
from factories import encode, make_inspection, make_pictures
from flawsight.records import Store, folder, links
inspection = make_inspection()
at = sys.argv[2]
where = links if at == "append" else folder
original = getattr(where, at)
def killed(*arguments):
    if at == "append":
        original(*arguments)
    elif at == "_write_folder":
        original(arguments[0], dict(list(arguments[1].items())[:3]))
    os.kill(os.getpid(), signal.SIGKILL)
it = Store(Path(sys.argv[1]))
it.add(inspection, encode(inspection.pixels), make_pictures(inspection))
setattr(where, at, killed)
it.add(inspection, encode(inspection.pixels), make_pictures(inspection))
"""


@pytest.mark.parametrize("at", ["_write_folder", "_flush_folder", "append"])
def test_what_a_kill_cut_off_is_cleared_at_the_next_start_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, at: str
) -> None:
    """Killed while writing files, before they have their final name, and before the row is committed."""
    command = [sys.executable, "-c", STOPPED_WRITER, str(tmp_path), at]
    killed = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(list((tmp_path / "inspections").iterdir())) == 2
    with caplog.at_level(logging.WARNING), closing(Store(tmp_path)) as again:
        assert again.count() == 1
        assert [path.name for path in again.folder.iterdir()] == [again.recent()[0].id]
    assert "never finished" in caplog.text


def test_a_kill_right_after_the_commit_leaves_no_mark_behind(tmp_path: Path) -> None:
    app = tiny_app(tmp_path)
    created = send_to_api(app.test_client(), PART).get_json()
    folder = instance_of(app) / "inspections" / created["id"]
    close(app)
    (folder / "pending").touch()
    app = tiny_app(tmp_path)
    assert not (folder / "pending").exists()
    assert everything_is_whole(app.test_client(), created)
    close(app)


def test_a_start_beside_a_running_server_leaves_what_that_one_writes(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as running:
        young = running.folder / ("a" * 32 + ".writing")
        young.mkdir()
        with closing(Store(tmp_path)):
            assert young.exists()


# --- disk ---------------------------------------------------------------------------------------------


def test_a_full_disk_refuses_with_the_reason_and_recovers(tmp_path: Path, small_disk: Path) -> None:
    app = tiny_app(tmp_path, instance=small_disk)
    client = app.test_client()
    kept = send_to_api(client, PART).get_json()
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(bytes(4096))
            except OSError:
                break
    before = sorted(small_disk.glob("inspections/*"))
    assert "is full; nothing was stored" in refused(client)
    assert sorted(small_disk.glob("inspections/*")) == before, "no half file"
    assert client.get("/healthz").status_code == 200 and client.get("/readyz").status_code == 503
    assert everything_is_whole(client, kept), "what is there can still be read"
    filler.unlink()
    assert send_to_api(client, PART).status_code == 201
    assert everything_is_whole(client, kept)
    close(app)


def test_a_disk_that_fills_up_under_load_loses_nothing_acknowledged(tmp_path: Path, small_disk: Path) -> None:
    app = tiny_app(tmp_path, instance=small_disk)
    client = app.test_client()
    answers = [send_to_api(client, PART) for _ in range(40)]
    assert {answer.status_code for answer in answers} == {201, 503}
    kept = [answer.get_json() for answer in answers if answer.status_code == 201]
    assert all(everything_is_whole(client, created) for created in kept)
    folders = {path.name for path in small_disk.glob("inspections/*")}
    assert folders == {created["id"] for created in kept}
    close(app)


def test_not_ready_while_uploads_find_no_room(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/dev/full")
    body = app.test_client().get("/readyz")
    assert body.status_code == 503 and "/dev/full cannot be written to" in body.get_json()["problem"]


def test_a_folder_that_becomes_read_only_refuses_and_still_shows(tmp_path: Path, small_disk: Path) -> None:
    app = tiny_app(tmp_path, instance=small_disk)
    client = app.test_client()
    kept = send_to_api(client, PART).get_json()
    pictures = small_disk / "inspections"
    subprocess.run(["mount", "--bind", str(pictures), str(pictures)], check=True)
    remount(pictures, "bind,ro")
    assert "may not be written to" in refused(client)
    assert client.get("/healthz").status_code == 200 and client.get("/readyz").status_code == 503
    assert everything_is_whole(client, kept)
    subprocess.run(["umount", str(pictures)], check=True)
    assert send_to_api(client, PART).status_code == 201
    close(app)


def test_a_read_only_folder_is_refused_at_the_start(small_disk: Path) -> None:
    remount(small_disk, "ro")
    assert "may not be written to" in start(small_disk)


def remount(folder: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", str(folder)], check=True)


# --- database -----------------------------------------------------------------------------------------


def test_a_locked_database_is_waited_for_then_refused_then_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "BUSY_TIMEOUT_S", 0.2)
    app = tiny_app(tmp_path)
    client = app.test_client()
    kept = send_to_api(client, PART).get_json()
    with closing(sqlite3.connect(instance_of(app) / "flawsight.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        assert "stayed busy" in refused(client)
        assert everything_is_whole(client, kept), "readers do not wait for a writer"
        other.rollback()
    assert send_to_api(client, PART).status_code == 201
    assert len(list(instance_of(app).glob("inspections/*"))) == 2, "nothing is left of the refused ones"
    close(app)


def test_a_lock_that_is_let_go_in_time_is_not_noticed(app: Flask, client: FlaskClient) -> None:
    other = sqlite3.connect(instance_of(app) / "flawsight.db", check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.5, other.rollback)
    timer.start()
    assert send_to_api(client, PART).status_code == 201
    timer.join()
    other.close()


@pytest.mark.parametrize("damage", ["overwritten", "cut", "torn"])
def test_a_damaged_database_stops_the_start_with_a_way_out_and_keeps_the_pictures(
    tmp_path: Path, damage: str
) -> None:
    app = tiny_app(tmp_path)
    for _ in range(3):
        send_to_api(app.test_client(), PART)
    instance = instance_of(app)
    close(app)
    database = instance / "flawsight.db"
    content = database.read_bytes()
    database.write_bytes(
        {
            "overwritten": b"no database at all" * 1000,
            "cut": content[: len(content) // 3],
            "torn": content[:100] + bytes(4096) + content[4196:],
        }[damage]
    )
    files = sorted(path for path in instance.rglob("*") if "inspections" in path.parts)
    said = start(instance)
    assert "flawsight.db is damaged" in said and "backup" in said
    assert sorted(path for path in instance.rglob("*") if "inspections" in path.parts) == files
    shutil.copy(database, tmp_path / "aside")
    database.write_bytes(content)  # the backup
    app = tiny_app(tmp_path)
    assert app.extensions["flawsight"].store.count() == 3
    close(app)


def test_a_database_damaged_while_running_refuses_and_says_so(app: Flask, client: FlaskClient) -> None:
    send_to_api(client, PART)
    close(app)  # the next request opens it again
    database = instance_of(app) / "flawsight.db"
    database.write_bytes(b"scribble" * 2000)
    assert "is damaged" in send_to_api(client, PART).get_json()["detail"]
    assert client.get("/healthz").status_code == 200 and client.get("/readyz").status_code == 503


# --- model --------------------------------------------------------------------------------------------


def newer_metadata() -> bytes:
    block = json.loads(METADATA.to_json()) | {"format": "flawsight.model/99"}
    return tiny_onnx({ONNX_KEY: json.dumps(block), HEAD_KEY: HEAD.to_text()})


def changed_onnx(**fields: int) -> bytes:
    model = onnx.load_from_string(sound_onnx())
    if "opset" in fields:
        model.opset_import[0].version = fields["opset"]
    if "ir" in fields:
        model.ir_version = fields["ir"]
    return bytes(model.SerializeToString())


def sound_onnx() -> bytes:
    return tiny_onnx({ONNX_KEY: METADATA.to_json(), HEAD_KEY: HEAD.to_text()})


BAD_MODELS = {
    "empty": (lambda: b"", "model.onnx"),
    "cut in half": (lambda: sound_onnx()[: len(sound_onnx()) // 2], "model.onnx"),
    "without its last byte": (lambda: sound_onnx()[:-1], "model.onnx"),
    "a picture": (lambda: PART, "model.onnx"),
    "of another program": (lambda: tiny_onnx({}), "metadata"),
    "without its head": (lambda: tiny_onnx({ONNX_KEY: METADATA.to_json()}), "cannot explain"),
    "of a newer version of ours": (newer_metadata, "flawsight.model/99.*update the program"),
    "of a newer ONNX operator set": (lambda: changed_onnx(opset=999), "model.onnx"),
    "of a newer ONNX format": (lambda: changed_onnx(ir=999), "model.onnx"),
    "with classes that do not fit": (
        lambda: tiny_onnx(
            {ONNX_KEY: replace(METADATA, classes=METADATA.classes[:2]).to_json(), HEAD_KEY: HEAD.to_text()}
        ),
        "does not fit together|cannot explain",
    ),
}


@pytest.mark.parametrize("kind", BAD_MODELS)
def test_a_bad_model_file_is_named_and_a_good_one_is_taken_without_restart(tmp_path: Path, kind: str) -> None:
    make, word = BAD_MODELS[kind]
    settings = settings_in(tmp_path)
    settings.model.write_bytes(make())
    app = create_app(settings)
    client = app.test_client()
    message = refused(client)
    assert re.search(word, message), message
    assert client.get("/").status_code == 200 and "No model is loaded" in client.get("/").text
    assert client.get("/healthz").status_code == 200 and client.get("/readyz").status_code == 503
    settings.model.write_bytes(sound_onnx())
    assert send_to_api(client, PART).status_code == 201
    close(app)


@pytest.mark.parametrize("fault", ["torn", "gone"])
def test_a_model_file_that_is_lost_while_running_is_missed_at_the_next_start_only(
    tmp_path: Path, fault: str
) -> None:
    settings = settings_in(tmp_path)
    settings.model.write_bytes(sound_onnx())
    app = create_app(settings)
    before = send_to_api(app.test_client(), PART).get_json()
    if fault == "torn":
        settings.model.write_bytes(sound_onnx()[:-500])
    else:
        settings.model.unlink()
    after = send_to_api(app.test_client(), PART).get_json()
    assert (after["verdict"], after["model"]) == (before["verdict"], before["model"])
    assert everything_is_whole(app.test_client(), before)
    close(app)
    app = create_app(settings)
    assert "model.onnx" in refused(app.test_client())
    assert everything_is_whole(app.test_client(), before), "what was filed needs no model"
    close(app)


def test_a_damaged_onnx_file_never_takes_the_process_along(tmp_path: Path) -> None:
    """In a process of its own, since the reader is native code."""
    path, sound = tmp_path / "model.onnx", sound_onnx()
    path.write_bytes(sound)
    code = """
import random, sys
from pathlib import Path
from flawsight.errors import ModelError
from flawsight.inspection.engines import load_engine
path, refused = Path(sys.argv[1]), 0
sound, chance = path.read_bytes(), random.Random(0)
for _ in range(60):
    data = bytearray(sound)
    for _ in range(chance.randint(1, 20)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    path.write_bytes(data)
    try:
        load_engine(path)
    except ModelError:
        refused += 1
print(refused)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split()[-1]) > 10


def test_an_onnx_file_cannot_read_other_files(tmp_path: Path) -> None:
    """Weights in a file beside the model: a path out of the folder must be refused."""
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(10_000))
    folder = tmp_path / "models"
    folder.mkdir()
    model = onnx.load_from_string(sound_onnx())
    [weight] = [tensor for tensor in model.graph.initializer if tensor.name == "weight"]
    length = len(weight.raw_data)
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "../secret"), ("offset", "0"), ("length", str(length))):
        entry = weight.external_data.add()
        entry.key, entry.value = key, value
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="no readable ONNX model"):
        load_engine(path)


class Malice:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("how", ["pickle", "torch"])
def test_a_pth_file_from_elsewhere_runs_no_code(tmp_path: Path, how: str) -> None:
    mark, path = tmp_path / "code was run", tmp_path / "model.pth"
    content = {"metadata": METADATA.to_json(), "state_dict": Malice(mark)}
    if how == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    with pytest.raises(ModelError, match="damaged or no model file"):
        load_engine(path)
    assert not mark.exists()


# --- clock --------------------------------------------------------------------------------------------


class Wound(datetime):
    """A clock that the test sets."""

    current = datetime(2026, 6, 1, tzinfo=UTC)

    @classmethod
    def now(cls, tz=None):  # type: ignore[no-untyped-def]
        return cls.current


def test_a_clock_that_is_set_back_loses_nothing_and_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store, "datetime", Wound)
    app = tiny_app(tmp_path)
    client = app.test_client()
    created = []
    for year in (2026, 2027, 2026, 2026, 2027):
        monkeypatch.setattr(Wound, "current", datetime(year, 6, 1, len(created), tzinfo=UTC))
        created.append(send_to_api(client, PART).get_json())
    assert [body["number"] for body in created] == [
        "INSP-2026-000001",
        "INSP-2027-000001",
        "INSP-2026-000002",
        "INSP-2026-000003",
        "INSP-2027-000002",
    ]
    assert all(everything_is_whole(client, body) for body in created)
    assert caplog.text.count("Set the clock right") == 1
    assert len(app.extensions["flawsight"].store.recent()) == 5
    close(app)


def test_leftovers_from_the_future_are_cleared_all_the_same(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as first:
        leftover = first.folder / ("b" * 32 + ".writing")
        leftover.mkdir()
        os.utime(leftover, (time.time() + 1e8,) * 2)
    with closing(Store(tmp_path)):
        assert not leftover.exists()


# --- several at once ----------------------------------------------------------------------------------


def test_a_store_that_cannot_be_used_names_folder_and_remedy(tmp_path: Path) -> None:
    (tmp_path / "inspections").write_text("a file in the way")
    with pytest.raises(RecordError, match=re.escape(str(tmp_path))):
        Store(tmp_path)
