"""Which operators of the network the time of a forward pass goes to, by ONNX Runtime's own profile.

    PYTHONPATH=. python benchmarks/operators.py [MODEL.onnx]

One thread, 512 x 512 pixels.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from common import TRAINED

SIDE, RUNS = 512, 8
Node = tuple[str, str]  # its operator and its name


def operators(model: Path) -> dict[str, float]:
    """Milliseconds by operator on one thread."""
    total: dict[str, float] = defaultdict(float)
    for (operator, _), milliseconds in nodes(model).items():
        total[operator] += milliseconds
    return total


def node_behind(model: Path, output: str) -> float:
    """Milliseconds on one thread of the last node before an ``output`` of the graph."""
    (name,) = (node.name for node in onnx.load(str(model)).graph.node if output in node.output)
    # Where the runtime lays a map out anew, it names the node after its output.
    (found,) = (ms for (_, ran), ms in nodes(model).items() if ran in (name, f"{output}_nchwc"))
    return found


def nodes(model: Path) -> dict[Node, float]:
    """Milliseconds by node on one thread, each the quickest of ``RUNS`` passes."""
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        picture = np.random.default_rng(0).standard_normal((1, 3, SIDE, SIDE)).astype(np.float32)
        for _ in range(RUNS):
            session.run(None, {"image": picture})
        events = json.loads(Path(session.end_profiling()).read_text())
    quickest: dict[Node, float] = {}
    for event in events:
        name, _, what = event["name"].rpartition("_kernel_")
        if what == "time":
            node = (event["args"]["op_name"], name)
            quickest[node] = min(event["dur"] / 1000, quickest.get(node, np.inf))
    return quickest


if __name__ == "__main__":
    found = operators(Path(sys.argv[1]) if len(sys.argv) > 1 else TRAINED)
    whole = sum(found.values())
    print(f"{whole:.1f} ms in all")
    for name, milliseconds in sorted(found.items(), key=lambda pair: -pair[1]):
        print(f"{milliseconds:6.1f} ms {milliseconds / whole:5.1%}  {name}")
