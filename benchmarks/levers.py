"""What each decision about training is worth: short runs that differ in one thing, read on validation parts.

    PYTHONPATH=. python benchmarks/levers.py --data DIR --steps 250 --out FOLDER

Every run sees equally many steps of about as many pixels, without implants but where these are the
question. What is done is not repeated.
Decisions are chosen and figures read on the validation split: they compare the ways with each other and say
nothing about new parts.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from flawsight.atomic import write_text
from flawsight.data.splits import Manifest
from flawsight.data.whole import sample_pixels
from flawsight.inspection.engines import load_engine
from flawsight.inspection.inspector import Inspector
from flawsight.inspection.operating import Costs
from flawsight.learning.card import cell
from flawsight.learning.config import TrainConfig
from flawsight.learning.evaluate import figures, inspect_samples
from flawsight.learning.fit import fit, prepare_data, real_samples
from flawsight.learning.train import decide_on_validation, trained_network

SIZE, BATCH = 96, 16  # of a crop, pixels; and crops in a batch
TIMED = 24  # parts whose forward pass is timed


def _whole(side: int) -> dict[str, Any]:
    batch = max(2, round(BATCH * SIZE**2 / side**2))
    return {"view": "whole", "image_size": side, "batch_size": batch, "map_loss": 0.0, "augment": ("flip",)}


WAYS: Mapping[str, Mapping[str, Any]] = {
    "as shipped: native crops, taught cells, stride 16": {},
    "crops know their class, cells are not taught": {"map_loss": 0.0},
    "stride 32": {"stride": 32},
    "labels smoothed by a tenth": {"label_smoothing": 0.1},
    "with planted flaws": {"implants": 2},
    "fresh weights": {"pretrained": "none"},
    "whole parts squeezed to 224, image labels only": _whole(224),
    "whole parts squeezed to 320, image labels only": _whole(320),
    "whole parts squeezed to 448, image labels only": _whole(448),
}
FIGURES = ("average_precision", "balanced_accuracy", "pointing_game", "max_box_acc_v2")


@click.command()
@click.option("--data", type=click.Path(path_type=Path), multiple=True, required=True, help="Data folder.")
@click.option("--steps", type=click.IntRange(1), default=250, show_default=True, help="Of each run.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the runs.")
def levers(data: tuple[Path, ...], steps: int, out: Path) -> None:
    """Train each way and print the table."""
    logging.getLogger("flawsight").setLevel(logging.INFO)
    base = TrainConfig(
        data=data, out=out, epochs=1, batches=steps, batch_size=BATCH, image_size=SIZE, learning_rate=8e-4,
        pretrained="lite0", implants=0, patience=0,
    )  # fmt: skip
    manifest = prepare_data(base)
    table = Table(title=f"{steps} steps each, {len(real_samples(manifest.split('val')))} validation parts")
    for name in (
        "way",
        "data",
        "defect AP",
        "balanced accuracy",
        "pointing game",
        "MaxBoxAccV2",
        "forward ms",
    ):
        table.add_column(name)
    for number, (way, changes) in enumerate(WAYS.items()):
        row = trained_and_read(replace(base, run_name=f"way-{number}", **changes), manifest)
        for name, found in row["datasets"].items():
            table.add_row(way, name, *(cell(found[key]) for key in FIGURES), str(row["forward_ms"]))
    Console(width=190).print(table)


def trained_and_read(config: TrainConfig, manifest: Manifest) -> dict[str, Any]:
    """``FIGURES`` of each family's validation parts and the time of a pass; kept in the run's folder."""
    done = config.run_folder / "row.json"
    if done.is_file():
        known: dict[str, Any] = json.loads(done.read_text())
        return known
    result = fit(config, manifest)
    net, draft = trained_network(result, config), config.run_folder / "model.onnx"
    meta = decide_on_validation(net, result, config, Costs(), draft)
    inspector = Inspector(load_engine(draft), meta.decision)
    samples = real_samples(manifest.split("val"))
    measured = figures(inspect_samples(inspector, samples), meta)
    pictures = [sample_pixels(sample) for sample in samples[:: max(1, len(samples) // TIMED)]]
    times = [inspector.inspect(picture, name="timed").timing_ms["forward"] for picture in pictures]
    row = {
        "datasets": {
            name: {key: {**found, **found["localisation"]}.get(key) for key in FIGURES}
            for name, found in measured["datasets"].items()
        },
        "forward_ms": round(float(np.median(times)), 1),
    }
    write_text(done, json.dumps(row))
    return row


if __name__ == "__main__":
    levers()
