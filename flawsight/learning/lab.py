"""Studies: several runs that differ in one thing, side by side. ``docs/lab.md`` shows what they leave.

A study that is started again with the same settings goes on after its last finished run, and within a run
after its last epoch.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from flawsight.atomic import write_text
from flawsight.data.pictures import SWITCHES
from flawsight.data.splits import Manifest
from flawsight.errors import FlawsightError
from flawsight.inspection.engines import load_engine
from flawsight.inspection.operating import Costs
from flawsight.inspection.torch_engine import TorchEngine
from flawsight.learning import lab_charts
from flawsight.learning.backbones import BACKBONES, HEADS, check_name, join, nearest_stride
from flawsight.learning.config import TrainConfig
from flawsight.learning.export import save_onnx, save_torch
from flawsight.learning.fit import divide, find_pictures, initial_metadata
from flawsight.learning.presets import load_preset
from flawsight.learning.significance import CORRECTED_T, SIGNS, corrected_t_test, lead, sign_test, verdicts
from flawsight.learning.trial import FILE as TRIAL
from flawsight.learning.trial import MODEL, epoch_seconds, measure, run_trial

log = logging.getLogger(__name__)

SCHEMA = "flawsight.comparison/1"
FILE = "comparison.json"
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)
BATCH_SIZES = (8, 16, 32)
FACTORS = ("augmentation", "backbone", "head", "batch-size")
_PLAIN = ("train_accuracy", "val_accuracy", "train_loss", "val_loss", "epochs", "seconds_per_epoch")
Trial = dict[str, Any]


@dataclass
class Study:
    """What is compared, and what has come out so far.

    Attributes:
        config: the base; ``run_name`` names the study's folder.
        kind, title, factor: see ``docs/lab.md``.
        variants: label to the settings that differ from the base.
        repeats: runs of each variant, with seeds counted up from the base's; each divides the pictures anew.
        thresholds: of the sweep.
        batch_sizes: whose epochs are timed.
    """

    config: TrainConfig
    costs: Costs
    kind: str
    title: str
    factor: str | None
    variants: Mapping[str, Mapping[str, Any]]
    repeats: int = 1
    folds: int = 0
    thresholds: Sequence[float] = THRESHOLDS
    batch_sizes: Sequence[int] = ()
    content: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.config.run_folder

    @property
    def file(self) -> Path:
        return self.folder / FILE

    def run(self) -> Study:
        """Run what is not there yet; the file is written anew after each run."""
        samples, copies = find_pictures(self.config)
        trials: dict[str, list[Trial]] = {label: [] for label in self.variants}
        timings: dict[str, list[dict[str, float]]] = {}
        count = self.folds or self.repeats
        for number in range(count):
            seed = self.config.seed if self.folds else self.config.seed + number
            fold = number if self.folds else 0
            base = replace(self.config, seed=seed, folds=self.folds, fold=fold)
            manifest = divide(base, samples, copies)
            meta = initial_metadata(base, manifest)
            for label, change in self.variants.items():
                name = f"fold-{number + 1}" if self.folds else f"{label}-{seed}"
                config = replace(base, **change, run_name=f"{self.config.run_name}/{name}")
                log.info("%s, run %d of %d", label, number + 1, count)
                trials[label].append(run_trial(config, self.costs, manifest))
                if label not in timings:
                    pictures = len(manifest.split("train"))
                    timings[label] = epoch_seconds(config, len(meta.classes), pictures, self.batch_sizes)
                complete = number == count - 1 and label == list(self.variants)[-1]
                self._note(trials, timings, manifest, meta.classes, meta.defects, complete)
        return self

    def _note(
        self,
        trials: Mapping[str, list[Trial]],
        timings: Mapping[str, list[dict[str, float]]],
        manifest: Manifest,
        classes: Sequence[str],
        defects: Sequence[str],
        complete: bool,
    ) -> None:
        two_sided = bool(defects) and len(defects) < len(classes)
        splits = ("train", "val", "test")
        groups = {name: {s.group for s in manifest.split(name)} for name in splits}
        sizes = {name: len(manifest.split(name)) for name in splits}
        self.content = {
            "schema": SCHEMA,
            "kind": self.kind,
            "name": self.config.run_name,
            "title": self.title,
            "preset": Path(self.config.preset).stem,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "complete": complete,
            "factor": self.factor,
            "repeats": self.folds or self.repeats,
            "config": self.config.to_dict(),
            "classes": list(classes),
            "defects": list(defects),
            "data": {**sizes, "groups": {name: len(found) for name, found in groups.items()}},
            "entries": [
                self._entry(label, done, timings[label], two_sided) for label, done in trials.items() if done
            ],
            "tests": compare_pairs(trials, sizes["train"], sizes["test"]),
            "ensemble": None,
        }
        self.save()

    def _entry(
        self, label: str, trials: Sequence[Trial], timing: Sequence[Mapping[str, float]], two_sided: bool
    ) -> dict[str, Any]:
        config = replace(self.config, **self.variants[label])
        best = max(range(len(trials)), key=lambda i: trials[i]["run"]["val_score"] or 0)
        return {
            "label": label,
            "baseline": not self.variants[label] and len(self.variants) > 1,
            "backbone": config.backbone,
            "parameters": trials[0]["parameters"],
            "change": {key: _plain(value) for key, value in self.variants[label].items()},
            "summary": summary([trial["run"] for trial in trials]),
            "epoch_seconds": list(timing),
            "sweep": sweep(trials, self.thresholds, self.costs) if two_sided else [],
            "runs": [{**trial["run"], "best": i == best} for i, trial in enumerate(trials)],
        }

    def save(self) -> None:
        """Write the charts, and the file that names them."""
        curve = [value / 100 for value in range(2, 100, 2)]
        self.content["charts"] = lab_charts.draw(self.content, self.folder / "charts", self._costs_at(curve))
        write_text(self.file, json.dumps(self.content, indent=1) + "\n")

    def _costs_at(self, curve: Sequence[float]) -> dict[str, list[tuple[float, float]]]:
        """The cost curve of each entry that inspects."""
        found = {}
        for entry in self.content["entries"]:
            if entry["sweep"]:
                files = [self.folder / run["name"] / TRIAL for run in entry["runs"]]
                trials = [json.loads(file.read_text(encoding="utf-8")) for file in files]
                rows = sweep(trials, curve, self.costs)
                found[entry["label"]] = [(row["threshold"], row["cost"]["mean"]) for row in rows]
        return found


def comparison(
    config: TrainConfig,
    costs: Costs,
    backbones: Sequence[str],
    repeats: int = 1,
    batch_sizes: Sequence[int] = BATCH_SIZES,
) -> Study:
    """Each backbone on the same splits.

    Raises:
        ModelError: a name is unknown.
    """
    for name in backbones:
        check_name(name)
    title = f"{load_preset(config.preset).title}: {len(backbones)} backbones"
    variants = {name: _backbone(name, config) for name in backbones}
    study = Study(config, costs, "compare", title, "backbone", variants, repeats, batch_sizes=batch_sizes)
    return study.run()


def ablation(
    config: TrainConfig,
    costs: Costs,
    factor: str,
    repeats: int = 1,
    backbones: Sequence[str] = (),
    batch_sizes: Sequence[int] = BATCH_SIZES,
) -> Study:
    """One factor at a time from the base, which is the first entry.

    Raises:
        FlawsightError: the preset does not have what is to be varied.
    """
    if factor == "augmentation":
        if config.view != "whole":
            raise FlawsightError("Augmentations can be switched only where pictures are seen whole.")
        on = config.augment
        variants: dict[str, dict[str, Any]] = {
            f"without {one}": {"augment": tuple(name for name in on if name != one)} for one in on
        }
        variants |= {"without any": {"augment": ()}, "with all": {"augment": SWITCHES}}
    elif factor == "head":
        own = config.head or BACKBONES[config.backbone].head
        variants = {f"head {name}": {"head": name} for name in HEADS if name != own}
    elif factor == "batch-size":
        sizes = [size for size in batch_sizes if size != config.batch_size]
        variants = {f"batch of {size}": {"batch_size": size} for size in sizes}
    else:
        names = [name for name in backbones or ("compact", "mobilenet-v2") if name != config.backbone]
        variants = {name: _backbone(name, config) for name in names}
    title = f"{load_preset(config.preset).title}: {factor.replace('-', ' ')}"
    timed = tuple(batch_sizes) if factor == "batch-size" else ()
    return Study(
        config, costs, "ablate", title, factor, {"base": {}, **variants}, repeats, batch_sizes=timed
    ).run()


def threshold_sweep(
    config: TrainConfig, costs: Costs, repeats: int, thresholds: Sequence[float] = THRESHOLDS
) -> Study:
    """One model, several times, at several thresholds.

    Raises:
        FlawsightError: the preset has no two sides to divide.
    """
    preset = load_preset(config.preset)
    if preset.task != "inspect":
        raise FlawsightError(f"The preset {preset.name} tells kinds apart; a sweep needs good and defective.")
    label = config.backbone
    title = f"{preset.title}: thresholds"
    return Study(config, costs, "sweep", title, None, {label: {}}, repeats, thresholds=thresholds).run()


def cross_validation(config: TrainConfig, costs: Costs, folds: int, ensemble: bool = False) -> Study:
    """Each part of what is not for testing validates once; the fold that validates best is marked."""
    if config.run_name == load_preset(config.preset).name:
        config = replace(config, run_name=f"{config.run_name}-folds")
    if ensemble and (config.head or BACKBONES[config.backbone].head) != "linear":
        raise FlawsightError("Only networks with a linear head join into an ensemble; choose --head linear.")
    title = f"{load_preset(config.preset).title}: {folds} folds"
    study = Study(config, costs, "folds", title, "fold", {config.backbone: {}}, folds=folds).run()
    if ensemble:
        study.content["ensemble"] = _ensemble(study)
        study.save()
    return study


def _ensemble(study: Study) -> dict[str, Any]:
    """The folds' networks as one model, decided as the best fold's: each has seen the others' validation."""
    runs = study.content["entries"][0]["runs"]
    files = [(study.folder / run["name"] / MODEL).with_suffix(".pth") for run in runs]
    engines = [load_engine(file) for file in files]
    whole = join([engine.network for engine in engines if isinstance(engine, TorchEngine)]).eval()
    best = next(engine for engine, run in zip(engines, runs, strict=True) if run["best"])
    name = f"{len(runs)}x {best.metadata.backbone}"
    title = f"{study.config.run_name} ensemble"
    metadata = replace(best.metadata, name=title, backbone=name, feature_stats={})
    model = study.folder / "ensemble" / MODEL
    model.parent.mkdir(exist_ok=True)
    save_onnx(whole, metadata, model)
    save_torch(whole, metadata, model.with_suffix(".pth"))
    samples, copies = find_pictures(study.config)
    tested = divide(study.config, samples, copies).split("test")
    measured, _ = measure(load_engine(model), tested)
    return {"name": "ensemble", "model": f"ensemble/{MODEL}", **measured}


def summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation of every figure over the runs."""
    tests = [run["test"] for run in runs]
    found: dict[str, list[Any]] = {
        "accuracy": [test["accuracy"]["value"] for test in tests],
        "balanced_accuracy": [test["balanced_accuracy"] for test in tests],
        **{
            f"{way}_{name}": [test[way][name] for test in tests]
            for way in ("macro", "weighted")
            for name in ("precision", "recall", "f1")
        },
        **{name: [run[name] for run in runs] for name in _PLAIN},
        "inference_ms": [run["inference_ms"]["median"] for run in runs],
    }
    return {name: mean_sd(values) for name, values in found.items()}


def mean_sd(values: Sequence[float | None]) -> dict[str, Any]:
    """Mean, standard deviation (of a sample; ``None`` for one) and number of those that are there."""
    there = [value for value in values if value is not None]
    return {
        "mean": round(float(np.mean(there)), 4) if there else None,
        "sd": round(float(np.std(there, ddof=1)), 4) if len(there) > 1 else None,
        "n": len(there),
    }


def sweep(trials: Sequence[Trial], thresholds: Sequence[float], costs: Costs) -> list[dict[str, Any]]:
    """Figures of rejecting from each threshold on; ``cost`` is per part, at the prevalence on the line."""
    return [
        {"threshold": limit, **_over_runs([_at(trial["answers"], limit, costs) for trial in trials])}
        for limit in thresholds
    ]


def _at(answers: Mapping[str, Sequence[Any]], limit: float, costs: Costs) -> dict[str, float | None]:
    mass, bad = np.array(answers["mass"]), np.array(answers["defective"], bool)
    refused = mass >= limit
    hits, alarms = int((refused & bad).sum()), int((refused & ~bad).sum())
    missed = int(bad.sum()) - hits
    share = float(bad.mean()) if costs.prevalence is None else costs.prevalence
    per_bad, per_good = missed / max(1, int(bad.sum())), alarms / max(1, int((~bad).sum()))
    return {
        "accuracy": float((refused == bad).mean()),
        "precision": hits / (hits + alarms) if hits + alarms else None,
        "recall": hits / (hits + missed) if hits + missed else None,
        "f1": 2 * hits / (2 * hits + alarms + missed) if hits + alarms + missed else None,
        "cost": share * costs.escape * per_bad + (1 - share) * costs.overkill * per_good,
    }


def _over_runs(rows: Sequence[Mapping[str, float | None]]) -> dict[str, Any]:
    return {name: mean_sd([row[name] for row in rows]) for name in rows[0]}


def compare_pairs(trials: Mapping[str, Sequence[Trial]], trained: int, tested: int) -> list[dict[str, Any]]:
    """A test of each pair over the runs that both have; see ``significance``."""
    found = []
    for a, b in combinations(trials, 2):
        pairs = list(zip(trials[a], trials[b], strict=False))
        if not pairs:
            continue
        gaps = [
            x["run"]["test"]["accuracy"]["value"] - y["run"]["test"]["accuracy"]["value"] for x, y in pairs
        ]
        ahead: dict[str, int] = {}
        if len(pairs) > 1:
            p, method = corrected_t_test(gaps, tested / trained, tested), CORRECTED_T
        else:
            right = [_right_by_group(trial["answers"]) for trial in pairs[0]]
            p, method = sign_test(*right), SIGNS
            ahead = {"lead": lead(*right)}
        difference = round(float(np.mean(gaps)), 4)
        pair = {"a": a, "b": b, "metric": "accuracy"}
        found.append({**pair, **ahead, "difference": difference, "p": p, "method": method})
    return verdicts(found)


def in_words(content: Mapping[str, Any]) -> list[str]:
    """The study as lines of a terminal: a row a variant, or a fold, then what the tests say."""
    if content["kind"] == "folds":
        heads = {"epochs": 8, "train acc": 11, "val acc": 9, "train loss": 12, "val loss": 10, "test acc": 10}
        lines = [f"{'fold':<10}" + "".join(f"{name:>{width}}" for name, width in heads.items())]
        (entry,) = content["entries"]
        for run in entry["runs"]:
            values = (run["train_accuracy"], run["val_accuracy"], run["train_loss"], run["val_loss"])
            accuracy, mark = run["test"]["accuracy"]["value"], "  best" if run["best"] else ""
            lines.append(
                f"{run['name']:<10}{run['epochs']:>8}{_figure(values[0]):>11}{_figure(values[1]):>9}"
                f"{_figure(values[2]):>12}{_figure(values[3]):>10}{accuracy:>10.3f}{mark}"
            )
        if content["ensemble"]:
            lines.append(f"{'ensemble':<60}{content['ensemble']['test']['accuracy']['value']:>10.3f}")
    else:
        width = max(len(entry["label"]) for entry in content["entries"]) + 2
        lines = [f"{'':<{width}}{'accuracy':>16}{'macro F1':>16}{'parameters':>13}{'ms':>8}{'s/epoch':>9}"]
        for entry in content["entries"]:
            found = entry["summary"]
            lines.append(
                f"{entry['label']:<{width}}{_spread(found['accuracy']):>16}{_spread(found['macro_f1']):>16}"
                f"{entry['parameters']:>13,}{_figure(found['inference_ms']['mean'], 1):>8}"
                f"{_figure(found['seconds_per_epoch']['mean'], 1):>9}"
            )
    for entry in content["entries"]:
        for row in entry["sweep"]:
            lines.append(
                f"{entry['label']}, from {row['threshold']:.2f}: accuracy {_spread(row['accuracy'])}, "
                f"recall {_spread(row['recall'])}, F1 {_spread(row['f1'])}, cost {_spread(row['cost'])}"
            )
    if content["kind"] == "folds":
        found = content["entries"][0]["summary"]
        lines.append(f"Mean: validation {_spread(found['val_accuracy'])}, test {_spread(found['accuracy'])}")
    return lines + [test["sentence"] for test in content["tests"]]


def _right_by_group(answers: Mapping[str, Sequence[Any]]) -> dict[str, list[bool]]:
    found: dict[str, list[bool]] = {}
    for group, right in zip(answers["group"], answers["right"], strict=True):
        found.setdefault(group, []).append(right)
    return found


def _backbone(name: str, config: TrainConfig) -> dict[str, Any]:
    change: dict[str, Any] = {"backbone": name}
    stride = nearest_stride(name, config.stride)
    return change if stride == config.stride else {**change, "stride": stride}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _figure(value: float | None, places: int = 3) -> str:
    return "" if value is None else f"{value:.{places}f}"


def _spread(value: Mapping[str, Any]) -> str:
    return _figure(value["mean"]) + (f" ± {value['sd']:.3f}" if value["sd"] is not None else "")
