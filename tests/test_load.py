"""Under load: a bounded queue, honest refusals, readiness, metrics, an orderly end, several workers."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from flask import Flask
from web_client import close, cracked, encoded, send_to_api, settings_in, surface, tiny_app
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from flawsight.inspection.engines import cores
from flawsight.inspection.inspector import Inspector
from flawsight.inspection.tiny import TinyEngine
from flawsight.records import Store
from flawsight.web import create_app
from flawsight.web.queue import Busy, Queue

ROOT = Path(__file__).parent.parent
PART = encoded(cracked())
LARGE = encoded(surface(1600, 1600))


# --- the queue --------------------------------------------------------------------------------------


def test_queue_takes_as_many_as_it_has_places_and_tells_the_next_when_to_come_back() -> None:
    queue = Queue(at_once=1, waiting=1)
    with queue.place(), queue.place():
        with pytest.raises(Busy) as refused, queue.place():
            pass
        assert refused.value.retry_after >= 1
    with queue.place():  # room again
        pass


def test_queue_lets_only_so_many_work_at_once() -> None:
    queue, at_work, most = Queue(at_once=2, waiting=20), 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        time.sleep(0.005)
        with lock:
            at_work -= 1

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda _: queue.run(work), range(24)))
    assert most == 2


def test_a_place_is_given_back_when_the_inspection_fails() -> None:
    queue = Queue(at_once=1, waiting=0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), queue.place():
            queue.run(lambda: 1 // 0)
    with queue.place():
        assert queue.run(lambda: "done") == "done"


def test_the_wait_that_is_announced_grows_with_the_time_a_turn_takes() -> None:
    queue = Queue(at_once=1, waiting=40)
    assert queue._until_room() == 2  # before any turn: a guess
    for _ in range(60):
        queue.run(lambda: time.sleep(0.001))
    assert queue._until_room() == 1


def test_as_many_inspections_run_at_once_as_there_are_cores(app: Flask) -> None:
    assert app.extensions["flawsight"].queue.at_once == cores() == len(os.sched_getaffinity(0))


# --- the app ----------------------------------------------------------------------------------------


class Held(TinyEngine):
    """The tiny engine, which answers only when it is let."""

    go = threading.Event()

    def run(self, batch):  # type: ignore[no-untyped-def]
        assert self.go.wait(30)
        return super().run(batch)


def test_beyond_the_queue_comes_503_with_retry_after_and_the_rest_is_served(tmp_path: Path) -> None:
    app = create_app(settings_in(tmp_path), Inspector(Held()))
    places = app.extensions["flawsight"].queue.places
    Held.go.clear()
    try:
        with ThreadPoolExecutor(places) as pool:
            accepted = [pool.submit(send_to_api, app.test_client(), PART) for _ in range(places)]
            wait_until(lambda: count(app, "flawsight_inspections_in_hand") == places)
            refused = send_to_api(app.test_client(), PART)
            assert (refused.status_code, refused.get_json()["code"]) == (503, "busy")
            assert int(refused.headers["Retry-After"]) >= 1
            assert app.test_client().get("/").status_code == 200  # pages go on
            Held.go.set()
            assert {future.result().status_code for future in accepted} == {201}
        assert send_to_api(app.test_client(), PART).status_code == 201  # and room again
        assert count(app, "flawsight_rejected_total") == 1
        assert app.extensions["flawsight"].store.count() == places + 1
    finally:
        Held.go.set()
        close(app)


def test_metrics_count_what_was_done(app: Flask) -> None:
    client = app.test_client()
    send_to_api(client, PART)
    send_to_api(client, encoded(surface()))
    send_to_api(client, b"no image")
    client.get("/nowhere/1")
    client.get("/nowhere/2")
    assert count(app, 'flawsight_inspections_total{verdict="accept"}') == 1
    assert count(app, 'flawsight_inspections_total{verdict="reject"}') == 1
    assert count(app, 'flawsight_requests_total{endpoint="api.create",status="201"}') == 2
    assert count(app, 'flawsight_requests_total{endpoint="api.create",status="415"}') == 1
    assert count(app, 'flawsight_requests_total{endpoint="none",status="404"}') == 2
    for step in ("decode", "preprocess", "forward", "explain", "file", "total"):
        assert count(app, f'flawsight_step_seconds_count{{step="{step}"}}') == 2
    assert count(app, "flawsight_inspections_in_hand") == 0


def test_two_apps_do_not_mix_their_counters(app: Flask, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = tiny_app(tmp_path / "other")
    send_to_api(other.test_client(), PART)
    assert 'verdict="reject"' not in app.test_client().get("/metrics").text
    close(other)


def test_alive_without_a_model_but_not_ready(tmp_path: Path) -> None:
    app = create_app(settings_in(tmp_path))
    client = app.test_client()
    assert (client.get("/healthz").status_code, client.get("/readyz").status_code) == (200, 503)
    assert "python training.py" in client.get("/readyz").get_json()["problem"]
    close(app)


def test_not_ready_when_the_disk_takes_no_file(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("flawsight.web.service.tempfile.TemporaryFile", full)
    body = app.test_client().get("/readyz")
    assert body.status_code == 503 and "No space left" in body.get_json()["problem"]


# --- the real server --------------------------------------------------------------------------------


def test_sigterm_finishes_what_was_accepted(tmp_path: Path, tiny_model: Path) -> None:
    with serving(tmp_path, tiny_model) as (process, port), ThreadPoolExecutor(12) as pool:
        answers = [pool.submit(post, port, LARGE) for _ in range(12)]
        wait_until(lambda: in_hand_or_done(port) == 12)
        process.send_signal(signal.SIGTERM)
        assert [answer.result() for answer in answers] == [201] * 12
        assert process.wait(20) == 0
        with pytest.raises(ConnectionError):
            post(port, PART)
    assert filed(tmp_path) == 12


def test_idle_and_stalled_connections_do_not_delay_the_end(tmp_path: Path, tiny_model: Path) -> None:
    with serving(tmp_path, tiny_model) as (process, port), stalled(port), idle(port):
        assert post(port, PART) == 201
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert time.monotonic() - start < 5


def test_a_hundred_and_twenty_stalled_uploads_hold_nobody_up(tmp_path: Path, tiny_model: Path) -> None:
    with serving(tmp_path, tiny_model) as (_, port):
        held = [stalled(port) for _ in range(120)]
        try:
            start = time.monotonic()
            assert post(port, PART) == 201
            assert time.monotonic() - start < 5
        finally:
            for connection in held:
                connection.close()


def test_sixty_four_clients_at_once_are_served_or_told_when_to_come_back(
    tmp_path: Path, tiny_model: Path
) -> None:
    with serving(tmp_path, tiny_model) as (_, port), ThreadPoolExecutor(64) as pool:
        first = list(pool.map(lambda _: sent(port, LARGE), range(64)))
        served = sum(status == 201 for status, _ in first)
        refused = [wait for status, wait in first if status == 503]
        assert served + len(refused) == 64 and served and refused
        assert all(1 <= wait <= 60 for wait in refused)
        assert filed(tmp_path) == served, "what was refused was not filed, what was served is"

        def patient(_: int) -> int:
            for _attempt in range(20):
                status, wait = sent(port, LARGE)
                if status == 201:
                    return status
                time.sleep(wait)
            return status

        assert list(pool.map(patient, range(64))) == [201] * 64, "whoever comes back as told is served"
    assert filed(tmp_path) == served + 64


def test_sixty_clients_that_stop_reading_hold_nobody_up(tmp_path: Path, tiny_model: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1600, 1600, 3), dtype=np.uint8)
    with serving(tmp_path, tiny_model) as (_, port):
        assert post(port, encoded(noise)) == 201
        links = json.loads(get(port, "/api/v1/inspections"))["inspections"][0]["links"]
        original = f"{links['page']}/pictures/original"
        held = [stopped_reading(port, original) for _ in range(60)]
        try:
            start = time.monotonic()
            assert post(port, PART) == 201 and '"ok"' in get(port, "/readyz")
            assert time.monotonic() - start < 5
        finally:
            for connection in held:
                connection.close()


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("side", [500, 1600])  # 0.7 MB, kept by the app, and 7.5 MB, kept by the server
def test_a_full_disk_for_temporary_files_is_said_and_the_server_goes_on(
    tmp_path: Path, small_disk: Path, tiny_model: Path, side: int, chunked: bool
) -> None:
    noise = encoded(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8))
    boundary, form = encode_multipart({"file": FileStorage(BytesIO(noise), filename="part.png")})
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Flawsight-No-Room": ""}
    with serving(tmp_path, tiny_model, TMPDIR=str(small_disk)) as (_, port):
        (small_disk / "filler").write_bytes(bytes(3 * 2**20 - 2**14))
        with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            body = (form[at : at + 9999] for at in range(0, len(form), 9999)) if chunked else form
            connection.request("POST", "/api/v1/inspections", body, headers)
            answer = connection.getresponse()
            assert answer.status == 503
            assert str(small_disk) in json.load(answer)["detail"]
        assert post(port, PART) == 201, "what is small needs no such file"
        (small_disk / "filler").unlink()
        if side == 500:
            assert post(port, noise) == 201


GUNICORN = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py")]


def test_two_gunicorn_workers_share_one_database(tmp_path: Path, tiny_model: Path) -> None:
    pytest.importorskip("gunicorn")
    shared = tmp_path / "metrics"
    shared.mkdir()
    with serving(tmp_path, tiny_model, GUNICORN, PROMETHEUS_MULTIPROC_DIR=str(shared)) as (process, port):
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _: post(port, PART), range(48)))
        assert answers == [201] * 48
        text = get(port, "/metrics")
        assert 'flawsight_inspections_total{verdict="reject"} 48.0' in text
        workers = {re.search(r"_(\d+)\.db", file.name)[1] for file in shared.glob("counter_*.db")}  # type: ignore[index]
        assert len(workers) >= 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert filed(tmp_path) == 48


def test_gunicorn_too_finishes_what_was_accepted_before_the_end(tmp_path: Path, tiny_model: Path) -> None:
    pytest.importorskip("gunicorn")
    shared = tmp_path / "metrics"
    shared.mkdir()
    folder = {"PROMETHEUS_MULTIPROC_DIR": str(shared)}
    with (
        serving(tmp_path, tiny_model, GUNICORN, **folder) as (process, port),
        ThreadPoolExecutor(12) as pool,
    ):
        answers = [pool.submit(post, port, LARGE) for _ in range(12)]
        wait_until(lambda: in_hand_or_done(port) == 12)
        process.send_signal(signal.SIGTERM)
        assert [answer.result() for answer in answers] == [201] * 12
        assert process.wait(40) == 0
    assert filed(tmp_path) == 12


def test_a_killed_gunicorn_worker_is_replaced_and_loses_nothing(tmp_path: Path, tiny_model: Path) -> None:
    pytest.importorskip("gunicorn")
    with serving(tmp_path, tiny_model, GUNICORN) as (process, port):
        assert [post(port, PART) for _ in range(4)] == [201] * 4
        killed = workers_of(process)[0]
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: len(set(workers_of(process)) - {killed}) == 2)
        wait_until(lambda: answers(port))
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(lambda _: post(port, PART), range(8))) == [201] * 8
    assert filed(tmp_path) == 12


# --- small actions ----------------------------------------------------------------------------------


def count(app: Flask, name: str) -> float:
    return value(app.test_client().get("/metrics").text, name)


def value(text: str, name: str) -> float:
    """The value of one line of the metrics, 0 if it is not there."""
    lines = [line for line in text.splitlines() if line.startswith(name + " ")]
    return float(lines[0].rsplit(" ", 1)[1]) if lines else 0.0


def wait_until(condition, seconds: float = 30.0) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def get(port: int, path: str) -> str:
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("GET", path)
        return connection.getresponse().read().decode()


def post(port: int, data: bytes) -> int:
    """The status of an upload over a connection of its own."""
    return sent(port, data)[0]


def sent(port: int, data: bytes) -> tuple[int, int]:
    """The same, and for how many seconds it asks to wait."""
    boundary, body = encode_multipart({"file": FileStorage(BytesIO(data), filename="part.png")})
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        kind = f"multipart/form-data; boundary={boundary}"
        connection.request("POST", "/api/v1/inspections", body, {"Content-Type": kind})
        response = connection.getresponse()
        response.read()
        return response.status, int(response.headers.get("Retry-After", 0))


def workers_of(process: subprocess.Popen[bytes]) -> list[int]:
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
    return [int(number) for number in listed.split()]


def in_hand_or_done(port: int) -> float:
    text = get(port, "/metrics")
    done = value(text, 'flawsight_requests_total{endpoint="api.create",status="201"}')
    return value(text, "flawsight_inspections_in_hand") + done


def idle(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port))


def stalled(port: int) -> socket.socket:
    """A client that announces a megabyte, sends a little of it and then nothing more."""
    connection = idle(port)
    head = "POST /api/v1/inspections HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n"
    connection.sendall((head + "Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n").encode())
    return connection


def stopped_reading(port: int, address: str) -> socket.socket:
    """A client that asks for megabytes, and then does not read them."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", port))
    connection.sendall(f"GET {address} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert connection.recv(12) == b"HTTP/1.1 200"
    return connection


@contextmanager
def serving(
    folder: Path, model: Path, command: list[str] | None = None, **environment: str
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The real server in a process of its own, ready, and its port."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = int(free.getsockname()[1])
    settings = {"PORT": str(port), "INSTANCE": str(folder / "instance"), "MODEL": str(model)}
    process = subprocess.Popen(
        command or [sys.executable, str(ROOT / "app.py")],
        cwd=ROOT,
        env={**os.environ, **{f"FLAWSIGHT_{key}": text for key, text in settings.items()}, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: answers(port))
        yield process, port
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(port: int) -> bool:
    try:
        return '"ok"' in get(port, "/readyz")
    except OSError:
        return False


def filed(folder: Path) -> int:
    store = Store(folder / "instance")
    with closing(store):
        return store.count()
