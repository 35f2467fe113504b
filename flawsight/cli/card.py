"""``python -m flawsight card``: the model card, from the results of a run."""

from __future__ import annotations

import json
from pathlib import Path

import click

from flawsight.atomic import write_text
from flawsight.errors import FlawsightError
from flawsight.learning.card import model_card
from flawsight.learning.presets import DEFAULT
from flawsight.settings import PROJECT_ROOT


@click.command()
@click.option(
    "--results",
    type=click.Path(path_type=Path, dir_okay=False),
    default=PROJECT_ROOT / "results_unified.json",
    help="Results of the run; by default those of the shipped model.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=PROJECT_ROOT / "MODEL_CARD.md",
    help="Where the card is written; by default MODEL_CARD.md of the project.",
)
def card(results: Path, out: Path) -> None:
    """Write the model card of the unified model with the figures of a training run."""
    if not results.is_file():
        raise FlawsightError(f"There are no results at {results}. Make them with `python training.py`.")
    try:
        found = json.loads(results.read_text(encoding="utf-8"))
        preset = found["config"]["preset"]
        text = model_card(found) if preset == DEFAULT else ""
    except (ValueError, TypeError, AttributeError, LookupError):
        raise FlawsightError(
            f"{results} holds no results of a training, or not all of them. Name a results_*.json."
        ) from None
    if preset != DEFAULT:
        raise FlawsightError(
            f"The card tells of the data and limits of the {DEFAULT} model; {results.name} is of {preset}. "
            "Write one for it by hand: `python -m flawsight show` prints its figures."
        )
    write_text(out, text)
    click.echo(f"Wrote {out.name}.")
