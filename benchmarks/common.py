"""What the benchmarks share: a model, pictures, a real server in its own process, a client, figures."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from time import perf_counter
from uuid import uuid4

from flawsight.taxonomy import load_taxonomy

ROOT = Path(__file__).resolve().parent.parent
TRAINED = ROOT / "best_model_unified.onnx"
PART = ROOT / "sample" / "texture_defect_class1.png"  # 512 x 512
MIXED = sorted(path for path in (ROOT / "sample").iterdir() if path.suffix in (".png", ".jpg"))


def untrained(path: Path, side: int = 0, stride: int = 16) -> Path:
    """An EfficientNet-B0 with fresh weights, as fast as a trained one. ``side``: fixed input size, or 0."""
    import torch

    from flawsight.learning.backbones import build
    from flawsight.learning.export import save_onnx
    from flawsight.metadata import ModelMetadata, Preprocessing

    classes = tuple(load_taxonomy())
    plain = ModelMetadata("untrained", "1", "efficientnet-b0", classes, classes[1:], stride)
    pre = Preprocessing(fixed_size=side)
    torch.manual_seed(0)
    net = build("efficientnet-b0", len(classes), stride).train()
    for layer in net.modules():  # without true running averages, every feature would fade to nothing
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None
    with torch.no_grad():
        for _ in range(4):
            net(torch.randn(4, 3, 128, 128))
    save_onnx(net.eval(), replace(plain, preprocessing=pre), path)
    return path


def in_eight_bits(model: Path, path: Path) -> Path:
    """``model`` as ``export --precision int8`` makes it, but fitted to the samples: as fast as a true one."""
    from flawsight.data.samples import Sample
    from flawsight.inspection.engines import load_engine
    from flawsight.learning.precision import label, quantise

    engine = load_engine(model)
    quantise(model, path, [Sample(part, "", "", "") for part in MIXED], engine.metadata.preprocessing)
    label(path, engine.metadata, engine.head.to_text())
    return path


def median_ms(work: Callable[[], object], times: int) -> float:
    """Median milliseconds of ``work``, after one run to warm up."""
    work()
    taken = []
    for _ in range(times):
        start = perf_counter()
        work()
        taken.append((perf_counter() - start) * 1000)
    return median(taken)


class Server:
    """A running server: its address, and what it says about itself."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, start_s: float) -> None:
        self.process, self.port, self.start_s = process, port, start_s

    def connect(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=120)

    def get(self, path: str) -> bytes:
        with closing(self.connect()) as connection:
            connection.request("GET", path)
            return connection.getresponse().read()

    def metric(self, name: str) -> float:
        """The value of a line of /metrics, 0 if it is not there."""
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.get("/metrics").decode(), re.M)
        return float(found[1]) if found else 0.0

    def memory_mb(self) -> float:
        """Resident memory, MiB."""
        return self.metric("process_resident_memory_bytes") / 2**20


@contextmanager
def serving(model: Path, instance: Path, **settings: str) -> Iterator[Server]:
    """``python app.py`` in its own process, from nothing to ready."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = int(free.getsockname()[1])
    given = {"PORT": str(port), "INSTANCE": str(instance), "MODEL": str(model), **settings}
    environment = {**os.environ, **{f"FLAWSIGHT_{key}": value for key, value in given.items()}}
    start = perf_counter()
    with (instance.parent / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
    server = Server(process, port, 0.0)
    try:
        while not _ready(server):
            if process.poll() is not None:
                raise SystemExit(f"The server did not start; see {log.name}.")
            time.sleep(0.005)
        server.start_s = perf_counter() - start
        yield server
    finally:
        process.terminate()
        process.wait(60)


def _ready(server: Server) -> bool:
    try:
        return b'"ok"' in server.get("/readyz")
    except OSError:
        return False


def upload(connection: HTTPConnection, data: bytes, name: str = "part.png") -> tuple[int, bytes, int]:
    """Status, body and Retry-After (seconds, 0 if none) of one inspection over an open connection."""
    mark = uuid4().hex
    head = (
        f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    body = head.encode() + data + f"\r\n--{mark}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={mark}"}
    connection.request("POST", "/api/v1/inspections", body, kind)
    response = connection.getresponse()
    return response.status, response.read(), int(response.headers.get("Retry-After", 0))
