"""``python -m flawsight evaluate``: what a model is worth on images it has not seen."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from flawsight.atomic import write_text
from flawsight.cli.division import divide_again, preset_option
from flawsight.data.samples import IMAGE_SUFFIXES
from flawsight.errors import DataError
from flawsight.imaging import read_image
from flawsight.inspection.engines import load_engine
from flawsight.inspection.inspector import Inspector
from flawsight.inspection.operating import Costs, few_defects_warning
from flawsight.learning import charts
from flawsight.learning.card import cell
from flawsight.learning.evaluate import inspect_samples, real_answers
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
TEMPLATE_ROWS = (
    "average_precision", "escape_rate", "overkill_rate", "review_share", "overkill_at_zero_escapes",
)  # fmt: skip
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
_console = Console(stderr=True)


@click.command()
@click.option("--data", type=_folder, multiple=True, required=True, help="Data folder; may be repeated.")
@click.option(
    "--model", type=click.Path(path_type=Path, dir_okay=False), help="Model file; default: the shipped one."
)
@click.option(
    "--split",
    type=click.Choice(["test", "val", "train"]),
    default="test",
    show_default=True,
    help="Which to measure on; train is what the model learned from.",
)
@click.option("--seed", type=int, help="Of the division; default: the model's own.")
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write all figures here."
)
@click.option("--charts", "chart_folder", type=_folder, help="Draw charts into this folder.")
@click.option(
    "--foreign",
    type=_folder,
    multiple=True,
    help="Folder with pictures of other things, which ought to be answered unknown; may be repeated.",
)
@preset_option
@click.option("--skip-unreadable", is_flag=True, help="Leave out files that cannot be decoded.")
@click.option(
    "--escape-cost", type=float, default=Costs.escape, show_default=True, help="For the cost curve."
)
@click.option("--overkill-cost", type=float, default=Costs.overkill, show_default=True, help="Likewise.")
@click.option(
    "--prevalence", type=click.FloatRange(0, 1), help="Share of defective parts; default: the data's."
)
def evaluate(
    data: tuple[Path, ...],
    model: Path | None,
    split: str,
    seed: int | None,
    json_file: Path | None,
    chart_folder: Path | None,
    foreign: tuple[Path, ...],
    preset: str | None,
    skip_unreadable: bool,
    escape_cost: float,
    overkill_cost: float,
    prevalence: float | None,
) -> None:
    """Measure a model on the held-out groups of the data it was trained from, or on what it learned from.

    The division is made again from the same folders and seed; if it is not the one that the model
    was trained with, that is said, for then training images may be among those tested.
    """
    inspector = Inspector(load_engine(model or load_settings().model))
    meta = inspector.metadata
    manifest = divide_again(data, meta, seed, skip_unreadable, preset)
    others = foreign_pictures(foreign)
    same = manifest.sha256 == meta.manifest_sha256
    samples = manifest.split(split)
    answers = inspect_samples(inspector, track(samples, "Measuring", console=_console))
    measured = measure(inspector, answers, samples, others)
    _print(measured, "Figures of what was learned from" if split == "train" else "Held-out figures")
    if json_file:
        write_text(
            json_file, json.dumps({"split": split, "same_manifest": same, **measured}, indent=1) + "\n"
        )
    if chart_folder:
        charts.draw_confusion(measured["confusion"], chart_folder)
        charts.draw_per_dataset(measured["datasets"], chart_folder)
        costs = Costs(escape_cost, overkill_cost, prevalence=prevalence)
        charts.draw_decisions(measured["curves"], meta.decision, costs, chart_folder)
        charts.draw_mistakes(inspector, real_answers(answers), chart_folder / "worst_mistakes.png")


def foreign_pictures(folders: Sequence[Path]) -> dict[str, Iterator[NDArray[np.uint8]]]:
    """The pictures of each folder by its name; where several have one name, by their paths."""
    often = Counter(folder.name for folder in folders)
    return {
        folder.name if folder.name and often[folder.name] == 1 else str(folder): _pictures(folder)
        for folder in folders
    }


def _pictures(folder: Path) -> Iterator[NDArray[np.uint8]]:
    """All readable pictures below ``folder``.

    Raises:
        DataError: there are none.
    """
    files = [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise DataError(f"There is no picture in {folder}. Name a folder with pictures of other things.")
    for file in files:
        yield read_image(file)


def _print(measured: dict[str, Any], title: str) -> None:
    columns = {**measured["datasets"], "overall": measured["overall"]}
    table = Table(title=f"{title}, with 95 % intervals")
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
            f"mAP {boards['map']:.3f}, F {boards['f']:.3f}; of {boards['good']} without a defect "
            f"{boards['good_rejected']} rejected, {boards['good_to_a_person']} to a person, "
            f"{boards['good_with_box']} with a box"
        )
    if held := measured["templates"]:
        boards = held["boards"]
        Console().print(
            f"Held against their templates: mAP {boards['map']:.3f}, F {boards['f']:.3f}; of "
            f"{held['regions']['n']} regions of these boards, with templates and without:"
        )
        for row in TEMPLATE_ROWS:
            with_one, without = (cell(held[name].get(row)) for name in ("regions", "regions_without"))
            Console().print(f"  {row} {with_one}; {without}")
    if unknown := measured["unknown"]:
        Console().print(
            f"Unknown: {unknown['known_called_unknown']:.1%} of the parts are called unknown, and "
            + "; ".join(
                f"{of['foreign_caught']:.1%} of {of['foreign']} {kind} pictures (AUROC {of['auroc']:.3f})"
                for kind, of in unknown["kinds"].items()
            )
        )
    for name, column in columns.items():
        if warning := few_defects_warning(column):
            Console().print(f"{name}: {warning}")
