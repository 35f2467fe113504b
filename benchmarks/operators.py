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
import onnxruntime

from benchmarks.common import TRAINED

SIDE, RUNS = 512, 8


def operators(model: Path) -> dict[str, float]:
    """Milliseconds by operator on one thread; of each node the quickest of ``RUNS`` passes."""
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
    quickest: dict[tuple[str, str], float] = {}
    for event in events:
        if event["name"].endswith("_kernel_time"):
            node = (event["args"]["op_name"], event["name"])
            quickest[node] = min(event["dur"] / 1000, quickest.get(node, np.inf))
    total: dict[str, float] = defaultdict(float)
    for (operator, _), milliseconds in quickest.items():
        total[operator] += milliseconds
    return total


if __name__ == "__main__":
    found = operators(Path(sys.argv[1]) if len(sys.argv) > 1 else TRAINED)
    whole = sum(found.values())
    print(f"{whole:.1f} ms in all")
    for name, milliseconds in sorted(found.items(), key=lambda pair: -pair[1]):
        print(f"{milliseconds:6.1f} ms {milliseconds / whole:5.1%}  {name}")
