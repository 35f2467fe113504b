"""``python -m flawsight compare``, ``ablate`` and ``sweep``: studies of several runs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.logging import RichHandler

from flawsight.errors import FlawsightError
from flawsight.inspection.operating import Costs
from flawsight.learning.backbones import BACKBONES, PRETRAINED, nearest_stride
from flawsight.learning.config import TrainConfig
from flawsight.learning.lab import (
    BATCH_SIZES,
    FACTORS,
    THRESHOLDS,
    Study,
    ablation,
    comparison,
    in_words,
    threshold_sweep,
)
from flawsight.learning.presets import SHIPPED, fine_tuning, load_preset

_OPTIONS = [
    click.option("--preset", required=True, help=f"One of {', '.join(SHIPPED)}, or a .toml file."),
    click.option(
        "--data", type=click.Path(path_type=Path, file_okay=False), multiple=True, required=True,
        help="Folder with the pictures; may be repeated.",
    ),
    click.option("--name", help="Folder under runs/; a study that was cut off goes on there."),
    click.option("--repeat", type=click.IntRange(1), default=1, show_default=True, help="Runs of each."),
    click.option("--epochs", type=click.IntRange(1), help="Instead of the preset's."),
    click.option("--image-size", type=click.IntRange(64), help="Instead of the preset's; multiple of 32."),
    click.option("--batch-size", type=click.IntRange(4), help="Instead of the preset's."),
    click.option("--batches", type=click.IntRange(0), help="In an epoch, instead of the preset's."),
    click.option("--backbone", help="Of the base, instead of the preset's."),
    click.option("--pretrained", type=click.Choice(list(PRETRAINED)), help="As of train; none by default."),
    click.option("--weights", type=click.Path(path_type=Path, dir_okay=False), help="All start from these."),
    click.option("--seed", type=int, default=0, show_default=True, help="Of everything random."),
    click.option(
        "--out", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="Where runs/ is."
    ),
]  # fmt: skip


def _settings(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command()
@click.option("--backbones", required=True, help=f"Separated by commas: {', '.join(BACKBONES)}.")
@click.option(
    "--time-batches", default=",".join(map(str, BATCH_SIZES)), show_default=True,
    help="Batch sizes whose epochs are timed; empty for none.",
)  # fmt: skip
@_settings
def compare(backbones: str, time_batches: str, repeat: int, **options: Any) -> None:
    """Train several backbones on the same division, and say which differences are real.

    Leaves runs/NAME/comparison.json with charts and all models. Started again, it goes on.
    """
    names = _list(backbones)
    config, costs = _config("backbones", options)
    _report(comparison(config, costs, names, repeat, _numbers(time_batches, int)))


@click.command()
@click.option(
    "--what", type=click.Choice(FACTORS), required=True, help="What is changed, one step at a time."
)
@click.option("--backbones", default="", help="For --what backbone, separated by commas.")
@click.option(
    "--batch-sizes", default=",".join(map(str, BATCH_SIZES)), show_default=True, help="For --what batch-size."
)
@_settings
def ablate(what: str, backbones: str, batch_sizes: str, repeat: int, **options: Any) -> None:
    """Change one thing of a preset at a time, and say what it is worth."""
    config, costs = _config(what, options)
    _report(ablation(config, costs, what, repeat, _list(backbones), _numbers(batch_sizes, int)))


@click.command()
@click.option(
    "--thresholds", default=",".join(map(str, THRESHOLDS)), show_default=True, help="Separated by commas."
)
@_settings
def sweep(thresholds: str, repeat: int, **options: Any) -> None:
    """Accuracy, recall, F1 and cost by the threshold from which a part is rejected, over repeated runs."""
    config, costs = _config("thresholds", options)
    _report(threshold_sweep(config, costs, repeat, _numbers(thresholds, float)))


def _config(suffix: str, options: dict[str, Any]) -> tuple[TrainConfig, Costs]:
    """The preset's settings with what the flags say instead."""
    logging.basicConfig(
        format="%(message)s", handlers=[RichHandler(logging.INFO, Console(stderr=True), show_path=False)]
    )
    logging.getLogger("flawsight").setLevel(logging.INFO)
    preset = load_preset(options["preset"])
    name = options.pop("name")
    given = {key: value for key, value in options.items() if value is not None}
    config = TrainConfig(**{**preset.training, **given, "run_name": name or f"{preset.name}-{suffix}"})
    if config.backbone != preset.training.get("backbone"):
        config = replace(config, stride=nearest_stride(config.backbone, config.stride))
    if config.image_size % 32:
        raise FlawsightError(f"--image-size {config.image_size} is not a multiple of 32; try 224.")
    prices = {key.removesuffix("_cost"): value for key, value in preset.costs.items()}
    return fine_tuning(config), Costs(**prices)


def _report(study: Study) -> None:
    for line in in_words(study.content):
        click.echo(line)
    click.echo(f"Figures and charts: {study.file}")


def _list(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _numbers(text: str, kind: Callable[[str], Any]) -> list[Any]:
    try:
        return [kind(part) for part in _list(text)]
    except ValueError:
        raise FlawsightError(f"{text!r} is no list of numbers separated by commas.") from None
