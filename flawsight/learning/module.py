"""The training step: what the network is asked to get right, and how that is scored."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor, nn

from flawsight.data.crops import IGNORE
from flawsight.inspection.decide import answer
from flawsight.inspection.explain import cell_probabilities
from flawsight.learning.backbones import CamNet
from flawsight.learning.config import TrainConfig
from flawsight.learning.phases import learning_rate, let_learn, phase_at
from flawsight.learning.scores import negative_log_likelihood, score_by_dataset, validation_score
from flawsight.metadata import ModelMetadata

log = logging.getLogger(__name__)


class Classifier(L.LightningModule):
    """Learns the image's answer and, where masks or boxes tell, the class of every cell.

    Args:
        net: the network.
        metadata: class order, which are defects, how cells become the answer.
        config: learning rate, schedule, loss weight.
        datasets: dataset name of each validation sample, in loader order.
        steps: optimizer steps of the whole run.
        balance: (K,) weight of each class in the loss, used where ``class_weights`` are asked for.
    """

    def __init__(
        self,
        net: CamNet,
        metadata: ModelMetadata,
        config: TrainConfig,
        datasets: Sequence[str],
        steps: int,
        balance: Sequence[float] = (),
    ) -> None:
        super().__init__()
        self.net = net
        self.meta = metadata
        self.config = config
        self.datasets = list(datasets)
        self.steps = steps
        self.defect: Tensor
        flags = torch.tensor([name in metadata.defects for name in metadata.classes])
        self.register_buffer("defect", flags, persistent=False)
        self.balance: Tensor
        self.register_buffer("balance", torch.tensor(balance), persistent=False)
        self._answers: list[tuple[np.ndarray, int]] = []
        self._epoch_began = 0.0

    def on_train_epoch_start(self) -> None:
        self._epoch_began = perf_counter()
        if self.config.phases:
            phase, _ = phase_at(self.config.phases, self.current_epoch / self.config.epochs)
            let_learn(self.net.backbone, phase.train)

    def on_train_epoch_end(self) -> None:
        self.log("epoch_seconds", perf_counter() - self._epoch_began)

    def on_train_batch_start(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        # Dropout of a step depends on seed and step alone, so that a resumed run repeats it. Once an epoch
        # would be too seldom: the loader draws from the same generator, in a resumed epoch sooner.
        torch.manual_seed(self.config.seed * 1_000_003 + self.global_step)

    def training_step(self, batch: dict[str, Tensor], _: int) -> Tensor:
        image = batch["image"].contiguous(memory_format=torch.channels_last)
        _, features = self.net(image)
        scores = self.net.class_map(features).float()  # (N, K, h, w)
        log_answer = image_log_probabilities(
            scores, self.defect, self.meta.decision.pooling, self.meta.decision.cells
        )
        known = batch["label"] != IGNORE
        judged = known
        loss = 0 * scores.mean()  # a batch may hold nothing that teaches; it still has a gradient
        if self.config.map_loss:
            cells = cell_loss(scores, batch["cells"], self.defect, self.config.label_smoothing)
            loss = loss + self.config.map_loss * cells
            # Where the place of the defect is known, its cells teach it. The answer would first teach
            # whichever cells are the most suspicious by chance, against what those cells are told.
            judged = known & ~located(batch["cells"], self.defect)
        if judged.any():
            # Log-probabilities are logits as well, those of which the softmax is the answer.
            loss = loss + nn.functional.cross_entropy(
                log_answer[judged],
                batch["label"][judged],
                self._weights(),
                label_smoothing=self.config.label_smoothing,
            )
        right = (log_answer.argmax(1) == batch["label"])[known].float()
        size = int(known.sum())
        self.log(
            "train_loss", loss.detach(), on_step=False, on_epoch=True, prog_bar=True, batch_size=len(image)
        )
        if size:
            self.log(
                "train_accuracy", right.mean(), on_step=False, on_epoch=True, prog_bar=True, batch_size=size
            )
        return loss

    def _weights(self) -> Tensor | None:
        phases = self.config.phases
        phase = phase_at(phases, self.current_epoch / self.config.epochs)[0] if phases else None
        wanted = self.config.class_weights or (phase is not None and phase.class_weights)
        return self.balance if wanted else None

    def validation_step(self, batch: dict[str, Any], _: int) -> None:
        logits, features = self.net(batch["image"])
        scores = self.net.class_map(features)[0, :, : batch["cells_high"], : batch["cells_wide"]]
        # The very functions that serving uses decide here too.
        cells = cell_probabilities(scores.float().cpu().numpy())
        probabilities = answer(logits[0].float().cpu().numpy(), cells, self.meta)
        self._answers.append((probabilities, int(batch["label"])))

    def on_validation_epoch_end(self) -> None:
        answers, self._answers = self._answers, []
        if self.trainer.sanity_checking or len(answers) != len(self.datasets):
            return
        probabilities = np.stack([p for p, _ in answers])
        labels = np.array([label for _, label in answers])
        by_dataset = score_by_dataset(probabilities, labels, self.datasets, self.meta)
        self.log("val_loss", negative_log_likelihood(probabilities, labels))
        self.log("val_accuracy", float((probabilities.argmax(1) == labels).mean()), prog_bar=True)
        for name, scores in by_dataset.items():
            for metric, value in scores.items():
                self.log(f"val/{name}/{metric}", value)
        score = validation_score(by_dataset)
        self.log("val_score", score, prog_bar=True)
        log.debug("Epoch %d: validation score %.4f %s", self.current_epoch + 1, score, by_dataset)

    def configure_optimizers(self) -> Any:
        decayed = [p for p in self.net.parameters() if p.ndim > 1]
        plain = [p for p in self.net.parameters() if p.ndim <= 1]
        optimizer = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": self.config.weight_decay},
                {"params": plain, "weight_decay": 0.0},
            ],
            lr=self.config.learning_rate,
        )
        if self.config.phases:
            phases = torch.optim.lr_scheduler.LambdaLR(
                optimizer,
                lambda step: learning_rate(self.config.phases, step / self.steps) / self.config.learning_rate,
            )
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": phases, "interval": "step"}}
        if self.config.schedule == "plateau":
            plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
                optimizer, mode="max", factor=0.5, patience=3
            )
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": "val_score"}}
        cosine = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=self.config.learning_rate,
            total_steps=self.steps,
            pct_start=self.config.warmup,
            cycle_momentum=False,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cosine, "interval": "step"}}


def image_log_probabilities(scores: Tensor, defect: Tensor, pooling: str, cells: int) -> Tensor:
    """Log-probability of each class for whole inputs (N, K) from cell scores (N, K, h, w).

    The differentiable twin of ``inspection.decide.answer``; a test holds the two together.
    """
    if pooling == "mean":
        return scores.mean((2, 3)).log_softmax(1)
    p = scores.flatten(2).softmax(1)  # (N, K, cells)
    suspicion = p[:, defect].sum(1)  # (N, cells)
    top = suspicion.topk(min(cells, suspicion.shape[1]), dim=1).indices
    chosen = p.gather(2, top[:, None, :].expand(-1, p.shape[1], -1)).mean(2)  # (N, K)
    good = p.mean(2) * ~defect
    share = good / good.sum(1, keepdim=True).clamp(min=1e-7)
    defects = chosen * defect
    rest = 1 - defects.sum(1, keepdim=True)
    return (defects + rest * share + 1e-7).log()


def located(cells: Tensor, defect: Tensor) -> Tensor:
    """Which crops (N,) have a cell that is known to be a defect; see ``cell_loss`` for the arguments."""
    return ((cells != IGNORE) & defect[cells.clamp(min=0)]).flatten(1).any(1)


def cell_loss(scores: Tensor, cells: Tensor, defect: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy over labelled cells: defects and good cells weigh the same, hard good ones more.

    Each crop's defect weighs the same: a pinhole covers four cells, an uneven tile hundreds, and a mean
    over all cells would never let the pinhole be heard.

    Args:
        scores: (N, K, h, w).
        cells: (N, h, w) class of each cell or ``IGNORE``.
        defect: (K,) which classes are defects.
        smoothing: share of each target that is spread over all classes.
    """
    losses = nn.functional.cross_entropy(
        scores, cells, ignore_index=IGNORE, reduction="none", label_smoothing=smoothing
    )
    known = cells != IGNORE
    flaw = known & defect[cells.clamp(min=0)]
    good = known & ~flaw
    total = scores.new_zeros(())
    if flaw.any():
        covered = flaw.sum((1, 2))  # (N,) cells
        of_crop = (losses * flaw).sum((1, 2)) / covered.clamp(min=1)
        total = total + 0.5 * of_crop[covered > 0].mean()
    if good.any():
        values = losses[good]
        hardest = values.topk(max(1, values.numel() // 20)).values
        total = total + 0.25 * values.mean() + 0.25 * hardest.mean()
    return total


def averaging(decay: float) -> WeightAveraging:
    """Exponential moving average of the weights that forgets its first, poor steps sooner."""

    def average(averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        momentum = min(decay, (1 + float(count)) / (10 + float(count)))
        return momentum * averaged + (1 - momentum) * current

    return WeightAveraging(avg_fn=average)
