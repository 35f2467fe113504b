"""The division into splits that a model was trained with, made again by the commands that measure it."""

from __future__ import annotations

from pathlib import Path

import click

from flawsight.data.splits import Manifest
from flawsight.errors import DataError
from flawsight.learning.config import TrainConfig
from flawsight.learning.fit import prepare_data
from flawsight.learning.presets import DEFAULT, SHIPPED
from flawsight.metadata import ModelMetadata

preset_option = click.option(
    "--preset",
    metavar="FILE",
    help="Of the training, if it was a file of your own; the model knows the others.",
)


def divide_again(
    data: tuple[Path, ...],
    meta: ModelMetadata,
    seed: int | None = None,
    skip_unreadable: bool = False,
    preset: str | None = None,
) -> Manifest:
    """The division of ``data`` as the model's training made it; says so where it is another one.

    ``preset`` is that of the training; by default the model says which, if it is a shipped one.

    Raises:
        DataError: there are classes that the model does not know.
    """
    seed = meta.seed if seed is None else seed
    own = meta.product.get("preset", DEFAULT)
    preset = preset or (own if own in SHIPPED else DEFAULT)
    manifest = prepare_data(TrainConfig(data=data, seed=seed, skip_unreadable=skip_unreadable, preset=preset))
    strange = sorted({s.class_id for s in manifest.samples} - set(meta.classes))
    if strange:
        raise DataError(
            f"The model does not know the classes {', '.join(strange)}. It knows: {', '.join(meta.classes)}. "
            "If it was trained with a preset of your own, name that with --preset."
        )
    if manifest.sha256 != meta.manifest_sha256:
        click.secho(
            "Note: these folders are not the ones the model was trained from, or have changed.",
            fg="yellow",
            err=True,
        )
    return manifest
