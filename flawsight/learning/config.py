"""Everything that a training run can be told, in one place."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Phase:
    """A step of fine-tuning.

    Attributes:
        share: of all epochs, beside the other phases' shares.
        train: ``head``, ``all``, or how many of the last layers that have weights learn.
        learning_rate: at its begin; it falls by half a cosine.
        class_weights: whether rare classes weigh more in the loss.
    """

    share: float
    train: str
    learning_rate: float
    class_weights: bool = False


# Settings that may be chosen when training is over: ``finish`` takes other values of them.
AFTERWARDS = ("min_side", "max_enlargement", "take", "keep_start", "average_with", "prune")
LATER = ("stop_after",)  # and this one when a run is resumed: it goes on for longer


@dataclass(frozen=True)
class TrainConfig:
    """One run.

    Attributes:
        data: data folders; empty means ``Dataset/`` if present, else generated images.
        out: where the model, the charts and the results are left.
        run_name: folder under ``out/runs`` for log, configuration, manifest and checkpoints.
        backbone: a name in ``learning.backbones.BACKBONES``.
        stride: input pixels per cell of the class map, 16 or 32.
        image_size: side of a training crop in pixels, a multiple of 32; crops keep the native scale.
        min_side: a picture whose shorter side has fewer pixels is enlarged to them, in serving as well ...
        max_enlargement: ... but no further than so many times; 0 sets no limit.
        epochs: most epochs, over which the learning rate falls; an epoch is ``batches`` batches.
        stop_after: the run ends after so many of them; 0 for all.
        batches: batches in an epoch; 0 shows each picture once, for whole pictures.
        batch_size: crops in a batch.
        learning_rate: peak of the schedule.
        schedule: ``cosine`` or ``plateau``.
        warmup: share of all steps over which the learning rate rises, ``cosine`` only.
        weight_decay: of AdamW, on weights of more than one dimension.
        ema_decay: of the averaged weights that are validated and kept.
        patience: epochs without a better validation score before the run ends; 0 never ends early.
        pretrained: ``none``, ``imagenet`` (a download) or ``lite0`` (a package; ``efficientnet-b0`` only);
            beside ``weights``, what those began with, which the model card then says.
        weights: file to start from.
        take: weights of the ``best`` epoch by validation score, or of the ``last`` one.
        keep_start: share of the weights that the run began with in those that it leaves; averages of both are
            often better than either (Wortsman et al., arXiv 2109.01903).
        average_with: model of another run that began with the same weights; what is left is the mean of both
            (Wortsman et al., "Model soups", arXiv 2203.05482).
        prune: share of the channels of an EfficientNet's widest blocks that the network does without in the
            end, see ``learning.narrow``; 0 keeps all.
        map_loss: weight of the per-cell loss beside the image's own.
        mining: whether each epoch looks more often where good parts looked defective at its start.
        label_smoothing: share of each target that is spread over all classes.
        implants: pictures with a planted flaw made of each good training image; 0 makes none.
        seed: of everything random.
        split_seed: of the division into training, validation and test; None for ``seed``.
        resume: go on with the run of this name.
        finish: do not train on; make the model from the best checkpoint that the run has so far.
        skip_unreadable: leave out files that cannot be decoded instead of stopping.
        leave_out: text file of pictures that teach nothing: a path a line, relative to its data folder. They
            stay in their split, so the division is the same with and without.
        precision: ``auto``, ``32-true`` or ``bf16-mixed``.
        workers: processes that prepare batches; 0 prepares them in the training process.
        preset: name or file of the preset in ``learning.presets``.
        view: ``crops`` at native scale, or the ``whole`` picture squeezed to ``image_size``.
        head: one of ``backbones.HEADS``; empty for the backbone's own.
        augment: switches of ``data.pictures``, for whole pictures.
        phases: steps of fine-tuning instead of ``schedule``; none by default.
        class_weights: whether rare classes weigh more in the loss, all the time.
        decide: ``costs`` (accept, review and reject by price), ``threshold`` (one limit) or ``identify``.
        threshold: that limit, or the least probability that names a class.
        folds, fold: of a cross-validation, and which one is held out for validation; 0 folds for none.
    """

    data: tuple[Path, ...] = ()
    out: Path = Path()
    run_name: str = "unified"
    backbone: str = "efficientnet-b0"
    stride: int = 16
    image_size: int = 160
    min_side: int = 320
    max_enlargement: float = 1.6
    epochs: int = 20
    stop_after: int = 0
    batches: int = 200
    batch_size: int = 24
    learning_rate: float = 1.5e-3
    schedule: str = "cosine"
    warmup: float = 0.05
    weight_decay: float = 1e-2
    ema_decay: float = 0.998
    patience: int = 8
    pretrained: str = "none"
    weights: Path | None = None
    take: str = "best"
    keep_start: float = 0.0
    average_with: Path | None = None
    prune: float = 0.0
    map_loss: float = 1.0
    mining: bool = True
    label_smoothing: float = 0.0
    implants: int = 2
    seed: int = 0
    split_seed: int | None = None
    resume: bool = False
    finish: bool = False
    skip_unreadable: bool = False
    leave_out: Path | None = None
    precision: str = "auto"
    workers: int = 0
    preset: str = "unified"
    view: str = "crops"
    head: str = ""
    augment: tuple[str, ...] = ()
    phases: tuple[Phase, ...] = ()
    class_weights: bool = False
    decide: str = "costs"
    threshold: float = 0.5
    folds: int = 0
    fold: int = 0

    @property
    def run_folder(self) -> Path:
        return self.out / "runs" / self.run_name

    @property
    def division(self) -> int:
        """Seed of the division."""
        return self.seed if self.split_seed is None else self.split_seed

    def to_dict(self) -> dict[str, Any]:
        """For the run's ``config.json``: folder names only, no machine's paths."""
        values = asdict(self)
        values["data"] = [path.name for path in self.data]
        values["weights"] = self.weights.name if self.weights else None
        values["average_with"] = self.average_with.name if self.average_with else None
        values["preset"] = Path(self.preset).stem
        del values["out"], values["resume"], values["finish"]
        return values
