"""``python -m flawsight show``: random pictures with what a model says of them and what they are."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from flawsight.data.adapters import find_samples
from flawsight.errors import DataError
from flawsight.inspection.engines import load_engine
from flawsight.inspection.inspector import Inspector
from flawsight.learning.charts import draw_explanations
from flawsight.learning.presets import DEFAULT, load_preset

_file = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("model", type=_file)
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), multiple=True, required=True,
    help="Folder with labelled pictures; may be repeated.",
)  # fmt: skip
@click.option("--preset", default=DEFAULT, help="The preset that MODEL was trained with.")
@click.option("--count", type=click.IntRange(1, 40), default=8, show_default=True, help="So many pictures.")
@click.option("--seed", type=int, help="The same number shows the same pictures.")
@click.option("--out", type=_file, default=Path("predictions.png"), show_default=True, help="The picture.")
def show(model: Path, data: tuple[Path, ...], preset: str, count: int, seed: int | None, out: Path) -> None:
    """Draw random pictures of DATA with MODEL's answer, its heat map and the truth."""
    inspector = Inspector(load_engine(model))
    samples = load_preset(preset).relabel(find_samples(data))
    known = [sample for sample in samples if sample.class_id in inspector.metadata.classes]
    if not known:
        raise DataError(f"{model} knows none of the classes there. Name the preset it was trained with.")
    chosen = np.random.default_rng(seed).permutation(len(known))[:count]
    shown = [known[i] for i in chosen]
    draw_explanations(inspector, shown, out)
    click.echo(f"{len(shown)} of {len(known)} pictures: {out}")
