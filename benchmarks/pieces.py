"""What more pieces would be worth: the same short run on a share of the training groups.

    PYTHONPATH=. python benchmarks/pieces.py --data DIR --steps 400 --repeat 2 --out FOLDER

A group (burst of a tile, board, near-duplicates) is one piece, however many photographs it has. Smaller
shares are parts of the larger ones of the same repetition; each class keeps its share of the groups, and
at least one. Every run sees equally many crops and is read on all validation parts. What is done is not
repeated.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
from levers import FIGURES, SIZE, trained_and_read
from rich.console import Console
from rich.table import Table

from flawsight.data.splits import Manifest
from flawsight.learning.card import cell
from flawsight.learning.config import TrainConfig
from flawsight.learning.fit import prepare_data, real_samples

SHARES = (0.25, 0.5, 0.75, 1.0)
EPOCHS, BATCH = 2, 32


@click.command()
@click.option("--data", type=click.Path(path_type=Path), multiple=True, required=True, help="Data folder.")
@click.option("--steps", type=click.IntRange(2), default=400, show_default=True, help="Of each run.")
@click.option("--repeat", type=click.IntRange(1), default=2, show_default=True, help="Runs of each share.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the runs.")
def pieces(data: tuple[Path, ...], steps: int, repeat: int, out: Path) -> None:
    """Train with each share of the groups and print the table."""
    logging.getLogger("flawsight").setLevel(logging.INFO)
    base = TrainConfig(
        data=data, out=out, epochs=EPOCHS, batches=steps // EPOCHS, batch_size=BATCH, image_size=SIZE,
        learning_rate=8e-4, pretrained="lite0", implants=4, patience=0, split_seed=0,
    )  # fmt: skip
    manifest = prepare_data(base)
    table = Table(title=f"{steps} steps each, {len(real_samples(manifest.split('val')))} validation parts")
    for name in ("share", "groups", "pictures", "run", "data", *FIGURES):
        table.add_column(name)
    for seed in range(repeat):
        for share in SHARES:
            part = some_groups(manifest, share, seed)
            run = replace(base, run_name=f"share-{share:.2f}-{seed}", seed=seed)
            row = trained_and_read(run, part)
            train = [entry for entry in part.entries if entry.split == "train"]
            size = str(len({entry.group for entry in train})), str(len(train))
            for name, found in row["datasets"].items():
                table.add_row(f"{share:.2f}", *size, str(seed), name, *(cell(found[key]) for key in FIGURES))
    Console(width=170).print(table)


def some_groups(manifest: Manifest, share: float, seed: int) -> Manifest:
    """The manifest with a share of the training groups of each class; validation and test as they are."""
    classes: dict[tuple[str, str], set[str]] = defaultdict(set)
    for entry in manifest.entries:
        if entry.split == "train":
            classes[entry.dataset, entry.label].add(entry.group)
    chosen: set[str] = set()
    for groups in classes.values():
        shuffled = np.random.default_rng(seed).permutation(sorted(groups))
        chosen.update(shuffled[: math.ceil(share * len(groups))])
    kept = [
        (entry, sample)
        for entry, sample in zip(manifest.entries, manifest.samples, strict=True)
        if entry.split != "train" or entry.group in chosen
    ]
    entries, samples = zip(*kept, strict=True)
    return replace(manifest, entries=entries, samples=samples)


if __name__ == "__main__":
    pieces()
