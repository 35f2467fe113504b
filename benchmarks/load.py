"""Many clients at once: ``PYTHONPATH=. python benchmarks/load.py [--clients 64] [--requests 5000]``.

A real server on this machine, real uploads over real HTTP. One client alone and many at once take turns;
beside the many, one in ten connections more is a stalled upload. A client that is told to come back waits as
long as it was told to. Exit code 1 when a promise is broken.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from common import MIXED, TRAINED, Server, serving, untrained, upload

from flawsight.inspection.engines import cores
from flawsight.web.service import WAITING

CLIENTS, REQUESTS = 64, 5000
SHARE = 0.9  # of one client's throughput that must remain under load
GROWTH_MB = 20  # of resident memory over the second half of the load


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--model", type=Path, default=TRAINED)
    options.add_argument("--clients", type=int, default=CLIENTS)
    options.add_argument("--requests", type=int, default=REQUESTS)
    options.add_argument("--images", type=Path, nargs="+", default=MIXED, help="image files to send")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = given.model if given.model.exists() else untrained(Path(folder) / "untrained.onnx")
        with serving(model, Path(folder) / "instance") as server:
            result = load(server, [path.read_bytes() for path in given.images], given.clients, given.requests)
    print(json.dumps(result, indent=1))
    return 0 if result["kept"] else 1


def load(server: Server, images: list[bytes], clients: int, requests: int) -> dict[str, Any]:
    """``clients`` at once until ``requests`` have been answered, in two halves.

    One client alone takes turns with them, before, between and after: the machine's speed may change.
    """
    few = max(3 * len(images), requests // 100)
    alone = [_run(server, images, 1, few)]
    with ExitStack() as stack:
        for _ in range(clients // 10):
            stack.enter_context(_stalled(server))
        first = _run(server, images, clients, requests // 2)
        half_mb = server.memory_mb()
        alone.append(_run(server, images, 1, few))
        second = _run(server, images, clients, requests - requests // 2)
        end_mb = server.memory_mb()
    alone.append(_run(server, images, 1, few))
    answers = first["answers"] + second["answers"]
    seconds = first["seconds"] + second["seconds"]
    times = sorted(first["times"] + second["times"])
    rate = answers[201] / seconds
    single = sum(turn["answers"][201] for turn in alone) / sum(turn["seconds"] for turn in alone)
    bound_s = (WAITING + 2 * cores()) / rate  # those waiting, at work, and being stored
    p99 = times[int(len(times) * 0.99)]
    others = {str(status): n for status, n in answers.items() if status not in (201, 503)}
    return {
        "clients": clients,
        "requests": sum(answers.values()),
        "inspected": answers[201],
        "turned_away_503": answers[503],
        "other_answers": others,
        "alone_per_s": round(single, 2),
        "together_per_s": round(rate, 2),
        "p50_s": round(times[len(times) // 2], 3),
        "p99_s": round(p99, 3),
        "queue_s": round(bound_s, 3),
        "memory_half_mb": round(half_mb),
        "memory_end_mb": round(end_mb),
        "kept": not others
        and first["honest"] and second["honest"]
        and rate >= SHARE * single
        and p99 <= 1.5 * bound_s
        and end_mb - half_mb <= GROWTH_MB,
    }  # fmt: skip


def _run(server: Server, images: list[bytes], clients: int, requests: int) -> dict[str, Any]:
    """``clients`` at once, until ``requests`` have been answered between them."""
    answers: Counter[int] = Counter()
    times: list[float] = []
    honest, number, lock = True, count(), threading.Lock()

    def client(_: int) -> None:
        nonlocal honest
        with closing(server.connect()) as connection:
            while (turn := next(number)) < requests:
                start = perf_counter()
                status, _, retry_after = upload(connection, images[turn % len(images)])
                taken = perf_counter() - start
                with lock:
                    answers[status] += 1
                    if status == 201:
                        times.append(taken)
                    honest = honest and (status == 201 or retry_after >= 1)
                if status == 503:
                    sleep(retry_after)

    start = perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))
    return {"answers": answers, "times": times, "seconds": perf_counter() - start, "honest": honest}


def _stalled(server: Server) -> Any:
    """A client that announces a megabyte and sends nothing of it."""
    connection = server.connect()
    connection.putrequest("POST", "/api/v1/inspections")
    connection.putheader("Content-Length", "1000000")
    connection.endheaders(b"--x\r\n")
    return closing(connection)


if __name__ == "__main__":
    sys.exit(main())
