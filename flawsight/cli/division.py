"""The division into splits that a model was trained with, made again by the commands that measure it."""

from __future__ import annotations

from pathlib import Path

import click

from flawsight.data.splits import Manifest
from flawsight.errors import DataError
from flawsight.learning.config import TrainConfig
from flawsight.learning.fit import prepare_data
from flawsight.metadata import ModelMetadata


def divide_again(
    data: tuple[Path, ...], meta: ModelMetadata, seed: int | None = None, skip_unreadable: bool = False
) -> Manifest:
    """The division of ``data`` as the model's training made it; says so where it is another one.

    Raises:
        DataError: there are classes that the model does not know.
    """
    seed = meta.seed if seed is None else seed
    manifest = prepare_data(TrainConfig(data=data, seed=seed, skip_unreadable=skip_unreadable))
    strange = sorted({s.class_id for s in manifest.samples} - set(meta.classes))
    if strange:
        raise DataError(
            f"The model does not know the classes {', '.join(strange)}. It knows: {', '.join(meta.classes)}."
        )
    if manifest.sha256 != meta.manifest_sha256:
        click.secho(
            "Note: these folders are not the ones the model was trained from, or have changed.",
            fg="yellow",
            err=True,
        )
    return manifest
