"""Presets: small files that say what a product is and how to learn it. ``docs/lab.md`` shows one."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from flawsight.data.pictures import SWITCHES
from flawsight.data.samples import LabelledBox, Sample
from flawsight.errors import DataError, FlawsightError
from flawsight.learning.config import Phase, TrainConfig
from flawsight.taxonomy import learn

FOLDER = Path(__file__).parent.parent / "presets"
SHIPPED = tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))
DEFAULT = "unified"
TASKS = ("inspect", "identify")
KINDS = ("costs", "threshold", "identify")
_TABLES = {"title", "summary", "task", "training", "decision", "wording", "classes"}
_DECISION = {"kind", "threshold", "escape_cost", "overkill_cost", "review_cost", "prevalence"}
# Not for a file to say: they belong to one run on one machine.
_NOT_IN_FILES = {"data", "out", "run_name", "resume", "finish", "preset", "folds", "fold"}


@dataclass(frozen=True)
class Preset:
    """One product.

    Attributes:
        name: stable text: the shipped preset's, or the stem of the file.
        task: ``inspect`` or ``identify``.
        training: fields of ``TrainConfig`` that differ from its defaults.
        costs: prices for ``Costs``, by their flags' names.
        wording: what the pages say instead of the words for defects.
        classes: class id to fields of ``ClassInfo``; empty if each folder is a class.
        sources: class id to patterns of the data's classes that it takes in.
    """

    name: str
    title: str
    summary: str = ""
    task: str = "inspect"
    training: Mapping[str, Any] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)
    wording: Mapping[str, str] = field(default_factory=dict)
    classes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sources: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def product(self) -> dict[str, Any]:
        """What the model file says about its product."""
        return {
            "preset": self.name,
            "title": self.title,
            "summary": self.summary,
            "task": self.task,
            "wording": dict(self.wording),
            "classes": {class_id: dict(entry) for class_id, entry in self.classes.items()},
        }

    def relabel(self, samples: Sequence[Sample]) -> list[Sample]:
        """``samples`` with the preset's classes.

        Raises:
            DataError: a class of the data belongs to none of them.
        """
        if not self.classes:
            return list(samples)
        found = {s.class_id for s in samples} | {box.class_id for s in samples for box in s.boxes}
        names = {name: self._class_of(name) for name in found}
        if strangers := sorted(name for name, own in names.items() if not own):
            raise DataError(
                f"The preset {self.name} has no class for: {', '.join(strangers)}. Name the right folder "
                "with --data, or write a preset for these with `python -m flawsight new-preset`."
            )
        return [
            replace(
                sample,
                class_id=names[sample.class_id],
                boxes=tuple(LabelledBox(b.x1, b.y1, b.x2, b.y2, names[b.class_id]) for b in sample.boxes),
            )
            for sample in samples
        ]

    def _class_of(self, name: str) -> str:
        for class_id, patterns in self.sources.items():
            if name == class_id or any(fnmatchcase(name, pattern) for pattern in patterns):
                return class_id
        return ""


def load_preset(name: str) -> Preset:
    """A shipped preset by its name, or one of your own by its path; its classes become known.

    Raises:
        FlawsightError: there is none, or the file says something that cannot be; the message names it.
    """
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        near = difflib.get_close_matches(name, SHIPPED, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise FlawsightError(
            f"There is no preset {name!r}.{hint} There are: {', '.join(SHIPPED)}, and files of your own "
            "that end in .toml; `python -m flawsight new-preset` writes one."
        ) from None
    except (OSError, ValueError) as error:
        raise FlawsightError(f"The preset {path} cannot be read ({error}). Correct it.") from None
    preset = _parse(path.stem, content)
    try:
        learn(preset.product())
    except ValueError as error:
        raise FlawsightError(f"Preset {path.name}: {error}. docs/lab.md shows how a preset looks.") from None
    return preset


def fine_tuning(config: TrainConfig) -> TrainConfig:
    """``config``, without its phases where there is nothing to tune.

    A frozen layer of fresh weights would never learn anything.
    """
    fresh = config.pretrained == "none" and config.weights is None
    return replace(config, phases=()) if fresh else config


def _parse(name: str, content: Mapping[str, Any]) -> Preset:
    _only(name, "the file", content, _TABLES)
    training, decision = dict(content.get("training", {})), dict(content.get("decision", {}))
    task, kind = content.get("task", "inspect"), decision.get("kind", "costs")
    _only(name, "[training]", training, {f.name for f in fields(TrainConfig)} - _NOT_IN_FILES)
    _only(name, "[decision]", decision, _DECISION)
    _one_of(name, "task", task, TASKS)
    _one_of(name, "decision.kind", kind, KINDS)
    for switch in training.get("augment", ()):
        _one_of(name, "training.augment", switch, SWITCHES)
    if "augment" in training:
        training["augment"] = tuple(training["augment"])
    if "phases" in training:
        training["phases"] = tuple(_phase(name, entry) for entry in training["phases"])
    if training.get("view") == "whole":  # no cells, so nothing to learn or plant there
        training = {"map_loss": 0.0, "implants": 0} | training
    training |= {"decide": kind, "threshold": float(decision.get("threshold", TrainConfig.threshold))}
    classes = content.get("classes", {})
    return Preset(
        name=name,
        title=content.get("title", name),
        summary=content.get("summary", ""),
        task=task,
        training=training,
        costs={key: decision[key] for key in sorted(_DECISION - {"kind", "threshold"}) if key in decision},
        wording=content.get("wording", {}),
        classes={
            class_id: {key: value for key, value in entry.items() if key != "from"}
            for class_id, entry in classes.items()
        },
        sources={class_id: entry.get("from", [class_id]) for class_id, entry in classes.items()},
    )


def _phase(name: str, entry: Mapping[str, Any]) -> Phase:
    _only(name, "[[training.phases]]", entry, {f.name for f in fields(Phase)})
    phase = Phase(**entry)
    if phase.train not in ("head", "all") and not phase.train.isdecimal():
        raise FlawsightError(
            f"Preset {name}: a phase trains {phase.train!r}; it must be head, all or a number of layers."
        )
    return phase


def _only(name: str, where: str, found: Mapping[str, Any], allowed: set[str]) -> None:
    if unknown := sorted(set(found) - allowed):
        raise FlawsightError(
            f"Preset {name}: {where} has {', '.join(unknown)}, which mean nothing there. "
            f"It may have: {', '.join(sorted(allowed))}."
        )


def _one_of(name: str, what: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise FlawsightError(f"Preset {name}: {what} is {value!r}; it must be one of {', '.join(allowed)}.")
