"""Search for the settings of a run: short runs on the same division, the poor ones cut off early.

Akiba et al., "Optuna: a next-generation hyperparameter optimization framework", KDD 2019.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import lightning as L
import optuna
from lightning.pytorch.callbacks import Callback

from flawsight.learning.config import TrainConfig
from flawsight.learning.fit import fit, prepare_data

log = logging.getLogger(__name__)

WATCHED = "val_score"
SHORTER = 4  # a trial has this much fewer epochs than the run it is for


class _Report(Callback):
    """Tells the study how a trial stands after each epoch, and stops it where others were better."""

    def __init__(self, trial: optuna.Trial) -> None:
        self.trial = trial
        self.best = 0.0

    def on_validation_end(self, trainer: L.Trainer, _: L.LightningModule) -> None:
        score = trainer.callback_metrics.get(WATCHED)
        if score is None:
            return
        self.best = max(self.best, float(score))
        self.trial.report(self.best, trainer.current_epoch)
        if self.trial.should_prune():
            raise optuna.TrialPruned


def tune(config: TrainConfig, trials: int, storage: str | None = None) -> tuple[TrainConfig, float]:
    """Run ``trials`` more trials of the study of ``config``'s run and return its best settings so far.

    Every trial is a run of its own below the run's folder. The study lies in ``storage``, a database URL,
    by default a file in that folder: stopped at any time, it goes on with what it knows. A trial that was
    cut off by a kill counts for nothing. Trials have a quarter of the run's epochs.

    Returns:
        The settings and the best validation score they reached.
    """
    folder = config.run_folder / "trials"
    folder.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name=config.run_name,
        storage=storage or f"sqlite:///{folder / 'study.db'}",
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=config.seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=3),
        load_if_exists=True,
    )
    manifest = prepare_data(config)

    def run(trial: optuna.Trial) -> float:
        watch = _Report(trial)
        name = f"{config.run_name}/trials/{trial.number:03}"
        short = max(1, config.epochs // SHORTER)
        fit(replace(config, **suggest(trial, config), run_name=name, epochs=short), manifest, [watch])
        return watch.best

    study.optimize(run, n_trials=trials)
    chosen = replace(config, **suggest(study.best_trial, config))
    log.info("Best of %d trials: %s", len(study.trials), study.best_params)
    return chosen, study.best_value


def suggest(trial: optuna.Trial | optuna.trial.FrozenTrial, config: TrainConfig) -> dict[str, Any]:
    """The settings that a trial tries; cells are weighed only where ``config`` teaches them."""
    weight = {"map_loss": trial.suggest_float("map_loss", 0.5, 2.0)} if config.map_loss else {}
    return {
        **weight,
        "learning_rate": trial.suggest_float("learning_rate", 2e-4, 4e-3, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-3, 1e-1, log=True),
        "ema_decay": trial.suggest_categorical("ema_decay", (0.99, 0.995, 0.998)),
        "warmup": trial.suggest_float("warmup", 0.02, 0.2),
    }
