"""One inspection, one report, one start, one folder, each against bare ONNX Runtime in the same run.

``PYTHONPATH=. python benchmarks/speed.py`` prints the figures as JSON; ``make bench`` puts them into
``docs/performance.md``.
"""

from __future__ import annotations

import flawsight  # noqa: F401  # first: it says how many threads NumPy takes

# isort: split
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import onnxruntime
from common import PART, ROOT, TRAINED, Server, in_eight_bits, median_ms, serving, untrained, upload
from operators import node_behind

from flawsight.imaging import decode
from flawsight.inspection.engines import load_engine
from flawsight.inspection.inspector import Inspector
from flawsight.preprocessing import prepare

TIMES = 30
FOLDER_IMAGES = 400
INSPECTIONS = 1000
TURNS = 3  # of the folder, which takes half a minute
SHORT_TURNS, SHORT = 10, 10  # of one answer, and how often it is asked for in each
CORES = len(os.sched_getaffinity(0))


def measure(model: Path, folder: Path) -> dict[str, float]:
    """All figures of ``model``: times in ms unless the name says otherwise, memory in MiB."""
    data = PART.read_bytes()
    figures = {"forward_one_thread": median_ms(_bare(model, data, 1), TIMES)}
    figures |= explanation(model, data) | starts(model, folder)
    with serving(model, folder / "start") as server:  # a later start, as nearly all of them are
        figures |= answer(server, model, data)
        figures |= report(server, data)
        figures |= memory(server, data)
    others = {
        "224": untrained(folder / "small.onnx", side=224, stride=32),
        "8_bits": in_eight_bits(model, folder / "eight.onnx"),
    }
    for name, other in others.items():
        with serving(other, folder / name) as server:
            figures |= {f"{key}_{name}": value for key, value in answer(server, other, data).items()}
    return figures | directory(model, data, folder)


def explanation(model: Path, data: bytes) -> dict[str, float]:
    """Class map, heat map and boxes as a share of the rest of the forward pass; the verdict is not counted.

    The class map comes out of the pass, and the verdict is read from it. It counts all the same.
    """
    inspector = Inspector(load_engine(model, threads=1))
    steps = [inspector.inspect_bytes(data, "part.png").timing_ms for _ in range(TIMES)]
    explain, forward = (median(step[name] for step in steps) for name in ("explain", "forward"))
    class_map = node_behind(model, "class_map")
    return {"explain_share": (class_map + explain) / (forward - class_map)}


def starts(model: Path, folder: Path) -> dict[str, float]:
    """Seconds from starting the process to the first healthy answer with the model loaded."""
    taken = []
    for _ in range(4):
        with serving(model, folder / "start") as server:
            taken.append(server.start_s)
    return {"start_s": median(taken[1:])}  # the first makes the database


def answer(server: Server, model: Path, data: bytes) -> dict[str, float]:
    """From sending the upload to the whole JSON, over HTTP; by then the pictures are on disk.

    The bare network on all threads takes turns with it, and the better of each counts: other work on the
    machine can only slow them down.
    """
    bare = _bare(model, data, CORES)
    with closing(server.connect()) as connection:
        turns = [
            (median_ms(bare, SHORT), median_ms(lambda: upload(connection, data), SHORT))
            for _ in range(SHORT_TURNS)
        ]
    forward, whole = (min(taken) for taken in zip(*turns, strict=True))
    return {"forward": forward, "answer": whole}


def report(server: Server, data: bytes) -> dict[str, float]:
    """The PDF of a stored inspection."""
    with closing(server.connect()) as connection:
        inspection = json.loads(upload(connection, data)[1])

        def asked() -> None:
            connection.request("GET", inspection["links"]["pdf"])
            assert connection.getresponse().read().startswith(b"%PDF")

        return {"report": median_ms(asked, TIMES)}


def memory(server: Server, data: bytes) -> dict[str, float]:
    """Resident memory of the server half-way and at the end of ``INSPECTIONS`` inspections."""
    with closing(server.connect()) as connection:
        for _ in range(INSPECTIONS // 2):
            upload(connection, data)
        half = server.memory_mb()
        for _ in range(INSPECTIONS // 2):
            upload(connection, data)
    return {"memory_half_mb": half, "memory_mb": server.memory_mb()}


def directory(model: Path, data: bytes, folder: Path) -> dict[str, float]:
    """Images a second of the command line, starting included, and of bare ONNX Runtime on all cores.

    Both get as many images and take turns, as above.
    """
    images = folder / "images"
    images.mkdir()
    for number in range(FOLDER_IMAGES):
        shutil.copyfile(PART, images / f"{number:04}.png")
    command = ["-m", "flawsight", "inspect", str(images), "--model", str(model)]

    def inspect(_: int) -> None:
        subprocess.run(
            [sys.executable, *command, "--json", str(folder / "lines.json")],
            cwd=ROOT, check=True, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    bare = _quickest_on_all_cores(model, data)
    turns = [(_rate(inspect, FOLDER_IMAGES), _rate(bare, FOLDER_IMAGES)) for _ in range(TURNS)]
    ours, raw = (max(rates) for rates in zip(*turns, strict=True))
    return {"folder_per_s": ours, "raw_per_s": raw}


def _quickest_on_all_cores(model: Path, data: bytes) -> Callable[[int], None]:
    """Bare passes for so many pictures: batches of 8 on all cores, or a single-threaded pass a core."""
    picture = _input(model, data)
    batch, every, one = np.repeat(picture, 8, axis=0), _session(model, CORES), _session(model, 1)

    def batched(count: int) -> None:
        for _ in range(count // len(batch)):
            every.run(None, {"image": batch})

    def side_by_side(count: int) -> None:
        with ThreadPoolExecutor(CORES) as pool:
            list(pool.map(lambda _: one.run(None, {"image": picture}), range(count)))

    rates = {way: max(_rate(way, 8 * len(batch)) for _ in range(2)) for way in (batched, side_by_side)}
    return max(rates, key=lambda way: rates[way])


def _rate(work: Callable[[int], None], count: int) -> float:
    """Pictures a second."""
    start = perf_counter()
    work(count)
    return count / (perf_counter() - start)


def _bare(model: Path, data: bytes, threads: int) -> Callable[[], object]:
    """One pass of the bare network on the prepared picture."""
    session, batch = _session(model, threads), _input(model, data)
    return lambda: session.run(None, {"image": batch})


def _input(model: Path, data: bytes) -> Any:
    return prepare(decode(data), load_engine(model).metadata.preprocessing)[0][None]


def _session(model: Path, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        chosen = TRAINED if TRAINED.exists() else untrained(place / "untrained.onnx")
        print(json.dumps(measure(chosen, place), indent=1))
