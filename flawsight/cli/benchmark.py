"""``python -m flawsight benchmark``: the published figures, measured again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table

from flawsight.cli.division import divide_again
from flawsight.errors import FlawsightError
from flawsight.inspection.engines import load_engine
from flawsight.inspection.inspector import Inspector
from flawsight.inspection.torch_engine import TorchEngine
from flawsight.learning.calibrate import Reading, read_samples
from flawsight.learning.card import cell
from flawsight.learning.evaluate import inspect_samples
from flawsight.learning.fit import real_samples
from flawsight.learning.maps import compare_maps
from flawsight.learning.poolings import compare_poolings
from flawsight.learning.scales import compare_scales
from flawsight.learning.train import RESULTS, measure
from flawsight.metadata import ModelMetadata
from flawsight.settings import PROJECT_ROOT, load_settings

TOLERANCE = 0.005  # other processors round otherwise
CARD_PARTS = ("overall", "datasets", "classes", "boards", "templates", "unknown")  # of the results
_folder = click.Path(path_type=Path, file_okay=False)
_file = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.group()
def benchmark() -> None:
    """Measure again what the README and the model card say."""


@benchmark.command()
@click.option("--data", type=_folder, multiple=True, required=True, help="Data folder; may be repeated.")
@click.option("--model", type=_file, help="Model file; default: the shipped one.")
@click.option("--results", type=_file, default=PROJECT_ROOT / RESULTS, help="The figures to compare with.")
def accuracy(data: tuple[Path, ...], model: Path | None, results: Path) -> None:
    """Compare the model's published figures with new ones of the same test split.

    Ends with an error where one of them differs by more than 0.005.
    """
    published = json.loads(results.read_text(encoding="utf-8"))["test"]
    inspector = Inspector(load_engine(model or load_settings().model))
    samples = divide_again(data, inspector.metadata).split("test")
    answers = inspect_samples(inspector, track(samples, "Measuring", console=Console(stderr=True)))
    measured = json.loads(json.dumps(measure(inspector, answers, samples)))
    table = Table(title="Published and measured again")
    for name in ("figure", "published", "measured", "difference"):
        table.add_column(name, justify="left" if name == "figure" else "right")
    apart = 0
    new = dict(figures_of(measured))
    for name, old in figures_of(published):
        difference = abs(new[name] - old) if name in new else float("inf")
        apart += difference > TOLERANCE
        table.add_row(name, f"{old:.4f}", f"{new.get(name, float('nan')):.4f}", f"{difference:.4f}")
    Console().print(table)
    if apart:
        raise FlawsightError(
            f"{apart} figure(s) differ by more than {TOLERANCE}. Check that data and model are the same."
        )
    click.echo(f"All figures are within {TOLERANCE} of the published ones.")


@benchmark.command()
@click.option("--data", type=_folder, multiple=True, required=True, help="Data folder; may be repeated.")
@click.option("--model", type=_file, default=PROJECT_ROOT / "best_model_unified.pth", help="Torch model.")
def scales(data: tuple[Path, ...], model: Path) -> None:
    """Read the validation parts at native scale, enlarged, squeezed to squares, and with coarser cells."""
    engine = load_engine(model)
    if not isinstance(engine, TorchEngine):
        raise FlawsightError(f"{model} is no torch model. Name the .pth that training.py left.")
    samples = real_samples(divide_again(data, engine.metadata).split("val"))
    with TemporaryDirectory() as folder:
        rows = compare_scales(engine, samples, Path(folder))
    table = Table(title=f"{len(samples)} validation samples, the same weights")
    for name in ("way", "data", "defect AP", "pointing game", "MaxBoxAccV2", "forward ms"):
        table.add_column(name)
    keys = ("average_precision", "pointing_game", "max_box_acc_v2")
    for row in rows:
        for name, found in row["datasets"].items():
            table.add_row(row["way"], name, *(cell(found[key]) for key in keys), str(row["forward_ms"]))
    Console(width=180).print(table)


@benchmark.command()
@click.option("--data", type=_folder, multiple=True, required=True, help="Data folder; may be repeated.")
@click.option("--model", type=_file, help="Model file; default: the shipped one.")
def poolings(data: tuple[Path, ...], model: Path | None) -> None:
    """Turn cells into answers by mean, log-sum-exp and the most suspicious cells, on validation parts."""
    readings, meta = _validation(data, model)
    table = Table(title=f"{len(readings)} validation samples, the same weights")
    for name in ("way", "data", "defect AP", "balanced accuracy", "ECE of all", "NLL of all"):
        table.add_column(name)
    for row in compare_poolings(readings, meta):
        for name, found in row["datasets"].items():
            figures = (found.get("average_precision"), found["balanced_accuracy"], row["ece"], row["nll"])
            table.add_row(row["way"], name, *("–" if f is None else f"{f:.3f}" for f in figures))
    Console(width=140).print(table)


@benchmark.command()
@click.option("--data", type=_folder, multiple=True, required=True, help="Data folder; may be repeated.")
@click.option("--model", type=_file, help="Model file; default: the shipped one.")
def maps(data: tuple[Path, ...], model: Path | None) -> None:
    """Find the flaw by the map of the most probable defect and by that of all, on validation parts."""
    table = Table(title="Validation parts whose flaw has a place, the same weights")
    for name in ("map", "data", "parts", "pointing game", "MaxBoxAccV2"):
        table.add_column(name)
    for row in compare_maps(*_validation(data, model)):
        for name, found in row["datasets"].items():
            figures = (f"{found[key]:.3f}" for key in ("pointing_game", "max_box_acc_v2"))
            table.add_row(row["way"], name, str(found["n"]), *figures)
    Console(width=120).print(table)


def _validation(data: tuple[Path, ...], model: Path | None) -> tuple[list[Reading], ModelMetadata]:
    """What the network says of the real validation samples, and the model it is of."""
    engine = load_engine(model or load_settings().model)
    samples = real_samples(divide_again(data, engine.metadata).split("val"))
    return read_samples(engine, samples), engine.metadata


def figures_of(measured: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """(name, value) of every figure that the model card prints; their intervals follow from the answers."""
    for part in CARD_PARTS:
        yield from _numbers_in(measured.get(part) or {}, part)


def _numbers_in(found: Mapping[str, Any], name: str) -> Iterator[tuple[str, float]]:
    """Nested names joined; of a figure with its interval and counts, the value alone."""
    for key, value in found.items():
        number = value.get("value", value) if isinstance(value, dict) else value
        if isinstance(number, dict):
            yield from _numbers_in(number, f"{name}: {key}")
        elif isinstance(number, (int, float)):
            yield f"{name}: {key}", float(number)
