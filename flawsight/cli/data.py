"""``python -m flawsight data``: look at datasets, divide them, draw generated ones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from flawsight.data.adapters import find_samples
from flawsight.data.audit import Audit, Finding, audit
from flawsight.data.duplicates import Progress as Report
from flawsight.data.splits import SPLITS
from flawsight.errors import DataError

_SHOWN = 5  # lines listed under a finding; --json lists all

_folders = click.argument(
    "folders", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
_seed = click.option("--seed", default=0, show_default=True, help="Number that fixes every random choice.")
_skip = click.option(
    "--skip-unreadable", is_flag=True, help="Leave unreadable files out instead of stopping."
)


@click.group()
def data() -> None:
    """Audit, split and generate datasets."""


@data.command("audit")
@_folders
@_seed
@_skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
@click.pass_context
def audit_folders(
    context: click.Context, folders: tuple[Path, ...], seed: int, skip_unreadable: bool, as_json: bool
) -> None:
    """Say what is in the folders, what is wrong, and what a training run does about it.

    Every image is decoded. Exit code 0 means a run can start, 1 that something stops it.
    """
    result = _audit(folders, seed, skip_unreadable)
    if as_json:
        click.echo(json.dumps(result.to_dict(), indent=1))
    else:
        _print(result, Console())
    context.exit(0 if result.trainable else 1)


@data.command("split")
@_folders
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Manifest to write, a JSON file.")
@_seed
@_skip
def split_folders(folders: tuple[Path, ...], out: Path, seed: int, skip_unreadable: bool) -> None:
    """Divide the images into train, val and test without a leak, and write the manifest.

    Images of one origin (burst, board, copies of one picture) stay together.
    """
    result = _audit(folders, seed, skip_unreadable)
    console = Console()
    if result.manifest is None or not result.trainable:
        for finding in result.findings:
            if finding.stops:
                _print_finding(finding, console)
        raise DataError(f"No manifest was written to {out}: put the above right first.")
    result.manifest.save(out)
    console.print(_class_table(result))
    click.echo(f"Manifest {out}, SHA-256 {result.manifest.sha256}")


@data.command("generate")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--per-class", default=40, show_default=True, type=click.IntRange(min=1), help="Images of each class."
)
@_seed
def generate_images(out: Path, per_class: int, seed: int) -> None:
    """Draw all three families in their real layouts, with exact masks and boxes, into OUT."""
    from flawsight.data.generate import generate

    with _progress("Drawing") as report:
        generate(out, per_class, seed, report)
    click.echo(f"Generated images are in {out}.")


@data.command("samples")
@click.argument("out", type=click.Path(path_type=Path))
@_seed
def draw_samples(out: Path, seed: int) -> None:
    """Draw the sample pictures of the start page into OUT."""
    from flawsight.data.generate import write_samples

    write_samples(out, seed)
    click.echo(f"Sample images are in {out}.")


@data.command("corrections")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--instance", type=click.Path(path_type=Path), help="Folder of the history; by default the app's."
)
@click.option("--all", "confirmed", is_flag=True, help="Also what people confirmed.")
def export_corrections(out: Path, instance: Path | None, confirmed: bool) -> None:
    """Write the pictures that people corrected into OUT: one folder per class, with the boxes.

    OUT can then be trained on: `python training.py --data OUT`, beside the folders trained on before. What
    the command wrote into OUT earlier is replaced.
    """
    from flawsight.records import Store
    from flawsight.records.corrections import write_folder
    from flawsight.records.reviews import Reviews
    from flawsight.settings import load_settings

    with closing(Store(load_settings(instance=instance).instance, make=False)) as store:
        count = write_folder(Reviews(store), out, only_corrected=not confirmed)
    if not count:
        raise DataError("Nobody has corrected an inspection yet. Review some in the app, then try again.")
    click.echo(f"In {out}: {count} {'image' if count == 1 else 'images'} with what people said.")


def _audit(folders: Sequence[Path], seed: int, skip_unreadable: bool) -> Audit:
    samples = find_samples(folders)
    with _progress("Reading images") as report:
        return audit(samples, seed=seed, roots=folders, skip_unreadable=skip_unreadable, progress=report)


@contextmanager
def _progress(what: str) -> Iterator[Report]:
    """A bar on the error stream, where a person is watching; the output stays clean."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _print(result: Audit, console: Console) -> None:
    console.print(f"{result.images} images, {result.samples} samples", highlight=False)
    if result.manifest is not None:
        console.print(_dataset_table(result))
        console.print(_class_table(result))
    for finding in result.findings:
        _print_finding(finding, console)
    console.print(
        "[bold green]A training run can start.[/]"
        if result.trainable
        else "[bold red]A training run cannot start: put right what is marked STOP.[/]"
    )


def _dataset_table(result: Audit) -> Table:
    table = _table("Images, their sides in pixels, and groups: least-greatest (median)", "dataset")
    for name in ("images", "width", "height", "groups", "images a group", "mixed"):
        table.add_column(name, justify="right")
    for row in result.datasets:
        width, height, size = map(_spread, (row.width, row.height, row.group_size))
        table.add_row(
            escape(row.dataset), str(row.images), width, height, str(row.groups), size, str(row.mixed_groups)
        )
    return table


def _class_table(result: Audit) -> Table:
    table = _table("Samples of each class and split", "dataset")
    table.add_column("class", no_wrap=True)
    for name in ("images", "groups", "samples", *SPLITS):
        table.add_column(name, justify="right")
    before = ""
    for row in result.classes:
        if before and row.dataset != before:
            table.add_section()
        numbers = (row.images, row.groups, row.samples, *(row.splits[split] for split in SPLITS))
        dataset = row.dataset if row.dataset != before else ""
        table.add_row(escape(dataset), escape(row.class_id), *map(str, numbers))
        before = row.dataset
    return table


def _table(title: str, first: str) -> Table:
    return Table(
        first, title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
    )


def _spread(values: tuple[int, int, int]) -> str:
    least, middle, greatest = values
    return str(least) if least == greatest else f"{least}-{greatest} ({middle})"


def _print_finding(finding: Finding, console: Console) -> None:
    mark = "[bold red]STOP[/]" if finding.stops else "[bold yellow]note[/]"
    console.print(f"{mark} [bold]{escape(finding.what)}[/] {escape(finding.action)}", highlight=False)
    for line in finding.where[:_SHOWN]:
        console.print(f"       {escape(line)}", highlight=False, soft_wrap=True)
    if len(finding.where) > _SHOWN:
        console.print(f"       and {len(finding.where) - _SHOWN} more; --json lists all", highlight=False)
