"""Charts of a study: labelled, readable in print and by the colour-blind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flawsight.learning.charts import COLOURS, MARKS, chart
from flawsight.taxonomy import describe


def draw(
    content: Mapping[str, Any], folder: Path, costs: Mapping[str, Sequence[tuple[float, float]]]
) -> list[str]:
    """All charts of the study; their paths relative to its folder.

    Args:
        costs: of each entry that inspects, the cost per part by threshold.
    """
    folder.mkdir(parents=True, exist_ok=True)
    entries = content["entries"]
    drawn = [_figures(entries, content["kind"], folder / "accuracy.png")]
    if any(entry["epoch_seconds"] for entry in entries):
        drawn.append(_times(entries, folder / "epoch-seconds.png"))
    if costs:
        drawn.append(_sweep(entries, costs, folder / "thresholds.png"))
    for entry in entries:
        for run in entry["runs"]:
            title, name = f"{entry['label']}, {run['name']}", f"{run['name']}.png"
            drawn.append(_course(run, title, folder / f"curves-{name}"))
            if run["best"]:
                drawn.append(_confusion(run["test"]["confusion"], title, folder / f"confusion-{name}"))
    return [f"{folder.name}/{path.name}" for path in drawn]


def _figures(entries: Sequence[Mapping[str, Any]], kind: str, path: Path) -> Path:
    """Test accuracy and F1 of each entry with the runs as dots; of each fold where there are folds."""
    if kind == "folds":
        (entry,) = entries
        labels = [run["name"] for run in entry["runs"]]
        values = {
            "validation accuracy": [[run["val_accuracy"]] for run in entry["runs"]],
            "test accuracy": [[run["test"]["accuracy"]["value"]] for run in entry["runs"]],
        }
    else:
        labels = [entry["label"] for entry in entries]
        values = {
            "test accuracy": [[r["test"]["accuracy"]["value"] for r in e["runs"]] for e in entries],
            "test macro F1": [[r["test"]["macro"]["f1"] for r in e["runs"]] for e in entries],
        }
    with chart(path, (8, 0.6 * len(labels) + 1.8)) as (figure, ax):
        for number, (name, rows) in enumerate(values.items()):
            for y, row in enumerate(rows):
                place = y + 0.18 * (2 * number - 1)
                found = [value for value in row if value is not None]
                mean = float(np.mean(found)) if found else 0.0
                ax.barh(place, mean, 0.34, color=COLOURS[number], label=name if y == 0 else None)
                ax.plot(found, [place] * len(found), "k.", markersize=4)
                ax.text(mean + 0.01, place, f"{mean:.3f}", va="center", fontsize=8)
        ax.set_yticks(range(len(labels)), labels)
        ax.invert_yaxis()
        ax.set(xlim=(0, 1.12), xlabel="value (dots: single runs)")
        figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    return path


def _times(entries: Sequence[Mapping[str, Any]], path: Path) -> Path:
    with chart(path, (8, 4.5)) as (figure, ax):
        for number, entry in enumerate(entries):
            sizes = [row["batch_size"] for row in entry["epoch_seconds"]]
            seconds = [row["seconds"] for row in entry["epoch_seconds"]]
            colour, mark = COLOURS[number % len(COLOURS)], MARKS[number % len(MARKS)]
            ax.plot(sizes, seconds, color=colour, marker=mark, label=entry["label"])
        ax.set(title="Time of an epoch", xlabel="pictures in a batch", ylabel="seconds (from a few steps)")
        ax.set_ylim(bottom=0)
        ax.grid(alpha=0.3)
        figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    return path


def _sweep(
    entries: Sequence[Mapping[str, Any]], costs: Mapping[str, Sequence[tuple[float, float]]], path: Path
) -> Path:
    """Left the figures at the thresholds of the sweep, right the cost of every threshold."""
    with chart(path, (10, 4.6), 1, 2) as (figure, (left, right)):
        for number, entry in enumerate(entry for entry in entries if entry["sweep"]):
            limits = [row["threshold"] for row in entry["sweep"]]
            for line, name in enumerate(("accuracy", "recall", "f1")):
                means = [np.nan if row[name]["mean"] is None else row[name]["mean"] for row in entry["sweep"]]
                spread = [row[name]["sd"] or 0 for row in entry["sweep"]]
                left.errorbar(
                    limits,
                    means,
                    spread,
                    color=COLOURS[number % len(COLOURS)],
                    marker=MARKS[line],
                    linestyle=("-", "--", ":")[line],
                    capsize=3,
                    label=f"{entry['label']}: {name}",
                )
            x, y = zip(*costs[entry["label"]], strict=True)
            right.plot(x, y, color=COLOURS[number % len(COLOURS)])
        left.set(title="Figures by threshold", xlabel="rejected from", ylim=(0, 1.02))
        right.set(title="Cost by threshold", xlabel="rejected from", ylabel="cost per part")
        right.set_ylim(bottom=0)
        for ax in (left, right):
            ax.grid(alpha=0.3)
        figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    return path


def _course(run: Mapping[str, Any], title: str, path: Path) -> Path:
    with chart(path, (9, 3.6), 1, 2) as (figure, axes):
        for ax, what in zip(axes, ("accuracy", "loss"), strict=True):
            for number, split in enumerate(("train", "val")):
                points = run["history"][f"{split}_{what}"]
                if points:
                    x, y = zip(*points, strict=True)
                    label = f"{'training' if split == 'train' else 'validation'}"
                    ax.plot(x, y, color=COLOURS[number], marker=MARKS[number], markersize=4, label=label)
            ax.set(title=f"{title}: {what}", xlabel="epoch")
            ax.xaxis.get_major_locator().set_params(integer=True)
            ax.grid(alpha=0.3)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=8)
    return path


def _confusion(confusion: Mapping[str, Any], title: str, path: Path) -> Path:
    names = [describe(name).title for name in confusion["classes"]]
    matrix = np.array(confusion["matrix"])
    with chart(path, (0.7 * len(names) + 2.8, 0.6 * len(names) + 2.4)) as (_, ax):
        ax.imshow(matrix / np.maximum(1, matrix.sum(1, keepdims=True)), cmap="Blues", vmin=0, vmax=1)
        for y, row in enumerate(matrix):
            for x, value in enumerate(row):
                dark = value > 0.5 * max(1, row.sum())
                ax.text(x, y, str(value), ha="center", va="center", color="white" if dark else "black")
        ax.set_xticks(range(len(names)), names, rotation=45, ha="right")
        ax.set_yticks(range(len(names)), names)
        ax.set(title=title, xlabel="answer", ylabel="truth")
    return path
