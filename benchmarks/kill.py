"""Kill the server again and again while it inspects, and look whether it kept its word.

    python benchmarks/kill.py --kills 50

Each round starts the real server on the same folder, lets several clients send pictures without pause,
and kills it (SIGKILL) at a random moment. After the last one it starts once more, and then every
inspection that a client was told of must be there, whole, with its pictures and its report; so must every
other one that is listed; and there must be no file that belongs to none. Exit code 1 otherwise.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
START_S = 60.0


class Server:
    """``python app.py`` as a process of its own, on ``instance``; its words go to ``log``."""

    def __init__(self, instance: Path, model: Path, log: Path) -> None:
        environment = {
            **os.environ,
            "FLAWSIGHT_PORT": "0",
            "FLAWSIGHT_INSTANCE": str(instance),
            "FLAWSIGHT_MODEL": str(model),
            "PYTHONUNBUFFERED": "1",
        }
        with log.open("ab") as out:
            begin = out.tell()
            self.process = subprocess.Popen(
                [sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT
            )
        self.port = self._wait(log, begin)

    def _wait(self, log: Path, begin: int) -> int:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.process.poll() is None:
            said = log.read_bytes()[begin:].decode("utf-8", "replace")
            if found := re.search(r"is ready: http://[^:]+:(\d+)", said):
                return int(found[1])
            time.sleep(0.05)
        self.kill()
        raise SystemExit(f"The server did not start. It said:\n{log.read_bytes()[begin:].decode()[-2000:]}")

    def get(self, path: str) -> tuple[int, bytes]:
        with closing(http.client.HTTPConnection("localhost", self.port, timeout=60)) as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def part(seed: int) -> bytes:
    """A small picture of noise, PNG."""
    pixels = np.random.default_rng(seed).integers(90, 200, (96, 128), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def send(port: int, data: bytes) -> dict[str, Any] | None:
    """The acknowledged inspection; ``None`` if the server was busy.

    Raises:
        OSError, http.client.HTTPException, ValueError: the server died on the way.
    """
    mark = "----flawsight"
    body = (
        f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="part.png"\r\n\r\n'.encode()
        + data
        + f"\r\n--{mark}--\r\n".encode()
    )
    with closing(http.client.HTTPConnection("localhost", port, timeout=60)) as connection:
        headers = {"Content-Type": f"multipart/form-data; boundary={mark}"}
        connection.request("POST", "/api/v1/inspections", body, headers)
        response = connection.getresponse()
        answer: dict[str, Any] = json.loads(response.read())
        if response.status == 503:
            return None
        if response.status != 201:
            raise SystemExit(f"The server answered {response.status}: {answer}")
        return answer


def load(
    port: int, clients: int, acknowledged: dict[str, Any], stop: threading.Event
) -> list[threading.Thread]:
    """Start ``clients`` that send until ``stop``, and note what they were told."""

    def client(number: int) -> None:
        for count in range(1_000_000):
            if stop.is_set():
                return
            try:
                answer = send(port, part(1000 * number + count % 50))
            except (OSError, http.client.HTTPException, ValueError):
                return  # killed on the way: nothing was promised
            if answer:
                acknowledged[answer["id"]] = answer

    threads = [threading.Thread(target=client, args=[number]) for number in range(clients)]
    for thread in threads:
        thread.start()
    return threads


def check(server: Server, instance: Path, acknowledged: dict[str, Any]) -> list[str]:
    """Everything that is not as promised, in words."""
    with closing(sqlite3.connect(instance / "flawsight.db")) as database:
        rows = {row[0]: row[1] for row in database.execute("SELECT id, number FROM inspections")}
        wrong = [f"database: {word}" for [word] in database.execute("PRAGMA integrity_check") if word != "ok"]
    wrong += [f"{answer['number']} was lost" for id_, answer in acknowledged.items() if id_ not in rows]
    if len(set(rows.values())) != len(rows):
        wrong.append("a number was given twice")
    for path in (instance / "inspections").iterdir():
        if path.name not in rows:
            wrong.append(f"{path.name} belongs to no inspection")
        wrong += [f"{file} is half done" for file in path.iterdir() if file.name == "pending"]
    for record_id, number in rows.items():
        wrong += [f"{number}: {problem}" for problem in check_one(server, instance, record_id, acknowledged)]
    return wrong


def check_one(server: Server, instance: Path, record_id: str, acknowledged: dict[str, Any]) -> list[str]:
    """What is wrong with one inspection, through the addresses that anybody may open."""
    status, body = server.get(f"/api/v1/inspections/{record_id}")
    if status != 200:
        return [f"answers {status}"]
    found = json.loads(body)
    wrong = []
    if record_id in acknowledged and found != acknowledged[record_id]:
        wrong.append("differs from what the client was told")
    upload = (instance / "inspections" / record_id / "upload.bin").read_bytes()
    if hashlib.sha256(upload).hexdigest() != found["image"]["sha256"]:
        wrong.append("the upload is damaged")
    for kind, link in found["links"]["pictures"].items():
        status, body = server.get(link)
        try:
            Image.open(BytesIO(body)).load()
        except (OSError, SyntaxError, ValueError) as error:
            wrong.append(f"picture {kind} ({status}): {error}")
    for kind in ("page", "pdf"):
        status, body = server.get(found["links"][kind])
        if status != 200 or (kind == "pdf" and not body.rstrip().endswith(b"%%EOF")):
            wrong.append(f"{kind} answers {status}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill the server under load and check what it kept.")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument(
        "--longest", type=float, default=1.5, help="seconds from the first answer to the kill, at most"
    )
    parser.add_argument("--model", type=Path, default=ROOT / "best_model_unified.onnx")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    moments = random.Random(options.seed)
    acknowledged: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        instance, log = Path(folder) / "instance", Path(folder) / "log"
        for number in range(options.kills):
            server, stop, before = Server(instance, options.model, log), threading.Event(), len(acknowledged)
            clients = load(server.port, options.clients, acknowledged, stop)
            deadline = time.monotonic() + START_S
            while len(acknowledged) == before and time.monotonic() < deadline:
                time.sleep(0.01)  # the first answer may take long on a busy computer
            time.sleep(moments.uniform(0, options.longest))
            server.kill()
            stop.set()
            for client in clients:
                client.join()
            print(f"kill {number + 1}: {len(acknowledged)} inspections acknowledged so far", flush=True)
        server = Server(instance, options.model, log)
        try:
            wrong = check(server, instance, acknowledged)
            with closing(sqlite3.connect(instance / "flawsight.db")) as database:
                [filed] = database.execute("SELECT count(*) FROM inspections").fetchone()
        finally:
            server.kill()
        repaired = log.read_text("utf-8", "replace").count("was never finished")
    for line in wrong:
        print("WRONG:", line)
    print(
        f"{options.kills} kills, {len(acknowledged)} acknowledged, {filed} filed, "
        f"{repaired} unfinished removed at a start, {len(wrong)} wrong"
    )
    return 1 if wrong or not acknowledged else 0


if __name__ == "__main__":
    sys.exit(main())
