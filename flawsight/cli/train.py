"""``python -m flawsight train``, which is also ``python training.py``."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
from click_option_group import optgroup
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import Progress, track

from flawsight.data.generate import generate
from flawsight.data.samples import GENERATED_MARK
from flawsight.errors import FlawsightError
from flawsight.inspection.operating import Costs
from flawsight.learning.backbones import BACKBONES
from flawsight.learning.config import TrainConfig
from flawsight.learning.train import EXPLANATIONS, MODEL, RESULTS
from flawsight.learning.train import train as run

DATASET = Path("Dataset")
DEMO = Path("demo_data")
DEMO_PER_CLASS = 40
DEMO_SEED = 7

_folder = click.Path(path_type=Path, file_okay=False)
_console = Console(stderr=True)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@optgroup.group("Data", help="What to learn from")
@optgroup.option(
    "--data", type=_folder, multiple=True, help="Folder with DAGM/, Magnetic-Tile-Defect/, DeepPCB/ or class "
    "folders. May be repeated. Without it: Dataset/ if it is there, else generated images."
)  # fmt: skip
@optgroup.option(
    "--skip-unreadable", is_flag=True, help="Leave out files that cannot be decoded, instead of stopping."
)
@optgroup.option("--out", type=_folder, default=Path(), help="Where model, results and charts are left.")
@optgroup.group("Network", help="What learns")
@optgroup.option("--backbone", default="efficientnet-b0", help=f"One of: {', '.join(BACKBONES)}.")
@optgroup.option(
    "--stride", type=click.Choice(["16", "32"]), default="16", help="Pixels per cell of the class map."
)
@optgroup.option(
    "--pretrained", type=click.Choice(["none", "imagenet"]), default="none", help="imagenet downloads."
)
@optgroup.option(
    "--weights", type=click.Path(path_type=Path, dir_okay=False), help="Start from this model file."
)
@optgroup.group("Schedule", help="How it learns")
@optgroup.option("--epochs", type=click.IntRange(1), default=20, help="Most epochs.")
@optgroup.option("--batches", type=click.IntRange(1), default=200, help="Batches in an epoch.")
@optgroup.option("--batch-size", type=click.IntRange(4), default=24, help="Crops in a batch.")
@optgroup.option(
    "--image-size", type=click.IntRange(64), default=160, help="Side of a crop, pixels; multiple of 32."
)
@optgroup.option("--learning-rate", type=float, default=1.5e-3, help="Peak learning rate of AdamW.")
@optgroup.option("--weight-decay", type=float, default=1e-2, help="Weight decay of AdamW.")
@optgroup.option(
    "--schedule", type=click.Choice(["cosine", "plateau"]), default="cosine", help="Of the learning rate."
)
@optgroup.option(
    "--ema-decay", type=float, default=0.998, help="Of the averaged weights, which are the ones kept."
)
@optgroup.option(
    "--patience",
    type=click.IntRange(0),
    default=8,
    help="Stop after so many epochs without gain; 0 never does.",
)
@optgroup.option(
    "--map-loss", type=float, default=1.0, help="Weight of masks and boxes; 0 uses image labels only."
)
@optgroup.option(
    "--implants",
    type=click.IntRange(0),
    default=2,
    help="Pictures with a planted flaw made of each good training tile and board; 0 makes none.",
)
@optgroup.group("Decision", help="Prices for choosing thresholds on the validation split")
@optgroup.option("--escape-cost", type=float, default=20.0, help="A defective part is accepted.")
@optgroup.option("--overkill-cost", type=float, default=1.0, help="A good part is rejected.")
@optgroup.option("--review-cost", type=float, default=0.25, help="A person has to look.")
@optgroup.option(
    "--prevalence", type=click.FloatRange(0, 1), help="Share of defective parts; default: the data's."
)
@optgroup.group("Run", help="Repeatable and resumable")
@optgroup.option("--seed", type=int, default=0, help="Of everything random.")
@optgroup.option(
    "--run-name", default="unified", help="Folder under runs/ for log, manifest and checkpoints."
)
@optgroup.option("--resume", is_flag=True, help="Go on where the run of this name was interrupted.")
@optgroup.option(
    "--finish", is_flag=True, help="Train no further: make the model from the best checkpoint so far."
)
@optgroup.option(
    "--precision",
    type=click.Choice(["auto", "32-true", "bf16-mixed"]),
    default="auto",
    help="Numbers to compute with; auto takes bf16 where the processor has it.",
)
@optgroup.option("--workers", type=click.IntRange(0), default=0, help="Processes that prepare batches.")
def train(**options: Any) -> None:
    """Train a unified classifier and leave a model that the web app serves.

    Leaves best_model_unified.pth and .onnx, results_unified.json, charts/ and
    gradcam_visualization_unified.png. Stop it at any time; --resume goes on.
    """
    logging.basicConfig(format="%(message)s", handlers=[RichHandler(logging.INFO, _console, show_path=False)])
    costs = Costs(
        options.pop("escape_cost"),
        options.pop("overkill_cost"),
        options.pop("review_cost"),
        options.pop("prevalence"),
    )
    if options["image_size"] % 32:
        raise FlawsightError(
            f"--image-size {options['image_size']} is not a multiple of 32; 160 is a good choice."
        )
    options["stride"] = int(options["stride"])
    options["data"] = tuple(options["data"]) or _default_data()
    config = TrainConfig(**options)
    with _log_file(config.run_folder / "train.log"):
        model = run(config, costs, partial(track, description="Measuring", console=_console))
    out = options["out"]
    click.echo(f"Model:   {model} and {out / MODEL}.pth")
    click.echo(f"Results: {out / RESULTS}, {out / EXPLANATIONS} and the charts in {out / 'charts'}")
    click.echo("Serve it with: python app.py")


@contextmanager
def _log_file(path: Path) -> Iterator[None]:
    """Append all that the program says, epochs and errors included, to ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("flawsight")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    try:
        yield
    except Exception as error:
        logger.debug("Stopped: %s", error, exc_info=not isinstance(error, FlawsightError))
        raise
    finally:
        logger.removeHandler(handler)
        handler.close()


def _default_data() -> tuple[Path, ...]:
    """``Dataset/``, or images drawn for a demonstration."""
    if DATASET.is_dir():
        return (DATASET,)
    if not (DEMO / GENERATED_MARK).is_file():
        click.echo(
            f"There is no {DATASET}/ folder: drawing images for a demonstration into {DEMO}/ ...", err=True
        )
        with Progress(console=_console) as bar:
            task = bar.add_task("Drawing")
            generate(
                DEMO,
                DEMO_PER_CLASS,
                DEMO_SEED,
                lambda done, total: bar.update(task, completed=done, total=total),
            )
    click.echo(
        f"Training on the generated images in {DEMO}/. The model will know drawn parts only; "
        "name real ones with --data DIR.",
        err=True,
    )
    return (DEMO,)
