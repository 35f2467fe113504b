"""``make bench``: measure speed and load, and rewrite the table in ``docs/performance.md``."""

from __future__ import annotations

import flawsight  # noqa: F401  # first: it says how many threads NumPy takes

# isort: split
import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import onnxruntime
import speed
from common import MIXED, ROOT, TRAINED, serving, untrained
from load import CLIENTS, REQUESTS, SHARE, load

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- measured by make bench: begin -->", "<!-- measured by make bench: end -->"
Row = tuple[str, str, str, bool]


def main() -> int:
    busy = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = TRAINED if TRAINED.exists() else untrained(folder / "untrained.onnx")
        figures = speed.measure(model, folder)
        with serving(model, folder / "load") as server:
            under_load = load(server, [path.read_bytes() for path in MIXED], CLIENTS, REQUESTS)
    rows = speed_rows(figures) + load_rows(under_load)
    text = "\n".join([describe(model, busy), "", *table(rows)])
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
    print(text)
    return 0 if all(kept for *_, kept in rows) else 1


def speed_rows(f: dict[str, float]) -> list[Row]:
    allowed = 1.3 * f["forward"] + 12
    share = f["folder_per_s"] / f["raw_per_s"]
    fourth, eighth = 285 / 4, 285 / 8  # of what the closest small program takes
    return [
        (
            "bare forward pass at 512×512, all threads (one thread)",
            "–",
            f"{f['forward']:.0f} ms ({f['forward_one_thread']:.0f} ms)",
            True,
        ),
        (
            "upload → JSON and pictures, 512×512 PNG",
            f"≤ 1.3 × forward + 12 ms = {allowed:.0f} ms",
            f"{f['answer']:.0f} ms",
            f["answer"] <= allowed,
        ),
        ("the same, as a fixed limit", "≤ 71 ms", f"{f['answer']:.0f} ms", f["answer"] <= fourth),
        (
            f"the same with an 8-bit model (forward {f['forward_8_bits']:.0f} ms)",
            "–",
            f"{f['answer_8_bits']:.0f} ms",
            True,
        ),
        (
            f"the same with a 224 px model (forward {f['forward_224']:.0f} ms)",
            "≤ 36 ms",
            f"{f['answer_224']:.0f} ms",
            f["answer_224"] <= eighth,
        ),
        (
            "explanation on top of the forward pass",
            "≤ 2 %",
            f"{f['explain_share']:.1%}",
            f["explain_share"] <= 0.02,
        ),
        ("PDF of a stored inspection", "≤ 80 ms", f"{f['report']:.0f} ms", f["report"] <= 80),
        ("process start → ready, model loaded", "≤ 1.5 s", f"{f['start_s']:.2f} s", f["start_s"] <= 1.5),
        (
            f"resident memory after {speed.INSPECTIONS // 2} / {speed.INSPECTIONS} inspections",
            "≤ 300 MiB, flat",
            f"{f['memory_half_mb']:.0f} / {f['memory_mb']:.0f} MiB",
            f["memory_mb"] <= 300 and f["memory_mb"] - f["memory_half_mb"] <= 10,
        ),
        (
            f"`flawsight inspect FOLDER`, {speed.FOLDER_IMAGES} images, starting included",
            f"≥ 0.85 of bare ONNX Runtime ({f['raw_per_s']:.1f} images/s)",
            f"{f['folder_per_s']:.1f} images/s = {share:.2f}",
            share >= 0.85,
        ),
    ]


def load_rows(r: dict[str, Any]) -> list[Row]:
    rate = r["together_per_s"] / r["alone_per_s"]
    others = ", ".join(f"{n} × {status}" for status, n in r["other_answers"].items()) or "none"
    return [
        (
            f"{r['clients']} clients, {r['requests']} requests: answers that are neither 201 nor 503",
            "none",
            f"{others} ({r['inspected']} inspected, {r['turned_away_503']} told when to come back)",
            not r["other_answers"],
        ),
        (
            "throughput against one client alone",
            f"≥ {SHARE:.0%}",
            f"{r['together_per_s']:.1f} against {r['alone_per_s']:.1f} a second = {rate:.0%}",
            rate >= SHARE,
        ),
        (
            "99 % of the answers within",
            f"1.5 × queue × service time, {1.5 * r['queue_s']:.1f} s",
            f"{r['p99_s']:.1f} s",
            r["p99_s"] <= 1.5 * r["queue_s"],
        ),
        (
            "resident memory half-way / at the end of the load",
            "flat",
            f"{r['memory_half_mb']} / {r['memory_end_mb']} MiB",
            r["memory_end_mb"] - r["memory_half_mb"] <= 20,
        ),
    ]


def table(rows: list[Row]) -> list[str]:
    head = ["| what | target | measured | |", "|---|---|---|---|"]
    marks = {True: "kept", False: "**missed**"}
    return head + [
        f"| {what} | {goal} | {got} | {'' if goal == '–' else marks[kept]} |"
        for what, goal, got, kept in rows
    ]


def describe(model: Path, busy: float) -> str:
    """When, on what, with what."""
    name = "the shipped model" if model == TRAINED else "an untrained EfficientNet-B0, stride 16"
    line = (
        f"{datetime.now(UTC):%Y-%m-%d}, {speed.CORES} cores ({_processor()}), Python "
        f"{platform.python_version()}, ONNX Runtime {onnxruntime.__version__}, {name}."
    )
    if busy > 0.5:
        line += f" Other work was running (load average {busy:.1f} at the start): the times are too long."
    return line


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    sys.exit(main())
