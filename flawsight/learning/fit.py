"""One training run: data in, checkpoints out. Interrupted at any moment, it can be resumed."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.plugins import TorchCheckpointIO
from torch.optim.swa_utils import update_bn
from torch.utils.data import DataLoader

from flawsight.atomic import replacing, write_text
from flawsight.data.adapters import ADAPTERS, find_samples
from flawsight.data.augment import Augmentation
from flawsight.data.crops import CropDataset, CropSampler
from flawsight.data.duplicates import near_duplicates
from flawsight.data.implants import implant
from flawsight.data.pictures import PictureDataset, PictureSampler
from flawsight.data.samples import GENERATED, Sample, family
from flawsight.data.splits import SPLITS, Manifest, into_folds, make_manifest
from flawsight.data.whole import WholeDataset, one_by_one
from flawsight.errors import DataError, FlawsightError
from flawsight.imaging import read_image
from flawsight.inspection.engines import load_engine
from flawsight.inspection.torch_engine import TorchEngine
from flawsight.learning.backbones import CamNet, build, check_name, load_imagenet, load_lite0, load_weights
from flawsight.learning.config import AFTERWARDS, LATER, TrainConfig
from flawsight.learning.mining import suspects
from flawsight.learning.module import Classifier, averaging
from flawsight.learning.narrow import check_prunable
from flawsight.learning.phases import last_begin
from flawsight.learning.presets import DEFAULT, Preset, load_preset
from flawsight.metadata import Decision, ModelMetadata, Preprocessing
from flawsight.taxonomy import describe, load_taxonomy

log = logging.getLogger(__name__)

NORM_BATCHES = 16  # that set the batch norms of packaged weights


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints that are written whole or not at all.

    Lightning's own way over the folder for temporary files is a copy where that is another disk.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        with replacing(Path(path)) as temporary:
            torch.save(checkpoint, temporary)


class StopInLastPhase(EarlyStopping):
    """Early stopping that waits for the last phase: before it, most layers have not learned at all."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__("val_score", mode="max", patience=config.patience, check_on_train_epoch_end=False)
        self._begin = last_begin(config.phases) * config.epochs

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.current_epoch >= self._begin:
            super().on_validation_end(trainer, pl_module)


@dataclass(frozen=True)
class FitResult:
    """What ``fit`` leaves: the best weights and everything needed to measure and export them."""

    net_state: dict[str, torch.Tensor]
    metadata: ModelMetadata
    manifest: Manifest
    history: Path  # CSV with one row per logged epoch; those before an interruption lie beside it


def prepare_data(config: TrainConfig) -> Manifest:
    """Find, check, group and divide the images.

    Raises:
        DataError: an image cannot be decoded (all of them are listed), or a split lacks images.
    """
    samples, copies = find_pictures(config)
    return divide(config, samples, copies)


def find_pictures(config: TrainConfig) -> tuple[list[Sample], list[tuple[Path, Path]]]:
    """The samples under the preset's classes, and the pairs of files that are near copies.

    Raises:
        DataError: an image cannot be decoded (all of them are listed), or has a class of no preset.
    """
    samples = load_preset(config.preset).relabel(find_samples(config.data))
    unreadable = _unreadable(samples)
    if unreadable and not config.skip_unreadable:
        listed = "\n  ".join(f"{path}: {reason}" for path, reason in unreadable.items())
        raise DataError(
            f"{len(unreadable)} image(s) cannot be read:\n  {listed}\n"
            "Replace or remove them, or leave them out with --skip-unreadable."
        )
    samples = [
        replace(s, template=None) if s.template in unreadable else s
        for s in samples
        if s.path not in unreadable and s.mask not in unreadable
    ]
    return samples, [(a, b) for a, b, _ in near_duplicates(sorted({s.path for s in samples}))]


def divide(config: TrainConfig, samples: list[Sample], copies: list[tuple[Path, Path]]) -> Manifest:
    """The division that ``config`` asks for.

    Raises:
        DataError: a split lacks images.
    """
    manifest = make_manifest(samples, config.division, config.data, copies)
    if config.folds:
        manifest = into_folds(manifest, config.folds, config.fold)
    for split in SPLITS:
        if not manifest.split(split):
            raise DataError(
                f"No group of images is left for the {split} split. Add images from more parts, so that "
                "training, validation and test each get their own."
            )
    return manifest


def model_classes(samples: list[Sample], preset: Preset | None = None) -> tuple[str, ...]:
    """The class list of a model: the preset's, the taxonomy for the unified families, else what is there."""
    # A class may have boxes beside those of others only, and be the main one of no picture.
    present = {s.class_id for s in samples} | {box.class_id for s in samples for box in s.boxes}
    if preset and preset.classes:
        return tuple(name for name in preset.classes if name in present)
    families, unified = {family(s.dataset) for s in samples}, load_taxonomy()
    if families <= set(ADAPTERS) and present <= unified.keys():
        return tuple(unified)
    return tuple(sorted(present))


def fit(
    config: TrainConfig, manifest: Manifest | None = None, callbacks: Sequence[Callback] = ()
) -> FitResult:
    """Train, or go on with an interrupted run, and return the averaged weights of the epoch to take.

    ``manifest`` is the division, where it is known already; ``callbacks`` watch beside the usual ones.

    Raises:
        DataError, ModelError: see ``prepare_data`` and ``backbones``.
        FlawsightError: ``resume`` names a run that was started with other data.
    """
    check_name(config.backbone)  # reading all images takes minutes; say this first
    L.seed_everything(config.seed, verbose=False)
    manifest = manifest or prepare_data(config)
    folder = config.run_folder
    last, history = folder / "checkpoints" / "last.ckpt", folder / "csv" / "metrics.csv"
    _settle_run_folder(config, manifest, last)
    for half in last.parent.glob(".*.ckpt"):  # left by a run that was killed while it wrote
        half.unlink()

    metadata = initial_metadata(config, manifest)
    train, validation = teaching_samples(manifest, config.leave_out), real_samples(manifest.split("val"))
    net = build(config.backbone, len(metadata.classes), config.stride, config.head)
    if config.weights:
        load_weights(net, config.weights)
    elif config.pretrained == "imagenet":
        load_imagenet(net, config.backbone)
    elif config.pretrained == "lite0":
        load_lite0(net, config.backbone)

    if config.prune:
        check_prunable(net)
    goes_on = config.finish or (config.resume and last.is_file())
    start = last.with_name("start.ckpt")
    if config.weights and not goes_on:  # the file itself may be written over when the run is over
        start.parent.mkdir(parents=True, exist_ok=True)
        torch.save(net.state_dict(), start)
    if config.keep_start and not start.is_file():  # say so before hours of training
        raise FlawsightError("--keep-start needs a run that began with --weights.")
    other = _weights_like(net, metadata, config.average_with) if config.average_with else None
    if config.implants and not config.finish:
        train = train + implant(train, folder / "implants", config.seed, config.implants, log.info)

    dataset, sampler = _training_batches(config, metadata, train, net)
    wholes = WholeDataset(validation, metadata.classes, metadata.preprocessing, config.stride)
    loaders = (
        DataLoader(
            dataset, batch_sampler=sampler, num_workers=config.workers, persistent_workers=config.workers > 0
        ),
        DataLoader(wholes, batch_size=1, collate_fn=one_by_one, num_workers=0),
    )
    if config.pretrained == "lite0" and not config.weights and not goes_on:
        # Its batch norms expect another activation and other pictures; frozen ones would stay wrong.
        update_bn((batch["image"] for batch in islice(loaders[0], NORM_BATCHES)), net)
    module = Classifier(
        net.to(memory_format=torch.channels_last),
        metadata,
        config,
        [s.dataset for s in validation],
        config.epochs * len(sampler),
        class_balance(train, metadata.classes),
    )
    _quieten_lightning()
    trainer = L.Trainer(
        default_root_dir=folder,
        max_epochs=min(config.stop_after or config.epochs, config.epochs),
        precision=_precision(config.precision),
        plugins=[WholeCheckpoints()],
        callbacks=[*_callbacks(config), *callbacks],
        logger=[
            TensorBoardLogger(folder, name="", version="tensorboard"),
            CSVLogger(folder, name="", version="csv"),
        ],
        gradient_clip_val=2.0,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,  # ours knows of several devices
        log_every_n_steps=min(50, len(sampler)),
        enable_model_summary=False,
    )
    if not config.finish:
        _set_history_aside(history)
        going_on = config.resume and last.is_file()
        if going_on:
            # Workers ask for crops before the trainer tells which epoch it is: they would repeat the first's.
            sampler.set_epoch(torch.load(last, map_location="cpu", weights_only=True)["epoch"] + 1)
        trainer.fit(module, *loaders, ckpt_path=last if going_on else None)
        history.touch()  # a run that was complete already logs nothing more
    taken = last.with_name(f"{config.take}.ckpt")
    state = torch.load(taken, map_location="cpu", weights_only=True)["state_dict"]
    net_state = {k.removeprefix("net."): v for k, v in state.items() if k.startswith("net.")}
    if config.keep_start:
        begun = torch.load(start, map_location="cpu", weights_only=True)
        net_state = _averaged(net_state, begun, config.keep_start)
    if other:
        net_state = _averaged(net_state, other, 0.5)
    return FitResult(net_state, metadata, manifest, history)


def _quieten_lightning() -> None:
    """Leave out what Lightning says of its own insides, of a service, and of our folder, which is there."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_no_tip)
    for message in (".*LeafSpec.*", "Checkpoint directory .* exists"):
        warnings.filterwarnings("ignore", message=message)


def _is_no_tip(record: logging.LogRecord) -> bool:
    return "Tip:" not in record.getMessage()


def _weights_like(net: CamNet, metadata: ModelMetadata, path: Path) -> Mapping[str, torch.Tensor]:
    """The weights of the torch model ``path``: built as ``net``, of the same classes and the same division.

    Raises:
        ModelError: it cannot be read.
        FlawsightError: it is another network, has other classes, or may have learned from parts of our test.
    """
    model = load_engine(path)
    if not isinstance(model, TorchEngine):
        raise FlawsightError(f"{path} is no torch model. Name a .pth that training.py left.")
    weights, own = model.network.state_dict(), net.state_dict()
    shapes = [{name: values.shape for name, values in one.items()} for one in (weights, own)]
    if shapes[0] != shapes[1] or model.metadata.classes != metadata.classes:
        raise FlawsightError(f"{path} is another network than this run's, or tells other classes.")
    if model.metadata.manifest_sha256 != metadata.manifest_sha256:
        raise FlawsightError(
            f"{path} learned from other data, or from another division of it, so it may have seen parts of "
            "this run's test. Average runs of the same data and --split-seed."
        )
    return weights


def _averaged(
    trained: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor], share: float
) -> dict[str, torch.Tensor]:
    """``trained`` with ``share`` of the weights of ``other``."""
    return {
        name: torch.lerp(values, other[name], share) if values.is_floating_point() else values
        for name, values in trained.items()
    }


def _training_batches(
    config: TrainConfig, metadata: ModelMetadata, train: list[Sample], net: CamNet
) -> tuple[CropDataset | PictureDataset, CropSampler | PictureSampler]:
    pre, batch, size = metadata.preprocessing, config.batch_size, config.image_size
    if config.view == "whole":
        pictures = PictureDataset(train, metadata.classes, pre, config.augment)
        return pictures, PictureSampler(len(train), batch, size, config.seed, config.batches)
    crops = CropDataset(train, metadata.classes, pre, config.stride, Augmentation())
    mine = partial(suspects, net, train, metadata) if config.mining else None
    return crops, CropSampler(train, batch, size, config.batches, config.seed, mine=mine)


def class_balance(train: list[Sample], classes: tuple[str, ...]) -> list[float]:
    """Weight of each class so that all weigh the same together; 1 for one that is not there."""
    count = Counter(sample.class_id for sample in train)
    return [len(train) / (len(count) * count[name]) if count[name] else 1.0 for name in classes]


def teaching_samples(manifest: Manifest, leave_out: Path | None = None) -> list[Sample]:
    """The training split without the pictures that the file ``leave_out`` names.

    Raises:
        FlawsightError: it cannot be read, or names a picture that no data folder has.
    """
    if leave_out is None:
        return manifest.split("train")
    try:
        lines = leave_out.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise FlawsightError(f"{leave_out} cannot be read: {error}") from error
    named = {line.strip() for line in lines} - {""}
    if unknown := sorted(named - {entry.path for entry in manifest.entries}):
        raise FlawsightError(
            f"{leave_out} names {unknown[0]}, which no data folder has. Write paths as in manifest.json."
        )
    pairs = [
        pair for pair in zip(manifest.entries, manifest.samples, strict=True) if pair[0].split == "train"
    ]
    kept = [sample for entry, sample in pairs if entry.path not in named]
    log.info("Left out of training: %d of %d samples", len(pairs) - len(kept), len(pairs))
    return kept


def real_samples(samples: list[Sample]) -> list[Sample]:
    """Without the generated ones, unless there are no others: decisions are for real parts."""
    return [s for s in samples if not s.dataset.endswith(GENERATED)] or samples


def initial_metadata(config: TrainConfig, manifest: Manifest) -> ModelMetadata:
    """What is known of the model before its first step."""
    preset = load_preset(config.preset)
    classes = model_classes(list(manifest.samples), preset)
    whole = config.view == "whole"
    located = not whole and any(s.mask is not None or s.boxes for s in manifest.samples)
    return ModelMetadata(
        name=config.run_name.replace("/", " "),
        version="0",
        backbone=config.backbone,
        classes=classes,
        defects=tuple(name for name in classes if describe(name).is_defect),
        stride=config.stride,
        preprocessing=Preprocessing(
            min_side=config.min_side,
            max_enlargement=config.max_enlargement,
            fixed_size=config.image_size if whole else 0,
        ),
        decision=Decision(pooling="top_cells" if located else "mean"),
        manifest_sha256=manifest.sha256,
        seed=config.division,
        product=preset.product() if preset.name != DEFAULT else {},
    )


def _settle_run_folder(config: TrainConfig, manifest: Manifest, last: Path) -> None:
    """Record what the run is; a resumed run must be the same one."""
    settings = config.run_folder / "config.json"
    described = {**config.to_dict(), "manifest_sha256": manifest.sha256}
    going_on = config.resume or config.finish
    if config.finish and not last.is_file():
        raise FlawsightError(
            f"Run {config.run_name!r} has no checkpoint yet. Train it without --finish first."
        )
    if going_on and settings.is_file() and last.is_file():
        # A run of before a setting was there ran as its default does now, but for those named below.
        defaults = {f.name: f.default for f in fields(TrainConfig)} | {
            "min_side": 96,
            "max_enlargement": 0.0,
            "mining": False,
        }
        written = json.loads(settings.read_text())
        before = defaults | written
        now = json.loads(json.dumps(described))  # lists for tuples, as in the file
        changed = sorted(k for k in now if json.loads(json.dumps(before.get(k))) != now[k])
        free = AFTERWARDS if config.finish else LATER
        if refused := [k for k in changed if k not in free]:
            raise FlawsightError(
                f"Run {config.run_name!r} was started with other values of: {', '.join(refused)}. Resume it "
                "with the same flags and data, or choose a new --run-name."
            )
        chosen = {k: now[k] for k in changed}
        write_text(
            settings, json.dumps({**written, **({"finish": chosen} if config.finish else chosen)}, indent=1)
        )
        return
    if config.resume:
        log.info("Run %s has no checkpoint yet, so it starts from the beginning.", config.run_name)
    for part in ("checkpoints", "csv", "tensorboard", "implants"):  # of an earlier run of this name
        shutil.rmtree(config.run_folder / part, ignore_errors=True)
    manifest.save(config.run_folder / "manifest.json")
    write_text(settings, json.dumps(described, indent=1))
    sizes = ", ".join(f"{len(manifest.split(split))} {split}" for split in SPLITS)
    log.info("Run %s: %s", config.run_name, sizes)


def _set_history_aside(history: Path) -> None:
    """Keep the log of a run that is resumed: the logger empties its file when it starts."""
    if history.is_file():
        earlier = len(list(history.parent.glob("metrics-*.csv")))
        history.rename(history.with_name(f"metrics-{earlier:03}.csv"))


def _callbacks(config: TrainConfig) -> list[Callback]:
    folder = config.run_folder / "checkpoints"
    callbacks: list[Callback] = [
        averaging(config.ema_decay),
        RichProgressBar(),
        ModelCheckpoint(folder, "best", monitor="val_score", mode="max", enable_version_counter=False),
        # Of every epoch, better or not (``save_last`` only follows the best), and after it, to know of it.
        ModelCheckpoint(folder, "last", enable_version_counter=False),
    ]
    if config.patience:
        callbacks.append(StopInLastPhase(config))
    return callbacks


def _precision(wanted: str) -> Any:  # one of Lightning's own literals
    """``bf16-mixed`` where the processor computes in it, else full precision."""
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    capable = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return "bf16-mixed" if capable else "32-true"


def _unreadable(samples: list[Sample]) -> dict[Path, str]:
    """Files (images, masks and templates) that cannot be decoded, with the reason."""
    problems = {}
    for path in sorted({path for s in samples for path in (s.path, s.mask, s.template) if path}):
        try:
            read_image(path)
        except FlawsightError as error:
            problems[path] = str(error)
    return problems
