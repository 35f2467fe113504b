"""``python -m flawsight verify``: whether the history still says what was filed."""

from __future__ import annotations

import json
import sys
from contextlib import closing, nullcontext
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress, TaskID

from flawsight.records.store import Store
from flawsight.records.verify import LISTED, parse_head
from flawsight.records.verify import verify as verify_store
from flawsight.settings import load_settings

PHASES = {"records": "Records", "files": "Pictures"}


@click.command()
@click.option(
    "--instance",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder of the server's database, as FLAWSIGHT_INSTANCE.",
)
@click.option("--quick", is_flag=True, help="Check the records only, without hashing every picture again.")
@click.option(
    "--head", "kept", metavar="LINK:HASH",
    help="A head that was kept elsewhere, as printed in a PDF: the chain must still hold it.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of words.")
def verify(instance: Path | None, quick: bool, kept: str | None, as_json: bool) -> None:
    """Find whatever was altered, removed, inserted or put in another order since it was filed.

    The exit code is 0 if all is as it was filed, else 1. It may run while the server does. A chain that
    somebody rebuilt from some point on is only found with a head that was kept elsewhere (--head).
    """
    expect = parse_head(kept) if kept else None
    console = Console(stderr=True)
    with (
        closing(Store(load_settings(instance=instance).instance, make=False)) as store,
        Progress(console=console, transient=True) if console.is_terminal else nullcontext() as bar,
    ):
        tasks: dict[str, TaskID] = {}

        def show(phase: str, done: int, total: int) -> None:
            if bar is None:
                return
            if phase not in tasks:
                tasks[phase] = bar.add_task(PHASES[phase], total=total)
            bar.update(tasks[phase], completed=done, total=total)

        result = verify_store(store, files=not quick, expect=expect, progress=show)
    if as_json:
        click.echo(json.dumps(result.to_dict(), indent=1))
    else:
        for finding in result.findings:
            click.echo(finding.text)
        if result.count > LISTED:
            click.echo(f"... and {result.count - LISTED:,} more.")
        looked = f"{result.links:,} links, {result.inspections:,} inspections, {result.files:,} files"
        said = "All is as it was filed" if result.ok else f"NOT as it was filed: {result.count:,} findings"
        click.echo(f"{said} ({looked}, {result.seconds:.1f} s).")
        click.echo(f"Head: {result.head}")
    sys.exit(0 if result.ok else 1)
