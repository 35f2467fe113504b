"""``python -m flawsight train``, which is also ``python training.py``."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from click_option_group import optgroup
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import Progress, track

from flawsight.data.generate import generate
from flawsight.data.pictures import SWITCHES
from flawsight.data.samples import GENERATED_MARK
from flawsight.errors import FlawsightError
from flawsight.inspection.operating import Costs
from flawsight.learning.backbones import BACKBONES, HEADS, PRETRAINED, nearest_stride, packaged
from flawsight.learning.config import TrainConfig
from flawsight.learning.lab import cross_validation, in_words
from flawsight.learning.presets import DEFAULT, SHIPPED, fine_tuning, load_preset
from flawsight.learning.train import left_files
from flawsight.learning.train import train as run

DATASET = Path("Dataset")
DEMO = Path("demo_data")
DEMO_PER_CLASS = 40
DEMO_SEED = 7

_folder = click.Path(path_type=Path, file_okay=False)
_console = Console(stderr=True)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@optgroup.group("Product", help="What the parts are")
@optgroup.option(
    "--preset", default=DEFAULT, help=f"One of {', '.join(SHIPPED)}, or a .toml file; flags given here win."
)
@optgroup.group("Data", help="What to learn from")
@optgroup.option(
    "--data", type=_folder, multiple=True, help="Folder with DAGM/, Magnetic-Tile-Defect/, DeepPCB/ or class "
    "folders. May be repeated. Without it: Dataset/ if it is there, else generated images."
)  # fmt: skip
@optgroup.option(
    "--skip-unreadable", is_flag=True, help="Leave out files that cannot be decoded, instead of stopping."
)
@optgroup.option(
    "--leave-out",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Text file of pictures that shall teach nothing, say for contradictory labels: a path a line, as in "
    "the manifest. The division stays the same.",
)
@optgroup.option("--out", type=_folder, default=Path(), help="Where model, results and charts are left.")
@optgroup.group("Network", help="What learns")
@optgroup.option("--backbone", default="efficientnet-b0", help=f"One of: {', '.join(BACKBONES)}.")
@optgroup.option(
    "--stride", type=click.Choice(["16", "32"]), default="16", help="Pixels per cell of the class map."
)
@optgroup.option(
    "--head", type=click.Choice(HEADS), default=None, help="Layers behind the pooling; the backbone's own."
)
@optgroup.option(
    "--pretrained",
    type=click.Choice(list(PRETRAINED)),
    default=None,
    help=f"{'; '.join(f'{name}: {what}' for name, what in PRETRAINED.items())}. Default: lite0 where it fits "
    "and no --weights are named, else none. Beside --weights: what those began with, for the model card.",
)
@optgroup.option(
    "--weights", type=click.Path(path_type=Path, dir_okay=False), help="Start from this model file."
)
@optgroup.option(
    "--take",
    type=click.Choice(["best", "last"]),
    default="best",
    help="Weights of the epoch with the best validation score, or of the last one.",
)
@optgroup.option(
    "--keep-start",
    type=click.FloatRange(0, 1),
    default=0.0,
    help="Share of the weights begun with in those that are left; needs --weights.",
)
@optgroup.option(
    "--average-with",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Leave the mean of these weights and those of this model, of a run that began as this one did.",
)
@optgroup.option(
    "--prune",
    type=click.FloatRange(0, 0.9),
    default=0.0,
    help="In the end, do without this share of the channels of an EfficientNet's widest blocks: faster.",
)
@optgroup.group("Schedule", help="How it learns")
@optgroup.option("--epochs", type=click.IntRange(1), default=20, help="Most epochs.")
@optgroup.option(
    "--stop-after",
    type=click.IntRange(0),
    default=0,
    help="End after so many of them, before the learning rate is down; 0: after all.",
)
@optgroup.option(
    "--batches", type=click.IntRange(0), default=200, help="Batches in an epoch; 0: each picture once."
)
@optgroup.option("--batch-size", type=click.IntRange(4), default=24, help="Crops in a batch.")
@optgroup.option(
    "--image-size", type=click.IntRange(64), default=160, help="Side of a crop, pixels; multiple of 32."
)
@optgroup.option(
    "--min-side",
    type=click.IntRange(32),
    default=320,
    help="Small pictures are enlarged to so many pixels,",
)
@optgroup.option(
    "--max-enlargement", type=click.FloatRange(0), default=1.6, help="but no further than so many times."
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
    "--mining/--no-mining",
    default=True,
    help="Look more often where good parts look defective, see learning/mining.py.",
)
@optgroup.option(
    "--label-smoothing",
    type=click.FloatRange(0, 0.5),
    default=0.0,
    help="Share of each target that is spread over all classes.",
)
@optgroup.option(
    "--implants",
    type=click.IntRange(0),
    default=2,
    help="Pictures with a planted flaw made of each good training tile and board; 0 makes none.",
)
@optgroup.option("--class-weights", is_flag=True, help="Let rare classes weigh more in the loss.")
@optgroup.option(
    "--augment",
    type=click.Choice(SWITCHES),
    multiple=True,
    help="A change that whole pictures undergo; may be repeated. Only for presets that see them whole.",
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
    "--split-seed",
    type=int,
    help="Of the division into training, validation and test; default: --seed. Runs that are to be "
    "compared, or averaged, share it.",
)
@optgroup.option(
    "--run-name", help="Folder under runs/ for log, manifest and checkpoints; by default the preset's name."
)
@optgroup.option("--resume", is_flag=True, help="Go on where the run of this name was interrupted.")
@optgroup.option(
    "--finish", is_flag=True, help="Train no further: make the model from the best checkpoint so far."
)
@optgroup.option(
    "--tune",
    type=click.IntRange(0),
    default=0,
    help="First try so many other settings in short runs, then train with the best; stopped, it goes on.",
)
@optgroup.option("--tune-storage", metavar="URL", help="Database of the search; default: a file in the run.")
@optgroup.option(
    "--precision",
    type=click.Choice(["auto", "32-true", "bf16-mixed"]),
    default="auto",
    help="Numbers to compute with; auto takes bf16 where the processor has it.",
)
@optgroup.option("--workers", type=click.IntRange(0), default=0, help="Processes that prepare batches.")
@optgroup.group("Cross-validation", help="Instead of one run; goes on by itself when started again")
@optgroup.option("--folds", type=click.IntRange(2), help="Train so many times, each part validating once.")
@optgroup.option("--ensemble", is_flag=True, help="Also join the folds' networks into one model.")
@click.pass_context
def train(ctx: click.Context, /, **options: Any) -> None:
    """Train a classifier and leave a model that the web app serves.

    Leaves best_model_unified.pth and .onnx, results_unified.json, charts/ and
    gradcam_visualization_unified.png; another preset has its own name in place of "unified" and its charts
    in its run's folder. Stop it at any time; --resume goes on.
    """
    logging.basicConfig(format="%(message)s", handlers=[RichHandler(logging.INFO, _console, show_path=False)])
    trials, storage = options.pop("tune"), options.pop("tune_storage")
    config, costs, folds, ensemble = _settings(ctx, options)
    with _log_file(config.run_folder / "train.log"):
        if trials:
            config = _tuned(config, trials, storage)
        if folds:
            _cross_validate(config, costs, folds, ensemble)
            return
        model = run(config, costs, partial(track, description="Measuring", console=_console))
    left = left_files(config)
    click.echo(f"Model:   {model} and {model.with_suffix('.pth')}")
    click.echo(f"Results: {left.results}, {left.explanations} and the charts in {left.charts}")
    shipped = Path(config.preset).stem == DEFAULT and model.resolve().parent == Path.cwd()
    click.echo("Serve it with: python app.py" + ("" if shipped else f" --model {model}"))


def _settings(ctx: click.Context, options: dict[str, Any]) -> tuple[TrainConfig, Costs, int | None, bool]:
    """What the flags say, and where they are silent, the preset."""
    preset = load_preset(options["preset"])
    chosen = {**preset.training, **preset.costs}
    for name in options.keys() & chosen.keys():
        if ctx.get_parameter_source(name) == ParameterSource.DEFAULT:
            options[name] = chosen[name]
    options = {**preset.training, **options}
    costs = Costs(*(options.pop(f"{name}_cost") for name in ("escape", "overkill", "review")))
    costs = replace(costs, prevalence=options.pop("prevalence"))
    if options["image_size"] % 32:
        raise FlawsightError(
            f"--image-size {options['image_size']} is not a multiple of 32; 160 is a good choice."
        )
    if not options["batches"] and options.get("view") != "whole":
        raise FlawsightError("--batches 0 is for presets that see whole pictures; name a number of batches.")
    options["stride"] = int(options["stride"])
    if ctx.get_parameter_source("stride") == ParameterSource.DEFAULT:
        options["stride"] = nearest_stride(options["backbone"], options["stride"])
    if options["pretrained"] is None:
        options["pretrained"] = "none" if options["weights"] else packaged(options["backbone"])
    options["head"] = options["head"] or ""
    options["run_name"] = options["run_name"] or preset.name
    options["data"] = tuple(options["data"]) or _default_data(preset.name)
    folds, ensemble = options.pop("folds"), options.pop("ensemble")
    return fine_tuning(TrainConfig(**options)), costs, folds, ensemble


def _cross_validate(config: TrainConfig, costs: Costs, folds: int, ensemble: bool) -> None:
    study = cross_validation(config, costs, folds, ensemble)
    for line in in_words(study.content):
        click.echo(line)
    click.echo(f"Figures and charts: {study.file}")


def _tuned(config: TrainConfig, trials: int, storage: str | None) -> TrainConfig:
    from flawsight.learning.tune import tune  # Optuna is loaded only for a search

    config, score = tune(config, trials, storage)
    click.echo(f"Best validation score of the search: {score:.4f}. Training with its settings ...", err=True)
    return config


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


def _default_data(preset: str) -> tuple[Path, ...]:
    """``Dataset/``, or images drawn for a demonstration; other products have no pictures of their own."""
    if preset != DEFAULT:
        raise FlawsightError(f"The preset {preset} needs pictures; name their folder with --data.")
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
