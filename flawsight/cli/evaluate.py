"""``python -m flawsight evaluate``: what a model is worth on images it has not seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table

from flawsight.atomic import write_text
from flawsight.errors import DataError
from flawsight.inspection.engines import load_engine
from flawsight.inspection.inspector import Inspector
from flawsight.learning import charts
from flawsight.learning.card import cell
from flawsight.learning.config import TrainConfig
from flawsight.learning.evaluate import inspect_samples
from flawsight.learning.fit import prepare_data
from flawsight.learning.train import measure
from flawsight.settings import load_settings

ROWS = (
    "n",
    "defective",
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "average_precision",
    "auroc",
    "escape_rate",
    "overkill_rate",
    "review_share",
    "overkill_at_zero_escapes",
    "ece",
    "brier",
)
PLACE_ROWS = (
    "pointing_game",
    "pointing_game_centre",
    "max_box_acc_v2",
    "max_box_acc_v2_centre",
    "px_ap",
    "heat_inside",
    "good_with_box",
)
_folder = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.option("--data", type=_folder, multiple=True, required=True, help="Data folder; may be repeated.")
@click.option(
    "--model", type=click.Path(path_type=Path, dir_okay=False), help="Model file; default: the shipped one."
)
@click.option(
    "--split",
    type=click.Choice(["val", "test"]),
    default="test",
    show_default=True,
    help="Which to measure on.",
)
@click.option("--seed", type=int, help="Of the division; default: the model's own.")
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write all figures here."
)
@click.option("--charts", "chart_folder", type=_folder, help="Draw charts into this folder.")
def evaluate(
    data: tuple[Path, ...],
    model: Path | None,
    split: str,
    seed: int | None,
    json_file: Path | None,
    chart_folder: Path | None,
) -> None:
    """Measure a model on the held-out groups of the data it was trained from.

    The division is made again from the same folders and seed; if it is not the one that the model
    was trained with, that is said, for then training images may be among those tested.
    """
    inspector = Inspector(load_engine(model or load_settings().model))
    meta = inspector.metadata
    manifest = prepare_data(TrainConfig(data=data, seed=meta.seed if seed is None else seed))
    foreign = sorted({s.class_id for s in manifest.samples} - set(meta.classes))
    if foreign:
        raise DataError(
            f"The model does not know the classes {', '.join(foreign)}. It knows: {', '.join(meta.classes)}."
        )
    same = manifest.sha256 == meta.manifest_sha256
    console = Console(stderr=True)
    if not same:
        console.print(
            "Note: these folders are not the ones the model was trained from, or have changed.",
            style="yellow",
        )
    samples = manifest.split(split)
    answers = inspect_samples(inspector, track(samples, "Measuring", console=console))
    measured = measure(inspector, answers, samples)
    _print(measured)
    if json_file:
        write_text(
            json_file, json.dumps({"split": split, "same_manifest": same, **measured}, indent=1) + "\n"
        )
    if chart_folder:
        charts.draw_confusion(measured["confusion"], chart_folder)
        charts.draw_per_dataset(measured["datasets"], chart_folder)
        right = answers.probabilities.argmax(1) == answers.labels
        charts.draw_reliability(answers.probabilities.max(1), right, chart_folder / "reliability.png")


def _print(measured: dict[str, Any]) -> None:
    columns = {**measured["datasets"], "overall": measured["overall"]}
    table = Table(title="Held-out figures with 95 % intervals")
    table.add_column("")
    for name in columns:
        table.add_column(name, justify="right")
    for row in ROWS:
        table.add_row(row, *(cell(column.get(row)) for column in columns.values()))
    for row in PLACE_ROWS:
        table.add_row(row, *(cell(column["localisation"].get(row)) for column in columns.values()))
    Console().print(table)
    if boards := measured["boards"]:
        Console().print(
            f"{boards['boards']} whole boards (IoU > 0.33, same type): "
            f"mAP {boards['map']:.3f}, F {boards['f']:.3f}"
        )
    if unknown := measured["unknown"]:
        Console().print(
            f"Unknown: AUROC {unknown['auroc']:.3f} of {unknown['foreign']} drawn foreign pictures; "
            f"{unknown['foreign_caught']:.1%} of them and {unknown['known_called_unknown']:.1%} of the parts "
            "are called unknown."
        )
    for name, column in columns.items():
        if "warning" in column:
            Console().print(f"{name}: {column['warning']}")
